// Entropy of a row of logits, or of probabilities.
//   logits: z = sum_j e_j, e_j = exp((x_j - m) / T), B = sum_j e_j log e_j
//     H = log z - B / z     dH/dx_j = -(p_j / T) (log p_j + H) = -(e_j / (z T)) (log e_j - B / z)
//   probabilities: H = -sum_j p_j log p_j     dH/dp_j = -(log p_j + 1)
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/row_extras.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct entropy_arguments {
  stream<T> in[1];
  target<T> out[1];
  long long rows, cols;
  scalar_argument temperature;
  gradient_scale scale;
  float* row_loss;
};

template <class T>
struct entropy_of_logits_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  using arguments = entropy_arguments<T>;

  struct state {
    online_state all;
    spread entropy;
  };
  struct coefficients {
    float shift;
    float slope;    // of e_j (log e_j + offset)
    float offset;   // -B / z
    float entropy;  // H
    float off;      // not 0: the gradient is 0
  };

  const arguments& a;
  long long row;
  float t;  // temperature
  float c;  // log2(e) / T

  __device__ entropy_of_logits_policy(const arguments& a, long long row) : a(a), row(row) {
    t = temperature_of(a.temperature);
    c = kLog2e / t;
  }

  __device__ static float absent(int) { return -INFINITY; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }

  __device__ state identity() const { return {{-INFINITY, 0.0f}, {0.0f}}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&)[kPacks]) const {
    const online_state before = s.all;
    fold(s.all, x[0], c);
    s.entropy.add(before, s.all, x[0], c);
  }
  __device__ state merge(const state& x, const state& y) const {
    const online_state all = kernels::merge(x.all, y.all, c);
    return {all, spread::merge(x.entropy, x.all, y.entropy, y.all, all.max, c)};
  }

  __device__ coefficients finish(const state& s) const {
    const float inverse = s.all.sum == 0.0f ? NAN : 1.0f / s.all.sum;
    const float mean = s.entropy.weighted * (1.0f / kLog2e) * inverse;
    return {shift_of(s.all.max), -a.scale.of(row) / t * inverse, -mean, logf(s.all.sum) - mean,
            a.scale.off() ? 1.0f : 0.0f};
  }
  __device__ void write(const state&, const coefficients& k) const {
    if (a.row_loss != nullptr) a.row_loss[row] = a.scale.weighted(row, k.entropy);
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float z = (x[0][e] - k.shift) * c;
      const float p = k.slope * exp2_approx(z);
      x[0][e] = p == 0.0f ? 0.0f : p * (z * (1.0f / kLog2e) + k.offset);
    }
  }
};

template <class T>
struct entropy_of_probabilities_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  using arguments = entropy_arguments<T>;

  struct state {
    float sum;  // of p log p
  };
  struct coefficients {
    float scale;
    float nothing;  // the gradient where p = 0
    float off;      // not 0: the gradient is 0
  };

  const arguments& a;
  long long row;

  __device__ entropy_of_probabilities_policy(const arguments& a, long long row) : a(a), row(row) {}

  __device__ static float absent(int) { return 0.0f; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }

  __device__ state identity() const { return {0.0f}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&)[kPacks]) const {
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      float sum = 0.0f;
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const float p = x[0][b][e];
        sum += p == 0.0f ? 0.0f : p * logf(p);
      }
      total += sum;
    }
    s.sum += total;
  }
  __device__ state merge(const state& x, const state& y) const { return {x.sum + y.sum}; }

  __device__ coefficients finish(const state&) const {
    return {a.scale.of(row), a.scale.nothing(), a.scale.off() ? 1.0f : 0.0f};
  }
  __device__ void write(const state& s, const coefficients&) const {
    // 0 - 0 for a row that is certain: not -0.
    if (a.row_loss != nullptr) a.row_loss[row] = a.scale.weighted(row, 0.0f - s.sum);
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float p = x[0][e];
      x[0][e] = p == 0.0f ? k.nothing : -k.scale * (logf(p) + 1.0f);
    }
  }
};

}  // namespace culoss::kernels
