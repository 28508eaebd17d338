"""Errors name the argument, what was expected and what came."""

import copy
import inspect
import pickle
import warnings
from dataclasses import replace

import pytest
import torch
from cases import BINS, BOX_CASES, CASES, CLASSES, CLS_CASES, COORDINATE_CASES, ROTATED_CASES, SIDE_CASES, over

import mmdet_losses as ml

N = 7


@over(CASES)
def test_unknown_reduction(case):
    """Also an AssertionError, which is what MMDetection raises and its tests expect."""
    pred, target = case.batch(N)
    for wrong in ("avg", "", True, 1):
        for kind in (ValueError, AssertionError):
            with pytest.raises(kind, match="reduction_override"):
                case.build()(pred, target, reduction_override=wrong)
    for kind in (ValueError, AssertionError):
        with pytest.raises(kind, match=r"reduction.*'none'.*'mean'.*'sum'.*'avg'"):
            case.build(reduction="avg")


@over(CASES)
def test_reduction_is_checked_before_anything_else(case):
    with pytest.raises(AssertionError, match="reduction_override"):
        case.build()(torch.zeros(3), None, torch.zeros(9), reduction_override="avg")


@over(CASES)
def test_unknown_option_lists_the_valid_ones(case):
    for kind in (ValueError, TypeError):
        with pytest.raises(kind, match="loss_wieght") as error:
            case.build(loss_wieght=2.0)
    assert case.name in str(error.value)
    listed = str(error.value).partition("Its options are ")[2].partition(".")[0].split(", ")
    assert {"reduction", "loss_weight", "debug"} <= set(listed)
    signature = inspect.signature(case.loss_class.__init__).parameters.values()
    named = {parameter.name for parameter in signature if parameter.kind is not parameter.VAR_KEYWORD} - {"self"}
    assert named <= set(listed)
    defaults = {name: parameter.default for name, parameter in case.loss_class.options().items()}
    for name in listed:
        if defaults[name] is not inspect.Parameter.empty:
            case.build(**({name: defaults[name]} | case.options))


@over(CASES)
def test_unknown_keyword_of_forward_raises(case):
    pred, target = case.batch(N)
    with pytest.raises((TypeError, ValueError), match="wieght"):
        case.build()(pred, target, wieght=torch.ones(N))


# MMDetection's own tests pass integer logits to the loss that is left out.
@over([case for case in CASES if case.name != "MultiPosCrossEntropyLoss"])
def test_prediction_that_is_no_floating_tensor(case):
    pred, target = case.batch(N)
    with pytest.raises(ValueError, match="pred"):
        case.build()(pred.long(), target)
    with pytest.raises(ValueError, match="pred"):
        case.build()(pred.tolist(), target)


@over(BOX_CASES + SIDE_CASES + ROTATED_CASES)
def test_shape_of_boxes(case):
    pred, _ = case.batch(N)
    for wrong in (pred[:, :3], pred[0, 0], torch.zeros(N, 9 - pred.shape[1]), torch.zeros(4, 3)):
        with pytest.raises(ValueError, match="pred"):
            case.build()(wrong, wrong)


@over(BOX_CASES + SIDE_CASES + ROTATED_CASES + COORDINATE_CASES)
def test_shape_of_target(case):
    pred, target = case.batch(N)
    for wrong in (target[:-1], target[:1], target[:, :1], target[0], target.flatten(), target[None]):
        with pytest.raises(ValueError, match="target") as error:
            case.build()(pred, wrong)
        assert str(tuple(wrong.shape)) in str(error.value)
    with pytest.raises(ValueError, match="target"):
        case.build()(pred, None)


@over(CLS_CASES)
def test_shape_of_classification_target(case):
    pred, target = case.batch(N)
    if isinstance(target, tuple):
        label, score = target
        wrong = [
            (label[:-1], score[:-1]),
            (label, score[:-1]),
            (label[:, None], score),
            (label,),
            (label, score, score),
        ]
        wrong += [(label.float(), score)]
    elif target.is_floating_point():
        wrong = [target[:-1], target[:, :-1], target[None]]
    else:
        wrong = [target[:-1], target[None], target[:, None].expand(N, CLASSES + 1)]
    wrong += [None, "target"]
    for bad in wrong:
        with pytest.raises(ValueError, match=r"target|label|score"):
            case.build()(pred, bad)


