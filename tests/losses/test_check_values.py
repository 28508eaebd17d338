"""Published and hand-computed values, as literals, against the package and against the scalar reference.

All in float64. The values of the box losses are those without an eps, on six pairs:

A  equal size, shifted on the diagonal      D  disjoint
B  contained, IoU 0.8                       E  identical
C  IoU 0.23 with a strong aspect difference F  generic
"""

import math

import pytest
import torch
from oracle import boxes, classification, coordinates, distribution, harmonized, longtail, ranking
from oracle.dual import value_and_grad
from torch import Tensor

import mmdet_losses as ml

PAIRS = {
    "A": ([0, 0, 10, 10], [5, 5, 15, 15]),
    "B": ([0, 0, 10, 8], [0, 0, 10, 10]),
    "C": ([0, 0, 12, 4], [1, 1, 7, 9]),
    "D": ([0, 0, 10, 10], [20, 20, 30, 30]),
    "E": ([0, 0, 10, 10], [0, 0, 10, 10]),
    "F": ([2, 3, 9, 11], [1, 2, 11, 10]),
}


def close(expected, rel=1e-8):
    return pytest.approx(expected, rel=rel, abs=1e-9)


def with_options(reference, **options):
    return lambda p, t: reference(p, t, **options)


def tensor(x, **kwargs) -> Tensor:
    return torch.tensor(x, dtype=torch.float64, **kwargs)


# name, options of the module, the scalar reference, values on A to F
BOX_VALUES = [
    ("IoULoss", {"mode": "linear"}, boxes.iou_linear, (0.857142857, 0.2, 0.769230769, 1, 0, 0.436781609)),
    ("IoULoss", {"mode": "square"}, boxes.iou_square, (0.979591837, 0.36, 0.946745562, 1, 0, 0.682785044)),
    ("IoULoss", {}, boxes.iou_log, (1.94591015, 0.223143551, 1.46633707, 13.8155106, 0, 0.574087821)),
    ("GIoULoss", {}, boxes.giou, (1.07936508, 0.2, 1.04700855, 1.77777778, 0, 0.470114943)),
    ("DIoULoss", {}, boxes.diou, (0.968253968, 0.205, 0.827008547, 1.44444444, 0, 0.443687687)),
    ("CIoULoss", {}, boxes.ciou, (0.968253968, 0.205120161, 0.851070847, 1.44444444, 0, 0.444048169)),
    (
        "CIoULoss",
        {"alpha_gate": 0.5},
        lambda p, t: boxes.ciou(p, t, gate=0.5),
        (0.968253968, 0.205120161, 0.827008547, 1.44444444, 0, 0.444048169),
    ),
    ("EIoULoss", {}, boxes.efficient_iou, (0.968253968, 0.245, 1.27453941, 1.44444444, 0, 0.533687687)),
    ("EfficientIoULoss", {}, boxes.efficient_iou, (0.968253968, 0.245, 1.27453941, 1.44444444, 0, 0.533687687)),
    (
        "FocalEIoULoss",
        {},
        boxes.focal_efficient_iou,
        (0.365965601, 0.219134662, 0.612268929, 0, 0, 0.400521281),
    ),
    (
        "FocalEIoULoss",
        {"detach": False},
        lambda p, t: boxes.focal_efficient_iou(p, t, detach=False),
        (0.365965601, 0.219134662, 0.612268929, 0, 0, 0.400521281),
    ),
    ("ExtendedIoULoss", {}, boxes.extended_iou, (0.807142857, 0.15, 0.719230769, 1.7, 0, 0.386781609)),
    ("SIoULoss", {}, boxes.siou, (0.96230354, 0.210440505, 0.864323325, 1.35881961, 0, 0.447888423)),
    ("AlphaIoULoss", {}, boxes.alpha_iou, (0.997084548, 0.488, 0.987710514, 1, 0, 0.821338703)),
    (
        "AlphaIoULoss",
        {"base": "giou"},
        lambda p, t: boxes.alpha_iou(p, t, base="giou"),
        (1.00805849, 0.488, 1.00914398, 1.47050754, 0, 0.82137574),
    ),
    (
        "AlphaIoULoss",
        {"base": "diou"},
        lambda p, t: boxes.alpha_iou(p, t, base="diou"),
        (0.99845629, 0.488000125, 0.987903392, 1.0877915, 0, 0.821339032),
    ),
    (
        "AlphaIoULoss",
        {"base": "ciou"},
        lambda p, t: boxes.alpha_iou(p, t, base="ciou"),
        (0.99845629, 0.488000125, 0.987917324, 1.0877915, 0, 0.821339033),
    ),
    (
        "GIoULoss",
        {"power": 3.0},
        lambda p, t: boxes.alpha_iou(p, t, base="giou"),
        (1.00805849, 0.488, 1.00914398, 1.47050754, 0, 0.82137574),
    ),
    (
        "WIoULoss",
        {"version": 1},
        with_options(boxes.wise_iou, version=1),
        (0.957873487, 0.201002504, 0.814984254, 1.5596235, 0, 0.439808497),
    ),
    (
        "WIoULoss",
        {"version": 2},
        with_options(boxes.wise_iou, version=2),
        (0.886818528, 0.0898910526, 0.714788475, 1.5596235, 0, 0.29066704),
    ),
    ("WIoULoss", {}, boxes.wise_iou, (1.08285237, 0.0808388807, 0.874821739, 1.87674694, 0, 0.331828024)),
    (
        "WIoULoss",
        {"alpha": 1.7, "delta": 2.7},
        with_options(boxes.wise_iou, alpha=1.7, delta=2.7),
        (0.808503752, 0.0561035061, 0.646823497, 1.42370225, 0, 0.236439718),
    ),
    (
        "InnerIoULoss",
        {"ratio": 0.7},
        with_options(boxes.inner, ratio=0.7),
        (0.957446809, 0.273972603, 0.88, 1, 0, 0.488888889),
    ),
    (
        "InnerIoULoss",
        {"ratio": 1.2},
        with_options(boxes.inner, ratio=1.2),
        (0.794979079, 0.2, 0.72, 1, 0, 0.415533981),
    ),
    (
        "InnerIoULoss",
        {"ratio": 0.7, "base": "ciou"},
        with_options(boxes.inner, ratio=0.7, base=boxes.ciou),
        (1.06855792, 0.279092764, 0.961840077, 1.44444444, 0, 0.496155448),
    ),
    (
        "InnerIoULoss",
        {"ratio": 0.7, "base": "siou"},
        with_options(boxes.inner, ratio=0.7, base=boxes.siou),
        (1.06260749, 0.284413108, 0.975092556, 1.35881961, 0, 0.499995702),
    ),
    ("MPDIoULoss", {}, boxes.mpdiou, (0.857264927, 0.200004883, 0.769294246, 1.00195312, 0, 0.436790154)),
    (
        "MPDIoULoss",
        {"img_shape": (50, 100)},
        with_options(boxes.mpdiou, height=50, width=100),
        (0.865142857, 0.20032, 0.773390769, 1.128, 0, 0.437341609),
    ),
    ("ShapeIoULoss", {}, boxes.shape_iou, (0.968253968, 0.205539842, 0.850977198, 1.44444444, 0, 0.44594394)),
    (
        "ShapeIoULoss",
        {"scale": 1.0},
        with_options(boxes.shape_iou, scale=1),
        (0.968253968, 0.205539842, 0.849163928, 1.44444444, 0, 0.445649039),
    ),
    (
        "PowerfulIoULoss",
        {"version": 1},
        with_options(boxes.powerful_iou, version=1),
        (1.07834207, 0.202496878, 0.943433729, 1.98168436, 0, 0.455510257),
    ),
    (
        "PowerfulIoULoss",
        {},
        boxes.powerful_iou,
        (1.36982781, 0.162800542, 1.17439202, 1.01406833, 0, 0.428897473),
    ),
    ("FocalerIoULoss", {}, boxes.focaler, (0.84962406, 0.157894737, 0.75708502, 1, 0, 0.407138536)),
    (
        "FocalerIoULoss",
        {"base": "giou"},
        with_options(boxes.focaler, base=boxes.giou),
        (1.07184628, 0.157894737, 1.0348628, 1.77777778, 0, 0.440471869),
    ),
    (
        "FocalerIoULoss",
        {"base": "ciou"},
        with_options(boxes.focaler, base=boxes.ciou),
        (0.960735171, 0.163014898, 0.838925098, 1.44444444, 0, 0.414405095),
    ),
    ("NWDLoss", {}, boxes.wasserstein, (0.424448848, 0.104600628, 0.328580331, 0.89026739, 0, 0.135979248)),
    ("WassersteinLoss", {}, boxes.wasserstein, (0.424448848, 0.104600628, 0.328580331, 0.89026739, 0, 0.135979248)),
    (
        "UnifiedIoULoss",
        {"ratio": 2.0},
        with_options(boxes.unified_iou, ratio=2.0),
        (0.648695652, 0.201370161, 0.709381066, 1.25, 0, 0.373493704),
    ),
    (
        "UnifiedIoULoss",
        {"ratio": 0.5},
        with_options(boxes.unified_iou, ratio=0.5),
        (1.25, 0.381802728, 1.18536209, 1.64, 0, 0.57847782),
    ),
]


