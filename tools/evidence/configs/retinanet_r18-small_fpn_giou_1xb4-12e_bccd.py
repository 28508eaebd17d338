# The bundled RetinaNet for BCCD at the size of the one for drawn shapes: a run takes minutes, not half an hour.
_base_ = [
    "../../../configs/_base_/models/retinanet_r18_fpn.py",
    "../../../configs/_base_/models/small.py",
    "../../../configs/_base_/datasets/bccd.py",
    "../../../configs/_base_/schedules/adamw_12e.py",
    "../../../configs/_base_/default_runtime.py",
]

model = _base_.small
