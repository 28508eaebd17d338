"""A look at the first boxes that a loss gets, for heads that nobody knows."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.compiling import is_compiling

CALLS = 16
"""Training calls that are looked at."""
ENOUGH = 16
"""Weighted targets from which on a majority counts at once."""
FEW = 4
"""Least number of bad targets that count at the end; data with one bad box are not spoken of."""


class Look:
    """A forward pre-hook of a loss of boxes, which is gone after its first training calls.

    Counts the targets of weight other than 0 that end before they begin, ``x2 < x1`` or ``y2 < y1``, or that are all
    zeros. Boxes do not, not even those without an area; of deltas, of distances to the sides, and of centres with
    sizes, most do. A GPU is not waited for: counts are added up there, copied to pinned memory, and read in a later
    call. A call that is compiled, traced or captured in a graph is not looked at, nor one without weights whose result
    is not reduced, since its caller may mask it.
    """

    def __init__(self) -> None:
        self.left = CALLS
        self.looked = self.weighted = self.bad = 0
        self.gathered: Tensor | None = None
        """Counts on a GPU that no copy was begun of."""
        self.pending: tuple[Tensor, Any] | None = None
        """Counts that are on their way, with the event that says that they arrived."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "gathered": None, "pending": None}

    def __call__(self, loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if is_compiling() or not (loss.training and torch.is_grad_enabled()):
            return
        target = args[1] if len(args) > 1 else kwargs.get("target")
        weight = args[2] if len(args) > 2 else kwargs.get("weight")
        if not readable(target, weight):
            return
        reduction = (args[4] if len(args) > 4 else kwargs.get("reduction_override")) or getattr(loss, "reduction", None)
        if self.left:
            self.left -= 1
            if target.device.type in ("cpu", "cuda") and not (weight is None and reduction == "none"):
                self.note(count(target, weight))
        else:
            self.receive()
        if not self.left or self.bad:
            self.judge(loss)

    def note(self, counts: Tensor) -> None:
        """Add the counts of a call, or put them on their way."""
        if not counts.is_cuda:
            self.add(counts)
            return
        same = self.gathered is not None and self.gathered.device == counts.device
        self.gathered = self.gathered + counts if same else counts
        self.receive()

    def add(self, counts: Tensor) -> None:
        """Add counts that can be read."""
        calls, weighted, bad = counts.tolist()
        self.looked += calls
        self.weighted += weighted
        self.bad += bad

    def receive(self) -> None:
        """Add the counts that have arrived, and send those that wait."""
        if self.pending is not None and self.pending[1].query():
            self.add(self.pending[0])
            self.pending = None
        if self.pending is None and self.gathered is not None:
            self.pending = send(self.gathered)
            self.gathered = None

    def judge(self, loss: nn.Module) -> None:
        """Warn where most targets were no boxes, and end where that is said or nothing is left to look at."""
        ends = not self.left and self.pending is None and self.gathered is None
        if 2 * self.bad > self.weighted and (self.weighted >= ENOUGH or (ends and self.bad >= FEW)):
            ends = True
            warnings.warn(
                f"{type(loss).__name__} takes boxes (x1, y1, x2, y2), but of {self.weighted} targets of weight other "
                f"than 0 in its first {self.looked} training calls, {self.bad} have no area, with x2 < x1 or y2 < y1, "
                "or are all zeros: they seem to be deltas, distances, or centres and sizes, of which the IoU means "
                "nothing. Decode both prediction and target first (reg_decoded_bbox=True in heads that derive from "
                "AnchorHead or BBoxHead, bbox_cxcywh_to_xyxy for centres and sizes, the slot loss_iou in the DETR "
                "family), or choose a coordinate loss such as L1Loss.",
                stacklevel=5,
            )
        if ends:
            for key in [key for key, hook in loss._forward_pre_hooks.items() if hook is self]:
                del loss._forward_pre_hooks[key]
                loss._forward_pre_hooks_with_kwargs.pop(key, None)


def look_at_targets(loss: nn.Module) -> None:
    """Let the first training calls of a loss be looked at."""
    loss.register_forward_pre_hook(Look(), with_kwargs=True)


def readable(target: Any, weight: Any) -> bool:
    """Whether a call may be looked at: boxes and weights in plain tensors, outside of tracing and of graph capture."""
    if type(target) is not Tensor or target.shape[-1:] != (4,) or torch._C._are_functorch_transforms_active():
        return False
    rows = target.numel() // 4
    if not rows or (weight is not None and (type(weight) is not Tensor or weight.numel() not in (rows, 4 * rows))):
        return False
    return not (torch.jit.is_tracing() or (target.is_cuda and torch.cuda.is_current_stream_capturing()))


@torch.no_grad()
def count(target: Tensor, weight: Tensor | None) -> Tensor:
    """1 for the call, the number of weighted targets, and that of those among them that are no boxes."""
    x1, y1, x2, y2 = target.reshape(-1, 4).unbind(1)
    bad = (x2 < x1) | (y2 < y1)
    if weight is None:
        weighted = torch.ones_like(bad)
    else:
        weighted = (weight != 0).reshape(len(bad), -1).any(1)
        bad = (bad | (target.reshape(-1, 4) == 0).all(1)) & weighted
    return torch.stack([torch.ones_like(weighted.sum()), weighted.sum(), bad.sum()])


def send(counts: Tensor) -> tuple[Tensor, Any]:
    """Begin to copy counts from a GPU, without waiting for it."""
    arrived = torch.empty(counts.shape, dtype=counts.dtype, pin_memory=True)
    arrived.copy_(counts, non_blocking=True)
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(counts.device))
    return arrived, event
