// Merging states of any plain struct over the lanes of a warp.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace culoss::kernels {

inline constexpr unsigned kAllLanes = 0xffffffffu;

template <class S>
__device__ S shuffle_xor(const S& s, int lane_mask) {
  static_assert(std::is_trivially_copyable_v<S> && sizeof(S) % 4 == 0);
  std::uint32_t words[sizeof(S) / 4];
  memcpy(words, &s, sizeof(S));
#pragma unroll
  for (auto& w : words) w = __shfl_xor_sync(kAllLanes, w, lane_mask);
  S result;
  memcpy(static_cast<void*>(&result), words, sizeof(S));
  return result;
}

// Every lane of a group of kLanes ends with the merge of the group's states. All lanes of the warp
// take part. The lower lane's state stands on the left, so that all lanes get the same bits.
template <int kLanes, class S, class Merge>
__device__ S merge_lanes(S s, Merge merge) {
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) {
    const S other = shuffle_xor(s, step);
    s = (threadIdx.x & static_cast<unsigned>(step)) == 0 ? merge(s, other) : merge(other, s);
  }
  return s;
}

}  // namespace culoss::kernels
