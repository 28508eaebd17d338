_base_ = [
    "../_base_/models/dino_r18.py",
    "../_base_/datasets/shapes.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]

# As DINO does; without it the loss of the first iterations throws the attention off.
optim_wrapper = dict(clip_grad=dict(max_norm=0.1, norm_type=2, _delete_=True))
