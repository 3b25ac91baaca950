// Sigmoid focal loss of an element x with target t in [0, 1]; p = sg(x), q = sg(-x):
//   BCE = t sp(-x) + (1 - t) sp(x)    u = 1 - p_t = t q + (1 - t) p
//   a_t = alpha t + (1 - alpha) (1 - t)    L = a_t u^gamma BCE
//   dL/dx = a_t u^gamma [(1 - t) p - t q + gamma BCE (1 - 2t) p q / u]
//   dL/dt = u^gamma [(2 alpha - 1) BCE - a_t x] + a_t gamma u^(gamma - 1) BCE (q - p)
// from one exp(-|x|), one log1p and one reciprocal, without a difference of near numbers: for
// t = 1, p q / u is p and the bracket -(q + gamma p sp(-x)), exact at both ends.
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/labels.cuh"

namespace culoss::kernels {

template <class T, int kInputs>
struct sigmoid_focal_arguments {
  stream<T> in[kInputs];   // logits; targets
  target<T> out[kInputs];  // their gradients
  target<float> losses;
  totals* partials;
  float gamma;
  float alpha;  // negative: off
  labels all;   // instead of targets
  gradient_scale scale;
};

// kLabels: the targets are the one-hot rows of labels.
template <class T, bool kLabels>
struct sigmoid_focal_policy {
  using value = T;
  static constexpr int kStreams = kLabels ? 1 : 2;
  static constexpr int kOutputs = kStreams;
  static constexpr bool kSelective = false;
  using arguments = sigmoid_focal_arguments<T, kStreams>;

  struct context {
    float scale;       // of the gradients
    float weight;      // of the loss
    long long column;  // of the label's class
    label_kind kind;
  };

  static constexpr float kSmallest = 1.17549435e-38f;  // normal number

  const arguments& a;
  float common;
  bool off;

  __device__ explicit sigmoid_focal_policy(const arguments& a)
      : a(a), common(a.scale.common()), off(a.scale.off()) {}

  __device__ bool per_row() const {
    return kLabels || a.scale.row_weights != nullptr || a.scale.upstream_rows != nullptr;
  }
  __device__ context at(long long row) const {
    context c{a.scale.of(row, common), a.scale.weighted(row, 1.0f), -1, label_kind::counts};
    if constexpr (kLabels) {
      const long long label = a.all[row];
      c.kind = a.all.kind(label);
      c.column = c.kind == label_kind::counts ? label : -1;
    }
    return c;
  }

  __device__ float element(const context& c, const float (&in)[kStreams], long long column,
                           float (&y)[kOutputs]) const {
    const float x = in[0];
    float t = column == c.column ? 1.0f : 0.0f;
    if constexpr (!kLabels) t = in[kStreams - 1];
    const float other = 1.0f - t;
    const bool above = x >= 0.0f;
    const float e = expf(-fabsf(x)), l = log1pf(e), r = __fdividef(1.0f, 1.0f + e);
    const float p = above ? r : e * r, q = above ? e * r : r;
    const float bce = weigh(t, fmaxf(-x, 0.0f) + l) + weigh(other, fmaxf(x, 0.0f) + l);
    const float u = t * q + other * p;
    const float f = power(u, x, t);
    const float share = a.alpha < 0.0f ? 1.0f : a.alpha * t + (1.0f - a.alpha) * other;

    // p q / u = r e / w. Where w is not normal, BCE is not either: this term is lost in rounding.
    const float w = above ? t * e + other : t + other * e;
    const float ratio = w < kSmallest ? 0.0f : r * __fdividef(e, w);
    const float sharper = ratio == 0.0f ? 0.0f : a.gamma * bce * (1.0f - 2.0f * t) * ratio;
    y[0] = c.scale * share * f * (other * p - t * q + sharper);
    if constexpr (!kLabels) {
      const bool wanted = a.out[1].data != nullptr;
      y[1] = wanted ? weigh(c.scale, of_target(x, t, bce, u, f, share)) : 0.0f;
    }
    float loss = weigh(c.weight, weigh(share, f * bce));
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) y[i] = off ? 0.0f : y[i];
    if constexpr (kLabels) {
      const bool ignored = c.kind == label_kind::ignored, bad = c.kind == label_kind::bad;
      loss = ignored ? 0.0f : bad ? NAN : loss;
      y[0] = ignored | off ? 0.0f : bad ? NAN : y[0];
    }
    return loss;
  }

 private:
  // Of a target of 0 or 1 a u that is not normal is exp(-|x|).
  __device__ static bool vanishes(float u, float t) {
    return u < kSmallest && (t == 0.0f || t == 1.0f);
  }
  // u^gamma
  __device__ float power(float u, float x, float t) const {
    if (a.gamma == 0.0f) return 1.0f;
    if (a.gamma == 1.0f) return u;
    if (a.gamma == 2.0f) return u * u;
    return exp2_approx(a.gamma * (vanishes(u, t) ? -fabsf(x) * kLog2e : log2f(u)));
  }
  // An infinite logit gives the sign of what grows with it, times infinity.
  __device__ float of_target(float x, float t, float bce, float u, float f, float share) const {
    const bool infinite = isinf(x);
    const float unit = infinite ? copysignf(1.0f, x) : x;
    const float b = infinite ? (x > 0.0f ? 1.0f - t : t) : bce;
    const float of_alpha = a.alpha < 0.0f ? 0.0f : (2.0f * a.alpha - 1.0f) * b;
    // Where u vanishes BCE is exp(-|x|) too, where x is infinite both are b.
    const float b_by_u = infinite || vanishes(u, t) ? 1.0f : b / u;
    const float e = expf(-fabsf(x));
    const float size = -expm1f(-fabsf(x)) / (1.0f + e);  // of q - p, also where that is small
    const float of_power = share * a.gamma * b_by_u * copysignf(size, -x);
    const float v = f * (of_alpha - share * unit + of_power);
    return infinite && v != 0.0f ? v * INFINITY : v;
  }
};

// What a row adds to the divisor of a mean, and whether its label is a class. Tells the fault
// record of the others.
struct count_focal_rows {
  labels all;
  bool positives;  // the divisor counts these, else elements
  fault_record* faults;

  __device__ totals operator()(long long row) const {
    const label_kind kind = all.kind(all[row]);
    if (kind == label_kind::bad) report_bad_label(faults, row);
    const bool positive = kind == label_kind::counts;
    const double elements = kind == label_kind::ignored ? 0.0 : static_cast<double>(all.classes);
    return {positives ? (positive ? 1.0 : 0.0) : elements, positive ? 1 : 0};
  }
};

}  // namespace culoss::kernels
