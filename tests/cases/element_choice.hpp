// The elementwise losses with their options, as the tests call them: one call for all of them.
#pragma once

#include <culoss/culoss.hpp>
#include <string>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

enum class element_function {
  mse,
  mae,
  huber,
  smooth_l1,
  binary_cross_entropy,
  binary_cross_entropy_probabilities,
  hinge,
  soft_margin,
};

inline const char* name_of(element_function f) {
  static constexpr const char* kNames[] = {"mse",
                                           "mae",
                                           "huber",
                                           "smooth_l1",
                                           "binary_cross_entropy",
                                           "binary_cross_entropy_probabilities",
                                           "hinge",
                                           "soft_margin"};
  return kNames[static_cast<int>(f)];
}

struct element_choice : row_choice {
  enum class family { regression, logits, probabilities, margin };

  explicit element_choice(element_function of = element_function::huber, float parameter = 1)
      : function(of), parameter(parameter) {
    name = name_of(of);
    labels = false;
  }

  element_function function;
  float parameter;  // delta, beta, margin
  int power = 1;    // of hinge
  float smoothing = 0;
  std::int64_t background = culoss::hinge_options::kAfterLastClass;
  bool weights = false;
  bool upstream_elements = false;
  culoss::weighted_mean mean_over = culoss::weighted_mean::elements;

  family of() const {
    if (function < element_function::binary_cross_entropy) return family::regression;
    if (function == element_function::binary_cross_entropy) return family::logits;
    return function < element_function::hinge ? family::probabilities : family::margin;
  }
  const char* input_name() const {
    static constexpr const char* kNames[] = {"predictions", "logits", "probabilities", "scores"};
    return kNames[static_cast<int>(of())];
  }
  const char* gradient_name() const {
    static constexpr const char* kNames[] = {"grad_predictions", "grad_logits",
                                             "grad_probabilities", "grad_scores"};
    return kNames[static_cast<int>(of())];
  }
  bool gives_target_gradient() const { return of() != family::margin; }

  std::int64_t background_of(const problem& p) const {
    return background == culoss::hinge_options::kAfterLastClass ? p.cols : background;
  }
  bool is_bad(const problem& p, std::size_t row) const {
    return bad(p, row) && p.labels[row] != background_of(p);
  }
  // The target of an element, in a matrix or made of a label.
  double target(const problem& p, std::size_t k) const {
    if (!labels) return p.g[k];
    const auto cols = static_cast<std::size_t>(p.cols);
    const std::int64_t label = p.labels[k / cols];
    const bool own = label == static_cast<std::int64_t>(k % cols) && label != background_of(p);
    return own ? 1 : -1;
  }
  double positive_weight(const problem& p, std::size_t k) const {
    return class_weights ? p.class_weights[k % static_cast<std::size_t>(p.cols)] : 1;
  }
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
      if (!counts(p, row)) continue;
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

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    const auto set = [&](auto o) {
      set_shared(o);
      o.upstream_elements = v.upstream_elements;
      if constexpr (requires { o.weights; }) o.weights = v.weights;
      if constexpr (requires { o.mean_over; }) o.mean_over = mean_over;
      if constexpr (requires { o.delta; }) o.delta = parameter;
      if constexpr (requires { o.beta; }) o.beta = parameter;
      if constexpr (requires { o.margin; }) o.margin = parameter;
      if constexpr (requires { o.power; }) o.power = power;
      if constexpr (requires { o.background; }) o.background = background;
      if constexpr (requires { o.label_smoothing; }) o.label_smoothing = smoothing;
      if constexpr (requires { o.pos_weight; }) o.pos_weight = v.class_weights;
      return o;
    };
    const culoss::regression_outputs<T> regression{
        .loss = v.loss, .losses = v.losses, .grad_predictions = v.out[0], .grad_targets = v.out[1]};
    const culoss::binary_cross_entropy_outputs<T> logits{
        .loss = v.loss, .losses = v.losses, .grad_logits = v.out[0], .grad_targets = v.out[1]};
    const culoss::binary_cross_entropy_probabilities_outputs<T> probabilities{
        .loss = v.loss,
        .losses = v.losses,
        .grad_probabilities = v.out[0],
        .grad_targets = v.out[1]};
    const culoss::margin_outputs<T> margin{
        .loss = v.loss, .losses = v.losses, .grad_scores = v.out[0]};
    const culoss::regression_options plain;
    const culoss::hinge_options hinge;
    const culoss::soft_margin_options soft;
    switch (function) {
      case element_function::mse:
        return culoss::mse(where, v.in[0], v.in[1], regression, set(plain));
      case element_function::mae:
        return culoss::mae(where, v.in[0], v.in[1], regression, set(plain));
      case element_function::huber:
        return culoss::huber(where, v.in[0], v.in[1], regression, set(culoss::huber_options()));
      case element_function::smooth_l1:
        return culoss::smooth_l1(where, v.in[0], v.in[1], regression,
                                 set(culoss::smooth_l1_options()));
      case element_function::binary_cross_entropy:
        return culoss::binary_cross_entropy(where, v.in[0], v.in[1], logits,
                                            set(culoss::binary_cross_entropy_options()));
      case element_function::binary_cross_entropy_probabilities:
        return culoss::binary_cross_entropy_probabilities(
            where, v.in[0], v.in[1], probabilities,
            set(culoss::binary_cross_entropy_probabilities_options()));
      case element_function::hinge:
        return labels ? culoss::hinge(where, v.in[0], v.labels, margin, set(hinge))
                      : culoss::hinge(where, v.in[0], v.in[1], margin, set(hinge));
      case element_function::soft_margin:
        return labels ? culoss::soft_margin(where, v.in[0], v.labels, margin, set(soft))
                      : culoss::soft_margin(where, v.in[0], v.in[1], margin, set(soft));
    }
    return {};
  }
  std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) const {
    switch (of()) {
      case family::regression:
        return culoss::regression_workspace_bytes(rows, cols);
      case family::margin:
        return culoss::margin_workspace_bytes(rows, cols);
      default:
        return culoss::binary_cross_entropy_workspace_bytes(rows, cols);
    }
  }
};

}  // namespace culoss_test
