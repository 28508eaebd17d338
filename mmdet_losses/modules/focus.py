"""Multipliers of the rows of an IoU-type loss: what goes into its ``focus`` slot."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .. import functional as F
from .base import check_option
from .errors import OptionError


class IoUFocus(nn.Module):
    """Focal-EIoU's multiplier ``IoU**gamma``: the better a box fits already, the more it counts.

    Paper: https://arxiv.org/abs/2101.08158.

    Args:
        gamma: Power of the IoU; 0.5 as the paper.
        detach: Whether the multiplier is a constant for the gradient, as in the known implementations.
    """

    def __init__(self, gamma: float = 0.5, *, detach: bool = True) -> None:
        super().__init__()
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        self.gamma = gamma
        self.detach = detach

    def forward(self, pair: F.BoxPair) -> Tensor:
        return F.iou_focus(pair, self.gamma, self.detach)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, detach={self.detach}"


FOCUSES: dict[str, type[nn.Module]] = {"IoUFocus": IoUFocus}


def build_focus(focus: Mapping | nn.Module | None) -> nn.Module | None:
    """A ``focus`` slot from its config, ``dict(type='IoUFocus', ...)``; modules and None pass through."""
    if focus is None or isinstance(focus, nn.Module):
        return focus
    options = dict(focus) if isinstance(focus, Mapping) else {}
    kind = FOCUSES.get(options.pop("type", None))
    if kind is None:
        raise OptionError(f"focus must be None or dict(type=...) with a type of {', '.join(FOCUSES)}, got {focus!r}.")
    return kind(**options)
