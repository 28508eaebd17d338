_base_ = "../_base_/grid_d53_273e_coco.py"

model = dict(bbox_head=dict(objective=dict(type="YOLOv1Loss", stride=32)))