@pytest.mark.parametrize(("name", "options", "reference", "values"), BOX_VALUES)
def test_box_loss_values(name, options, reference, values):
    pred, target = (tensor([pair[i] for pair in PAIRS.values()]) for i in range(2))
    loss = getattr(ml, name)(reduction="none", **options)(pred, target)
    assert loss.tolist() == close(values)
    assert [float(reference(*pair)) for pair in PAIRS.values()] == close(values)


def test_wise_iou_of_a_mean_that_has_fallen():
    values = (1.24930245, 0.14219999, 1.0678831, 1.9755231, 0, 0.501404942)
    pred, target = (tensor([pair[i] for pair in PAIRS.values()]) for i in range(2))
    loss = ml.WIoULoss(reduction="none")
    loss.focus.iou_mean.fill_(0.5)
    assert loss(pred, target).tolist() == close(values)
    assert [boxes.wise_iou(*pair, mean=0.5) for pair in PAIRS.values()] == close(values)


def test_bounded_iou_values():
    """One value for each of x, y, width and height, with the eps of 1e-3 that belongs to it."""
    values = {"A": (0.9, 0.9, 2.4995e-08, 2.4995e-08), "F": (0.0827122541, 0.300059994, 0.200069993, 3.90527e-08)}
    loss = ml.BoundedIoULoss(reduction="none")
    for name, expected in values.items():
        pred, target = PAIRS[name]
        assert loss(tensor([pred]), tensor([target]))[0].tolist() == close(expected, rel=1e-6)
        assert boxes.bounded_iou(pred, target) == close(expected, rel=1e-6)
    for name, total in (("A", 1.80000005), ("F", 0.58284228)):
        pred, target = PAIRS[name]
        assert loss(tensor([pred]), tensor([target]), reduction_override="sum").item() == close(total)
        assert loss(tensor([pred]), tensor([target]), reduction_override="mean").item() == close(total / 4)


