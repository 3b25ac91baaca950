// What divides the sum of a call's losses, and what multiplies every gradient of it.
#pragma once

#include "kernels/math.cuh"
#include "kernels/reduce.cuh"

namespace culoss::kernels {

// Known to the host, counted by an earlier launch or by this block, or standing in device memory. One that is
// exactly 0 gives losses and gradients of 0, or NaN.
struct divisor {
  bool divides;
  double known;
  const totals* counted;  // instead of known
  const float* device;    // instead of both
  bool nan_if_zero;
  bool of_block = false;  // `counted` has one for each block

  __device__ double get() const {
    if (!divides) return 1.0;
    if (device != nullptr) return static_cast<double>(*device);
    return counted != nullptr ? counted[of_block ? block_index() : 0].sum : known;
  }
  __device__ float loss(double sum) const {
    const double by = get();
    const double of_nothing = nan_if_zero ? static_cast<double>(NAN) : 0.0;
    return static_cast<float>(by == 0.0 ? of_nothing : sum / by);
  }
  __device__ float gradient(float upstream) const {
    const auto by = static_cast<float>(get());
    return by == 0.0f ? (nan_if_zero ? NAN : 0.0f) : upstream / by;
  }
  __device__ bool off() const { return !nan_if_zero && static_cast<float>(get()) == 0.0f; }
  // All gradients of the rows that count are NaN.
  __device__ bool undefined() const { return nan_if_zero && static_cast<float>(get()) == 0.0f; }
};

// upstream * row weight / divisor, times `unit`.
struct gradient_scale {
  scalar_argument upstream;
  const float* upstream_rows;  // instead of upstream
  const float* row_weights;    // null: all 1
  divisor by;
  const float* unit = nullptr;  // for gradients that are finished later; null: 1

  // What all rows share. Rows have an upstream of their own only where nothing divides.
  __device__ float common() const { return by.gradient(upstream.get()); }
  __device__ float of(long long row, float common) const {
    float scale = upstream_rows != nullptr ? upstream_rows[row] : common;
    if (row_weights != nullptr) scale *= row_weights[row];
    return unit != nullptr ? scale * *unit : scale;
  }
  __device__ float of(long long row) const { return of(row, common()); }
  __device__ bool off() const { return by.off(); }
  // The gradient where the formula's is 0 whatever the scale: NaN if all are.
  __device__ float nothing() const {
    return by.undefined() || (unit != nullptr && isnan(*unit)) ? NAN : 0.0f;
  }
  // A row's loss with its weight.
  __device__ float weighted(long long row, float loss) const {
    return row_weights != nullptr ? weigh(row_weights[row], loss) : loss;
  }
};

// The last launch of a call whose losses are reduced.
struct write_loss {
  float* loss;
  divisor by;
  __device__ void operator()(const totals& t) const { *loss = by.loss(t.sum); }
};

// Losses that were written one by one before.
struct sum_losses {
  const float* losses;
  __device__ totals operator()(long long i) const { return {static_cast<double>(losses[i]), 0}; }
};

}  // namespace culoss::kernels
