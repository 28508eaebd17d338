"""Cost of a loss: time, memory and kernels, beside every peer and a copy of the same bytes."""
