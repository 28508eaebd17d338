// Floats of a GPU: one number for each thread.
#pragma once

#define INLINE __device__ __forceinline__

namespace {

typedef float Floats;
typedef bool Ints;

INLINE float all(float x) { return x; }
INLINE float select(bool mask, float yes, float no) { return mask ? yes : no; }
INLINE float abs(float x) { return fabsf(x); }

}  // namespace

#include "shared.h"

#include "machine.h"

namespace {

INLINE float exp(float x) { return expf(x); }
INLINE float expm1(float x) { return expm1f(x); }
INLINE float log(float x) { return logf(x); }
INLINE float atan2(float y, float x) { return atan2f(y, x); }
// For x in [1, 2], or NaN.
INLINE float inverse(float x) {
  const float guess = approximate_inverse(x);
  return fmaf(guess, fmaf(-x, guess, 1.0f), guess);
}

}  // namespace
