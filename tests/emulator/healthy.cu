// Healthy kernels: what the library's kernels look like in small.
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math_constants.h>
#include <cub/cub.cuh>

#include "planted.hpp"

namespace planted {
namespace {

constexpr int kThreads = 128;
constexpr unsigned kFull = 0xffffffffu;

struct max_sum {
  float max, sum;
};
__device__ max_sum merge(max_sum a, max_sum b) {
  const float m = fmaxf(a.max, b.max);
  if (m == -CUDART_INF_F) return {m, 0.0f};
  return {m, a.sum * __expf(a.max - m) + b.sum * __expf(b.max - m)};
}
__device__ max_sum read_row(const float* row, int cols) {
  max_sum a{-CUDART_INF_F, 0.0f};
  for (int j = static_cast<int>(threadIdx.x); j < cols; j += kThreads)
    a = merge(a, {__ldcs(row + j), 1.0f});
  return a;
}

__global__ void __launch_bounds__(kThreads)
    row_lse_shuffle(const float* __restrict__ x, float* __restrict__ lse, int cols) {
  __shared__ max_sum partial[kThreads / 32];
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  max_sum a = read_row(x + static_cast<std::int64_t>(blockIdx.x) * cols, cols);
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    a = merge(a, {__shfl_xor_sync(kFull, a.max, lanes), __shfl_xor_sync(kFull, a.sum, lanes)});
  }
  if (lane == 0) partial[warp] = a;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kThreads / 32; ++w) a = merge(a, partial[w]);
  lse[blockIdx.x] = a.max + __logf(a.sum);
}

__global__ void __launch_bounds__(kThreads)
    row_lse_cub(const float* __restrict__ x, float* __restrict__ lse, int cols) {
  using reduce = cub::BlockReduce<max_sum, kThreads>;
  __shared__ typename reduce::TempStorage storage;
  max_sum a = read_row(x + static_cast<std::int64_t>(blockIdx.x) * cols, cols);
  a = reduce(storage).Reduce(a, [](max_sum p, max_sum q) { return merge(p, q); });
  if (threadIdx.x == 0) lse[blockIdx.x] = a.max + __logf(a.sum);
}

__global__ void copy16_kernel(const float* __restrict__ from, float* __restrict__ to, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * 4;
  if (i + 4 <= n)
    __stcs(reinterpret_cast<uint4*>(to + i), __ldg(reinterpret_cast<const uint4*>(from + i)));
}
__global__ void copy_half_kernel(const __nv_bfloat16* __restrict__ from,
                                 __nv_bfloat16* __restrict__ to, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) to[i] = from[i];
}
__global__ void copy_by_call_kernel(const float* from, float* to, int n) {
  memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
}
__global__ void add_one_kernel(float* p, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) p[i] += 1.0f;
}

__device__ float evaluate(int function, float x, float y) {
#ifdef __CUDACC__
  return 0.0f;
#else
  switch (function) {
    case 0:
      return simt::ex2_approx_ftz(x);
    case 1:
      return simt::lg2_approx_ftz(x);
    case 2:
      return simt::rcp_approx_ftz(x);
    case 3:
      return simt::tanh_approx(x);
    case 4:
      return __expf(x);
    case 5:
      return __logf(x);
    case 6:
      return __fdividef(x, y);
    case 7:
      return rsqrtf(x);
    case 8:
      return __frsqrt_rn(x);
    case 9:
      return __log2f(x);
    case 10:
      return __sinf(x);
    default:
      return __cosf(x);
  }
#endif
}
__global__ void apply_kernel(int function, const float* x, const float* y, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = evaluate(function, x[i], y[i]);
}

