// Backward of softmax and log_softmax from their outputs; g is the upstream gradient:
//   softmax, from p:          p_j (g_j - sum_k g_k p_k) / T
//   log_softmax, from log p:  (g_j - exp(log p_j) sum_k g_k) / T, 0 where log p_j = -inf
#pragma once

#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct softmax_backward_policy {
  using value = T;
  static constexpr int kStreams = 2;  // the output of the forward call, and g
  static constexpr int kOutputs = 1;

  struct arguments {
    stream<T> in[2];
    target<T> out[1];
    long long rows, cols;
    scalar_argument temperature;
    bool log;
  };
  struct state {
    float sum;
  };
  struct coefficients {
    float sum;
  };

  const arguments& a;
  float inverse_t;

  __device__ softmax_backward_policy(const arguments& a, long long)
      : a(a), inverse_t(1.0f / temperature_of(a.temperature)) {}

  __device__ static float absent(int) { return 0.0f; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ void write(const state&, const coefficients&) const {}
  __device__ bool zero(const coefficients&) const { return false; }

  __device__ state identity() const { return {0.0f}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[2][kPacks][kSize], const int (&)[kPacks]) const {
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      float sum = 0.0f;
#pragma unroll
      for (int e = 0; e < kSize; ++e) sum += a.log ? x[1][b][e] : x[0][b][e] * x[1][b][e];
      total += sum;
    }
    s.sum += total;
  }
  __device__ state merge(const state& x, const state& y) const { return {x.sum + y.sum}; }

  __device__ coefficients finish(const state& s) const { return {s.sum}; }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[2][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float f = x[0][e], g = x[1][e];
      if (a.log) {
        const bool masked = f == -INFINITY;
        x[0][e] = (masked ? 0.0f : g - exp2_approx(f * kLog2e) * k.sum) * inverse_t;
      } else {
        x[0][e] = f * (g - k.sum) * inverse_t;
      }
    }
  }
};

}  // namespace culoss::kernels
