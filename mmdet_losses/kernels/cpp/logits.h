// Losses of logits and of coordinates: value and gradient of an element, for CPUs (logits.cpp) and for GPUs
// (cuda/elements.h, cuda/rows.h). The formulas are those of functional/classification.py, coordinate.py and
// distribution.py; tests/kernels/test_native.py compares them.
#pragma once

#include "floats.h"

namespace {

struct Slope {
  Floats value, by;
};

// p = sigmoid(x), rest = 1 - p, and what -ln p and -ln(1 - p) share, ln(1 + exp(-|x|)).
struct Logistic {
  Floats p, rest, common;

  explicit INLINE Logistic(Floats x) {
    const Floats away = decay(x), most = inverse(1.0f + away), least = away * most;
    const Ints negative = x < 0;  // what max(x, 0) asks, too
    p = select(negative, least, most), rest = select(negative, most, least);
    common = log1p(away);
  }
  INLINE Floats cross_entropy(Floats x, Floats target) const { return (at_least(x, 0.0f) - x * target) + common; }
};

// For targets 0 and 1; the logit of a positive is negated, so that p is the error.
template <bool SQUARE>
struct HardFocal {
  static INLINE Slope compute(Floats x, Floats target, Options options) {
    const Ints positive = target > 0.5f;
    const Floats turned = select(positive, -x, x);
    const Floats alpha = select(positive, options.first, 1.0f - options.first);
    const Logistic l(turned);
    const Floats cost = at_least(turned, 0.0f) + l.common, gamma = all(SQUARE ? 2.0f : options.second);
    const Floats power = SQUARE ? l.p * l.p : exp(gamma * (at_most(turned, 0.0f) - l.common));
    const Floats factor = alpha * power, slope = factor * (gamma * l.rest * cost + l.p);
    return {factor * cost, select(positive, -slope, slope)};
  }
};

struct SoftFocal {
  static INLINE Slope compute(Floats x, Floats target, Options options) {
    const Logistic l(x);
    const Floats cost = l.cross_entropy(x, target), other = 1.0f - target;
    const Floats error = l.rest * target + l.p * other;
    const Floats alpha = options.first * target + (1.0f - options.first) * other;
    const Floats inner = 2.0f * (other - target) * (l.p * l.rest) * cost + error * (l.p - target);
    return {alpha * (error * error) * cost, alpha * error * inner};
  }
};

struct CrossEntropy {
  static INLINE Slope compute(Floats x, Floats target, Options) {
    const Logistic l(x);
    return {l.cross_entropy(x, target), l.p - target};
  }
};

struct Quality {
  static INLINE Slope compute(Floats x, Floats target, Options) {
    const Logistic l(x);
    const Floats cost = l.cross_entropy(x, target), error = l.p - target;
    return {error * error * cost, error * (2.0f * (l.p * l.rest) * cost + error * error)};
  }
};

template <bool WEIGHTED>
struct Varifocal {
  static INLINE Slope compute(Floats x, Floats target, Options options) {
    const Logistic l(x);
    const Floats cost = l.cross_entropy(x, target), error = l.p - target;
    const Floats factor = WEIGHTED ? target : all(1.0f), scaled = options.first * error;
    const Ints positive = target > 0;
    return {
        select(positive, factor, scaled * error) * cost,
        select(positive, factor * error, scaled * (2.0f * (l.p * l.rest) * cost + error * error)),
    };
  }
};

struct Absolute {
  static INLINE Slope compute(Floats x, Floats target, Options) {
    const Floats difference = x - target;
    return {abs(difference), sign(difference)};
  }
};

struct Squared {
  static INLINE Slope compute(Floats x, Floats target, Options) {
    const Floats difference = x - target;
    return {difference * difference, 2.0f * difference};
  }
};

struct SmoothAbsolute {
  static INLINE Slope compute(Floats x, Floats target, Options options) {
    Floats slope;
    const Floats value = smooth_l1(x - target, options.first, slope);
    return {value, slope};
  }
};

// The weighted value of elements, and their gradient times `scale`.
template <class Loss, bool WEIGHT>
INLINE Slope weighted(Floats x, Floats y, Floats w, float scale, Options options) {
  if (!WEIGHT) {
    const Slope slope = Loss::compute(x, y, options);
    return {slope.value, slope.by * scale};
  }
  const Ints drop = w == 0;
  const Slope slope = Loss::compute(select(drop, 0.0f, x), select(drop, 0.0f, y), options);
  return {slope.value * w, select(drop, 0.0f, slope.by * (w * scale))};
}

// In the order of kernels/plans.py, from HARD_FOCAL on.
using Losses = Kinds<HardFocal<true>, HardFocal<false>, SoftFocal, CrossEntropy, Quality, Varifocal<true>,
                     Varifocal<false>, Absolute, Squared, SmoothAbsolute>;

// Where a distance lies among bins; its share of a bin: the target of a distribution.
struct Bins {
  float start, density, last;

  INLINE Floats place(Floats distance) const { return at_most(at_least((distance - start) * density, 0.0f), last); }
  static INLINE Floats share(Floats place, Floats bin) { return at_least(1.0f - abs(place - bin), 0.0f); }
};

}  // namespace