@over(BOX_CASES + SIDE_CASES + COORDINATE_CASES)
def test_labels_where_boxes_are_needed(case):
    """A loss of boxes in a classification slot."""
    labels = torch.zeros(N, dtype=torch.long)
    for channels in (4, 80):
        with pytest.raises(ValueError, match=r"target.*as labels have.*loss_cls, write a classification loss"):
            case.build()(torch.zeros(N, channels), labels)


@over(BOX_CASES + SIDE_CASES + COORDINATE_CASES)
def test_all_pairs(case):
    pred, target = case.batch(N)
    with pytest.raises(ValueError, match=r"target must have the shape of pred, .*matched pairs.*not all pairs"):
        case.build()(pred[:5], target[:3])


@over(CASES)
def test_boxes_of_mmdetection_and_what_is_no_tensor(case):
    class HorizontalBoxes:
        """As MMDetection's, which hold their tensor."""

        def __init__(self, tensor):
            self.tensor = tensor

    pred, target = case.batch(N)
    boxes = HorizontalBoxes(pred)
    for args in ((boxes, target), (pred, boxes), (pred, target, boxes)):
        with pytest.raises((TypeError, ValueError), match=r"got HorizontalBoxes: pass its \.tensor"):
            case.build()(*args)


def test_seesaw_in_a_one_stage_head():
    for loss, channels in ((ml.SeesawLoss(num_classes=3), 5), (ml.EQLV2Loss(num_classes=3), 4)):
        with pytest.raises(ValueError, match=rf"pred must have shape \(n, {channels}\).*for two-stage heads"):
            loss(torch.zeros(N, 3), torch.zeros(N, dtype=torch.long))


def test_integer_labels_where_qualities_are_needed():
    logits = torch.zeros(N, CLASSES)
    labels = torch.zeros(N, dtype=torch.long)
    for name in ("QualityFocalLoss", "VarifocalLoss"):
        with pytest.raises(ValueError, match="target"):
            getattr(ml, name)()(logits, labels)


