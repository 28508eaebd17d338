// Floats of the device that a formula is compiled for.
#pragma once

#ifdef MMDET_LOSSES_CUDA
#include "cuda/scalar.h"
#else
#include "vec.h"
#endif
