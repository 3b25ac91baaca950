// The margin losses of one element and their derivatives, from the textbook formulas of
// culoss/margin.hpp. The values are templates on the scalar S (double, std::complex<double>); the
// derivatives are written apart from them, so that a complex step checks them.
#pragma once

#include "host/reference/softmax.hpp"

namespace culoss::reference {

struct hinge_formula {
  double margin = 1;
  int power = 1;
  double negative = -1;

  template <class S>
  S loss(S x, S y, std::size_t) const noexcept {
    const S z = margin - weighted(y, x);
    if (std::real(z) <= 0) return S(0);
    return power == 2 ? z * z : z;
  }
  double by_input(double x, double y, std::size_t) const noexcept {
    const double z = margin - weighted(y, x);
    if (!(z > 0)) return z <= 0 ? 0 : z;  // NaN stays
    return power == 2 ? weighted(-2 * y, z) : -y;
  }
  double by_target(double, double, std::size_t) const noexcept { return 0; }  // is never asked for
};

struct soft_margin_formula {
  double negative = -1;

  template <class S>
  S loss(S x, S y, std::size_t) const noexcept {
    return softplus(-weighted(y, x));
  }
  double by_input(double x, double y, std::size_t) const noexcept {
    return -y * sigmoid(-weighted(y, x));
  }
  double by_target(double, double, std::size_t) const noexcept { return 0; }  // likewise
};

}  // namespace culoss::reference
