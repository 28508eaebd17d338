// Losses of pairs of boxes on a CPU: the weighted sum and its gradient in one pass.
#include "boxes.h"

#include "loss.h"

namespace {

// LANES pairs; adds to the sum, and returns their gradient. The weight has COLUMNS numbers of each pair: 0, 1 or 4.
template <class Loss, int COLUMNS, bool GRADIENT>
INLINE void block(const float* pred, const float* target, const float* weight, float scale, Options options,
                  float* gradient, Sum& sum) {
  Columns of_each;
  Floats of_row = all(1.0f);
  bool counts = true;
  if (COLUMNS == 1) {
    of_row = load(weight);
    counts = any_weight(of_row);
  } else if (COLUMNS == 4) {
    const Floats a = load(weight), b = load(weight + LANES), c = load(weight + 2 * LANES), d = load(weight + 3 * LANES);
    counts = any((bits(a) | bits(b) | bits(c) | bits(d)) << 1);
  }
  if (!counts) {
    if (GRADIENT) store_rows(gradient, {});
    return;
  }
  if (COLUMNS == 4) {
    of_each = load_rows(weight);
  } else {
    of_each = {{of_row, of_row, of_row, of_row}};
  }
  Columns by;
  sum.add(weighted<Loss, COLUMNS, GRADIENT>(load_rows(pred), load_rows(target), of_each, scale, options, by));
  if (GRADIENT) store_rows(gradient, by);
}

template <class Loss, int COLUMNS, bool GRADIENT>
double pairs(const Call& call, Options options, int64_t begin, int64_t end) {
  Sum sum;
  int64_t i = begin;
  for (; i + LANES <= end; i += LANES) {
    block<Loss, COLUMNS, GRADIENT>(call.pred + 4 * i, call.target + 4 * i, call.weight + COLUMNS * i, call.scale,
                                   options, call.gradient + 4 * i, sum);
  }
  if (i < end) {
    // The remainder, padded with rows of weight 0.
    constexpr int WIDE = COLUMNS ? COLUMNS : 1;
    float pred[4 * LANES] = {}, target[4 * LANES] = {}, weight[WIDE * LANES] = {}, gradient[4 * LANES];
    const size_t left = static_cast<size_t>(end - i);
    std::memcpy(pred, call.pred + 4 * i, 4 * left * sizeof(float));
    std::memcpy(target, call.target + 4 * i, 4 * left * sizeof(float));
    if (COLUMNS) std::memcpy(weight, call.weight + COLUMNS * i, COLUMNS * left * sizeof(float));
    for (size_t j = 0; !COLUMNS && j < left; ++j) weight[j] = 1.0f;
    block<Loss, WIDE, GRADIENT>(pred, target, weight, call.scale, options, gradient, sum);
    if (GRADIENT) std::memcpy(call.gradient + 4 * i, gradient, 4 * left * sizeof(float));
  }
  return sum.result();
}

template <class Loss>
struct Pairs {
  static constexpr int64_t GRAIN = LANES;
  template <bool GRADIENT>
  static double sum(const Call& call, Options options, int64_t begin, int64_t end) {
    switch (call.form) {
      case NONE: return pairs<Loss, 0, GRADIENT>(call, options, begin, end);
      case ROWS: return pairs<Loss, 1, GRADIENT>(call, options, begin, end);
      default: return pairs<Loss, 4, GRADIENT>(call, options, begin, end);
    }
  }
};

template <class... Each>
constexpr Totals<sizeof...(Each)> totals(Kinds<Each...>) {
  return {{total<Pairs<Each>>...}};
}
constexpr auto TOTALS = totals(Losses{});

}  // namespace

extern "C" void boxes(CALL, int kind, double first, double second) {
  const Call call{pred, labels, target, weight, form, rows, columns, static_cast<float>(scale), gradient};
  *value = static_cast<float>(TOTALS.of[kind](call, options_of(first, second), rows, threads, parallel) * scale);
}
