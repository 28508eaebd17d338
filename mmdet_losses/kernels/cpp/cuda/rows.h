// Losses of a softmax over rows on a GPU: G threads of a warp for each row.
#pragma once

#include "cuda/call.h"

#include "logits.h"

namespace {

template <class Pred, int G>
struct RowOfLogits {
  const Pred* x;
  Index columns;
  int lane;
  float most, mass;  // the largest logit, and the sum of exp(x - most)

  // All threads of a warp take part, with 0 columns where there is no row.
  INLINE RowOfLogits(const Pred* x, Index columns, int lane) : x(x), columns(columns), lane(lane) {
    most = -3.40282347e38f, mass = 0.0f;
#pragma unroll 4
    for (Index i = lane; i < columns; i += G) {
      const float one = read(x + i), rise = one - most, less = exp(-abs(rise));
      mass = rise > 0 ? mass * less + 1.0f : mass + less;
      most = larger(one, most);
    }
    float top = most;
    for (int offset = G / 2; offset; offset /= 2) top = larger(top, __shfl_xor_sync(0xffffffffu, top, offset));
    mass *= exp(most - top);
    for (int offset = G / 2; offset; offset /= 2) mass += __shfl_xor_sync(0xffffffffu, mass, offset);
    most = top;
  }
};

// Runs Loss::row(call, row, logits, weight) for the rows whose weight is not 0.
template <class Loss, class Pred, bool WEIGHT, int G, bool GRADIENT>
INLINE void each_row(const Call& call, float factor, Sum& sum) {
  const int lane = threadIdx.x % G;
  const Index first = (thread_index() - threadIdx.x % 32) / G, stride = thread_count() / G;
  for (Index begin = first; begin < call.rows; begin += stride) {  // the same for all threads of a warp
    const Index row = begin + threadIdx.x % 32 / G;
    const bool there = row < call.rows;
    const float weight = there ? WEIGHT ? read(call.weight + row) : 1.0f : 0.0f;
    const bool counts = weight != 0;
    const Pred* x = static_cast<const Pred*>(call.pred) + row * call.columns;
    Pred* out = static_cast<Pred*>(call.out) + row * call.columns;
    const RowOfLogits<Pred, G> logits(x, counts ? call.columns : 0, lane);
    if (counts) {
      Loss::template row<GRADIENT>(call, row, logits, weight, factor, out, sum);
    } else if (GRADIENT && there) {
      for (Index i = lane; i < call.columns; i += G) write(out + i, 0.0f);
    }
  }
}

// Labels are from 0 to columns - 1 wherever the weight is not 0; others give NaN.
template <class Pred, bool WEIGHT, int G>
struct Softmax {
  using Logits = RowOfLogits<Pred, G>;

  template <bool GRADIENT>
  static INLINE void row(const Call& call, Index row, const Logits& logits, float weight, float factor, Pred* out,
                         Sum& sum) {
    const Index label = __ldg(call.labels + row);
    if (!GRADIENT) {
      if (logits.lane) return;
      const bool known = label >= 0 && label < logits.columns;
      const float x = known ? read(logits.x + label) : __uint_as_float(0x7fc00000u);
      sum.add((log(logits.mass) - (x - logits.most)) * weight);
      return;
    }
    const float whole = weight * factor, share = whole / logits.mass;
#pragma unroll 4
    for (Index i = logits.lane; i < logits.columns; i += G) {
      const float part = exp(read(logits.x + i) - logits.most) * share;
      write(out + i, i == label ? part - whole : part);
    }
  }

  template <bool GRADIENT>
  static INLINE void run(const Call& call, float factor, Sum& sum) {
    each_row<Softmax, Pred, WEIGHT, G, GRADIENT>(call, factor, sum);
  }
};

template <class Pred, class Target, bool WEIGHT, int G>
struct Distribution {
  using Logits = RowOfLogits<Pred, G>;

  template <bool GRADIENT>
  static INLINE void row(const Call& call, Index row, const Logits& logits, float weight, float factor, Pred* out,
                         Sum& sum) {
    const Options options = options_of(call);
    const Bins bins{options.first, options.second, static_cast<float>(logits.columns - 1)};
    const float place = bins.place(read(static_cast<const Target*>(call.target) + row));
    if (!GRADIENT) {
      if (logits.lane) return;
      const Index low = place > 0 ? static_cast<Index>(place) : 0;  // it and the next have shares
      float expected = 0.0f;
      for (Index i = low; i < logits.columns && i < low + 2; ++i) {
        const float share = Bins::share(place, static_cast<float>(i));
        expected += share == 0 ? 0.0f : share * (read(logits.x + i) - logits.most);
      }
      sum.add((log(logits.mass) - expected) * weight);
      return;
    }
    const float whole = weight * factor, inverse = 1.0f / logits.mass;
#pragma unroll 4
    for (Index i = logits.lane; i < logits.columns; i += G) {
      const float part = exp(read(logits.x + i) - logits.most) * inverse;
      write(out + i, (part - Bins::share(place, static_cast<float>(i))) * whole);
    }
  }

  template <bool GRADIENT>
  static INLINE void run(const Call& call, float factor, Sum& sum) {
    each_row<Distribution, Pred, WEIGHT, G, GRADIENT>(call, factor, sum);
  }
};

}  // namespace
