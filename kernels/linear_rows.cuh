// What cross-entropy of a linear classifier needs beside matrix products and row kernels.
//
//   prepare_linear  one block: the numbers by which gradients are made and finished; reads row and
//                   class weights once, the norms or the saved statistics where they bound the z-loss
//   repeat_row      writes the bias under the logits of a chunk of rows, 4 bytes an element
//   add_columns     reads the gradient of a chunk's logits once and adds up its columns
#pragma once

#include <culoss/cross_entropy.hpp>

#include "kernels/similarity_call.cuh"
#include "kernels/vector_io.cuh"

namespace culoss::kernels {

struct linear_arguments {
  gradient_scale by;
  const totals* counted;  // rows that count
  scalar_argument temperature;
  const float* class_weights;  // or null
  long long rows, cols, classes;
  float z_loss, cap;
  const row_statistics<float>* saved;        // what bounds lse ...
  const float *hidden_norms, *weight_norms;  // ... or else these, inverse, and the bias; or null:
  const float* bias;                         // the results have the range to do without
  float range;  // how far gradients of logits are lifted: 2^14 for half, else 1
};

// A bound of |lse| for all rows.
template <class Largest>
__device__ float reach_of(const linear_arguments& a, float t, const Largest& largest) {
  const float of_classes = logf(static_cast<float>(a.classes));
  if (a.z_loss == 0.0f) return 0.0f;
  if (a.cap > 0.0f) return a.cap / t + of_classes;
  const auto size = [](float x) { return isfinite(x) ? fabsf(x) : 0.0f; };
  if (a.saved != nullptr) {
    return largest(a.rows, [&](long long i) {
      const row_statistics<float> s = a.saved[i];
      return fmaxf(size(s.max / t) + size(s.log_sum), size(s.target / t)) + kLn2;
    });
  }
  if (a.hidden_norms == nullptr) return 0.0f;
  const auto norm = [&](const float* inverse) {
    return [&, inverse](long long i) { return inverse[i] > 0.0f ? 1.0f / inverse[i] : 0.0f; };
  };
  const float hidden = largest(a.rows, norm(a.hidden_norms));
  const float weight = largest(a.cols, norm(a.weight_norms));
  const float bias =
      largest(a.bias != nullptr ? a.cols : 0, [&](long long j) { return size(a.bias[j]); });
  return (hidden * weight + bias) / t + of_classes;
}

// Gradients of logits are made at a scale where the largest that the options allow is `range`, by
// powers of two: |dx| <= |row weight| (class weight + 2 z_loss |lse|) / T. A NaN among what
// multiplies all of them goes into the unit, so that rows that do not count stay 0.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    prepare_linear(const __grid_constant__ linear_arguments a, call_numbers* out) {
  using block_reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename block_reduce::TempStorage scratch;
  const auto largest = [&](long long n, auto item) {
    float m = 0.0f;
    for (long long i = threadIdx.x; i < n; i += kThreads) m = fmaxf(m, item(i));
    __syncthreads();  // scratch is used again
    return block_reduce(scratch).Reduce(m, larger{});
  };
  const float* const weights = a.by.row_weights;
  const float* const upstreams = a.by.upstream_rows;
  const bool weighted = weights != nullptr || upstreams != nullptr;
  const float of_rows = largest(weighted ? a.rows : 0, [&](long long i) {
    const float w = weights != nullptr ? weights[i] : 1.0f;
    return fabsf(upstreams != nullptr ? w * upstreams[i] : w);
  });
  const bool by_class = a.class_weights != nullptr;
  const float of_classes =
      largest(by_class ? a.classes : 0, [&](long long j) { return fabsf(a.class_weights[j]); });
  const float t = temperature_of(a.temperature);
  const float reach = reach_of(a, t, largest);
  if (threadIdx.x != 0) return;

  const float row_top = power_of_two_above(of_rows);
  // Not so small that its reciprocal, lifted, is no float.
  const float largest_element = ((by_class ? of_classes : 1.0f) + 2.0f * a.z_loss * reach) / t;
  const float element_top = fmaxf(power_of_two_above(largest_element), 0x1p-96f);
  const float upstream = a.by.by.gradient(upstreams != nullptr ? 1.0f : a.by.upstream.get());
  const float rest = upstream * row_top / a.range;
  const bool possible = isfinite(rest);
  call_numbers n{};
  n.row_factor = possible ? a.range / row_top / element_top : NAN;
  n.rest = possible ? rest : 1.0f;
  n.column_rest = element_top;
  n.off = a.by.by.off() || a.counted->count == 0;
  *out = n;
}

inline constexpr int kRepeatThreads = 256, kRepeatColumns = 4 * kRepeatThreads, kRepeatRows = 16;

// out[i] = row, for all rows of out, whose pitch is a multiple of 4. Each block: a run of columns of
// kRepeatRows rows; `runs` of them make a row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    repeat_row(const float* row, int cols, float* out, long long ld, int rows, int runs) {
  const long long block = block_index(), of_rows = block / runs;
  const int run = static_cast<int>(block - of_rows * runs);
  const int column = (run * kThreads + static_cast<int>(threadIdx.x)) * 4;
  const int begin = static_cast<int>(of_rows) * kRepeatRows;
  if (column >= cols || begin >= rows) return;
  const int end = begin + kRepeatRows < rows ? begin + kRepeatRows : rows;
  float x[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) x[k] = column + k < cols ? row[column + k] : 0.0f;
  for (int i = begin; i < end; ++i) {
    float* const at = out + i * ld + column;
    if (column + 4 <= cols) {
      __stcg(reinterpret_cast<float4*>(at), make_float4(x[0], x[1], x[2], x[3]));
      continue;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (column + k < cols) at[k] = x[k];
    }
  }
}

inline constexpr int kColumnThreads = 256, kColumnParts = kColumnThreads / 32;
inline constexpr int kColumnsOfBlock = 32 * 4;

// sums[j] (+)= sum_i g[i, j], `first`: = . Pitch a multiple of 4. Warp p of a block takes the rows p,
// p + kColumnParts, ... of 128 columns; the warps' sums are added in order.
template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    add_columns(const T* g, long long ld, int rows, int cols, float* sums, bool first) {
  __shared__ float parts[kColumnParts][kColumnsOfBlock];
  const int lane = static_cast<int>(threadIdx.x) % 32, part = static_cast<int>(threadIdx.x) / 32;
  const int begin = static_cast<int>(blockIdx.x) * kColumnsOfBlock, column = begin + 4 * lane;
  float sum[4] = {};
  for (int i = part; i < rows; i += kColumnParts) {
    const T* const at = g + i * ld + column;
    if (column + 4 <= cols) {
      if constexpr (sizeof(T) == 4) {
        const float4 v = __ldcg(reinterpret_cast<const float4*>(at));
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      } else {
        const uint2 raw = __ldcg(reinterpret_cast<const uint2*>(at));
        float x[8];
        unpack(pack<T>{make_uint4(raw.x, raw.y, 0, 0)}, x);
#pragma unroll
        for (int k = 0; k < 4; ++k) sum[k] += x[k];
      }
      continue;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) sum[k] += column + k < cols ? to_float(at[k]) : 0.0f;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) parts[part][4 * lane + k] = sum[k];
  __syncthreads();
  const int j = static_cast<int>(threadIdx.x);
  if (j >= kColumnsOfBlock || begin + j >= cols) return;
  float all = parts[0][j];
#pragma unroll
  for (int p = 1; p < kColumnParts; ++p) all += parts[p][j];
  sums[begin + j] = first ? all : sums[begin + j] + all;
}

}  // namespace culoss::kernels
