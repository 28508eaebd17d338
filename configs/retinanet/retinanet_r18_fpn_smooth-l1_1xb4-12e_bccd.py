_base_ = [
    "../_base_/models/retinanet_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    bbox_head=dict(
        reg_decoded_bbox=False,
        loss_bbox=dict(type="SmoothL1Loss", beta=0.11, loss_weight=1.0),
    )
)
