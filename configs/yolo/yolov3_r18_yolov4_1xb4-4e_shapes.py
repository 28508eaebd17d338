_base_ = [
    "../_base_/models/yolov3_r18_small.py",
    "../_base_/datasets/shapes.py",
    "../_base_/schedules/adamw_4e.py",
    "../_base_/default_runtime.py",
]

model = dict(bbox_head=dict(type="YOLOObjectiveHead", objective=dict(type="YOLOv4Loss", lambda_box=2.0)))
