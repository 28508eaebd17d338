"""Whether torch.compile traces the code, asked as each version of torch has it, and whether autograd records it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FUNCTIONS_UNDER_GRAD", "VERSION", "is_compiling", "is_traced", "wants_gradient"]

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
    """Whether torch.compile or a transform of torch.func runs the code, so that no value may be read."""
    return is_compiling() or torch._C._are_functorch_transforms_active()


def wants_gradient(*tensors: Tensor) -> bool:
    """Whether autograd records operations on any of the tensors."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
