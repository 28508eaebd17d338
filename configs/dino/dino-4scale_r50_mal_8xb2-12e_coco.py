_base_ = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"

custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_cls=dict(_delete_=True, type="MatchabilityAwareLoss", use_sigmoid=True, gamma=1.5, loss_weight=1.0),
        loss_bbox=dict(_delete_=True, type="L1Loss", loss_weight=5.0),
        loss_iou=dict(_delete_=True, type="GIoULoss", loss_weight=2.0),
    )
)
