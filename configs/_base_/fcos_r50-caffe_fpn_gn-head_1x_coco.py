_base_ = "mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py"

custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_cls=dict(_delete_=True, type="FocalLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(_delete_=True, type="IoULoss", loss_weight=1.0),
        loss_centerness=dict(_delete_=True, type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    )
)
