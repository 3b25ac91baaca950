// The focal loss of one logit and its derivatives, from the textbook formulas of culoss/focal.hpp.
// Softmax focal is that of the margin d with target 1. The value is a template on the scalar S
// (double, std::complex<double>); the derivatives are written apart from it, so that a complex step
// checks them.
#pragma once

#include "host/reference/cross_entropy.hpp"

namespace culoss::reference {

struct focal_options {
  double gamma = 0;
  double alpha = -1;  // negative: off

  // a_t, and its derivative by t
  template <class S>
  S factor(S t) const noexcept {
    return alpha < 0 ? S(1) : alpha * t + (1 - alpha) * (S(1) - t);
  }
  double factor_slope() const noexcept { return alpha < 0 ? 0 : 2 * alpha - 1; }
};

// t sp(-x) + (1 - t) sp(x)
template <class S>
S binary_cross_entropy(S x, S t) noexcept {
  return weighted(t, softplus(-x)) + weighted(S(1) - t, softplus(x));
}

// u = 1 - p_t = t sg(-x) + (1 - t) sg(x)
template <class S>
S complement(S x, S t) noexcept {
  return t * sigmoid(-x) + (S(1) - t) * sigmoid(x);
}

// u^gamma, by the logarithm of u: log sg(x) = -sp(-x) where u itself is 0 or rounds to 1.
template <class S>
S modulation(S x, S t, double gamma) noexcept {
  S log_u = 0;
  if (t == S(0)) {
    log_u = -softplus(-x);
  } else if (t == S(1)) {
    log_u = -softplus(x);
  } else {
    const S u = complement(x, t);
    log_u = std::real(u) < 0.5 ? std::log(u) : log1p(-complement(-x, t));
  }
  return std::exp(weighted(gamma, log_u));
}

// a_t u^gamma BCE
template <class S>
S focal_loss(S x, S t, const focal_options& options) noexcept {
  return weighted(options.factor(t) * modulation(x, t, options.gamma), binary_cross_entropy(x, t));
}

// dL/dx = a_t u^gamma [ (1 - t) sg(x) - t sg(-x)
//                       + gamma BCE (1 - 2t) / (t / sg(x) + (1 - t) / sg(-x)) ]
inline double focal_derivative(double x, double t, const focal_options& options) noexcept {
  const double p = sigmoid(x), q = sigmoid(-x);
  double harmonic = 1 / (t / p + (1 - t) / q);
  if (t == 0) harmonic = q;
  if (t == 1) harmonic = p;
  // An infinite BCE meets a harmonic mean of 0, which goes there faster.
  const double of_modulation =
      options.gamma * weighted(harmonic, binary_cross_entropy(x, t)) * (1 - 2 * t);
  return options.factor(t) * modulation(x, t, options.gamma) *
         ((1 - t) * p - t * q + of_modulation);
}

// dL/dt = u^gamma [ (2 alpha - 1) BCE - a_t x ]
//         + a_t gamma u^(gamma - 1) BCE (sg(-x) - sg(x))
inline double focal_derivative_by_target(double x, double t,
                                         const focal_options& options) noexcept {
  const double a = options.factor(t), a_slope = options.factor_slope(), gamma = options.gamma;
  if (std::isinf(x)) {
    // BCE / |x| and u are both 1 - t for x = inf and t for x = -inf, so the sum is |x| times this.
    const double sign = x > 0 ? 1 : -1, u = x > 0 ? 1 - t : t;
    return weighted(std::pow(u, gamma) * (a_slope * u - sign * a * (1 + gamma)), kInfinity);
  }
  const double bce = binary_cross_entropy(x, t), u = complement(x, t);
  const double bce_by_u = u == 0 ? 1 : bce / u;  // both are exp(-|x|) where that is lost
  return modulation(x, t, gamma) *
         (a_slope * bce - a * x + a * gamma * bce_by_u * (sigmoid(-x) - sigmoid(x)));
}

// Softmax focal of a row, without a_t, from the statistics of its columns other than the target.
template <class S>
S softmax_focal_row(const row_statistics<S>& row, const row_options& options,
                    double gamma) noexcept {
  return focal_loss(log_odds(row, options), S(1), {.gamma = gamma});
}

// dx_t = scale * L'(d) / T, dx_j = -scale * L'(d) / T * exp(x_j / T) / sum_{k != t} exp(x_k / T).
// Of the target's column only the statistics are used. dx may be x.
inline void softmax_focal_gradient_row(std::span<const double> x, std::size_t target,
                                       const row_statistics<double>& row,
                                       const row_options& options, double gamma, double scale,
                                       std::span<double> dx) noexcept {
  const double d = log_odds(row, options);
  const double g = scale * focal_derivative(d, 1, {.gamma = gamma}) / options.temperature;
  for (std::size_t j = 0; j < x.size(); ++j) {
    double share = 1;
    if (j != target) {
      const bool masked = is_minus_infinity(x[j]);
      share = masked ? 0.0 : -std::exp((x[j] - row.max) / options.temperature - row.log_sum);
    }
    dx[j] = std::isnan(d) ? kNan : g * share;
  }
}

}  // namespace culoss::reference
