// What multiplies every gradient of a call: the upstream gradient over the divisor.
#pragma once

#include "kernels/reduce.cuh"

namespace culoss::kernels {

// upstream / divisor. An exactly zero divisor switches the gradient off (or makes it NaN).
struct gradient_scale {
  scalar_argument upstream;
  const float* upstream_rows;  // instead of upstream
  bool divides;
  const totals* counted;  // own divisor; null: the normalizer
  scalar_argument normalizer;
  bool nan_if_empty;

  __device__ float divisor() const {
    if (!divides) return 1.0f;
    return counted != nullptr ? static_cast<float>(counted->sum) : normalizer.get();
  }
  __device__ float of(long long row) const {
    const float up = upstream_rows != nullptr ? upstream_rows[row] : upstream.get();
    const float by = divisor();
    return by == 0.0f ? (nan_if_empty ? NAN : 0.0f) : up / by;
  }
  __device__ bool off() const { return !nan_if_empty && divisor() == 0.0f; }
};

}  // namespace culoss::kernels
