// Vectors of floats, the functions that losses are made of, and the division of work among threads of a CPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t))));

INLINE Floats all(float x) { return Floats{} + x; }
INLINE Ints all(int32_t x) { return Ints{} + x; }
INLINE Ints bits(Floats x) { return reinterpret_cast<Ints>(x); }
INLINE Floats from_bits(Ints x) { return reinterpret_cast<Floats>(x); }

INLINE Floats load(const float* from) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
INLINE void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

INLINE Floats select(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }
INLINE Floats select(Ints mask, Floats yes, float no) { return mask ? yes : all(no); }
INLINE Floats select(Ints mask, float yes, Floats no) { return mask ? all(yes) : no; }
INLINE Floats select(Ints mask, float yes, float no) { return mask ? all(yes) : all(no); }

INLINE Floats abs(Floats x) { return from_bits(bits(x) & 0x7fffffff); }

}  // namespace

#include "shared.h"

namespace {

struct Power {
  Floats two, rest;  // exp(x) = two * (1 + rest)
};

INLINE Power exp_parts(Floats x) {
  static constexpr float SERIES[] = {1.0f, 0.499999981f, 0.166665062f, 0.0416671363f, 0.00836906854f, 0.00138888641f};
  x = at_most(at_least(x, -87.0f), 88.0f);
  const Floats shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2**23: rounds
  const Floats n = shifted - 12582912.0f;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  return {from_bits((bits(shifted) << 23) + 0x3f800000), r * horner(r, SERIES)};
}
INLINE Floats exp(Floats x) {
  const Power power = exp_parts(x);
  return power.two + power.two * power.rest;
}
INLINE Floats expm1(Floats x) {
  const Power power = exp_parts(x);
  return power.two * power.rest + (power.two - 1.0f);
}

INLINE Floats decay(Floats x) { return exp(-abs(x)); }
INLINE Floats inverse(Floats x) { return 1.0f / x; }

// For normal numbers.
INLINE Floats log(Floats x) {
  static constexpr float SERIES[] = {3.3333331174e-1f,  -2.4999993993e-1f, 2.0000714765e-1f,
                                     -1.6668057665e-1f, 1.4249322787e-1f,  -1.2420140846e-1f,
                                     1.1676998740e-1f,  -1.1514610310e-1f, 7.0376836292e-2f};
  const Ints shifted = bits(x) - 0x3f3504f3;  // the square root of 1/2
  const Floats n = __builtin_convertvector(shifted >> 23, Floats);
  const Floats f = from_bits((shifted & 0x7fffff) + 0x3f3504f3) - 1.0f;
  const Floats square = f * f;
  const Floats rest = f * square * horner(f, SERIES) - n * 2.12194440e-4f - 0.5f * square;
  return select(x == x, f + rest + n * 0.693359375f, x);
}

// For x > 0.
INLINE Floats atan2(Floats y, Floats x) {
  static constexpr float SERIES[] = {0.999999998f,   -0.333332836f, 0.199982659f,   -0.142619314f, 0.109420218f,
                                     -0.0837728959f, 0.0575516618f, -0.0308041605f, 0.0107267106f, -0.00175387818f};
  const Floats side = abs(y);
  const Ints steep = side > x;
  const Floats t = select(steep, x, side) / select(steep, side, x);
  const Floats flat = t * horner(t * t, SERIES);
  const Floats angle = select(steep, 1.57079633f - flat, flat);
  return select(y < 0, -angle, angle);
}

template <int... LANE>
struct Order {
  static INLINE Floats pick(Floats a, Floats b) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, LANE...);
#else
    return __builtin_shuffle(a, b, Ints{LANE...});
#endif
  }
};
template <int... L>
INLINE Order<2 * L...> even_lanes(std::integer_sequence<int, L...>) { return {}; }
template <int... L>
INLINE Order<2 * L + 1 ...> odd_lanes(std::integer_sequence<int, L...>) { return {}; }
template <int... L>
INLINE Order<(L % 2) * LANES + L / 2 ...> low_lanes(std::integer_sequence<int, L...>) { return {}; }
template <int... L>
INLINE Order<(L % 2) * LANES + LANES / 2 + L / 2 ...> high_lanes(std::integer_sequence<int, L...>) { return {}; }
using Lanes = std::make_integer_sequence<int, LANES>;

