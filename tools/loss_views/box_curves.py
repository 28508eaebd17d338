"""Losses of boxes along the paths of a predicted box."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .choice import Chosen
from .curves import Line, Panel, ready, row_sums
from .paths import Path, chosen_paths, corners

ROTATED_ASPECT = 2.0
"""Width over height of the target of rotated boxes; squares have no gradient in the angle."""
VALUE, SLOPE = "loss", "gradient norm x side"


def box_panels(chosen: Sequence[Chosen], names: Sequence[str] | None) -> tuple[Panel, ...]:
    """Panels of losses of boxes ``(x1, y1, x2, y2)``, see :data:`.paths.PATHS`."""
    return panels(chosen, chosen_paths(names, rotated=False), 1.0, corners)


def rotated_panels(chosen: Sequence[Chosen], names: Sequence[str] | None) -> tuple[Panel, ...]:
    """Panels of losses of boxes ``(cx, cy, w, h, angle)``."""
    return panels(chosen, chosen_paths(names, rotated=True), ROTATED_ASPECT, lambda boxes: boxes)


def panels(
    chosen: Sequence[Chosen], paths: Sequence[Path], aspect: float, written: Callable[[Tensor], Tensor]
) -> tuple[Panel, ...]:
    losses = {one.label: ready(one) for one in chosen}
    return tuple(
        Panel(
            path.title,
            path.x_label,
            VALUE,
            SLOPE,
            tuple(along(label, loss, path, aspect, written) for label, loss in losses.items()),
            path.log,
        )
        for path in paths
    )


def along(label: str, loss: nn.Module, path: Path, aspect: float, written: Callable[[Tensor], Tensor]) -> Line:
    """A loss along a path."""
    here, there = path.boxes(path.x, aspect)
    value, gradient = value_and_gradient(loss, written(here), written(there))
    side = (there[:, 2] * there[:, 3]).sqrt()
    return Line(label, path.x.numpy(), value.numpy(), gradient_norm(gradient, side).numpy())


def value_and_gradient(loss: nn.Module, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each pair of boxes, and its gradient with respect to the prediction."""
    pred = pred.detach().clone().requires_grad_()
    value = row_sums(loss(pred, target, reduction_override="none"))
    if not value.requires_grad:
        return value, torch.zeros_like(pred)
    (gradient,) = torch.autograd.grad(value.sum(), pred)
    return value.detach(), gradient


def gradient_norm(gradient: Tensor, side: Tensor) -> Tensor:
    """Norm of the gradient of boxes in sides of the target, which any scale leaves as it is; angles in radians."""
    return torch.cat([gradient[:, :4] * side[:, None], gradient[:, 4:]], 1).norm(dim=1)
