// Losses of the residual e = x - t of an element, quadratic up to a knee k and linear beyond it:
//   L = |e| <= k ? h e^2 : s (|e| - k / 2)     dL/dx = |e| <= k ? 2 h e : s sign e = -dL/dt
//   mse        k = inf     h = 1
//   mae        k = 0                       s = 1
//   huber      k = delta   h = 1/2         s = delta
//   smooth_l1  k = beta    h = 1/(2 beta)  s = 1
// One kernel for all four.
#pragma once

#include "kernels/policy/element_loss.cuh"

namespace culoss::kernels {

struct residual_formula {
  static constexpr bool kLabels = false;
  static constexpr float kNegative = 0.0f;

  float knee;
  float half_slope;  // h
  float line;        // s

  __device__ bool by_column() const { return false; }
  __device__ element_value operator()(float x, float t, long long, bool) const {
    const float e = x - t, size = fabsf(e);
    const bool quadratic = size <= knee;
    const float sign = e > 0.0f ? line : e < 0.0f ? -line : e;  // NaN stays
    const float slope = quadratic ? 2.0f * half_slope * e : sign;
    // The knee is finite where there is a line.
    return {quadratic ? e * (half_slope * e) : line * (size - 0.5f * knee), slope, -slope};
  }
};

}  // namespace culoss::kernels