__global__ void collectives_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int r = 0;
  auto put = [&](int v) {
    if (lane == 5) out[r] = v;
    ++r;
  };
  put(__shfl_sync(kFull, lane, 7));                           // 7
  put(__shfl_up_sync(kFull, lane, 2));                        // 3
  put(__shfl_down_sync(kFull, lane, 3));                      // 8
  put(__shfl_xor_sync(kFull, lane, 4));                       // 1
  put(__shfl_down_sync(kFull, lane, 3, 8));                   // 5: beyond the segment, its own
  put(__shfl_sync(kFull, lane, 1, 4));                        // 5: lane 1 of the segment 4...7
  put(static_cast<int>(__ballot_sync(kFull, lane < 3)));      // 7
  put(__any_sync(kFull, lane == 31));                         // 1
  put(__all_sync(kFull, lane < 31));                          // 0
  put(static_cast<int>(__match_any_sync(kFull, lane % 16)));  // 0x200020
  put(__reduce_add_sync(kFull, lane));                        // 496
  put(__reduce_min_sync(kFull, lane - 9));                    // -9
  put(static_cast<int>(__reduce_max_sync(kFull, 3u + static_cast<unsigned>(lane))));  // 34
  put(static_cast<int>(__reduce_xor_sync(kFull, static_cast<unsigned>(lane))));       // 0
  put(static_cast<int>(__reduce_or_sync(kFull, 1u << lane)));                         // -1
  put(__syncthreads_count(lane % 3 == 0));                                            // 11
  put(__syncthreads_or(lane == 4));                                                   // 1
  put(__syncthreads_and(lane < 32));                                                  // 1
  const double wide = __shfl_xor_sync(kFull, 0.5 * lane, 1);
  put(static_cast<int>(2 * wide));  // 4
  int same = 0;
  put(static_cast<int>(__match_all_sync(kFull, 3, &same)) + same);  // 0
  put(__shfl_sync(kFull, __float2bfloat16(1.0f * static_cast<float>(lane)), 9) ==
      __float2bfloat16(9.0f));  // 1
}

__global__ void atomics_kernel(unsigned long long* wide, float* sum, int* extremes) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(wide, 1ull << 33);
  atomicAdd(sum, 0.5f);
  atomicMin(extremes, i);
  atomicMax(extremes + 1, i);
  atomicOr(extremes + 2, 1 << (i % 31));
  atomicCAS(extremes + 3, 0, i + 1);
}

cudaLaunchConfig_t shape(int blocks, int threads, cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t c{};
  c.gridDim = dim3(static_cast<unsigned>(blocks));
  c.blockDim = dim3(static_cast<unsigned>(threads));
  c.stream = stream;
  return c;
}

}  // namespace

cudaError_t row_lse(const float* x, float* lse, int rows, int cols, bool use_cub,
                    cudaStream_t stream) {
  const cudaLaunchConfig_t c = shape(rows, kThreads, stream);
  return cudaLaunchKernelEx(&c, use_cub ? row_lse_cub : row_lse_shuffle, x, lse, cols);
}
cudaError_t copy16(const float* from, float* to, int n, cudaStream_t stream) {
  const cudaLaunchConfig_t c = shape((n / 4 + 63) / 64, 64, stream);
  return cudaLaunchKernelEx(&c, copy16_kernel, from, to, n);
}
cudaError_t copy_half(const void* from, void* to, int n, cudaStream_t stream) {
  const cudaLaunchConfig_t c = shape((n + 63) / 64, 64, stream);
  return cudaLaunchKernelEx(&c, copy_half_kernel, static_cast<const __nv_bfloat16*>(from),
                            static_cast<__nv_bfloat16*>(to), n);
}
cudaError_t copy_by_call(const float* from, float* to, int n) {
  const cudaLaunchConfig_t c = shape(1, 1);
  return cudaLaunchKernelEx(&c, copy_by_call_kernel, from, to, n);
}
cudaError_t apply(int function, const float* x, const float* y, float* out, int n) {
  const cudaLaunchConfig_t c = shape((n + 255) / 256, 256);
  return cudaLaunchKernelEx(&c, apply_kernel, function, x, y, out, n);
}
cudaError_t add_one(float* p, int n, cudaStream_t stream) {
  const cudaLaunchConfig_t c = shape((n + 63) / 64, 64, stream);
  return cudaLaunchKernelEx(&c, add_one_kernel, p, n);
}
void touch_on_the_host(float* device_memory) {
  *static_cast<volatile float*>(device_memory) = 1.0f;
}
cudaError_t collectives(int* out) {
  const cudaLaunchConfig_t c = shape(1, 32);
  return cudaLaunchKernelEx(&c, collectives_kernel, out);
}
cudaError_t atomics(unsigned long long* wide, float* sum, int* extremes) {
  const cudaLaunchConfig_t c = shape(4, 64);
  return cudaLaunchKernelEx(&c, atomics_kernel, wide, sum, extremes);
}

}  // namespace planted
