// Softmax cross-entropy of one row with a label, and its gradient, from the textbook formulas of
// culoss/cross_entropy.hpp. The loss is a template on the scalar S (double, long double,
// std::complex<double>); the gradient is written apart from it, so that a complex step through the
// loss checks it.
//
// The columns other than the target are summed apart. With d = (x_t - m) / T - log z, the log-odds
// of the target, -log p_t = softplus(-d) and 1 - p_t = sigmoid(-d) keep their relative accuracy in
// confident rows, where lse - x_t and 1 - p_t would lose it.
#pragma once

#include <algorithm>
#include <culoss/cross_entropy.hpp>
#include <span>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

// The options that enter a single row. Its columns are the classes [first_class, ...), which are
// all of them unless `classes` says how many there are; targets are classes.
struct row_options {
  double temperature = 1;
  double label_smoothing = 0;
  double softcap = 0;  // 0: none
  double z_loss = 0;
  const float* class_weights = nullptr;  // of all classes, or none: all 1
  std::size_t first_class = 0, classes = 0;

  double weight_of_class(std::size_t c) const noexcept {
    return class_weights == nullptr ? 1.0 : static_cast<double>(class_weights[c]);
  }
  double weight(std::size_t column) const noexcept { return weight_of_class(first_class + column); }
  bool is_target(std::size_t column, std::size_t target) const noexcept {
    return first_class + column == target;
  }
  double classes_of(std::size_t columns) const noexcept {
    return static_cast<double>(classes == 0 ? columns : classes);
  }
  // c tanh(x / c). What is infinite stays so: a masked column is one under a cap, too.
  template <class S>
  S capped(S x) const noexcept {
    if (softcap == 0 || std::isinf(std::real(x))) return x;
    return softcap * std::tanh(x / softcap);
  }
  // Its derivative, 1 - tanh^2(x / c) = 1 / cosh^2(x / c), relatively exact where tanh is close to
  // 1; of what stays infinite, 1.
  double slope(double x) const noexcept {
    if (softcap == 0 || std::isinf(x)) return 1;
    const double secant = 1 / std::cosh(x / softcap);
    return secant * secant;
  }
};

inline row_options options_of_row(const cross_entropy_options& options) noexcept {
  return {.temperature = read_temperature(options.temperature),
          .label_smoothing = static_cast<double>(options.label_smoothing),
          .softcap = static_cast<double>(options.softcap),
          .z_loss = static_cast<double>(options.z_loss),
          .class_weights = options.class_weights.data,
          .first_class = static_cast<std::size_t>(options.class_offset),
          .classes = static_cast<std::size_t>(options.classes)};
}

// Max and log of the sum over the columns other than the target; where there are none, or all of
// them are masked, both are -inf. The log of the sum is NaN where one of the columns is NaN or
// +inf.
template <class S>
row_statistics<S> statistics_of_row(std::span<const S> x, std::size_t target,
                                    const row_options& options) noexcept {
  real_part_of<S> max = -std::numeric_limits<real_part_of<S>>::infinity();
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (!options.is_target(j, target)) max = std::max(max, std::real(options.capped(x[j])));
  }
  S sum = 0;
  double weight = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (is_minus_infinity(x[j])) continue;  // a masked column
    weight += options.weight(j);
    if (!options.is_target(j, target)) {
      sum += std::exp((options.capped(x[j]) - max) / options.temperature);
    }
  }
  return {S(max), std::log(sum), x[target - options.first_class],
          options.label_smoothing > 0 ? S(weight) : S(0)};
}

// log (p_t / (1 - p_t)). +inf where the target stands alone, -inf where it is -inf, NaN where the
// softmax of the row is.
template <class S>
S log_odds(const row_statistics<S>& row, const row_options& options) noexcept {
  using Real = real_part_of<S>;
  if (std::real(row.target) == std::numeric_limits<Real>::infinity()) {
    return S(std::numeric_limits<Real>::quiet_NaN());
  }
  return (options.capped(row.target) - row.max) / options.temperature - row.log_sum;
}

// log sum_j exp(y_j), the target included; split where neither term is lost in the other.
template <class S>
S log_sum_exp(const row_statistics<S>& row, const row_options& options) noexcept {
  const S d = log_odds(row, options);
  return std::real(d) > 0 ? options.capped(row.target) / options.temperature + softplus(-d)
                          : row.max / options.temperature + (row.log_sum + softplus(d));
}

// -(1 - s) w_t log p_t - (s / C) sum_j w_j log p_j, the second over the columns that are not -inf.
template <class S>
S cross_entropy_row(std::span<const S> x, std::size_t target, const row_statistics<S>& row,
                    const row_options& options) noexcept {
  const double s = options.label_smoothing;
  const S d = log_odds(row, options);
  const S loss_of_target = softplus(-d);
  const S loss = weighted((1 - s) * options.weight_of_class(target), loss_of_target);
  if (s == 0) return loss;
  const S log_sum = row.log_sum + softplus(d);  // the target included
  S smooth = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (is_minus_infinity(x[j])) continue;
    const S loss_of_j = log_sum - (options.capped(x[j]) - row.max) / options.temperature;
    smooth += options.weight(j) * (options.is_target(j, target) ? loss_of_target : loss_of_j);
  }
  return loss + s / options.classes_of(x.size()) * smooth;
}

// z_loss lse^2, and its derivative by lse.
template <class S>
S z_loss_row(S lse, const row_options& options) noexcept {
  return options.z_loss == 0 ? S(0) : options.z_loss * lse * lse;
}
inline double z_loss_slope(double lse, const row_options& options) noexcept {
  return options.z_loss == 0 ? 0 : 2 * options.z_loss * lse;
}

// scale * d (CE + z_loss lse^2) / d x_j, where
//   d CE / d x_j = (cap'(x_j) / T) [ (1 - s) w_t (p_j - [j = t]) + (s / C) (p_j sum_k w_k - w_j) ]
//   d lse / d x_j = (cap'(x_j) / T) p_j
// Of the target's column only the statistics are used. dx may be x.
inline void cross_entropy_gradient_row(std::span<const double> x, std::size_t target,
                                       const row_statistics<double>& row,
                                       const row_options& options, double scale,
                                       std::span<double> dx) noexcept {
  const double s = options.label_smoothing, temperature = options.temperature;
  const double d = log_odds(row, options);
  const double p_target = sigmoid(d), p_others = sigmoid(-d);
  const double hard = (1 - s) * options.weight_of_class(target);
  const double soft = s / options.classes_of(x.size());
  const double z_slope = z_loss_slope(log_sum_exp(row, options), options);
  for (std::size_t j = 0; j < x.size(); ++j) {
    const bool is_target = options.is_target(j, target);
    const double x_j = is_target ? row.target : x[j];
    const bool masked = is_minus_infinity(x_j);
    double p = is_target ? p_target : 0.0;
    if (!is_target && !masked) {
      p = p_others * std::exp((options.capped(x_j) - row.max) / temperature - row.log_sum);
    }
    const double p_minus_onehot = is_target ? -p_others : p;
    const double w = masked ? 0.0 : options.weight(j);  // a masked column gets no smoothing mass
    const double g = hard * p_minus_onehot + soft * (p * row.weight - w) + z_slope * p;
    dx[j] = std::isnan(d) ? kNan : scale * g * options.slope(x_j) / temperature;
  }
}

}  // namespace culoss::reference
