"""One line where a config that MMDetection reads too gets another loss here, though it names the same one."""

from __future__ import annotations

from functools import cache
from typing import Any

from .log import log
from .registry import PUBLISHED, has_mmdet

CHANGED = {
    "CIoULoss": (
        "alpha_gate",
        "counts its aspect term at every IoU, as the conference paper does; MMDetection's only where the IoU exceeds "
        "0.5. MMDetection's: alpha_gate=0.5, or its own class, type=\"mmdet_losses.stock.CIoULoss\". This one without "
        "this line: alpha_gate=None.",
    ),
    "EIoULoss": (
        "",
        "is Efficient-IoU; MMDetection's is Extended-IoU. MMDetection's: type=\"ExtendedIoULoss\", or its own class, "
        "type=\"mmdet_losses.stock.EIoULoss\". This one without this line: type=\"EfficientIoULoss\".",
    ),
    "SIoULoss": (
        "neg_gamma",
        "pulls boxes together, as the paper's does; MMDetection's, unless told neg_gamma=True, falls as they move "
        "apart. MMDetection's own class: type=\"mmdet_losses.stock.SIoULoss\". This one without this line: "
        "neg_gamma=True.",
    ),
}  # fmt: skip
"""Names that mean another loss than in MMDetection, with the option by which a config chooses, and what is said."""


def tell_changed_meaning(config: Any, kind: type) -> None:
    """Say so once per name, where a config under MMDetection's name does not itself choose this package's loss.

    Args:
        config: The config as it was written.
        kind: The class that is built of it.
    """
    name = kind.__name__
    if name not in CHANGED or kind is not PUBLISHED[name] or not has_mmdet():
        return
    option, said = CHANGED[name]
    read = getattr(config, "get", None)  # MMEngine's Config is no Mapping
    if callable(read) and named_as_in_mmdet(read("type"), name) and option not in config:
        tell(f'type="{name}" {said}')


def named_as_in_mmdet(kind: Any, name: str) -> bool:
    """Whether a ``type`` is this name, bare or in MMDetection's scope, or MMDetection's class by path or object."""
    path = kind if isinstance(kind, str) else f"{getattr(kind, '__module__', '')}.{getattr(kind, '__name__', '')}"
    owner, _, last = path.rpartition(".")
    return last == name and (owner in ("", "mmdet") or owner.startswith("mmdet."))


@cache
def tell(line: str) -> None:
    log(line)
