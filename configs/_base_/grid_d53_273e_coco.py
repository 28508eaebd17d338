# A grid of cells of 32 pixels over DarkNet-53, one level, no neck.
_base_ = "mmdet::yolo/yolov3_d53_8xb8-ms-608-273e_coco.py"

custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)

model = dict(
    type="SingleStageDetector",
    neck=None,
    bbox_head=dict(_delete_=True, type="GridCellHead", num_classes=80, in_channels=1024, feat_channels=512, level=-1),
    train_cfg=None,
)
