// Losses of pairs of boxes on a GPU: a thread for each pair.
#pragma once

#include "cuda/call.h"

#include "boxes.h"

namespace {

// N is 4 where rows can be read as words, else 1.
template <int KIND, class Pred, class Target, int FORM, int N>
struct Pairs {
  using Loss = typename Pick<KIND, Losses>::Loss;
  static constexpr int COLUMNS = FORM == NONE ? 0 : FORM == ROWS ? 1 : 4;

  template <class T>
  static INLINE Columns read_row(const T* from) {
    Columns row;
#pragma unroll
    for (int i = 0; i < 4; i += N) {
      const Pack<T, N> pack = load<N>(from + i);
      for (int j = 0; j < N; ++j) row.c[i + j] = to_float(pack.at[j]);
    }
    return row;
  }

  template <bool GRADIENT>
  static INLINE void run(const Call& call, float factor, Sum& sum) {
    const Pred* pred = static_cast<const Pred*>(call.pred);
    const Target* target = static_cast<const Target*>(call.target);
    for (Index row = thread_index(); row < call.rows; row += thread_count()) {
      const Columns ours = read_row(pred + 4 * row), theirs = read_row(target + 4 * row);
      Columns weight, by;
      if (COLUMNS == 4) {
        weight = read_row(call.weight + 4 * row);
      } else {
        const float w = COLUMNS ? read(call.weight + row) : 1.0f;
        weight = {{w, w, w, w}};
      }
      const float value = weighted<Loss, COLUMNS, GRADIENT>(ours, theirs, weight, factor, options_of(call), by);
      if (!GRADIENT) {
        sum.add(value);
        continue;
      }
      Pred* gradient = static_cast<Pred*>(call.out) + 4 * row;
#pragma unroll
      for (int i = 0; i < 4; i += N) {
        Pack<Pred, N> pack;
        for (int j = 0; j < N; ++j) assign(pack.at[j], by.c[i + j]);
        store<N>(gradient + i, pack);
      }
    }
  }
};

}  // namespace