def test_terms_of_the_box_losses():
    """The quantities that the tables print beside the losses."""
    ious = (0.142857143, 0.8, 0.230769231, 0, 1, 0.563218391)
    aspects = (0, 0.00496271992, 0.148611565, 0, 0, 0.0127295222)
    penalties = (0.5, 0.05, 0.4375, 2, 0, 0.1375)
    assert [boxes.powerful_penalty(*pair) for pair in PAIRS.values()] == close(penalties)
    pairs = [boxes.pair(*pair) for pair in PAIRS.values()]
    assert [pair.iou for pair in pairs] == close(ious)
    assert [boxes.aspect(pair) for pair in pairs] == close(aspects)


# d loss / d (x1, y1, x2, y2) on F; values alone cannot show which factor is taken as a constant
BOX_GRADIENTS = [
    ("IoULoss", {"mode": "linear"}, boxes.iou_linear, (0.073985996, 0.08045977, -0.073985996, 0.045316422)),
    ("IoULoss", {}, boxes.iou_log, (0.13136289, 0.14285714, -0.13136289, 0.08045977)),
    ("GIoULoss", {}, boxes.giou, (0.085097107, 0.08045977, -0.085097107, 0.074946052)),
    ("DIoULoss", {}, boxes.diou, (0.071223565, 0.085984632, -0.076748426, 0.050154492)),
    ("CIoULoss", {}, boxes.ciou, (0.071511569, 0.085732628, -0.077036431, 0.050406496)),
    ("EIoULoss", {}, boxes.efficient_iou, (0.13122356, 0.085984632, -0.13674843, 0.050154492)),
    ("FocalEIoULoss", {}, boxes.focal_efficient_iou, (0.0984805, 0.064529641, -0.10262679, 0.037639882)),
    (
        "FocalEIoULoss",
        {"detach": False},
        lambda p, t: boxes.focal_efficient_iou(p, t, detach=False),
        (0.072173683, 0.035920978, -0.076319975, 0.021526957),
    ),
    ("SIoULoss", {}, boxes.siou, (0.077092191, 0.089517044, -0.076039031, 0.052751812)),
    ("AlphaIoULoss", {}, boxes.alpha_iou, (0.070408393, 0.076569127, -0.070408393, 0.043125141)),
    (
        "WIoULoss",
        {"version": 1},
        with_options(boxes.wise_iou, version=1),
        (0.073283776, 0.083447236, -0.075713658, 0.048060345),
    ),
    ("WIoULoss", {}, boxes.wise_iou, (0.055291362, 0.062959519, -0.057124666, 0.036260712)),
    ("PowerfulIoULoss", {}, boxes.powerful_iou, (0.076015527, 0.083699101, -0.076015527, 0.050608972)),
    (
        "PowerfulIoULoss",
        {"detach": False},
        with_options(boxes.powerful_iou, detach=False),
        (0.092821378, 0.10470642, -0.092821378, 0.071616287),
    ),
    (
        "InnerIoULoss",
        {"ratio": 0.7},
        with_options(boxes.inner, ratio=0.7),
        (0.064902998, 0.10296296, -0.064902998, 0.064938272),
    ),
    ("MPDIoULoss", {}, boxes.mpdiou, (0.073988437, 0.080462212, -0.073990878, 0.045318864)),
    (
        "ShapeIoULoss",
        {"scale": 1.0},
        with_options(boxes.shape_iou, scale=1),
        (0.073276774, 0.086598506, -0.078187763, 0.050722579),
    ),
    ("NWDLoss", {}, boxes.wasserstein, (0.018040567, 0.018040567, -0.036081134, 0.018040567)),
]


@pytest.mark.parametrize(("name", "options", "reference", "gradient"), BOX_GRADIENTS)
def test_box_loss_gradients(name, options, reference, gradient):
    p, t = PAIRS["F"]
    pred = tensor([p], requires_grad=True)
    getattr(ml, name)(reduction="sum", **options)(pred, tensor([t])).backward()
    assert pred.grad[0].tolist() == close(gradient, rel=1e-7)
    assert value_and_grad(lambda x: reference(x, t), p)[1] == close(gradient, rel=1e-7)


def test_ciou_gradient_does_not_run_through_alpha():
    p, t = PAIRS["F"]
    wrong = (0.071732085, 0.085423236, -0.077256947, 0.050615022)
    assert value_and_grad(lambda x: boxes.ciou_alpha_not_frozen(x, t), p)[1] == close(wrong, rel=1e-7)
    pred = tensor([p], requires_grad=True)
    ml.CIoULoss(reduction="sum")(pred, tensor([t])).backward()
    assert all(abs(a - b) > 1e-4 for a, b in zip(pred.grad[0].tolist(), wrong, strict=True))


def test_wise_iou_gradient_does_not_run_through_the_diagonal():
    p, t = PAIRS["F"]
    wrong = (0.073283776, 0.083447236, -0.075713658, 0.047758288)
    assert value_and_grad(lambda x: boxes.wise_iou_c_not_frozen(x, t), p)[1] == close(wrong, rel=1e-7)
    pred = tensor([p], requires_grad=True)
    ml.WIoULoss(version=1, reduction="sum")(pred, tensor([t])).backward()
    assert abs(pred.grad[0, 3].item() - wrong[3]) > 1e-4


# |d| is 0.5, 0, 2, 3
COORDINATE_VALUES = [
    ("L1Loss", {}, coordinates.l1, (0.5, 0, 2, 3), 5.5),
    ("MSELoss", {}, coordinates.mse, (0.25, 0, 4, 9), 13.25),
    ("SmoothL1Loss", {}, coordinates.smooth_l1, (0.125, 0, 1.5, 2.5), 4.125),
    (
        "SmoothL1Loss",
        {"beta": 1 / 9},
        lambda d: coordinates.smooth_l1(d, 1 / 9),
        (0.4444444444, 0, 1.9444444444, 2.9444444444),
        5.3333333333,
    ),
    ("BalancedL1Loss", {}, coordinates.balanced_l1, (0.4005675069, 0, 2.578593545, 4.078593545), 7.057754596),
]


