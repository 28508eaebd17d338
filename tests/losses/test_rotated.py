"""Losses of rotated boxes: check values, boxes that are the same, extremes in float32, and the deltas of KFIoU."""

from __future__ import annotations

import math

import pytest
import torch
from cases import ROTATED_CASES, one_per_class, over, run
from cases.rotated import as_rotated, draw_rotated
from oracle import rotated
from oracle.dual import value_and_grad
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F
from mmdet_losses.functional.rotated import FAR, bounded, rotated_pair
from mmdet_losses.functional.rotated_gaussian import excess

FAR_32 = torch.tensor(FAR).item()
"""As float32 has it."""

PAIRS = {
    "R1": ([0, 0, 10, 4, 0], [1, 1, 10, 4, 0.3]),
    "R2": ([0, 0, 10, 4, 0.2], [0, 0, 10, 4, 0.2]),
    "R3": ([0, 0, 6, 6, 0.5], [2, 1, 8, 4, -0.4]),
    "R4": ([0, 0, 10, 10, 0], [20, 20, 10, 10, 0]),
    "R5": ([1, 2, 8, 3, 1], [2, 2, 6, 5, 0.7]),
}
PLAIN = dict(fun="none", tau=0.0)
KLD, JD = PLAIN | {"sqrt": False}, PLAIN | {"sqrt": False}
GWD = PLAIN | {"normalize": False}

# name, options, the scalar reference, values on R1 to R5
VALUES = [
    (
        "RotatedIoULoss",
        {"mode": "linear"},
        rotated.rotated_iou,
        (1 - 0.5296238922, 0, 1 - 0.3756661771, 1, 1 - 0.4817057052),
    ),
    ("ProbIoULoss", {}, rotated.probiou, (0.3426348533, 0, 0.5020713924, 0.9999969279, 0.3823482108)),
    ("KLDLoss", KLD, rotated.kld, (0.3375674846, 0, 0.5066719245, 16, 0.6593322547)),
    ("KLDLoss", {"sqrt": False}, rotated.kld, (0.2253182447, 0, 0.2907314462, 0.7391222689, 0.33617242)),
    ("KLDLoss", {}, rotated.kld, (0.3141576795, 0, 0.3496149231, 0.6167757067, 0.3728155228)),
    ("GWDLoss", GWD, rotated.gwd, (1.828555318, 0, 2.645751311, 28.28427125, 1.791750272)),
    ("GWDLoss", {}, rotated.gwd, (0.2025262696, 0, 0.2724160722, 0.5730972817, 0.2290252034)),
    ("JDLoss", JD, rotated.jd, (0.3079237547, 0, 0.6111468875, 16, 0.5232092084)),
    (
        "KFIoULoss",
        {},
        rotated.kfiou,
        (1 - 0.313662239, 2 / 3, 1 - 0.3070730982, 2 / 3, 1 - 0.2935079463),
    ),
]
# d loss / d (cx, cy, w, h, angle) on R5
GRADIENTS = [
    ("ProbIoULoss", {}, (-0.1503836988, 0.0590319742, 0.0194668060, -0.1012521856, 0.0963095101)),
    ("KLDLoss", KLD, (-0.3329447085, 0.1736505502, 0.0542831010, -0.7330721404, 0.4701858772)),
    ("KFIoULoss", {}, (0, 0, 0.0043877297, -0.0376369898, 0.0187807071)),
    ("RotatedIoULoss", {"mode": "linear"}, (-0.1130433365, 0.0477500076, 0.0292038958, -0.0891424065, 0.1252244082)),
    # that of the square, which is the check value, is 2 d times that of d
    ("GWDLoss", GWD, tuple(x / (2 * 1.791750272) for x in (-2, 0, 1.041234142, -1.039834702, 1.36470408))),
]


