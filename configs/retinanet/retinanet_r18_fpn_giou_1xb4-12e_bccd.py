_base_ = [
    "../_base_/models/retinanet_r18_fpn.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]
