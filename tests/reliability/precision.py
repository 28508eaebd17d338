"""Half and bfloat16."""

from __future__ import annotations

import torch
from cases import Case, cast
from cases.regimes import REGIMES, draw_boxes

from .core import Tally, measured, value_and_gradient
from .facts import always, by_row
from .inputs import regimes

LOW = (torch.float16, torch.bfloat16)


@measured(
    21,
    "low precision",
    "equal to the bit to float32 at the same rounded input, also under autocast and with a float32 target",
    always,
)
def low_precision(case: Case, scale: int, tally: Tally) -> None:
    for dtype in LOW:
        for regime, pred, target in regimes(case, 40 * scale, 21, [*REGIMES, draw_boxes]):
            held = by_row(pred.to(dtype).isfinite()).all(1)
            for x in target if isinstance(target, tuple) else (target,):
                if x.is_floating_point():
                    held &= x.to(dtype).isfinite().reshape(len(x), -1).all(1)
            pred, target = pred[held].to(dtype), select(target, held)
            single = cast(target, torch.float32)
            for what, given, same in (
                ("both", cast(target, dtype), cast(cast(target, dtype), torch.float32)),
                ("target float32", single, single),
            ):
                expected, slope = value_and_gradient(case, pred.float(), same)
                for autocast in (False, True):
                    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
                        value, gradient = value_and_gradient(case, pred, given)
                    name = f"{dtype}, {what}, {regime}{', autocast' if autocast else ''}"
                    tally.equal(name, value, expected)
                    both = gradient == slope.to(dtype)
                    tally.holds(f"gradient, {name}", both | (gradient.isnan() & slope.to(dtype).isnan()))


def select(target, held):
    return tuple(x[held] for x in target) if isinstance(target, tuple) else target[held]
