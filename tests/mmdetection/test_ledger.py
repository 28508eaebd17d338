"""Where MMDetection is wrong, or means something else: one test per entry of the ledger pins both sides."""

import math

import pytest
import torch
from cases import run
from oracle import boxes as oracle
from oracle import coordinates

import mmdet_losses as ml
from mmdet_losses.registry import stock

pytest.importorskip("mmdet.models")

CLASSES = 5
BOX_NAMES = ["IoULoss", "GIoULoss", "DIoULoss", "CIoULoss", "EIoULoss", "SIoULoss"]
LOSS_NAMES = [*BOX_NAMES, "L1Loss", "SmoothL1Loss", "MSELoss", "BalancedL1Loss", "BoundedIoULoss"]
SIDES = (3.0, 10.0, 100.0)


def one_box(*corners: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor([corners], dtype=dtype)


def ours_and_stock(name: str, **options):
    return getattr(ml, name)(**options), stock(name)(**options)


# ----------------------------------------------------------------------------------------------- definitions


def test_ciou_is_nan_at_a_perfect_match_in_mmdet():
    ours, theirs = ours_and_stock("CIoULoss")
    for side in (10.0, 100.0):
        square = one_box(0, 0, side, side)
        value, grad = run(theirs, square, square)
        assert value.isnan()
        assert grad.isnan().all()
    for side in (1e-3, *SIDES, 1e6):
        square = one_box(0, 0, side, side)
        value, grad = run(ours, square, square)
        assert value == 0
        assert grad.isfinite().all()


def test_ciou_alpha_is_gated_in_mmdet():
    """IoU 0.23 with a strong aspect difference: mmdet drops the aspect term, as the journal version does."""
    pred, target = one_box(0, 0, 12, 4), one_box(1, 1, 7, 9)
    ours, theirs = ours_and_stock("CIoULoss")
    assert ours(pred, target).item() == pytest.approx(0.851070847, rel=1e-6)
    assert theirs(pred, target).item() == pytest.approx(0.827008547, rel=1e-6)
    assert ml.CIoULoss(alpha_gate=0.5)(pred, target).item() == pytest.approx(0.827008547, rel=1e-6)


def test_ciou_gate_is_open_only_above_its_value():
    """IoU exactly 0.5: closed, in both."""
    pred, target = one_box(0, 0, 5, 10), one_box(0, 0, 10, 10)
    closed = oracle.diou(pred[0].tolist(), target[0].tolist())
    assert ml.CIoULoss(alpha_gate=0.5)(pred, target).item() == pytest.approx(closed, rel=1e-6)
    assert stock("CIoULoss")()(pred, target).item() == pytest.approx(closed, rel=1e-6)
    assert ml.CIoULoss()(pred, target).item() > closed + 1e-3


def test_siou_is_cut_at_two_in_mmdet():
    """Two small boxes far apart, nearly on one line: mmdet's loss stays at 2 and has no gradient."""
    pred, target = one_box(0, 0, 1e-3, 1e-3), one_box(1e6, 1e3, 1e6 + 1, 1e3 + 1)
    ours, theirs = ours_and_stock("SIoULoss", neg_gamma=True)
    value, grad = run(theirs, pred, target)
    assert value.item() == 2
    assert (grad == 0).all()
    value, grad = run(ours, pred, target)
    assert value.item() == pytest.approx(oracle.siou(pred[0].tolist(), target[0].tolist()), rel=1e-5)
    assert value.item() > 2.02
    assert (grad != 0).any()


def test_siou_rewards_distance_in_mmdet():
    """Boxes of side 10 at diagonal distances 20, 40, 90: mmdet's default falls to 0, the paper's form rises."""
    pred = one_box(0, 0, 10, 10)
    shifts = (20.0, 40.0, 90.0)
    targets = [one_box(s, s, 10 + s, 10 + s) for s in shifts]
    theirs = [stock("SIoULoss")()(pred, target).item() for target in targets]
    assert theirs == pytest.approx([0.440376502, 0.1035, 0.0], abs=5e-5)
    ours = [ml.SIoULoss()(pred, target).item() for target in targets]
    assert ours == pytest.approx([1.35881961, 1.4727, 1.5551], abs=5e-5)
    assert [stock("SIoULoss")(neg_gamma=True)(pred, t).item() for t in targets] == pytest.approx(ours, rel=1e-5)
    inverted = [oracle.siou_inverted(pred[0].tolist(), t[0].tolist()) for t in targets]
    assert theirs == pytest.approx(inverted, abs=1e-5)


def test_siou_neg_gamma_false_raises():
    assert stock("SIoULoss")(neg_gamma=False)
    with pytest.raises(ValueError, match="neg_gamma"):
        ml.SIoULoss(neg_gamma=False)


def test_eiou_is_extended_iou_in_mmdet():
    pred, target = one_box(0, 0, 12, 4), one_box(1, 1, 7, 9)
    ours, theirs = ours_and_stock("EIoULoss")
    assert ours(pred, target).item() == pytest.approx(1.27453941, rel=1e-6)
    assert theirs(pred, target).item() == pytest.approx(0.719230769, rel=1e-6)
    assert ml.EfficientIoULoss()(pred, target).item() == pytest.approx(1.27453941, rel=1e-6)
    assert ml.ExtendedIoULoss()(pred, target).item() == pytest.approx(0.719230769, rel=1e-6)
    assert stock("EIoULoss")(smooth_point=0.2)(pred, target).item() == pytest.approx(
        ml.ExtendedIoULoss(smooth_point=0.2)(pred, target).item(), rel=1e-6
    )
    with pytest.raises(ValueError, match="ExtendedIoULoss"):
        ml.EIoULoss(smooth_point=0.2)


def test_focal_eiou_is_only_here():
    with pytest.raises(ValueError, match="FocalEIoULoss"):
        stock("FocalEIoULoss")
    pred, target = one_box(2, 3, 9, 11, dtype=torch.float64), one_box(1, 2, 11, 10, dtype=torch.float64)
    for options, gradient in (
        ({}, (0.0984805, 0.064529641, -0.10262679, 0.037639882)),
        ({"detach": False}, (0.072173683, 0.035920978, -0.076319975, 0.021526957)),
    ):
        _, grad = run(ml.FocalEIoULoss(**options), pred, target)
        assert grad[0].tolist() == pytest.approx(gradient, rel=1e-6)


def test_balanced_l1_slope_jumps_in_mmdet_for_another_beta():
    ours, theirs = ours_and_stock("BalancedL1Loss", beta=0.11, reduction="none")
    d = torch.tensor([[0.05, 0.5]], dtype=torch.float64)
    assert theirs(d, torch.zeros_like(d))[0].tolist() == pytest.approx([0.0911971242, 0.7735935447], rel=1e-8)
    assert ours(d, torch.zeros_like(d))[0].tolist() == pytest.approx([0.03827962649, 0.7036452899], rel=1e-8)
    assert coordinates.balanced_l1_unscaled(0.05, beta=0.11) == pytest.approx(0.0911971242, rel=1e-8)

    d = torch.tensor([[1e-9, 0.11 - 1e-9, 0.11 + 1e-9]], dtype=torch.float64)
    assert run(theirs, d, torch.zeros_like(d))[1][0].tolist() == pytest.approx([4.0454, 1.7014, 1.5], abs=1e-4)
    assert run(ours, d, torch.zeros_like(d))[1][0].tolist() == pytest.approx([0.0, 1.5, 1.5], abs=1e-6)


def test_linear_and_square_iou_have_a_floor_in_mmdet():
    """mmdet keeps the IoU of disjoint boxes at eps, so that its linear loss is 1 - eps."""
    pred, target = one_box(0, 0, 10, 10), one_box(20, 20, 30, 30)
    ours, theirs = ours_and_stock("IoULoss", mode="linear", eps=1e-2)
    assert theirs(pred, target).item() == pytest.approx(0.99)
    assert ours(pred, target).item() == 1
    ours, theirs = ours_and_stock("IoULoss", eps=1e-2)
    assert theirs(pred, target).item() == pytest.approx(-math.log(1e-2), rel=1e-6)
    assert ours(pred, target).item() == pytest.approx(-math.log(1e-2), rel=1e-6)


def test_bounded_iou_of_a_good_fit_is_rounded_in_mmdet():
    """A centre off by 1e-4 of the width: the bound is 1 up to 4e-4, and the loss the square of what is missing."""
    pred, target = one_box(0.001, 0, 10.001, 10), one_box(0, 0, 10, 10)
    exact = oracle.bounded_iou(pred[0].tolist(), target[0].tolist())[0]
    ours, theirs = ours_and_stock("BoundedIoULoss", reduction="none")
    assert ours(pred, target)[0, 0].item() == pytest.approx(exact, rel=1e-5)
    assert abs(theirs(pred, target)[0, 0].item() / exact - 1) > 1e-4


# --------------------------------------------------------------------------------- losses that mmdet does not have


@pytest.mark.parametrize("name", ["WIoULoss", "PowerfulIoULoss", "UnifiedIoULoss", "InnerIoULoss", "NWDLoss"])
def test_losses_that_are_only_here(name):
    with pytest.raises(ValueError, match=name):
        stock(name)


def test_wise_iou_mean_moves_once_per_iteration():
    """The authors' code: ``mean = (1 - m) mean + m L``, then the loss of that mean, at every call."""
    p, t, momentum = (2.0, 3, 9, 11), (1.0, 2, 11, 10), 0.25
    cost, mean, theirs = float(oracle.iou_linear(p, t)), 1.0, []
    for _ in range(3):
        mean = (1 - momentum) * mean + momentum * cost
        theirs.append(oracle.wise_iou(p, t, mean=mean))
    loss = ml.WIoULoss(momentum=momentum)
    pred, target = one_box(*p, dtype=torch.float64).requires_grad_(), one_box(*t, dtype=torch.float64)
    ours = [loss(pred, target).item() for _ in range(3)]
    assert ours == pytest.approx([oracle.wise_iou(p, t)] * 3, rel=1e-6)
    assert len(set(theirs)) == 3
    ml.commit_statistics(loss)
    assert loss(pred, target).item() == pytest.approx(theirs[0], rel=1e-6)


def test_powerful_iou_factor_is_a_constant_here():
    pred, target = one_box(2, 3, 9, 11, dtype=torch.float64), one_box(1, 2, 11, 10, dtype=torch.float64)
    for options, gradient in (
        ({}, (0.076015527, 0.083699101, -0.076015527, 0.050608972)),
        ({"detach": False}, (0.092821378, 0.10470642, -0.092821378, 0.071616287)),
    ):
        _, grad = run(ml.PowerfulIoULoss(**options), pred, target)
        assert grad[0].tolist() == pytest.approx(gradient, rel=1e-6)


def test_inner_iou_of_the_authors_default_is_the_base():
    pred, target = one_box(2, 3, 9, 11), one_box(1, 2, 11, 10)
    assert torch.equal(ml.InnerIoULoss(ratio=1, base="ciou")(pred, target), ml.CIoULoss()(pred, target))
    assert ml.InnerIoULoss()(pred, target).item() == pytest.approx(0.488888889, rel=1e-6)


def test_nwd_of_a_match_is_not_zero_in_the_fork():
    square = one_box(5, 5, 15, 15, dtype=torch.float64)
    assert 1 - math.exp(-math.sqrt(1e-6) / 12.8) == pytest.approx(7.8e-5, rel=2e-3)
    for options in ({}, {"mode": "norm_sqrt"}):
        value, grad = run(ml.NWDLoss(**options), square, square)
        assert value.item() == 0
        assert (grad == 0).all()
    assert ml.NWDLoss(mode="norm_sqrt", gamma=2)(square, square).item() == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------- numeric accidents


@pytest.mark.parametrize(
    ("name", "wrong"), [("IoULoss", 0.0), ("GIoULoss", 0.0), ("DIoULoss", 0.5), ("SIoULoss", 0.5), ("EIoULoss", 0.45)]
)
def test_small_boxes_do_not_match_themselves_in_mmdet(name, wrong):
    """An eps of 1e-6 is added to the area of a box of 1e-3, as in normalised coordinates, which is 1e-6 as well."""
    ours, theirs = ours_and_stock(name, **({"neg_gamma": True} if name == "SIoULoss" else {}))
    square = one_box(0, 0, 1e-3, 1e-3)
    assert ours(square, square).item() == 0
    assert theirs(square, square).item() == pytest.approx(wrong, abs=1e-3)


def test_equal_points_are_nan_in_mmdets_siou():
    point = one_box(5, 5, 5, 5)
    assert stock("SIoULoss")()(point, point).isnan()
    value, grad = run(ml.SIoULoss(), point, point)
    assert value.item() == 1  # two boxes without area have IoU 0
    assert grad.isfinite().all()


def test_inverted_box_has_an_area_in_mmdet():
    """Its sides are negative and their product is not, so mmdet's union is larger than the enclosing box."""
    ours, theirs = ours_and_stock("GIoULoss")
    pred, target = one_box(10, 10, 5, 5), one_box(0, 0, 10, 10)
    assert theirs(pred, target).item() == pytest.approx(0.75)  # 1 - 0 + (100 - 125) / 100
    assert ours(pred, target).item() == 1


@pytest.mark.parametrize("name", ["CIoULoss", "SIoULoss"])
def test_half_precision_of_a_perfect_match_is_nan_in_mmdet(name):
    ours, theirs = ours_and_stock(name)
    for side in SIDES:
        square = one_box(0, 0, side, side, dtype=torch.float16)
        assert theirs(square, square).isnan()
        assert ours(square, square).item() == 0


@pytest.mark.parametrize("name", ["DIoULoss", "EIoULoss", "CIoULoss"])
def test_half_precision_overflows_in_mmdet(name):
    """The area of a box of 300 pixels is no half."""
    pred, target = one_box(0, 0, 300, 300, dtype=torch.float16), one_box(20, 10, 330, 320, dtype=torch.float16)
    ours, theirs = ours_and_stock(name)
    expected = ours(pred.float(), target.float())
    wrong = theirs(pred, target)
    assert not torch.allclose(wrong.float(), theirs(pred.float(), target.float()), rtol=0.05)
    assert ours(pred, target).dtype == torch.float32
    assert torch.equal(ours(pred, target), expected)


@pytest.mark.parametrize("name", ["IoULoss", "GIoULoss", "DIoULoss", "SIoULoss"])
def test_result_of_half_inputs_is_half_in_mmdet(name):
    pred, target = one_box(0, 0, 30, 30, dtype=torch.float16), one_box(2, 1, 33, 32, dtype=torch.float16)
    ours, theirs = ours_and_stock(name)
    assert theirs(pred, target).dtype == torch.float16
    assert ours(pred, target).dtype == torch.float32


def test_probabilities_under_autocast_raise_in_mmdet():
    """TOOD's activated focal losses. torch refuses its binary cross-entropy under autocast on CUDA only."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pred, label, score = torch.rand(6, CLASSES, device=device), torch.arange(6, device=device) % CLASSES, torch.rand(6)
    for name, target in (("FocalLoss", label), ("QualityFocalLoss", (label, score.to(device)))):
        ours, theirs = ours_and_stock(name, activated=True)
        expected = ours(pred, target)
        with torch.autocast(device, dtype=torch.bfloat16):
            assert torch.equal(ours(pred, target), expected)
            if device == "cuda":
                with pytest.raises(RuntimeError, match="autocast"):
                    theirs(pred, target)


# --------------------------------------------------------------------------------------- weights and reduction


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_row_of_weight_zero_poisons_mmdet(name):
    ours, theirs = ours_and_stock(name)
    target = torch.tensor([[0.0, 0, 10, 10], [0, 0, 0, 0]])
    pred = torch.tensor([[1.0, 1, 12, 10], [math.nan] * 4])
    weight = torch.tensor([1.0, 0.0])
    stock_weight = weight[:, None].expand(2, 4) if name not in BOX_NAMES else weight
    value, grad = run(theirs, pred, target, stock_weight, avg_factor=1.0)
    assert value.isnan()
    value, grad = run(ours, pred, target, weight, avg_factor=1.0)
    alone, alone_grad = run(ours, pred[:1], target[:1], avg_factor=1.0)
    torch.testing.assert_close(value, alone, rtol=1e-6, atol=0)
    assert torch.equal(grad, torch.cat([alone_grad, torch.zeros(1, 4)]))


@pytest.mark.parametrize("name", ["FocalLoss", "VarifocalLoss", "CrossEntropyLoss"])
def test_logit_of_weight_zero_poisons_mmdet(name):
    ours, theirs = ours_and_stock(name, **({"use_sigmoid": True} if name == "CrossEntropyLoss" else {}))
    pred = torch.tensor([[1.0, -1.0], [math.inf, math.nan]])
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    weight = torch.tensor([[1.0], [0.0]])
    assert theirs(pred, target, weight).isnan()
    assert ours(pred, target, weight).isfinite()


@pytest.mark.parametrize(
    "name", ["GIoULoss", "DIoULoss", "CIoULoss", "EIoULoss", "SIoULoss", "L1Loss", "SmoothL1Loss", "BoundedIoULoss"]
)
def test_none_loses_its_shape_in_mmdet(name):
    """With all weights 0, which FSAF and PAA can meet."""
    ours, theirs = ours_and_stock(name, reduction="none")
    pred, target = torch.rand(3, 4) + torch.tensor([0.0, 0, 2, 2]), torch.rand(3, 4) + torch.tensor([0.0, 0, 2, 2])
    weight = torch.zeros(3) if name in BOX_NAMES else torch.zeros(3, 4)
    assert theirs(pred, target, weight).shape == ()
    assert ours(pred, target, weight).shape == ((3,) if name in BOX_NAMES else (3, 4))


def test_sum_with_avg_factor_passes_in_mmdet_when_all_weights_are_zero():
    ours, theirs = ours_and_stock("GIoULoss", reduction="sum")
    boxes = one_box(0, 0, 10, 10)
    assert theirs(boxes, boxes, torch.zeros(1), avg_factor=2.0) == 0
    for loss in (ours, theirs):
        with pytest.raises(ValueError, match="avg_factor"):
            loss(boxes, boxes, torch.ones(1), avg_factor=2.0)
    with pytest.raises(ValueError, match="avg_factor"):
        ours(boxes, boxes, torch.zeros(1), avg_factor=2.0)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_avg_factor_has_an_eps_in_mmdet(name):
    """At FCOS's floor of 1e-6 it takes 11 % off the loss."""
    ours, theirs = ours_and_stock(name, **({"neg_gamma": True} if name == "SIoULoss" else {}))
    pred, target = one_box(2, 3, 9, 11, dtype=torch.float64), one_box(1, 2, 11, 10, dtype=torch.float64)
    eps = 1.1920928955078125e-07
    mine, other = (loss(pred, target, avg_factor=1e-6).item() for loss in (ours, theirs))
    total, other_total = (loss(pred, target, reduction_override="sum").item() for loss in (ours, theirs))
    assert mine == pytest.approx(total / 1e-6, rel=1e-12)
    assert other == pytest.approx(other_total / (1e-6 + eps), rel=1e-9)
    assert other / other_total == pytest.approx(0.8935 * mine / total, rel=1e-3)


def test_avg_factor_zero_is_huge_in_mmdet():
    ours, theirs = ours_and_stock("GIoULoss")
    pred, target = one_box(2, 3, 9, 11), one_box(1, 2, 11, 10)
    assert theirs(pred, target, avg_factor=0).item() > 1e6
    assert ours(pred, target, avg_factor=0).item() == 0


@pytest.mark.parametrize("name", [*BOX_NAMES, "MSELoss", "FocalLoss", "DistributionFocalLoss"])
def test_mean_of_empty_input_is_nan_in_mmdet(name):
    ours, theirs = ours_and_stock(name)
    columns = {"FocalLoss": CLASSES, "DistributionFocalLoss": 9}.get(name, 4)
    pred = torch.zeros(0, columns)
    target = torch.zeros(0) if name == "DistributionFocalLoss" else torch.zeros(0, columns)
    assert theirs(pred, target).isnan()
    value, grad = run(ours, pred, target)
    assert value.item() == 0
    assert grad.shape == pred.shape


def test_empty_masks_are_nan_in_mmdet():
    ours, theirs = ours_and_stock("CrossEntropyLoss", use_mask=True)
    arguments = torch.zeros(0, CLASSES, 7, 7), torch.zeros(0, 7, 7), torch.zeros(0, dtype=torch.long)
    assert theirs(*arguments).isnan().all()
    assert run(ours, *arguments)[0].item() == 0


def test_mask_result_is_a_scalar_here():
    arguments = torch.zeros(2, CLASSES, 7, 7), torch.zeros(2, 7, 7), torch.zeros(2, dtype=torch.long)
    ours, theirs = ours_and_stock("CrossEntropyLoss", use_mask=True)
    assert theirs(*arguments).shape == (1,)
    assert ours(*arguments).shape == ()
    assert ours(*arguments).item() == pytest.approx(math.log(2))
    with pytest.raises(AssertionError):
        theirs(*arguments, avg_factor=4.0)
    assert ours(*arguments, avg_factor=49.0).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("name", BOX_NAMES)
def test_weight_column_fails_in_mmdet(name):
    """mmyolo's heads pass a weight ``(n, 1)``."""
    ours, theirs = ours_and_stock(name)
    pred, target = torch.tensor([[0.0, 0, 10, 10]] * 3), torch.tensor([[1.0, 1, 12, 10]] * 3)
    weight = torch.tensor([[0.5], [1.0], [0.0]])
    with pytest.raises(AssertionError):
        theirs(pred, target, weight)
    assert torch.equal(ours(pred, target, weight), ours(pred, target, weight[:, 0]))


@pytest.mark.parametrize(
    "name", ["L1Loss", "SmoothL1Loss", "MSELoss", "BalancedL1Loss", "BoundedIoULoss", "VarifocalLoss"]
)
def test_weight_per_row_weighs_columns_in_mmdet(name):
    """Where there are as many rows as columns; everywhere else it raises there."""
    ours, theirs = ours_and_stock(name, reduction="none")
    pred, target = torch.rand(4, 4), torch.rand(4, 4)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(theirs(pred, target, weight), theirs(pred, target) * weight)
    torch.testing.assert_close(ours(pred, target, weight), ours(pred, target) * weight[:, None])
    with pytest.raises(RuntimeError):
        theirs(pred[:3], target[:3], weight[:3])
    torch.testing.assert_close(ours(pred[:3], target[:3], weight[:3]), ours(pred, target, weight)[:3])


def test_quality_focal_weight_per_class_multiplies_rows_in_mmdet():
    """A weight ``(n, c)`` makes mmdet's result ``(n, n)`` where n == c."""
    ours, theirs = ours_and_stock("QualityFocalLoss", reduction="none")
    pred, target = torch.rand(4, 4), torch.rand(4, 4)
    weight = torch.rand(4, 4)
    assert theirs(pred, target, weight).shape == (4, 4)
    with pytest.raises(ValueError, match="weight"):
        ours(pred, target, weight)


# ----------------------------------------------------------------------------------------------------- targets


def test_dfl_label_of_the_last_bin_fails_in_mmdet():
    ours, theirs = ours_and_stock("DistributionFocalLoss", reduction="none")
    logits = torch.tensor([[0.0, 1, 2, -1, 0.5]])
    with pytest.raises(IndexError):
        theirs(logits, torch.tensor([4.0]))
    assert ours(logits, torch.tensor([4.0])).item() == pytest.approx(2.07443794, rel=1e-6)


def test_dfl_label_below_zero_is_extrapolated_in_mmdet():
    ours, theirs = ours_and_stock("DistributionFocalLoss", reduction="none")
    logits = torch.tensor([[0.0, 1, 2, -1, 0.5]])
    label = torch.tensor([-0.4])
    first, second = 2.57443794, 1.57443794
    assert theirs(logits, label).item() == pytest.approx(1.4 * first - 0.4 * second, rel=1e-6)
    assert ours(logits, label).item() == pytest.approx(first, rel=1e-6)


def test_focal_label_below_zero_fails_in_mmdet_on_a_cpu():
    ours, theirs = ours_and_stock("FocalLoss")
    logits = torch.rand(2, CLASSES)
    with pytest.raises(RuntimeError):
        theirs(logits, torch.tensor([0, -1]))
    assert torch.equal(ours(logits, torch.tensor([0, -1])), ours(logits, torch.tensor([0, CLASSES])))


def test_focal_of_three_axes_fails_in_mmdet():
    """YOLOv3's and YOLOX's heads, with labels."""
    ours, theirs = ours_and_stock("FocalLoss", reduction="none")
    logits, label = torch.rand(2, 3, CLASSES), torch.randint(0, CLASSES + 1, (2, 3))
    with pytest.raises((RuntimeError, IndexError, AssertionError)):
        theirs(logits, label)
    flat = ours(logits.flatten(0, 1), label.flatten())
    torch.testing.assert_close(ours(logits, label), flat.reshape(logits.shape))


def test_softmax_focal_is_refused_in_mmdet():
    with pytest.raises(AssertionError, match="Only sigmoid"):
        stock("FocalLoss")(use_sigmoid=False)
    logits, label = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([1])
    loss = ml.FocalLoss(use_sigmoid=False, reduction="none")
    assert loss(logits, label).tolist() == pytest.approx([0.001036064327], rel=1e-5)


def test_alpha_per_class_fails_in_mmdet():
    logits, label = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([1])
    for alpha in ([0.25, 0.5, 0.75], None):
        ours, theirs = ours_and_stock("FocalLoss", alpha=alpha)
        with pytest.raises(TypeError):
            theirs(logits, label)
        assert ours(logits, label).isfinite()


def test_focal_custom_ignores_activated_in_mmdet():
    """Probabilities are taken for logits there."""
    ours, theirs = ours_and_stock("FocalCustomLoss", num_classes=CLASSES, activated=True)
    prob, label = torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.0]]), torch.tensor([0])
    # with alpha 1/4 and gamma 2: an object at 1/2, and elements that are no object at 0
    expected = 0.25 * 0.5**2 * math.log(2) / CLASSES
    assert ours(prob, label).item() == pytest.approx(expected, rel=1e-5)
    # the sigmoid of 1/2, and of 0
    own = 1 / (1 + math.exp(-0.5))
    taken_for_logits = (0.25 * (1 - own) ** 2 * -math.log(own) + 4 * 0.75 * 0.5**2 * math.log(2)) / CLASSES
    assert theirs(prob, label).item() == pytest.approx(taken_for_logits, rel=1e-5)
    assert taken_for_logits > 10 * expected


