// The elementwise losses with their options, as the tests call them: one call for all of them.
#pragma once

#include <culoss/culoss.hpp>
#include <string>

#include "tests/cases/cross_entropy_choices.hpp"

namespace culoss_test {

enum class element_function { mse, mae, huber, smooth_l1 };

inline const char* name_of(element_function f) {
  static constexpr const char* kNames[] = {"mse", "mae", "huber", "smooth_l1"};
  return kNames[static_cast<int>(f)];
}

struct element_choice : row_choice {
  explicit element_choice(element_function of = element_function::huber, float parameter = 1)
      : function(of), parameter(parameter) {
    name = name_of(of);
    labels = false;
  }

  element_function function;
  float parameter;  // delta, beta
  bool weights = false;
  bool upstream_elements = false;
  culoss::weighted_mean mean_over = culoss::weighted_mean::elements;

  const char* input_name() const { return "predictions"; }
  const char* gradient_name() const { return "grad_predictions"; }
  bool gives_target_gradient() const { return true; }

  double weight(const problem& p, std::size_t k) const { return weights ? p.weights[k] : 1; }
  double upstream_of(const problem& p, std::size_t k) const {
    return upstream_elements ? p.upstream_elements[k] : 1;
  }
  bool divides_by_weights() const {
    return mean_over == culoss::weighted_mean::weights && (weights || row_weights) &&
           reduction == culoss::reduction::mean && normalizer_source == source::absent;
  }
  // What a mean divides by.
  double own_divisor(const problem& p) const {
    double sum = 0;
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      const std::size_t row = k / static_cast<std::size_t>(p.cols);
      sum += divides_by_weights() ? row_weight(p, row) * weight(p, k) : 1;
    }
    return sum;
  }
  // What the derivatives of an element are multiplied by.
  double scale(const problem& p, std::size_t k, double divisor) const {
    const std::size_t row = k / static_cast<std::size_t>(p.cols);
    if (upstream_elements) return row_weight(p, row) * weight(p, k) * upstream_of(p, k);
    return gradient_scale(p, row, divisor) * weight(p, k);
  }
};

// The matrices of a call.
template <class T>
struct element_views {
  culoss::matrix<const T> input, targets;
  culoss::matrix<const float> weights, upstream_elements;
  culoss::vector<culoss::real_of<T>> loss;
  culoss::matrix<culoss::real_of<T>> losses;
  culoss::matrix<T> gradient, target_gradient;
};

// `set_shared` fills in the options that all losses have.
template <class T, class Where, class SetShared>
culoss::status call_element_loss(const element_choice& c, const Where& where,
                                 const element_views<T>& v, const SetShared& set_shared) {
  const auto set = [&](auto o) {
    set_shared(o);
    o.weights = v.weights;
    o.upstream_elements = v.upstream_elements;
    if constexpr (requires { o.mean_over = c.mean_over; }) o.mean_over = c.mean_over;
    if constexpr (requires { o.delta; }) o.delta = c.parameter;
    if constexpr (requires { o.beta; }) o.beta = c.parameter;
    return o;
  };
  const culoss::regression_outputs<T> regression{.loss = v.loss,
                                                 .losses = v.losses,
                                                 .grad_predictions = v.gradient,
                                                 .grad_targets = v.target_gradient};
  switch (c.function) {
    case element_function::mse:
      return culoss::mse(where, v.input, v.targets, regression, set(culoss::regression_options()));
    case element_function::mae:
      return culoss::mae(where, v.input, v.targets, regression, set(culoss::regression_options()));
    case element_function::huber:
      return culoss::huber(where, v.input, v.targets, regression, set(culoss::huber_options()));
    case element_function::smooth_l1:
      return culoss::smooth_l1(where, v.input, v.targets, regression,
                               set(culoss::smooth_l1_options()));
  }
  return {};
}

inline std::size_t workspace_bytes_of(const element_choice&, std::int64_t rows, std::int64_t cols) {
  return culoss::regression_workspace_bytes(rows, cols);
}

}  // namespace culoss_test
