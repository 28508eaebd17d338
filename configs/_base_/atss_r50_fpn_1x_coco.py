_base_ = "mmdet::atss/atss_r50_fpn_1x_coco.py"

custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_cls=dict(_delete_=True, type="FocalLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(_delete_=True, type="GIoULoss", loss_weight=2.0),
        loss_centerness=dict(_delete_=True, type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    )
)
