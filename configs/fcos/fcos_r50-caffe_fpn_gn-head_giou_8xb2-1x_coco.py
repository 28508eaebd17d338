_base_ = "../_base_/fcos_r50-caffe_fpn_gn-head_1x_coco.py"

model = dict(bbox_head=dict(loss_bbox=dict(type="GIoULoss")))