def test_half_heat_map_is_nan_in_mmdet():
    """1e-12 is no half, so that a sigmoid that rounds to 1 has an infinite logarithm, times 0 at a peak."""
    ours, theirs = ours_and_stock("GaussianFocalLoss")
    prob = torch.tensor([[20.0, -3.0]]).sigmoid().half()
    assert theirs(prob, torch.tensor([[1.0, 0.0]]).half()).isnan()
    value, grad = run(ours, prob, torch.tensor([[1.0, 0.0]]).half())
    assert value.isfinite()
    assert grad.isfinite().all()
    assert theirs(prob, torch.zeros(1, 2).half()).isinf()
    assert run(ours, prob, torch.zeros(1, 2).half())[0].isfinite()


def test_named_peaks_in_mmdet():
    """With ``pos_inds`` mmdet averages peaks and negatives apart, drops the weight, and cannot leave it unreduced."""
    ours, theirs = ours_and_stock("GaussianFocalLoss")
    prob, heat = torch.rand(6, CLASSES), torch.rand(6, CLASSES)
    named = {"pos_inds": torch.tensor([1, 4, 5]), "pos_labels": torch.tensor([0, 2, 2])}
    positive = -((1 - prob[[1, 4, 5], [0, 2, 2]]) ** 2 * prob[[1, 4, 5], [0, 2, 2]].log()).sum()
    negative = -((1 - heat) ** 4 * prob**2 * (1 - prob).log()).sum()
    torch.testing.assert_close(theirs(prob, heat, **named), positive / 3 + negative / (6 * CLASSES))
    torch.testing.assert_close(ours(prob, heat, **named), (positive + negative) / (6 * CLASSES))

    none = {key: value[:0] for key, value in named.items()}
    assert theirs(prob, heat, **none).isnan()
    torch.testing.assert_close(ours(prob, heat, **none), negative / (6 * CLASSES))

    half = torch.full((6, 1), 0.5)
    assert theirs(prob, heat, **named, weight=half, avg_factor=3) == theirs(prob, heat, **named, avg_factor=3)
    torch.testing.assert_close(
        ours(prob, heat, **named, weight=half, avg_factor=3), ours(prob, heat, **named, avg_factor=3) / 2
    )
    with pytest.raises(RuntimeError, match="must match the size"):
        theirs(prob, heat, **named, reduction_override="none")
    assert ours(prob, heat, **named, reduction_override="none").shape == prob.shape


