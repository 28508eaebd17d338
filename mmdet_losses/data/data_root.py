"""One option for the place of the data: ``--cfg-options data_root=DIR``."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

_SECTIONS = tuple(f"{split}_{part}" for split in ("train", "val", "test") for part in ("dataloader", "evaluator"))


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """``cfg.merge_from_dict(options)``, where ``data_root`` moves every data set and evaluator too.

    A text config expands ``data_root`` into ``dataset.data_root`` and ``evaluator.ann_file`` when it is read,
    so that MMEngine's own merge of ``data_root`` changes a variable that nobody reads any more. Other
    options, such as ``val_dataloader.dataset.data_root``, are merged afterwards and win.

    Args:
        cfg: The config, changed in place.
        options: What ``--cfg-options`` gave: dotted keys and their values.

    Raises:
        ValueError: ``data_root`` is given for a config that has no such variable.
    """
    if "data_root" in options:
        set_data_root(cfg, options["data_root"])
    cfg.merge_from_dict(options)


def set_data_root(cfg: Config, data_root: str) -> None:
    """Move every path of ``cfg``'s data loaders and evaluators that is under its ``data_root``.

    Args:
        cfg: The config, changed in place. Its paths start with its top-level ``data_root``.
        data_root: The new folder.

    Raises:
        ValueError: ``cfg`` has no top-level ``data_root``, or the new one is not a non-empty string.
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
    for node in _dicts([cfg.get(section) for section in _SECTIONS]):
        for key, value in node.items():
            if isinstance(value, str):
                node[key] = _moved(value, old, data_root)
    cfg.data_root = data_root


def _moved(path: str, old: str, new: str) -> str:
    old = old.rstrip("/")
    if path.rstrip("/") == old:
        return new
    if path.startswith(f"{old}/"):
        return os.path.join(new, path[len(old) + 1 :])
    return path


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from _dicts(child)
