_base_ = [
    "../_base_/models/grid_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

# One cell in 25 holds an object: focal loss over the number of objects, as in RetinaNet.
model = dict(
    bbox_head=dict(
        objective=dict(
            type="GridObjectnessLoss",
            stride=16,
            loss_obj=dict(type="FocalLoss"),
            average="objects",
            loss_box="SmoothL1Loss",
            lambda_box=2.0,
        )
    )
)
