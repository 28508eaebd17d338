"""A compiler for tests: counts the graphs of a loss, over batches of every size."""

import pytest
import torch
from torch import Tensor

# the first is no number of columns, which the compiler would take for the same
SIZES = [11, 0, 1, 2, 3, 17, 64, 5, 129, 33]


class Counting:
    """A compiler that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]):
        self.graphs += 1
        return graph.forward


@pytest.fixture
def fresh_compiler():
    """Nothing compiled before the test, and nothing left after it."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