def tensor(x, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(x, dtype=dtype)


def both(pairs) -> tuple[Tensor, Tensor]:
    return tuple(tensor([pair[i] for pair in pairs]) for i in range(2))


@pytest.mark.parametrize(("name", "options", "reference", "values"), VALUES)
def test_check_values(name, options, reference, values):
    loss = getattr(ml, name)(reduction="none", **options)
    assert loss(*both(PAIRS.values())).tolist() == pytest.approx(values, rel=1e-8, abs=1e-9)
    # the reference's root of what rounding leaves of a 0
    named = [reference(p, t, **options) for p, t in PAIRS.values()]
    assert named == pytest.approx(values, rel=1e-8, abs=3e-8)
    assert loss(*both([PAIRS["R2"]])).item() == (values[1] if name != "KFIoULoss" else pytest.approx(2 / 3, abs=1e-16))


@pytest.mark.parametrize(("name", "options", "gradient"), GRADIENTS)
def test_check_gradients(name, options, gradient):
    pred, target = both([PAIRS["R5"]])
    reference = {name: reference for name, _, reference, _ in VALUES}[name]
    _, found = run(getattr(ml, name)(reduction="none", **options), pred, target)
    assert found[0].tolist() == pytest.approx(gradient, rel=1e-7, abs=1e-8)
    exact = value_and_grad(lambda x: reference(x, PAIRS["R5"][1], **options), PAIRS["R5"][0])[1]
    assert exact == pytest.approx(gradient, rel=1e-7, abs=1e-8)


@over(ROTATED_CASES)
def test_angles_of_the_same_box(case):
    """Half turns, and a right angle with width and height exchanged: le90, le135 and oc describe the same boxes."""
    pred, target = case.batch(60, torch.float64)
    expected, slope = run(case.build(reduction="none"), pred, target)
    for turns in (-3, -2, 1, 2, 4):
        for moved in (0, 1):
            boxes = [pred.clone(), target.clone()]
            boxes[moved][:, 4] += turns * math.pi
            value, gradient = run(case.build(reduction="none"), *boxes)
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9)
    for turns in (-1, 1):
        for moved in (0, 1):
            boxes = [pred.clone(), target.clone()]
            boxes[moved] = boxes[moved][:, [0, 1, 3, 2, 4]]
            boxes[moved][:, 4] += turns * math.pi / 2
            value, gradient = run(case.build(reduction="none"), *boxes)
            gradient = gradient if moved else gradient[:, [0, 1, 3, 2, 4]]
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9)


