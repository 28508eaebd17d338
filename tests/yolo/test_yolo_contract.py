"""What every objective can be relied on for: weights, reductions, dtypes, empty and bad input, one graph, copies."""

import copy
import io
import pickle
from contextlib import nullcontext

import pytest
import torch
from cases import never_select
from cases.composite import CLASSES, COMPOSITE_CASES, EMPTY, SCENES, over_composites, run
from mmengine.model import BaseModel

import mmdet_losses as ml
from mmdet_losses.modules import Stateful
from mmdet_losses.registry import LOSSES
from mmdet_losses.yolo import CompositeLoss, DenseTarget, encode_anchors, encode_cells, pad_truths

N = 6
WEIGHT = torch.tensor([1.0, 0.0, 0.5, 2.0, 0.0, 1.5])
DELETED = WEIGHT == 0
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


@pytest.fixture(params=["select", "replace"])
def path(request, monkeypatch):
    """Rows are picked on a CPU, and replaced where picking would wait for the device."""
    if request.param == "replace":
        never_select(monkeypatch)
    return request.param


def spoil(maps, truths, images):
    maps, truths = [one.clone() for one in maps], truths.clone()
    for number, image in enumerate(images.nonzero().flatten().tolist()):
        for one in maps:
            one[image] = [torch.nan, torch.inf, -3e38][number % 3]
        truths[image] = [torch.nan, 1e30, -torch.inf][number % 3]
        truths[image, 0] = torch.tensor([0.0, 0, torch.nan, torch.inf, 1e9])
    return maps, truths


@over_composites()
def test_image_of_weight_zero_is_deleted(case, path):
    loss = case.build()
    maps, truths = case.batch(N)
    junk = spoil(maps, truths, DELETED)
    for call in ({"reduction_override": "sum"}, {"avg_factor": 3.0}, {"avg_factor": torch.tensor([3.0])}, {}):
        value, grads = run(case, loss, *junk, WEIGHT, **call)
        expected, expected_grads = run(case, loss, maps, truths, WEIGHT, **call)
        assert torch.equal(value, expected)
        for grad, other in zip(grads, expected_grads, strict=True):
            assert (grad[DELETED] == 0).all()
            assert torch.equal(grad, other)
    kept = [one[~DELETED] for one in maps], truths[~DELETED]
    rest, _ = run(case, loss, *kept, WEIGHT[~DELETED], avg_factor=3.0)
    value, _ = run(case, loss, *junk, WEIGHT, avg_factor=3.0)
    torch.testing.assert_close(value, rest, rtol=1e-6, atol=1e-7)
    rows, grads = run(case, loss, *junk, WEIGHT[:, None], reduction_override="none")
    assert rows.shape == (N,)
    assert (rows[DELETED] == 0).all()


@over_composites()
def test_deleted_dense_target(case, path):
    loss = case.build()
    maps, truths = case.batch(N)
    dense = dense_target(case, loss, maps, truths)
    junk = DenseTarget(*(None if x is None else spoil_dense(x) for x in dense))
    value, grads = run(case, loss, spoil(maps, truths, DELETED)[0], junk, WEIGHT)
    expected, expected_grads = run(case, loss, maps, dense, WEIGHT)
    assert torch.equal(value, expected)
    for grad, other in zip(grads, expected_grads, strict=True):
        assert torch.equal(grad, other)


def spoil_dense(tensor):
    tensor = tensor.clone()
    tensor[DELETED] = torch.nan if tensor.is_floating_point() else 10**9
    return tensor


def dense_target(case, loss, maps, truths) -> DenseTarget:
    """What the encoding functions make of ground truth, with the objective's own rules."""
    shapes = [tuple(one.shape[-2:]) for one in maps]
    if case.name in ("YOLOv1Loss", "GridObjectnessLoss"):
        _, classes = loss.check_maps(maps)
        return encode_cells(truths, shapes[0], 32, classes, several_classes=case.name == "GridObjectnessLoss")
    return encode_anchors(truths, shapes, loss.anchors, loss.strides, CLASSES, **loss.encoding())


