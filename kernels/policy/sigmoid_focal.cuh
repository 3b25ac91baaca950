// Sigmoid focal loss of an element x with target t in [0, 1]; p = sg(x), q = sg(-x):
//   BCE = t sp(-x) + (1 - t) sp(x)    u = 1 - p_t = t q + (1 - t) p
//   a_t = alpha t + (1 - alpha) (1 - t)    L = a_t u^gamma BCE
//   dL/dx = a_t u^gamma [(1 - t) p - t q + gamma BCE (1 - 2t) p q / u]
//   dL/dt = u^gamma [(2 alpha - 1) BCE - a_t x] + a_t gamma u^(gamma - 1) BCE (q - p)
// from one exp(-|x|), one log1p and one reciprocal, without a difference of near numbers: for
// t = 1, p q / u is p and the bracket -(q + gamma p sp(-x)), exact at both ends.
#pragma once

#include "kernels/policy/element_loss.cuh"

namespace culoss::kernels {

struct sigmoid_focal_formula {
  static constexpr bool kLabels = true;
  static constexpr float kNegative = 0.0f;
  static constexpr float kSmallest = 1.17549435e-38f;  // normal number

  float gamma;
  float alpha;  // negative: off

  __device__ bool by_column() const { return false; }
  __device__ element_value operator()(float x, float t, long long, bool of_target) const {
    const float other = 1.0f - t;
    const bool above = x >= 0.0f;
    const float e = expf(-fabsf(x)), l = log1pf(e), r = __fdividef(1.0f, 1.0f + e);
    const float p = above ? r : e * r, q = above ? e * r : r;
    const float bce = weigh(t, fmaxf(-x, 0.0f) + l) + weigh(other, fmaxf(x, 0.0f) + l);
    const float u = t * q + other * p;
    const float f = power(u, x, t);
    const float share = alpha < 0.0f ? 1.0f : alpha * t + (1.0f - alpha) * other;

    // p q / u = r e / w. Where w is not normal, BCE is not either: this term is lost in rounding.
    const float w = above ? t * e + other : t + other * e;
    const float ratio = w < kSmallest ? 0.0f : r * __fdividef(e, w);
    const float sharper = ratio == 0.0f ? 0.0f : gamma * bce * (1.0f - 2.0f * t) * ratio;
    return {weigh(share, f * bce), share * f * (other * p - t * q + sharper),
            of_target ? by_target(x, t, bce, u, f, share) : 0.0f};
  }

 private:
  // Of a target of 0 or 1 a u that is not normal is exp(-|x|).
  __device__ static bool vanishes(float u, float t) {
    return u < kSmallest && (t == 0.0f || t == 1.0f);
  }
  // u^gamma
  __device__ float power(float u, float x, float t) const {
    if (gamma == 0.0f) return 1.0f;
    if (gamma == 1.0f) return u;
    if (gamma == 2.0f) return u * u;
    return exp2_approx(gamma * (vanishes(u, t) ? -fabsf(x) * kLog2e : log2f(u)));
  }
  // An infinite logit gives the sign of what grows with it, times infinity.
  __device__ float by_target(float x, float t, float bce, float u, float f, float share) const {
    const bool infinite = isinf(x);
    const float unit = infinite ? copysignf(1.0f, x) : x;
    const float b = infinite ? (x > 0.0f ? 1.0f - t : t) : bce;
    const float of_alpha = alpha < 0.0f ? 0.0f : (2.0f * alpha - 1.0f) * b;
    // Where u vanishes BCE is exp(-|x|) too, where x is infinite both are b.
    const float b_by_u = infinite || vanishes(u, t) ? 1.0f : b / u;
    const float e = expf(-fabsf(x));
    const float size = -expm1f(-fabsf(x)) / (1.0f + e);  // of q - p, also where that is small
    const float of_power = share * gamma * b_by_u * copysignf(size, -x);
    const float v = f * (of_alpha - share * unit + of_power);
    return infinite && v != 0.0f ? v * INFINITY : v;
  }
};

}  // namespace culoss::kernels
