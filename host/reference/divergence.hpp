// Entropy of one row, divergence of two, and their gradients, from the textbook formulas of culoss/divergence.hpp. The
// values are templates on the scalar S (double, std::complex<double>); the gradients are written
// apart from them, so that a complex step checks them.
#pragma once

#include <functional>
#include <span>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

// -sum_j p_j log p_j
template <class S>
S entropy_of_probabilities(std::span<const S> p) noexcept {
  S h = 0;
  for (const S& p_j : p) {
    if (p_j != S(0)) h -= p_j * std::log(p_j);
  }
  return h;
}

// dp_j = scale * -(log p_j + 1), and 0 where p_j is. dp may be p.
inline void entropy_gradient_of_probabilities(std::span<const double> p, double scale,
                                              std::span<double> dp) noexcept {
  for (std::size_t j = 0; j < p.size(); ++j) {
    dp[j] = p[j] == 0 ? 0.0 : -scale * (std::log(p[j]) + 1);
  }
}

// Of softmax(y / T), y = cap(x): with z = sum_j e_j, e_j = exp((y_j - max y) / T), and
// B = sum_j e_j (y_j - max y) / T.
template <class S>
struct logit_entropy {
  real_part_of<S> max;
  S log_sum;        // log z
  S mean_exponent;  // B / z <= 0

  S value() const noexcept { return log_sum - mean_exponent; }
};

template <class S, class Cap = std::identity>
logit_entropy<S> entropy_of_logits(std::span<const S> x, double temperature,
                                   const Cap& cap = {}) noexcept {
  const std::size_t largest = index_of_largest(x);
  const S below = sum_below_largest(x, largest, temperature, cap);
  const real_part_of<S> max = std::real(cap(x[largest]));
  S b = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (is_minus_infinity(x[j])) continue;  // e_j is 0
    const S exponent = (cap(x[j]) - max) / temperature;
    b += std::exp(exponent) * exponent;
  }
  return {max, log1p(below), b / (S(1) + below)};
}

// dx_j = scale * -(p_j / T) (log p_j + H), log p_j + H = (x_j - max x) / T - B / z; 0 for a masked
// column. dx may be x.
inline void entropy_gradient_of_logits(std::span<const double> x, const logit_entropy<double>& row,
                                       double temperature, double scale,
                                       std::span<double> dx) noexcept {
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double exponent = (x[j] - row.max) / temperature;
    const double p = std::exp(exponent - row.log_sum);
    const double g = -weighted(p, exponent - row.mean_exponent) / temperature;
    dx[j] = scale * g;
  }
}

// A probability p_j and its logarithm, one of which is given.
template <class S>
struct probability {
  S value, log;
  bool by_log;

  probability(S given, bool is_log) noexcept
      : value(is_log ? std::exp(given) : given),
        log(is_log ? given : std::log(given)),
        by_log(is_log) {}
  // Whether it is 0: not what a double cannot tell from 0.
  bool zero() const noexcept { return by_log ? is_minus_infinity(log) : value == S(0); }
  bool valid() const noexcept {
    return by_log ? !std::isnan(std::real(log)) : std::real(value) >= 0;
  }
};

// p_j (log p_j - log q_j), with what it is made of.
template <class S>
struct kl_term {
  probability<S> p, q;

  S difference() const noexcept { return p.log - q.log; }
  S value() const noexcept {
    if (!p.valid() || !q.valid()) return std::numeric_limits<real_part_of<S>>::quiet_NaN();
    if (p.zero()) return 0;
    return std::isinf(std::real(difference())) ? difference() : p.value * difference();
  }
};

// By p_j as it is given, and by q_j.
inline double kl_derivative_by_p(const kl_term<double>& t) noexcept {
  if (!t.p.valid() || !t.q.valid()) return std::numeric_limits<double>::quiet_NaN();
  if (t.p.zero()) return 0;
  const double slope = t.difference() + 1;
  return t.p.by_log && !std::isinf(slope) ? t.p.value * slope : slope;
}
inline double kl_derivative_by_q(const kl_term<double>& t) noexcept {
  if (!t.p.valid() || !t.q.valid()) return std::numeric_limits<double>::quiet_NaN();
  if (t.p.zero()) return 0;
  if (t.q.by_log) return -t.p.value;
  return t.q.zero() ? -std::numeric_limits<double>::infinity() : -t.p.value / t.q.value;
}

}  // namespace culoss::reference
