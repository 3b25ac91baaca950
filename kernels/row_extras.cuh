// What a row's state may carry beside the softmax: the best column, the sum that the entropy needs.
#pragma once

#include "kernels/online_softmax.cuh"

namespace culoss::kernels {

// The lowest index of the largest logit; a NaN is larger than all.
struct best_column {
  static constexpr int kNone = 0x7fffffff;

  float value;
  int index;

  __device__ static best_column none() { return {-INFINITY, kNone}; }

  template <int kPacks, int kSize>
  __device__ void add(const float (&x)[kPacks][kSize], const int (&column)[kPacks]) {
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) {  // columns rise: the first of equals stays
        const float v = x[b][e];
        const bool larger = (v > value) | (isnan(v) & !isnan(value));
        value = larger ? v : value;
        index = larger ? column[b] + e : index;
      }
    }
  }
  __device__ static best_column merge(const best_column& x, const best_column& y) {
    const bool nan = isnan(x.value), other_nan = isnan(y.value);
    const bool lower = y.index < x.index;
    const bool by_value = (y.value > x.value) | ((y.value == x.value) & lower);
    const bool second = (nan | other_nan) ? other_nan & (!nan | lower) : by_value;
    return second ? y : x;
  }
  // Of a row of -inf alone it is the first column.
  __device__ int result() const { return index == kNone ? 0 : index; }
};

// B = sum_j e_j log2 e_j with e_j = 2^((x_j - m) c), beside the sum of the e_j: the entropy of the
// columns is log z - B ln 2 / z, two terms that are not negative.
struct spread {
  float weighted;

  // After the fold that raised the maximum from `before`, whose sum was `sum`.
  template <int kPacks, int kSize>
  __device__ void add(const online_state& before, const online_state& after,
                      const float (&x)[kPacks][kSize], float c) {
    const float shift = shift_of(after.max);
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) total += term((x[b][e] - shift) * c);
    }
    weighted = moved(before, after.max, c) + total;
  }
  __device__ static spread merge(const spread& x, const online_state& of_x, const spread& y,
                                 const online_state& of_y, float max, float c) {
    return {x.moved(of_x, max, c) + y.moved(of_y, max, c)};
  }

 private:
  __device__ static float term(float z) {
    const float e = exp2_approx(z);
    return e == 0.0f ? 0.0f : e * z;
  }
  // About a larger maximum: each e_j shrinks by f, each exponent falls by the same number.
  __device__ float moved(const online_state& of, float max, float c) const {
    const float fall = (of.max - shift_of(max)) * c;
    const float f = exp2_approx(fall);
    return f == 0.0f || of.sum == 0.0f ? 0.0f : f * (weighted + fall * of.sum);
  }
};

}  // namespace culoss::kernels
