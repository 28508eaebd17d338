"""MMEngine hooks: for losses that keep statistics or change over the training, and for the fused path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from .modules.fusing import fuse_losses
from .modules.state import Annealed, commit_statistics

if TYPE_CHECKING:
    from mmengine.runner import Runner


@HOOKS.register_module()
class FusedLossHook(Hook):
    """Switches all losses of the model to their compiled kernels, as ``fused=True`` does for one.

    ``tools/train.py --fuse-losses`` adds it; a config of your own says
    ``custom_hooks = [dict(type="FusedLossHook")]``.
    """

    def before_run(self, runner: Runner) -> None:
        number = fuse_losses(runner.model)
        runner.logger.info(f"mmdet_losses: {number} losses of the model are computed in compiled kernels.")


@HOOKS.register_module()
class LossStateHook(Hook):
    """Commits the statistics of the model's losses after each iteration, and tells annealed ones the progress.

    One collective per iteration, on every process, and none where no loss keeps statistics. Add
    ``custom_hooks = [dict(type="LossStateHook")]`` to a config of your own; ``tools/train.py`` adds it by itself.
    """

    priority = "VERY_HIGH"  # before the hooks that save and evaluate

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.annealed = [module for module in model.modules() if isinstance(module, Annealed)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        for module in self.annealed:
            module.set_progress(runner.iter / runner.max_iters)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        commit_statistics(runner.model)