@over_composites()
def test_dense_target_is_the_encoded_ground_truth(case):
    """Equal, but for predictions that are ignored by their own boxes: a dense target says itself what is ignored."""
    loss = case.build(**({"ignore_thr": None} if hasattr(case.build(), "ignore_thr") else {}))
    maps, truths = case.batch(N, dtype=torch.float64)
    dense = dense_target(case, loss, maps, truths)
    value, grads = run(case, loss, maps, truths)
    same, same_grads = run(case, loss, maps, dense)
    assert torch.equal(value, same)
    for grad, other in zip(grads, same_grads, strict=True):
        assert torch.equal(grad, other)


@over_composites()
def test_ignored_rows_count_nothing(case):
    loss = case.build()
    maps, truths = case.batch(N, dtype=torch.float64)
    dense = dense_target(case, loss, maps, truths)._replace(pair_row=None, pair_box=None, pair_share=None)
    dense = dense._replace(objectness=torch.full_like(dense.objectness, -1))
    value, grads = run(case, loss, maps, dense)
    if case.options.get("lambda_prior"):
        return  # pulls what has no object to its anchor, ignored or not
    assert value == 0
    assert all((grad == 0).all() for grad in grads)


@over_composites()
def test_reductions(case):
    loss = case.build(loss_weight=2.0)
    maps, truths = case.batch(N)
    rows = loss(case.pred(maps), truths, WEIGHT, reduction_override="none")
    plain = case.build()(case.pred(maps), truths, reduction_override="none")
    torch.testing.assert_close(rows, 2 * plain * WEIGHT)
    for image in range(N):
        alone = loss(case.pred([one[image : image + 1] for one in maps]), truths[image : image + 1])
        torch.testing.assert_close(alone, 2 * plain[image], rtol=1e-5, atol=1e-6)
    total = loss(case.pred(maps), truths, WEIGHT, reduction_override="sum")
    torch.testing.assert_close(total, rows.sum())
    torch.testing.assert_close(loss(case.pred(maps), truths, WEIGHT), total / N)
    for factor in (7, 7.0, torch.tensor(7), torch.tensor([7.0])):
        torch.testing.assert_close(loss(case.pred(maps), truths, WEIGHT, avg_factor=factor), total / 7)
    for zero in (0, 0.0, torch.tensor(0.0)):
        value, grads = run(case, loss, maps, truths, avg_factor=zero)
        assert value == 0
        assert all((grad == 0).all() for grad in grads)
    with pytest.raises(ValueError, match="avg_factor"):
        loss(case.pred(maps), truths, avg_factor=2.0, reduction_override="sum")
    with pytest.raises(AssertionError, match="reduction_override"):
        loss(case.pred(maps), truths, reduction_override="avg")


@over_composites()
def test_named_terms_add_up_in_mmengine(case):
    """parse_losses adds every key that holds 'loss', so the sum must not be among them."""
    loss = case.build(loss_weight=0.5)
    maps, truths = case.batch(N)
    for call in ({}, {"avg_factor": 3}, {"reduction_override": "sum"}):
        terms = loss(case.pred(maps), truths, WEIGHT, **call, return_dict=True)
        assert tuple(terms) == loss.term_names == loss.terms
        assert all("loss" in name for name in terms)
        total, log = BaseModel.parse_losses(None, terms)
        torch.testing.assert_close(total, loss(case.pred(maps), truths, WEIGHT, **call))
        assert set(log) == {*terms, "loss"}
    rows = loss(case.pred(maps), truths, WEIGHT, reduction_override="none", return_dict=True)
    assert all(term.shape == (N,) for term in rows.values())