@pytest.mark.parametrize(("name", "options", "reference", "values", "total"), COORDINATE_VALUES)
def test_coordinate_loss_values(name, options, reference, values, total):
    pred, target = [0.0, 1.0, 2.0, -3.0], [0.5, 1.0, 0.0, 0.0]
    loss = getattr(ml, name)(**options)
    arguments = tensor([pred]), tensor([target])
    assert loss(*arguments, reduction_override="none")[0].tolist() == close(values)
    assert loss(*arguments, reduction_override="sum").item() == close(total)
    assert loss(*arguments).item() == close(total / 4)
    assert [reference(p - t) for p, t in zip(pred, target, strict=True)] == close(values)


def test_balanced_l1_of_another_beta_has_a_continuous_slope():
    d = tensor([[0.05, 0.5, 0.0, 0.0]])
    expected = [0.03827962649, 0.7036452899]
    loss = ml.BalancedL1Loss(beta=0.11, reduction="none")
    assert loss(d, torch.zeros_like(d))[0, :2].tolist() == close(expected)
    assert [coordinates.balanced_l1(x, beta=0.11) for x in (0.05, 0.5)] == close(expected)

    edges = tensor([[0.0, 0.11 - 1e-9, 0.11 + 1e-9, 1.0]], requires_grad=True)
    loss(edges, torch.zeros_like(edges)).sum().backward()
    assert edges.grad[0].tolist() == pytest.approx([0, 1.5, 1.5, 1.5], abs=1e-6)


DFL_LOGITS = [0.0, 1.0, 2.0, -1.0, 0.5]
BIN_CROSS_ENTROPIES = (2.57443794, 1.57443794, 0.57443794, 3.57443794, 2.07443794)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (1.3, 1.27443794),
        (3.9, 2.22443794),
        (0.0, BIN_CROSS_ENTROPIES[0]),
        (2.0, BIN_CROSS_ENTROPIES[2]),
        # the last bin itself, for which "floor(y) + 1" would be outside
        (4.0, BIN_CROSS_ENTROPIES[4]),
    ],
)
def test_dfl_values(label, value):
    loss = ml.DistributionFocalLoss(reduction="none")
    assert loss(tensor([DFL_LOGITS]), tensor([label])).tolist() == close([value])
    assert distribution.dfl(DFL_LOGITS, label) == close(value)


@pytest.mark.parametrize(("label", "nearest"), [(-0.4, 0), (-3.0, 0), (4.2, 4), (1e9, 4)])
def test_dfl_label_outside_the_bins_is_clamped(label, nearest):
    loss = ml.DistributionFocalLoss(reduction="none")
    assert loss(tensor([DFL_LOGITS]), tensor([label])).item() == close(BIN_CROSS_ENTROPIES[nearest])


def test_dfl_lower_bound_is_the_entropy_of_the_label():
    best = [-50.0, math.log(0.7), math.log(0.3), -50.0, -50.0]
    loss = ml.DistributionFocalLoss(reduction="none")
    assert loss(tensor([best]), tensor([1.3])).item() == close(0.6108643021)
    assert distribution.dfl(best, 1.3) == close(0.6108643021)


@pytest.mark.parametrize(("first", "last"), [(0.0, 4.0), (-2.0, 2.0), (1.0, 9.0), (0.0, 1.0)])
def test_dfl_values_of_other_ranges(first, last):
    """The bins lie elsewhere and are as many: what was at 1.3 of 4 is at the same share of the range."""
    loss = ml.DistributionFocalLoss(reduction="none", y_min=first, y_max=last)
    for label, value in ((1.3, 1.27443794), (3.9, 2.22443794), (4.0, 2.07443794), (-3.0, 2.57443794)):
        place = first + label * (last - first) / 4
        assert loss(tensor([DFL_LOGITS]), tensor([place])).tolist() == close([value])
        if label >= 0:
            assert distribution.dfl_between(DFL_LOGITS, place, first, last) == close(value)


@pytest.mark.parametrize(("first", "last"), [(0.0, None), (0.0, 4.0), (-2.0, 2.0), (1.0, 9.0)])
def test_integral_values(first, last):
    end = 4.0 if last is None else last
    expected = first + 1.919768 * (end - first) / 4
    decoded = ml.Integral(first, last, bins=5)(tensor([DFL_LOGITS]))
    assert decoded.tolist() == close([expected], rel=1e-6)
    assert distribution.integral(DFL_LOGITS, first, end) == close(expected, rel=1e-6)


LOGITS = [0.0, 2.0, -1.0]
SIGMOIDS = (0.5, 0.880797078, 0.2689414214)
BACKGROUND = 3


def test_cross_entropy_values():
    softmax, sigmoid = ml.CrossEntropyLoss(), ml.CrossEntropyLoss(use_sigmoid=True)
    logits, label = tensor([LOGITS]), torch.tensor([1])
    assert softmax(logits, label).item() == close(0.1698460196)
    assert softmax(tensor([DFL_LOGITS] * 5), torch.arange(5), reduction_override="none").tolist() == close(
        BIN_CROSS_ENTROPIES
    )
    elements = (0.6931471806, 0.126928011, 0.3132616875)
    for target in (label, tensor([[0.0, 1.0, 0.0]])):
        assert sigmoid(logits, target, reduction_override="none")[0].tolist() == close(elements)
        assert sigmoid(logits, target, reduction_override="sum").item() == close(1.133336879)

    assert classification.softmax_cross_entropy(LOGITS, 1) == close(0.1698460196)
    assert [classification.softmax_cross_entropy(DFL_LOGITS, j) for j in range(5)] == close(BIN_CROSS_ENTROPIES)
    assert [classification.bce(z, y) for z, y in zip(LOGITS, (0, 1, 0), strict=True)] == close(elements)
    assert [classification.sigmoid(z) for z in LOGITS] == close(SIGMOIDS)


