_base_ = "mmdet::_base_/default_runtime.py"

custom_imports = dict(imports=["mmdet_losses", "mmdet_losses.data.datasets"], allow_failed_imports=False)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2, save_best="coco/bbox_mAP"))
# A head for another number of classes than the data set has would train without a word.
custom_hooks = [dict(type="NumClassCheckHook")]
log_processor = dict(window_size=10)
# Another run: --cfg-options randomness.seed=1
randomness = dict(seed=0)
