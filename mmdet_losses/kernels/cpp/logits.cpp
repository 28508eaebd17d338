// Losses of logits and of coordinates on a CPU: the weighted sum and its gradient in one pass.
#include "logits.h"

#include <cmath>

#include "loss.h"

namespace {

constexpr int64_t CHUNK = 1024;  // elements, whose expanded targets and weights stay in the cache
constexpr int64_t MOST_BINS = 256;

template <class Loss, bool WEIGHT, bool GRADIENT>
INLINE void block(const float* pred, const float* target, const float* weight, float scale, Options options,
                  float* gradient, Sum& sum) {
  const Floats w = WEIGHT ? load(weight) : all(1.0f);
  if (WEIGHT && !any_weight(w)) {
    if (GRADIENT) store(gradient, all(0.0f));
    return;
  }
  const Slope slope = weighted<Loss, WEIGHT>(load(pred), load(target), w, scale, options);
  sum.add(slope.value);
  if (GRADIENT) store(gradient, slope.by);
}

template <class Loss, bool WEIGHT, bool GRADIENT>
INLINE void chunk(const float* pred, const float* target, const float* weight, float scale, Options options,
                  float* gradient, int64_t n, Sum& sum) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    block<Loss, WEIGHT, GRADIENT>(pred + i, target + i, weight + i, scale, options, gradient + i, sum);
  }
  if (i < n) {
    float x[LANES] = {}, y[LANES] = {}, w[LANES] = {}, slope[LANES];
    const size_t left = static_cast<size_t>(n - i);
    std::memcpy(x, pred + i, left * sizeof(float));
    std::memcpy(y, target + i, left * sizeof(float));
    for (size_t j = 0; j < left; ++j) w[j] = WEIGHT ? weight[i + static_cast<int64_t>(j)] : 1.0f;
    block<Loss, true, GRADIENT>(x, y, w, scale, options, slope, sum);
    if (GRADIENT) std::memcpy(gradient + i, slope, left * sizeof(float));
  }
}

// In chunks across rows: labels and weights of rows are expanded to the elements of a chunk.
template <class Loss, bool GRADIENT>
double elements(const Call& call, Options options, int64_t begin, int64_t end) {
  Sum sum;
  const int64_t columns = call.columns;
  float targets[CHUNK], weights[CHUNK];
  for (int64_t at = begin; at < end; at += CHUNK) {
    const int64_t n = end - at < CHUNK ? end - at : CHUNK, first = at / columns, last = (at + n - 1) / columns;
    const float* target = call.target + at;
    const float* weight = call.weight + at;
    float* gradient = GRADIENT ? call.gradient + at : nullptr;
    const bool counts = call.form == NONE || (call.form == ROWS ? any_weight(call.weight + first, last - first + 1)
                                                                : any_weight(weight, n));
    if (!counts) {
      if (GRADIENT) std::memset(gradient, 0, static_cast<size_t>(n) * sizeof(float));
      continue;
    }
    if (call.labels) {
      target = targets;
      std::memset(targets, 0, static_cast<size_t>(n) * sizeof(float));
      for (int64_t row = first; row <= last; ++row) {
        const int64_t label = call.labels[row], place = row * columns + label - at;
        if (label >= 0 && label < columns && place >= 0 && place < n) {
          targets[place] = call.target ? call.target[row] : 1.0f;
        }
      }
    }
    if (call.form == ROWS) {
      weight = weights;
      for (int64_t row = first; row <= last; ++row) {
        const int64_t from = row * columns - at, to = from + columns;
        const float value = call.weight[row];
        for (int64_t i = from > 0 ? from : 0; i < (to < n ? to : n); ++i) weights[i] = value;
      }
    }
    if (call.form == NONE) {
      chunk<Loss, false, GRADIENT>(call.pred + at, target, target, call.scale, options, gradient, n, sum);
    } else {
      chunk<Loss, true, GRADIENT>(call.pred + at, target, weight, call.scale, options, gradient, n, sum);
    }
  }
  return sum.result();
}

template <class Loss>
struct Elements {
  static constexpr int64_t GRAIN = CHUNK;
  template <bool GRADIENT>
  static double sum(const Call& call, Options options, int64_t begin, int64_t end) {
    return elements<Loss, GRADIENT>(call, options, begin, end);
  }
};

template <class... Each>
constexpr Totals<sizeof...(Each)> totals(Kinds<Each...>) {
  return {{total<Elements<Each>>...}};
}
constexpr auto TOTALS = totals(Losses{});

// Cross-entropy of a softmax over each row, with labels from 0 to columns - 1 wherever the weight is not 0.
template <bool GRADIENT>
double softmax_rows(const Call& call, int64_t begin, int64_t end) {
  double total = 0.0;
  const int64_t columns = call.columns, whole = columns / LANES * LANES;
  const size_t left = static_cast<size_t>(columns - whole) * sizeof(float);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = call.pred + row * columns;
    float* slope = GRADIENT ? call.gradient + row * columns : nullptr;
    const float weight = call.weight ? call.weight[row] : 1.0f;
    if (weight == 0.0f) {
      if (GRADIENT) std::memset(slope, 0, static_cast<size_t>(columns) * sizeof(float));
      continue;
    }
    float rest[LANES];
    for (float& one : rest) one = -INFINITY;
    std::memcpy(rest, x + whole, left);
    Floats most = load(rest);
    for (int64_t i = 0; i < whole; i += LANES) most = larger(most, load(x + i));
    float top = most[0];
    for (int i = 1; i < LANES; ++i) top = most[i] > top ? most[i] : top;
    const Floats last = exp(load(rest) - top);
    Floats mass = left ? last : all(0.0f);
    for (int64_t i = 0; i < whole; i += LANES) {
      const Floats part = exp(load(x + i) - top);
      mass += part;
      if (GRADIENT) store(slope + i, part);
    }
    float sum = 0.0f;
    for (int i = 0; i < LANES; ++i) sum += mass[i];
    const int64_t label = call.labels[row];
    total += static_cast<double>((std::log(sum) - (x[label] - top)) * weight);
    if (!GRADIENT) continue;
    const float factor = weight * call.scale, share = factor / sum;
    for (int64_t i = 0; i < whole; i += LANES) store(slope + i, load(slope + i) * share);
    store(rest, last * share);
    std::memcpy(slope + whole, rest, left);
    slope[label] -= factor;
  }
  return total;
}