def test_unknown_keywords_raise():
    boxes = one_box(0, 0, 10, 10)
    with pytest.raises((TypeError, ValueError), match="wieght"):
        ml.CrossEntropyLoss()(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), wieght=torch.zeros(1))
    with pytest.raises((TypeError, ValueError), match="wieght"):
        ml.GIoULoss()(boxes, boxes, wieght=torch.zeros(1))


def test_smooth_l1_beta_zero_is_allowed_here():
    d = torch.tensor([[0.0, 1.0, -2.0, 0.5]])
    value, grad = run(ml.SmoothL1Loss(beta=0.0, reduction="sum"), d, torch.zeros_like(d))
    assert value.item() == 3.5
    assert grad.tolist() == [[0.0, 1.0, -1.0, 1.0]]
    with pytest.raises(AssertionError):
        stock("SmoothL1Loss")(beta=0.0)(d, torch.zeros_like(d))


# -------------------------------------------------------------------------------------------------- statistics


def test_harmonized_losses_start_too_large_in_mmdet():
    """Its running mean starts at 0, so that with momentum 0.75 the first loss is four times what it should be."""
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(50, CLASSES, generator=g), torch.randint(0, CLASSES + 1, (50,), generator=g)
    weight = torch.ones(50)
    plain = stock("GHMC")()(pred, target, weight).item()
    ours, theirs = ours_and_stock("GHMC", momentum=0.75)
    assert theirs(pred, target, weight).item() == pytest.approx(4 * plain, rel=1e-5)
    assert ours(pred, target, weight).item() == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "columns", "buffer"),
    [
        ("GHMC", {"momentum": 0.75}, 5, "acc_sum"),
        ("SeesawLoss", {"num_classes": 5}, 7, "cum_samples"),
        ("EQLV2Loss", {"num_classes": 5}, 6, "pos_grad"),
    ],
)
def test_statistics_move_in_each_call_in_mmdet(name, options, columns, buffer):
    """Also in evaluation, when a head scores candidates, and at every level of a pyramid; each process for itself."""
    ours, theirs = ours_and_stock(name, **options)
    pred, label, weight = torch.zeros(4, columns), torch.tensor([0, 1, 2, 5]), torch.ones(4)
    for loss in (ours.eval(), theirs.eval()):
        with torch.no_grad():
            loss(pred, label, weight)
    assert getattr(theirs, buffer).any()
    assert not getattr(ours, buffer).any()
    moved = getattr(theirs, buffer).clone()
    theirs(pred, label, weight)
    assert not torch.equal(getattr(theirs, buffer), moved)
    ours.train()(pred.requires_grad_(), label, weight)
    assert not getattr(ours, buffer).any()
    ml.commit_statistics(ours)
    assert getattr(ours, buffer).any()


