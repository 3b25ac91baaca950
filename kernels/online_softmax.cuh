// The online state of a softmax: a running maximum and the sum of exponentials relative to it
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
//
// exp((x - m) / T) is taken as 2^((x - m) c) with c = log2(e) / T, from the difference: no
// statistic is ever an unshifted sum. Empty or all -inf: {-inf, 0}. A NaN or +inf among the logits
// makes the sum NaN and it stays so: fmaxf drops NaN, the sum does not. Sums are fused by name, so
// that kernels which promise each other's bits do not depend on what a compiler fuses.
//
// The difference and its product are two instructions, where x c - m c in one fused multiply-add
// would be one. They buy that the largest element's exponential is exactly 1: then the sum is never
// below 1, no log-probability above 0, and no probability above 1, nor does m c overflow. About 7
// instructions an element of the forward are far from the 14 that memory leaves time for.
#pragma once

#include "kernels/math.cuh"

namespace culoss::kernels {

struct online_state {
  float max;
  float sum;
};

// What to subtract: the maximum, or 0 where there is nothing but -inf (-inf - -inf would be NaN).
__device__ inline float shift_of(float max) { return max == -INFINITY ? 0.0f : max; }

// Folds kPacks * kSize logits in, absent ones given as -inf, with one rescale.
template <int kPacks, int kSize>
__device__ void fold(online_state& s, const float (&x)[kPacks][kSize], float c) {
  float m = s.max;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
#pragma unroll
    for (int e = 0; e < kSize; ++e) m = fmaxf(m, x[k][e]);
  }
  const float shift = shift_of(m);
  float total = 0.0f;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float sum = 0.0f;
#pragma unroll
    for (int e = 0; e < kSize; ++e) sum += exp2_approx((x[k][e] - shift) * c);
    total += sum;
  }
  s.sum = fmaf(s.sum, exp2_approx((s.max - shift) * c), total);
  s.max = m;
}

__device__ inline online_state merge(const online_state& a, const online_state& b, float c) {
  const float m = fmaxf(a.max, b.max);
  const float shift = shift_of(m);
  const float of_b = b.sum * exp2_approx((b.max - shift) * c);
  return {m, fmaf(a.sum, exp2_approx((a.max - shift) * c), of_b)};
}

}  // namespace culoss::kernels
