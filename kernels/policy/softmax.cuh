// softmax and log_softmax of a row: p_j = exp(y_j - m) / s, log p_j = (y_j - m) - log s, y = x / T.
#pragma once

#include "kernels/online_softmax.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct softmax_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  static constexpr bool kPipelined = true;

  struct arguments {
    stream<T> in[1];
    target<T> out[1];
    long long rows, cols;
    scalar_argument temperature;
    bool log;
  };
  using state = online_state;
  struct coefficients {
    float shift;
    float scale;    // 1 / s
    float log_sum;  // log s
  };

  const arguments& a;
  float inverse_t;
  float c;  // log2(e) / T

  __device__ softmax_policy(const arguments& a, long long) : a(a) {
    const float t = temperature_of(a.temperature);
    inverse_t = 1.0f / t;
    c = kLog2e / t;
  }

  __device__ static float absent(int) { return -INFINITY; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ void write(const state&, const coefficients&) const {}
  __device__ bool zero(const coefficients&) const { return false; }

  __device__ state identity() const { return {-INFINITY, 0.0f}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&)[kPacks]) const {
    fold(s, x[0], c);
  }
  __device__ state merge(const state& x, const state& y) const { return kernels::merge(x, y, c); }

  __device__ coefficients finish(const state& s) const {
    const float sum = s.sum == 0.0f ? NAN : s.sum;  // nothing but -inf: no distribution
    return {shift_of(s.max), 1.0f / sum, logf(sum)};
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int) const {
#pragma unroll
    for (float& v : x[0]) {
      const float z = v - k.shift;
      v = a.log ? z * inverse_t - k.log_sum : exp2_approx(z * c) * k.scale;
    }
  }
};

}  // namespace culoss::kernels
