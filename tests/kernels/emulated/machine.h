// What kernels/cpp/cuda/machine has as instructions of a GPU, in C++.
#pragma once

namespace {

// With another last bit, which the instructions do not promise either.
inline float off_by_a_bit(float x) { return __uint_as_float(__float_as_uint(x) ^ 1u); }
inline float approximate_inverse(float x) { return off_by_a_bit(1.0f / x); }
inline float approximate_exp2(float x) {
  const float y = static_cast<float>(std::exp2(static_cast<double>(x)));
  return std::fabs(y) < 1.17549435e-38f ? 0.0f : off_by_a_bit(y);
}
inline float least_or_nan(float x, float y) { return x > y ? y : x; }

inline float from_half(unsigned short bits) {
  const float size = static_cast<float>(bits & 0x3ff), sign = bits & 0x8000 ? -1.0f : 1.0f;
  const int power = bits >> 10 & 31;
  if (power == 31) return sign * (size ? NAN : INFINITY);
  return sign * (power ? std::ldexp(1024 + size, power - 25) : std::ldexp(size, -24));
}

inline unsigned short to_half(float x) {
  const unsigned sign = __float_as_uint(x) >> 16 & 0x8000;
  const float size = std::fabs(x);
  if (x != x) return 0x7fff;
  if (size == 0) return static_cast<unsigned short>(sign);
  if (size >= 65520.0f) return static_cast<unsigned short>(sign | 0x7c00);
  int power;
  std::frexp(size, &power);
  const int unit = power < -13 ? -24 : power - 11;  // the last bit's
  const unsigned steps = static_cast<unsigned>(std::nearbyint(std::ldexp(size, -unit)));
  return static_cast<unsigned short>(sign | (unit == -24 ? steps : steps + (static_cast<unsigned>(unit + 24) << 10)));
}

}  // namespace
