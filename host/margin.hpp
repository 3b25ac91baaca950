// What the CPU and the CUDA side of the margin losses share: the check of the arguments.
#pragma once

#include <culoss/margin.hpp>
#include <limits>

#include "host/element_call.hpp"

namespace culoss::detail {

template <class T>
element_views<T> views_of(const matrix<const T>& scores, const matrix<const T>& targets,
                          const margin_outputs<T>& out) noexcept {
  return {.input = scores,
          .targets = targets,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_scores};
}
template <class T>
element_views<T> views_of(const matrix<const T>& scores, const label_view& labels,
                          const margin_outputs<T>& out) noexcept {
  return {.input = scores,
          .labels = labels,
          .labeled = true,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_scores};
}

template <class Where, class T>
status check_margin(const Where& where, const element_views<T>& e,
                    const hinge_options& options) noexcept {
  validator v("hinge");
  v.finite("margin", options.margin, std::numeric_limits<float>::max());
  v.require(options.power == 1 || options.power == 2, "power must be 1 or 2");
  return check_elements(v, where, {"hinge", "scores", "scores.rows", "grad_scores"}, e, options);
}
template <class Where, class T>
status check_margin(const Where& where, const element_views<T>& e,
                    const soft_margin_options& options) noexcept {
  validator v("soft_margin");
  return check_elements(v, where, {"soft_margin", "scores", "scores.rows", "grad_scores"}, e,
                        options);
}

}  // namespace culoss::detail
