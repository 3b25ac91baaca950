// The few functions of one number that the losses share, and what each costs in accuracy.
#pragma once

#include <cmath>

namespace culoss::kernels {

inline constexpr float kLog2e = 1.44269504088896340736f;

// 2^x by ex2.approx.ftz: relative error at most 2^-22; exactly 1 at 0; subnormal results become 0;
// 0 at -inf, NaN at NaN. All PTX of the library stands in this file and in async_copy.cuh.
__device__ inline float exp2_approx(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return simt::ex2_approx_ftz(x);
#endif
}

// log(1 + exp(x)) without overflow; 0 at -inf, +inf at +inf.
__device__ inline float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

// 1 / (1 + exp(-x)), relatively exact at both ends (never as 1 - sigmoid of the other sign).
__device__ inline float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// The cap of a logit, c tanh(x / c), and its slope 1 - tanh^2(x / c) = 4 e / (1 + e)^2 with
// e = exp(-2 |x| / c), which is relatively exact also where the logit saturates. Relative error of
// the cap: at most 2^-20. Below |x / c| = 1/2, where 1 - e cancels, by a polynomial for
// tanh(a) / a (minimax, relative error 4e-8).
struct softcap {
  float cap;      // c; 0: none
  float inverse;  // 1 / c

  __device__ bool given() const { return cap > 0.0f; }
  // Infinite logits stay so: -inf is a mask, and +inf must not pass for a number.
  __device__ float of(float x) const {
    float slope;
    return of(x, slope);
  }
  __device__ float of(float x, float& slope) const {
    const float a = x * inverse, size = fabsf(a);
    const float e = exp2_approx(-2.0f * kLog2e * size);
    const float r = __fdividef(1.0f, 1.0f + e);
    slope = 4.0f * e * r * r;
    const float s = a * a;
    const float series =
        fmaf(s, fmaf(s, fmaf(s, 0.0164374262f, -0.0526717193f), 0.133207232f), -0.333329469f);
    const float tanh = size < 0.5f ? fmaf(size * s, series, size) : (1.0f - e) * r;
    slope = isinf(x) ? 1.0f : slope;
    return isinf(x) ? x : copysignf(cap * tanh, x);
  }
};

// A factor of exactly 0 switches a term off, even an infinite one. NaN stays.
__device__ inline float weigh(float weight, float term) {
  return weight == 0.0f && isinf(term) ? 0.0f : weight * term;
}

// A scalar that was given by value, or that stands in device memory now.
struct scalar_argument {
  float value;
  const float* device;

  __device__ float get() const { return device != nullptr ? *device : value; }
};

// A temperature must be positive and normal; what is not makes every result NaN.
__device__ inline float temperature_of(const scalar_argument& s) {
  const float t = s.get();
  return t >= 1.17549435e-38f && t <= 3.40282347e38f ? t : NAN;
}

// The block's dynamic shared memory.
__device__ inline uint4* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ uint4 culoss_dynamic_shared[];
  return culoss_dynamic_shared;
#else
  return static_cast<uint4*>(simt::dynamic_shared());
#endif
}

// Grids count rows in x first, in y beyond that: more rows than x can count.
__device__ inline long long block_index() {
  return blockIdx.x + static_cast<long long>(blockIdx.y) * gridDim.x;
}

}  // namespace culoss::kernels
