// Stand-in for cub::BlockScan: sums, in the order of the threads.
#pragma once

#include "../detail.cuh"

namespace cub {

enum BlockScanAlgorithm { BLOCK_SCAN_RAKING, BLOCK_SCAN_RAKING_MEMOIZE, BLOCK_SCAN_WARP_SCANS };

template <typename T, int kX, BlockScanAlgorithm kAlgorithm = BLOCK_SCAN_RAKING, int kY = 1,
          int kZ = 1>
class BlockScan {
  static constexpr int kThreads = kX * kY * kZ;

 public:
  struct TempStorage {
    T value[kThreads];
  };

  explicit BlockScan(TempStorage& storage) : storage_(storage) {}

  void ExclusiveSum(T x, T& out, T& total, simt::where w = simt::where::current()) {
    detail::check_threads(kThreads, w);
    storage_.value[detail::rank()] = x;
    simt::block_barrier(false, w);
    T sum{};
    for (int i = 0; i < kThreads; ++i) {
      if (i == detail::rank()) out = sum;
      sum = sum + storage_.value[i];
    }
    total = sum;
  }
  void ExclusiveSum(T x, T& out, simt::where w = simt::where::current()) {
    T total;
    ExclusiveSum(x, out, total, w);
  }
  void InclusiveSum(T x, T& out, T& total, simt::where w = simt::where::current()) {
    ExclusiveSum(x, out, total, w);
    out = out + x;
  }
  void InclusiveSum(T x, T& out, simt::where w = simt::where::current()) {
    T total;
    InclusiveSum(x, out, total, w);
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
