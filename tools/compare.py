#!/usr/bin/env python
"""Compare losses, or any options of a config, by trainings with several seeds.

Every variant is trained with every seed. What is done is kept, so the same command goes on where it was stopped, and
more seeds or variants may be added. At the end, and again for CONFIG.json, the results.json that it wrote, there is a
report.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from comparison import results, run
from comparison.checks import check
from comparison.engines import Engine
from comparison.engines.local import LocalEngine
from comparison.engines.ray_cluster import RayEngine
from comparison.plan import RESULTS, Plan
from comparison.results import METRICS, Results
from comparison.variants import Variants, from_file, from_stock, from_vary, parse_seeds
from tool_runtime import runtime
from tool_runtime.errors import ToolError, report_errors

import mmdet_losses.data.datasets  # noqa: F401  registers the losses and the drawn data set, whatever the config imports


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path or name of the config; or results.json, for its report alone")
    what = parser.add_argument_group("what is compared (one of these)").add_mutually_exclusive_group()
    what.add_argument(
        "--vary",
        action="append",
        metavar="KEY=A,B,...",
        help="a variant for each value of an option, such as model.bbox_head.loss_bbox.type=GIoULoss,CIoULoss; "
        "several of these make a grid",
    )
    what.add_argument("--variants", metavar="FILE.yaml", help="names, and below each of them its options")
    what.add_argument("--stock", action="store_true", help="MMDetection's own losses of the same names, and these")
    parser.add_argument(
        "--seeds",
        nargs="+",
        default=["5"],
        metavar="N",
        help="a number of seeds, 5 by default, which are 0 to 4; or the seeds: 0,3,7 or 5-9 or 7,",
    )
    parser.add_argument("--baseline", default="", metavar="NAME", help="what the others are compared with; the first")
    parser.add_argument("--metric", default=METRICS[0], help=f"what is compared; {METRICS[0]} by default")
    parser.add_argument("--epochs", type=int, metavar="N", help="train so long, with the schedule in proportion")
    parser.add_argument("--iters", type=int, metavar="N", help="the same for a config that counts iterations")
    parser.add_argument("--work-dir", help="where the runs are kept; ./work_dirs/compare/<config name> by default")
    parser.add_argument(
        "--results",
        metavar="FILE.json",
        help="keep the results in this file, too, such as one under version control; its runs are not trained again",
    )
    parser.add_argument(
        "--reuse",
        nargs="+",
        default=[],
        metavar="FILE.json",
        help="results of other comparisons: their runs of the same config and seed are not trained again",
    )
    parser.add_argument("--keep-checkpoints", action="store_true", help="keep the last checkpoint of each run")
    parser.add_argument("--fresh", action="store_true", help="train again what is done")
    parser.add_argument("--dry-run", action="store_true", help="print a command for each run, and train nothing")
    parser.add_argument("--report", action="store_true", help="write the report of what is done, and train nothing")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="where the runs take place")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at once on this machine; as many as GPUs, or 1")
    parser.add_argument("--address", help="of the Ray cluster; one that runs here by default, or a new one")
    runtime.add_config_options(parser)
    return parser


def make_plan(args: argparse.Namespace) -> Plan:
    """Return what the arguments ask for."""
    if args.epochs is not None and args.iters is not None:
        raise ToolError("--epochs and --iters: expected one of them")
    length = next(((unit, n) for unit, n in (("epochs", args.epochs), ("iters", args.iters)) if n is not None), None)
    return Plan(
        args.config,
        variants_of(args),
        parse_seeds(args.seeds),
        Path(args.work_dir or Path("work_dirs", "compare", Path(args.config).stem)),
        args.baseline,
        args.metric,
        args.cfg_options or {},
        length,
        args.keep_checkpoints,
        Path(args.results) if args.results else None,
        [Path(file) for file in args.reuse],
    )


def variants_of(args: argparse.Namespace) -> Variants:
    """Return the variants that the arguments ask for."""
    if args.vary:
        return from_vary(args.vary)
    if args.variants:
        return from_file(args.variants)
    if not args.stock:
        raise ToolError(
            "expected what to compare: --vary such as model.bbox_head.loss_bbox.type=GIoULoss,CIoULoss, "
            "--variants FILE.yaml, or --stock"
        )
    return from_stock(runtime.read_config(args.config, args.cfg_options))


def make_engine(args: argparse.Namespace, plan: Plan) -> Engine:
    """Return the engine that the arguments ask for, once it is there."""
    if args.jobs is not None and args.jobs < 1:
        raise ToolError(f"--jobs: expected 1 or more, got {args.jobs}")
    if args.engine == "ray":
        if args.jobs is not None:
            raise ToolError("--jobs is for runs on this machine; Ray does as many at once as the cluster has room for")
        return RayEngine(args.address, plan.folder)
    if args.address is not None:
        raise ToolError("--address is that of a Ray cluster: add --engine ray")
    return LocalEngine(args.jobs)


def need_report() -> None:
    """Stop where what the report is made with is missing, before there is anything to report.

    Raises:
        ToolError: With what to install.
    """
    for name in ("plotly", "scipy", "statsmodels"):
        if find_spec(name) is None:
            raise ToolError(f"there is no module {name}: pip install 'mmdet-losses[compare]'")


def say(found: Results, folder: Path) -> None:
    """Write the report, and print what it finds."""
    from comparison import document, markdown, report, statistics

    files = report.write(found, folder)
    print("\n" + markdown.text([document.leaderboard(found), document.findings(found, statistics.judge(found))]))
    for absent in found.absent():
        print(f"{absent.variant}, seed {absent.seed}: {absent.status}{': ' * bool(absent.error)}{absent.error}")
    print(f"report: {', '.join(map(str, files))}")


def compare(args: argparse.Namespace) -> int:
    """Do what the arguments ask for, and return an exit code: 1 where runs failed."""
    plan = make_plan(args)
    plan.check_folder()
    if args.report:
        return report(plan)
    engine = None if args.dry_run else make_engine(args, plan)
    check(plan)
    with run.held(plan):
        plan.check_files()
        if args.fresh:
            run.start_afresh(plan.jobs())
        plan.save()
        if not args.fresh:
            plan.restore()
        if engine is None:
            print("\n".join(run.dry_run(plan)))
            return 0
        stopped = f"stopped; the same command goes on, from {plan.folder}"
        runtime.exit_on_sigterm(f"compare: {stopped}")
        from comparison.statistics import before

        print(before(len(plan.seeds), len(plan.variants) - 1), flush=True)
        try:
            found = run.run_all(plan, engine)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(stopped) from None
        say(found, plan.folder)
    return 1 if found.absent() else 0


def report(plan: Plan) -> int:
    """Write the report of what is done, and return an exit code: 1 where runs are absent."""
    plan.check_planned()
    plan.check_files()
    plan.restore()
    found = plan.results()
    if plan.kept is not None:
        results.write(found, plan.kept)
    say(found, plan.folder)
    return 1 if found.absent() else 0


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("compare"):
        need_report()
        if args.config.endswith(".json"):
            file = Path(args.config)
            beside = file.parent if file.name == RESULTS else file.with_suffix("")
            say(results.read(file), Path(args.work_dir or beside))
            return
        sys.exit(compare(args))


if __name__ == "__main__":
    main()
