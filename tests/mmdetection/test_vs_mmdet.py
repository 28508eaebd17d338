"""Where MMDetection is right, values and gradients agree with its own classes to 1e-5 in float32."""

from dataclasses import replace

import pytest
import torch
from cases import (
    BOX_CASES,
    CASES,
    CLASSES,
    CLS_CASES,
    COORDINATE_CASES,
    DFL_CASES,
    map_target,
    over,
)

import mmdet_losses as ml
from mmdet_losses.registry import stock

pytest.importorskip("mmdet.models")

N = 60

# our case -> mmdet's name and options; what is not here mmdet does not have, or means something else by
STOCK_OPTIONS = {
    "L1Loss": {},
    "MSELoss": {},
    "SmoothL1Loss": {},
    "SmoothL1Loss-beta=0.111": {"beta": 1 / 9},
    "BalancedL1Loss": {},
    "IoULoss": {},
    "IoULoss-mode=linear": {"mode": "linear"},
    "IoULoss-mode=square": {"mode": "square"},
    "GIoULoss": {},
    "DIoULoss": {},
    "CIoULoss-alpha_gate=0.5": {},
    "ExtendedIoULoss": {},
    "SIoULoss": {"neg_gamma": True},
    "BoundedIoULoss": {},
    "BoundedIoULoss-beta=0.5-eps=0": {"beta": 0.5, "eps": 0.0},
    "CrossEntropyLoss-softmax": {},
    "CrossEntropyLoss-use_sigmoid=True-labels": {"use_sigmoid": True},
    "CrossEntropyLoss-use_sigmoid=True-dense": {"use_sigmoid": True},
    "FocalLoss-labels": {},
    "FocalLoss-dense": {},
    "FocalLoss-activated=True": {"activated": True},
    "QualityFocalLoss-labels": {},
    "QualityFocalLoss-dense": {},
    "QualityFocalLoss-activated=True-labels": {"activated": True},
    "QualityFocalLoss-activated=True-dense": {"activated": True},
    "VarifocalLoss": {},
    "VarifocalLoss-iou_weighted=False": {"iou_weighted": False},
    "GaussianFocalLoss-activated=True": {},
    "CrossEntropyCustomLoss-num_classes=5-labels": {"num_classes": 5},
    "CrossEntropyCustomLoss-use_sigmoid=True-num_classes=5-labels": {"use_sigmoid": True, "num_classes": 5},
    "FocalCustomLoss-num_classes=5-labels": {"num_classes": 5},
    "DistributionFocalLoss": {},
    "DiceLoss": {},
    "DiceLoss-naive_dice=True": {"naive_dice": True},
    "DiceLoss-naive_dice=True-eps=1": {"naive_dice": True, "eps": 1.0},
    "DiceLoss-activate=False": {"activate": False},
    "KnowledgeDistillationKLDivLoss": {},
}
SHARED = [case for case in CASES if case.id in STOCK_OPTIONS]


def stock_of(case, **more):
    name = {"ExtendedIoULoss": "EIoULoss"}.get(case.name, case.name)
    return stock(name)(**STOCK_OPTIONS[case.id], **more)


def run(loss, pred, target, weight=None, **call):
    pred = pred.clone().requires_grad_()
    # the third argument is the weight in all of mmdet's losses but this
    args, more = ((), {"weight": weight}) if type(loss) is stock("GaussianFocalLoss") else ((weight,), {})
    value = loss(pred, target, *args, **more, **call)
    value.backward(torch.linspace(0.5, 2, value.numel()).reshape(value.shape))
    return value.detach(), pred.grad


def assert_agree(ours, theirs, context) -> None:
    (value, grad), (stock_value, stock_grad) = ours, theirs
    assert value.shape == stock_value.shape, context
    torch.testing.assert_close(
        value, stock_value, rtol=1e-5, atol=1e-5 * float(stock_value.abs().max()), msg=str(context)
    )
    scale = stock_grad.abs().max()
    assert (grad - stock_grad).abs().max() <= 1e-5 * scale, (context, ((grad - stock_grad).abs().max() / scale).item())


def test_every_shared_loss_is_compared():
    assert {case.id for case in SHARED} == set(STOCK_OPTIONS)


def row_weight(seed: int) -> torch.Tensor:
    weight = torch.rand(N, generator=torch.Generator().manual_seed(seed))
    weight[::3] = 0
    return weight


