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
  }
  b.loss = (8 * a.u + rounded) * b.size + a.smallest * (1 + size);
  b.by_input = (4 * a.u + rounded) * b.input_slope + a.smallest;
  b.by_target = b.by_input;
  b.target_slope = b.input_slope;
  return b;
}

inline element_bound bound_of_element(const element_choice& c, double x, double t, std::size_t,
                                      const problem&, const arithmetic& a) {
  return residual_bound(c, x, t, a);
}

}  // namespace culoss_test
