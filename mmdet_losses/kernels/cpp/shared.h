// What losses are made of, over Floats: vectors of them on a CPU (vec.h), one on a GPU (cuda/scalar.h). Either includes
// this file where it has defined Floats, the masks Ints, all, select and abs.
#pragma once

namespace {

// If one of them is NaN, the second.
INLINE Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
INLINE Floats larger(Floats a, Floats b) { return a > b ? a : b; }
// A NaN in x stays.
INLINE Floats at_least(Floats x, float least) { return larger(all(least), x); }
INLINE Floats at_most(Floats x, float most) { return smaller(all(most), x); }

INLINE Floats sign(Floats x) { return select(x > 0, 1.0f, select(x < 0, -1.0f, 0.0f)); }
// The share of the gradient of max(a, b) that goes to a: a half in a tie.
INLINE Floats share(Floats a, Floats b) { return select(a > b, 1.0f, select(a == b, 0.5f, 0.0f)); }

// A divisor that is not positive becomes 1.
INLINE Floats safe(Floats divisor) { return select(divisor <= 0, 1.0f, divisor); }

template <int N>
INLINE Floats horner(Floats x, const float (&coefficients)[N]) {
  Floats sum = all(coefficients[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

// For x in [0, 1].
INLINE Floats log1p(Floats x) {
  static constexpr float SERIES[] = {0.999999995f,  -0.499999024f, 0.333299621f,  -0.249541303f, 0.196759222f,
                                     -0.153055433f, 0.106035715f,  -0.0569587115f, 0.0198510243f, -0.003243928f};
  return x * horner(x, SERIES);
}

// Four numbers of each row, by columns.
struct Columns {
  Floats c[4];
};

// What a weight belongs to. A weight of 0 deletes a row or element: a NaN or an infinity there counts no more than it
// does in functional/reduce.py (drop_junk), so its inputs are replaced by zeros, and its gradient is 0.
enum Weight { NONE, ROWS, ELEMENTS };

// Two options of a loss, whose meaning is its own.
struct Options {
  float first, second;
};

// Smooth L1 of a difference, and its slope; as functional/coordinate.py and geometry.py (smooth).
INLINE Floats smooth_l1(Floats difference, float beta, Floats& slope) {
  const Floats size = abs(difference);
  const Ints near = size < beta;
  slope = select(near, difference / beta, sign(difference));
  return select(near, difference * difference * (0.5f / beta), size - 0.5f * beta);
}

// The losses that a kernel computes, by number.
template <class... Losses>
struct Kinds {};
template <int KIND, class List>
struct Pick;
template <class First, class... Rest>
struct Pick<0, Kinds<First, Rest...>> {
  using Loss = First;
};
template <int KIND, class First, class... Rest>
struct Pick<KIND, Kinds<First, Rest...>> : Pick<KIND - 1, Kinds<Rest...>> {};

}  // namespace
