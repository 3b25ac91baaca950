// Softmax and its relatives for one row, from the textbook formulas. Templates on the scalar S
// (double, long double, std::complex<double>), so that a complex step through them checks their
// gradients: comparisons look at the real part.
#pragma once

#include <cmath>
#include <complex>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>

namespace culoss::reference {

template <class S>
using real_part_of = decltype(std::real(S{}));

template <class S>
bool is_minus_infinity(const S& x) noexcept {
  using Real = real_part_of<S>;
  return std::real(x) == -std::numeric_limits<Real>::infinity();
}

// log(1 + x), as exact for small x in the complex plane as std::log1p is on the real line:
// |1 + x|^2 = 1 + re (2 + re) + im^2.
inline double log1p(double x) noexcept { return std::log1p(x); }
inline long double log1p(long double x) noexcept { return std::log1p(x); }
inline std::complex<double> log1p(std::complex<double> x) noexcept {
  const double re = x.real(), im = x.imag();
  return {0.5 * std::log1p(re * (2 + re) + im * im), std::atan2(im, 1 + re)};
}

// log(1 + e^x), relatively exact at both ends.
template <class S>
S softplus(S x) noexcept {
  return std::real(x) > 0 ? x + log1p(std::exp(-x)) : log1p(std::exp(x));
}

// 1 / (1 + e^-x), likewise.
template <class S>
S sigmoid(S x) noexcept {
  const S e = std::exp(std::real(x) >= 0 ? -x : x);
  return std::real(x) >= 0 ? S(1) / (S(1) + e) : e / (S(1) + e);
}

// A factor of exactly 0 times an infinite term is 0. NaN stays NaN.
template <class W, class S>
S weighted(W weight, S term) noexcept {
  return weight == W(0) && std::isinf(std::real(term)) ? S(0) : weight * term;
}

// The lowest index of the largest element; NaN is larger than anything.
template <class S>
std::size_t index_of_largest(std::span<const S> x) noexcept {
  std::size_t largest = 0;
  for (std::size_t j = 1; j < x.size(); ++j) {
    const auto a = std::real(x[largest]), b = std::real(x[j]);
    if (b > a || (std::isnan(b) && !std::isnan(a))) largest = j;
  }
  return largest;
}

// sum_j exp((y_j - max y) / T) - 1 of y_j = cap(x_j), cap increasing: the 1 of the largest element
// is left out, so that log1p of this keeps its digits in a row that one element dominates.
template <class S, class Cap = std::identity>
S sum_below_largest(std::span<const S> x, std::size_t largest, double temperature,
                    const Cap& cap = {}) noexcept {
  const S y = cap(x[largest]);
  const real_part_of<S> max = std::real(y);
  // Exactly 0 for a finite maximum, but NaN for any other; and a complex step passes through it.
  S sum = std::exp((y - max) / temperature) - S(1);
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (j != largest) sum += std::exp((cap(x[j]) - max) / temperature);
  }
  return sum;
}

// p_j = exp((x_j - max x) / T) / sum_k exp((x_k - max x) / T). p may be x.
template <class S>
void softmax_row(std::span<const S> x, double temperature, std::span<S> p) noexcept {
  const std::size_t largest = index_of_largest(x);
  const real_part_of<S> max = std::real(x[largest]);
  const S sum = S(1) + sum_below_largest(x, largest, temperature);
  for (std::size_t j = 0; j < x.size(); ++j) p[j] = std::exp((x[j] - max) / temperature) / sum;
}

// log p_j = (x_j - max x) / T - log sum_k exp((x_k - max x) / T). log_p may be x.
template <class S>
void log_softmax_row(std::span<const S> x, double temperature, std::span<S> log_p) noexcept {
  const std::size_t largest = index_of_largest(x);
  const real_part_of<S> max = std::real(x[largest]);
  const S log_sum = log1p(sum_below_largest(x, largest, temperature));
  for (std::size_t j = 0; j < x.size(); ++j) log_p[j] = (x[j] - max) / temperature - log_sum;
}

// dx_j = p_j (g_j - sum_k g_k p_k) / T. dx may be p or g.
inline void softmax_gradient_row(std::span<const double> p, std::span<const double> g,
                                 double temperature, std::span<double> dx) noexcept {
  double dot = 0;
  for (std::size_t k = 0; k < p.size(); ++k) dot += g[k] * p[k];
  for (std::size_t j = 0; j < p.size(); ++j) dx[j] = p[j] * (g[j] - dot) / temperature;
}

// dx_j = (g_j - exp(l_j) sum_k g_k) / T, and 0 for a masked column (l_j = -inf). dx may be l or g.
inline void log_softmax_gradient_row(std::span<const double> l, std::span<const double> g,
                                     double temperature, std::span<double> dx) noexcept {
  double sum = 0;
  for (const double g_k : g) sum += g_k;
  for (std::size_t j = 0; j < l.size(); ++j) {
    dx[j] = (is_minus_infinity(l[j]) ? 0.0 : g[j] - std::exp(l[j]) * sum) / temperature;
  }
}

}  // namespace culoss::reference
