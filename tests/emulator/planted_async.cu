// Kernels with asynchronous copies: each block moves its 256 floats through two slots of shared
// memory, 64 at a time, and adds 1 on the way.
#include <cuda_runtime.h>

#include "kernels/async_copy.cuh"
#include "kernels/math.cuh"
#include "planted_table.hpp"

namespace planted {
namespace {

using namespace culoss::kernels;

constexpr int kThreads = 64, kSlots = 2, kSteps = 4, kBytes = kThreads * 4;

enum class defect {
  none,
  load_unwaited,        // one warp does not wait for what it reads
  load_parity,          // all wait for a phase that is over
  load_short,           // fewer bytes expected than copied
  load_long,            // more
  load_early,           // the next load does not wait for those who read
  load_misaligned,      // an address that is no multiple of 16
  load_outside,         // of the allocation
  load_written,         // an ordinary write where a copy is to land
  barrier_unpublished,  // no fence between its setup and the copies
  barrier_unsynced,     // nor a __syncthreads
  barrier_arrivals,     // more of them than it counts
  barrier_overwritten,  // by an ordinary store
  store_unfenced,       // no proxy fence
  store_half_fenced,    // by some threads only
  store_early,          // before the others have written
  store_unread,         // the next load does not wait until the store has read its memory
  store_overwritten,    // nor does an ordinary write
  store_left,           // nor does the end of the block
};

struct ring {
  barrier loaded[kSlots], written[kSlots];
  alignas(16) float slot[kSlots][kThreads + 4];
};

template <defect kBug>
__device__ void load(ring& r, const float* from, int step) {
  const int slot = step % kSlots;
  const int bytes = kBug == defect::load_short  ? kBytes / 2
                    : kBug == defect::load_long ? 2 * kBytes
                                                : kBytes;
  const int outside = kBug == defect::load_outside && step == kSteps - 1 ? kThreads : 0;
  arrive_expecting(&r.loaded[slot], bytes);
  load_bulk(r.slot[slot], from + step * kThreads + outside + (kBug == defect::load_misaligned),
            kBytes, &r.loaded[slot]);
  if (kBug == defect::load_written) r.slot[slot][1] = 1.0f;
  if (kBug == defect::barrier_arrivals) arrive(&r.loaded[slot]);
}

template <defect kBug>
__device__ void through_ring(float* p, ring& r) {
  const int t = static_cast<int>(threadIdx.x);
  float* const mine = p + blockIdx.x * (kSteps * kThreads);
  if (t == 0) {
    for (int i = 0; i < kSlots; ++i) {
      init_barrier(&r.loaded[i], 1);
      init_barrier(&r.written[i], kBug == defect::load_early ? 1 : kThreads);
    }
    if (kBug != defect::barrier_unpublished) publish_barriers();
  }
  if (kBug != defect::barrier_unsynced) __syncthreads();
  if (t == 0) {
    for (int s = 0; s < kSlots; ++s) load<kBug>(r, mine, s);
  }
  for (int s = 0; s < kSteps; ++s) {
    const int slot = s % kSlots, parity = s / kSlots % 2;
    float& own = r.slot[slot][t];
    if (kBug == defect::load_parity) {
      wait(&r.loaded[slot], parity ^ 1);
    } else if (kBug != defect::load_unwaited || t < 32) {
      wait(&r.loaded[slot], parity);
    }
    if (kBug == defect::barrier_overwritten && t == 0) r.loaded[slot] = 0;
    own += 1.0f;
    if (kBug != defect::store_unfenced && (kBug != defect::store_half_fenced || t < 32))
      fence_proxy();
    if (kBug != defect::load_early || t == 0) arrive(&r.written[slot]);
    if (t != 0) continue;
    if (kBug != defect::store_early) wait(&r.written[slot], parity);
    store_bulk(mine + s * kThreads, r.slot[slot], kBytes);
    commit_stores();
    if (kBug == defect::store_overwritten) r.slot[slot][1] = 0.0f;
    if (kBug != defect::store_unread && kBug != defect::store_left) wait_stores_read<0>();
    if (s + kSlots < kSteps) {
      if (kBug == defect::store_left) wait_stores_read<0>();
      load<kBug>(r, mine, s + kSlots);
    }
  }
  if (t == 0 && kBug != defect::store_left) wait_stores_read<0>();
}
__global__ void bulk_ring(float* p, int) {
  __shared__ ring r;
  through_ring<defect::none>(p, r);
}
#define KERNEL(name)                    \
  __global__ void name(float* p, int) { \
    __shared__ ring r;                  \
    through_ring<defect::name>(p, r);   \
  }
KERNEL(load_unwaited)
KERNEL(load_parity)
KERNEL(load_short)
KERNEL(load_long)
KERNEL(load_early)
KERNEL(load_misaligned)
KERNEL(load_outside)
KERNEL(load_written)
KERNEL(barrier_unpublished)
KERNEL(barrier_unsynced)
KERNEL(barrier_arrivals)
KERNEL(barrier_overwritten)
KERNEL(store_unfenced)
KERNEL(store_half_fenced)
KERNEL(store_early)
KERNEL(store_unread)
KERNEL(store_overwritten)
KERNEL(store_left)
#undef KERNEL

// The same with cp.async. 1: no wait; 2: no barrier, though others' copies are read; 3: a wait for
// the wrong group.
template <int kBug>
__device__ void through_elements(float* p, float (&slot)[kSlots][kThreads]) {
  const int t = static_cast<int>(threadIdx.x);
  float* const mine = p + blockIdx.x * (kSteps * kThreads);
  const auto load = [&](int s) {
    if (t < kThreads / 4) copy16_async(&slot[s % kSlots][4 * t], mine + s * kThreads + 4 * t);
    commit_copies();
  };
  load(0);
  for (int s = 0; s < kSteps; ++s) {
    if (s + 1 < kSteps) {
      load(s + 1);
      if (kBug == 0 || kBug == 2) wait_copies<1>();
    } else if (kBug != 1) {
      wait_copies<0>();
    }
    if (kBug == 3) wait_copies<kSlots>();
    if (kBug != 2) __syncthreads();
    mine[s * kThreads + t] = slot[s % kSlots][t] + 1.0f;
    __syncthreads();
  }
  wait_copies<0>();
}

#define KERNEL(name, bug)                                \
  __global__ void name(float* p, int) {                  \
    alignas(16) __shared__ float slot[kSlots][kThreads]; \
    through_elements<bug>(p, slot);                      \
  }
KERNEL(element_ring, 0)
KERNEL(element_unwaited, 1)
KERNEL(element_unsynced, 2)
KERNEL(element_wrong_group, 3)
#undef KERNEL

// Each block gets a number from the one before it.
template <bool kWaits>
__device__ void from_another_block(float* p) {
  auto* const arrived = reinterpret_cast<barrier*>(dynamic_shared());
  auto* const value = reinterpret_cast<float*>(arrived + 2);
  if (threadIdx.x == 0) {
    init_barrier(arrived, 1);
    publish_barriers();
  }
  sync_cluster();
  if (threadIdx.x == 0) {
    const int next = (cluster_rank() + 1) % cluster_size();
    *of_block(value, next) = static_cast<float>(cluster_rank());
    arrive_at_block(arrived, next);
  }
  if (kWaits) wait_for_blocks(arrived, 0);
  p[blockIdx.x * kThreads + threadIdx.x] = *value;
  sync_cluster();
}
__global__ void cluster_waited(float* p, int) { from_another_block<true>(p); }
__global__ void cluster_unwaited(float* p, int) { from_another_block<false>(p); }

#define BULK(name) \
  { #name, bulk_ring, name }
#define ELEMENTS(name) \
  { #name, element_ring, name }
constexpr entry kAll[] = {
    BULK(load_unwaited),
    BULK(load_parity),
    BULK(load_short),
    BULK(load_long),
    BULK(load_early),
    BULK(load_misaligned),
    BULK(load_outside),
    BULK(load_written),
    BULK(barrier_unpublished),
    BULK(barrier_unsynced),
    BULK(barrier_arrivals),
    BULK(barrier_overwritten),
    BULK(store_unfenced),
    BULK(store_half_fenced),
    BULK(store_early),
    BULK(store_unread),
    BULK(store_overwritten),
    BULK(store_left),
    ELEMENTS(element_unwaited),
    ELEMENTS(element_unsynced),
    ELEMENTS(element_wrong_group),
    {"cluster_unwaited", cluster_waited, cluster_unwaited},
};
#undef BULK
#undef ELEMENTS

}  // namespace

table async_kernels() { return {kAll, sizeof kAll / sizeof kAll[0]}; }

}  // namespace planted
