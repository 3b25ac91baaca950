// Softmax cross-entropy of one row with target probabilities, and its gradients, from the textbook
// formulas of culoss/cross_entropy.hpp. Templates and their purpose as in cross_entropy.hpp beside
// this file.
#pragma once

#include "host/reference/cross_entropy.hpp"

namespace culoss::reference {

// q'_j = (1 - s) q_j + s / C; a masked column gets no smoothing mass.
template <class S>
S smoothed_target(S x_j, S q_j, std::size_t cols, const row_options& options) noexcept {
  const double s = options.label_smoothing;
  return (1 - s) * q_j + (is_minus_infinity(x_j) ? 0 : s / static_cast<double>(cols));
}

// Max and log of the sum over all columns, and sum_j w_j q'_j. The log of the sum is NaN where the
// softmax is.
template <class S>
row_statistics<S> statistics_of_row(std::span<const S> x, std::span<const S> q,
                                    const row_options& options) noexcept {
  const auto cap = [&](const S& v) { return options.capped(v); };
  const std::size_t largest = index_of_largest(x);
  const S log_sum = log1p(sum_below_largest(x, largest, options.temperature, cap));
  S weight = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    weight += options.weight(j) * smoothed_target(x[j], q[j], x.size(), options);
  }
  return {S(std::real(cap(x[largest]))), log_sum, S(0), weight};
}

// -log p_j
template <class S>
S loss_of_column(S x_j, const row_statistics<S>& row, const row_options& options) noexcept {
  return row.log_sum - (options.capped(x_j) - row.max) / options.temperature;
}

// log sum_j exp(y_j)
template <class S>
S log_sum_exp_of_all(const row_statistics<S>& row, const row_options& options) noexcept {
  return row.max / options.temperature + row.log_sum;
}

// -sum_j w_j q'_j log p_j
template <class S>
S cross_entropy_row(std::span<const S> x, std::span<const S> q, const row_statistics<S>& row,
                    const row_options& options) noexcept {
  S loss = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    loss += weighted(options.weight(j) * smoothed_target(x[j], q[j], x.size(), options),
                     loss_of_column(x[j], row, options));
  }
  return loss;
}

// scale * the derivatives of CE + z_loss lse^2, where
//   d CE / d x_j = (cap'(x_j) / T) [ p_j sum_k w_k q'_k - w_j q'_j ]
//   d CE / d q_j = -(1 - s) w_j log p_j
// x becomes the one and q the other.
inline void cross_entropy_gradient_row(std::span<double> x, std::span<double> q,
                                       const row_statistics<double>& row,
                                       const row_options& options, double scale) noexcept {
  const double s = options.label_smoothing;
  const double z_slope = z_loss_slope(log_sum_exp_of_all(row, options), options);
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double x_j = x[j], q_j = q[j], w = options.weight(j);
    const double loss = loss_of_column(x_j, row, options);
    const double p = std::exp(-loss);
    const double target = smoothed_target(x_j, q_j, x.size(), options);
    const double g = p * row.weight - w * target + z_slope * p;
    x[j] = scale * g * options.slope(x_j) / options.temperature;
    // A target of 0 asks nothing of a masked column.
    const bool unasked = is_minus_infinity(x_j) && q_j == 0 && !std::isnan(loss);
    q[j] = unasked ? 0.0 : weighted(scale * (1 - s) * w, loss);
  }
}

}  // namespace culoss::reference
