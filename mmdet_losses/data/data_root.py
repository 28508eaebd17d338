"""One option that moves the data: ``--cfg-options data_root=DIR``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

SECTIONS = tuple(f"{split}_{part}" for split in ("train", "val", "test") for part in ("dataloader", "evaluator"))


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options into a config in place, and let ``data_root`` move every data set and evaluator.

    A config expands ``data_root`` into ``dataset.data_root`` and ``evaluator.ann_file`` when it is read, so that
    MMEngine's own merge only sets a variable that is not read again. Other options, such as
    ``val_dataloader.dataset.data_root``, are merged afterwards and win.

    Args:
        cfg: The config, changed in place.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.

    Raises:
        ValueError: Where ``data_root`` is given for a config that has no such variable.
    """
    if "data_root" in options:
        set_data_root(cfg, options["data_root"])
    cfg.merge_from_dict(options)


def set_data_root(cfg: Config, data_root: str) -> None:
    """Move every path under ``data_root`` in the data loaders and evaluators of a config, in place.

    Args:
        cfg: The config, changed in place. Its paths start with its top-level ``data_root``.
        data_root: The new folder.

    Raises:
        ValueError: Where the config has no top-level ``data_root``, or the new one is not a non-empty string.
    """
    old = cfg.get("data_root")
    if not old:
        raise ValueError(
            f"data_root={data_root!r}: expected a config with a top-level data_root, got {cfg.filename} "
            "without. Set train_dataloader.dataset.data_root, val_dataloader.dataset.data_root and "
            "val_evaluator.ann_file instead."
        )
    if not isinstance(data_root, str) or not data_root:
        raise ValueError(f"data_root: expected the path of a folder, got {data_root!r}.")
    for node in dicts([cfg.get(section) for section in SECTIONS]):
        for key, value in node.items():
            if isinstance(value, str):
                node[key] = moved(value, old, data_root)
    cfg.data_root = data_root


def moved(path: str, old: str, new: str) -> str:
    """Return a path with its root replaced; unchanged where it is not under the old root."""
    old = old.rstrip("/")
    if path.rstrip("/") == old:
        return new
    if path.startswith(f"{old}/"):
        return os.path.join(new, path[len(old) + 1 :])
    return path


def dicts(node: Any) -> Iterator[dict]:
    """Yield every dict of nested dicts and lists, outermost first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from dicts(child)
