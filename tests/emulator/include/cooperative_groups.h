// Stand-in for the parts of cooperative groups that kernels use.
#pragma once

namespace cooperative_groups {

class thread_block {
 public:
  static void sync(simt::where w = simt::where::current()) { simt::block_barrier(false, w); }
  static unsigned thread_rank() {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  }
  static unsigned num_threads() { return blockDim.x * blockDim.y * blockDim.z; }
  static unsigned size() { return num_threads(); }
  static dim3 group_index() { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
  static dim3 thread_index() { return dim3(threadIdx.x, threadIdx.y, threadIdx.z); }
};
inline thread_block this_thread_block() { return {}; }

template <unsigned kLanes, typename Parent = void>
class thread_block_tile {
  static_assert(kLanes >= 1 && kLanes <= 32 && (kLanes & (kLanes - 1)) == 0);
  static unsigned lane() { return thread_block::thread_rank() % 32; }
  static unsigned first() { return lane() / kLanes * kLanes; }
  static unsigned mask() {
    return (kLanes == 32 ? simt::kFullMask : (1u << kLanes % 32) - 1) << first();
  }

 public:
  static unsigned thread_rank() { return lane() % kLanes; }
  static constexpr unsigned size() { return kLanes; }
  static constexpr unsigned num_threads() { return kLanes; }
  static unsigned meta_group_rank() { return thread_block::thread_rank() / kLanes; }
  static unsigned meta_group_size() { return (thread_block::num_threads() + kLanes - 1) / kLanes; }
  static void sync(simt::where w = simt::where::current()) { __syncwarp(mask(), w); }
  template <typename T>
  static T shfl(T v, int source, simt::where w = simt::where::current()) {
    return __shfl_sync(mask(), v, source, kLanes, w);
  }
  template <typename T>
  static T shfl_up(T v, unsigned delta, simt::where w = simt::where::current()) {
    return __shfl_up_sync(mask(), v, delta, kLanes, w);
  }
  template <typename T>
  static T shfl_down(T v, unsigned delta, simt::where w = simt::where::current()) {
    return __shfl_down_sync(mask(), v, delta, kLanes, w);
  }
  template <typename T>
  static T shfl_xor(T v, unsigned lanes, simt::where w = simt::where::current()) {
    return __shfl_xor_sync(mask(), v, static_cast<int>(lanes), kLanes, w);
  }
  static unsigned ballot(int p, simt::where w = simt::where::current()) {
    return __ballot_sync(mask(), p, w) >> first();
  }
  static int any(int p, simt::where w = simt::where::current()) { return __any_sync(mask(), p, w); }
  static int all(int p, simt::where w = simt::where::current()) { return __all_sync(mask(), p, w); }
};
template <unsigned kLanes>
thread_block_tile<kLanes> tiled_partition(const thread_block&) {
  return {};
}

class cluster_group {
 public:
  static void sync(simt::where w = simt::where::current()) { simt::cluster_barrier(w); }
  static unsigned block_rank() { return simt::cluster_rank(); }
  static unsigned num_blocks() { return simt::cluster_size(); }
  static dim3 block_index() { return dim3(simt::cluster_rank(), 0, 0); }
  // Only dynamic shared memory differs between the blocks of a cluster here.
  template <typename T>
  static T* map_shared_rank(T* p, unsigned rank, simt::where w = simt::where::current()) {
    return static_cast<T*>(simt::map_shared_rank(p, rank, w));
  }
};
inline cluster_group this_cluster() { return {}; }

template <typename T>
struct plus {
  T operator()(T a, T b) const { return a + b; }
};
template <typename T>
struct greater {
  T operator()(T a, T b) const { return a < b ? b : a; }
};
template <typename T>
struct less {
  T operator()(T a, T b) const { return b < a ? b : a; }
};
template <unsigned kLanes, typename T, typename F>
T reduce(const thread_block_tile<kLanes>& tile, T v, F f) {
  for (unsigned lanes = kLanes / 2; lanes > 0; lanes /= 2) v = f(v, tile.shfl_xor(v, lanes));
  return v;
}

}  // namespace cooperative_groups
