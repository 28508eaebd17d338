// CUDA on a CPU, for tests: the threads of a block take turns, each on a stack of its own.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct Dimension {
  unsigned x;
};

namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK = 1 << 16;
Dimension blockIdx, blockDim, gridDim, threadIdx;
enum Failure { NONE_OF_THEM, MISALIGNED, STUCK };
Failure failure;

struct Barrier {
  unsigned waiting = 0;
  long passed = 0;
};
struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[STACK]};
  bool done = false;
};
std::vector<Thread> threads;
ucontext_t scheduler;
Barrier of_block;
std::vector<Barrier> of_warps;
double exchanged[1024];

void wait(Barrier& barrier, unsigned expected) {
  const long before = barrier.passed;
  if (++barrier.waiting == expected) {
    barrier.waiting = 0;
    ++barrier.passed;
  }
  while (barrier.passed == before) swapcontext(&threads[threadIdx.x].context, &scheduler);
}

template <class T>
T exchange(T x, unsigned from) {
  Barrier& barrier = of_warps[threadIdx.x / WARP];
  exchanged[threadIdx.x] = static_cast<double>(x);
  wait(barrier, WARP);
  const T found = static_cast<T>(exchanged[from < blockDim.x ? from : threadIdx.x]);
  wait(barrier, WARP);
  return found;
}
template <class T>
T __shfl_xor_sync(unsigned, T x, int lanes) {
  return exchange(x, threadIdx.x ^ static_cast<unsigned>(lanes));
}
template <class T>
T __shfl_down_sync(unsigned, T x, int lanes) {
  const unsigned from = threadIdx.x + static_cast<unsigned>(lanes);
  return exchange(x, from / WARP == threadIdx.x / WARP ? from : threadIdx.x);
}
inline void __syncthreads() { wait(of_block, blockDim.x); }

template <class T>
T __ldg(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(T)) failure = MISALIGNED;
  T x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Runs a kernel, each block after the other; returns a Failure.
template <class Argument>
struct Launch {
  static void (*kernel)(Argument);
  static const Argument* argument;

  static void work() {
    kernel(*argument);
    threads[threadIdx.x].done = true;
  }
  static int run(void (*wanted)(Argument), unsigned blocks, unsigned count, const Argument* with) {
    kernel = wanted, argument = with, failure = NONE_OF_THEM;
    gridDim.x = blocks, blockDim.x = count;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) block();
    return failure;
  }
  static void block() {
    const unsigned count = blockDim.x;
    while (threads.size() < count) threads.emplace_back();
    of_block = {}, of_warps.assign((count + WARP - 1) / WARP, {});
    for (unsigned i = 0; i < count; ++i) {
      Thread& thread = threads[i];
      thread.done = false;
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.get();
      thread.context.uc_stack.ss_size = STACK;
      thread.context.uc_link = &scheduler;
      makecontext(&thread.context, work, 0);
    }
    for (int turn = 0, left = 1; left; ++turn) {
      if (turn == 1 << 20) {
        failure = STUCK;
        return;
      }
      left = 0;
      for (unsigned i = 0; i < count; ++i) {
        threadIdx.x = i;
        if (threads[i].done) continue;
        swapcontext(&scheduler, &threads[i].context);
        left += !threads[i].done;
      }
    }
  }
};
template <class Argument>
void (*Launch<Argument>::kernel)(Argument);
template <class Argument>
const Argument* Launch<Argument>::argument;

}  // namespace
