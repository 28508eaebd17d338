"""A compiler for tests: counts the graphs of a loss, over batches of every size."""

import gc

import pytest
import torch
from torch import Tensor

from .case import Case

# the first is no number of columns, which the compiler would take for the same
SIZES = [11, 0, 1, 2, 3, 17, 64, 5, 129, 33]


def sizes(case: Case, cases: list[Case]) -> list[int]:
    """All of them for the first form of a loss; its other forms have 0 or 1, in turn.

    Each of the two is a graph of its own, which takes as long to trace as that of all the others.
    """
    place = [one.id for one in cases if one.name == case.name].index(case.id)
    return [n for n in SIZES if not place or n != place % 2]


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
    gc.freeze()  # the compiler and what it imports late: it collects garbage for every graph
    yield
    torch._dynamo.reset()