def test_distribution_shapes():
    loss = ml.DistributionFocalLoss()
    for pred, target in (
        (torch.zeros(8, BINS), torch.zeros(7)),
        (torch.zeros(8, BINS), torch.zeros(2, 4)),
        (torch.zeros(2, 4, BINS), torch.zeros(2, 4)),
        (torch.zeros(8), torch.zeros(8)),
        (torch.zeros(8, 1), torch.zeros(8)),
    ):
        with pytest.raises(ValueError, match=r"pred|target"):
            loss(pred, target)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("EIoULoss", {"smooth_point": 0.1}, "ExtendedIoULoss"),
        ("EfficientIoULoss", {"smooth_point": 0.1}, "ExtendedIoULoss"),
        ("SIoULoss", {"neg_gamma": False}, "neg_gamma"),
        ("IoULoss", {"mode": "cubic"}, "mode"),
        ("AlphaIoULoss", {"base": "iuo"}, "base"),
        ("AlphaIoULoss", {"alpha": 0.0}, "alpha"),
        ("SmoothL1Loss", {"beta": -1.0}, "beta"),
        ("BalancedL1Loss", {"beta": 0.0}, "beta"),
        ("ExtendedIoULoss", {"smooth_point": 0.0}, "smooth_point"),
        ("FocalLoss", {"use_sigmoid": None}, "use_sigmoid"),
        ("FocalLoss", {"alpha": -1}, "alpha must be from 0 to 1, or None"),
        ("FocalLoss", {"alpha": [0.5, 2.0]}, "alpha must be from 0 to 1"),
        ("FocalLoss", {"alpha": [0.5, -1.0], "use_sigmoid": False}, "alpha must be 0 or more"),
        ("FocalLoss", {"alpha": [[0.5, 0.5]]}, "alpha must be a number or one number per class"),
        ("FocalCustomLoss", {}, "num_classes must be that of the head"),
        ("FocalCustomLoss", {"num_classes": 3, "use_sigmoid": False}, "use_sigmoid"),
        ("CrossEntropyCustomLoss", {}, "num_classes must be that of the head"),
        ("AsymmetricLoss", {"use_sigmoid": False}, "use_sigmoid"),
        ("AsymmetricLoss", {"clip": 1.0}, "clip"),
        ("AsymmetricLoss", {"gamma_neg": -1.0}, "gamma_neg"),
        ("Poly1FocalLoss", {"epsilon": -1.5}, "epsilon"),
        ("Poly1CrossEntropyLoss", {"gamma": 2.0}, "gamma"),
        ("GaussianFocalLoss", {"alpha": -1.0}, "alpha"),
        ("EqualizedFocalLoss", {"use_sigmoid": False}, "use_sigmoid"),
        ("EqualizedFocalLoss", {"alpha": [0.5, 0.25]}, "alpha must be one number"),
        ("GaussianFocalLoss", {"pos_weight": -1.0}, "pos_weight"),
        ("EqualizationLoss", {}, "class_frequency must be the share of the images"),
        ("EqualizationLoss", {"class_frequency": [100.0, 3.0]}, "class_frequency must be the share of the images"),
        ("CrossEntropyLoss", {"label_smoothing": 1.5}, "label_smoothing"),
        ("CrossEntropyLoss", {"label_smoothing": 0.1, "use_mask": True}, "use_mask"),
        ("CrossEntropyLoss", {"smoothing_mode": "binary"}, "smoothing_mode must be 'uniform' with use_sigmoid=False"),
        ("CrossEntropyLoss", {"smoothing_mode": "darknet", "use_sigmoid": True}, "'binary' or 'uniform'"),
        ("LabelSmoothLoss", {"mode": "new"}, "mode"),
        ("LabelSmoothLoss", {"label_smooth_val": 1.0}, "label_smooth_val"),
        ("LabelSmoothLoss", {"label_smooth_val": 0.6, "mode": "multi_label"}, "label_smooth_val"),
        ("LabelSmoothLoss", {"use_sigmoid": False, "mode": "multi_label"}, "multi_label"),
        ("DistributionFocalLoss", {"y_min": 3.0, "y_max": 3.0}, "y_max must be more than y_min"),
        ("Integral", {"bins": 1}, "bins"),
        ("Integral", {"y_min": 16.0}, "y_max must be more than y_min"),
        ("QualityFocalLoss", {"use_sigmoid": False}, "use_sigmoid"),
        ("VarifocalLoss", {"use_sigmoid": False}, "use_sigmoid"),
        ("CrossEntropyLoss", {"use_sigmoid": True, "use_mask": True}, "use_mask"),
        ("GIoULoss", {"power": 0.0}, "power"),
        ("GIoULoss", {"inner_ratio": 0.0}, "inner_ratio"),
        ("GIoULoss", {"focaler": (0.5, 0.5)}, "focaler"),
        ("GIoULoss", {"focus": {"type": "WiseFocsu"}}, "focus .*WiseFocus"),
        ("GIoULoss", {"focus": {"type": "WiseFocus", "version": 4}}, "version"),
        ("InnerIoULoss", {"ratio": 0.0}, "ratio"),
        ("InnerIoULoss", {"inner_ratio": 0.7}, "inner_ratio"),
        ("FocalerIoULoss", {"d": 0.5, "u": 0.4}, "focaler"),
        ("FocalerIoULoss", {"base": "mpdiou"}, "base"),
        ("WIoULoss", {"version": 0}, "version"),
        ("WIoULoss", {"alpha": 1.0}, "alpha"),
        ("WIoULoss", {"delta": 0.0}, "delta"),
        ("WIoULoss", {"gamma": -1.0}, "gamma"),
        ("WIoULoss", {"momentum": 0.0}, "momentum"),
        ("WIoULoss", {"focus": None}, "focus"),
        ("MPDIoULoss", {"img_shape": 640}, "img_shape"),
        ("MPDIoULoss", {"img_shape": (640, 0)}, "img_shape"),
        ("ShapeIoULoss", {"scale": -1.0}, "scale"),
        ("PowerfulIoULoss", {"version": 3}, "version"),
        ("PowerfulIoULoss", {"lambd": 0.0}, "lambd"),
        ("GIoULoss", {"focus": {"type": "PowerfulFocus", "lambd": 0.0}}, "lambd"),
        ("UnifiedIoULoss", {"ratio": 0.0}, "ratio"),
        ("UnifiedIoULoss", {"schedule": "square"}, "schedule"),
        ("UnifiedIoULoss", {"focal": "none"}, "focal"),
        ("UnifiedIoULoss", {"gamma": -1.0}, "gamma"),
        ("BoundedIoULoss", {"beta": 0.0}, "beta"),
        ("BoundedIoULoss", {"eps": -1.0}, "eps"),
        ("NWDLoss", {"mode": "l2"}, "mode"),
        ("NWDLoss", {"gamma": 0.5}, "gamma"),
        ("NWDLoss", {"constant": 0.0}, "constant"),
        ("ProbIoULoss", {"mode": "l3"}, "mode"),
        ("KLDLoss", {"fun": "log"}, "fun"),
        ("KLDLoss", {"tau": -1.0}, "tau"),
        ("KLDLoss", {"alpha": 0.0}, "alpha"),
        ("KLDLoss", {"sqrt": 2}, "sqrt"),
        ("KLDLoss", {"order": "both"}, "order"),
        ("JDLoss", {"tau": None}, "tau"),
        ("GWDLoss", {"normalize": "yes"}, "normalize"),
        ("GDLoss", {}, "loss_type must be one of 'gwd', 'kld', 'jd', 'kld_symmax', 'kld_symmin'"),
        ("GDLoss", {"loss_type": "kld", "representation": "xy_stddev_pearson"}, "representation"),
        ("KFIoULoss", {"fun": "log1p"}, "fun"),
        ("KFIoULoss", {"beta": 0.0}, "beta"),
        ("RotatedIoULoss", {"mode": "giou"}, "mode"),
        ("RotatedIoULoss", {"eps": 0.0}, "eps"),
    ],
)
def test_wrong_option(name, options, match):
    with pytest.raises(ValueError, match=match):
        getattr(ml, name)(**options)


