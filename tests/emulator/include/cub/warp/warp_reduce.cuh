// Stand-in for cub::WarpReduce.
#pragma once

#include "../detail.cuh"

namespace cub {

template <typename T, int kLanes = 32>
class WarpReduce {
  static_assert(kLanes >= 1 && kLanes <= 32 && (kLanes & (kLanes - 1)) == 0);

 public:
  struct TempStorage {
    T value[kLanes];
  };

  explicit WarpReduce(TempStorage& storage) : storage_(storage) {}

  template <typename F>
  T Reduce(T x, F f, int valid, simt::where w = simt::where::current()) {
    const int lane = detail::rank() % kLanes;
    const int first = detail::rank() % 32 / kLanes * kLanes;
    const unsigned mask = (kLanes == 32 ? simt::kFullMask : (1u << kLanes % 32) - 1) << first;
    storage_.value[lane] = x;
    __syncwarp(mask, w);
    return lane == 0 ? detail::tree(storage_.value, valid, f) : detail::undefined<T>();
  }
  template <typename F>
  T Reduce(T x, F f, simt::where w = simt::where::current()) {
    return Reduce(x, f, kLanes, w);
  }
  T Sum(T x, simt::where w = simt::where::current()) {
    return Reduce(x, detail::plus{}, kLanes, w);
  }
  T Sum(T x, int valid, simt::where w = simt::where::current()) {
    return Reduce(x, detail::plus{}, valid, w);
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
