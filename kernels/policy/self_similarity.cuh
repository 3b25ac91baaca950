// NT-Xent and supervised contrastive loss: a row of the symmetric matrix was folded in two parts, as
// a row to the right of the diagonal and as a column above it. NT-Xent is InfoNCE of the two merged.
// With o the others' state, P the positives' and sums, means and softmaxes of each about its own
// shift, the supervised loss is
//
//   d = lse_P - lse_o     q = sigmoid(-d): what the softmax over both gives the others
//   -(1 / |P|) sum_P log(pi_p (1 - q)) = softplus(-d) + (lse_P - mean_P l)
//
//   dl_j = q exp(l_j - lse_o) for one of the others, (pi_j - 1 / |P|) - q pi_j for a positive
//   dloss / dlog_scale = q (mean_o l - mean_pi l) + (mean_pi l - mean_P l), where mean_o and mean_pi
//   are weighted by the softmaxes over o and over P
//
// For |P| = 1 the second terms are exactly 0: InfoNCE again.
#pragma once

#include "kernels/labels.cuh"
#include "kernels/policy/info_nce.cuh"
#include "kernels/similarity_positives.cuh"

namespace culoss::kernels {

// A thread a row. rows: 2 views of each of `pairs` items; a positive is met in the first one's row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    finish_views(const __grid_constant__ finish_arguments a, long long pairs) {
  const long long i = a.begin + block_index() * kThreads + threadIdx.x;
  if (i >= a.end) return;
  const long long other = i < pairs ? i + pairs : i - pairs;
  const float weight = a.call.weight(i);
  const side_result r =
      finish_side(a.rows, merge(a.rows.states[i], a.cols.states[i]), i, other,
                  a.targets[i < pairs ? i : other], 0.0f, weight * a.numbers->weight_factor);
  if (a.loss != nullptr) a.loss[i] = a.call.by.weighted(i, r.loss);
  if (a.scale != nullptr) a.scale[i] = weight * r.scale;
}

struct positive_arguments {
  const positive_state* rows;
  const positive_state* cols;
  positive_coefficients* coefficients;
  unsigned char* counts;  // whether a row has a positive
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    finish_groups(const __grid_constant__ finish_arguments a, const positive_arguments positives) {
  const long long i = a.begin + block_index() * kThreads + threadIdx.x;
  if (i >= a.end) return;
  const side_state o = merge(a.rows.states[i], a.cols.states[i]);
  const positive_state p = merge(positives.rows[i], positives.cols[i]);
  const bool counts = p.count > 0;
  side_coefficients of_others{shift_of(o.shift), 0.0f, 0.0f, 0.0f};  // 0 times no infinity
  positive_coefficients of_positives{0.0f, 0.0f, 0.0f, 0.0f};
  float loss = 0.0f, scale = 0.0f;
  if (counts) {
    const bool alone = o.sum == 0.0f, single = p.count == 1;
    const float share = 1.0f / static_cast<float>(p.count);
    const float log_sum = logf(p.sum), mean = p.plain * share, mean_pi = p.moment / p.sum;
    const float above = p.shift - o.shift;
    float d = above * kLn2 + log_sum - logf(o.sum), mean_o = 0.0f;
    if (alone) {
      d = isnan(p.sum) ? NAN : INFINITY;
    } else {
      mean_o = o.moment / o.sum - above;  // about p.shift
    }
    const float q = sigmoid(-d), weight = a.call.weight(i);
    loss = a.call.by.weighted(i, softplus(-d) + (log_sum - mean * kLn2));
    scale = weight * kLn2 * ((alone ? q : q * (mean_o - mean_pi)) + (mean_pi - mean));
    const float factor = weight * a.numbers->weight_factor;
    of_others.slope = alone && !isnan(d) ? 0.0f : factor * q / o.sum;
    of_others.target = factor;
    of_positives = {p.shift, single ? 0.0f : 1.0f / p.sum, single ? q : share, q};
  }
  a.rows.coefficients[i] = of_others;
  positives.coefficients[i] = of_positives;
  positives.counts[i] = counts;
  if (a.loss != nullptr) a.loss[i] = loss;
  if (a.scale != nullptr) a.scale[i] = scale;
}

// How many rows count: what a mean divides by.
struct store_counted {
  totals* out;
  long long* rows_counted;  // or null
  __device__ void operator()(const totals& t) const {
    *out = {static_cast<double>(t.count), t.count};
    if (rows_counted != nullptr) *rows_counted = t.count;
  }
};

}  // namespace culoss::kernels
