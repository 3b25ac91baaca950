// Binary cross-entropy of one element and its derivatives, from the textbook formulas of
// culoss/binary.hpp. The values are templates on the scalar S (double, std::complex<double>); the
// derivatives are written apart from them, so that a complex step checks them.
#pragma once

#include <vector>

#include "host/reference/softmax.hpp"

namespace culoss::reference {

struct binary_logit_formula {
  const float* pos_weight = nullptr;
  double smoothing = 0;
  double negative = 0;  // labels make no targets here

  double positive_weight(std::size_t j) const noexcept {
    return pos_weight == nullptr ? 1.0 : static_cast<double>(pos_weight[j]);
  }
  template <class S>
  S smoothed(S t) const noexcept {
    return t * (1 - smoothing) + smoothing / 2;
  }
  template <class S>
  S loss(S x, S t, std::size_t j) const noexcept {
    return weighted(positive_weight(j) * smoothed(t), softplus(-x)) +
           weighted(smoothed(S(1) - t), softplus(x));
  }
  double by_input(double x, double t, std::size_t j) const noexcept {
    return smoothed(1 - t) * sigmoid(x) - positive_weight(j) * smoothed(t) * sigmoid(-x);
  }
  double by_target(double x, double, std::size_t j) const noexcept {
    const double slope = weighted(positive_weight(j), softplus(-x)) - softplus(x);
    return weighted(1 - smoothing, slope);
  }
};

struct binary_probability_formula {
  double negative = 0;

  // At least -100; NaN stays.
  template <class S>
  static S clamped(S log) noexcept {
    return std::real(log) < -100 ? S(-100) : log;
  }
  // NaN of what is no probability, whose logarithm a complex one would not show.
  template <class S>
  static bool outside(S p) noexcept {
    return !(std::real(p) >= 0 && std::real(p) <= 1);
  }
  template <class S>
  S loss(S p, S t, std::size_t) const noexcept {
    if (outside(p)) return S(std::numeric_limits<double>::quiet_NaN());
    return -t * clamped(std::log(p)) - (S(1) - t) * clamped(log1p(-p));
  }
  double by_input(double p, double t, std::size_t) const noexcept {
    if (outside(p)) return std::numeric_limits<double>::quiet_NaN();
    return (p - t) / std::fmax(p * (1 - p), static_cast<double>(1e-12f));
  }
  double by_target(double p, double, std::size_t) const noexcept {
    if (outside(p)) return std::numeric_limits<double>::quiet_NaN();
    return clamped(log1p(-p)) - clamped(std::log(p));
  }
};

}  // namespace culoss::reference
