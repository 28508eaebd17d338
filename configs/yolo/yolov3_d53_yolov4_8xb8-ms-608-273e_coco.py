_base_ = "../_base_/yolov3_d53_273e_coco.py"

model = dict(bbox_head=dict(objective=dict(type="YOLOv4Loss")))
