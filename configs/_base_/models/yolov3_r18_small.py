# YOLOv3 for the drawn shapes: the faster backbone of small.py, and anchors for sides of 12 to 120 pixels.
_base_ = "./yolov3_r18.py"

model = dict(
    backbone=dict(stem_channels=32, base_channels=32, strides=(2, 2, 2, 2), out_indices=(0, 1, 2)),
    neck=dict(in_channels=[128, 64, 32], out_channels=[96, 64, 48]),
    bbox_head=dict(
        in_channels=[96, 64, 48],
        out_channels=[192, 128, 96],
        anchor_generator=dict(
            base_sizes=[
                [(108, 100), (100, 64), (64, 100)],
                [(72, 72), (72, 44), (44, 72)],
                [(46, 46), (30, 30), (18, 18)],
            ],
        ),
    ),
)