def test_harmonized_weight_is_a_mask_in_mmdet():
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(9, 4, generator=g), torch.randn(9, 4, generator=g)
    half = torch.full((9, 4), 0.5)
    ours, theirs = ours_and_stock("GHMR")
    one = theirs(pred, target, torch.ones(9, 4)).item()
    assert theirs(pred, target, half).item() == pytest.approx(one, rel=1e-5)
    assert ours(pred, target, torch.ones(9, 4)).item() == pytest.approx(one, rel=1e-5)
    assert ours(pred, target, half).item() == pytest.approx(0.5 * one, rel=1e-5)
    assert ours(pred, target).item() == pytest.approx(one, rel=1e-5)
    with pytest.raises(TypeError):
        theirs(pred, target)


def test_sum_of_harmonized_losses_fails_in_mmdet():
    pred, target, weight = torch.tensor([[0.0, 2, -1]]), torch.tensor([1]), torch.ones(1)
    ours, theirs = ours_and_stock("GHMC", reduction="sum")
    with pytest.raises(ValueError, match="avg_factor"):
        theirs(pred, target, weight)
    assert ours(pred, target, weight).item() == pytest.approx(3 * 0.3777789597, rel=1e-6)


def test_seesaw_counts_itself_in_mmdet():
    """The rows of the call, and those of weight 0, are in the counts that it uses; here those of the past are."""
    pred, label = torch.tensor([[0.0, 2, 0, 0]] * 10), torch.tensor([0] * 9 + [1])
    ours, theirs = ours_and_stock("SeesawLoss", num_classes=2, q=0.0)
    first = ours(pred, label)["loss_cls_classes"].item()
    assert first == pytest.approx((9 * math.log1p(math.exp(2)) + math.log1p(math.exp(-2))) / 10, rel=1e-6)
    assert theirs(pred, label)["loss_cls_classes"].item() == pytest.approx(
        (9 * math.log1p((1 / 9) ** 0.8 * math.exp(2)) + math.log1p(math.exp(-2))) / 10, rel=1e-6
    )
    ours, theirs = ours_and_stock("SeesawLoss", num_classes=2)
    for loss in (ours, theirs):
        loss(pred.clone().requires_grad_(), label, torch.zeros(10))
    ml.commit_statistics(ours)
    assert theirs.cum_samples.tolist() == [9, 1, 0]
    assert ours.cum_samples.tolist() == [0, 0, 0]


