_base_ = [
    "../_base_/models/yolov3_r18.py",
    "../_base_/datasets/bccd.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    bbox_head=dict(
        type="YOLOObjectiveHead",
        objective=dict(type="YOLOv4Loss", lambda_box=4.0, flavor="paper"),
    )
)
