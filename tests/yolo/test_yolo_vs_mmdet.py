"""YOLOv3's objective beside mmdet's YOLOV3Head: equal where the definitions coincide, and where they do not."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

import mmdet_losses as ml
from mmdet_losses.registry import stock_losses
from mmdet_losses.yolo import DenseTarget

CLASSES = 4
SIZES = [[(116, 90), (156, 198), (373, 326)], [(30, 61), (62, 45), (59, 119)], [(10, 13), (16, 30), (33, 23)]]
STRIDES = [32, 16, 8]
SIDE = 128


@pytest.fixture(scope="module")
def head():
    """mmdet's head with mmdet's own losses and the weights of its configs."""
    logistic = dict(type="CrossEntropyLoss", use_sigmoid=True, reduction="sum")
    with stock_losses():
        return MODELS.build(
            dict(
                type="YOLOV3Head",
                num_classes=CLASSES,
                in_channels=[2, 2, 2],
                out_channels=[2, 2, 2],
                anchor_generator=dict(type="YOLOAnchorGenerator", base_sizes=SIZES, strides=STRIDES),
                loss_cls=dict(logistic, loss_weight=1.0),
                loss_conf=dict(logistic, loss_weight=1.0),
                loss_xy=dict(logistic, loss_weight=2.0),
                loss_wh=dict(type="MSELoss", loss_weight=2.0, reduction="sum"),
                train_cfg=dict(assigner=dict(type="GridAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0)),
            )
        )


def ours(**options):
    return ml.YOLOv3Loss(
        SIZES, STRIDES, lambda_xy=2.0, **{"lambda_wh": 4.0, "coord_scale": False, "reduction": "sum", **options}
    )


def draw(images, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, 3 * (5 + CLASSES), SIDE // stride, SIDE // stride, generator=g, dtype=torch.float32)
        for stride in STRIDES
    ]


def instances(truths):
    return [InstanceData(bboxes=t[:, :4], labels=t[:, 4].long()) for t in truths]


def padded(truths):
    most = max(len(t) for t in truths)
    rows = [torch.cat([t, t.new_full((most - len(t), 5), -1.0)]) for t in truths]
    return torch.stack(rows)


def mmdet_terms(head, maps, truths):
    found = head.loss_by_feat([x.clone() for x in maps], instances(truths), [{}] * len(truths))
    return {name: sum(levels) for name, levels in found.items()}


def mmdet_target(head, maps, truths) -> DenseTarget:
    """What mmdet assigns, as a dense target."""
    shapes = [one.shape[-2:] for one in maps]
    priors = head.prior_generator.grid_priors(shapes, dtype=torch.float32, device="cpu")
    flags = [head.responsible_flags(shapes, t[:, :4], "cpu") for t in truths]
    targets, negatives = head.get_targets([priors] * len(truths), flags, instances(truths))
    target, negative = torch.cat(targets, 1), torch.cat(negatives, 1)
    positive = target[..., 4] == 1
    objectness = torch.where(positive, 1.0, torch.where(negative == 1, 0.0, -1.0))
    stride = torch.cat([torch.full((len(prior), 1), float(s)) for prior, s in zip(priors, STRIDES, strict=True)])
    box = head.bbox_coder.decode(torch.cat(priors), target[..., :4], stride)
    return DenseTarget(objectness, torch.where(positive.unsqueeze(-1), box, torch.cat(priors)), target[..., 5:])


def drawn_truths(count, seed):
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(count, 5, generator=g, dtype=torch.float32)
    middle, size = share[:, :2] * SIDE, 8 + share[:, 2:4] * 80
    return torch.cat([middle - size / 2, middle + size / 2, (share[:, 4:] * CLASSES).floor()], 1)


def assert_same(found, expected):
    torch.testing.assert_close(found["loss_xy"], expected["loss_xy"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["loss_wh"], expected["loss_wh"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["loss_cls"], expected["loss_cls"], rtol=1e-5, atol=1e-6)
    conf = found["loss_obj"] + found["loss_noobj"]
    torch.testing.assert_close(conf, expected["loss_conf"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_four_parts_are_equal_for_the_same_assignment(head, seed):
    """mmdet's own targets handed to both, several images, values and gradients."""
    truths = [drawn_truths(count, 10 * seed + count) for count in (1, 3, 6)]
    maps = draw(3, seed)
    first, second = ([x.clone().requires_grad_() for x in maps] for _ in range(2))
    found = ours()(first, mmdet_target(head, maps, truths), return_dict=True)
    expected = mmdet_terms(head, second, truths)
    assert_same(found, expected)
    sum(found.values()).backward()
    sum(expected.values()).backward()
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6)


