_base_ = [
    "../_base_/models/gfl_r18_fpn.py",
    "../_base_/models/half_width.py",
    "../_base_/datasets/shapes.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

model = _base_.half_width
