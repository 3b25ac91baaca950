// Stand-in for cub::BlockReduce. Every thread writes its own place of the storage, so that its
// reuse without a barrier shows as a race; threads whose result is undefined get poison. One
// barrier a call: the sums of a warp, and then over the warps, are formed by thread 0, in the order
// of a shuffle tree.
#pragma once

#include "../detail.cuh"

namespace cub {

enum BlockReduceAlgorithm {
  BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY,
  BLOCK_REDUCE_RAKING,
  BLOCK_REDUCE_WARP_REDUCTIONS,
  BLOCK_REDUCE_WARP_REDUCTIONS_NONDETERMINISTIC
};

template <typename T, int kX, BlockReduceAlgorithm kAlgorithm = BLOCK_REDUCE_WARP_REDUCTIONS,
          int kY = 1, int kZ = 1>
class BlockReduce {
  static constexpr int kThreads = kX * kY * kZ;

 public:
  struct TempStorage {
    T value[kThreads];
  };

  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  template <typename F>
  T Reduce(T x, F f, int valid, simt::where w = simt::where::current()) {
    detail::check_threads(kThreads, w);
    const int rank = detail::rank();
    storage_.value[rank] = x;
    simt::block_barrier(false, w);
    if (rank != 0) return detail::undefined<T>();
    T total = detail::tree(storage_.value, valid < 32 ? valid : 32, f);
    for (int first = 32; first < valid; first += 32) {
      const int rest = valid - first;
      total = f(total, detail::tree(storage_.value + first, rest < 32 ? rest : 32, f));
    }
    return total;
  }
  template <typename F>
  T Reduce(T x, F f, simt::where w = simt::where::current()) {
    return Reduce(x, f, kThreads, w);
  }
  template <int kItems, typename F>
  T Reduce(T (&x)[kItems], F f, simt::where w = simt::where::current()) {
    T mine = x[0];
    for (int i = 1; i < kItems; ++i) mine = f(mine, x[i]);
    return Reduce(mine, f, kThreads, w);
  }
  T Sum(T x, simt::where w = simt::where::current()) {
    return Reduce(x, detail::plus{}, kThreads, w);
  }
  T Sum(T x, int valid, simt::where w = simt::where::current()) {
    return Reduce(x, detail::plus{}, valid, w);
  }
  template <int kItems>
  T Sum(T (&x)[kItems], simt::where w = simt::where::current()) {
    return Reduce(x, detail::plus{}, w);
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
