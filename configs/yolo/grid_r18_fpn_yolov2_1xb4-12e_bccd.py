_base_ = [
    "../_base_/models/grid_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    bbox_head=dict(
        objective=dict(
            type="YOLOv2Loss",
            lambda_coord=5.0,
            anchors=[[(20, 19), (48, 52), (50, 41), (59, 55), (106, 96)]],
            strides=[16],
        )
    )
)