def test_focal_values():
    loss = ml.FocalLoss()
    logits = tensor([LOGITS])
    elements = (0.1299650964, 0.0004508907088, 0.01699354313)
    for target in (torch.tensor([1]), tensor([[0.0, 1.0, 0.0]])):
        assert loss(logits, target, reduction_override="none")[0].tolist() == close(elements)
        assert loss(logits, target, reduction_override="sum").item() == close(0.1474095302)
    activated = ml.FocalLoss(activated=True)(logits.sigmoid(), torch.tensor([1]), reduction_override="none")
    assert activated[0].tolist() == close(elements)
    assert loss(logits, torch.tensor([BACKGROUND]), reduction_override="sum").item() == close(1.384517274)

    assert [classification.focal(z, y) for z, y in zip(LOGITS, (0, 1, 0), strict=True)] == close(elements)
    assert [classification.focal_probability(p, y) for p, y in zip(SIGMOIDS, (0, 1, 0), strict=True)] == close(
        elements, rel=1e-6
    )
    assert sum(classification.focal(z, 0) for z in LOGITS) == close(1.384517274)


def test_softmax_focal_values():
    logits, label = tensor([LOGITS]), torch.tensor([1])
    plain, weighed = 0.00414425731, 0.001036064327
    assert ml.FocalLoss(use_sigmoid=False, alpha=None)(logits, label).item() == close(plain)
    assert ml.FocalLoss(use_sigmoid=False)(logits, label).item() == close(weighed)
    per_class = ml.FocalLoss(use_sigmoid=False, alpha=[0.5, 0.25, 0.125], reduction="none")
    assert per_class(logits, label).tolist() == close([weighed])
    one_hot = tensor([[0.0, 1.0, 0.0]])
    assert per_class(logits, one_hot).tolist() == close([weighed])
    activated = ml.FocalLoss(use_sigmoid=False, activated=True)
    assert activated(logits.softmax(-1), label).item() == close(weighed)
    # without its modulating factor it is cross-entropy
    assert ml.FocalLoss(use_sigmoid=False, gamma=0.0, alpha=None)(logits, label).item() == close(0.1698460196)

    assert classification.softmax_focal(LOGITS, 1) == close(plain)
    assert classification.softmax_focal(LOGITS, 1, alpha=0.25) == close(weighed)


def test_focal_values_of_alpha_per_class():
    """Each class has its own alpha for its positives, and the rest for its negatives."""
    loss = ml.FocalLoss(alpha=[0.25, 0.5, 0.75], reduction="none")
    elements = (0.1299650964, 2 * 0.0004508907088, 0.01699354313 / 3)
    assert loss(tensor([LOGITS]), torch.tensor([1]))[0].tolist() == close(elements)
    same = ml.FocalLoss(alpha=[0.25] * 3, reduction="sum")
    assert same(tensor([LOGITS]), torch.tensor([1])).item() == close(0.1474095302)
    plain = ml.FocalLoss(alpha=None, reduction="none")
    elements = (0.1299650964 / 0.75, 0.0004508907088 / 0.25, 0.01699354313 / 0.75)
    assert plain(tensor([LOGITS]), torch.tensor([1]))[0].tolist() == close(elements)


def test_label_smoothing_values():
    logits, label = tensor([LOGITS]), torch.tensor([1])
    softmax, sigmoid = 0.3365126862, 1.283336879
    for loss in (ml.CrossEntropyLoss(label_smoothing=0.1), ml.LabelSmoothLoss(0.1)):
        assert loss(logits, label).item() == close(softmax)
    for loss in (
        ml.CrossEntropyLoss(use_sigmoid=True, label_smoothing=0.1),
        ml.LabelSmoothLoss(0.05, mode="multi_label"),
    ):
        assert loss(logits, label, reduction_override="sum").item() == close(sigmoid)
    # e / c instead of e / 2: every target is 0.05 - 0.1 / 3 less, which the sum of the logits multiplies
    uniform = ml.CrossEntropyLoss(use_sigmoid=True, label_smoothing=0.1, smoothing_mode="uniform", reduction="sum")
    assert uniform(logits, label).item() == close(1.283336879 + (0.05 - 0.1 / 3) * sum(LOGITS))
    # (y + e / c) / (1 + e) is the original at e / (1 + e)
    classy = ml.LabelSmoothLoss(0.25, mode="classy_vision")
    assert classy(logits, label).item() == close(ml.LabelSmoothLoss(0.2)(logits, label).item())

    assert classification.softmax_cross_entropy_dense(LOGITS, classification.smooth([0, 1, 0], 0.1, 0.1 / 3)) == close(
        softmax
    )
    smoothed = classification.smooth([0, 1, 0], 0.1, 0.05)
    assert sum(classification.bce(z, y) for z, y in zip(LOGITS, smoothed, strict=True)) == close(sigmoid)


def test_gaussian_focal_values():
    prob, heat = [0.9, 0.3, 0.6], [1.0, 0.5, 0.0]
    elements = (0.001053605157, 0.00200629656, 0.3298646635)
    loss = ml.GaussianFocalLoss(reduction="none")
    assert loss(tensor([prob]), tensor([heat]))[0].tolist() == close(elements)
    logits = tensor([prob]).logit()
    assert ml.GaussianFocalLoss(activated=False, reduction="none")(logits, tensor([heat]))[0].tolist() == close(
        elements
    )
    weighed = ml.GaussianFocalLoss(pos_weight=0.25, neg_weight=0.75, reduction="sum")
    assert weighed(tensor([prob]), tensor([heat])).item() == close(
        0.25 * elements[0] + 0.75 * (elements[1] + elements[2])
    )
    assert [classification.gaussian_focal(p, y) for p, y in zip(prob, heat, strict=True)] == close(elements)


