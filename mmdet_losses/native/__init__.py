"""Hand-written kernels of some losses for CPUs, in C++ that is compiled where it runs."""
