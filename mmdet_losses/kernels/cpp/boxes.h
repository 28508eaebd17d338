// Losses of pairs of boxes (x1, y1, x2, y2): value and gradient, for CPUs (boxes.cpp) and for GPUs (cuda/pairs.h). The
// formulas are those of functional/iou.py, geometry.py and beyond_iou.py; tests/kernels/test_native.py compares them.
// Compiled without contraction, so that the areas of equal boxes are equal.
#pragma once

#include "floats.h"

namespace {

// A value for each pair, and its derivatives by the prediction's four coordinates.
struct Slope {
  Floats value;
  Columns by;
};

// A pair in a frame of its own, see functional/geometry.py, and what the gradient is made of.
struct Pair {
  Floats x1, y1, x2, y2, X1, Y1, X2, Y2;
  Floats unit_inverse, doubt;
  Floats w, h, W, H;                      // signed sides
  Floats hull_w_raw, hull_h_raw, hull_w, hull_h;
  Floats inner_w, inner_h, intersection, unions, divisor, iou;
  // Gradients by ...
  Floats of_w = all(0.0f), of_h = all(0.0f), of_hull_w = all(0.0f), of_hull_h = all(0.0f);
  Floats of_dx = all(0.0f), of_dy = all(0.0f), of_iou = all(0.0f), of_union = all(0.0f);

  INLINE Pair(const Columns& pred, const Columns& target) {
    const Floats left = pred.c[0], top = pred.c[1];
    x1 = left - left, y1 = top - top, x2 = pred.c[2] - left, y2 = pred.c[3] - top;
    X1 = target.c[0] - left, Y1 = target.c[1] - top, X2 = target.c[2] - left, Y2 = target.c[3] - top;
    const Floats a = abs(x2), b = abs(y2), c = abs(X1), d = abs(Y1), e = abs(X2), f = abs(Y2);
    doubt = ((x1 + y1) + (a + b)) + ((c + d) + (e + f));  // NaN where a coordinate is
    Floats unit = larger(larger(larger(a, b), larger(c, d)), larger(e, f));
    unit = at_most(select(unit < 1.17549435e-38f, 1.0f, unit), 8.50705917e37f);
    unit_inverse = 1.0f / unit;
    x2 *= unit_inverse, y2 *= unit_inverse;
    X1 *= unit_inverse, Y1 *= unit_inverse, X2 *= unit_inverse, Y2 *= unit_inverse;
    w = x2 - x1, h = y2 - y1, W = X2 - X1, H = Y2 - Y1;
  }

  INLINE void overlap() {
    inner_w = smaller(x2, X2) - larger(x1, X1), inner_h = smaller(y2, Y2) - larger(y1, Y1);
    intersection = at_least(inner_w, 0.0f) * at_least(inner_h, 0.0f);
    const Floats area = at_least(w, 0.0f) * at_least(h, 0.0f), target_area = at_least(W, 0.0f) * at_least(H, 0.0f);
    unions = larger((area + target_area) - intersection, intersection);
    divisor = safe(unions);
    iou = intersection / divisor;
  }
  INLINE void hull() {
    hull_w_raw = larger(x2, X2) - smaller(x1, X1), hull_h_raw = larger(y2, Y2) - smaller(y1, Y1);
    hull_w = at_least(hull_w_raw, 0.0f), hull_h = at_least(hull_h_raw, 0.0f);
  }
  INLINE Floats dx() const { return ((X1 - x1) + (X2 - x2)) * 0.5f; }
  INLINE Floats dy() const { return ((Y1 - y1) + (Y2 - y2)) * 0.5f; }

  // The gradient by the corners from those by the parts; by the hull only where a loss uses it.
  template <bool HULL>
  INLINE Columns gradient() const {
    const Floats of_intersection = of_iou / divisor;
    const Floats by_union = of_union - of_intersection * iou;
    const Floats by_intersection = of_intersection - by_union;
    const Floats along_w = of_w + select(w < 0, 0.0f, by_union * at_least(h, 0.0f));
    const Floats along_h = of_h + select(h < 0, 0.0f, by_union * at_least(w, 0.0f));
    const Floats inside_w = select(inner_w < 0, 0.0f, by_intersection * at_least(inner_h, 0.0f));
    const Floats inside_h = select(inner_h < 0, 0.0f, by_intersection * at_least(inner_w, 0.0f));
    Floats by_x1 = -along_w - inside_w * share(x1, X1), by_y1 = -along_h - inside_h * share(y1, Y1);
    Floats by_x2 = along_w + inside_w * share(X2, x2), by_y2 = along_h + inside_h * share(Y2, y2);
    if (HULL) {
      const Floats hull_x = select(hull_w_raw < 0, 0.0f, of_hull_w), hull_y = select(hull_h_raw < 0, 0.0f, of_hull_h);
      const Floats shift_x = of_dx * 0.5f, shift_y = of_dy * 0.5f;
      by_x1 -= hull_x * share(X1, x1) + shift_x, by_y1 -= hull_y * share(Y1, y1) + shift_y;
      by_x2 += hull_x * share(x2, X2) - shift_x, by_y2 += hull_y * share(y2, Y2) - shift_y;
    }
    return {{by_x1, by_y1, by_x2, by_y2}};
  }

