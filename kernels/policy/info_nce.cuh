// InfoNCE and CLIP: from the state of a row (and of its column) to the loss, to the gradient of the
// scale and to the coefficients of the similarities' gradient. With the statistics of the columns
// other than the positive, z = sum exp(l_j - m):
//
//   d = (l_t - m) - log z     loss = softplus(-d)
//   q = 1 - p_t = sigmoid(-d)     p_j = q exp(l_j - m) / z
//
//   dloss / dlog_scale = sum_j p_j l_j - l_t = q (sum_j exp(l_j - m) (l_j - m) / z - (l_t - m))
#pragma once

#include <cub/block/block_reduce.cuh>

#include "kernels/divisor.cuh"
#include "kernels/similarity_tiles.cuh"

namespace culoss::kernels {

struct call_arguments {
  scalar_argument scale;
  bool logarithm;  // scale is log_scale, else a temperature
  gradient_scale by;
  const float* row_norms;
  const float* col_norms;    // of the keys ...
  const float* col_norms_2;  // ... and of the negatives
  long long rows, cols, cols_2;
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
__global__ void __launch_bounds__(kTotalThreads)
    prepare_call(const __grid_constant__ call_arguments a, call_numbers* out) {
  using block_reduce = cub::BlockReduce<float, kTotalThreads>;
  __shared__ typename block_reduce::TempStorage scratch;
  const auto largest = [&](long long n, auto item) {
    float m = 0.0f;
    for (long long i = threadIdx.x; i < n; i += kTotalThreads) m = fmaxf(m, item(i));
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
  n.row_factor = a.range / row_top;
  n.column_factor = 1.0f / col_top;
  n.weight_factor = 1.0f / top;
  n.rest = scale * upstream * top * (row_top / a.range);
  n.column_rest = col_top;
  n.scale_rest = upstream * of_scale;
  n.off = a.by.off();
  *out = n;
}

struct side {
  const side_state* states;
  side_coefficients* coefficients;
  unsigned char* correct;  // or null
  int first_index;         // where row 0's positive stands among the columns
};

struct finish_arguments {
  call_arguments call;
  const call_numbers* numbers;
  const float* targets;  // l / log(2) of the positives
  side rows;
  side cols;             // states null: one direction only
  float* loss;           // or null
  float* scale;          // each row's part of the scale's gradient, or null
  long long begin, end;  // rows
};

struct side_result {
  float loss;
  float scale;
};

__device__ inline side_result finish_side(const side& s, long long i, float target, float weight) {
  const side_state x = s.states[i];
  const bool alone = x.sum == 0.0f;
  const float above = target - x.shift;
  float d, mean = 0.0f;
  if (alone) {
    d = isfinite(target) ? INFINITY : NAN;
  } else {
    d = target == INFINITY ? NAN : above * kLn2 - logf(x.sum);
    mean = x.moment / x.sum - above;
  }
  const float q = sigmoid(-d);
  s.coefficients[i] = {shift_of(x.shift), alone && !isnan(d) ? 0.0f : weight * q / x.sum,
                       -weight * q, 0.0f};
  if (s.correct != nullptr) {
    const long long index = s.first_index + i;
    s.correct[i] = !isnan(d) && (alone || target > x.best || (target == x.best && index < x.index));
  }
  return {softplus(-d), alone ? q : q * mean * kLn2};  // alone: q is 0, or NaN
}

// A thread a row, with its column where there are two directions: each counts half then.
__global__ void __launch_bounds__(kFoldThreads)
    finish_rows(const __grid_constant__ finish_arguments a) {
  const long long i = a.begin + block_index() * kFoldThreads + threadIdx.x;
  if (i >= a.end) return;
  const bool both = a.cols.states != nullptr;
  const float weight = a.call.weight(i);
  const float share = weight * a.numbers->weight_factor * (both ? 0.5f : 1.0f);
  const float target = a.targets[i];
  side_result r = finish_side(a.rows, i, target, share);
  if (both) {
    const side_result c = finish_side(a.cols, i, target, share);
    r = {0.5f * (r.loss + c.loss), 0.5f * (r.scale + c.scale)};
  }
  if (a.loss != nullptr) {
    a.loss[i] = a.call.by.weighted(i, r.loss);
  }
  if (a.scale != nullptr) a.scale[i] = weight * r.scale;
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
struct write_similarity_scalars {
  const call_numbers* numbers;
  float* loss;       // or null
  float* scale;      // or null
  long long* count;  // or null
  divisor by;
  __device__ void operator()(const totals& t) const {
    if (loss != nullptr) *loss = by.loss(t.sum);
    if (scale != nullptr) {
      *scale = numbers->off != 0 ? 0.0f : static_cast<float>(t.sum * numbers->scale_rest);
    }
    if (count != nullptr) *count = t.count;
  }
};

__global__ void __launch_bounds__(32) write_number(long long* out, long long value) {
  if (threadIdx.x == 0) *out = value;
}

}  // namespace culoss::kernels