def test_asymmetric_values():
    logits, label = tensor([LOGITS]), torch.tensor([1])
    elements = (0.02451505351, 0.0151301898, 0.0005677975179)
    for loss in (ml.AsymmetricLoss(), ml.AsymmetricLoss(detach_focus=True)):
        assert loss(logits, label, reduction_override="none")[0].tolist() == close(elements)
        assert loss(logits, label, reduction_override="sum").item() == close(0.04021304083)
    # with equal powers and no clip, focal loss without alpha
    same = ml.AsymmetricLoss(gamma_neg=2.0, gamma_pos=2.0, clip=0.0, reduction="sum")
    assert same(logits, label).item() == close((0.1299650964 + 0.01699354313) / 0.75 + 0.0004508907088 / 0.25)
    assert [classification.asymmetric(z, y) for z, y in zip(LOGITS, (0, 1, 0), strict=True)] == close(elements)


def test_poly1_values():
    logits, label = tensor([LOGITS]), torch.tensor([1])
    assert ml.Poly1FocalLoss(reduction="sum")(logits, label).item() == close(0.29355572)
    assert ml.Poly1FocalLoss(weigh_poly=True, reduction="sum")(logits, label).item() == close(0.2561722753)
    assert ml.Poly1FocalLoss(epsilon=0.0, reduction="sum")(logits, label).item() == close(0.1474095302)
    assert ml.Poly1CrossEntropyLoss()(logits, label).item() == close(0.3260512851)
    assert ml.Poly1CrossEntropyLoss(epsilon=0.0)(logits, label).item() == close(0.1698460196)

    rows = list(zip(LOGITS, (0, 1, 0), strict=True))
    assert sum(classification.poly1_focal(z, y) for z, y in rows) == close(0.29355572)
    assert sum(classification.poly1_focal(z, y, 1.0, (0.75, 0.25)) for z, y in rows) == close(0.2561722753)
    assert classification.poly1_cross_entropy(LOGITS, 1) == close(0.3260512851)


def test_poly1_without_its_leading_term():
    """``epsilon=-1`` takes the first power out of ``-ln p = sum (1 - p)^j / j``."""
    z = math.log(0.9 / 0.1)
    rest = sum(0.1**j / j for j in range(2, 40))
    loss = ml.Poly1CrossEntropyLoss(epsilon=-1.0)
    assert loss(tensor([[z, 0.0]]), torch.tensor([0])).item() == close(rest)


def test_equalization_values():
    frequency = [0.001, 0.5, 0.0001]
    loss = ml.EqualizationLoss(frequency, reduction="sum")
    logits = tensor([LOGITS])
    for target in (torch.tensor([1]), tensor([[0.0, 1.0, 0.0]])):
        assert loss(logits, target).item() == close(0.126928011)
    for target in (torch.tensor([BACKGROUND]), torch.zeros_like(logits)):
        assert loss(logits, target).item() == close(3.133336879)
    assert sum(classification.equalization(LOGITS, (0, 1, 0), frequency)) == close(0.126928011)
    assert sum(classification.equalization(LOGITS, (0, 0, 0), frequency)) == close(3.133336879)


def test_quality_focal_values():
    loss = ml.QualityFocalLoss(reduction="none")
    logits = tensor([LOGITS])
    elements = (0.1732867951, 0.02376151999, 0.02265805751)
    row, background = 0.2197063726, 1.846023032
    assert loss(logits, (torch.tensor([1]), tensor([0.7]))).tolist() == close([row])
    assert loss(logits, tensor([[0.0, 0.7, 0.0]])).tolist() == close([row])
    activated = ml.QualityFocalLoss(reduction="none", activated=True)
    assert activated(logits.sigmoid(), (torch.tensor([1]), tensor([0.7]))).tolist() == close([row])
    assert loss(logits, (torch.tensor([BACKGROUND]), tensor([0.7]))).tolist() == close([background])
    # a positive of quality 0 is what a background row is, in both forms
    assert loss(logits, (torch.tensor([1]), tensor([0.0]))).tolist() == close([background])
    assert loss(logits, torch.zeros_like(logits)).tolist() == close([background])

    parts = [classification.quality_focal_dense([z], [y]) for z, y in zip(LOGITS, (0, 0.7, 0), strict=True)]
    assert parts == close(elements)
    assert classification.quality_focal(LOGITS, 1, 0.7) == close(row)
    assert classification.quality_focal(LOGITS, BACKGROUND, 0.7) == close(background)
    assert classification.quality_focal_probability(SIGMOIDS, (0, 0.7, 0)) == close(row, rel=1e-6)


def test_varifocal_values():
    logits, target = tensor([LOGITS]), tensor([[0.0, 0.7, 0.0]])
    elements = (0.1299650964, 0.5088496077, 0.01699354313)
    loss = ml.VarifocalLoss()
    assert loss(logits, target, reduction_override="none")[0].tolist() == close(elements)
    assert loss(logits, target, reduction_override="sum").item() == close(0.6558082472)
    unweighted = ml.VarifocalLoss(iou_weighted=False, reduction="sum")
    assert unweighted(logits, target).item() == close(0.8738866505)

    assert [classification.varifocal(z, q) for z, q in zip(LOGITS, (0, 0.7, 0), strict=True)] == close(elements)
    total = sum(classification.varifocal(z, q, iou_weighted=False) for z, q in zip(LOGITS, (0, 0.7, 0), strict=True))
    assert total == close(0.8738866505)


