"""What a loss costs: time, memory and kernels, beside every peer and beside a copy of the same bytes."""
