"""The variants of a comparison: names, and the options of the config that each of them sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config, DictAction
from tool_runtime.errors import ToolError
from tool_runtime.preflight import find_losses, suggest, use_stock_losses

Variants = dict[str, dict[str, Any]]
STOCK, HERE = "mmdet", "mmdet_losses"
"""The variants of ``--stock``."""
MOST_SEEDS = 10_000


def from_vary(texts: Sequence[str]) -> Variants:
    """Return the variants of ``--vary KEY=VALUE,VALUE...``; several of them make a grid.

    A variant is named by its values: alone where the key ends with ``type``, else with the last word of the key.

    Raises:
        ToolError: Where a text has no key or no values, or two variants have the same name.
    """
    axes = []
    for text in texts:
        key, equals, given = text.partition("=")
        key = key.strip()
        if not equals or not key or not given.strip():
            raise ToolError(
                f"--vary {text}: expected KEY=VALUE,VALUE..., such as model.bbox_head.loss_bbox.type=GIoULoss,CIoULoss"
            )
        axes.append([(key, value) for value in values_of(text, given)])
    keys = [axis[0][0] for axis in axes]
    if double := {key for key in keys if keys.count(key) > 1}:
        raise ToolError(f"--vary {min(double)}: given twice; list all its values in one")
    variants: Variants = {}
    for chosen in product(*axes):
        name = " ".join(value_name(key, value) for key, value in chosen)
        if name in variants:
            raise ToolError(f"--vary: two variants are named {name!r}; name them yourself in a file, --variants FILE")
        variants[name] = dict(chosen)
    return variants


def values_of(text: str, given: str) -> list[Any]:
    """Return the values of an option; a list in brackets is one value."""
    try:
        # one more pair of brackets, so that a value alone and "[1,2]" are the same to the parser as several
        found = DictAction._parse_iterable(f"[{given}]")
    except AssertionError as error:
        raise ToolError(f"--vary {text}: {error}") from None
    if not found or "" in found:
        raise ToolError(f"--vary {text}: expected values between the commas")
    return list(found)


def value_name(key: str, value: Any) -> str:
    """Return what a value is called in the name of a variant."""
    last = key.rpartition(".")[2]
    return str(value) if last == "type" else f"{last}={value}".replace(" ", "")


def from_file(file: str) -> Variants:
    """Return the variants of a YAML file: a mapping of names to options, ``{}`` for the config as it is.

    Raises:
        ToolError: Where the file is missing or holds something else.
    """
    path = Path(file)
    if not path.is_file():
        raise ToolError(f"--variants {file}: there is no such file (looked in {path.absolute().parent})")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ToolError(f"--variants {file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not content:
        raise ToolError(f"--variants {file}: expected names with options below each, got {kind(content)}")
    variants: Variants = {}
    for name, options in content.items():
        options = {} if options is None else options
        if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
            raise ToolError(
                f"--variants {file}, {name}: expected options such as 'model.bbox_head.loss_bbox.type: CIoULoss', "
                f"got {kind(options)}"
            )
        variants[str(name)] = options
    return variants


class UniqueKeys(yaml.SafeLoader):
    """YAML's loader, for which a name that stands twice is an error; YAML itself keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if double := {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"{min(double)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def kind(content: Any) -> str:
    """Return what a message calls a content."""
    return "nothing" if content is None else f"a {type(content).__name__}"


def from_stock(cfg: Config) -> Variants:
    """Return the config with MMDetection's own losses, and as it is.

    Raises:
        ToolError: Where MMDetection has none of its losses.
    """
    model = deepcopy(cfg.get("model", {}))
    use_stock_losses(model)
    before = {path: loss["type"] for path, loss in find_losses(cfg.get("model", {}))}
    after = {path: loss["type"] for path, loss in find_losses(model)}
    options = {f"{path}.type": name for path, name in after.items() if name != before[path]}
    if not options:
        raise ToolError(f"--stock: MMDetection has no loss of {cfg.filename} under the same name: {before}")
    return {STOCK: options, HERE: {}}


def check_keys(cfg: Config, name: str, options: dict[str, Any]) -> None:
    """Stop at an option of a variant whose place the config does not have; only the last word of a key may be new.

    Raises:
        ToolError: With the word that is not there.
    """
    for path in options:
        words = path.split(".")
        node: Any = cfg
        for depth, word in enumerate(words):
            where = ".".join(words[:depth]) or "the config"
            if isinstance(node, list | tuple):
                if not word.isdigit() or int(word) >= len(node):
                    raise ToolError(f"variant {name}: {path}: {where} has {len(node)} entries, got {word!r}")
                node = node[int(word)]
                continue
            if not isinstance(node, dict | Config):
                raise ToolError(f"variant {name}: {path}: {where} has no parts, it is {node!r}")
            if word not in node:
                if depth == len(words) - 1 and depth > 0:
                    break
                near = suggest(word, map(str, node.keys()))
                raise ToolError(f"variant {name}: {path}: {where} has no {word!r}{near}")
            node = node[word]


def parse_seeds(words: Sequence[str]) -> list[int]:
    """Return the seeds of ``--seeds``: ``5`` is 0 to 4; ``0 3 7``, ``0,3,7``, ``5-9`` and ``7,`` say which.

    Raises:
        ToolError: Where there is none, one twice, or something else.
    """
    text = ",".join(words)
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    seeds: list[int] = []
    for part in parts:
        matched = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if not matched:
            raise ToolError(f"--seeds: expected a number of seeds, or seeds such as 0,3,7 or 5-9, got {part!r}")
        first = int(matched[1])
        last = int(matched[2] or first)
        if last - first >= MOST_SEEDS:
            raise ToolError(f"--seeds {part}: expected at most {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    if len(parts) == 1 and parts[0].isdigit() and "," not in text:
        if seeds[0] > MOST_SEEDS:
            raise ToolError(f"--seeds {text} means that many seeds; write {text}, for the seed {text}")
        seeds = list(range(seeds[0]))
    if not seeds:
        raise ToolError(
            f"--seeds {text}: expected one seed or more; --seeds 5 trains every variant with the seeds 0 to 4"
        )
    if double := {seed for seed in seeds if seeds.count(seed) > 1}:
        raise ToolError(f"--seeds {text}: the seed {min(double)} is there twice")
    return seeds