def shapes(dtype: torch.dtype) -> Tensor:
    """Boxes of every size and shape, at every angle."""
    g = torch.Generator().manual_seed(1)
    sizes = 10 ** (torch.rand(300, 2, generator=g, dtype=torch.float64) * 9 - 3)
    place = torch.rand(300, 3, generator=g, dtype=torch.float64) * torch.tensor([1e3, 1e3, 20.0]) - 10
    drawn = torch.cat([place[:, :2], sizes, place[:, 2:]], 1)
    return torch.cat([drawn, tensor([[5, 5, 1000, 0.001, 0.7], [5, 5, 7, 7, 0.7], [0, 0, 1e-3, 1e6, -2]])]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@over([case for case in ROTATED_CASES if case.build().best == 0 or case.name == "KFIoULoss"])
def test_a_perfect_match_is_exact(case, dtype):
    """0, and a gradient of 0, also where the root's is not defined."""
    boxes = shapes(dtype)
    value, gradient = run(case.build(reduction="none"), boxes, boxes)
    if case.name == "KFIoULoss":
        torch.testing.assert_close(value, torch.full_like(value, case.build().best))
    else:
        assert (value == 0).all()
    assert (gradient == 0).all()


@over(ROTATED_CASES)
def test_squares_have_no_angle(case):
    """Gaussians of squares are circles; the overlap of squares does know the angle."""
    square = tensor([[0, 0, 6, 6, 0.5], [3, 1, 20, 20, -1.1]])
    _, gradient = run(case.build(reduction="none"), square, draw_rotated(torch.Generator().manual_seed(0), 2)[1])
    assert ((gradient[:, 4] == 0) | (case.name == "RotatedIoULoss")).all()


# prediction and target: thin, thin across, nearly equal, tiny beside huge, and far
HARD = [
    ([0, 0, 1000, 1e-3, 0.3], [10, 3, 900, 2e-3, 0.31]),
    ([0, 0, 1000, 1e-3, 0.3], [1, 2, 1e-3, 800, 0.5]),
    ([50, 60, 30, 20, 0.3], [50.0001, 60, 30, 20, 0.3]),
    ([50, 60, 30, 20, 0.3], [50, 60, 30.0001, 20, 0.3]),
    ([50, 60, 30, 20, 0.3], [50, 60, 30, 20, 0.30001]),
    ([50, 60, 1e-3, 2e-3, 0.3], [50, 60, 3e3, 2e3, 1.3]),
    ([0, 0, 30, 20, 0.3], [1e6, -1e6, 30, 20, 1.3]),
]


def distances(p: list[float], t: list[float]) -> dict[str, float]:
    """Bhattacharyya, KLD, JD, squared GWD and KFIoU by matrices, in 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):

        def covariance(box):
            c, s = mpmath.cos(box[4]), mpmath.sin(box[4])
            turn = mpmath.matrix([[c, -s], [s, c]])
            return turn * mpmath.diag([mpmath.mpf(box[2]) ** 2 / 4, mpmath.mpf(box[3]) ** 2 / 4]) * turn.T

        def kld(of, other, offset):
            inner = other**-1 * of
            ratio = mpmath.log(mpmath.det(other) / mpmath.det(of))
            return ((offset.T * other**-1 * offset)[0] + inner[0, 0] + inner[1, 1] + ratio) / 2 - 1

        s, u = covariance(p), covariance(t)
        offset = mpmath.matrix([mpmath.mpf(p[i]) - mpmath.mpf(t[i]) for i in range(2)])
        area, other_area = 4 * mpmath.sqrt(mpmath.det(s)), 4 * mpmath.sqrt(mpmath.det(u))
        common = 4 * mpmath.sqrt(mpmath.det(s) * mpmath.det(u) / mpmath.det(s + u))
        shape = mpmath.log(mpmath.det(s + u) / (4 * mpmath.sqrt(mpmath.det(s) * mpmath.det(u)))) / 2
        product = s * u
        coupled = mpmath.sqrt(product[0, 0] + product[1, 1] + 2 * mpmath.sqrt(mpmath.det(product)))
        squared = (offset.T * offset)[0] + s[0, 0] + s[1, 1] + u[0, 0] + u[1, 1] - 2 * coupled
        first, second = kld(u, s, offset), kld(s, u, offset)
        found = {
            "probiou": (offset.T * (s + u) ** -1 * offset)[0] * 3 / 4 + shape,
            "kld": first,
            "target": second,
            "jd": (first + second) / 2,
            "gwd": mpmath.sqrt(squared),
            "kfiou": -mpmath.log(common / (area + other_area - common)),
        }
        return {name: float(value) for name, value in found.items()}


DISTANCES = {
    "probiou": lambda p, t: F.probiou_loss(p, t, mode="l2"),
    "kld": lambda p, t: F.kld_loss(p, t, **KLD),
    "target": lambda p, t: F.kld_loss(p, t, **KLD, order="target"),
    "jd": lambda p, t: F.jd_loss(p, t, **JD),
    "gwd": lambda p, t: F.gwd_loss(p, t, **GWD),
    "kfiou": lambda p, t: F.kfiou_loss(p, t, fun="ln"),
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-2)], ids=str)
@pytest.mark.parametrize("pair", HARD, ids=lambda pair: str(pair[0]))
def test_hard_pairs_have_their_digits(pair, dtype, tolerance):
    """Against 60 digits, at the same rounded boxes. In float32 a thin box turns by more than it is thin."""
    pred, target = (tensor([box], dtype) for box in pair)
    exact = distances(pred[0].tolist(), target[0].tolist())
    for name, function in DISTANCES.items():
        value, gradient = run(lambda p, t, function=function: function(p, t), pred, target)
        assert value.item() == pytest.approx(exact[name], rel=tolerance, abs=1e-30), name
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@over(ROTATED_CASES)
def test_boxes_without_area(case, dtype):
    """Of size 0 in one or both directions, and below: finite value and gradient, with one scale for all of them."""
    empty = [[0, 0, 0, 0, 0.3], [1, 2, 0, 5, 0.3], [1, 2, 5, 0, 0.3], [1, 2, -5, 3, 0.3], [1, 2, -5, -3, 2.0]]
    whole = [[1, 2, 5, 3, 0.3], [4, 4, 6, 6, 0.0]]
    pairs = [(p, t) for p in empty for t in whole + empty] + [(p, t) for p in whole for t in empty]
    pred, target = (tensor([pair[i] for pair in pairs], dtype) for i in range(2))
    value, gradient = run(case.build(reduction="none"), pred, target)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    clamped = [x.clone() for x in (pred, target)]
    for x in clamped:
        x[:, 2:4].clamp_(min=0)
    assert torch.equal(case.build(reduction="none")(*clamped), value)


@pytest.mark.parametrize("x", [0.0, 1e-9, -1e-5, 0.03, -0.0999, 0.1001, -0.3, 2.0, -30.0, 40.0])
def test_exponential_without_its_line_has_all_digits(x):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        exact, slope = float(mpmath.expm1(x) - x), float(mpmath.expm1(x))
    value, gradient = run(lambda leaf, _: excess(leaf), tensor([x]), tensor([0.0]))
    assert value.item() == pytest.approx(exact, rel=5e-14, abs=0)
    assert gradient.item() == pytest.approx(slope, rel=5e-13, abs=0)


def test_a_side_counts_as_a_share_of_the_longest():
    """KLD of a point from a box of 10 by 10, whose sides count as 1e-8: the log of 1e9 is in it."""
    target = tensor([[0, 0, 10, 10, 0]])
    expected = 1e18 - 2 * math.log(1e9) - 1
    assert F.kld_loss(tensor([[0, 0, 0, 0, 0]]), target, **KLD).item() == pytest.approx(expected, rel=1e-12)
    # where there is no side at all, points are compared as boxes of 1 by 1
    apart = F.kld_loss(tensor([[3, 4, 0, 0, 0]]), tensor([[0, 0, 0, 0, 0]]), **KLD)
    assert apart.item() == pytest.approx(2 * 25)


def test_overlap_is_that_of_polygons():
    """Of another library, in every position."""
    shapely = pytest.importorskip("shapely")
    g = torch.Generator().manual_seed(4)
    pred, target = draw_rotated(g, 600)
    other = torch.rand(600, 5, generator=g, dtype=torch.float64) * torch.tensor([300.0, 300, 200, 200, 6])
    # inside, outside, equal but turned, aligned
    turned = torch.cat([target[:50, :4], target[:50, 4:] + 1], 1)
    aligned = torch.cat([other[:50, :4], torch.zeros(50, 1)], 1), torch.cat([target[:50, :4], torch.zeros(50, 1)], 1)
    pred, target = torch.cat([pred, other, turned, aligned[0]]), torch.cat([target, target, target[:50], aligned[1]])
    outlines = [[shapely.Polygon(rotated.corners(box)) for box in boxes.tolist()] for boxes in (pred, target)]
    common = tensor([p.intersection(t).area for p, t in zip(*outlines, strict=True)])
    union = tensor([p.union(t).area for p, t in zip(*outlines, strict=True)])
    torch.testing.assert_close(F.rotated_iou(pred, target), common / union, rtol=1e-9, atol=1e-12)
    assert 100 < (common == 0).sum() < 700
    disjoint = F.rotated_iou(pred, target)[common == 0]
    assert (disjoint == 0).all()
    assert torch.allclose(F.rotated_iou(pred.float(), target.float()).double(), common / union, rtol=0, atol=1e-6)


def test_overlap_is_never_more_than_all():
    """Of boxes that are equal up to rounding, described in other ways."""
    boxes, _ = draw_rotated(torch.Generator().manual_seed(4), 20_000)
    same = boxes[:, [0, 1, 3, 2, 4]]
    same[:, 4] += math.pi / 2
    for dtype in (torch.float32, torch.float64):
        iou = F.rotated_iou(boxes.to(dtype), same.to(dtype))
        assert iou.max() <= 1
        assert iou.min() > 1 - 1e4 * torch.finfo(dtype).eps


def test_overlap_of_upright_boxes_is_the_iou():
    g = torch.Generator().manual_seed(2)
    boxes = [torch.randint(0, 60, (400, 2), generator=g).double() for _ in range(2)]
    boxes = [torch.cat([low, low + torch.randint(1, 60, (400, 2), generator=g)], 1) for low in boxes]
    for mode in ("linear", "square", "log"):
        leaves = [boxes[0].clone().requires_grad_() for _ in range(2)]
        plain = ml.IoULoss(mode=mode, reduction="none")(leaves[0], boxes[1])
        turned = ml.RotatedIoULoss(mode=mode, reduction="none")(as_rotated(leaves[1]), as_rotated(boxes[1]))
        torch.testing.assert_close(turned, plain, rtol=1e-12, atol=1e-13)
        plain.sum().backward()
        turned.sum().backward()
        # where sides coincide or touch, other means of two slopes are as right
        apart = (boxes[0][:, :, None] != boxes[1][:, None, :]).flatten(1).all(1)
        assert apart.sum() > 100
        torch.testing.assert_close(leaves[1].grad[apart], leaves[0].grad[apart], rtol=1e-9, atol=1e-12)


def test_boxes_in_more_axes():
    for case in one_per_class():
        if case.kind == "rotated":
            pred, target = case.batch(6)
            rows = case.build(reduction="none")(pred, target)
            shaped = case.build(reduction="none")(pred.reshape(2, 3, 5), target.reshape(2, 3, 5))
            assert torch.equal(shaped, rows.reshape(2, 3))


def test_weight_of_five_columns_for_many_rows():
    """More than are averaged in one step."""
    n = 40_000
    g = torch.Generator().manual_seed(0)
    pred, target = (x.float() for x in draw_rotated(g, n))
    weight = torch.rand(n, 5, generator=g)
    expected = ml.KLDLoss()(pred, target, weight.mean(1), avg_factor=7.0)
    torch.testing.assert_close(ml.KLDLoss()(pred, target, weight, avg_factor=7.0), expected, rtol=1e-5, atol=0)


def test_orders_and_names_of_the_same_loss():
    pred, target = draw_rotated(torch.Generator().manual_seed(0), 50)
    first, second = F.kld_loss(pred, target), F.kld_loss(target, pred)
    assert torch.equal(F.kld_loss(pred, target, order="target"), second)
    assert torch.equal(F.kld_loss(pred, target, order="max"), torch.maximum(first, second))
    assert torch.equal(F.kld_loss(pred, target, order="min"), torch.minimum(first, second))
    options = dict(fun="sqrt", tau=1.0, alpha=1.3, reduction="none")
    for loss_type, named in {
        "gwd": ml.GWDLoss(normalize=False, **options),
        "kld": ml.KLDLoss(sqrt=False, **options),
        "jd": ml.JDLoss(sqrt=False, **options),
        "kld_symmax": ml.KLDLoss(sqrt=False, order="max", **options),
        "kld_symmin": ml.KLDLoss(sqrt=False, order="min", **options),
    }.items():
        loss = ml.GDLoss(loss_type, sqrt=False, normalize=False, **options)
        assert torch.equal(loss(pred, target), named(pred, target)), loss_type
        assert loss.symmetric is named.symmetric
        assert loss.scale_invariant is named.scale_invariant
    assert ml.KFLoss is ml.KFIoULoss


@over(ROTATED_CASES)
def test_symmetry_is_as_the_object_says(case):
    pred, target = case.batch(100, torch.float64)
    loss = case.build(reduction="none")
    assert torch.allclose(loss(pred, target), loss(target, pred), rtol=1e-9, atol=1e-12) is loss.symmetric


def test_share_of_the_distance_and_functions_of_it():
    """Equal boxes 4 apart: alpha divides the offset's part of a divergence by its square, and a root is a root."""
    pred = torch.tensor([[0.0, 0, 6, 2, 0.3]], dtype=torch.float64)
    target = pred + torch.tensor([4.0, 0, 0, 0, 0])
    plain = {"fun": "none", "tau": 0.0, "sqrt": False}
    for loss in (F.kld_loss, F.jd_loss):
        whole, quarter = (loss(pred, target, alpha=alpha, **plain) for alpha in (1.0, 2.0))
        torch.testing.assert_close(quarter, whole / 4)
    found = F.gwd_loss(pred, target, fun="sqrt", tau=0.0, normalize=False)
    assert found.item() == pytest.approx(2.0)
    jeffreys = F.gaussian_distance_loss(pred, target, loss_type="jd", tau=3.0)
    assert torch.equal(jeffreys, F.jd_loss(pred, target, tau=3.0))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("turn", [0.0, math.pi / 2])
def test_boxes_that_one_side_alone_separates(swap, turn):
    """A box turned by 30 degrees above a wide one: the projections reach (2 + 4 sin 30 + 3 cos 30) / 2 = 3.299."""
    away = 3.4
    wide = torch.tensor([[0.0, 0, 10, 2, turn]], dtype=torch.float64)
    centre = [-away * math.sin(turn), away * math.cos(turn)]
    turned = torch.tensor([[*centre, 4, 3, turn + math.pi / 6]], dtype=torch.float64)
    pred, target = (wide, turned) if swap else (turned, wide)
    pred.requires_grad_()
    overlap = F.rotated_iou(pred, target)
    assert overlap.item() == 0
    assert torch.autograd.grad(overlap.sum(), pred)[0].count_nonzero() == 0


def test_distances_are_bounded_on_both_sides():
    boxes = torch.tensor([[1e30, -1e30, 2, 1, 0], [0, 0, 2, 1, 0]])
    there, back = (
        pair.offset for pair in (rotated_pair(boxes, boxes.flip(0)), rotated_pair(boxes, boxes.flip(0), 4.0))
    )
    assert torch.stack(there).tolist() == [[FAR_32, -FAR_32], [-FAR_32, FAR_32]]
    assert torch.stack(back).tolist() == [[4, -4], [-4, 4]]
    assert bounded(torch.tensor([-1e30, 3.0, 1e30])).tolist() == [-FAR_32, 3, FAR_32]


def test_linear_is_deprecated():
    with pytest.warns(DeprecationWarning, match="mode='linear'"):
        assert ml.RotatedIoULoss(linear=True).mode == "linear"


# KFIoU of deltas and boxes, as MMRotate's heads pass them
def deltas(n: int = 6) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(3)
    return (*torch.randn(2, n, 5, generator=g, dtype=torch.float64) * 0.2, *draw_rotated(g, n))


def test_kfiou_of_deltas_adds_the_centre():
    """Smooth L1 of the first two deltas: x**2 / (2 beta) below beta = 1/9, else |x| - beta / 2."""
    pred, target, boxes, target_boxes = deltas()

    def smooth(x: float) -> float:
        return 4.5 * x * x if abs(x) < 1 / 9 else abs(x) - 1 / 18

    rows = zip(*(x.tolist() for x in (pred, target, boxes, target_boxes)), strict=True)
    expected = [smooth(p[0] - t[0]) + smooth(p[1] - t[1]) + rotated.kfiou(b, u, "ln") for p, t, b, u in rows]
    leaves = [pred.clone().requires_grad_(), boxes.clone().requires_grad_()]
    decoded = dict(pred_decode=leaves[1], targets_decode=target_boxes)
    loss = ml.KFIoULoss(fun="ln", reduction="none")(leaves[0], target, **decoded)
    assert loss.tolist() == pytest.approx(expected, rel=1e-12)
    loss.sum().backward()
    assert (leaves[0].grad[:, :2] != 0).all() and (leaves[0].grad[:, 2:] == 0).all()
    assert (leaves[1].grad[:, :2] == 0).all() and (leaves[1].grad[:, 2:] != 0).all()
    wide = ml.KFIoULoss(fun="ln", beta=100.0, reduction="none")(pred, target, **decoded)
    assert (wide < loss).all()
    shaped = [x.reshape(2, 3, 5) for x in (pred, target, boxes, target_boxes)]
    value = ml.KFIoULoss(fun="ln", reduction="none")(*shaped[:2], pred_decode=shaped[2], targets_decode=shaped[3])
    assert torch.equal(value, loss.reshape(2, 3))


def test_kfiou_of_deltas_keeps_the_contract():
    pred, target, boxes, target_boxes = deltas()
    weight = tensor([1.0, 0.0, 0.5, 2.0, 0.0, 1.0])
    decoded = dict(pred_decode=boxes, targets_decode=target_boxes)
    plain = ml.KFIoULoss(reduction="none")(pred, target, **decoded)
    total = (plain * weight).sum()
    junk = [x.masked_fill((weight == 0)[:, None], torch.nan) for x in (pred, target, boxes, target_boxes)]
    pair = dict(pred_decode=junk[2], targets_decode=junk[3])
    for given in (weight, weight[:, None], weight[:, None].expand(-1, 5)):
        value = ml.KFIoULoss(loss_weight=3.0)(*junk[:2], given, avg_factor=4, **pair)
        torch.testing.assert_close(value, 3 * total / 4)
    value, gradient = run(lambda x, t: ml.KFIoULoss()(x, t, weight, 2.0, "mean", **pair), *junk[:2])
    assert (gradient[weight == 0] == 0).all()
    assert gradient.isfinite().all()
    rows = ml.KFIoULoss()(pred, target, weight, reduction_override="none", **decoded)
    assert torch.equal(rows, plain * weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = ml.KFIoULoss(fused=True)(
            *(x.bfloat16() for x in (pred, target)), **{k: v.float() for k, v in decoded.items()}
        )
    assert low.dtype == torch.float32
    with pytest.raises(ValueError, match="avg_factor"):
        ml.KFIoULoss(reduction="sum")(pred, target, avg_factor=2, **decoded)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pred_decode": torch.ones(6, 5)}, "targets_decode must hold the boxes .* got NoneType: pred_decode and"),
        ({"targets_decode": torch.ones(6, 5)}, "pred_decode must hold the boxes .* got NoneType"),
        ({"pred_decode": torch.ones(5, 5), "targets_decode": torch.ones(5, 5)}, r"pred_decode .* got \(5, 5\)"),
        ({"pred_decode": torch.ones(6, 5), "targets_decode": torch.ones(6, 4)}, r"targets_decode .* got \(6, 4\)"),
        (
            {"pred_decode": torch.ones(6, 5).long(), "targets_decode": torch.ones(6, 5)},
            "pred_decode must be a floating",
        ),
    ],
)
def test_kfiou_of_deltas_that_do_not_fit(given, said):
    with pytest.raises(ValueError, match=said):
        ml.KFIoULoss()(torch.ones(6, 5), torch.ones(6, 5), **given)


def test_four_columns_say_what_they_are():
    for case in one_per_class():
        if case.kind == "rotated":
            with pytest.raises(
                ValueError, match=r"pred must hold rotated boxes.*\(3, 4\).*choose a loss such as GIoULoss"
            ):
                case.build()(torch.ones(3, 4), torch.ones(3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("digits", range(6, 42, 4))
def test_sides_that_are_nearly_parallel(dtype: torch.dtype, digits: int) -> None:
    """The gradient divides by a rise twice; ever smaller ones lead to the gradient of parallel sides."""
    gradients = []
    for angle in (0.0, 10.0**-digits):
        pred = torch.tensor([[0.4, 0.3, 4.0, 2.0, angle]], dtype=dtype, requires_grad=True)
        F.rotated_iou(pred, torch.tensor([[0.0, 0.0, 3.0, 2.5, 0.0]], dtype=dtype)).backward()
        gradients.append(pred.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=2e-3)  # a rise of about eps is rounded
