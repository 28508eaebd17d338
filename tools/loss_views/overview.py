"""The picture of the first page: what losses say of a box that slides off its target."""

from __future__ import annotations

from matplotlib.figure import Figure

from mmdet_losses.registry import missing

from .choice import Chosen
from .pictures import curves_picture
from .stock_choice import StockChosen

OURS = (Chosen("IoULoss", {"mode": "linear"}), Chosen("GIoULoss"), Chosen("SIoULoss"))
STOCK = (StockChosen("SIoULoss"), StockChosen("CIoULoss"))
"""Falls as boxes move apart; is not a number at a perfect match."""
PATHS = ("away",)
SIZE = (5.0, 4.9)
"""Inches: as narrow as a telephone shows it legibly."""


def overview_picture(figure: Figure | None = None) -> Figure:
    """Losses of boxes while a box slides off, and MMDetection's own where it is installed."""
    chosen = (*OURS, *(() if missing() else STOCK))
    return curves_picture(chosen, PATHS, size=SIZE, figure=figure)
