_base_ = "mmdet::yolo/yolov3_d53_8xb8-ms-608-273e_coco.py"

custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)

# The objective has the head's anchors and strides; the head's own four losses are not used.
model = dict(bbox_head=dict(type="YOLOObjectiveHead", objective=dict(type="YOLOv3Loss")))
