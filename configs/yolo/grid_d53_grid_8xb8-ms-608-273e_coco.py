_base_ = "../_base_/grid_d53_273e_coco.py"

model = dict(bbox_head=dict(objective=dict(type="GridObjectnessLoss", stride=32, loss_box=dict(type="CIoULoss"))))
