# ResNet-18 FPN, shared by the small heads.
_base_ = "./r18.py"

model = dict(
    neck=dict(
        type="FPN",
        in_channels=[64, 128, 256, 512],
        out_channels=128,
        start_level=1,
        add_extra_convs="on_output",
        num_outs=5,
    ),
    bbox_head=dict(num_classes=3, in_channels=128, stacked_convs=4, feat_channels=128),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.6),
        max_per_img=100,
    ),
)
