_base_ = [
    "../_base_/models/grid_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

model = dict(bbox_head=dict(objective=dict(type="YOLOv1Loss", stride=16)))
