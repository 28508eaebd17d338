"""Every objective is one graph, for batches, entries and maps of all sizes."""

import pytest
import torch
from cases.compiler import Counting, fresh_compiler  # noqa: F401  the fixture
from cases.composite import COMPOSITE_CASES, over_composites, run

FIRST = list({case.name: case for case in reversed(COMPOSITE_CASES)}.values())
COMPILED = FIRST + [case for case in COMPOSITE_CASES if case.options.get("loss_box") == "DIoULoss"]
"""One of each class, distributions, and an anchor alone; each compilation takes seconds."""


@pytest.mark.compiler
@pytest.mark.usefixtures("fresh_compiler")
@over_composites(COMPILED)
def test_one_graph_for_all_sizes(case):
    """Batches, entries and maps of all sizes; 0 and 1 are compiled for themselves."""
    loss, backend = case.build(), Counting()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=backend)
    _, truths = case.batch(8)
    # no two sizes of the first call are equal, which the compiler would take for the same size ever after
    maps = [torch.randn(8, one.shape[1], 10 + 3 * level, 17 + 5 * level) for level, one in enumerate(case.maps(1))]
    for images, entries in ((7, 3), (2, 4), (8, 2), (0, 4), (1, 2)):
        some = [one[:images, :, images % 2 :] for one in maps]
        weight = torch.ones(images)
        weight[::3] = 0
        call = [one.contiguous() for one in some], truths[:images, :entries].contiguous(), weight
        eager, eager_grads = run(case, loss, *call)
        value, grads = run(case, compiled, *call)
        torch.testing.assert_close(value, eager, rtol=1e-5, atol=1e-6)
        for grad, other in zip(grads, eager_grads, strict=True):
            torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-6)
    assert backend.graphs <= 3
