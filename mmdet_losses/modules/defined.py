"""Buffers with defined values: float32 whatever the module is converted to, and set where it leaves ``meta``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from .steps import listen

HALF = (torch.float16, torch.bfloat16)

OF_THE_ORIGINAL = ("by_hand", "called", "steps")
"""Attributes that a copy does not take over."""


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """A dtype that counts: one in bfloat16 ends at 256, one in half at 65504."""
    return torch.promote_types(dtype, torch.float32)


class DefinedBuffers(nn.Module):
    """Mixin of modules whose buffers follow the training, and start from values that the class defines."""

    by_hand = False
    """Whether somebody commits, so that the optimizer's step does not."""

    def keep_buffers(self, persistent: bool = True, **shapes: tuple[int, ...]) -> None:
        """Register buffers, each with its shape; :meth:`reset_statistics` sets them."""
        dtype = at_least_float32(torch.get_default_dtype())
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype), persistent=persistent)
        listen(self)

    def reset_statistics(self) -> None:
        """Set the buffers to the values that they start from, in place."""

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """:meth:`reset_statistics`, under the name that FSDP calls after it has materialised a module."""
        self.reset_statistics()

    def after_step(self) -> None:
        """Called after the step of any optimizer of the process, see :mod:`~mmdet_losses.modules.steps`."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert or move the module; what ``to_empty`` leaves undefined starts anew."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        materialised = False
        for name, old in before.items():
            new = self._buffers[name]
            if old is None:
                continue
            if new.dtype in HALF:
                dtype = at_least_float32(old.dtype)
                self._buffers[name] = new.to(dtype) if old.is_meta else old.to(new.device, dtype)
            materialised |= old.is_meta and not new.is_meta
        if materialised:
            self.reset_parameters()
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Load; with ``assign=True`` what is in no state dict leaves ``meta`` as well, and half becomes float32."""
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if local_metadata.get("assign_to_params_buffers", False):
            self.settle()

    def settle(self) -> None:
        """Give the buffers that are still on ``meta`` the device of the others, and the values that they start from."""
        present = {name: value for name, value in self._buffers.items() if value is not None}
        loaded = {name: value for name, value in present.items() if not value.is_meta}
        if not loaded:
            return
        if len(loaded) < len(present):
            device = next(iter(loaded.values())).device
            self._buffers.update({name: torch.empty_like(value, device=device) for name, value in present.items()})
            self.reset_parameters()
        for name, value in loaded.items():
            self._buffers[name] = value.to(at_least_float32(value.dtype)) if value.dtype in HALF else value

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy listens to steps, whoever commits the original, and has not been called."""
        super().__setstate__({name: value for name, value in state.items() if name not in OF_THE_ORIGINAL})
        listen(self)
