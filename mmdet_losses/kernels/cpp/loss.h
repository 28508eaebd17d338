// What a loss of any kind is called with, and its sum by all threads.
#pragma once

#include "vec.h"

namespace {

struct Call {
  const float* pred;
  const int64_t* labels;  // of rows, or null
  const float* target;    // of elements; beside labels one of each row, or null for 1
  const float* weight;
  int form;  // a Weight
  int64_t rows, columns;
  float scale;
  float* gradient;  // null where it is not wanted
};

// The arguments that all kernels begin with. The value and the gradient are multiplied by `scale`, in which the divisor
// of a mean is.
#define CALL                                                                                                      \
  const float *pred, const int64_t *labels, const float *target, const float *weight, int form, int64_t rows,     \
      int64_t columns, double scale, float *gradient, float *value, int threads, Parallel parallel

INLINE Options options_of(double first, double second) {
  return {static_cast<float>(first), static_cast<float>(second)};
}

// The sum of Loss::sum<with a gradient or without>(call, options, begin, end) over [0, n).
template <class Loss>
double total(const Call& call, Options options, int64_t n, int threads, Parallel parallel) {
  return divide_work(n, Loss::GRAIN, threads, parallel, [&call, options](int64_t begin, int64_t end) {
    return call.gradient ? Loss::template sum<true>(call, options, begin, end)
                         : Loss::template sum<false>(call, options, begin, end);
  });
}

using Total = double (*)(const Call&, Options, int64_t, int, Parallel);
template <size_t N>
struct Totals {
  Total of[N];
};

}  // namespace
