"""Formulas that a kernel or a hand-written backward computes too: each says where."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mmdet_losses
from mmdet_losses import functional as F
from mmdet_losses import kernels
from mmdet_losses.functional import geometry, iou

PACKAGE = Path(mmdet_losses.__file__).parent
MARK = re.compile(r"# also written in (\S+): (.+)")

FORMULAS: dict[Callable, list[Callable]] = {
    F.box_iou_loss: [iou.pair_loss, geometry.BoxPair],
    F.iou_loss: [iou.linear_cost, iou.square_cost, iou.log_cost, geometry.BoxPair],
    F.no_terms: [iou.linear_cost],
    F.quality_focal_loss: [F.quality_focal_terms],
}
"""Where the formula of a function stands, if not in itself."""


def functions_with_kernels() -> set[Callable]:
    """Functions of this package that the kernels' tables have as keys."""
    found: set[Callable] = set()
    for _, name, _ in pkgutil.iter_modules(kernels.__path__):
        for table in vars(importlib.import_module(f"{kernels.__name__}.{name}")).values():
            if isinstance(table, dict):
                found |= {key for key in table if getattr(key, "__module__", "").startswith(F.__name__)}
    return found


def marks(formula: Callable) -> list[tuple[str, str]]:
    """File and name of each twin that a formula says it has."""
    found = MARK.findall(inspect.getsource(formula))
    return [(file, name) for file, names in found for name in names.split(", ")]


def every_mark() -> Iterator[tuple[str, str, str]]:
    for path in sorted((PACKAGE / "functional").glob("*.py")):
        for file, names in MARK.findall(path.read_text()):
            for name in names.split(", "):
                yield path.name, file, name


def test_the_tables_of_the_kernels_are_found() -> None:
    assert functions_with_kernels() >= {F.box_iou_loss, F.giou_terms, F.sigmoid_focal_loss, F.smooth_l1_loss}


@pytest.mark.parametrize("function", sorted(functions_with_kernels(), key=lambda x: x.__name__))
def test_a_formula_with_a_kernel_says_where(function: Callable) -> None:
    for formula in FORMULAS.get(function, [function]):
        assert any(file.startswith("kernels/cpp/") for file, _ in marks(formula)), (
            f"{inspect.getsourcefile(formula)}: {formula.__name__} has a kernel and does not say where; "
            "write '# also written in kernels/cpp/FILE: NAME' below its docstring"
        )


@pytest.mark.parametrize(("formula", "file", "name"), every_mark())
def test_the_twin_is_there(formula: str, file: str, name: str) -> None:
    defined = re.compile(rf"^(?:struct|class|extern \"C\" void) {name}\b", re.MULTILINE)
    assert (PACKAGE / file).is_file(), f"functional/{formula} names {file}, which is gone: name the file it became"
    assert defined.search((PACKAGE / file).read_text()), (
        f"functional/{formula} says that {name} in {file} computes the same, and there is none: "
        "name what it became, and keep the two formulas equal"
    )
