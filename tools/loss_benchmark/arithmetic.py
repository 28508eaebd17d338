"""Transcendental functions that a loss cannot do without, timed on values that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .clock import Action
from .inputs import Call
from .traffic import counted_share

GRAIN = 32768
"""Values per thread at a time: as few as PyTorch splits among threads, 128 KB of float32."""

Function = Callable[..., Tensor]
NEEDED: dict[str, tuple[Function, ...]] = {
    "dense": (torch.exp, torch.log1p),
    "scalars": (torch.exp, torch.log1p),
    "roi": (torch.exp,),
    "distances": (torch.exp,),
    "heat": (torch.log1p,),
}
"""Per value of the prediction: a sigmoid and its logarithm, a softmax, the logarithm of a probability. The gradient
takes the same ones. Other groups have too few to matter, or no formula that all of their losses share."""


def values_that_count(calls: Sequence[Call]) -> int:
    """Values of the predictions whose weight is not 0."""
    return sum(round(counted_share(call) * leaf.numel()) for call in calls for leaf in call.leaves)


def computing(group: str, calls: Sequence[Call]) -> Action | None:
    """The functions that a group needs, over as many values, in float32; None where nothing is known of it."""
    count = values_that_count(calls)
    if group not in NEEDED or not count:
        return None
    block = min(count, GRAIN * torch.get_num_threads())
    source = torch.linspace(0, 4, block)
    target = torch.empty_like(source)
    sizes = [block] * (count // block) + ([count % block] if count % block else [])

    def compute() -> None:
        for size in sizes:
            for function in NEEDED[group]:
                function(source[:size], out=target[:size])

    return compute