@over_composites()
def test_without_objects_there_is_no_box_and_no_class(case):
    for scene in ("no objects", "no entries"):
        truths = torch.tensor(SCENES[scene]).reshape(1, -1, 5).expand(N, -1, -1)
        maps = case.maps(N, dtype=torch.float32)
        leaves = [one.requires_grad_() for one in maps]
        terms = case.build()(case.pred(leaves), truths, return_dict=True)
        for name, value in terms.items():
            assert (value == 0) is not (name in ("loss_noobj", "loss_prior")) or value == 0
            assert value.requires_grad
            assert (value > 0) == (name in ("loss_noobj", "loss_prior"))
            grads = torch.autograd.grad(value, leaves, retain_graph=True)
            assert all(grad.isfinite().all() for grad in grads)


@over_composites()
def test_batch_of_no_images(case):
    maps, truths = case.batch(2)
    maps, truths = [one[:0] for one in maps], truths[:0]
    parameter = torch.ones((), requires_grad=True)
    for weight in (None, torch.zeros(0)):
        for call in ({}, {"avg_factor": 1.0}, {"reduction_override": "sum"}, {"reduction_override": "none"}):
            value = case.build()(case.pred([one * parameter for one in maps]), truths, weight, **call)
            assert value.shape == ((0,) if call.get("reduction_override") == "none" else ())
            (grad,) = torch.autograd.grad(value.sum(), parameter)
            assert value.sum() == 0
            assert grad == 0


@over_composites()
def test_empty_entries_may_hold_anything(case):
    maps, truths = case.batch(N)
    loss = case.build()
    expected = loss(case.pred(maps), truths)
    junk = torch.where(
        (truths[..., 4] < 0).unsqueeze(-1), torch.tensor([torch.nan, torch.inf, 1e30, -1e30, -1]), truths
    )
    value, grads = run(case, loss, maps, junk)
    assert torch.equal(value, expected)
    assert all(grad.isfinite().all() for grad in grads)


def test_padded_lists_are_the_images():
    """Boxes and labels of each image, as a head has them, count as they do alone."""
    case = next(case for case in COMPOSITE_CASES if case.name == "YOLOv3Loss")
    maps, truths = case.batch(N, dtype=torch.float64)
    kept = [one[one[:, 4] >= 0] for one in truths]
    assert {len(one) for one in kept} == {0, 1, 2, 3, 4, 5}
    padded = pad_truths([one[:, :4] for one in kept], [one[:, 4].long() for one in kept])
    assert padded.shape == (N, 5, 5)
    assert torch.equal(case.build()(maps, padded), case.build()(maps, truths))
    none = pad_truths([torch.zeros(0, 4)] * N, [torch.zeros(0, dtype=torch.long)] * N)
    assert none.shape == (N, 0, 5)
    assert case.build()(maps, none) == case.build()(maps, torch.tensor([[EMPTY]] * N))


@over_dtypes
@over_composites()
def test_dtype(case, dtype):
    """Computed in float32 or wider, whatever comes, also under autocast."""
    maps, truths = case.batch(N, dtype=dtype)
    value, grads = run(case, case.build(), maps, truths)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert value.dtype == wide
    assert all(grad.dtype == dtype for grad in grads)
    assert torch.equal(value, case.build()(case.pred([one.to(wide) for one in maps]), truths.to(wide)))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(case.build()(case.pred(maps), truths), value)


LOGITS = [0.0, 1e-3, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4]


@over_composites()
def test_extreme_predictions(case):
    """Finite value and gradient for logits to 1e4, in float32, on every scene."""
    g = torch.Generator().manual_seed(3)
    numbers = torch.tensor(LOGITS)
    for scene, truths in SCENES.items():
        target = torch.tensor(truths).reshape(1, -1, 5)
        shapes = [one.shape for one in case.maps(1)]
        drawn = [[numbers[torch.randint(0, len(LOGITS), shape, generator=g)] for shape in shapes]]
        for maps in drawn + [[torch.full(shape, number) for shape in shapes] for number in LOGITS]:
            value, grads = run(case, case.build(), maps, target)
            assert value.isfinite() and value >= 0, scene
            assert all(grad.isfinite().all() for grad in grads), scene


