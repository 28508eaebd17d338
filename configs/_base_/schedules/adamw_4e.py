# As adamw_12e.py, shorter.
_base_ = "./adamw_12e.py"

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min_ratio=0.01,
    ),
]