@over(SHARED)
def test_agrees(case):
    """Every reduction, weight and divisor that both accept."""
    rows = row_weight(0)
    per_element = case.kind in ("coordinate", "sides") or case.name in ("VarifocalLoss", "GaussianFocalLoss")
    weights = {"none": None, "rows": rows, "ones": torch.ones(N)}
    pred, target = case.batch(N, seed=11)
    if case.kind == "box":
        weights["boxes"] = torch.rand(N, 4, generator=torch.Generator().manual_seed(1))
    elif per_element:
        # mmdet multiplies, so a weight per row has to be (n, 1) there
        weights["rows"] = rows[:, None]
        weights["elements"] = torch.rand(pred.shape, generator=torch.Generator().manual_seed(1))
    elif case.name in ("FocalLoss", "FocalCustomLoss"):
        weights["flat"] = torch.rand(pred.numel(), generator=torch.Generator().manual_seed(1))
        weights["elements"] = weights["flat"].reshape(pred.shape)
    elif case.id == "CrossEntropyLoss-use_sigmoid=True-dense":
        weights["rows"] = rows[:, None]
        weights["elements"] = torch.rand(pred.shape, generator=torch.Generator().manual_seed(1))
    if per_element or (case.form == "dense" and not case.per_row):
        weights["ones"] = torch.ones(N, 1)
    calls = [{}, *({"reduction_override": reduction} for reduction in ("none", "mean", "sum"))]
    calls += [{"avg_factor": 12}, {"avg_factor": 12.5}, {"avg_factor": torch.tensor(12.0)}]
    calls += [{"avg_factor": 12.0, "reduction_override": "none"}]
    for label, weight in weights.items():
        for call in calls:
            ours = run(case.build(loss_weight=1.5), pred, target, weight, **call)
            theirs = run(stock_of(case, loss_weight=1.5), pred, target, weight, **call)
            assert_agree(ours, theirs, (label, call))


