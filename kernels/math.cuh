// The few functions of one number that the losses share, and what each costs in accuracy.
#pragma once

#include <cmath>

namespace culoss::kernels {

inline constexpr float kLog2e = 1.44269504088896340736f;

// 2^x by ex2.approx.ftz: relative error at most 2^-22; exactly 1 at 0; subnormal results become 0;
// 0 at -inf, NaN at NaN. All PTX of the library stands in this file.
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