@pytest.mark.parametrize("power", [0.5, 1.5, 3.0])
def test_quality_and_varifocal_of_other_powers(power):
    """Of the distance of the probability, of either sign, from the quality."""
    qualities = (0.0, 0.7, 0.2)
    quality = value_and_grad(lambda z: classification.quality_focal_dense(z, qualities, power), LOGITS)
    varifocal = value_and_grad(
        lambda z: sum(classification.varifocal(x, q, gamma=power) for x, q in zip(z, qualities, strict=True)), LOGITS
    )
    for loss, (value, gradient) in (
        (ml.QualityFocalLoss(beta=power, reduction="sum"), quality),
        (ml.VarifocalLoss(gamma=power, reduction="sum"), varifocal),
    ):
        logits = tensor([LOGITS], requires_grad=True)
        total = loss(logits, tensor([qualities]))
        total.backward()
        assert total.item() == close(value)
        assert logits.grad[0].tolist() == close(gradient)


@pytest.mark.parametrize(
    ("name", "score", "target", "values", "gradient"),
    [
        ("RankSortLoss", [2, 1, 1.5, -3], [0.8, 0.6, 0, 0], (0.2, 0), [0, -0.2, 0.2, 0]),
        ("RankSortLoss", [1, 2, 1.5, -3], [0.8, 0.6, 0, 0], (0.2, 1 / 15), [-4 / 15, 1 / 15, 0.2, 0]),
        ("APLoss", [2, 1, 1.5, -3], [1, 1, 0, 0], (0.2363636364,), [-0.1, -0.1363636364, 0.2363636364, 0]),
    ],
)
def test_ranking_values(name, score, target, values, gradient):
    """Two of four scores are positives; RankSort's values are the ranking and the sorting part."""
    pred = tensor(score, requires_grad=True)
    loss = getattr(ml, name)()(pred, tensor(target))
    assert loss.item() == close(sum(values))
    loss.backward()
    assert pred.grad.tolist() == close(gradient)

    reference = {"APLoss": ranking.average_precision, "RankSortLoss": ranking.rank_sort}[name]
    *parts, assigned = reference(score, target)
    assert [sum(part) / 2 for part in parts] == close(list(values))
    assert [sum(column) / 2 for column in zip(*assigned, strict=True)] == close(gradient)


@pytest.mark.parametrize("weight", [[1.0, 0.5], [[1.0], [0.5]], [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]])
def test_weight_and_avg_factor(weight):
    """GIoU of A and B, the second at half weight, averaged over 2."""
    pred, target = (tensor([PAIRS[name][i] for name in "AB"]) for i in range(2))
    loss = ml.GIoULoss()
    assert loss(pred, target, tensor(weight), avg_factor=2).item() == close(0.5896825397)
    rows = loss(pred, target, tensor(weight), avg_factor=2, reduction_override="none")
    assert rows.tolist() == close([1.0793650794, 0.1])
    with pytest.raises(ValueError, match="avg_factor"):
        loss(pred, target, tensor(weight), avg_factor=2, reduction_override="sum")


# ------------------------------------------------------------------------------------------------------------
# The generalized focal loss of two anchors with logits (0, 2, -1): one positive of class 1 whose box is pair F
# in units of the stride and whose four sides have the logits of the DFL test at 1.3, and one background anchor.
GFL_QUALITY = (0.2968506187, 1.8460230321)
GFL_BOX_WEIGHT = 0.8807970780
GFL_GIOU, GFL_DFL = 0.4701149425, 1.2744379396


def test_gfl_terms():
    logits = tensor([LOGITS, LOGITS])
    iou = boxes.pair(*PAIRS["F"]).iou
    assert iou == close(0.5632183908)
    labels, scores = torch.tensor([1, BACKGROUND]), tensor([iou, 0.0])
    quality = ml.QualityFocalLoss()
    assert quality(logits, (labels, scores), reduction_override="none").tolist() == close(GFL_QUALITY)
    loss_cls = quality(logits, (labels, scores), weight=tensor([1.0, 1.0]), avg_factor=1.0).item()
    assert loss_cls == close(2.1428736508)
    assert classification.quality_focal(LOGITS, 1, iou) == close(GFL_QUALITY[0])
    assert classification.quality_focal(LOGITS, BACKGROUND, 0.0) == close(GFL_QUALITY[1])

    weight = tensor([GFL_BOX_WEIGHT])
    giou = ml.GIoULoss(loss_weight=2.0)(*(tensor([box]) for box in PAIRS["F"]), weight=weight, avg_factor=1.0)
    assert giou.item() == close(0.8281517354)
    dfl = ml.DistributionFocalLoss(loss_weight=0.25)(
        tensor([DFL_LOGITS] * 4), tensor([1.3] * 4), weight=weight[:, None].expand(-1, 4).reshape(-1), avg_factor=4.0
    )
    assert dfl.item() == close(0.2806303033)
    assert loss_cls + giou.item() + dfl.item() == close(3.2516556895)

    # divided by the sum of the weights instead of by at least 1
    assert giou.item() / GFL_BOX_WEIGHT == close(0.9402298851)
    assert dfl.item() / GFL_BOX_WEIGHT == close(0.3186094849)
    assert loss_cls + (giou.item() + dfl.item()) / GFL_BOX_WEIGHT == close(3.4017130208)

    target = tensor([[0.0, iou, 0.0], [0.0, 0.0, 0.0]])
    varifocal = ml.VarifocalLoss(reduction="none")(logits, target).sum(-1)
    assert varifocal.tolist() == close([0.7104536997, 1.3845172741])
    assert varifocal.sum().item() == close(2.0949709738)