def middle_of_cell(width, height, stride, column, row, label):
    """An object of an anchor's very size about the middle of a cell: no other anchor of the cell overlaps by half."""
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2, float(label)]


SMALL = [
    torch.tensor([middle_of_cell(10, 13, 8, 3, 4, 1), middle_of_cell(10, 13, 8, 11, 9, 3)]),
    torch.tensor([middle_of_cell(10, 13, 8, 0, 15, 0)]),
]
"""Neither in its cell nor in the next any other anchor overlaps by half."""
MIXED = [
    torch.tensor([middle_of_cell(30, 61, 16, 2, 3, 1), middle_of_cell(10, 13, 8, 12, 2, 3)]),
    torch.tensor([middle_of_cell(33, 23, 8, 4, 10, 0), middle_of_cell(16, 30, 8, 9, 3, 2)]),
]
"""Anchors of the next cells overlap by more, and are ignored."""


def test_equal_from_ground_truth_where_the_assignments_coincide(head):
    maps = draw(2)
    dense = mmdet_target(head, maps, SMALL)
    assert (dense.objectness == 1).sum() == 3
    assert not (dense.objectness == -1).any()
    found = ours(ignore_thr=None)(maps, padded(SMALL), return_dict=True)
    assert_same(found, mmdet_terms(head, maps, SMALL))


def test_what_the_papers_words_ignore_is_what_mmdet_ignores(head):
    """All but the places, whose error is squared in the paper's words."""
    maps = draw(2)
    dense = mmdet_target(head, maps, MIXED)
    assert (dense.objectness == 1).sum() == 4
    assert (dense.objectness == -1).sum() > 4
    expected = mmdet_terms(head, maps, MIXED)
    found = ours(flavor="paper", lambda_wh=2.0)(maps, padded(MIXED), return_dict=True)
    found["loss_xy"] = ours()(maps, dense, return_dict=True)["loss_xy"]
    assert_same(found, expected)


def test_not_equal_with_the_scale_of_small_objects(head):
    """mmdet has no 2 - W H: its coordinates are those of an object as large as the image."""
    truths = [MIXED[0][:1]]
    maps = draw(1)
    dense = mmdet_target(head, maps, truths)
    plain = ours()(maps, dense, return_dict=True)
    scaled = ours(coord_scale=True)(maps, dense, return_dict=True)
    scale = 2 - 30 * 61 / SIDE**2
    torch.testing.assert_close(scaled["loss_xy"], scale * plain["loss_xy"])
    assert_same(plain, mmdet_terms(head, maps, truths))


def test_not_equal_where_mmdet_takes_several_anchors(head):
    """An object between two anchors: mmdet gives it every one that overlaps by more than half, darknet the best."""
    truths = [torch.tensor([middle_of_cell(85, 105, 32, 1, 1, 1)])]
    maps = draw(1)
    several = int((mmdet_target(head, maps, truths).objectness == 1).sum())
    assert several > 1
    found, expected = ours()(maps, padded(truths), return_dict=True), mmdet_terms(head, maps, truths)
    assert found["loss_cls"] < expected["loss_cls"]


def test_not_equal_where_place_decides_in_mmdet(head):
    """mmdet overlaps anchors where they stand, so an object off the middle of its cell may get another anchor."""
    different = 0
    for seed in range(30):
        truths = [drawn_truths(1, seed)]
        maps = [torch.zeros_like(x) for x in draw(1)]
        theirs = mmdet_target(head, maps, truths).objectness == 1
        loss = ours(ignore_thr=None)
        _, dense = loss.prepare(maps, padded(truths))
        different += not (theirs & (dense.objectness == 1)).any()
    assert different > 0


def test_not_equal_in_what_is_ignored(head):
    """mmdet ignores anchors by their overlap, darknet predictions by theirs: one that fits is ignored here alone."""
    truths = [MIXED[0][:1]]
    maps = [torch.zeros_like(x) for x in draw(1)]
    _, dense = ours().prepare(maps, padded(truths))
    assert not (dense.objectness == -1).any()
    second_anchor = maps[1].view(1, 3, 5 + CLASSES, 8, 8)[0, 1]
    second_anchor[2, 3, 2], second_anchor[3, 3, 2] = math.log(30 / 62), math.log(61 / 45)
    _, dense = ours().prepare(maps, padded(truths))
    row = 4 * 4 * 3 + (3 * 8 + 2) * 3 + 1
    assert (dense.objectness == -1).nonzero().tolist() == [[0, row]]
    assert mmdet_target(head, maps, truths).objectness[0, row] == 0
