_base_ = "../_base_/gfl_r50_fpn_1x_coco.py"

model = dict(bbox_head=dict(loss_bbox=dict(type="GIoULoss")))
