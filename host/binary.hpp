// What the CPU and the CUDA side of binary cross-entropy share: the check of the arguments.
#pragma once

#include <culoss/binary.hpp>

#include "host/element_call.hpp"

namespace culoss::detail {

template <class T>
element_views<T> views_of(const matrix<const T>& logits, const matrix<const T>& targets,
                          const binary_cross_entropy_outputs<T>& out) noexcept {
  return {.input = logits,
          .targets = targets,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_logits,
          .grad_targets = out.grad_targets};
}
template <class T>
element_views<T> views_of(const matrix<const T>& probabilities, const matrix<const T>& targets,
                          const binary_cross_entropy_probabilities_outputs<T>& out) noexcept {
  return {.input = probabilities,
          .targets = targets,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_probabilities,
          .grad_targets = out.grad_targets};
}

template <class Where, class T>
status check_binary(const Where& where, const element_views<T>& e,
                    const binary_cross_entropy_options& options) noexcept {
  validator v("binary_cross_entropy");
  v.check_if_given("pos_weight", options.pos_weight, e.input.cols, "logits.cols", role::input);
  v.in_range("label_smoothing", options.label_smoothing, 0.0f, 1.0f);
  return check_elements(v, where, {"binary_cross_entropy", "logits", "logits.rows", "grad_logits"},
                        e, options);
}
template <class Where, class T>
status check_binary(const Where& where, const element_views<T>& e,
                    const binary_cross_entropy_probabilities_options& options) noexcept {
  constexpr const char* kFunction = "binary_cross_entropy_probabilities";
  validator v(kFunction);
  return check_elements(v, where,
                        {kFunction, "probabilities", "probabilities.rows", "grad_probabilities"}, e,
                        options);
}

}  // namespace culoss::detail
