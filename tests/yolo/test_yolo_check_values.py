"""The objectives against numbers worked out by hand from the formulas of papers and of darknet."""

import pytest
import torch
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses.yolo import DenseTarget, encode_anchors

STRIDE, SIDE = 32, 13
ROW, COLUMN = 5, 6
NEGATIVE = (2, 3)
RAW = [0.2, -0.1, 0.1, -0.2, 0.5, 0.3, -0.4]
ANCHOR = [[(116, 90)]]


def close(value: Tensor, expected: float) -> bool:
    return value.item() == pytest.approx(expected, rel=2e-9, abs=2e-10)


def anchor_scene() -> tuple[Tensor, DenseTarget]:
    """A 416 px input, one object at (.5, .4) of .3 x .2, one negative with logit -1, the rest ignored."""
    pred = torch.zeros(1, 7, SIDE, SIDE, dtype=torch.float64)
    pred[0, :, ROW, COLUMN] = torch.tensor(RAW, dtype=torch.float64)
    pred[0, 4, NEGATIVE[0], NEGATIVE[1]] = -1.0
    rows = SIDE * SIDE
    objectness = torch.full((1, rows), -1.0, dtype=torch.float64)
    objectness[0, ROW * SIDE + COLUMN] = 1
    objectness[0, NEGATIVE[0] * SIDE + NEGATIVE[1]] = 0
    box = torch.tensor([0.0, 0, 100, 100], dtype=torch.float64).repeat(1, rows, 1)
    box[0, ROW * SIDE + COLUMN] = 416 * torch.tensor([0.35, 0.3, 0.65, 0.5], dtype=torch.float64)
    classes = torch.zeros(1, rows, 2, dtype=torch.float64)
    classes[0, ROW * SIDE + COLUMN, 0] = 1
    return pred, DenseTarget(objectness, box, classes)


def terms(loss, pred, target) -> dict[str, Tensor]:
    return loss(pred, target, return_dict=True, reduction_override="sum")


def slopes(loss, pred: Tensor, target, cell=(ROW, COLUMN)) -> Tensor:
    """Negative gradient by the raw outputs of a cell: darknet's delta."""
    leaf = pred.clone().requires_grad_()
    loss(leaf, target, reduction_override="sum").backward()
    return -leaf.grad[0, :, cell[0], cell[1]]


def test_yolo_v1():
    pred = torch.zeros(1, 12, 2, 2, dtype=torch.float64)
    pred[0, :, 0, 0] = torch.tensor([0.5, 0.5, 0.6, 0.5, 0.6, 0.7, 0.3, 0.5, 0.4, 0.3, 0.2, 0.7], dtype=torch.float64)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        pred[0, 4, row, column], pred[0, 9, row, column] = 0.1, 0.2
    truth = torch.tensor([[[10.0, 10, 50, 30, 1]]], dtype=torch.float64)
    found = terms(ml.YOLOv1Loss(stride=50), pred, truth)
    assert close(found["loss_coord"], 5 * 0.02383976606)
    assert close(found["loss_obj"], 0.00731424943)
    assert close(found["loss_noobj"], 0.5 * 0.24)
    assert close(found["loss_cls"], 0.13)
    assert close(sum(found.values()), 0.3765130797)
    darknet = ml.YOLOv1Loss(stride=50, flavor="darknet")
    assert close(darknet(pred, truth), 0.1882565399)
    leaf = pred.clone().requires_grad_()
    darknet(leaf, truth).backward()
    assert close(leaf.grad.square().sum(), 0.7933084009)  # the cost that darknet prints: the sum of delta squared


def test_yolo_v2():
    pred, target = anchor_scene()
    squared = ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper")
    found = terms(squared, pred, target)
    assert close(found["loss_coord"], 0.1815634297)
    assert close(found["loss_obj"], 0.1245636271)
    assert close(found["loss_noobj"], 0.0723294881)
    assert close(found["loss_cls"], 0.2201987091)
    assert close(sum(found.values()), 0.5986552541)
    mixed = ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper", loss_class="cross_entropy")
    assert close(terms(mixed, pred, target)["loss_cls"], 0.4031860489)
    assert close(mixed(pred, target), 0.7816425939)
    darknet = terms(ml.YOLOv2Loss(anchors=ANCHOR), pred, target)
    for name in ("loss_coord", "loss_obj", "loss_noobj"):
        torch.testing.assert_close(darknet[name], found[name] / 2)
    assert close(darknet["loss_cls"], 0.4031860489)


