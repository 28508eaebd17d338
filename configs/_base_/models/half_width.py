# For a small data set: half the channels of the backbone, of the neck and of the head, and shallower heads.
# A leaf file says `model = _base_.half_width`.
half_width = dict(
    backbone=dict(base_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, norm_cfg=dict(type="BN")),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2),
)
