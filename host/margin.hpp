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

template <class Where, class T>
status check_multi_class_hinge(const Where& where, const matrix<const T>& scores,
                               const label_view& labels,
                               const multi_class_hinge_outputs<T>& outputs,
                               const multi_class_hinge_options& options) noexcept {
  validator v("multi_class_hinge");
  v.check(where);
  v.check("scores", scores, role::in_place_input);
  v.positive("scores.cols", scores.cols);
  v.check("labels", labels, scores.rows, "scores.rows");
  v.require(options.form == hinge_form::sum || options.form == hinge_form::max,
            "form must be sum or max");
  v.finite("margin", options.margin, std::numeric_limits<float>::max());
  v.require(options.power == 1 || options.power == 2, "power must be 1 or 2");
  v.check_if_given("class_weights", options.class_weights, scores.cols, "scores.cols", role::input);
  v.check_if_given("row_weights", options.row_weights, scores.rows, "scores.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              scores.rows);
  v.empty(options.empty);
  v.row_loss("loss", outputs.loss, options.reduction, scores.rows, "scores.rows");
  v.gradient_if_given("grad_scores", outputs.grad_scores, "scores", scores);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(scores.rows == 0 || !outputs.loss.empty() || !outputs.grad_scores.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
