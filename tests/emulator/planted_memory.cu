// Kernels that access memory as they should, or not.
#include <cuda_runtime.h>
#include <cub/block/block_reduce.cuh>

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

// ---- memory -------------------------------------------------------------------------------

template <bool bug>
__global__ void global_oob(float* p, int n) {
  const int i = global_index();
  if (i < n + bug) p[i] = 1.0f;
}
template <bool bug>
__global__ void global_oob_read(float* p, int n) {
  const int i = global_index();
  if (i < n) p[i] = p[i] + (i == n - 1 ? p[i + bug] : 0.0f);
}
template <bool bug>
__global__ void before_begin(float* p, int) {
  if (global_index() == 0) p[-static_cast<int>(bug)] = 1.0f;
}
template <bool bug>
__global__ void shared_oob(float* p, int n) {
  __shared__ float s[64];
  float* q = s;
  q[static_cast<int>(threadIdx.x) + (bug ? n : 0)] = 1.0f;
  __syncthreads();
  p[threadIdx.x] = s[threadIdx.x];
}
template <bool bug>
__global__ void dynamic_oob(float* p, int n) {
  float* s = dynamic_shared<float>();
  s[static_cast<int>(threadIdx.x) + (bug ? n : 0)] = 1.0f;
  __syncthreads();
  p[threadIdx.x] = s[bug ? threadIdx.x | 1 : threadIdx.x];
}
template <bool bug>
__global__ void local_oob(float* p, int n) {
  float r[4] = {1, 2, 3, 4};
  r[bug ? n + 3 : 3] = 5;
  p[threadIdx.x] = r[threadIdx.x & 3];
}
template <bool bug>
__global__ void misaligned(float* p, int) {
  const uint4 v = __ldg(reinterpret_cast<const uint4*>(p + (bug ? 1 : 4)));
  p[256 + threadIdx.x] = __uint_as_float(v.x);
}
template <bool bug>
__global__ void misaligned_store(float* p, int) {
  if (threadIdx.x == 0)
    __stcs(reinterpret_cast<float4*>(p + (bug ? 2 : 4)), make_float4(1, 2, 3, 4));
}
template <bool bug>
__global__ void null_pointer(float* p, int) {
  float* q = bug ? p - reinterpret_cast<std::uintptr_t>(p) / sizeof(float) : p;
  if (threadIdx.x == 0) *q = 1.0f;
}
template <bool bug>
__global__ void never_written(float* p, int n) {  // the last element is not set by the host
  const int i = global_index();
  if (i < n - 1 + bug) p[i] += 1.0f;
}
template <bool bug>
__global__ void uninitialised_shared(float* p, int) {
  __shared__ float s[64];
  if (threadIdx.x < (bug ? 32 : 64)) s[threadIdx.x] = 1.0f;
  __syncthreads();
  float v = 0;
  if (threadIdx.x == 0) {
    for (float x : s) v += x;
  }
  p[threadIdx.x] = v;
}

// ---- races in a block ---------------------------------------------------------------------

template <bool bug>
__global__ void missing_barrier_raw(float* p, int) {
  __shared__ float s[64];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (!bug) __syncthreads();
  p[global_index()] = s[63 - threadIdx.x];
}
template <bool bug>
__device__ float sum_twice(
    float a, float* partial) {  // the second call may overwrite what a slow warp still reads
  for (int lanes = 16; lanes > 0; lanes /= 2) a += __shfl_xor_sync(0xffffffffu, a, lanes);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = a;
  __syncthreads();
  const float sum = partial[0] + partial[1];
  if (!bug) __syncthreads();
  return sum;
}
template <bool bug>
__global__ void missing_barrier_war(float* p, int) {
  __shared__ float partial[2];
  const float a = sum_twice<bug>(1.0f, partial);
  const float b = sum_twice<bug>(2.0f, partial);
  p[global_index()] = a + 1000.0f * b;
}
template <bool bug>
__global__ void missing_syncwarp(float* p, int) {
  __shared__ float s[64];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (!bug) __syncwarp();
  p[global_index()] = s[threadIdx.x ^ 1];
}
template <bool bug>
__global__ void byte_race(float* p, int) {  // neighbours in one word are no race, the same byte is
  __shared__ unsigned char s[64];
  s[bug ? threadIdx.x / 2 : threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  __syncthreads();
  p[global_index()] = s[bug ? threadIdx.x / 2 : threadIdx.x];
}
template <bool bug>
__global__ void cub_reuse(float* p, int) {
  using reduce = cub::BlockReduce<float, 64>;
  __shared__ typename reduce::TempStorage storage;
  const float a = reduce(storage).Sum(1.0f);
  if (!bug) __syncthreads();
  const float b = reduce(storage).Sum(2.0f);
  if (threadIdx.x == 0) p[blockIdx.x] = a + 1000.0f * b;
}
template <bool bug>
__global__ void other_threads_sum(float* p, int) {  // only thread 0 has the result of a reduction
  using reduce = cub::BlockReduce<float, 64>;
  __shared__ typename reduce::TempStorage storage;
  __shared__ float sum;
  float a = reduce(storage).Sum(1.0f);
  if (threadIdx.x == 0) sum = a;
  __syncthreads();
  if (!bug) a = sum;
  p[global_index()] = a;
}

#define ENTRY(name) \
  { #name, name < false>, name < true> }
constexpr entry kAll[] = {
    ENTRY(global_oob),          ENTRY(global_oob_read),      ENTRY(before_begin),
    ENTRY(shared_oob),          ENTRY(dynamic_oob),          ENTRY(local_oob),
    ENTRY(misaligned),          ENTRY(misaligned_store),     ENTRY(null_pointer),
    ENTRY(never_written),       ENTRY(uninitialised_shared), ENTRY(missing_barrier_raw),
    ENTRY(missing_barrier_war), ENTRY(missing_syncwarp),     ENTRY(byte_race),
    ENTRY(cub_reuse),           ENTRY(other_threads_sum),
};
#undef ENTRY

}  // namespace

table memory_kernels() { return {kAll, sizeof kAll / sizeof kAll[0]}; }

}  // namespace planted
