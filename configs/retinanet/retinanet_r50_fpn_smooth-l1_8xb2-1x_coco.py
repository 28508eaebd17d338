_base_ = "../_base_/retinanet_r50_fpn_1x_coco.py"

# On deltas. beta is that of Detectron's RetinaNet; MMDetection's own config uses L1Loss.
model = dict(bbox_head=dict(reg_decoded_bbox=False, loss_bbox=dict(type="SmoothL1Loss", beta=0.11, loss_weight=1.0)))
