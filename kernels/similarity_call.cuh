// What begins and ends a call of any loss over similarities: the numbers that all its kernels read,
// and the sums over its rows.
//
// Moves: prepare_call the norms and the row weights once; the sums 4 bytes a row, 1 for a count.
#pragma once

#include <cub/block/block_reduce.cuh>

#include "kernels/divisor.cuh"
#include "kernels/similarity_state.cuh"

namespace culoss::kernels {

struct call_arguments {
  scalar_argument scale;
  bool logarithm;  // scale is log_scale, else a temperature
  gradient_scale by;
  const float* row_norms;
  const float* col_norms;    // of the keys ...
  const float* col_norms_2;  // ... and of the negatives
  long long rows, cols, cols_2;
  scalar_argument bias;  // of the losses that have one
  float margin;          // of the positives' similarities
  float range;  // how far 16-bit gradients of similarities are lifted: 2^14 for half, else 1

  __device__ float weight(long long i) const {
    const float w = by.row_weights != nullptr ? by.row_weights[i] : 1.0f;
    return by.upstream_rows != nullptr ? w * by.upstream_rows[i] : w;
  }
};

// The least power of two that is not below x; 1 where x is 0 or not finite.
__device__ inline float power_of_two_above(float x) {
  if (!(x > 0.0f) || isinf(x)) return 1.0f;
  int exponent;
  const float fraction = frexpf(x, &exponent);
  return ldexpf(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
}

struct larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }  // drops NaN: meant
};

// One block: the numbers that all other kernels of the call read.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    prepare_call(const __grid_constant__ call_arguments a, call_numbers* out) {
  using block_reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename block_reduce::TempStorage scratch;
  const auto largest = [&](long long n, auto item) {
    float m = 0.0f;
    for (long long i = threadIdx.x; i < n; i += kThreads) m = fmaxf(m, item(i));
    __syncthreads();  // scratch is used again
    return block_reduce(scratch).Reduce(m, larger{});
  };
  const bool weighted = a.by.row_weights != nullptr || a.by.upstream_rows != nullptr;
  const float weight =
      largest(weighted ? a.rows : 0, [&](long long i) { return fabsf(a.weight(i)); });
  const float row =
      largest(a.row_norms != nullptr ? a.rows : 0, [&](long long i) { return a.row_norms[i]; });
  const float col_1 =
      largest(a.col_norms != nullptr ? a.cols : 0, [&](long long i) { return a.col_norms[i]; });
  const float col_2 = largest(a.col_norms_2 != nullptr ? a.cols_2 : 0,
                              [&](long long i) { return a.col_norms_2[i]; });
  if (threadIdx.x != 0) return;

  float scale, of_scale;  // and d scale / d what was given, over scale
  if (a.logarithm) {
    const float given = a.scale.get();
    scale = isfinite(given) ? expf(given) : NAN;
    of_scale = 1.0f;
  } else {
    const float t = temperature_of(a.scale);
    scale = 1.0f / t;
    of_scale = -1.0f / t;
  }
  const float top = weighted && weight > 0.0f && isfinite(weight) ? weight : 1.0f;
  const float row_top = power_of_two_above(row);
  const float col_top = power_of_two_above(fmaxf(col_1, col_2));
  const float upstream =
      a.by.by.gradient(a.by.upstream_rows != nullptr ? 1.0f : a.by.upstream.get());
  call_numbers n;
  n.bits = scale * kLog2e;
  n.scale = scale;
  n.bias = fmaf(a.bias.get(), 0.0f, a.bias.get());  // NaN where it is infinite
  n.margin = n.bits * a.margin;
  n.row_factor = a.range / row_top;
  n.column_factor = 1.0f / col_top;
  n.weight_factor = 1.0f / top;
  n.rest = scale * upstream * top * (row_top / a.range);
  n.column_rest = col_top;
  n.direct = scale * upstream * top;
  n.scale_rest = upstream * of_scale;
  n.bias_rest = upstream;
  n.off = a.by.off();
  *out = n;
}

// Sums over the rows that end a call: the loss or the scale's gradient, with a count beside.
struct sum_similarity_rows {
  const float* values;           // or null: 0
  const unsigned char* correct;  // or null: 0
  __device__ totals operator()(long long i) const {
    return {values != nullptr ? static_cast<double>(values[i]) : 0.0,
            correct != nullptr ? correct[i] : 0};
  }
};

// What one such sum gives; null: not wanted.
struct row_sum {
  sum_similarity_rows of;
  float* loss;
  float* scale;
  float* bias;
  long long* count;
};

// All of them in one launch: sum k has the items [k stride, k stride + rows).
inline constexpr int kRowSums = 3;
struct sum_all_rows {
  row_sum sums[kRowSums];
  long long rows, stride;
  __device__ totals operator()(long long i) const {
    int k = 0;
    for (; i >= stride; i -= stride) ++k;
    return i < rows ? sums[k].of(i) : totals{0.0, 0};
  }
};
struct write_row_sums {
  const call_numbers* numbers;
  row_sum sums[kRowSums];
  long long* rows_counted;  // or null
  long long rows;
  divisor by;
  __device__ void operator()(const totals& t) const {
    const row_sum& s = sums[block_index()];
    if (s.loss != nullptr) *s.loss = by.loss(t.sum);
    if (s.scale != nullptr) {
      *s.scale = numbers->off != 0 ? 0.0f : static_cast<float>(t.sum * numbers->scale_rest);
    }
    if (s.bias != nullptr) {
      *s.bias = numbers->off != 0 ? 0.0f : static_cast<float>(t.sum * numbers->bias_rest);
    }
    if (s.count != nullptr) *s.count = t.count;
    if (rows_counted != nullptr && block_index() == 0) *rows_counted = rows;
  }
};

template <class T>
__global__ void __launch_bounds__(32) write_number(T* out, T value) {
  if (threadIdx.x == 0) *out = value;
}

}  // namespace culoss::kernels