def test_yolo_v2_readings_of_the_coordinates_differ_by_169():
    pred, target = anchor_scene()
    image = terms(ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper", units="image"), pred, target)["loss_coord"]
    grid = terms(ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper", units="grid"), pred, target)["loss_coord"]
    plain = ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper", units="image", coord_scale=False)
    assert close(terms(plain, pred, target)["loss_coord"], 0.0010521114)
    assert close(image, 0.0020410961)
    assert close(grid, 0.3449452363)
    torch.testing.assert_close(grid, 169 * image)


def test_yolo_v2_deltas():
    pred, target = anchor_scene()
    delta = slopes(ml.YOLOv2Loss(anchors=ANCHOR), pred, target)
    assert close(delta[0], -0.0239293960)
    assert close(delta[1], -0.1330521863)


def test_yolo_v3():
    pred, target = anchor_scene()
    options = dict(anchors=ANCHOR, strides=[STRIDE])
    paper = terms(ml.YOLOv3Loss(**options, flavor="paper"), pred, target)
    assert close(paper["loss_xy"] + paper["loss_wh"], 3.3174440489)
    assert close(paper["loss_obj"] + paper["loss_noobj"], 0.7873386717)
    assert close(paper["loss_cls"], 1.0673704969)
    assert close(sum(paper.values()), 5.1721532175)
    darknet = terms(ml.YOLOv3Loss(**options), pred, target)
    assert close(darknet["loss_xy"], 1.94 * 1.3625355295)
    assert close(darknet["loss_wh"], 1.94 * 0.5 * 0.0154695222)
    assert close(sum(darknet.values()), 4.5130335322)


def test_yolo_v3_with_the_weights_of_mmdets_config():
    pred, target = anchor_scene()
    loss = ml.YOLOv3Loss(anchors=ANCHOR, strides=[STRIDE], coord_scale=False, lambda_xy=2.0, lambda_wh=4.0)
    found = terms(loss, pred, target)
    assert close(found["loss_xy"], 2.7250710589)
    assert close(found["loss_wh"], 0.0309390443)
    assert close(loss(pred, target), 4.6107192718)


def test_yolo_v3_deltas():
    pred, target = anchor_scene()
    loss = ml.YOLOv3Loss(anchors=ANCHOR, strides=[STRIDE])
    delta = slopes(loss, pred, target)
    expected = [-0.0966779548, -0.5335403763, -0.0521428062, 0.2355890943, 0.3775406688, 0.4255574832, -0.4013123399]
    for value, number in zip(delta, expected, strict=True):
        assert close(value, number)
    negative = slopes(loss, pred, target, NEGATIVE)
    assert close(negative[4], -0.2689414214)
    assert close((delta**2).sum() + (negative**2).sum(), 0.9092502641)  # the cost that darknet prints


def test_yolo_v4():
    pred, target = anchor_scene()
    options = dict(anchors=ANCHOR, strides=[STRIDE], scale_x_y=1.05)
    found = terms(ml.YOLOv4Loss(**options, flavor="paper"), pred, target)
    assert close(found["loss_bbox"], 0.2222291140)
    assert close(sum(found.values()), 2.0769382826)
    assert close(ml.YOLOv4Loss(**options)(pred, target), 1.8702652065)
    smooth = terms(ml.YOLOv4Loss(**options, label_smoothing=0.1), pred, target)
    assert close(smooth["loss_cls"], 1.1023704969)
    plain = terms(ml.YOLOv4Loss(**options, loss_box=dict(type="IoULoss", mode="linear"), lambda_box=1), pred, target)
    assert close(1 - plain["loss_bbox"], 0.7810945634)


def test_iou_of_the_decoded_box():
    """With weight on the objectness of objects alone, ``(IoU - sigma(.5))**2``."""
    pred, target = anchor_scene()
    found = terms(ml.YOLOv2Loss(anchors=ANCHOR, flavor="paper", lambda_obj=1.0), pred, target)
    assert close(found["loss_obj"].sqrt() + 1 / (1 + torch.exp(torch.tensor(-0.5, dtype=torch.float64))), 0.7802969865)


def test_yolo_v4_takes_every_anchor_over_the_threshold():
    """Of the nine anchors for COCO the seventh is the best, and the fifth to eighth overlap by more than .213."""
    sizes = [(10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326)]
    anchors, strides = [sizes[:3], sizes[3:6], sizes[6:]], [8, 16, 32]
    shapes = [(52, 52), (26, 26), (13, 13)]
    truth = torch.cat([416 * torch.tensor([0.35, 0.3, 0.65, 0.5]), torch.tensor([0.0])]).reshape(1, 1, 5)
    for iou_thr, expected in ((None, [6]), (0.213, [4, 5, 6, 7])):
        dense = encode_anchors(truth, shapes, anchors, strides, 2, iou_thr=iou_thr)
        assert dense.objectness.sum() == len(expected)
        found, start = [], 0
        for level, (height, width) in enumerate(shapes):
            grid = dense.objectness[0, start : start + height * width * 3].reshape(height, width, 3)
            start += height * width * 3
            cell = grid[int(0.4 * height), int(0.5 * width)]
            found += [3 * level + k for k in range(3) if cell[k] == 1]
        assert found == expected


def test_grid_objectness():
    pred = torch.zeros(1, 5, 1, 2, dtype=torch.float64)
    pred[0, 4, 0] = torch.tensor([0.5, -1.0], dtype=torch.float64)
    box = torch.tensor([[[0.0, 0, 32, 32], [0, 0, 1, 1]]], dtype=torch.float64)
    target = DenseTarget(torch.tensor([[1.0, 0.0]], dtype=torch.float64), box)
    for average, expected in (("sum", 0.7873386717), ("cells", 0.3936693358), ("objects", 0.7873386717)):
        loss = ml.GridObjectnessLoss(stride=32, average=average)
        assert close(loss(pred, target), expected)  # the box fits


def test_grid_box_loss_is_a_mean_over_object_cells():
    """Not over all cells: a larger grid of empty cells leaves it as it is."""
    truth = torch.tensor([[[3.0, 4, 30, 20, 0], [40, 0, 60, 31, 0]]])
    loss = ml.GridObjectnessLoss(stride=32, loss_box="GIoULoss")
    small, large = (terms(loss, torch.zeros(1, 5, n, n), truth)["loss_bbox"] for n in (2, 9))
    assert small > 0
    torch.testing.assert_close(small, large)