def test_seesaw_mean_is_over_objects_in_mmdet():
    """Without ``avg_factor``, which ``BBoxHead`` always passes."""
    pred, label = torch.tensor([[0.0, 2, 0, 0]] * 4), torch.tensor([1, 2, 2, 2])
    ours, theirs = ours_and_stock("SeesawLoss", num_classes=2)
    assert theirs(pred, label)["loss_cls_classes"].item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-6)
    assert ours(pred, label)["loss_cls_classes"].item() == pytest.approx(math.log1p(math.exp(-2)) / 4, rel=1e-6)
    rows = ours(pred, label, reduction_override="none")
    assert {name: value.shape for name, value in rows.items()} == dict.fromkeys(rows, (4,))


def test_equalization_v2_ignores_its_arguments_in_mmdet():
    pred, label = torch.tensor([[0.0, 2, -1, -2]] * 2), torch.tensor([1, 3])
    weight, channels = torch.tensor([1.0, 0.0]), [2.0] * 4
    plain = stock("EQLV2Loss")(num_classes=3)(pred, label).item()

    def both(call, **options):
        args = call.pop("weight", None)
        return [loss(pred, label, args, **call) for loss in ours_and_stock("EQLV2Loss", num_classes=3, **options)]

    for call, options, expected in (
        ({"weight": weight}, {}, 1.26026489 / 2),
        ({"avg_factor": 8.0}, {}, plain / 4),
        ({"reduction_override": "sum"}, {}, 2 * plain),
        ({}, {"reduction": "sum"}, 2 * plain),
        ({}, {"class_weight": channels}, 2 * plain),
    ):
        ours, theirs = both(dict(call), **options)
        assert theirs.item() == pytest.approx(plain, rel=1e-6)
        assert ours.item() == pytest.approx(expected, rel=1e-6)
    ours, theirs = both({"reduction_override": "none"})
    assert theirs.shape == ()
    assert ours.tolist() == pytest.approx([1.26026489, 2 * plain - 1.26026489], rel=1e-6)


