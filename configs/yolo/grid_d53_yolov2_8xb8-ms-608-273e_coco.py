_base_ = "../_base_/grid_d53_273e_coco.py"

# darknet's anchors for COCO are the default
model = dict(bbox_head=dict(objective=dict(type="YOLOv2Loss", strides=[32])))
