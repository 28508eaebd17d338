"""What the code has to know of torch.compile, which differs between versions of torch."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

__all__ = ["FUNCTIONS_UNDER_GRAD", "VERSION", "is_compiling", "is_traced"]

VERSION = tuple(map(int, torch.__version__.split(".")[:2]))
FUNCTIONS_UNDER_GRAD = VERSION >= (2, 11)
"""Whether the compiler takes an autograd.Function within torch.func.grad."""

if hasattr(torch.compiler, "is_compiling"):
    is_compiling = torch.compiler.is_compiling
else:  # torch before 2.3
    try:
        from torch._dynamo.external_utils import is_compiling
    except ModuleNotFoundError:  # its compiler needs numpy

        def is_compiling() -> bool:
            return False


def is_traced() -> bool:
    """Whether a compiler, a transform of functions or forward differentiation has to see every operation."""
    return is_compiling() or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
