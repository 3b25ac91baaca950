// The regression losses of one residual e and their derivatives, from the textbook formulas of
// culoss/regression.hpp. The value is a template on the scalar S (double, std::complex<double>); the
// derivatives are written apart from it, so that a complex step checks them.
#pragma once

#include <cmath>
#include <complex>

namespace culoss::reference {

// -1, 0 or 1; NaN of NaN.
inline double sign(double e) noexcept { return e > 0 ? 1 : e < 0 ? -1 : e; }
// |e|, which is e or -e.
template <class S>
S magnitude(S e) noexcept {
  return std::real(e) < 0 ? -e : e;
}

struct mse_formula {
  template <class S>
  S value(S e) const noexcept {
    return e * e;
  }
  double derivative(double e) const noexcept { return 2 * e; }
};

struct mae_formula {
  template <class S>
  S value(S e) const noexcept {
    return magnitude(e);
  }
  double derivative(double e) const noexcept { return sign(e); }
};

struct huber_formula {
  double delta;
  template <class S>
  S value(S e) const noexcept {
    const S size = magnitude(e);
    return std::real(size) <= delta ? e * e / 2.0 : delta * (size - delta / 2);
  }
  double derivative(double e) const noexcept { return std::fabs(e) <= delta ? e : delta * sign(e); }
};

struct smooth_l1_formula {
  double beta;
  template <class S>
  S value(S e) const noexcept {
    const S size = magnitude(e);
    return std::real(size) < beta ? e * e / (2 * beta) : size - beta / 2;
  }
  double derivative(double e) const noexcept { return std::fabs(e) < beta ? e / beta : sign(e); }
};

}  // namespace culoss::reference
