"""What a comparison is to train, the config of each variant, and the directory that keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from tool_runtime import runtime
from tool_runtime.errors import ToolError
from tool_runtime.preflight import suggest

from .files import read_json, write_json
from .jobs import RESULT, Job, folder_name
from .results import METRICS, Results, Run, Settings
from .results import read as read_results
from .variants import Variants, check_keys

PLAN, RESULTS, COMMANDS, LOCK, VARIANTS = "plan.json", "results.json", "commands.txt", ".lock", "variants"
VERSION = 1
SEED = "randomness.seed"


@dataclass
class Plan:
    """What to train.

    Attributes:
        config: Path or name of the config.
        variants: Options of each variant by its name.
        seeds: With which every variant is trained.
        folder: The directory of the comparison.
        baseline: The variant with which the others are compared; the first where it is empty.
        metric: What is compared.
        options: ``--cfg-options``, of all variants.
        length: ``epochs`` or ``iters`` in place of the config's own, and how many.
        keep_checkpoints: Whether the last checkpoint of each run stays.
        kept: A file of results elsewhere, whose runs count as done.
        reused: Results of other comparisons, whose runs of the same config and seed count as done, too.
    """

    config: str
    variants: Variants
    seeds: list[int]
    folder: Path
    baseline: str = ""
    metric: str = METRICS[0]
    options: dict[str, Any] = field(default_factory=dict)
    length: tuple[str, int] | None = None
    keep_checkpoints: bool = False
    kept: Path | None = None
    reused: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.baseline = self.baseline or next(iter(self.variants))
        if self.baseline not in self.variants:
            names = ", ".join(self.variants)
            near = suggest(self.baseline, self.variants)
            raise ToolError(f"--baseline {self.baseline}: expected one of the variants, which are {names}{near}")
        given = {"--cfg-options": self.options, **{f"variant {name}": keys for name, keys in self.variants.items()}}
        for where, options in given.items():
            if SEED in options:
                raise ToolError(f"{where}: {SEED} is what --seeds sets, the same for all variants")
        self.file = runtime.find_config(self.config)
        self.common = self.read({})
        self.configs = {name: self.read(options, name) for name, options in self.variants.items()}
        self.digests = {name: digest(cfg) for name, cfg in self.configs.items()}
        same: dict[str, str] = {}
        for name, value in self.digests.items():
            if value in same:
                raise ToolError(f"variants {same[value]} and {name} are the same training; leave one out")
            same[value] = name

    def read(self, options: dict[str, Any], name: str = "") -> Config:
        """Return the complete config of a variant."""
        cfg = runtime.read_config(self.file, dict(self.options))
        set_length(cfg, self.length)
        check_keys(cfg, name, options)
        if options:
            try:
                runtime.merge_options(cfg, dict(options))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError) as error:
                reason = error.args[0] if error.args else type(error).__name__
                raise ToolError(f"variant {name} does not fit {self.config}: {reason}") from error
        prepare(cfg)
        return cfg

    def config_file(self, name: str) -> Path:
        """Return where the complete config of a variant is written."""
        return self.folder.absolute() / VARIANTS / f"{folder_name(name)}.py"

    def job(self, name: str, seed: int) -> Job:
        """Return a run."""
        folder = self.folder.absolute() / "runs" / folder_name(name) / f"seed{seed}"
        return Job(
            name,
            seed,
            str(self.config_file(name)),
            self.digests[name],
            self.metric,
            str(folder),
            str(Path.cwd()),
            self.keep_checkpoints,
        )

    def jobs(self) -> list[Job]:
        """Return all runs, seed by seed, so that what is there when it is stopped can be compared."""
        return [self.job(name, seed) for seed in self.seeds for name in self.variants]

    def check_folder(self) -> None:
        """Stop where the directory holds something else.

        Raises:
            ToolError: Where it has files but no plan, or the plan of another comparison.
        """
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise ToolError(f"--work-dir {self.folder}: expected a folder, got a file")
        before = read_json(self.folder / PLAN)
        if before is None:
            # what a call that was killed at its beginning leaves is this comparison's
            if any(path.name not in (LOCK, VARIANTS) and path.suffix != ".part" for path in self.folder.iterdir()):
                raise ToolError(
                    f"--work-dir {self.folder} holds files that are no comparison's; use an empty or a new folder"
                )
            return
        if before.get("version") != VERSION:
            raise ToolError(
                f"--work-dir {self.folder} is of another version of this tool ({before.get('version')}, expected "
                f"{VERSION}); use another folder"
            )
        changed = differences(before["common"], flat(self.common))
        if changed:
            raise ToolError(
                f"--work-dir {self.folder} holds another comparison, of {before['config']}: {changed}; use another "
                "folder, or the same config and options (seeds and variants may be added)"
            )
        for name, value in self.digests.items():
            known = before["variants"].get(name)
            if known is not None and known["digest"] != value:
                raise ToolError(
                    f"--work-dir {self.folder} has a variant {name} with other options: {known['options']} there, "
                    f"{self.variants[name]} now; give it another name, or use another folder"
                )

    def check_planned(self) -> None:
        """Stop where the directory holds no comparison yet.

        Raises:
            ToolError: With the directory.
        """
        if read_json(self.folder / PLAN) is None:
            raise ToolError(f"--report: {self.folder} holds no comparison yet; without --report it is trained")

    def check_files(self) -> None:
        """Stop where a file of results is none, or holds what this comparison would lose.

        Raises:
            ToolError: With the file, and the run.
        """
        for file in self.reused:
            read_results(file)
        known = {(job.variant, job.seed): job.digest for job in self.jobs()}
        for run in self.kept_runs():
            name = f"--results {self.kept} holds {run.variant}, seed {run.seed}"
            if (run.variant, run.seed) not in known:
                raise ToolError(f"{name}, which is not asked for; ask for it, too, or use another file")
            if run.config_sha256 != known[run.variant, run.seed]:
                raise ToolError(f"{name}, of another config or other options; use another file, or the same of both")

    def kept_runs(self) -> list[Run]:
        """Return the complete runs of the file of results."""
        if self.kept is None or not self.kept.exists():
            return []
        return [run for run in read_results(self.kept).runs if run.status == "done"]

    def elsewhere(self) -> dict[tuple[str, int], Run]:
        """Return the complete runs of other files, by digest of the config and seed."""
        others = [run for file in self.reused for run in read_results(file).runs if run.status == "done"]
        return {(run.config_sha256, run.seed): run for run in [*others, *self.kept_runs()]}

    def restore(self) -> None:
        """Give each run that is done elsewhere its folder, where it has none."""
        found = self.elsewhere()
        for job in self.jobs():
            run = found.get((job.digest, job.seed))
            if run is not None and job.result() is None:
                job.save()
                write_json(job.file(RESULT), asdict(replace(run, variant=job.variant)))

    def to_train(self) -> set[str]:
        """Return the variants of which a run is not done yet."""
        found = self.elsewhere()
        return {job.variant for job in self.jobs() if job.result() is None and (job.digest, job.seed) not in found}

    @property
    def results_file(self) -> Path:
        """Where the results are written after each run."""
        return self.kept or self.folder / RESULTS

    def save(self) -> None:
        """Write the plan, with what earlier calls planned in the same directory, and the config of each variant."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = (read_json(self.folder / PLAN) or {}).get("variants", {})
        now = {name: {"options": self.variants[name], "digest": self.digests[name]} for name in self.variants}
        content = {"version": VERSION, "config": self.config, "common": flat(self.common), "variants": before | now}
        for name, cfg in self.configs.items():
            file = self.config_file(name)
            if before.get(name, {}).get("digest") == self.digests[name] and file.is_file():
                continue
            file.parent.mkdir(exist_ok=True)
            part = file.with_suffix(".part.py")
            cfg.dump(part)
            part.replace(file)
        # last, so that a variant that it names has its config
        write_json(self.folder / PLAN, content)
        for job in self.jobs():
            job.save()

    def results(self) -> Results:
        """Return what is measured by now."""
        runs: list[Run] = [job.run() for job in self.jobs()]
        settings = Settings(self.config, self.baseline, self.seeds, self.metric, self.options | self.length_option())
        return Results(settings, self.variants, runs)

    def length_option(self) -> dict[str, int]:
        """Return ``--epochs`` or ``--iters`` as the option that it sets."""
        return {} if self.length is None else {f"train_cfg.max_{self.length[0]}": self.length[1]}