@over(SHARED)
def test_same_defaults_and_positions(case):
    """A config or a call that works with mmdet's class builds the same loss here."""
    import inspect

    theirs = list(inspect.signature(stock_of(case).__class__.__init__).parameters.values())[1:]
    ours = list(inspect.signature(case.loss_class.__init__).parameters.values())[1:]
    for position, parameter in enumerate(theirs):
        assert ours[position].name == parameter.name
        if (case.name, parameter.name) != ("SIoULoss", "neg_gamma"):
            assert ours[position].default == parameter.default
    named = (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
    assert all(parameter.kind in named for parameter in ours[len(theirs) :])


@over(SHARED)
def test_same_attributes(case):
    """What heads and tests read from the object."""
    ours, theirs = case.build(), stock_of(case)
    known = (
        "use_sigmoid",
        "use_mask",
        "loss_weight",
        "reduction",
        "beta",
        "alpha",
        "gamma",
        "activated",
        "iou_weighted",
    )
    known += ("num_classes", "pos_weight", "neg_weight", "custom_cls_channels", "custom_activation", "custom_accuracy")
    known += ("eps", "mode", "class_weight", "ignore_index", "avg_non_ignore", "smooth_point", "linear")
    for name in known:
        if hasattr(theirs, name):
            assert getattr(ours, name) == getattr(theirs, name), name


def test_isinstance_of_mmdets_classes():
    """DETR heads ask for QualityFocalLoss, DynamicRoIHead for SmoothL1Loss, whose beta it sets."""
    assert isinstance(ml.QualityFocalLoss(), stock("QualityFocalLoss"))
    loss = ml.SmoothL1Loss()
    assert isinstance(loss, stock("SmoothL1Loss"))
    loss.beta = 0.25
    pred, target = COORDINATE_CASES[0].batch()
    assert_agree(run(loss, pred, target), run(stock("SmoothL1Loss")(beta=0.25), pred, target), "beta")


CE_OPTIONS = [
    {"class_weight": [0.5, 1.0, 2.0, 0.1, 3.0]},
    {"ignore_index": 2},
    {"ignore_index": 2, "avg_non_ignore": True},
    {"ignore_index": 2, "avg_non_ignore": True, "class_weight": [0.5, 1.0, 2.0, 0.1, 3.0]},
    {"ignore_index": 255, "avg_non_ignore": True},
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", CE_OPTIONS, ids=str)
@over([case for case in SHARED if case.name == "CrossEntropyLoss"])
def test_cross_entropy_options(case, options):
    pred, target = case.batch(N, seed=3)
    if case.form == "dense" and "ignore_index" in options:
        target[5] = options["ignore_index"]
        target[6, 1] = -1
    if case.form == "labels":
        target[7] = -1
    if options.get("ignore_index") == 255 and case.form != "dense":
        target[:9] = 255
    rows = row_weight(2)
    for weight in (None, rows[:, None] if case.form == "dense" else rows):
        for call in ({}, {"reduction_override": "none"}, {"reduction_override": "sum"}, {"avg_factor": 9.0}):
            ours = run(case.build(**options), pred, target, weight, **call)
            theirs = run(stock_of(case, **options), pred, target, weight, **call)
            assert_agree(ours, theirs, (call, weight is None))


def test_ignore_index_of_the_call():
    pred, target = CLS_CASES[0].batch(N)
    for options in ({}, {"ignore_index": 1}):
        with pytest.warns(Warning) if options else torch.no_grad():
            ours, theirs = ml.CrossEntropyLoss(**options), stock("CrossEntropyLoss")(**options)
        assert_agree(run(ours, pred, target, ignore_index=3), run(theirs, pred, target, ignore_index=3), options)


def test_class_weight_in_double_precision():
    pred, target = CLS_CASES[0].batch(N, torch.float64)
    options = {"class_weight": [0.5, 1.0, 2.0, 0.1, 3.0]}
    for sigmoid in (False, True):
        ours = ml.CrossEntropyLoss(use_sigmoid=sigmoid, **options)(pred, target)
        theirs = stock("CrossEntropyLoss")(use_sigmoid=sigmoid, **options)(pred, target)
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-6, atol=0)


def test_dense_softmax_targets_of_maps():
    """Segmentation heads: ``(n, c, h, w)`` logits with ``(n, h, w)`` labels and weights."""
    g = torch.Generator().manual_seed(0)
    pred = torch.randn(2, CLASSES, 3, 4, generator=g)
    label = torch.randint(0, CLASSES, (2, 3, 4), generator=g)
    weight = torch.rand(2, 3, 4, generator=g)
    for call in ({}, {"reduction_override": "none"}, {"avg_factor": 5.0}):
        ours = run(ml.CrossEntropyLoss(), pred, label, weight, **call)
        assert_agree(ours, run(stock("CrossEntropyLoss")(), pred, label, weight, **call), call)


def test_masks():
    """Mask R-CNN: the third argument is the class. mmdet's result has shape (1,)."""
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(6, CLASSES, 7, 7, generator=g), (torch.rand(6, 7, 7, generator=g) < 0.5).float()
    label = torch.randint(0, CLASSES, (6,), generator=g)
    value, grad = run(ml.CrossEntropyLoss(use_mask=True, loss_weight=2.0), pred, target, label)
    stock_value, stock_grad = run(stock("CrossEntropyLoss")(use_mask=True, loss_weight=2.0), pred, target, label)
    torch.testing.assert_close(value, stock_value.squeeze(), rtol=1e-5, atol=0)
    torch.testing.assert_close(grad, stock_grad, rtol=1e-5, atol=1e-8)
    # class-agnostic heads have one channel and pass zeros
    agnostic = pred[:, :1]
    value, _ = run(ml.CrossEntropyLoss(use_mask=True), agnostic, target, torch.zeros_like(label))
    stock_value, _ = run(stock("CrossEntropyLoss")(use_mask=True), agnostic, target, torch.zeros_like(label))
    torch.testing.assert_close(value, stock_value.squeeze(), rtol=1e-5, atol=0)


@over([case for case in SHARED if case in BOX_CASES or case in DFL_CASES])
def test_large_and_small_but_ordinary(case):
    """Boxes from a few pixels in stride units to a whole large image."""
    pred, target = case.batch(N, seed=21)
    for factor in (1 / 8, 4.0) if case.kind == "box" else (1.0,):
        scaled = pred * factor, map_target(target, lambda x, factor=factor: x * factor)
        ours, theirs = run(case.build(), *scaled), run(stock_of(case), *scaled)
        assert_agree(ours, theirs, factor)


def test_class_is_replaced_under_its_name():
    from mmdet.registry import MODELS

    for case in SHARED:
        assert MODELS.get(case.name) is case.loss_class
        built = MODELS.build({"type": case.name, **case.options})
        assert type(built) is case.loss_class
    assert replace(SHARED[0]).id == SHARED[0].id


# --------------------------------------------------------------------------------------- losses with statistics


@pytest.mark.parametrize("name", ["GHMC", "GHMR", "SeesawLoss", "EQLV2Loss"])
def test_losses_with_statistics_have_the_same_options_and_buffers(name):
    """A config, a call by position and a checkpoint of MMDetection's class fit."""
    import inspect

    theirs = list(inspect.signature(stock(name).__init__).parameters.values())[1:]
    ours = list(inspect.signature(getattr(ml, name).__init__).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs]
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    assert all(parameter.kind in named for parameter in ours[len(theirs) :])
    options = {"momentum": 0.75} if name.startswith("GHM") else {"num_classes": CLASSES}
    source, loss = stock(name)(**options), getattr(ml, name)(**options)
    for buffer in source.buffers():
        buffer.uniform_(1, 2)
    loss.load_state_dict(source.state_dict(), strict=True)
    stock(name)(**options).load_state_dict(loss.state_dict(), strict=True)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in loss.state_dict().items())


