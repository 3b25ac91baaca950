// Softmax cross-entropy of a row against target probabilities q, from m = max_j y_j and
// z = sum_j exp((y_j - m) / T) over all columns, y_j = cap(x_j), q'_j = (1 - s) q_j + s / C:
//   W = sum_j w_j q'_j     A = sum_j w_j q'_j (y_j - m)
//   L = W log z - A / T    dL/dy_j = (p_j W - w_j q'_j) / T
//   dL/dq_j = (1 - s) w_j (log z - (y_j - m) / T)
// A masked column (x_j = -inf) gets no smoothing; its own q_j counts in W, and in A as -inf unless
// it is 0.
#pragma once

#include <culoss/cross_entropy.hpp>

#include "kernels/divisor.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/row_extras.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct cross_entropy_targets_arguments {
  stream<T> in[2];   // logits, targets
  target<T> out[2];  // their gradients
  long long rows, cols;
  const float* class_weights;
  float smoothing;
  float z_loss;
  softcap cap;
  scalar_argument temperature;
  gradient_scale scale;
  float* row_loss;
  float* row_z_loss;
  float* lse;
  float* entropy;
  row_statistics<float>* statistics;   // written by the forward call
  const row_statistics<float>* saved;  // read by the backward call
  long long* argmax;
};

// kFull: with softcap, arg-max or entropy; without, they cost nothing.
template <class T, bool kFull>
struct cross_entropy_targets_policy {
  using value = T;
  static constexpr int kStreams = 2;
  static constexpr int kOutputs = 2;
  using arguments = cross_entropy_targets_arguments<T>;

  struct plain_state {
    online_state all;
    float weighted;  // A
    float weight;    // W
  };
  struct full_state : plain_state {
    best_column best;
    spread entropy;
  };
  using state = std::conditional_t<kFull, full_state, plain_state>;

  struct coefficients {
    float shift;
    float slope;    // of exp((y_j - m) / T), from which w_j q'_j is subtracted
    float scale;    // of both
    float of_log;   // times w_j times -log p_j: the gradient of q_j
    float nothing;  // the gradient of q_j = 0 in a masked column
    float log_sum;  // log z, NaN where the row has no softmax
    float lse;
    float off;  // not 0: the gradients are 0
  };

  const arguments& a;
  long long row;
  float t;      // temperature
  float c;      // log2(e) / T
  float share;  // s / C

  __device__ cross_entropy_targets_policy(const arguments& a, long long row) : a(a), row(row) {
    t = temperature_of(a.temperature);
    c = kLog2e / t;
    share = a.smoothing / static_cast<float>(a.cols);
  }

  __device__ static float absent(int i) { return i == 0 ? -INFINITY : 0.0f; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }

