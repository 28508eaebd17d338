# VFNet at the size of the bundled ATSS, without its deformable layer.
_base_ = [
    "../../../configs/_base_/models/r18_fpn_atss-anchors.py",
    "../../../configs/_base_/models/small.py",
    "../../../configs/_base_/datasets/shapes.py",
    "../../../configs/_base_/schedules/adamw_4e.py",
    "../../../configs/_base_/default_runtime.py",
]

model = dict(type="VFNet", **_base_.small)
model["bbox_head"].update(
    type="VFNetHead",
    anchor_generator=dict(center_offset=0.0),
    loss_cls=dict(type="VarifocalLoss", use_sigmoid=True, alpha=0.75, gamma=2.0, iou_weighted=True, loss_weight=1.0),
    loss_bbox=dict(type="GIoULoss", loss_weight=1.5),
    loss_bbox_refine=dict(type="GIoULoss", loss_weight=2.0),
)