def test_accepted_spellings():
    assert ml.SIoULoss(neg_gamma=True)
    with pytest.warns(Warning, match="linear"):
        linear = ml.IoULoss(linear=True)
    boxes = torch.tensor([[0.0, 0, 10, 8]]), torch.tensor([[0.0, 0, 10, 10]])
    assert linear(*boxes).item() == pytest.approx(0.2)


@over(BOX_CASES + SIDE_CASES + ROTATED_CASES + COORDINATE_CASES)
def test_debug_names_the_first_bad_row(case):
    # boxes are drawn larger than the image of a case
    case = replace(case, options={**case.options, "img_shape": (1e4, 1e4)}) if case.name == "MPDIoULoss" else case
    loss = case.build(debug=True)
    pred, target = case.batch(N)
    assert torch.equal(loss(pred, target), case.build()(pred, target))
    pred[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"pred .*row 3"):
        loss(pred, target)
    weight = torch.ones(N)
    weight[3] = 0
    loss(pred, target, weight)
    target[5, 0] = torch.inf
    with pytest.raises(ValueError, match=r"target .*row 5"):
        loss(pred, target, weight)


@over(BOX_CASES + SIDE_CASES)
def test_debug_names_the_first_box_that_ends_before_it_begins(case):
    """Boxes (x, y, w, h), and centres with sizes, are the usual ones."""
    pred, target = torch.tensor([[[0.0, 0, 9, 9], [50, 50, 90, 90]], [[0.0, 0, 8, 9], [50, 50, 80, 90]]])
    # the image of a case is smaller
    case = replace(case, options={**case.options, "img_shape": (1e4, 1e4)}) if case.name == "MPDIoULoss" else case
    loss = case.build(debug=True)
    for name, side, bad in (("pred", "x2 < x1", (50, 50, 10, 10)), ("target", "y2 < y1", (0.5, 0.5, 0.6, 0.3))):
        inputs = {"pred": pred.clone(), "target": target.clone()}
        inputs[name][1] = torch.tensor(bad)
        with pytest.raises(ValueError, match=rf"{name} .*{side} in row 1: boxes are \(x1, y1, x2, y2\)"):
            loss(*inputs.values())
        value = loss(*inputs.values(), torch.tensor([1.0, 0.0]))
        assert value == case.build()(*inputs.values(), torch.tensor([1.0, 0.0]))
        case.build()(*inputs.values())
    point = pred[:, [0, 1, 0, 1]]
    loss(point, target)


