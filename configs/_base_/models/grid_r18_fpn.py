# A grid of cells of 16 pixels: one level of the small FPN.
_base_ = "./r18_fpn.py"

model = dict(
    type="SingleStageDetector",
    bbox_head=dict(type="GridCellHead", level=1, stacked_convs=2),
    test_cfg=dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.45)),
)
