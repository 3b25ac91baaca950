// Distances of the embeddings of a batch, from the textbook formulas of culoss/mined_triplet.hpp.
// Templates on the scalar S (double, std::complex<double>); the derivatives are written apart from
// them, so that a complex step checks these.
#pragma once

#include <culoss/mined_triplet.hpp>

#include "host/reference/embedding.hpp"
#include "host/reference/embeddings.hpp"

namespace culoss::reference {

// d(i, j), of rows that were loaded with normalize where it is the cosine.
template <class S>
S distance(triplet_distance kind, const embeddings<S>& x, std::size_t i, std::size_t j) noexcept {
  if (kind == triplet_distance::cosine) return S(1) - dot<S>(x[i], x[j]);
  S sum = 0;
  for (std::size_t d = 0; d < x.dimension(); ++d) {
    const S difference = x[i][d] - x[j][d];
    sum += difference * difference;
  }
  return kind == triplet_distance::euclidean ? std::sqrt(sum) : sum;
}

// dx += weight * the gradient of `distance`, d(i, j), by x_i.
inline void add_distance_gradient(triplet_distance kind, const embeddings<double>& x, std::size_t i,
                                  std::size_t j, double distance, double weight,
                                  std::span<double> dx) noexcept {
  for (std::size_t d = 0; d < dx.size(); ++d) {
    switch (kind) {
      case triplet_distance::euclidean:
        dx[d] += distance == 0 ? (std::isnan(weight) ? weight : 0)
                               : weight * (x[i][d] - x[j][d]) / distance;
        break;
      case triplet_distance::squared_euclidean:
        dx[d] += weight * 2 * (x[i][d] - x[j][d]);
        break;
      case triplet_distance::cosine:
        dx[d] += weight * x.inverse_norm(i) * ((1 - distance) * x[i][d] - x[j][d]);
        break;
    }
  }
}

}  // namespace culoss::reference
