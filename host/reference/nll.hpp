// Negative log-likelihood and label smoothing of one element, from the textbook formulas of
// culoss/nll.hpp.
#pragma once

#include <cstddef>
#include <culoss/nll.hpp>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

// -a or -log p, of the label's element
template <class S>
S nll_loss(S value, nll_input input) noexcept {
  return input == nll_input::log_probabilities ? -value : -std::log(value);
}

// Its derivative: -1, or -1 / p, which is -inf at 0 of either sign and NaN for what is no
// probability.
inline double nll_derivative(double value, nll_input input) noexcept {
  if (input == nll_input::log_probabilities) return -1;
  if (value < 0) return kNan;
  return -1 / std::fabs(value);
}

// q'_j = (1 - s) q_j + s / C
template <class S>
S smoothed_probability(S q_j, std::size_t cols, double smoothing) noexcept {
  return weighted(1 - smoothing, q_j) + smoothing / static_cast<double>(cols);
}

}  // namespace culoss::reference
