// How far a loss of two or three embeddings and its gradients may be from the exact ones, before
// weights, upstream and divisor.
//
// Sums are of exact terms, or terms rounded once, in double, by the library as by the reference: w =
// 2^-53, at most k = D + 8 roundings on the way.
//   squares, distances   2 k w relatively
//   cosines              4 k w: the terms of <x, y> add up to at most |x| |y|
// z, the argument of a hinge, errs by the sum d of these; where it may be either side of the kink,
// or where either of two distances may be the smaller, any gradient between the two is right. In
// float, u: the loss is rounded and weighted; an element of a gradient is a difference, or for the
// cosine what two fused multiply-adds leave of y without its part along x, whose coefficient stands
// in two floats, times a factor: 8 u.
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/cases/embedding_choice.hpp"
#include "tests/harness/arithmetic.hpp"

namespace culoss_test {

class embedding_row {
 public:
  embedding_row(const embedding_choice& c, const double* const (&x)[3], std::int64_t cols,
                bool alike, const arithmetic& a)
      : cols_(cols), a_(a), k_(static_cast<double>(cols) + 8) {
    for (int v = 0; v < c.vectors(); ++v) {
      x_[v] = x[v];
      for (std::int64_t j = 0; j < cols; ++j) finite_ = finite_ && std::isfinite(x[v][j]);
    }
    if (!finite_) return;
    for (int v = 0; v < c.vectors(); ++v) {
      norms_[v] = norm([&](std::int64_t j) { return x[v][j]; });
    }
    const auto margin = static_cast<double>(c.margin);
    if (c.function == embedding_function::triplet) {
      triplet(c, margin);
    } else if (c.function == embedding_function::contrastive) {
      contrastive(static_cast<double>(c.factor), margin, alike);
    } else {
      const measure cos = measured(culoss::triplet_distance::cosine, 0, 1);
      if (alike) {
        loss_ = cos.error + 2 * a_.u * cos.value;
        add(0, 1, culoss::triplet_distance::cosine, cos.value, 1, 0);
      } else {
        const double z = 1 - cos.value - margin;
        hinge(z, cos.error + 4 * kW);
        add(0, 1, culoss::triplet_distance::cosine, cos.value, slope_, slope_error_);
      }
    }
  }

  bool finite() const { return finite_; }
  double loss() const { return loss_; }
  // Of element j of embedding v; 0 where the gradient is 0.
  double gradient(int v, std::int64_t j) const {
    double bound = 0;
    for (int p = 0; p < pulls_; ++p) {
      const pull& q = pull_[p];
      if (q.first != v && q.second != v) continue;
      if (q.slope == 0 && q.slope_error == 0) continue;
      const int other = q.first == v ? q.second : q.first;
      const auto [size, error] = derivative(q, v, other, j);
      bound += std::fabs(q.slope) * error + q.slope_error * (size + error);
    }
    return bound;
  }

 private:
  static constexpr double kW = 0x1p-53;
  struct measure {
    double value, error;
  };
  struct pull {
    int first, second;
    culoss::triplet_distance kind;
    double distance;
    double slope, slope_error;  // of the loss by this distance
  };

  template <class Element>
  double norm(const Element& element) const {
    double largest = 0, sum = 0;
    for (std::int64_t j = 0; j < cols_; ++j) largest = std::max(largest, std::fabs(element(j)));
    if (largest == 0) return 0;
    const int e = std::ilogb(largest);
    for (std::int64_t j = 0; j < cols_; ++j) sum += std::pow(std::ldexp(element(j), -e), 2);
    return std::ldexp(std::sqrt(sum), e);
  }
  double unit(int v, std::int64_t j) const { return norms_[v] == 0 ? 0 : x_[v][j] / norms_[v]; }
  bool zero(int v, int w) const { return norms_[v] == 0 || norms_[w] == 0; }

