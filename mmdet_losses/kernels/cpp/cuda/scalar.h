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
// exp(-|x|), in fewer instructions than expf: what rounding takes of the power of 2 is put back.
INLINE float decay(float x) {
  const float size = least_or_nan(abs(x), 104.0f);  // of which the result is 0
  const float power = size * -1.44269504f, two = approximate_exp2(power);
  return fmaf(two, fmaf(power, -0.693147182f, -size), two);
}
// For x in [1, 2], or NaN.
INLINE float inverse(float x) { return approximate_inverse(x); }

}  // namespace
