# mmdet's YOLOv3 over the small backbone; objects find their anchors by shape, so these are those of the data set.
_base_ = "./r18.py"

model = dict(
    type="YOLOV3",
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(type="YOLOV3Neck", num_scales=3, in_channels=[512, 256, 128], out_channels=[128, 96, 64]),
    bbox_head=dict(
        type="YOLOV3Head",
        num_classes=3,
        in_channels=[128, 96, 64],
        out_channels=[256, 192, 128],
        anchor_generator=dict(
            type="YOLOAnchorGenerator",
            base_sizes=[
                [(59, 49), (65, 61), (108, 98)],
                [(50, 48), (53, 56), (55, 37)],
                [(20, 19), (40, 56), (41, 41)],
            ],
            strides=[32, 16, 8],
        ),
        bbox_coder=dict(type="YOLOBBoxCoder"),
        featmap_strides=[32, 16, 8],
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0, reduction="sum"),
        loss_conf=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0, reduction="sum"),
        loss_xy=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=2.0, reduction="sum"),
        loss_wh=dict(type="MSELoss", loss_weight=2.0, reduction="sum"),
    ),
    train_cfg=dict(assigner=dict(type="GridAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0)),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        conf_thr=0.005,
        nms=dict(type="nms", iou_threshold=0.45),
        max_per_img=100,
    ),
)
