# One square anchor per place, assigned by ATSS: what the small ATSS and GFL heads share.
_base_ = "./r18_fpn.py"

model = dict(
    bbox_head=dict(
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
    ),
    train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
)
