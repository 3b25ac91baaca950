// Binary cross-entropy of an element with target t, of its logit x or its probability p:
//   pw t' sp(-x) + (1 - t') sp(x), t' = t (1 - s) + s / 2
//     by x (1 - t') sg(x) - pw t' sg(-x); by t (1 - s) [pw sp(-x) - sp(x)], where the logarithms of
//     the two softplus cancel as far as pw is 1
//   -t log p - (1 - t) log(1 - p), logarithms at least -100
//     by p (p - t) / max(p (1 - p), 1e-12); by t log(1 - p) - log p
#pragma once

#include "kernels/policy/element_loss.cuh"

namespace culoss::kernels {

struct binary_logit_formula {
  static constexpr bool kLabels = false;
  static constexpr float kNegative = 0.0f;

  const float* pos_weight;  // null: 1
  long long columns;        // that it has
  float keep;               // 1 - s
  float share;              // s / 2

  __device__ bool by_column() const { return pos_weight != nullptr; }
  __device__ element_value operator()(float x, float t, long long column, bool of_target) const {
    // The rest of a pack lies beyond the last column.
    const long long at = column < columns ? column : 0;
    const float w = pos_weight != nullptr ? __ldg(pos_weight + at) : 1.0f;
    const float positive = w * (t * keep + share), negative = (1.0f - t) * keep + share;
    const bool above = x >= 0.0f;
    const float e = expf(-fabsf(x)), l = log1pf(e), r = __fdividef(1.0f, 1.0f + e);
    const float near = r, far = e * r;
    const float low = fmaxf(-x, 0.0f), high = fmaxf(x, 0.0f);
    const float by_target = of_target ? weigh(keep, (w - 1.0f) * l + weigh(w, low) - high) : 0.0f;
    return {weigh(positive, low + l) + weigh(negative, high + l),
            above ? negative * near - positive * far : negative * far - positive * near, by_target};
  }
};

struct binary_probability_formula {
  static constexpr bool kLabels = false;
  static constexpr float kNegative = 0.0f;

  __device__ bool by_column() const { return false; }
  __device__ element_value operator()(float p, float t, long long, bool) const {
    const float other = 1.0f - p;
    const float log_p = clamped(logf(p)), log_q = clamped(log1pf(-p));
    const float slope = __fdividef(p - t, fmaxf(p * other, 1e-12f));
    const bool outside = p < 0.0f || p > 1.0f;
    return {-(t * log_p) - (1.0f - t) * log_q, outside ? NAN : slope, log_q - log_p};
  }

 private:
  __device__ static float clamped(float l) { return l < -100.0f ? -100.0f : l; }  // NaN stays
};

}  // namespace culoss::kernels