def test_gradient_harmonizing_values():
    """Gradient norms 0.5, 0.12, 0.27 in three bins; and 0.9992, 0, 0.99995, 0.99998 in two."""
    loss = ml.GHMC()
    assert loss(tensor([LOGITS]), torch.tensor([1])).item() == close(0.3777789597)
    assert loss(tensor([LOGITS]), tensor([[0.0, 1.0, 0.0]]), torch.ones(1)).item() == close(0.3777789597)
    assert sum(harmonized.ghm_c([LOGITS], [[0, 1, 0]])[0]) / 3 == close(0.3777789597)

    pred, target = [0.0, 1.0, 2.0, -3.0], [0.5, 1.0, 0.0, 0.0]
    assert ml.GHMR()(tensor([pred]), tensor([target]), torch.ones(1, 4)).item() == close(0.9067610839)
    assert sum(harmonized.ghm_r([pred], [target])[0]) / 4 == close(0.9067610839)


@pytest.mark.parametrize(
    ("label", "factors", "value"),
    [(1, (1, 1, 0.1584893192), 0.1338540921), (2, (7.389056099, 403.4287935, 1), 9.002598782)],
)
def test_seesaw_values(label, factors, value):
    counts = (100.0, 10.0, 1.0)
    loss = ml.SeesawLoss(num_classes=3)
    loss.cum_samples[:3] = torch.tensor(counts)
    parts = loss(tensor([[*LOGITS, 1.0, -1.0]]), torch.tensor([label]))
    assert parts["loss_cls_classes"].item() == close(value)
    assert parts["loss_cls_objectness"].item() == close(math.log1p(math.exp(-2)))
    assert longtail.seesaw_factors(LOGITS, label, counts) == close(factors)
    assert longtail.seesaw_classes(LOGITS, label, counts) == close(value)


def test_equalization_v2_values():
    logits, label = tensor([[*LOGITS, -2.0]]), torch.tensor([1])
    loss = ml.EQLV2Loss(num_classes=3).double()
    assert loss(logits, label).item() == close(1.26026489)
    loss.pos_neg.copy_(tensor([0.1, 100.0, 0.5]))
    assert loss(logits, label).item() == close(0.2623436723)
    assert longtail.equalization_v2([*LOGITS, -2.0], 1, [100.0] * 3) == close(1.26026489)
    assert longtail.equalization_v2([*LOGITS, -2.0], 1, [0.1, 100.0, 0.5]) == close(0.2623436723)


def test_equalized_focal_value_at_the_start():
    loss = ml.EqualizedFocalLoss(num_classes=3, reduction="sum")
    assert loss(tensor([LOGITS]), torch.tensor([1])).item() == close(0.1474095302)
    total = sum(longtail.equalized_focal(z, y, 1.0) for z, y in zip(LOGITS, (0, 1, 0), strict=True))
    assert total == close(0.1474095302)


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [
        ("InterpIoULoss", {}, [0.8768958213, 0.202, 0.7864874939, 1.076183147, 0, 0.4422672727]),
        ("InterpIoULoss", {"alpha": 0.98}, [0.8961662908, 0.204, 0.8032716574, 1.145400593, None, 0.4477244163]),
        ("InterpIoULoss", {"alpha": 0.5}, [1.465838509, 0.3, 1.2909699, 2, 0, 0.6801050513]),
        ("GCDLoss", {}, [0.5069313086, 0.1479227659, 0.5753331075, 0.9408942534, 0, 0.2067308874]),
        ("SDIoULoss", {}, [0.9682539683, 0.2051201613, 0.7012436578, 1.444444444, 0, 0.4413923908]),
    ],
)
def test_interp_gcd_and_sdiou(name, options, values):
    pred, target = (tensor([pair[i] for pair in PAIRS.values()]) for i in range(2))
    found = getattr(ml, name)(reduction="none", **options)(pred, target).tolist()
    known = [(got, value) for got, value in zip(found, values, strict=True) if value is not None]
    assert [got for got, _ in known] == pytest.approx([value for _, value in known], rel=2e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "pair", "gradient"),
    [
        ("InterpIoULoss", "F", [0.0749822607, 0.0817044690, -0.0749822609, 0.0465542928]),
        ("InterpIoULoss", "D", [-0.0008886275, -0.0008886275, -0.0009248977, -0.0009248977]),
        ("GCDLoss", "F", [0.0385218726, 0.0301049652, -0.0645609607, 0.0234149729]),
        ("GCDLoss", "D", [0.0020897037, 0.0020897037, -0.0062691111, -0.0062691111]),
        ("SDIoULoss", "F", [0.0710360357, 0.0852716225, -0.0765950017, 0.0501550739]),
    ],
)
def test_gradients_of_interp_gcd_and_sdiou(name, pair, gradient):
    pred, target = (tensor([box]) for box in PAIRS[pair])
    pred.requires_grad_()
    getattr(ml, name)()(pred, target).backward()
    assert pred.grad[0].tolist() == pytest.approx(gradient, abs=2e-9)


def test_sdiou_of_a_small_target_and_of_a_large_one():
    found = ml.SDIoULoss()(tensor([[0.0, 0, 4, 3]]), tensor([[1.0, 1, 4, 4]]))
    assert found.item() == pytest.approx(0.3898177752, rel=1e-9)
    pred, target = (tensor([pair[i] for pair in PAIRS.values()]) for i in range(2))
    torch.testing.assert_close(
        ml.SDIoULoss(area_ref=1.0, reduction="none")(pred, target), ml.CIoULoss(reduction="none")(pred, target)
    )


def test_gcd_has_a_gradient_at_a_fit():
    pred = tensor([[3.0, 4, 10, 12]]).requires_grad_()
    ml.GCDLoss()(pred, pred.detach().clone()).backward()
    assert torch.equal(pred.grad, torch.zeros_like(pred))
