// InfoNCE and CLIP: from the state of a row (and of its column) to the loss, to the gradient of the
// scale and to the coefficients of the similarities' gradient. With the statistics of the columns
// other than the positive, z = sum exp(l_j - m):
//
//   d = (l_t - m) - log z     loss = softplus(-d)
//   q = 1 - p_t = sigmoid(-d)     p_j = q exp(l_j - m) / z
//
//   dloss / dlog_scale = sum_j p_j l_j - l_t = q (sum_j exp(l_j - m) (l_j - m) / z - (l_t - m))
//
// The margin is taken off l_t here, and nowhere else: only here is a positive's l itself used.
#pragma once

#include "kernels/similarity_call.cuh"
#include "kernels/similarity_tiles.cuh"

namespace culoss::kernels {

struct side {
  const side_state* states;
  side_coefficients* coefficients;
  unsigned char* correct;  // or null
  int first_index;         // where row 0's positive stands among the columns
};

struct finish_arguments {
  call_arguments call;
  const call_numbers* numbers;
  const float* targets;  // l / log(2) of the positives, without the margin
  side rows;
  side cols;             // states null: one direction only
  float* loss;           // or null
  float* scale;          // each row's part of the scale's gradient, or null
  long long begin, end;  // rows
};

struct side_result {
  float loss;
  float scale;
  side_coefficients of_gradient;
};

// x: row i's state; index: where its positive stands among the columns; similarity: the positive's l
// without the margin, by which it is found or not.
__device__ inline side_result finish_side(const side& s, const side_state& x, long long i,
                                          long long index, float similarity, float margin,
                                          float weight) {
  const float target = similarity - margin;
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
  const side_coefficients c = {shift_of(x.shift), alone && !isnan(d) ? 0.0f : weight * q / x.sum,
                               -weight * q, x.best};
  s.coefficients[i] = c;
  if (s.correct != nullptr) {
    s.correct[i] =
        !isnan(d) && (alone || similarity > x.best || (similarity == x.best && index < x.index));
  }
  return {softplus(-d), alone ? q : q * mean * kLn2, c};  // alone: q is 0, or NaN
}

// Row i, whose state is x, with its column where there are two directions: each counts half then.
__device__ inline side_coefficients finish_row(const finish_arguments& a, const side_state& x,
                                               long long i) {
  const bool both = a.cols.states != nullptr;
  const float weight = a.call.weight(i);
  const float share = weight * a.numbers->weight_factor * (both ? 0.5f : 1.0f);
  const float similarity = a.targets[i], margin = a.numbers->margin;
  side_result r = finish_side(a.rows, x, i, a.rows.first_index + i, similarity, margin, share);
  if (both) {
    const side_result c =
        finish_side(a.cols, a.cols.states[i], i, a.cols.first_index + i, similarity, margin, share);
    r = {0.5f * (r.loss + c.loss), 0.5f * (r.scale + c.scale), r.of_gradient};
  }
  if (a.loss != nullptr) {
    a.loss[i] = a.call.by.weighted(i, r.loss);
  }
  if (a.scale != nullptr) a.scale[i] = weight * r.scale;
  return r.of_gradient;
}

// A thread a row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    finish_rows(const __grid_constant__ finish_arguments a) {
  const long long i = a.begin + block_index() * kThreads + threadIdx.x;
  if (i < a.end) finish_row(a, a.rows.states[i], i);
}

}  // namespace culoss::kernels
