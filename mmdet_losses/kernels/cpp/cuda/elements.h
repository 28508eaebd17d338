// Losses of logits and of coordinates on a GPU, N elements at a time for each thread; rows of less than 2**31 columns.
#pragma once

#include "cuda/call.h"

#include "logits.h"

namespace {

// What the target is: one of each element, a label of each row, or that and a value of each row.
enum Labels { DENSE, LABELS, VALUES };

template <int KIND, class Pred, class Target, int FORM, int LABEL, int N>
struct Elements {
  using Loss = typename Pick<KIND, Losses>::Loss;
  static constexpr bool BY_ROWS = LABEL != DENSE || FORM == ROWS;

  // Where a thread is.
  struct Place {
    Index at, row;
    int column;

    INLINE void move(const Place& stride, int columns) {
      at += stride.at;
      if (!BY_ROWS) return;
      row += stride.row, column += stride.column;
      if (column >= columns) column -= columns, ++row;
    }
  };
  static INLINE Place place(Index at, int columns) {
    if (!BY_ROWS) return {at, 0, 0};
    const Index row = at >> 31 ? at / columns : static_cast<int>(at) / columns;
    return {at, row, static_cast<int>(at - row * columns)};
  }

  // What is to be known of a row.
  struct Row {
    Index label;
    float value, weight;
  };
  static INLINE Row read_row(const Call& call, Index row) {
    Row found{-1, 1.0f, 1.0f};
    if (LABEL != DENSE) found.label = __ldg(call.labels + row);
    if (LABEL == VALUES) found.value = read(static_cast<const Target*>(call.target) + row);
    if (FORM == ROWS) found.weight = read(call.weight + row);
    return found;
  }

  // WIDE elements as they are read, before anything waits for them.
  template <int WIDE>
  struct Block {
    Pack<Pred, WIDE> x;
    Pack<Target, WIDE> y;
    Pack<float, WIDE> w;
    Row row;
  };
  template <int WIDE>
  static INLINE Block<WIDE> read_block(const Call& call, const Place& place) {
    Block<WIDE> block;
    block.x = load<WIDE>(static_cast<const Pred*>(call.pred) + place.at);
    if (LABEL == DENSE) block.y = load<WIDE>(static_cast<const Target*>(call.target) + place.at);
    if (FORM == ELEMENTS) block.w = load<WIDE>(call.weight + place.at);
    if (BY_ROWS) block.row = read_row(call, place.row);
    return block;
  }

  template <int WIDE, bool GRADIENT>
  static INLINE void compute(const Call& call, const Block<WIDE>& block, const Place& place, float factor, Sum& sum) {
    // As most are with labels; a target that the compiler knows takes fewer instructions.
    static constexpr float NEGATIVES[WIDE] = {};
    float y[WIDE], w[WIDE];
    const int columns = static_cast<int>(call.columns);
    const bool inside = BY_ROWS && place.column <= columns - WIDE;  // of one row
    const unsigned long long steps = inside ? block.row.label - place.column : 0;
#pragma unroll
    for (int i = 0; i < WIDE; ++i) {
      y[i] = LABEL == DENSE ? to_float(block.y.at[i]) : 0.0f;
      w[i] = FORM == ELEMENTS ? block.w.at[i] : FORM == ROWS ? block.row.weight : 1.0f;
    }
    if (LABEL != DENSE && inside && steps >= WIDE) {
      return apply<WIDE, GRADIENT>(call, block, place, NEGATIVES, w, factor, sum);
    }
    if (LABEL != DENSE && inside) {
      const int positive = static_cast<int>(steps);
#pragma unroll
      for (int i = 0; i < WIDE; ++i) y[i] = positive == i ? block.row.value : 0.0f;
    } else if (BY_ROWS && !inside) {
      Row row = block.row;
      Index index = place.row;
      int column = place.column;
#pragma unroll
      for (int i = 0; i < WIDE; ++i) {
        if (column == columns) row = read_row(call, ++index), column = 0;
        if (LABEL != DENSE) y[i] = column == row.label ? row.value : 0.0f;
        if (FORM == ROWS) w[i] = row.weight;
        ++column;
      }
    }
    apply<WIDE, GRADIENT>(call, block, place, y, w, factor, sum);
  }

  template <int WIDE, bool GRADIENT>
  static INLINE void apply(const Call& call, const Block<WIDE>& block, const Place& place, const float (&y)[WIDE],
                           const float (&w)[WIDE], float factor, Sum& sum) {
    float total = 0.0f;
    Pack<Pred, WIDE> gradient;
#pragma unroll
    for (int i = 0; i < WIDE; ++i) {
      const float x = to_float(block.x.at[i]);
      const Slope slope = weighted<Loss, FORM != NONE>(x, y[i], w[i], factor, options_of(call));
      total += slope.value;
      assign(gradient.at[i], slope.by);
    }
    if (GRADIENT) {
      store<WIDE>(static_cast<Pred*>(call.out) + place.at, gradient);
    } else {
      sum.add(total);
    }
  }

  template <bool GRADIENT>
  static INLINE void run(const Call& call, float factor, Sum& sum) {
    const Index count = call.rows * call.columns, whole = count - count % N;
    const int columns = static_cast<int>(call.columns);
    const Place stride = place(N * thread_count(), columns);
    Place here = place(N * thread_index(), columns);
    bool more = here.at < whole;
    Block<N> block;
    if (more) block = read_block<N>(call, here);
    while (more) {
      const Place now = here;
      const Block<N> ready = block;
      here.move(stride, columns);
      more = here.at < whole;
      if (more) block = read_block<N>(call, here);  // while this one is computed
      compute<N, GRADIENT>(call, ready, now, factor, sum);
    }
    const Index last = whole + thread_index();
    if (N > 1 && last < count) {
      const Place now = place(last, columns);
      compute<1, GRADIENT>(call, read_block<1>(call, now), now, factor, sum);
    }
  }
};

}  // namespace
