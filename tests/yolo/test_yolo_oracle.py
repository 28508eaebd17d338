"""Every term of every objective against plain loops over cells, anchors and classes, value and gradient."""

import pytest
import torch
from cases.composite import COMPOSITE_CASES, SCENES, drawn_truths, over_composites
from oracle.dual import Dual, freeze

DRAWN = {f"drawn {count}": drawn_truths(torch.Generator().manual_seed(count), count) for count in (1, 2, 3, 5, 8, 13)}
ALL_SCENES = SCENES | DRAWN


def as_tensor(truths: list) -> torch.Tensor:
    return torch.tensor(truths, dtype=torch.float64).reshape(1, len(truths), 5)


def reference(case, maps, truths, with_gradient: bool):
    """Terms, and their gradients by all entries of the maps, of one image."""
    flat = torch.cat([one.flatten() for one in maps])
    n = len(flat)
    values = flat.tolist()
    if with_gradient:
        values = [Dual(x, [float(i == j) for j in range(n)]) for i, x in enumerate(values)]
    numbers = iter(values)
    nested = [
        [[[next(numbers) for _ in range(one.shape[3])] for _ in range(one.shape[2])] for _ in range(one.shape[1])]
        for one in maps
    ]
    terms = case.reference(nested, truths)
    found = {name: freeze(term) for name, term in terms.items()}
    gradients = {
        name: torch.tensor(term.grad if isinstance(term, Dual) else [0.0] * n, dtype=torch.float64)
        for name, term in terms.items()
    }
    return found, gradients


@pytest.mark.parametrize("scene", ALL_SCENES)
@over_composites()
def test_every_term(case, scene):
    for seed, spread in ((1, 1.0), (2, 0.2), (3, 3.0)):
        maps = case.maps(1, seed, spread)
        terms = case.build()(case.pred(maps), as_tensor(ALL_SCENES[scene]), return_dict=True)
        expected, _ = reference(case, maps, ALL_SCENES[scene], with_gradient=False)
        assert set(terms) == set(expected)
        for name, value in terms.items():
            assert value.item() == pytest.approx(expected[name], rel=1e-9, abs=1e-12), (name, seed)
        total = case.build()(case.pred(maps), as_tensor(ALL_SCENES[scene]))
        assert total.item() == pytest.approx(sum(expected.values()), rel=1e-9, abs=1e-12)


GRADIENT_SCENES = ["one object", "two objects in a cell", "two objects of one anchor", "centre outside of the image"]


@pytest.mark.parametrize("scene", [*GRADIENT_SCENES, "drawn 3"])
@over_composites()
def test_gradient_of_every_term(case, scene):
    maps = [one[:, :, :2, :2].contiguous() for one in case.maps(1, 5)]
    truths = ALL_SCENES[scene]
    _, expected = reference(case, maps, truths, with_gradient=True)
    leaves = [one.clone().requires_grad_() for one in maps]
    terms = case.build()(case.pred(leaves), as_tensor(truths), return_dict=True)
    for name, value in terms.items():
        # a term of one level's rows has no gradient by the maps of others
        gradients = torch.autograd.grad(value, leaves, retain_graph=True)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.testing.assert_close(flat, expected[name], rtol=1e-9, atol=1e-11)


@over_composites([case for case in COMPOSITE_CASES if not case.frozen])
def test_gradient_by_differences(case):
    """Where no IoU is a target and no factor a constant, the gradient is that of the value."""
    truths = as_tensor(DRAWN["drawn 5"])
    leaves = [one.requires_grad_() for one in case.maps(1, 7)]
    loss = case.build()
    assert torch.autograd.gradcheck(lambda *maps: loss(case.pred(list(maps)), truths), leaves, atol=1e-6)


def test_scenes_show_what_they_are_for():
    """Some scene has each kind of what the reference tells apart, in the rows of the small grids."""
    from cases.composite import ANCHORS, SHAPES, STRIDES
    from oracle import yolo

    sizes = [[[[0.0] * width] * height] for height, width in SHAPES]
    shared, several = set(), set()
    for name, truths in ALL_SCENES.items():
        found = yolo.assigned(sizes, truths, ANCHORS, STRIDES)
        shared |= {name for objects in found.values() if len(objects) > 1}
        above = yolo.assigned(sizes, truths, ANCHORS, STRIDES, 0.213)
        several |= {name for _ in [0] if len(above) > len(found)}
    assert "two objects of one anchor" in shared
    assert several
    assert len(yolo.objects(SCENES["no area"])) == 1
