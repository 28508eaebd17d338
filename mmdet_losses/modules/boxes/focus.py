"""Multipliers of the rows of an IoU-type loss: what goes into its ``focus`` slot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ... import functional as F
from ..base import Loss
from ..declared import SHARE, Configured, at_least, declared, more_than, one_of, option
from ..errors import OptionError
from ..named import named
from ..state import Stateful

__all__ = ["IoUFocus", "PowerfulFocus", "WiseFocus"]


@declared
class IoUFocus(Configured):
    """Focal-EIoU's multiplier ``IoU**gamma``: the better a box fits already, the more it counts.

    Paper: https://arxiv.org/abs/2101.08158.

    Args:
        gamma: Power of the IoU; 0.5 as the paper.
        detach: Whether the multiplier is detached, as in the known implementations.
    """

    symmetric = True
    bound = 1.0

    gamma: float = option(default=0.5, check=at_least(0))
    detach: bool = option(default=True, kw_only=True)

    def forward(self, pair: F.BoxPair) -> Tensor:
        return F.iou_focus(pair, self.gamma, self.detach)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, detach={self.detach}"


@declared
class WiseFocus(Configured, Stateful):
    """Wise-IoU's multiplier: attention to the distance of the centres, and to what a box of ordinary quality is.

    Version 1 is ``R = exp(rho**2 / c**2)``, with ``rho`` the distance of the centres and ``c`` the diagonal of the
    enclosing box, detached. The others multiply it by a detached factor of the outlier degree
    ``b = (1 - IoU) / mean``, where ``mean`` is a running mean of ``1 - IoU`` over the training: version 2 by
    ``b**gamma``, version 3 by ``b / (delta * alpha**(b - delta))``, which favours boxes of ordinary quality.

    The mean is the buffer ``iou_mean``, which starts at 1 and is saved with the model. It is taken over the rows whose
    weight is not 0 of all training calls and processes of an iteration, once at its end; a call with a row that is not
    finite is left out. See "Losses with running statistics" in docs/losses.md.

    Paper: https://arxiv.org/abs/2301.10051.

    Args:
        version: 1, 2 or 3; 3 as the paper recommends.
        alpha: Of version 3; 1.9 as the paper (1.7 in its authors' later code).
        delta: Outlier degree at which version 3's factor is 1; 3 as the paper (2.7 in its authors' later code).
        gamma: Of version 2; 0.5 as the authors' code.
        momentum: Share of an iteration in the running mean; 0.01 as the authors' later code. The paper lets the mean
            arrive over a training: ``1 - 0.05**(1 / n)`` for ``n`` iterations.
    """

    symmetric = True

    version: int = option(default=3, check=one_of((1, 2, 3)))
    alpha: float = option(default=1.9, check=more_than(1), kw_only=True)
    delta: float = option(default=3.0, check=more_than(0), kw_only=True)
    gamma: float = option(default=0.5, check=at_least(0), kw_only=True)
    momentum: float = option(default=0.01, check=SHARE, kw_only=True)

    def __post_init__(self) -> None:
        if self.version != 1:
            self.keep_buffers(iou_mean=())
            self.keep_sums(cost=(), count=())
            self.reset_statistics()

    def reset_statistics(self) -> None:
        if self.version != 1:
            self.iou_mean.fill_(1)

    def check_options(self) -> None:
        super().check_options()
        if self.version != 1 and "iou_mean" not in self._buffers:
            raise AttributeError(
                f"version of a loss built with version=1, which keeps no mean, cannot become {self.version!r}: build "
                f"the loss again, with version={self.version!r}."
            )

    @property
    def bound(self) -> float:
        """The largest multiplier; that of version 2 grows as the mean falls."""
        if self.version == 2:
            return math.inf
        quality = self.alpha**self.delta / (math.e * self.delta * math.log(self.alpha)) if self.version == 3 else 1.0
        return math.e * quality

    def forward(self, pair: F.BoxPair) -> Tensor:
        if self.version == 1:
            return F.wise_focus(pair, version=1)
        dtype = pair.iou.dtype
        mean = self.iou_mean.to(dtype).clamp(min=torch.finfo(dtype).tiny)
        options = dict(version=self.version, alpha=self.alpha, delta=self.delta, gamma=self.gamma)
        return F.wise_focus(pair, mean, **options)

    def observe(self, pair: F.BoxPair, weight: Tensor | None) -> None:
        """Gather the sum of ``1 - IoU`` over the rows that count, and their number."""
        if self.version == 1:
            return
        cost = 1 - pair.iou
        counts = torch.ones_like(cost) if weight is None else (weight != 0).to(cost)
        self.gather(cost=torch.where(counts != 0, cost, 0.0).sum(), count=counts.sum())

    def commit(self, cost: Tensor | None = None, count: Tensor | None = None) -> None:
        if cost is None or count is None:
            return
        moved = torch.lerp(self.iou_mean, cost / count.clamp(min=1), self.momentum)
        self.iou_mean.copy_(torch.where(count > 0, moved, self.iou_mean))

    def extra_repr(self) -> str:
        names = {1: (), 2: ("gamma", "momentum"), 3: ("alpha", "delta", "momentum")}[self.version]
        return ", ".join(f"{name}={getattr(self, name)}" for name in ("version", *names))


@declared
class PowerfulFocus(Configured):
    """Powerful-IoU v2's multiplier ``u(lambd q)``: most attention to boxes of medium quality ``q = exp(-P)``.

    ``u(x) = 3 x exp(-x**2)``, and ``P`` the mean distance of the four edges in units of the target's sides.

    Paper: https://www.sciencedirect.com/science/article/pii/S0893608023006640.

    Args:
        lambd: Where the attention lies: at ``q = 0.71 / lambd``; 1.3 as the authors' code (their lambda).
        detach: Whether the multiplier is detached; the authors' code lets the gradient through.
    """

    symmetric = False
    most = 3 / math.sqrt(2 * math.e)
    """The largest value of ``u``, at ``1 / sqrt(2)``."""

    lambd: float = option(default=1.3, check=more_than(0))
    detach: bool = option(default=True, kw_only=True)

    @property
    def bound(self) -> float:
        """The largest multiplier."""
        reached = self.lambd >= math.sqrt(0.5)
        return self.most if reached else 3 * self.lambd * math.exp(-(self.lambd**2))

    def forward(self, pair: F.BoxPair) -> Tensor:
        return F.powerful_focus(pair, self.lambd, self.detach)

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}, detach={self.detach}"


FOCUSES: dict[str, type[nn.Module]] = {
    "IoUFocus": IoUFocus,
    "WiseFocus": WiseFocus,
    "PowerfulFocus": PowerfulFocus,
}


def build_focus(focus: Mapping | nn.Module | None) -> nn.Module | None:
    """A ``focus`` slot from its config, ``dict(type='IoUFocus', ...)``; modules and None pass through.

    The type is a name, a dotted path or a class, as it is elsewhere.
    """
    if focus is None or isinstance(focus, nn.Module):
        return focus
    options = dict(focus) if isinstance(focus, Mapping) else {}
    kind = named(options.pop("type", None), FOCUSES)
    if kind is None or not issubclass(kind, nn.Module) or issubclass(kind, Loss):
        raise OptionError(f"focus must be None or dict(type=...) with a type of {', '.join(FOCUSES)}, got {focus!r}.")
    return kind(**options)


def of_focus(name: str) -> Any:
    """An option of a loss that is one of its ``focus``."""

    def held(loss: Any) -> Any:
        return getattr(loss.focus, name)

    def hold(loss: Any, value: Any) -> None:
        setattr(loss.focus, name, value)

    return property(held, hold, doc=f"``{name}`` of the focus.")
