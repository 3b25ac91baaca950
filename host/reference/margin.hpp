// The margin losses of one element or row and their derivatives, from the textbook formulas of
// culoss/margin.hpp. The values are templates on the scalar S (double, std::complex<double>); the
// derivatives are written apart from them, so that a complex step checks them.
#pragma once

#include <vector>

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

// Of a row with a label. S as above.
struct multi_class_hinge_formula {
  double margin = 1;
  int power = 1;
  bool largest = false;

  // (w_t / C) sum max(0, z_j)^k, or of the largest z_j alone, without the weight.
  template <class S>
  S loss(std::span<const S> x, std::size_t target) const {
    S sum = 0;
    for (const std::size_t j : rivals(x, target)) sum += raised(margin - x[target] + x[j]);
    return std::isnan(std::real(x[target])) ? x[target] : sum * share(x.size());
  }
  // Times `scale`; dx may be x.
  void gradient(std::span<const double> x, std::size_t target, double scale,
                std::span<double> dx) const {
    std::vector<double> slopes(x.size());
    double sum = 0;
    for (const std::size_t j : rivals(x, target)) {
      const double z = margin - x[target] + x[j];
      if (!(z > 0)) continue;
      slopes[j] = power == 2 ? 2 * z : 1;
      sum += slopes[j];
    }
    slopes[target] = -sum;
    const bool nan = std::isnan(loss(x, target));
    for (std::size_t j = 0; j < x.size(); ++j) {
      dx[j] = nan ? std::numeric_limits<double>::quiet_NaN()
                  : weighted(scale * share(x.size()), slopes[j]);
    }
  }

 private:
  double share(std::size_t classes) const noexcept {
    return largest ? 1 : 1 / static_cast<double>(classes);
  }
  template <class S>
  S raised(S z) const noexcept {
    if (std::real(z) <= 0) return S(0);
    return power == 2 ? z * z : z;
  }
  // The columns that are compared with the target: all others that are not masked, or the largest of
  // them, the lowest of equals; a NaN is larger than anything.
  template <class S>
  std::vector<std::size_t> rivals(std::span<const S> x, std::size_t target) const {
    std::vector<std::size_t> all;
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (j != target && !is_minus_infinity(x[j])) all.push_back(j);
    }
    if (!largest || all.empty()) return all;
    std::vector<S> scores;
    for (const std::size_t j : all) scores.push_back(x[j]);
    return {all[index_of_largest(std::span<const S>(scores))]};
  }
};

}  // namespace culoss::reference