INLINE Floats even(Floats a, Floats b) { return decltype(even_lanes(Lanes{}))::pick(a, b); }
INLINE Floats odd(Floats a, Floats b) { return decltype(odd_lanes(Lanes{}))::pick(a, b); }
INLINE Floats low_half(Floats a, Floats b) { return decltype(low_lanes(Lanes{}))::pick(a, b); }
INLINE Floats high_half(Floats a, Floats b) { return decltype(high_lanes(Lanes{}))::pick(a, b); }

// LANES rows of four numbers.
INLINE Columns load_rows(const float* from) {
  const Floats a = load(from), b = load(from + LANES), c = load(from + 2 * LANES), d = load(from + 3 * LANES);
  const Floats e = even(a, b), f = even(c, d), g = odd(a, b), h = odd(c, d);
  return {{even(e, f), even(g, h), odd(e, f), odd(g, h)}};
}
INLINE void store_rows(float* to, const Columns& x) {
  const Floats e = low_half(x.c[0], x.c[2]), f = high_half(x.c[0], x.c[2]);
  const Floats g = low_half(x.c[1], x.c[3]), h = high_half(x.c[1], x.c[3]);
  store(to, low_half(e, g));
  store(to + LANES, high_half(e, g));
  store(to + 2 * LANES, low_half(f, h));
  store(to + 3 * LANES, high_half(f, h));
}

// Transposes a square: each step moves the last bit of the lane number to the row number.
INLINE void transpose(Floats (&rows)[LANES]) {
#pragma GCC unroll 4
  for (int step = 1; step < LANES; step *= 2) {
    Floats moved[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; ++i) {
      moved[i] = even(rows[2 * i], rows[2 * i + 1]);
      moved[i + LANES / 2] = odd(rows[2 * i], rows[2 * i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i) rows[i] = moved[i];
  }
}

INLINE bool any(Ints x) {
#ifdef __AVX512F__
  const __m512i words = reinterpret_cast<__m512i>(x);
  return _mm512_test_epi32_mask(words, words) != 0;
#endif
  uint64_t parts[LANES / 2], found = 0;
  std::memcpy(parts, &x, sizeof x);
  for (uint64_t part : parts) found |= part;
  return found != 0;
}
// Whether a weight is not 0.
INLINE bool any_weight(Floats x) { return any(bits(x) << 1); }
INLINE bool any_weight(const float* weight, int64_t n) {
  int32_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    int32_t word;
    std::memcpy(&word, weight + i, sizeof word);
    found |= word << 1;
  }
  return found != 0;
}

// A sum whose error does not grow with the number of terms: of few blocks in floats, of these in doubles.
class Sum {
 public:
  INLINE void add(Floats x) {
    recent += x;
    if (++count == 16) spill();
  }
  double result() {
    spill();
    return total;
  }

 private:
  INLINE void spill() {
    for (int i = 0; i < LANES; ++i) total += static_cast<double>(recent[i]);
    recent = all(0.0f);
    count = 0;
  }
  Floats recent = all(0.0f);
  int count = 0;
  double total = 0.0;
};

// GOMP_parallel of the OpenMP that torch has loaded; a second runtime would have threads of its own.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
constexpr int MOST_THREADS = 256;

template <class Part>
struct Division {
  const Part* part;
  int64_t n, step;
  std::atomic<int> next;
  int parts;
  double sums[MOST_THREADS];

  static void work(void* self) {
    Division& division = *static_cast<Division*>(self);
    for (int i; (i = division.next++) < division.parts;) division.one(i);
  }
  void one(int i) {
    const int64_t begin = i * step, end = begin + step < n ? begin + step : n;
    sums[i] = begin < end ? (*part)(begin, end) : 0.0;
  }
};

// The sum of part(begin, end) over [0, n), in ranges of a multiple of `grain`; deterministic.
template <class Part>
double divide_work(int64_t n, int64_t grain, int threads, Parallel parallel, const Part& part) {
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  if (threads <= 1 || parallel == nullptr) return part(int64_t{0}, n);
  Division<Part> division{&part, n, 0, {0}, threads, {}};
  division.step = ((n + threads - 1) / threads + grain - 1) / grain * grain;
  parallel(Division<Part>::work, &division, static_cast<unsigned>(threads), 0);
  double sum = 0.0;
  for (int i = 0; i < threads; ++i) sum += division.sums[i];
  return sum;
}

}  // namespace
