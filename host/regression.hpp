// What the CPU and the CUDA side of the regression losses share: the check of the arguments.
#pragma once

#include <culoss/regression.hpp>

#include "host/element_call.hpp"

namespace culoss::detail {

template <class T>
element_views<T> views_of(const matrix<const T>& predictions, const matrix<const T>& targets,
                          const regression_outputs<T>& out) noexcept {
  return {.input = predictions,
          .targets = targets,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_predictions,
          .grad_targets = out.grad_targets};
}

template <class Where, class T, class Options>
status check_regression(const Where& where, const char* function, const element_views<T>& e,
                        const Options& options) noexcept {
  validator v(function);
  if constexpr (requires { options.delta; }) v.temperature("delta", options.delta);
  if constexpr (requires { options.beta; }) {
    v.not_negative("beta", options.beta);
    if (options.beta > 0.0f) v.temperature("beta", options.beta);
  }
  return check_elements(v, where, {function, "predictions", "predictions.rows", "grad_predictions"},
                        e, options);
}

}  // namespace culoss::detail
