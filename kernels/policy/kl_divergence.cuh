// Kullback-Leibler divergence of two rows of probabilities, or of their logarithms:
//   D = sum_j p_j d_j, d_j = log p_j - log q_j
//   dD/dp_j = d_j + 1     dD/dlog p_j = p_j (d_j + 1)     dD/dq_j = -p_j / q_j   dD/dlog q_j = -p_j
// Moves, for elements of s bytes: 2 C s read; C s written for each gradient that is wanted.
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct kl_divergence_arguments {
  stream<T> in[2];   // p, q
  target<T> out[2];  // their gradients
  long long rows, cols;
  bool logarithms[2];  // whether p and q are
  gradient_scale scale;
  float* row_loss;
};

// log(x / y) of x > 0, y >= 0; NaN where either is negative. The quotient's rounding error, which is
// known exactly, is put right: relatively exact at x = y too.
__device__ inline float log_ratio(float x, float y) {
  const float r = x / y;
  const bool normal = r >= 1.17549435e-38f && r <= 3.40282347e38f && x > 0.0f;
  return normal ? logf(r) + __fdividef(fmaf(-r, y, x), x) : logf(x) - logf(fabsf(y));
}

template <class T>
struct kl_divergence_policy {
  using value = T;
  static constexpr int kStreams = 2;
  static constexpr int kOutputs = 2;
  using arguments = kl_divergence_arguments<T>;

  struct state {
    float sum;
  };
  struct coefficients {
    float scale;
    float nothing;  // the gradients where p = 0
    float off;      // not 0: the gradients are 0
  };

  const arguments& a;
  long long row;

  __device__ kl_divergence_policy(const arguments& a, long long row) : a(a), row(row) {}

  __device__ static float absent(int) { return 0.0f; }
  __device__ bool skip() const { return false; }
  __device__ float fill() const { return 0.0f; }
  __device__ void write_skipped() const {}
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }

  __device__ state identity() const { return {0.0f}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[2][kPacks][kSize], const int (&column)[kPacks]) const {
    const auto cols = static_cast<unsigned>(a.cols);
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      float sum = 0.0f;
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const term t = term_of(x[0][b][e], x[1][b][e]);
        const float of_term = isinf(t.difference) ? t.difference : t.p * t.difference;
        const bool there = static_cast<unsigned>(column[b] + e) < cols;
        sum += t.zero || !there ? 0.0f : of_term;
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
    if (a.row_loss != nullptr) a.row_loss[row] = a.scale.weighted(row, s.sum);
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[2][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float q = x[1][e];
      const term t = term_of(x[0][e], q);
      const float slope = t.difference + 1.0f;
      const float by_p = a.logarithms[0] && !isinf(slope) ? t.p * slope : slope;
      // p is not 0, even if its exponential is.
      const float quotient = q == 0.0f ? -INFINITY : -t.p / q;
      const float by_q = a.logarithms[1] ? -t.p : quotient;
      x[0][e] = t.zero ? k.nothing : weigh(k.scale, by_p);
      x[1][e] = t.zero ? k.nothing : weigh(k.scale, isnan(t.difference) ? NAN : by_q);
    }
  }

 private:
  struct term {
    float p;
    float difference;  // NaN where p or q is no probability
    bool zero;         // p is 0 and q a probability
  };
  __device__ term term_of(float p, float q) const {
    const bool log_p = a.logarithms[0], log_q = a.logarithms[1];
    const bool nothing = log_p ? p == -INFINITY : p == 0.0f;
    const bool valid = log_q ? !isnan(q) : q >= 0.0f;
    float difference;
    if (!log_p && !log_q) {
      difference = log_ratio(p, q);
    } else {
      difference = (log_p ? p : logf(p)) - (log_q ? q : logf(fabsf(q)));
    }
    return {log_p ? expf(p) : p, valid ? difference : NAN, nothing && valid};
  }
};

}  // namespace culoss::kernels
