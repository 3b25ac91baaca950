// Barriers, fences, votes, shuffles and reductions of a warp.
#pragma once

#include <cstring>
#include <type_traits>

#include "simt.hpp"

inline void __syncthreads(simt::where w = simt::where::current()) { simt::block_barrier(false, w); }
inline int __syncthreads_count(int p, simt::where w = simt::where::current()) {
  return static_cast<int>(simt::block_barrier(p != 0, w).count);
}
inline int __syncthreads_or(int p, simt::where w = simt::where::current()) {
  return simt::block_barrier(p != 0, w).count != 0;
}
inline int __syncthreads_and(int p, simt::where w = simt::where::current()) {
  const simt::votes v = simt::block_barrier(p != 0, w);
  return v.count == v.threads;
}
inline void __syncwarp(unsigned mask = simt::kFullMask, simt::where w = simt::where::current()) {
  simt::warp_collective(simt::op::sync_warp, mask, 0, 0, 32, w);
}
inline void __threadfence() { simt::fence(); }
inline void __threadfence_system() { simt::fence(); }
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) {}
[[noreturn]] inline void __trap(simt::where w = simt::where::current()) {
  simt::fault(simt::fault_kind::launch_failure, "__trap()", w);
}
// Which threads happen to run together is nothing a kernel may rely on.
unsigned __activemask() = delete;

namespace simt {

template <typename T>
concept shuffled = std::is_trivially_copyable_v<T> &&
    (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);

template <typename T>
std::uint64_t pack(T v) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof v);
  return bits;
}
template <typename T>
T unpack(std::uint64_t bits) {
  T v;
  std::memcpy(static_cast<void*>(&v), &bits, sizeof v);
  return v;
}
template <typename T>
T shuffle(op o, unsigned mask, T v, int arg, int width, where w) {
  return unpack<T>(warp_collective(o, mask, pack(v), arg, width, w));
}
inline unsigned reduce(op o, unsigned mask, unsigned v, where w) {
  return static_cast<unsigned>(warp_collective(o, mask, v, 0, 32, w));
}
inline int reduce(op o, unsigned mask, int v, where w) {
  return static_cast<int>(reduce(o, mask, static_cast<unsigned>(v), w));
}

}  // namespace simt

template <simt::shuffled T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32,
              simt::where w = simt::where::current()) {
  return simt::shuffle(simt::op::shfl_idx, mask, v, source, width, w);
}
template <simt::shuffled T>
T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32,
                 simt::where w = simt::where::current()) {
  return simt::shuffle(simt::op::shfl_up, mask, v, static_cast<int>(delta), width, w);
}
template <simt::shuffled T>
T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32,
                   simt::where w = simt::where::current()) {
  return simt::shuffle(simt::op::shfl_down, mask, v, static_cast<int>(delta), width, w);
}
template <simt::shuffled T>
T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32,
                  simt::where w = simt::where::current()) {
  return simt::shuffle(simt::op::shfl_xor, mask, v, lanes, width, w);
}

inline unsigned __ballot_sync(unsigned mask, int p, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::ballot, mask, static_cast<unsigned>(p != 0), w);
}
inline int __any_sync(unsigned mask, int p, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::or_b32, mask, p != 0, w);
}
inline int __all_sync(unsigned mask, int p, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::and_b32, mask, p != 0, w);
}
template <simt::shuffled T>
unsigned __match_any_sync(unsigned mask, T v, simt::where w = simt::where::current()) {
  return static_cast<unsigned>(
      simt::warp_collective(simt::op::match_any, mask, simt::pack(v), 0, 32, w));
}
template <simt::shuffled T>
unsigned __match_all_sync(unsigned mask, T v, int* same, simt::where w = simt::where::current()) {
  const std::uint64_t r = simt::warp_collective(simt::op::match_all, mask, simt::pack(v), 0, 32, w);
  *same = r != 0;
  return static_cast<unsigned>(r);
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned v,
                                  simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::add_u32, mask, v, w);
}
inline int __reduce_add_sync(unsigned mask, int v, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::add_u32, mask, v, w);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned v,
                                  simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::min_u32, mask, v, w);
}
inline int __reduce_min_sync(unsigned mask, int v, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::min_s32, mask, v, w);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned v,
                                  simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::max_u32, mask, v, w);
}
inline int __reduce_max_sync(unsigned mask, int v, simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::max_s32, mask, v, w);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned v,
                                  simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::and_b32, mask, v, w);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned v,
                                 simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::or_b32, mask, v, w);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned v,
                                  simt::where w = simt::where::current()) {
  return simt::reduce(simt::op::xor_b32, mask, v, w);
}
