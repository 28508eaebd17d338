"""The YOLO objectives on a GPU."""

from __future__ import annotations

import torch
from cases.composite import COMPOSITE_CASES, over_composites, run
from on_gpu import DEVICE, no_waiting


@over_composites(COMPOSITE_CASES)
def test_value_and_gradient(case):
    maps, truths = case.batch(2)
    expected, slopes = run(case, case.build(), maps, truths)
    loss = case.build().to(DEVICE)
    maps, truths = [one.to(DEVICE) for one in maps], truths.to(DEVICE)
    value, gradients = run(case, loss, maps, truths)
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-5, atol=1e-6)
    for gradient, slope in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(gradient.cpu(), slope, rtol=1e-4, atol=1e-6)
    with no_waiting():
        run(case, loss, maps, truths)
