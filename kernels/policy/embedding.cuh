// Losses of two or three embeddings a row, from their distances:
//   cosine_embedding  1 - cos where y = 1, max(0, cos - m) where y = -1
//   contrastive       c d^2 where y = 1, c max(0, m - d)^2 where y = 0
//   triplet           l(d(a, p) - d(a, n) + m), l(z) = max(0, z) or log(1 + exp(z)); with `swap`
//                     d(p, n) for d(a, n) where it is less
// At a kink, and by a distance of 0, the derivative is 0.
#pragma once

#include "kernels/embedding_pairs.cuh"

namespace culoss::kernels {

struct cosine_embedding_loss {
  static constexpr int kVectors = 2;
  static constexpr bool kCosine = true;
  static constexpr bool kLabels = true;

  float margin;

  __device__ bool needs_last() const { return false; }
  __device__ pair_loss<2> operator()(long long y, const embedding_pair (&pairs)[1]) const {
    if (y == 1) return {pairs[0].distance, {1.0}, false};
    const double z = pairs[0].cosine - static_cast<double>(margin);
    return {z > 0.0 ? z : 0.0, {z > 0.0 ? -1.0 : 0.0}, false};
  }
};

struct contrastive_loss {
  static constexpr int kVectors = 2;
  static constexpr bool kCosine = false;
  static constexpr bool kLabels = true;

  float margin, factor;

  __device__ bool needs_last() const { return false; }
  __device__ pair_loss<2> operator()(long long y, const embedding_pair (&pairs)[1]) const {
    const double c = static_cast<double>(factor), square = pairs[0].square;
    if (y == 1) return {c * square, {2.0 * c}, false};
    const double d = sqrt(square), z = static_cast<double>(margin) - d;
    if (!(z > 0.0)) return {0.0, {0.0}, false};
    return {c * z * z, {d == 0.0 ? 0.0 : -2.0 * c * z / d}, false};
  }
};

template <bool kOfCosine>
struct triplet_loss_of {
  static constexpr int kVectors = 3;
  static constexpr bool kCosine = kOfCosine;
  static constexpr bool kLabels = false;

  float margin;
  bool squared, swap, soft;

  __device__ bool needs_last() const { return swap; }
  __device__ pair_loss<3> operator()(long long, const embedding_pair (&pairs)[3]) const {
    const double near = distance(pairs[0]), far = distance(pairs[1]);
    const double other = distance(pairs[2]);
    const bool last = swap && other < far;
    const double z = near - (last ? other : far) + static_cast<double>(margin);
    double loss = z > 0.0 ? z : 0.0, slope = z > 0.0 ? 1.0 : 0.0;
    if (soft) {
      const double e = exp(-fabs(z));
      slope = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
      loss += log1p(e);
    }
    return {loss, {slope * by(near), -slope * by(last ? other : far)}, last};
  }

 private:
  __device__ double distance(const embedding_pair& p) const {
    if constexpr (kCosine) return p.distance;
    return squared ? p.square : sqrt(p.square);
  }
  __device__ double by(double distance) const {
    if constexpr (kCosine) return 1.0;
    if (squared) return 2.0;
    return distance == 0.0 ? 0.0 : 1.0 / distance;
  }
};

}  // namespace culoss::kernels
