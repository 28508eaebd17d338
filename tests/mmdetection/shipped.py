"""Bare builds of every config that MMDetection ships, and what is said of them.

``python tests/mmdetection/shipped.py`` writes the list of warnings anew; the reason of each is written by hand.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mmdet
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmdet_losses.log import LOGGER
from mmdet_losses.registry import stock_losses

CONFIGS = Path(mmdet.__file__).parent / ".mim/configs"
WARNINGS = Path(__file__).with_name("shipped_warnings.tsv")
SMALL = dict(type="ResNet", depth=18)
DRAWING = ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "xavier_normal_", "xavier_uniform_")


def shipped_models() -> dict[str, tuple[Any, list[str]]]:
    """The models of the configs, each different one once, with the configs that have it."""
    models: dict[str, tuple[Any, list[str]]] = {}
    for path in sorted(CONFIGS.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            model = Config.fromfile(path, import_custom_modules=False).get("model")
        except (ImportError, FileNotFoundError):
            # Configs of mmpretrain's models, and four whose bases the wheel does not carry.
            continue
        if model is not None:
            model = shrunk(model)
            models.setdefault(repr(model), (model, []))[1].append(path.relative_to(CONFIGS).as_posix())
    return models


def shrunk(node: Any) -> Any:
    """A model with small backbones and nothing to download."""
    if isinstance(node, dict):
        found = {name: shrunk(value) for name, value in node.items() if name not in ("data_preprocessor", "init_cfg")}
        if isinstance(found.get("backbone"), dict):
            found["backbone"] = SMALL
        if "teacher_ckpt" in found:
            found["teacher_ckpt"] = None
        return ConfigDict(found)
    return [shrunk(value) for value in node] if isinstance(node, list | tuple) else node


def heads_in(node: Any) -> Iterator[dict]:
    """Configs of everything that ends in Head, outermost first."""
    if isinstance(node, dict):
        if str(node.get("type", "")).endswith("Head"):
            yield node
        for value in node.values():
            yield from heads_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from heads_in(value)


def build(config: Any) -> tuple[str, list[str]]:
    """Build a model without memory for its weights; its error, and the warnings of this package."""
    said: list[str] = []
    real = warnings.warn

    def warn(message: Any, *args: Any, **keywords: Any) -> None:
        if sys._getframe(1).f_globals["__name__"].startswith("mmdet_losses"):
            said.append(str(message))
        elif isinstance(message, Warning):
            real(message)

    def log(record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            said.append(record.getMessage())

    logger = patch.multiple(LOGGER, handle=log, hasHandlers=lambda: True)
    # what has no memory has no numbers, and drawing them for it takes a third of the time
    drawn = patch.multiple(torch.nn.init, **dict.fromkeys(DRAWING, lambda tensor, *args, **kwargs: tensor))
    with patch("warnings.warn", warn), logger, drawn, torch.device("meta"):
        try:
            MODELS.build(copy.deepcopy(config))
        except Exception as error:  # any, since it is compared with that of a build without this package
            return f"{type(error).__name__}: {error}", said
    return "", said


@contextmanager
def in_mmdet() -> Iterator[None]:
    """With mmdet's scope, in its folder, where one config names another by a relative path."""
    before = Path.cwd()
    os.chdir(CONFIGS.parent)
    try:
        with DefaultScope.overwrite_default_scope("mmdet"):
            yield
    finally:
        os.chdir(before)


def survey() -> tuple[list[tuple[str, str]], list[str], int]:
    """Every warning with its config, the errors that this package brings, and how many heads were built."""
    said: set[tuple[str, str]] = set()
    errors, heads = [], set()
    with in_mmdet():
        for model, paths in shipped_models().values():
            error, messages = build(model)
            parts = list(heads_in(model))
            if error:
                with stock_losses():
                    before, _ = build(model)
                if before != error:
                    errors.append(f"{paths[0]}: {error}")
                # What stopped it is a package that is not installed, or a missing process group: its heads alone.
                parts = [head for head in parts if repr(head) not in heads and builds(head, messages, errors, paths[0])]
            heads.update(map(repr, parts))
            said.update((path, message) for path in paths for message in messages)
    return sorted(said), errors, len(heads)


def builds(head: Any, messages: list[str], errors: list[str], path: str) -> bool:
    """Whether a head can be built alone; adds what is said of it."""
    error, more = build(head)
    messages += [message for message in more if message not in messages]
    if error:
        with stock_losses():
            before, _ = build(head)
        if before != error:
            errors.append(f"{path}, {head['type']}: {error}")
    return not error


def committed() -> dict[tuple[str, str], str]:
    """The reason of each warning with its config, as committed."""
    lines = [line.split("\t") for line in WARNINGS.read_text().splitlines()]
    return {(path, message): reason for path, message, reason in lines[1:]}


def main() -> None:
    said, errors, _ = survey()
    known = committed() if WARNINGS.exists() else {}
    of_message = {message: reason for (_, message), reason in known.items()}
    rows = [(path, message, known.get((path, message)) or of_message.get(message, "")) for path, message in said]
    WARNINGS.write_text("".join("\t".join(row) + "\n" for row in [("config", "warning", "reason"), *rows]))
    print(*errors, f"{len(rows)} warnings", sep="\n")


if __name__ == "__main__":
    main()
