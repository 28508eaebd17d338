"""Where the package's configs and tools lie, and ``_base_ = "mmdet_losses::..."`` in MMEngine's configs.

A wheel holds both in ``.mim``, as MMDetection's does; a checkout, and so an editable install, has them beside the
package.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import wraps
from importlib.util import find_spec
from pathlib import Path

from .import_hook import when_imported

__all__ = ["config_path"]

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder ``configs`` or ``tools`` that belongs to this package."""
    inside = PACKAGE / ".mim" / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def config_path(name: str) -> str:
    """Path of a config of this package, for ``_base_`` in any config and for whatever takes the path of one.

    Once the package is imported, ``_base_ = "mmdet_losses::NAME"`` finds the same file. MMEngine reads ``_base_``
    before ``custom_imports``, so in a config that must also work where nothing has imported the package write
    ``_base_ = __import__("mmdet_losses").config_path("NAME")``.

    Args:
        name: Path below ``configs``, or the name of a file in one of its folders.

    Raises:
        FileNotFoundError: Where there is no such config.

    Example:
        >>> from mmdet_losses import config_path
        >>> config_path("retinanet/retinanet_r50_fpn_ciou_8xb2-1x_coco.py")  # doctest: +ELLIPSIS
        '...configs/retinanet/retinanet_r50_fpn_ciou_8xb2-1x_coco.py'
    """
    folder = shipped("configs")
    asked = name.removeprefix("mmdet_losses::").removeprefix("configs/")
    path = folder / asked
    if path.is_file():
        return str(path)
    files = sorted(folder.glob("*/*.py"))
    if "/" not in asked:
        for file in files:
            if file.name == asked:
                return str(file)
    if not files:
        raise FileNotFoundError(f"this installation of mmdet_losses has no configs: there is no folder {folder}.")
    near = get_close_matches(asked, [str(file.relative_to(folder)) for file in files], n=1, cutoff=0.5)
    raise FileNotFoundError(
        f"name must be a config of mmdet_losses, a path below {folder}, got {name!r}"
        + (f"; did you mean {near[0]!r}?" if near else ".")
    )


def config_of_another(package: str, name: str) -> str:
    """Path of a config that another package brings, as MMEngine finds it, without its ``pkg_resources``."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed, and the config {package}::{name} is part of it.")
    path = Path(spec.origin).parent / ".mim" / "configs" / name
    if not path.is_file():
        raise FileNotFoundError(f"{package} has no config {name!r}: there is no file {path}.")
    return str(path)


def serve_configs() -> None:
    """Let MMEngine find this package's configs, in editable installs too; called when its configs are there.

    MMEngine 0.10 asks ``pkg_resources`` where a package is, which setuptools 82 and a bare Python 3.12 do not have.
    There the configs of MMDetection, on which those of this package build, are looked for as modules are.
    """
    from mmengine.config import Config, utils

    for table in ("MODULE2PACKAGE", "PKG2PROJECT"):
        getattr(utils, table, {}).setdefault("mmdet_losses", "mmdet_losses")
    find = getattr(Config, "_get_cfg_path", None)
    if find is None:
        return

    @wraps(find)
    def find_config(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, colons, name = cfg_path.partition("::")
        if colons and scope == "mmdet_losses":
            # In MMDetection's scope, which these configs are written in, whatever scope the config that asks has.
            return config_path(name), "mmdet"
        if colons and find_spec("pkg_resources") is None:
            return config_of_another(scope, name), scope
        return find(cfg_path, filename)

    Config._get_cfg_path = staticmethod(find_config)


when_imported("mmengine.config", serve_configs)