def prepare(cfg: Config) -> None:
    """Set in place what all runs of all comparisons have in common.

    Raises:
        ToolError: Where the config has nothing to evaluate with.
    """
    missing = [key for key in ("val_dataloader", "val_cfg", "val_evaluator") if not cfg.get(key)]
    if missing:
        raise ToolError(f"{cfg.filename} has no {missing[0]}: a comparison evaluates on the validation set")
    for key in ("train_dataloader", "train_cfg", "optim_wrapper"):
        if not cfg.get(key):
            raise ToolError(f"{cfg.filename} has no {key}: expected a config to train with")
    cfg.launcher = "none"
    cfg.resume = False
    cfg.setdefault("randomness", {})
    cfg.randomness.seed = 0
    cfg.setdefault("default_hooks", {})
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1, by_epoch=True, max_keep_ckpts=2)
    # every epoch begins with new workers, whose random numbers are then the epoch's own
    if cfg.train_dataloader.get("persistent_workers"):
        cfg.train_dataloader.persistent_workers = False
    cfg.pop("work_dir", None)


def set_length(cfg: Config, length: tuple[str, int] | None) -> None:
    """Train for another number of epochs or iterations, and stretch what the schedule counts in them.

    Raises:
        ToolError: Where the config counts in the other unit.
    """
    if length is None:
        return
    unit, number = length
    loop = cfg.get("train_cfg") or {}
    if number < 1:
        raise ToolError(f"--{unit}: expected 1 or more, got {number}")
    if f"max_{unit}" not in loop:
        other = "iters" if unit == "epochs" else "epochs"
        has = f"it says max_{other}: use --{other}" if f"max_{other}" in loop else "its train_cfg says neither"
        raise ToolError(f"--{unit} {number}: {cfg.filename} does not count in {unit}; {has}")
    ratio = number / loop[f"max_{unit}"]
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, list | tuple) else [schedulers]:
        if scheduler.get("by_epoch", True) != (unit == "epochs") or warms_up(scheduler, unit):
            continue
        for key in ("begin", "end", "T_max", "total_iters", "step_size"):
            if isinstance(scheduler.get(key), int):
                scheduler[key] = max(round(scheduler[key] * ratio), 0 if key == "begin" else 1)
        if "milestones" in scheduler:
            scheduler.milestones = [max(1, round(step * ratio)) for step in scheduler.milestones]
    loop[f"max_{unit}"] = number
    if unit == "iters" and loop.get("val_interval", 1) > number:
        loop.val_interval = number


def warms_up(scheduler: dict[str, Any], unit: str) -> bool:
    """Return whether a scheduler is a warm-up in iterations, whose length is its own."""
    return unit == "iters" and scheduler.get("begin", 0) == 0 and "start_factor" in scheduler


def digest(cfg: Config) -> str:
    """Return a hash of all that a config says."""
    return hashlib.sha256(json.dumps(flat(cfg), sort_keys=True).encode()).hexdigest()


def flat(cfg: Config) -> dict[str, str]:
    """Return what a config says as texts by dotted keys."""
    return dict(leaves(cfg._cfg_dict.to_dict()))


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key of every value and its text."""
    pairs: Any = ()
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, list | tuple) and any(isinstance(value, dict) for value in node):
        pairs = enumerate(node)
    if not pairs:
        yield path, repr(node)
        return
    for key, value in pairs:
        yield from leaves(value, f"{path}.{key}" if path else str(key))


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """Return in words where two configs differ; empty where they do not."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    said = [f"{key} is {before.get(key, 'not set')} there and {now.get(key, 'not set')} now" for key in keys[:3]]
    return ", ".join(said) + (f", and {len(keys) - 3} more" if len(keys) > 3 else "")
