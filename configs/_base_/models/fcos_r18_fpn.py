_base_ = "./r18_fpn.py"

model = dict(
    type="FCOS",
    neck=dict(relu_before_extra_convs=True),
    bbox_head=dict(
        type="FCOSHead",
        strides=[8, 16, 32, 64, 128],
        centerness_on_reg=True,
        center_sampling=True,
        conv_bias=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
)
