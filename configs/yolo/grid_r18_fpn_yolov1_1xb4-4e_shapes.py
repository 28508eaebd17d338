_base_ = [
    "../_base_/models/grid_r18_fpn.py",
    "../_base_/models/small.py",
    "../_base_/datasets/shapes.py",
    "../_base_/schedules/adamw_4e.py",
    "../_base_/default_runtime.py",
]

model = _base_.small
model.bbox_head.objective = dict(type="YOLOv1Loss", stride=16)