def test_equalization_v2_is_tested_with_a_softmax_in_mmdet():
    """``BBoxHead`` asks for flags that mmdet's class does not have, and never for its sigmoids."""
    from mmdet.models.roi_heads import BBoxHead

    from mmdet_losses.registry import stock_losses

    options = dict(num_classes=3, in_channels=4, with_avg_pool=True, with_reg=True)
    loss = dict(type="EQLV2Loss", num_classes=3)
    ours = BBoxHead(loss_cls=loss, **options)
    with stock_losses():
        theirs = BBoxHead(loss_cls=loss, **options)
    assert type(theirs.loss_cls) is stock("EQLV2Loss")
    assert not theirs.custom_cls_channels
    assert not theirs.custom_activation
    assert ours.custom_cls_channels
    assert ours.custom_activation
    logits, rois = torch.tensor([[0.0, 2, -1, -2]]), torch.tensor([[0.0, 0, 0, 8, 8]])
    predicted = [
        head._predict_by_feat_single(rois, logits, torch.zeros(1, 12), dict(img_shape=(32, 32)), rcnn_test_cfg=None)
        for head in (ours, theirs)
    ]
    assert torch.allclose(predicted[1].scores, logits.softmax(-1))
    objects = logits[:, :3].sigmoid() * (1 - logits[:, 3:].sigmoid())
    assert torch.allclose(predicted[0].scores, torch.cat([objects, logits[:, 3:].sigmoid()], 1))
