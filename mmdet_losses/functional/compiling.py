"""Whether torch.compile traces the code; torch before 2.3 keeps the question in its compiler."""

from __future__ import annotations

import torch

if hasattr(torch.compiler, "is_compiling"):
    is_compiling = torch.compiler.is_compiling
else:
    from torch._dynamo.external_utils import is_compiling

__all__ = ["is_compiling"]
