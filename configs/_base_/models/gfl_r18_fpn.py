_base_ = "./r18_fpn_atss-anchors.py"

model = dict(
    type="GFL",
    bbox_head=dict(
        type="GFLHead",
        reg_max=16,
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
    ),
)
