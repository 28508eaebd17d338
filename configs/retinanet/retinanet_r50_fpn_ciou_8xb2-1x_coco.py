_base_ = "../_base_/retinanet_r50_fpn_1x_coco.py"

model = dict(bbox_head=dict(loss_bbox=dict(type="CIoULoss")))
