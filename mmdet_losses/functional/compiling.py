"""What the code has to know of torch.compile, which differs between versions of torch."""

from __future__ import annotations

import torch

__all__ = ["FUNCTIONS_UNDER_GRAD", "VERSION", "is_compiling"]

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
