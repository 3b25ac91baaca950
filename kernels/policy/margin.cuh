// Losses of the margin y x of an element; a y of 0 leaves an infinite x out, too:
//   hinge        max(0, m - y x)^k     by x -y or -2 y (m - y x) where that is positive, 0 elsewhere
//   soft_margin  sp(-y x)              by x -y sg(-y x)
#pragma once

#include "kernels/policy/element_loss.cuh"

namespace culoss::kernels {

struct hinge_formula {
  static constexpr bool kLabels = true;
  static constexpr float kNegative = -1.0f;

  float margin;
  bool squared;

  __device__ bool by_column() const { return false; }
  __device__ element_value operator()(float x, float y, long long, bool) const {
    const float z = margin - weigh(y, x);
    const float rest = z <= 0.0f ? 0.0f : z;  // NaN stays
    const float step = z > 0.0f ? 1.0f : rest;
    const float slope = squared ? 2.0f * rest : step;
    return {squared ? rest * rest : rest, weigh(-y, slope), 0.0f};
  }
};

struct soft_margin_formula {
  static constexpr bool kLabels = true;
  static constexpr float kNegative = -1.0f;

  __device__ bool by_column() const { return false; }
  __device__ element_value operator()(float x, float y, long long, bool) const {
    const float z = weigh(y, x);
    const float e = expf(-fabsf(z)), r = __fdividef(1.0f, 1.0f + e);
    return {fmaxf(-z, 0.0f) + log1pf(e), -y * (z >= 0.0f ? e * r : r), 0.0f};
  }
};

}  // namespace culoss::kernels