@pytest.mark.parametrize("bins", [1, 10, 30])
@over([case for case in CASES if case.name in ("GHMC", "GHMR") and not case.prepare])
def test_gradient_harmonizing(case, bins):
    """Without a momentum, for weights of 0 and 1; mmdet divides by what counts, whatever ``avg_factor`` says."""
    pred, target = case.batch(N, seed=4)
    pred = pred * 0.03 if case.name == "GHMR" else pred
    rows = (torch.rand(N, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    elements = (torch.rand(pred.shape, generator=torch.Generator().manual_seed(2)) < 0.6).float()
    whole = pred.shape if case.name == "GHMR" or case.form == "dense" else (N,)
    ours, theirs = (kind(bins=bins, loss_weight=1.5) for kind in (case.loss_class, stock(case.name)))
    for weight in (torch.ones(whole), torch.zeros(whole), rows if len(whole) == 1 else elements):
        for call in ({}, {"avg_factor": 3.0}, {"reduction_override": "none"}):
            context = (weight.shape, call)
            assert_agree(run(ours, pred, target, weight, **call), run(theirs, pred, target, weight, **call), context)
            assert torch.equal(ours(pred, target, label_weight=weight, **call), ours(pred, target, weight, **call))


def test_seesaw():
    """With mmdet's counts, which it moves before it uses them; and the counts are the same."""
    ours, theirs = (kind(num_classes=CLASSES, loss_weight=1.5) for kind in (ml.SeesawLoss, stock("SeesawLoss")))
    case = next(case for case in CASES if case.name == "SeesawLoss")
    for seed in range(4):
        pred, target = case.batch(N, seed=seed)
        weight = row_weight(seed) if seed else None
        mine, other = pred.clone().requires_grad_(), pred.clone().requires_grad_()
        expected = theirs(other, target, weight, avg_factor=7.0)
        if seed:
            assert not torch.equal(ours.cum_samples, theirs.cum_samples)
        counts = ours.cum_samples.clone()
        ours.cum_samples.copy_(theirs.cum_samples)
        parts = ours(mine, target, weight, avg_factor=7.0)
        assert parts.keys() == expected.keys()
        for key, value in parts.items():
            torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
        sum(parts.values()).backward()
        sum(expected.values()).backward()
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-7)
        ours.cum_samples.copy_(counts)
        ours.gathered_samples.zero_()
        ours(mine, target)
        ml.commit_statistics(ours)
        assert torch.equal(ours.cum_samples, theirs.cum_samples)
    assert ours.get_cls_channels(CLASSES) == theirs.get_cls_channels(CLASSES) == CLASSES + 2
    torch.testing.assert_close(ours.get_activation(pred), theirs.get_activation(pred))
    accuracies = zip(ours.get_accuracy(pred, target).items(), theirs.get_accuracy(pred, target).items(), strict=True)
    for (key, value), (stock_key, stock_value) in accuracies:
        assert (key, value.item()) == (stock_key, pytest.approx(stock_value.item()))


def test_equalization_v2_over_iterations():
    """One call per iteration, all rows of weight 1: losses, gradients and statistics stay the same."""
    ours, theirs = (kind(num_classes=CLASSES, loss_weight=1.5) for kind in (ml.EQLV2Loss, stock("EQLV2Loss")))
    case = next(case for case in CASES if case.name == "EQLV2Loss")
    for seed in range(5):
        pred, target = case.batch(N, seed=seed)
        assert_agree(run(ours, pred, target, avg_factor=float(N)), run(theirs, pred, target), seed)
        ml.commit_statistics(ours)
        for name in ("pos_grad", "neg_grad", "pos_neg"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
    assert ours.get_cls_channels(CLASSES) == theirs.get_channel_num(CLASSES) == CLASSES + 1
    for option in (True, False):
        ours.test_with_obj = theirs.test_with_obj = option
        torch.testing.assert_close(ours.get_activation(pred), theirs.get_activation(pred))