  __device__ state identity() const {
    state s{};
    s.all = {-INFINITY, 0.0f};
    if constexpr (kFull) s.best = best_column::none();
    return s;
  }

  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[2][kPacks][kSize], const int (&column)[kPacks]) const {
    if constexpr (kFull) {
      if (a.argmax != nullptr) s.best.add(x[0], column);
      if (a.cap.given()) {
#pragma unroll
        for (int b = 0; b < kPacks; ++b) {
#pragma unroll
          for (int e = 0; e < kSize; ++e) x[0][b][e] = a.cap.of(x[0][b][e]);
        }
      }
    }
    const online_state before = s.all;
    fold(s.all, x[0], c);
    s.weighted = moved(s, before.max, s.all.max);
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      float mass[kSize];
      masses(x[0][b], x[1][b], column[b], mass);
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const float y = x[0][b][e];
        const float distance = y == -INFINITY ? y : y - s.all.max;
        s.weighted += mass[e] == 0.0f ? 0.0f : mass[e] * distance;
        s.weight += mass[e];
      }
    }
    if constexpr (kFull) {
      if (a.entropy != nullptr) s.entropy.add(before, s.all, x[0], c);
    }
  }

  __device__ state merge(const state& x, const state& y) const {
    state s = x;
    s.all = kernels::merge(x.all, y.all, c);
    s.weighted = moved(x, x.all.max, s.all.max) + moved(y, y.all.max, s.all.max);
    s.weight = x.weight + y.weight;
    if constexpr (kFull) {
      s.best = best_column::merge(x.best, y.best);
      s.entropy = spread::merge(x.entropy, x.all, y.entropy, y.all, s.all.max, c);
    }
    return s;
  }

  __device__ coefficients finish(const state& s) const {
    const float log_sum = s.all.sum == 0.0f ? NAN : logf(s.all.sum);
    return coefficients_of(s.all.max, log_sum, 1.0f / s.all.sum, s.weight);
  }
  // From what an earlier call left.
  __device__ coefficients finish() const {
    const row_statistics<float> s = a.saved[row];
    return coefficients_of(s.max, s.log_sum, expf(-s.log_sum), s.weight);
  }

  __device__ void write(const state& s, const coefficients& k) const {
    const bool nan = isnan(k.log_sum);
    const float z_loss = a.z_loss == 0.0f ? 0.0f : a.z_loss * k.lse * k.lse;
    if (a.row_loss != nullptr) {
      const float ce = nan ? NAN : s.weight * k.log_sum - s.weighted / t;
      a.row_loss[row] = a.scale.weighted(row, ce + z_loss);
    }
    if (a.row_z_loss != nullptr) a.row_z_loss[row] = a.scale.weighted(row, z_loss);
    if (a.lse != nullptr) a.lse[row] = k.lse;
    if (a.statistics != nullptr) {
      a.statistics[row] = nan ? row_statistics<float>{NAN, NAN, NAN, NAN}
                              : row_statistics<float>{s.all.max, k.log_sum, 0.0f, s.weight};
    }
    if constexpr (kFull) {
      if (a.argmax != nullptr) a.argmax[row] = s.best.result();
      if (a.entropy != nullptr) {
        a.entropy[row] = k.log_sum - s.entropy.weighted / (s.all.sum * kLog2e);
      }
    }
  }

  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[2][kSize], int column) const {
    float mass[kSize];
    masses(x[0], x[1], column, mass);
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float v = x[0][e], q = x[1][e];
      float y = v, of_cap = 1.0f;
      if constexpr (kFull) {
        if (a.cap.given()) y = a.cap.of(v, of_cap);
      }
      const float z = (y - k.shift) * c;
      const float g = k.scale * (k.slope * exp2_approx(z) - mass[e]);  // 0 for a single column
      x[0][e] = kFull ? g * of_cap : g;
      if (a.out[1].data != nullptr) {
        const float surprise = k.log_sum - z * (1.0f / kLog2e);
        const bool no_mass = v == -INFINITY && q == 0.0f;
        x[1][e] = no_mass ? k.nothing : weigh(k.of_log, surprise);
      }
    }
    if (a.class_weights != nullptr && a.out[1].data != nullptr) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) x[1][e] = weigh(weight_of(column + e), x[1][e]);
    }
  }

 private:
  __device__ float weight_of(int column) const {
    const bool there = column >= 0 && column < static_cast<int>(a.cols);
    return there ? __ldg(a.class_weights + column) : 0.0f;
  }
  // w_j q'_j
  template <int kSize>
  __device__ void masses(const float (&x)[kSize], const float (&q)[kSize], int column,
                         float (&mass)[kSize]) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      mass[e] = (1.0f - a.smoothing) * q[e] + (x[e] == -INFINITY ? 0.0f : share);
    }
    if (a.class_weights == nullptr) return;
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      mass[e] = mass[e] == 0.0f ? 0.0f : mass[e] * weight_of(column + e);
    }
  }

  __device__ coefficients coefficients_of(float max, float log_sum, float inverse_sum,
                                          float weight) const {
    coefficients k;
    const float scale = a.scale.of(row);
    k.shift = shift_of(max);
    k.log_sum = log_sum;
    k.nothing = isnan(log_sum) ? NAN : a.scale.nothing();
    k.lse = max / t + log_sum;
    const float of_all = a.z_loss == 0.0f ? weight : weight + 2.0f * a.z_loss * k.lse;
    k.slope = isnan(log_sum) ? NAN : of_all * inverse_sum;
    k.scale = scale / t;
    k.of_log = scale * (1.0f - a.smoothing);
    k.off = a.scale.off() ? 1.0f : 0.0f;
    return k;
  }

  // Sums about a maximum that has risen since: each seen mass's distance grows by the rise.
  __device__ static float moved(const state& s, float from, float to) {
    return s.weight == 0.0f || from == to ? s.weighted : s.weighted + (from - to) * s.weight;
  }
};

}  // namespace culoss::kernels
