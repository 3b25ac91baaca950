// Kernels with barriers, and with order between blocks and in clusters, or without.
#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include "planted_table.hpp"

namespace planted {
namespace {

template <typename T>
__device__ T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
#else
  return static_cast<T*>(simt::dynamic_shared());
#endif
}
__device__ int global_index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

// ---- barriers -----------------------------------------------------------------------------

template <bool bug>
__global__ void divergent_barrier(float* p, int) {
  if (!bug || threadIdx.x < 32) {
    if (threadIdx.x == 0) p[global_index()] = 1;
    __syncthreads();
  } else {
    __syncthreads();
    p[global_index()] = 1;
  }
}
template <bool bug>
__global__ void deadlock(float* p, int) {
  float v = static_cast<float>(threadIdx.x);
  if (bug && threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    v = __shfl_xor_sync(0xffffffffu, v, 1);
  }
  p[global_index()] = v;
}
template <bool bug>
__global__ void wrong_mask(float* p, int) {  // the upper half of the warp is not in the mask
  p[global_index()] = __shfl_xor_sync(bug ? 0xffffu : 0xffffffffu, 1.0f, 1);
}
template <bool bug>
__global__ void lane_that_left(float* p,
                               int n) {  // the value of a lane that does not take part is undefined
  const int valid = bug ? n : 32;
  if (static_cast<int>(threadIdx.x) >= valid) return;
  p[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 1);
}
template <bool bug>
__global__ void trapped(float* p, int) {
  if (bug && threadIdx.x == 3) __trap();
  p[global_index()] = 0;
}

// ---- between blocks -----------------------------------------------------------------------

template <bool bug>
__global__ void block_race(float* p, int) {
  if (threadIdx.x != 0) return;
  if (bug) {
    p[0] += 1.0f;
  } else {
    atomicAdd(p, 1.0f);
  }
}
// All blocks write, the last one to draw a ticket sums. p[0]: ticket, p[1...]: partial sums, p[40]:
// sum.
__device__ bool draw_ticket(float* p, bool fence) {
  if (fence) __threadfence();
  return atomicAdd(reinterpret_cast<unsigned*>(p), 1u) == gridDim.x - 1;
}
template <bool bug>
__global__ void missing_fence(float* p, int) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    p[1 + blockIdx.x] = 1.0f;
    last = draw_ticket(p, !bug);
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += p[1 + i];
  p[40] = sum;
}
template <bool bug>
__global__ void late_fence(float* p, int) {  // a write after the fence is not covered by it
  __shared__ bool last;
  if (threadIdx.x == 0) {
    if (!bug) p[1 + blockIdx.x] = 1.0f;
    __threadfence();
    if (bug) p[1 + blockIdx.x] = 1.0f;
    last = draw_ticket(p, false);
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += p[1 + i];
  p[40] = sum;
}
template <bool bug>
__global__ void ticket_before_barrier(float* p,
                                      int) {  // the other threads' writes are not released yet
  __shared__ bool last;
  if (threadIdx.x == 40) p[1 + blockIdx.x] = 1.0f;
  if (!bug) __syncthreads();
  if (threadIdx.x == 0) last = draw_ticket(p, true);
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += p[1 + i];
  p[40] = sum;
}

// ---- clusters -----------------------------------------------------------------------------

template <int bug>  // 1: no last barrier, 2: no first barrier, 3: a rank that does not exist
__device__ void cluster_body(float* p) {
  const auto cluster = cooperative_groups::this_cluster();
  float* mine = dynamic_shared<float>();
  mine[threadIdx.x] = static_cast<float>(cluster.block_rank() + 1);
  if (bug != 2) cluster.sync();
  const unsigned next =
      bug == 3 ? cluster.num_blocks() : (cluster.block_rank() + 1) % cluster.num_blocks();
  const float v = cluster.map_shared_rank(mine, next)[threadIdx.x];
  if (bug != 1) cluster.sync();
  p[global_index()] = v;
}
template <bool bug>
__global__ void cluster_exit(float* p, int) {
  cluster_body<bug ? 1 : 0>(p);
}
template <bool bug>
__global__ void cluster_race(float* p, int) {
  cluster_body<bug ? 2 : 0>(p);
}
template <bool bug>
__global__ void cluster_rank(float* p, int) {
  cluster_body<bug ? 3 : 0>(p);
}
template <bool bug>
__global__ void cluster_static(float* p, int) {
  __shared__ float s[64];
  if (bug) s[threadIdx.x] = 1.0f;
  __syncthreads();
  p[global_index()] = bug ? s[threadIdx.x] : 1.0f;
}

template <bool bug>
__global__ void fill(float* p, int n) {
  const int i = global_index();
  if (i < n) p[i] = 3.0f;
}

#define ENTRY(name) \
  { #name, name < false>, name < true> }
constexpr entry kAll[] = {
    ENTRY(divergent_barrier), ENTRY(deadlock),     ENTRY(wrong_mask),
    ENTRY(lane_that_left),    ENTRY(trapped),      ENTRY(block_race),
    ENTRY(missing_fence),     ENTRY(late_fence),   ENTRY(ticket_before_barrier),
    ENTRY(cluster_exit),      ENTRY(cluster_race), ENTRY(cluster_rank),
    ENTRY(cluster_static),    ENTRY(fill),
};
#undef ENTRY

}  // namespace

table order_kernels() { return {kAll, sizeof kAll / sizeof kAll[0]}; }

}  // namespace planted
