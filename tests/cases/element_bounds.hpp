// How far the loss of an element and its derivatives may be from the exact ones, before weights,
// upstream and divisor. u: unit roundoff.
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/cases/element_choice.hpp"
#include "tests/harness/arithmetic.hpp"

namespace culoss_test {

struct element_bound {
  double loss = 0, by_input = 0, by_target = 0;        // errors
  double size = 0, input_slope = 0, target_slope = 0;  // and sizes
};

// A factor of exactly 0 switches an infinite term off.
inline double part(double factor, double term) { return factor == 0 ? 0 : factor * term; }

// The residual is rounded once: u |e|. A quadratic part takes two more roundings of its factors
// and two products, a linear one a difference that is at least half of |e| and a product; at the
// knee, where e may be taken for the other side by its rounding, the two parts differ by no more.
// smooth_l1 has 1 / beta rounded, below the normal numbers by up to half the smallest.
inline element_bound residual_bound(const element_choice& c, double x, double t,
                                    const arithmetic& a) {
  const double e = x - t, size = std::fabs(e);
  if (!std::isfinite(e)) return {};
  const double k = c.parameter;
  element_bound b;
  double rounded = 0;  // of a parameter
  switch (c.function) {
    case element_function::mse:
      b.size = e * e;
      b.input_slope = 2 * size;
      break;
    case element_function::mae:
      b.size = size;
      b.input_slope = e == 0 ? 0 : 1;
      break;
    case element_function::huber:
      b.size = size <= k ? e * e / 2 : k * (size - k / 2);
      b.input_slope = std::fmin(size, k);
      break;
    case element_function::smooth_l1:
      b.size = size < k ? e * e / (2 * k) : size - k / 2;
      b.input_slope = size < k ? size / k : e == 0 ? 0 : 1;
      rounded = a.u + k * a.smallest / 2;
      break;
    default:
      break;
  }
  b.loss = (8 * a.u + rounded) * b.size + a.smallest * (1 + size);
  b.by_input = (4 * a.u + rounded) * b.input_slope + a.smallest;
  b.by_target = b.by_input;
  b.target_slope = b.input_slope;
  return b;
}

// Both softplus err by the library's exponential and logarithm and a sum, relatively; both sigmoids
// by the exponential, a sum and a reciprocal; a smoothed target by three roundings.
inline element_bound logit_bound(const element_choice& c, double x, double t, double positive,
                                 const arithmetic& a) {
  if (std::isnan(x) || std::isnan(t)) return {};
  const double u = a.u, r = 2 * a.library + 4 * u;
  const double e = std::exp(-std::fabs(x)), l = std::log1p(e);
  const double p = (x >= 0 ? 1 : e) / (1 + e), q = (x >= 0 ? e : 1) / (1 + e);
  const double s = c.smoothing, low = std::fmax(-x, 0.0), high = std::fmax(x, 0.0);
  const double up = positive * (t * (1 - s) + s / 2), down = (1 - t) * (1 - s) + s / 2;
  element_bound b;
  b.size = part(up, low + l) + part(down, high + l);
  b.loss = (r + 8 * u) * b.size + 4 * a.smallest;
  b.input_slope = down * p + up * q;
  b.by_input = (r + 8 * u) * b.input_slope + 4 * a.smallest;
  if (std::isinf(x)) return b;  // the derivative by the target is 0 or infinite
  b.target_slope = (1 - s) * (std::fabs(positive - 1) * l + positive * low + high);
  b.by_target = (r + 6 * u) * b.target_slope + 2 * u * l + 4 * a.smallest;
  return b;
}

// Two logarithms, of which one takes 1 - p exactly; 1 - p and p (1 - p) are rounded, and the
// quotient is an approximate one of 2 ulp.
inline element_bound probability_bound(double p, double t, const arithmetic& a) {
  if (!(p >= 0 && p <= 1) || std::isnan(t)) return {};
  const double log_p = std::fmin(-std::log(p), 100.0), log_q = std::fmin(-std::log1p(-p), 100.0);
  element_bound b;
  b.size = t * log_p + (1 - t) * log_q;
  b.loss = (a.library + 6 * a.u) * b.size + 4 * a.smallest;
  b.input_slope = std::fabs(p - t) / std::fmax(p * (1 - p), static_cast<double>(1e-12f));
  b.by_input = 12 * a.u * b.input_slope;
  b.target_slope = log_p + log_q;
  b.by_target = (a.library + 2 * a.u) * b.target_slope;
  return b;
}

// y x is exact for a y of 0, 1 or -1, and the difference m - y x keeps its sign.
inline element_bound margin_bound(const element_choice& c, double x, double y,
                                  const arithmetic& a) {
  const double z = part(y, x);
  if (std::isnan(z)) return {};
  element_bound b;
  if (c.function == element_function::hinge) {
    const double rest = std::fmax(0.0, c.parameter - z);
    b.size = c.power == 2 ? rest * rest : rest;
    b.input_slope = (c.power == 2 ? 2 * rest : rest > 0 ? 1 : 0) * std::fabs(y);
    b.loss = 4 * a.u * b.size + a.smallest;
    b.by_input = c.power == 2 ? 2 * a.u * b.input_slope : 0;
    return b;
  }
  const double e = std::exp(-std::fabs(z)), r = 2 * a.library + 6 * a.u;
  b.size = std::fmax(-z, 0.0) + std::log1p(e);
  b.input_slope = std::fabs(y) * (z >= 0 ? e : 1) / (1 + e);
  b.loss = r * b.size + 4 * a.smallest;
  b.by_input = r * b.input_slope + 4 * a.smallest;
  return b;
}

inline element_bound bound_of_element(const element_choice& c, const problem& p, std::size_t k,
                                      const arithmetic& a) {
  const double x = p.x[k], t = c.target(p, k);
  switch (c.of()) {
    case element_choice::family::regression:
      return residual_bound(c, x, t, a);
    case element_choice::family::logits:
      return logit_bound(c, x, t, c.positive_weight(p, k), a);
    case element_choice::family::probabilities:
      return probability_bound(x, t, a);
    default:
      return margin_bound(c, x, t, a);
  }
}

}  // namespace culoss_test