  measure measured(culoss::triplet_distance kind, int v, int w) const {
    if (kind == culoss::triplet_distance::cosine) {
      if (zero(v, w)) return {1, 0};
      double sum = 0;
      for (std::int64_t j = 0; j < cols_; ++j) sum += std::pow(unit(v, j) - unit(w, j), 2);
      return {sum / 2, 4 * k_ * kW};
    }
    const double d = norm([&](std::int64_t j) { return x_[v][j] - x_[w][j]; });
    const double value = kind == culoss::triplet_distance::euclidean ? d : d * d;
    return {value, 2 * k_ * kW * value};
  }

  // The derivative of a distance by element j of v, and its error.
  measure derivative(const pull& q, int v, int w, std::int64_t j) const {
    if (q.kind == culoss::triplet_distance::cosine) {
      if (zero(v, w)) return {0, 0};
      const double size = std::fabs(unit(w, j) - (1 - q.distance) * unit(v, j));
      const double parts = std::fabs(unit(v, j)) + std::fabs(unit(w, j));
      const double error =
          8 * a_.u * size + (8 * k_ * kW + 4 * a_.u * a_.u) * parts + 4 * a_.smallest;
      return {size / norms_[v], error / norms_[v]};
    }
    double factor = 2;
    if (q.kind == culoss::triplet_distance::euclidean) {
      factor = q.distance == 0 ? 0 : 1 / q.distance;
    }
    const double size = std::fabs(x_[v][j] - x_[w][j]) * factor;
    return {size, (8 * a_.u + 4 * k_ * kW) * size};
  }

  void add(int first, int second, culoss::triplet_distance kind, double distance, double slope,
           double error) {
    pull_[pulls_++] = {first, second, kind, distance, slope, error};
  }
  // max(0, z) of a z that errs by d.
  void hinge(double z, double d) {
    loss_ = d + 2 * a_.u * std::max(z, 0.0);
    if (z <= -d) loss_ = 0;
    slope_ = z > 0 ? 1 : 0;
    slope_error_ = std::fabs(z) < d ? 1 : 0;
  }

  void contrastive(double factor, double margin, bool alike) {
    const measure d = measured(culoss::triplet_distance::euclidean, 0, 1);
    if (alike) {
      loss_ = factor * d.value * d.value * (2 * a_.u + 6 * k_ * kW);
      add(0, 1, culoss::triplet_distance::squared_euclidean, d.value, factor, 0);
      return;
    }
    const double z = std::max(margin - d.value, 0.0), error = d.error + 4 * kW * (margin + d.value);
    if (margin - d.value <= -error) return;
    loss_ = factor * (2 * a_.u * z * z + 2 * z * error + error * error) + 4 * kW * factor * z * z;
    add(0, 1, culoss::triplet_distance::euclidean, d.value, 2 * factor * z, 2 * factor * error);
  }

  void triplet(const embedding_choice& c, double margin) {
    const measure near = measured(c.distance, 0, 1), far = measured(c.distance, 0, 2);
    measure taken = far, left = far;
    bool last = false, either = false;
    if (c.swap) {
      const measure other = measured(c.distance, 1, 2);
      last = other.value < far.value;
      (last ? taken : left) = other;
      either = std::fabs(other.value - far.value) <= other.error + far.error;
    }
    const double z = near.value - taken.value + margin;
    const double d = near.error + taken.error + 4 * kW * (near.value + taken.value + margin);
    hinge(z, d);
    if (c.soft_margin) {
      const double e = std::exp(-std::fabs(z));
      loss_ = d + (2 * a_.u + 8 * kW) * (std::max(z, 0.0) + std::log1p(e));
      slope_ = (z >= 0 ? 1 : e) / (1 + e);
      slope_error_ = d * slope_ + 8 * kW * slope_;
    }
    add(0, 1, c.distance, near.value, slope_, slope_error_);
    add(last ? 1 : 0, 2, c.distance, taken.value, slope_, slope_error_ + (either ? slope_ : 0));
    if (either) add(last ? 0 : 1, 2, c.distance, left.value, 0, slope_ + slope_error_);
  }

  std::int64_t cols_;
  const arithmetic& a_;
  double k_;
  const double* x_[3] = {};
  double norms_[3] = {};
  bool finite_ = true;
  double loss_ = 0;
  double slope_ = 0, slope_error_ = 0;
  pull pull_[3];
  int pulls_ = 0;
};

}  // namespace culoss_test
