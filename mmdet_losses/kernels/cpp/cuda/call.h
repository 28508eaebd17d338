// What the kernels for GPUs are called with, how they read and write numbers of each type, and how they sum.
#pragma once

#include "floats.h"

namespace {

using Index = long long;

// kernels/cuda.py packs it.
struct Call {
  const void* pred;
  const Index* labels;    // of rows, or null
  const void* target;     // of elements; beside labels one of each row, or null for 1
  const float* weight;    // or null
  const float* divisor;   // or null for 1
  const float* upstream;  // the gradient of the result
  void* out;              // the gradient, or the value: of several blocks their sums as doubles
  Index rows, columns;
  double scale, first, second;
};

INLINE Options options_of(const Call& call) {
  return {static_cast<float>(call.first), static_cast<float>(call.second)};
}

// A divisor of 0 gives 0: the rule of functional/reduce.py (reduce_total).
INLINE float value_of(const Call& call, double sum) {
  if (!call.divisor) return static_cast<float>(sum * call.scale);
  const float divisor = *call.divisor;
  return divisor == 0 ? 0.0f : static_cast<float>(sum * call.scale / divisor);
}
INLINE float factor_of(const Call& call) {
  const float upstream = *call.upstream;
  if (!call.divisor) return upstream * static_cast<float>(call.scale);
  const float divisor = *call.divisor;
  return divisor == 0 ? 0.0f : upstream * static_cast<float>(call.scale / divisor);
}

struct Half {
  unsigned short bits;
};
struct Bfloat {
  unsigned short bits;
};

INLINE float to_float(float x) { return x; }
INLINE float to_float(Half x) { return from_half(x.bits); }
INLINE float to_float(Bfloat x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

INLINE void assign(float& to, float x) { to = x; }
INLINE void assign(Half& to, float x) { to.bits = to_half(x); }
// To the nearest, in a tie to the even one.
INLINE void assign(Bfloat& to, float x) {
  const unsigned bits = __float_as_uint(x);
  to.bits = static_cast<unsigned short>(x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fc0);
}

// Numbers beside each other, which are read and written in words of 16 bytes where they fill them.
template <class T, int N>
struct Pack {
  T at[N];
};

template <class Word, class T, int N>
INLINE Pack<T, N> load_words(const T* from) {
  constexpr int COUNT = sizeof(Pack<T, N>) / sizeof(Word);
  Word words[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) words[i] = __ldg(reinterpret_cast<const Word*>(from) + i);
  Pack<T, N> pack;
  memcpy(&pack, words, sizeof pack);
  return pack;
}
template <int N, class T>
INLINE Pack<T, N> load(const T* from) {
  constexpr int BYTES = sizeof(Pack<T, N>);
  if constexpr (BYTES % 16 == 0) return load_words<uint4, T, N>(from);
  else if constexpr (BYTES == 8) return load_words<uint2, T, N>(from);
  else if constexpr (BYTES == 4) return load_words<unsigned, T, N>(from);
  else return load_words<unsigned short, T, N>(from);
}

template <class Word, class T, int N>
INLINE void store_words(T* to, const Pack<T, N>& pack) {
  constexpr int COUNT = sizeof(Pack<T, N>) / sizeof(Word);
  Word words[COUNT];
  memcpy(words, &pack, sizeof pack);
#pragma unroll
  for (int i = 0; i < COUNT; ++i) reinterpret_cast<Word*>(to)[i] = words[i];
}
template <int N, class T>
INLINE void store(T* to, const Pack<T, N>& pack) {
  constexpr int BYTES = sizeof(Pack<T, N>);
  if constexpr (BYTES % 16 == 0) store_words<uint4>(to, pack);
  else if constexpr (BYTES == 8) store_words<uint2>(to, pack);
  else if constexpr (BYTES == 4) store_words<unsigned>(to, pack);
  else store_words<unsigned short>(to, pack);
}

template <class T>
INLINE float read(const T* from) {
  return to_float(load<1>(from).at[0]);
}
template <class T>
INLINE void write(T* to, float x) {
  Pack<T, 1> pack;
  assign(pack.at[0], x);
  store<1>(to, pack);
}

INLINE Index thread_index() { return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; }
INLINE Index thread_count() { return static_cast<Index>(gridDim.x) * blockDim.x; }

// A sum whose error does not grow with the number of terms, without doubles, of which most GPUs compute few: what each
// addition rounds away is kept (Knuth's two-sum). Of an infinite sum that is NaN.
class Sum {
 public:
  INLINE void add(float x) {
    const float next = total + x, added = next - total;
    rest += (total - (next - added)) + (x - added);
    total = next;
  }
  INLINE double result() const { return rest == rest ? static_cast<double>(total) + rest : total; }

 private:
  float total = 0.0f, rest = 0.0f;
};

INLINE double sum_of_warp(double x) {
  for (int offset = 16; offset; offset /= 2) x += __shfl_down_sync(0xffffffffu, x, offset);
  return x;
}

// The sum of a block, whose threads are a multiple of 32: the value where it is the only block, else a part of it.
INLINE void finish(const Call& call, double sum) {
  __shared__ double parts[32];
  sum = sum_of_warp(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  sum = sum_of_warp(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0);
  if (threadIdx.x) return;
  if (gridDim.x == 1) {
    *static_cast<float*>(call.out) = value_of(call, sum);
  } else {
    static_cast<double*>(call.out)[blockIdx.x] = sum;
  }
}

// The value from the sums of `rows` blocks, which are `pred`.
INLINE void total_of_blocks(const Call& call) {
  double sum = 0.0;
  for (Index i = threadIdx.x; i < call.rows; i += blockDim.x) sum += static_cast<const double*>(call.pred)[i];
  finish(call, sum);
}

// The value of a loss, or its gradient.
template <class Loss>
INLINE void value(const Call& call) {
  Sum sum;
  Loss::template run<false>(call, 0.0f, sum);
  finish(call, sum.result());
}
template <class Loss>
INLINE void gradient(const Call& call) {
  Sum sum;
  Loss::template run<true>(call, factor_of(call), sum);
}

}  // namespace
