"""Lower bound of a loss's arithmetic: the transcendental functions it needs, on values that stay in cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .clock import Action
from .inputs import Call
from .traffic import weighted_share

GRAIN = 32768
"""Values per thread at a time: the least that PyTorch splits among threads, 128 KB of float32."""

Function = Callable[..., Tensor]
NEEDED: dict[str, tuple[Function, ...]] = {
    "dense": (torch.exp, torch.log1p),
    "scalars": (torch.exp, torch.log1p),
    "roi": (torch.exp,),
    "distances": (torch.exp,),
    "bins": (torch.exp,),
    "masks": (torch.exp,),
    "heat": (torch.log1p,),
}
"""Per element of the prediction: a sigmoid and its logarithm, a softmax, the logarithm of a probability. The gradient
reuses them. Other groups have too few to matter, or no formula that all of their losses share."""


def weighted_elements(calls: Sequence[Call]) -> int:
    """Return the number of elements of the predictions with a nonzero weight."""
    return sum(round(weighted_share(call) * leaf.numel()) for call in calls for leaf in call.leaves)


def computing(group: str, calls: Sequence[Call]) -> Action | None:
    """Return the functions that a group needs, on as many float32 values; None for a group without any."""
    count = weighted_elements(calls)
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