def test_size_of_the_image():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 1300, 700]])
    with pytest.warns(UserWarning, match=r"img_shape is not given, so MPDIoULoss .* write img_shape=\(height, width\)"):
        ml.MPDIoULoss()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in (ml.MPDIoULoss((640, 640), debug=True), ml.MPDIoULoss(img_shape=[1300, 640], debug=True)):
            loss = pickle.loads(pickle.dumps(copy.deepcopy(loss)))
            with pytest.raises(ValueError, match=r"target must hold boxes in an image of .*, got .* in row 1"):
                loss(boxes, boxes)
            assert loss(boxes, boxes, torch.tensor([1.0, 0.0])) == 0
        assert ml.MPDIoULoss((700, 1300), debug=True)(boxes, boxes) == 0


@over(CLS_CASES)
def test_debug_changes_no_value(case):
    pred, target = case.batch(N)
    assert torch.equal(case.build(debug=True)(pred, target), case.build()(pred, target))


def test_debug_names_the_first_bad_label():
    logits = torch.zeros(N, CLASSES)
    label = torch.arange(N) % CLASSES
    for index, name in ((CLASSES, "CrossEntropyLoss"), (-1, "CrossEntropyLoss")):
        bad = label.clone()
        bad[4] = index
        with pytest.raises(ValueError, match=r"row 4"):
            getattr(ml, name)(debug=True)(logits, bad)
    distances = torch.linspace(0, BINS - 1, N)
    distances[2] = BINS
    with pytest.raises(ValueError, match=r"target .*row 2"):
        ml.DistributionFocalLoss(debug=True)(torch.zeros(N, BINS), distances)
    with pytest.raises(ValueError, match=r"target .*row 2"):
        ml.DistributionFocalLoss(debug=True)(torch.zeros(N, BINS), distances, torch.ones(N))
    score = torch.rand(N)
    score[6] = torch.nan
    with pytest.raises(ValueError, match=r"row 6"):
        ml.QualityFocalLoss(debug=True)(logits, (label, score))


@pytest.mark.parametrize("bad", [CLASSES, -1])
@pytest.mark.parametrize("loss", [ml.CrossEntropyLoss(), ml.FocalLoss(use_sigmoid=False), ml.Poly1CrossEntropyLoss()])
def test_softmax_label_out_of_range_raises(loss, bad):
    with pytest.raises(ValueError, match=r"target must hold labels from 0 to 4, got -?\d in row 1"):
        loss(torch.zeros(2, CLASSES), torch.tensor([0, bad]))


def test_debug_names_the_first_value_that_is_no_probability():
    """Logits in the place of probabilities are the commonest mistake with a heat map."""
    heat = torch.rand(N, CLASSES)
    for row, (pred, target) in enumerate([(heat + (torch.arange(N) == 0)[:, None], heat), (heat, heat - 2)]):
        with pytest.raises(ValueError, match=rf"{'target' if row else 'pred'} must hold values from 0 to 1.* row 0"):
            ml.GaussianFocalLoss(debug=True)(pred, target)
    assert ml.GaussianFocalLoss(debug=True, activated=False)(heat + 3, heat).isfinite()


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (ml.FocalLoss(alpha=[0.5, 0.5, 0.25]), "alpha"),
        (ml.FocalLoss(alpha=[0.5, 0.5, 0.25], use_sigmoid=False), "alpha"),
        (ml.EqualizationLoss([0.5, 0.5, 0.25]), "class_frequency"),
    ],
)
def test_one_number_per_class_for_another_number_of_classes(loss, name):
    for shape in ((N, CLASSES), (3,)):
        with pytest.raises(ValueError, match=rf"{name} (must have 5 entries, .*, got 3\.|has one entry per class)"):
            loss(torch.zeros(shape), torch.zeros(shape))


def test_number_of_classes_of_smoothed_labels():
    ml.LabelSmoothLoss(num_classes=CLASSES)(torch.zeros(N, CLASSES), torch.zeros(N, dtype=torch.long))
    with pytest.raises(ValueError, match="pred must have 4 channels"):
        ml.LabelSmoothLoss(num_classes=4)(torch.zeros(N, CLASSES), torch.zeros(N, dtype=torch.long))
    with pytest.raises(ValueError, match="counts classes"):
        loss = ml.CrossEntropyLoss(use_sigmoid=True, label_smoothing=0.1, smoothing_mode="uniform")
        loss(torch.zeros(N), torch.zeros(N))
