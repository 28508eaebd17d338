_base_ = [
    "../_base_/models/grid_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

# Few cells hold an object: what they are averaged over, and how much the boxes count, is that of dense detectors.
model = dict(bbox_head=dict(objective=dict(type="GridObjectnessLoss", stride=16, average="objects", lambda_box=5.0)))
