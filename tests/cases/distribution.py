"""Losses of distributions."""

from __future__ import annotations

from oracle import distribution

from .case import Case
from .draw import draw_bins

DFL_CASES = [Case("DistributionFocalLoss", draw_bins, True, lambda p, t: [distribution.dfl(p, t)], kind="dfl")]