struct Softmax {
  static constexpr int64_t GRAIN = 1;
  template <bool GRADIENT>
  static double sum(const Call& call, Options, int64_t begin, int64_t end) {
    return softmax_rows<GRADIENT>(call, begin, end);
  }
};

// LANES rows of `bins`, transposed; fewer rows are padded with zeros.
INLINE void read_columns(const float* rows, int64_t bins, int64_t n, Floats* columns) {
  int64_t at = 0;
  if (n == LANES) {
    for (; at + LANES <= bins; at += LANES) {
      Floats tile[LANES];
      for (int i = 0; i < LANES; ++i) tile[i] = load(rows + i * bins + at);
      transpose(tile);
      for (int i = 0; i < LANES; ++i) columns[at + i] = tile[i];
    }
  }
  for (; at < bins; ++at) {
    float column[LANES] = {};
    for (int64_t i = 0; i < n; ++i) column[i] = rows[i * bins + at];
    columns[at] = load(column);
  }
}

INLINE void write_columns(const Floats* columns, int64_t bins, int64_t n, float* rows) {
  int64_t at = 0;
  if (n == LANES) {
    for (; at + LANES <= bins; at += LANES) {
      Floats tile[LANES];
      for (int i = 0; i < LANES; ++i) tile[i] = columns[at + i];
      transpose(tile);
      for (int i = 0; i < LANES; ++i) store(rows + i * bins + at, tile[i]);
    }
  }
  for (; at < bins; ++at) {
    float column[LANES];
    store(column, columns[at]);
    for (int64_t i = 0; i < n; ++i) rows[i * bins + at] = column[i];
  }
}

// Cross-entropy of the bins of each row towards the two beside its distance, in bins (y - start) * density.
template <bool GRADIENT>
double distances(const Call& call, float start, float density, int64_t begin, int64_t end) {
  Sum sum;
  const int64_t bins = call.columns;
  Floats columns[MOST_BINS];
  for (int64_t at = begin; at < end; at += LANES) {
    const int64_t n = end - at < LANES ? end - at : LANES;
    float distance[LANES] = {}, weight[LANES] = {};
    for (int64_t i = 0; i < n; ++i) weight[i] = call.weight ? call.weight[at + i] : 1.0f;
    const Floats w = load(weight);
    if (!any_weight(w)) {
      if (GRADIENT) std::memset(call.gradient + at * bins, 0, static_cast<size_t>(n * bins) * sizeof(float));
      continue;
    }
    std::memcpy(distance, call.target + at, static_cast<size_t>(n) * sizeof(float));
    const Ints drop = w == 0;
    const Floats y = Bins{start, density, static_cast<float>(bins - 1)}.place(select(drop, 0.0f, load(distance)));
    read_columns(call.pred + at * bins, bins, n, columns);
    Floats most = select(drop, 0.0f, columns[0]);
    for (int64_t j = 0; j < bins; ++j) most = larger(most, columns[j] = select(drop, 0.0f, columns[j]));
    Floats mass = all(0.0f), expected = all(0.0f), place = all(0.0f);
    for (int64_t j = 0; j < bins; ++j) {
      const Floats x = columns[j] - most, share = Bins::share(y, place);
      expected += select(share == 0, 0.0f, share * x);
      place += 1.0f;
      columns[j] = exp(x);
      mass += columns[j];
    }
    sum.add(select(drop, 0.0f, (log(mass) - expected) * w));
    if (!GRADIENT) continue;
    const Floats factor = w * call.scale, inverse = 1.0f / mass;
    place = all(0.0f);
    for (int64_t j = 0; j < bins; ++j) {
      const Floats share = Bins::share(y, place);
      place += 1.0f;
      columns[j] = select(drop, 0.0f, (columns[j] * inverse - share) * factor);
    }
    write_columns(columns, bins, n, call.gradient + at * bins);
  }
  return sum.result();
}

struct Distances {
  static constexpr int64_t GRAIN = LANES;
  template <bool GRADIENT>
  static double sum(const Call& call, Options options, int64_t begin, int64_t end) {
    return distances<GRADIENT>(call, options.first, options.second, begin, end);
  }
};

}  // namespace

extern "C" void logits(CALL, int kind, double first, double second) {
  const Call call{pred, labels, target, weight, form, rows, columns, static_cast<float>(scale), gradient};
  *value = static_cast<float>(TOTALS.of[kind](call, options_of(first, second), rows * columns, threads, parallel) * scale);
}

extern "C" void softmax(CALL) {
  const Call call{pred, labels, target, weight, form, rows, columns, static_cast<float>(scale), gradient};
  *value = static_cast<float>(total<Softmax>(call, {}, rows, threads, parallel) * scale);
}

extern "C" void distribution(CALL, double start, double density) {
  const Call call{pred, labels, target, weight, form, rows, columns, static_cast<float>(scale), gradient};
  *value = static_cast<float>(total<Distances>(call, options_of(start, density), rows, threads, parallel) * scale);
}
