"""MMDetection's own losses beside those of this package: ``mmdet_losses.stock.CIoULoss``."""

from __future__ import annotations

from typing import Any

from tool_runtime.errors import ToolError
from torch import Tensor, nn

from mmdet_losses.registry import stock

from .choice import SCOPE, Chosen, from_config, read, written
from .examples import choose_to_look

STOCK = f"{SCOPE}stock."


class AsTrained(nn.Module):
    """A loss that computes in float32: what MMDetection's losses do there is part of what they are."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, pred: Tensor, target: Tensor, **call: Any) -> Tensor:
        try:
            return self.loss(pred.float(), target.float(), **call).double()
        except TypeError as error:
            raise ValueError(f"it is called otherwise than the others: {error}") from None


class StockChosen(Chosen):
    """MMDetection's class of a name that this package has, too; the facts are those of this package's."""

    @property
    def label(self) -> str:
        return f"MMDetection's {super().label}"

    @property
    def line(self) -> str:
        return written({"type": STOCK + self.name, **self.options})

    def build(self, **options: Any) -> nn.Module:
        try:
            return AsTrained(stock(self.name)(**{**self.options, **options}))
        except (ValueError, TypeError, KeyError) as error:
            raise ToolError(f"{self.line}: {error}") from None


def choose_with_stock(text: str) -> Chosen:
    """Read a loss as :func:`.examples.choose_to_look` does, or one of MMDetection's.

    Raises:
        ToolError: As there, and where MMDetection has no loss of the name, or is not installed.
    """
    if STOCK not in text:
        return choose_to_look(text)
    config = {"type": text.strip()} if text.strip().replace(".", "").isidentifier() else read(text)
    if not isinstance(config, dict) or not str(config.get("type")).startswith(STOCK):
        return choose_to_look(text)
    plain = from_config({**config, "type": config["type"].removeprefix(STOCK)})
    chosen = StockChosen(plain.name, plain.options)
    chosen.build()
    return chosen
