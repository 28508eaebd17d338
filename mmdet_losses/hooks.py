"""MMEngine hooks: for losses that keep statistics or change over the training, and for the fused path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel, is_model_wrapper
from mmengine.registry import HOOKS

from .modules.averaging import keep_out_of_averages
from .modules.fusing import fuse_losses
from .modules.state import Annealed, Stateful, commit_statistics
from .modules.steps import LISTENERS

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

    One collective per iteration, on every process, and none where no loss keeps statistics. It is there by itself in
    every training of MMEngine's runners, see :mod:`~mmdet_losses.runners`, which a ``custom_hooks`` entry does not
    change.
    """

    priority = "VERY_HIGH"  # before the hooks that save and evaluate

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.annealed = [module for module in model.modules() if isinstance(module, Annealed)]
        self.set_by_hand(runner, True)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        for module in self.annealed:
            module.set_progress(runner.iter / runner.max_iters)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        if LISTENERS:
            commit_statistics(runner.model)

    def after_train(self, runner: Runner) -> None:
        self.set_by_hand(runner, False)

    def set_by_hand(self, runner: Runner, by_hand: bool) -> None:
        """Say whether the statistics of the model are committed here, or by the step of an optimizer."""
        for module in runner.model.modules():
            if isinstance(module, Stateful | Annealed):
                module.by_hand = by_hand


keep_out_of_averages(BaseAveragedModel)
