# Changes that make an R18 FPN model several times faster, for the drawn shapes: half the channels, a stem that
# leaves an eighth of the resolution to the first stage, shallower heads. Leaf files say `model = _base_.small`.
small = dict(
    backbone=dict(stem_channels=32, base_channels=32, strides=(2, 2, 2, 2)),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, start_level=0, norm_cfg=dict(type="BN")),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2),
)
