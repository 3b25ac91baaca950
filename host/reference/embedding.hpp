// Losses of two or three embeddings, from the textbook formulas of culoss/embedding.hpp. Templates on
// the scalar S (double, std::complex<double>); the gradients are written apart from them, so that a
// complex step checks these. All embeddings are finite.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <culoss/embedding.hpp>
#include <span>

#include "host/reference/scalar_types.hpp"

namespace culoss::reference {

// The root of the sum of the squares of element(j), about the power of two of the largest.
template <class S, class Element>
S root_of_squares(std::size_t size, const Element& element) noexcept {
  double largest = 0;
  for (std::size_t j = 0; j < size; ++j) {
    largest = std::max(largest, std::fabs(std::real(element(j))));
  }
  if (largest == 0) return 0;
  const double unit = std::ldexp(1.0, std::clamp(std::ilogb(largest), -1000, 1000));
  S sum = 0;
  for (std::size_t j = 0; j < size; ++j) {
    const S z = element(j) / unit;
    sum += z * z;
  }
  return std::sqrt(sum) * unit;
}

template <class S>
S norm(std::span<const S> x) noexcept {
  return root_of_squares<S>(x.size(), [&](std::size_t j) { return x[j]; });
}

// |x - y|
template <class S>
S difference(std::span<const S> x, std::span<const S> y) noexcept {
  return root_of_squares<S>(x.size(), [&](std::size_t j) { return x[j] - y[j]; });
}

// 1 - cos = |x / |x| - y / |y||^2 / 2, 1 where one of them is zero.
template <class S>
S cosine_distance(std::span<const S> x, std::span<const S> y) noexcept {
  const S of_x = norm(x), of_y = norm(y);
  if (of_x == S(0) || of_y == S(0)) return 1;
  S sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const S z = x[j] / of_x - y[j] / of_y;
    sum += z * z;
  }
  return sum / S(2);
}

// <x, y> / (|x| |y|), 0 where one of them is zero.
template <class S>
S cosine(std::span<const S> x, std::span<const S> y) noexcept {
  const S of_x = norm(x), of_y = norm(y);
  if (of_x == S(0) || of_y == S(0)) return 0;
  S sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) sum += x[j] / of_x * (y[j] / of_y);
  // Of parallel vectors exactly 1.
  return std::real(sum) > 0.5 ? S(1) - cosine_distance(x, y) : sum;
}

template <class S>
S distance(triplet_distance kind, std::span<const S> x, std::span<const S> y) noexcept {
  if (kind == triplet_distance::cosine) return cosine_distance(x, y);
  const S d = difference(x, y);
  return kind == triplet_distance::euclidean ? d : d * d;
}

// dx, dy += weight times the gradient of the distance.
inline void add_distance_gradient(triplet_distance kind, std::span<const double> x,
                                  std::span<const double> y, double weight, std::span<double> dx,
                                  std::span<double> dy) noexcept {
  if (kind == triplet_distance::cosine) {
    const double of_x = norm(x), of_y = norm(y), cos = cosine(x, y);
    const bool zero = of_x == 0 || of_y == 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double u = x[j] / of_x, v = y[j] / of_y;
      dx[j] += zero ? weight * 0 : weight * (cos * u - v) / of_x;
      dy[j] += zero ? weight * 0 : weight * (cos * v - u) / of_y;
    }
    return;
  }
  const double d = difference(x, y);
  for (std::size_t j = 0; j < x.size(); ++j) {
    double g = 2 * (x[j] - y[j]);
    if (kind == triplet_distance::euclidean) g = d == 0 ? 0 : (x[j] - y[j]) / d;
    dx[j] += weight * g;
    dy[j] -= weight * g;
  }
}

// 1 - cos of a pair that is alike, else max(0, cos - margin).
template <class S>
S cosine_embedding_loss(std::span<const S> x, std::span<const S> y, bool alike,
                        double margin) noexcept {
  if (alike) return cosine_distance(x, y);
  const S z = cosine(x, y) - margin;
  return std::real(z) > 0 ? z : S(0);
}
inline void add_cosine_embedding_gradient(std::span<const double> x, std::span<const double> y,
                                          bool alike, double margin, double scale,
                                          std::span<double> dx, std::span<double> dy) noexcept {
  const double slope = alike ? 1 : cosine(x, y) > margin ? -1 : 0;  // by 1 - cos
  add_distance_gradient(triplet_distance::cosine, x, y, scale * slope, dx, dy);
}

// factor d^2 of a pair that is alike, else factor max(0, margin - d)^2.
template <class S>
S contrastive_loss(std::span<const S> x, std::span<const S> y, bool alike, double margin,
                   double factor) noexcept {
  const S d = difference(x, y), z = alike ? d : margin - d;
  return std::real(z) > 0 ? factor * z * z : S(0);
}
inline void add_contrastive_gradient(std::span<const double> x, std::span<const double> y,
                                     bool alike, double margin, double factor, double scale,
                                     std::span<double> dx, std::span<double> dy) noexcept {
  if (alike) {
    return add_distance_gradient(triplet_distance::squared_euclidean, x, y, scale * factor, dx, dy);
  }
  const double z = std::max(margin - difference(x, y), 0.0);
  add_distance_gradient(triplet_distance::euclidean, x, y, scale * (-2 * factor * z), dx, dy);
}

// max(0, z), or log(1 + exp(z)).
template <class S>
S triplet_loss(bool soft, S z) noexcept {
  const bool positive = std::real(z) > 0;
  if (!soft) return positive ? z : S(0);
  // log(1 + t) of t = e^-|z|, which std::log1p does not know for complex numbers.
  const S t = std::exp(positive ? -z : z);
  if constexpr (std::is_same_v<S, double>) {
    return (positive ? z : 0) + std::log1p(t);
  } else {
    return (positive ? z : S(0)) + std::log(S(1) + t);
  }
}
inline double triplet_slope(bool soft, double z) noexcept {
  if (!soft) return z > 0 ? 1 : 0;
  const double t = std::exp(-std::fabs(z));
  return (z >= 0 ? 1 : t) / (1 + t);
}

// Which distance is to be large: that of anchor and negative, or with `swap` of positive and
// negative where that is less.
template <class S>
bool swaps(const triplet_options& o, std::span<const S> a, std::span<const S> p,
           std::span<const S> n) noexcept {
  return o.swap && std::real(distance(o.distance, p, n)) < std::real(distance(o.distance, a, n));
}

template <class S>
S triplet_loss(const triplet_options& o, std::span<const S> a, std::span<const S> p,
               std::span<const S> n) noexcept {
  const S far = distance(o.distance, swaps(o, a, p, n) ? p : a, n);
  return triplet_loss(o.soft_margin,
                      distance(o.distance, a, p) - far + static_cast<double>(o.margin));
}
inline void add_triplet_gradient(const triplet_options& o, std::span<const double> a,
                                 std::span<const double> p, std::span<const double> n, double scale,
                                 std::span<double> da, std::span<double> dp,
                                 std::span<double> dn) noexcept {
  const bool swap = swaps(o, a, p, n);
  const double far = distance(o.distance, swap ? p : a, n);
  const double z = distance(o.distance, a, p) - far + static_cast<double>(o.margin);
  const double weight = scale * triplet_slope(o.soft_margin, z);
  add_distance_gradient(o.distance, a, p, weight, da, dp);
  add_distance_gradient(o.distance, swap ? p : a, n, -weight, swap ? dp : da, dn);
}

}  // namespace culoss::reference