  // DIoU's term.
  INLINE Floats distance() {
    hull();
    const Floats x = dx(), y = dy(), whole = hull_w * hull_w + hull_h * hull_h, divisor = safe(whole);
    const Floats term = (x * x + y * y) / divisor, slope = 2.0f / divisor;
    const Floats of_whole = select(whole > 0, slope * term, 0.0f);
    of_dx += slope * x, of_dy += slope * y;
    of_hull_w -= of_whole * hull_w, of_hull_h -= of_whole * hull_h;
    return term;
  }
};

// 1 - IoU and what a member adds to it.
template <class Member>
struct Family {
  static constexpr bool EACH = false;
  static INLINE Slope compute(const Columns& pred, const Columns& target, Options options, const Columns&) {
    Pair pair(pred, target);
    pair.overlap();
    pair.of_iou = all(-1.0f);
    const Floats value = Member::value(pair, options);
    Columns by = pair.template gradient<Member::HULL>();
    for (Floats& x : by.c) x *= pair.unit_inverse;
    // Comparisons lose a NaN, so it is put back.
    return {select(pair.doubt == pair.doubt, value, pair.doubt), by};
  }
};

struct Linear {
  static constexpr bool HULL = false;
  static INLINE Floats value(Pair& pair, Options) { return 1.0f - pair.iou; }
};

struct Square {
  static constexpr bool HULL = false;
  static INLINE Floats value(Pair& pair, Options) {
    pair.of_iou = -2.0f * pair.iou;
    return 1.0f - pair.iou * pair.iou;
  }
};

struct Log {
  static constexpr bool HULL = false;
  static INLINE Floats value(Pair& pair, Options options) {
    const Floats kept = at_least(pair.iou, options.first);
    pair.of_iou = select(pair.iou > options.first, -1.0f / kept, 0.0f);
    return 0.0f - log(kept);
  }
};

struct Generalized {
  static constexpr bool HULL = true;
  static INLINE Floats value(Pair& pair, Options) {
    pair.hull();
    const Floats whole = pair.hull_w * pair.hull_h, divisor = safe(whole);
    const Floats term = (whole - pair.unions) / divisor;
    const Floats slope = select(term > 0, 1.0f / divisor, 0.0f);
    const Floats of_whole = slope - select(whole > 0, slope * term, 0.0f);
    pair.of_union = -slope;
    pair.of_hull_w = of_whole * pair.hull_h, pair.of_hull_h = of_whole * pair.hull_w;
    return (1.0f - pair.iou) + at_least(term, 0.0f);
  }
};

struct Distance {
  static constexpr bool HULL = true;
  static INLINE Floats value(Pair& pair, Options) { return (1.0f - pair.iou) + pair.distance(); }
};

struct Complete {
  static constexpr bool HULL = true;
  static INLINE Floats value(Pair& pair, Options options) {
    const Floats w = at_least(pair.w, 1e-12f), h = at_least(pair.h, 1e-12f);
    const Floats W = at_least(pair.W, 1e-12f), H = at_least(pair.H, 1e-12f);
    // The difference of the angles W / H and w / h, without losing the digits of a small one.
    const Floats turn = atan2(W * h - w * H, H * h + W * w);
    const Floats v = 0.405284735f * (turn * turn), cost = 1.0f - pair.iou;
    const Floats alpha = select(pair.iou > options.first, v / safe(cost + v), 0.0f);
    const Floats slope = -0.810569469f * alpha * turn / (w * w + h * h);
    pair.of_w = select(pair.w < 1e-12f, 0.0f, slope * h);
    pair.of_h = select(pair.h < 1e-12f, 0.0f, -slope * w);
    return (cost + pair.distance()) + alpha * v;
  }
};

struct Efficient {
  static constexpr bool HULL = true;
  static INLINE Floats side(Floats ours, Floats wanted, Floats whole, Floats& of_side, Floats& of_whole) {
    const Floats difference = ours - wanted, square = whole * whole, divisor = safe(square);
    const Floats term = difference * difference / divisor, slope = 2.0f / divisor;
    of_side += slope * difference;
    of_whole -= select(square > 0, slope * term * whole, 0.0f);
    return term;
  }
  static INLINE Floats value(Pair& pair, Options) {
    Floats value = (1.0f - pair.iou) + pair.distance();
    value += side(pair.w, pair.W, pair.hull_w, pair.of_w, pair.of_hull_w);
    return value + side(pair.h, pair.H, pair.hull_h, pair.of_h, pair.of_hull_h);
  }
};

struct Scylla {
  static constexpr bool HULL = true;
  // Half of 1 - exp(gamma * (offset / whole)**2).
  static INLINE Floats axis(Floats offset, Floats whole, Floats gamma, Floats& of_offset, Floats& of_whole,
                            Floats& of_gamma) {
    const Floats square = whole * whole, divisor = safe(square), share = offset * offset / divisor;
    const Floats cost = expm1(gamma * share), slope = -0.5f * (cost + 1.0f), of_share = slope * gamma;
    of_gamma += slope * share;
    of_offset += 2.0f * of_share * offset / divisor;
    of_whole -= select(square > 0, 2.0f * of_share * share / divisor * whole, 0.0f);
    return -0.5f * cost;
  }
  // Half of (1 - exp(-|w - W| / max(w, W)))**4.
  static INLINE Floats side(Floats ours, Floats wanted, Floats& of_side) {
    const Floats difference = ours - wanted, longer = larger(ours, wanted), divisor = safe(longer);
    const Floats change = abs(difference) / divisor, cost = -expm1(-change), cube = cost * cost * cost;
    const Floats slope = 2.0f * cube * (1.0f - cost) / divisor;
    of_side += slope * (sign(difference) - select(longer > 0, change * share(ours, wanted), 0.0f));
    return 0.5f * cube * cost;
  }
  static INLINE Floats value(Pair& pair, Options) {
    pair.hull();
    const Floats x = pair.dx(), y = pair.dy(), product = x * y, sigma = x * x + y * y, divisor = safe(sigma);
    const Floats angle = 2.0f * abs(product) / divisor, gamma = angle - 2.0f;
    Floats of_gamma = all(0.0f);
    Floats distance = axis(x, pair.hull_w, gamma, pair.of_dx, pair.of_hull_w, of_gamma);
    distance += axis(y, pair.hull_h, gamma, pair.of_dy, pair.of_hull_h, of_gamma);
    const Floats slope = 2.0f * of_gamma / divisor, turn = sign(product);
    const Floats radial = select(sigma > 0, angle, 0.0f);
    pair.of_dx += slope * (turn * y - radial * x);
    pair.of_dy += slope * (turn * x - radial * y);
    Floats shape = side(pair.w, pair.W, pair.of_w);
    shape += side(pair.h, pair.H, pair.of_h);
    return ((1.0f - pair.iou) + distance) + shape;
  }
};

struct Extended {
  static constexpr bool EACH = false;
  static INLINE Slope compute(const Columns& pred, const Columns& target, Options options, const Columns&) {
    const Pair p(pred, target);
    const Floats left = smaller(p.x1, p.X1), top = smaller(p.y1, p.Y1);
    const Floats x1 = larger(p.x1, p.X1) - left, y1 = larger(p.y1, p.Y1) - top;
    const Floats x2 = smaller(p.x2, p.X2) - left, y2 = smaller(p.y2, p.Y2) - top;
    const Floats width = x2 - x1, height = y2 - y1;
    const Floats lack_w = at_most(width, 0.0f), lack_h = at_most(height, 0.0f);
    const Ints meet = (width >= 0) & (height >= 0);
    const Floats intersection = select(meet, width * height, lack_w * (y1 + y2) + lack_h * (x1 + x2));
    const Floats w = at_least(p.w, 0.0f), h = at_least(p.h, 0.0f);
    const Floats unions = (w * h + at_least(p.W, 0.0f) * at_least(p.H, 0.0f)) - intersection;
    const Floats divisor = safe(unions), iou = intersection / divisor;
    Floats slope;
    const Floats value = smooth_l1(1.0f - iou, options.first, slope);
    slope /= divisor;
    const Floats of_union = select(unions > 0, slope * iou, 0.0f), of_intersection = -slope - of_union;
    const Floats inside = select(unions > 0, of_intersection, 0.0f), outside = select(meet, 0.0f, of_intersection);
    const Floats of_width = select(meet, inside * height, select(width < 0, outside * (y1 + y2), 0.0f));
    const Floats of_height = select(meet, inside * width, select(height < 0, outside * (x1 + x2), 0.0f));
    const Floats both_x = outside * lack_h, both_y = outside * lack_w;
    const Floats of_w = select(p.w < 0, 0.0f, of_union * h), of_h = select(p.h < 0, 0.0f, of_union * w);
    const Floats s = p.unit_inverse;
    return {
        select(p.doubt == p.doubt, value, p.doubt),
        {{
            s * ((both_x - of_width) * share(p.x1, p.X1) - 2.0f * both_x * share(p.X1, p.x1) - of_w),
            s * ((both_y - of_height) * share(p.y1, p.Y1) - 2.0f * both_y * share(p.Y1, p.y1) - of_h),
            s * ((both_x + of_width) * share(p.X2, p.x2) + of_w),
            s * ((both_y + of_height) * share(p.Y2, p.y2) + of_h),
        }},
    };
  }
};

// Four values for each pair, each with its own weight, which is applied here.
struct Bounded {
  static constexpr bool EACH = true;
  static INLINE Floats position(Floats sum, Floats side, Options options, Floats weight, Floats& of_both) {
    const Floats apart = abs(sum), whole = side + apart + options.second, divisor = safe(whole);
    const Floats bound = (2.0f * apart + options.second) / divisor;
    Floats slope;
    const Floats value = smooth_l1(at_most(bound, 1.0f), options.first, slope);
    const Floats of_apart = (2.0f - select(whole > 0, bound, 0.0f)) / divisor;
    of_both = -weight * sign(sum) * select(bound < 1.0f, slope * of_apart, 0.0f);
    return weight * value;
  }
  static INLINE Floats shape(Floats ours, Floats wanted, Options options, Floats weight, Floats& of_side) {
    const Floats difference = ours - wanted, whole = larger(ours, wanted) + options.second, divisor = safe(whole);
    const Floats bound = (abs(difference) + options.second) / divisor;
    Floats slope;
    const Floats value = smooth_l1(bound, options.first, slope);
    of_side = weight * slope * (sign(difference) - select((whole > 0) & (difference > 0), bound, 0.0f)) / divisor;
    return weight * value;
  }
  static INLINE Slope compute(const Columns& pred, const Columns& target, Options options, const Columns& weight) {
    const Floats* p = pred.c;
    const Floats* t = target.c;
    Floats of_x, of_y, of_w, of_h;
    const Floats sum_x = (t[0] - p[0]) + (t[2] - p[2]), sum_y = (t[1] - p[1]) + (t[3] - p[3]);
    const Floats w = p[2] - p[0], h = p[3] - p[1], W = t[2] - t[0], H = t[3] - t[1];
    Floats value = position(sum_x, W, options, weight.c[0], of_x) + position(sum_y, H, options, weight.c[1], of_y);
    value += shape(w, W, options, weight.c[2], of_w) + shape(h, H, options, weight.c[3], of_h);
    const Floats doubt = (abs(sum_x) + abs(sum_y)) + ((abs(w) + abs(h)) + (abs(W) + abs(H)));
    return {select(doubt == doubt, value, doubt), {{of_x - of_w, of_y - of_h, of_x + of_w, of_y + of_h}}};
  }
};

// The weighted value of pairs; `by` becomes their gradient times `scale`. The weight has COLUMNS numbers of each pair: 0,
// 1, which is in all four columns, or 4.
template <class Loss, int COLUMNS, bool GRADIENT>
INLINE Floats weighted(Columns ours, Columns theirs, const Columns& weight, float scale, Options options, Columns& by) {
  const Floats* w = weight.c;
  Floats of_row = w[0];
  Ints drop = of_row == 0;
  if (COLUMNS == 4) {
    of_row = ((w[0] + w[1]) + (w[2] + w[3])) * 0.25f;
    drop = Loss::EACH ? (w[0] == 0) & (w[1] == 0) & (w[2] == 0) & (w[3] == 0) : of_row == 0;
  }
  if (COLUMNS) {
    for (Floats& x : ours.c) x = select(drop, 0.0f, x);
    for (Floats& x : theirs.c) x = select(drop, 0.0f, x);
  }
  const Slope slope = Loss::compute(ours, theirs, options, weight);
  if (GRADIENT) {
    const Floats factor = Loss::EACH ? all(scale) : of_row * scale;
    for (int i = 0; i < 4; ++i) {
      by.c[i] = COLUMNS ? select(drop, 0.0f, slope.by.c[i] * factor) : slope.by.c[i] * factor;
    }
  }
  return COLUMNS && !Loss::EACH ? slope.value * of_row : slope.value;
}

// In the order of kernels/plans.py (BOXES).
using Losses = Kinds<Family<Log>, Family<Linear>, Family<Square>, Family<Generalized>, Family<Distance>,
                     Family<Complete>, Family<Efficient>, Family<Scylla>, Extended, Bounded>;

}  // namespace