TRUTHS = [
    [10, 10, 10.001, 10.001, 0],
    [-1e6, -1e6, 1e6, 1e6, 1],
    [0, 0, 1e-3, 1e6, 2],
    [1e6, 1e6, 1e6 + 10, 1e6 + 10, 0],
    [5, 5, 9, 9, 10**6],
    [0, 0, 1e-38, 1e-38, 0],
]


@over_composites()
def test_extreme_objects(case):
    """Sizes from 1e-3 to 1e6 and labels that no class has give a finite value and gradient."""
    for truth in [*TRUTHS, None]:
        truths = torch.tensor([truth] if truth else TRUTHS).reshape(1, -1, 5).float()
        value, grads = run(case, case.build(), case.maps(1, dtype=torch.float32), truths)
        assert value.isfinite(), truth
        assert all(grad.isfinite().all() for grad in grads), truth


@over_composites()
def test_nan_is_not_hidden(case):
    maps, truths = case.batch(N)
    maps[0][2] = torch.nan
    rows = case.build()(case.pred(maps), truths, torch.ones(N), reduction_override="none")
    assert rows.isnan().tolist() == [False, False, True, False, False, False]


@over_composites()
def test_nothing_is_read_back(case, monkeypatch):
    """Tensors without values go through, forward and back: nothing waits for a device, no shape hangs on a value."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())  # knows no such device
    maps, truths = case.batch(N)
    dense = dense_target(case, case.build(), maps, truths)
    leaves = [one.to("meta").requires_grad_() for one in maps]
    for target in (truths.to("meta"), DenseTarget(*(x if x is None else x.to("meta") for x in dense))):
        factor = torch.ones((), device="meta")
        value = case.build()(case.pred(leaves), target, WEIGHT.to("meta"), avg_factor=factor)
        value.backward()
        assert value.device.type == "meta" and value.shape == ()
    assert all(leaf.grad.shape == leaf.shape for leaf in leaves)


@over_composites()
def test_copies_and_state(case):
    loss = case.build(loss_weight=1.5)
    maps, truths = case.batch(N)
    expected = loss(case.pred(maps), truths)
    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), torch.load(buffer, weights_only=False)):
        assert type(twin) is type(loss)
        assert torch.equal(twin(case.pred(maps), truths), expected)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert "loss_weight=1.5" in repr(loss)
    assert torch.equal(loss.half()(case.pred(maps), truths), expected)


@over_composites()
def test_inputs_stay_and_layout_does_not_matter(case):
    maps, truths = case.batch(N)
    before = [one.clone() for one in maps], truths.clone()
    value, grads = run(case, case.build(), maps, truths)
    assert all(torch.equal(one, other) for one, other in zip(maps, before[0], strict=True))
    assert torch.equal(truths, before[1])
    last = [one.contiguous(memory_format=torch.channels_last) for one in maps]
    same, same_grads = run(case, case.build(), last, truths.transpose(0, 1).contiguous().transpose(0, 1))
    torch.testing.assert_close(same, value)
    for grad, other in zip(grads, same_grads, strict=True):
        torch.testing.assert_close(grad, other)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    rows = case.build()(case.pred(maps), truths, reduction_override="none")
    shuffled = case.build()(case.pred([one[order] for one in maps]), truths[order], reduction_override="none")
    torch.testing.assert_close(shuffled, rows[order])


@over_composites()
def test_errors_name_what_came(case):
    loss = case.build()
    maps, truths = case.batch(N)
    pred = case.pred(maps)
    for wrong in (truths[:3], truths[..., :4], truths[0]):
        with pytest.raises(ValueError, match=rf"target must have shape \({N}, M, 5\).*{wrong.shape[-1]}"):
            loss(pred, wrong)
    with pytest.raises(ValueError, match=r"target must be a tensor .* got list"):
        loss(pred, truths.tolist())
    with pytest.raises(ValueError, match=r"weight must have shape \(6,\)"):
        loss(pred, truths, torch.ones(N - 1))
    with pytest.raises(ValueError, match="pred must be a map or a list of maps, got NoneType"):
        loss(None, truths)
    with pytest.raises(ValueError, match=r"pred.* must be a floating-point tensor"):
        loss(case.pred([one.long() for one in maps]), truths)
    with pytest.raises(ValueError, match=r"pred must have|pred must be one map"):
        loss(case.pred([one[:, :4] for one in maps]), truths)
    with pytest.raises(ValueError, match="pred must hold maps of shape"):
        loss(case.pred([one[0] for one in maps]), truths)
    with pytest.raises(ValueError, match="pred must hold maps of shape"):
        loss(case.pred([one[:, :, :0] for one in maps]), truths)
    with pytest.raises(ValueError, match=r"one map|maps, one for each"):
        loss([*maps, maps[0]], truths)
    dense = dense_target(case, loss, maps, truths)
    with pytest.raises(ValueError, match=r"target\.objectness must have shape"):
        loss(pred, dense._replace(objectness=dense.objectness[:, :-1]))
    with pytest.raises(ValueError, match="target must hold objectness, box"):
        loss(pred, DenseTarget(dense.objectness, dense.box, None, torch.zeros(N, 2)))
    with pytest.raises(ValueError, match="lambda_bx"):
        case.build(lambda_bx=1.0)
    with pytest.raises(ValueError, match=r"flavor|average|units") as error:
        case.build(**{"GridObjectnessLoss": {"average": "mean"}}.get(case.name, {"flavor": "brief"}))
    assert "must be one of" in str(error.value)


def test_debug_names_the_image():
    loss = ml.YOLOv3Loss(debug=True)
    maps = [torch.zeros(3, 3 * 7, side, side) for side in (2, 4, 8)]
    truths = torch.tensor([EMPTY]).repeat(3, 1, 1)
    loss(maps, truths)
    maps[1][1] = torch.nan
    with pytest.raises(ValueError, match="in row 1"):
        loss(maps, truths)
    loss(maps, truths, torch.tensor([1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("YOLOv3Loss", {"strides": [32]}, "strides must be 3 numbers"),
        ("YOLOv3Loss", {"anchors": [[(10,)]], "strides": [32]}, "anchors must be a list per level"),
        ("YOLOv3Loss", {"ignore_thr": 1.5}, "ignore_thr must be"),
        ("YOLOv4Loss", {"scale_x_y": [1.0]}, "scale_x_y must be"),
        ("YOLOv4Loss", {"loss_box": "SmoothL1Loss"}, "loss_box must be a loss of boxes, got SmoothL1Loss"),
        ("YOLOv4Loss", {"loss_box": "FocalLoss"}, "loss_box must be a loss of slot 'bbox'"),
        ("YOLOv4Loss", {"loss_box": dict(type="CIoULoss", reduction="sum")}, "loss_box must leave out reduction"),
        ("YOLOv4Loss", {"loss_box": dict(type="NoLoss")}, "loss_box must be a loss of slot"),
        ("GridObjectnessLoss", {"loss_obj": "QualityFocalLoss"}, "loss_obj must be a binary loss"),
        ("GridObjectnessLoss", {"loss_obj": "CrossEntropyLoss"}, "loss_obj must be a binary loss"),
        ("GridObjectnessLoss", {"loss_obj": dict(type="FocalLoss", activated=True)}, "loss_obj must be a binary loss"),
        ("GridObjectnessLoss", {"loss_obj": "APLoss"}, "loss_obj must be a binary loss of each logit alone"),
        ("GridObjectnessLoss", {"loss_obj": "GHMC"}, "loss_obj must be a binary loss of each logit alone"),
        ("GridObjectnessLoss", {"loss_dfl": "FocalLoss"}, "loss_dfl must be a loss of slot 'dfl'"),
        ("YOLOv2Loss", {"units": "pixels"}, "units must be one of"),
        ("YOLOv2Loss", {"loss_class": "focal"}, "loss_class must be"),
        ("YOLOv1Loss", {"activation": "relu"}, "activation must be"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(ml, name)(**options)


def test_box_loss_is_given_by_config_name_or_module():
    maps, truths = COMPOSITE_CASES[-1].batch(2)
    options = dict(COMPOSITE_CASES[-1].options)
    values = []
    for loss_box in ("GIoULoss", dict(type="GIoULoss"), dict(type="mmdet_losses.GIoULoss"), ml.GIoULoss()):
        values.append(ml.YOLOv4Loss(**options | {"loss_box": loss_box})(maps, truths))
    assert all(torch.equal(value, values[0]) for value in values)


def test_every_box_loss_goes_into_yolo_v4_and_the_grid_objective():
    """And every loss of coordinates into the latter."""
    case = next(case for case in COMPOSITE_CASES if case.name == "GridObjectnessLoss")
    anchored = next(case for case in COMPOSITE_CASES if case.name == "YOLOv4Loss")
    for name, kind in LOSSES.items():
        if kind.slot != "bbox" or name == "SumLoss":  # whose members are named, as test_sum.py has them
            continue
        maps, truths = case.batch(3)
        value, grads = run(case, ml.GridObjectnessLoss(32, loss_box=name), maps, truths)
        assert value.isfinite() and grads[0][:, :4].abs().sum() > 0, name
        if kind.boxes:
            maps, truths = anchored.batch(3)
            value, grads = run(anchored, anchored.build(loss_box=name), maps, truths)
            assert value.isfinite() and all(grad.isfinite().all() for grad in grads), name


class CountingFocus(Stateful):
    """Keeps the number and the weight of the pairs that it was told of."""

    def __init__(self):
        super().__init__()
        self.keep_sums(pairs=(), weight=())

    def forward(self, pair):
        return torch.ones_like(pair.iou)

    def observe(self, pair, weight):
        self.gather(pairs=(weight != 0).sum().float(), weight=weight.sum())


@pytest.mark.parametrize("name", ["YOLOv4Loss", "GridObjectnessLoss"])
def test_statistics_of_the_box_loss_are_gathered_in_training_calls(name):
    case = next(case for case in COMPOSITE_CASES if case.name == name)
    focus = CountingFocus()
    loss = case.build(loss_box=ml.CIoULoss(focus=focus))
    maps, truths = spoil(*case.batch(N), DELETED)
    loss(case.pred(maps), truths, WEIGHT, reduction_override="none")
    loss.eval()(case.pred(maps), truths, WEIGHT)
    with torch.no_grad():
        loss.train()(case.pred(maps), truths, WEIGHT)
    assert focus.gathered_pairs == 0
    loss(case.pred(maps), truths, WEIGHT)
    # as many as there are pairs of the images that count
    kept, _ = case.batch(N)
    share = loss.box_pairs([one[~DELETED] for one in kept], truths[~DELETED])[2]
    assert focus.gathered_pairs == (share != 0).sum() > 0
    torch.testing.assert_close(focus.gathered_weight, (share * WEIGHT[~DELETED, None]).sum())


def test_facts_of_the_objectives():
    for name in {case.name for case in COMPOSITE_CASES}:
        kind = LOSSES[name]
        assert issubclass(kind, CompositeLoss)
        assert kind.slot == "composite" and kind.boxes is False and kind.bounds == (0.0, float("inf"))
        assert kind.paper.startswith("https://arxiv.org/abs/") or name == "GridObjectnessLoss"
