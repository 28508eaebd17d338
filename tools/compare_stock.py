#!/usr/bin/env python
"""Compare the first iterations of a training with those of MMDetection's own losses of the same names.

Both sides have the same seed, weights and data order, so what differs is rounding. Runs that are complete are reused.
Which side detects better is what `tools/compare.py CONFIG --stock` asks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stock_comparison import compare
from tool_runtime import runtime
from tool_runtime.errors import report_errors


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="paths of configs")
    parser.add_argument("--iters", type=int, default=30, metavar="N", help="number of iterations, 30 by default")
    parser.add_argument(
        "--sgd",
        type=float,
        nargs="?",
        const=0.01,
        metavar="LR",
        help="plain SGD without momentum, clipping and schedule, at this rate (0.01 if none is given)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="one pair of runs per seed")
    parser.add_argument("--work-dir", default="work_dirs/compare_stock", help="where the runs are kept")
    parser.add_argument("--parallel", action="store_true", help="run the two sides at once, with one thread each")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads per run")
    parser.add_argument("--fresh", action="store_true", help="do not reuse complete runs")
    parser.add_argument("--json", metavar="FILE", help="write all figures, versions and the commit")
    parser.add_argument("--markdown", metavar="FILE", help="write the table that is printed")
    runtime.add_config_options(parser)
    return parser


def parse_args() -> argparse.Namespace:
    args = build_parser().parse_args()
    if args.parallel and args.threads is None:
        args.threads = 1
    return args


def main() -> None:
    args = parse_args()
    with report_errors("compare_stock"):
        pairs = compare.run_pairs(
            args.configs,
            args.seeds,
            args.work_dir,
            iters=args.iters,
            lr=args.sgd,
            threads=args.threads,
            parallel=args.parallel,
            fresh=args.fresh,
            options=args.cfg_options,
        )
        table = compare.iteration_table(pairs)
        if args.json:
            compare.write_json(pairs, args.json)
        if args.markdown:
            Path(args.markdown).parent.mkdir(parents=True, exist_ok=True)
            Path(args.markdown).write_text(table)
        print(f"\n{table}", end="")


if __name__ == "__main__":
    main()
