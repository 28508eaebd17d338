"""Pages of the API reference: which objects stand on which page; Sphinx reads their docstrings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable

from mmdet_losses import functional

from .reference import markdown

CLASSES = {
    "Bases": ("Loss", "BoxLoss", "IoUTypeLoss", "CoordinateLoss", "ClassificationLoss", "RankingLoss"),
    "Bases of rotated boxes and of objectives": ("RotatedBoxLoss", "CompositeLoss", "AnchorLoss"),
    "Multipliers": ("IoUFocus", "PowerfulFocus", "WiseFocus"),
    "State": ("Stateful", "Annealed"),
    "Layers and targets": ("Integral", "DenseTarget", "Level"),
    "Errors": ("OptionError", "ReductionError", "WeightError", "FormError"),
}
FUNCTIONS = {
    "Statistics and kernels": ("commit_statistics", "copy_statistics", "fuse_losses"),
    "Encodings": ("encode_anchors", "encode_cells", "pad_truths"),
    "Registries and configs": ("register_loss", "register_into", "config_path", "published"),
}
ROOMS = ("iou", "modified_iou", "beyond_iou", "coordinate", "distribution", "classification", "quality_aware", "mask")
"""Files of functions that stand first; the others follow by name."""
REGISTRY = ("stock", "stock_losses", "missing")
HOOKS = ("LossStateHook", "FusedLossHook")


def functional_page() -> str:
    """Every function, by the file that it is in."""
    rooms: dict[str, list[str]] = {}
    for name in sorted(functional.__all__):
        rooms.setdefault(getattr(getattr(functional, name), "__module__", ""), []).append(name)
    parts = [
        "# Functions",
        "`mmdet_losses.functional`: the losses as functions on torch alone. Each takes matched rows of predictions and "
        "targets and returns one value for each row or element; `reduce_loss` weighs and averages them.",
    ]
    inside = sorted(module for module in rooms if module.startswith(functional.__name__))
    first = [f"{functional.__name__}.{name}" for name in ROOMS]
    for module in [*first, *(module for module in inside if module not in first)]:
        names = rooms[module]
        parts.append(f"## {titled(module)}")
        kinds = [("class" if inspect.isclass(getattr(functional, name)) else "function", name) for name in names]
        parts.append(documented(functional.__name__, kinds))
    named = ", ".join(f"`{name!r}`" for name in functional.BASES)
    parts += ["## Bases of options", f"```{{eval-rst}}\n.. py:data:: BASES\n```\n\nWhat `base` may be: {named}."]
    return "\n\n".join(parts) + "\n"


def titled(module: str) -> str:
    """The first sentence of a file's docstring as a heading."""
    text = markdown(inspect.cleandoc(sys.modules[module].__doc__ or module))
    return text.partition("\n\n")[0].partition(". ")[0].partition(":")[0].rstrip(".").replace("\n", " ")


def modules_page() -> str:
    """What is public beside the losses, which have pages of their own."""
    parts = [
        "# Classes",
        "What `mmdet_losses` has beside the [losses](../losses/index.md), which have a page each.",
    ]
    for title, names in CLASSES.items():
        parts += [f"## {title}", documented("mmdet_losses", [("class", name) for name in names])]
    for title, names in FUNCTIONS.items():
        parts += [f"## {title}", documented("mmdet_losses", [("function", name) for name in names])]
    parts += [
        "## MMDetection's own classes",
        documented("mmdet_losses.registry", [("function", name) for name in REGISTRY]),
        "## Hooks of MMEngine",
        documented("mmdet_losses.hooks", [("class", name) for name in HOOKS]),
    ]
    return "\n\n".join(parts) + "\n"


def documented(module: str, objects: Iterable[tuple[str, str]]) -> str:
    """Directives of Sphinx that read the docstrings of a module's objects."""
    lines = [f".. currentmodule:: {module}"]
    for kind, name in objects:
        lines += ["", f".. auto{kind}:: {name}"] + (["   :members:"] if kind == "class" else [])
    return "\n".join(["```{eval-rst}", *lines, "```"])


PAGES: dict[str, Callable[[], str]] = {"api/functional.md": functional_page, "api/classes.md": modules_page}
"""What makes each page."""
SHELF = """## API reference

- [Functions](api/functional.md): `mmdet_losses.functional`, the losses as functions.
- [Classes](api/classes.md): bases, multipliers, hooks, registries.
"""
"""What the start page says of them."""
