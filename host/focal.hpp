// What the CPU and the CUDA side of the focal losses share: the check of the arguments.
#pragma once

#include <culoss/focal.hpp>

#include "host/cross_entropy.hpp"
#include "host/element_call.hpp"

namespace culoss::detail {

template <class Logits>
void check_softmax_focal_inputs(validator& v, const Logits& logits, const label_view& labels,
                                const softmax_focal_options& options) noexcept {
  check_logits(v, logits);
  v.check("labels", labels, rows_of(logits), name_of_rows(logits));
  v.not_negative("gamma", options.gamma);
  v.check_if_given("alpha", options.alpha, cols_of(logits), name_of_cols(logits), role::input);
  v.check_if_given("row_weights", options.row_weights, rows_of(logits), name_of_rows(logits),
                   role::input);
  v.temperature("temperature", options.temperature);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              rows_of(logits));
  v.empty(options.empty);
}

template <class Where, class Logits, class T, class View>
status check_softmax_focal(const Where& where, const Logits& logits, const label_view& labels,
                           const softmax_focal_outputs<T, View>& outputs,
                           const softmax_focal_options& options) noexcept {
  validator v("softmax_focal");
  v.check(where);
  check_softmax_focal_inputs(v, logits, labels, options);
  const std::int64_t rows = rows_of(logits);
  const char* const of = name_of_rows(logits);
  v.row_loss("loss", outputs.loss, options.reduction, rows, of);
  v.gradient_if_given("grad_logits", outputs.grad_logits, "logits", logits);
  v.check_if_given("statistics", outputs.statistics, rows, of, role::output);
  v.check_if_given("argmax", outputs.argmax, rows, of, role::output);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_logits.empty() ||
                !outputs.statistics.empty() || !outputs.argmax.empty() ||
                !outputs.correct.empty() || !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class Logits, class T, class View>
status check_softmax_focal_backward(const Where& where, const Logits& logits,
                                    const label_view& labels,
                                    const vector<const row_statistics<real_of<T>>>& statistics,
                                    const softmax_focal_backward_outputs<T, View>& outputs,
                                    const softmax_focal_options& options) noexcept {
  validator v("softmax_focal_backward");
  v.check(where);
  check_softmax_focal_inputs(v, logits, labels, options);
  v.check("statistics", statistics, rows_of(logits), name_of_rows(logits), role::input);
  v.check("grad_logits", outputs.grad_logits, role::in_place_output);
  v.same_shape("grad_logits", outputs.grad_logits, "logits", logits);
  return v.finish();
}

template <class T>
element_views<T> views_of(const matrix<const T>& logits, const matrix<const T>& targets,
                          const sigmoid_focal_outputs<T>& out) noexcept {
  return {.input = logits,
          .targets = targets,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_logits,
          .grad_targets = out.grad_targets};
}
template <class T>
element_views<T> views_of(const matrix<const T>& logits, const label_view& labels,
                          const sigmoid_focal_label_outputs<T>& out) noexcept {
  return {.input = logits,
          .labels = labels,
          .labeled = true,
          .loss = out.loss,
          .losses = out.losses,
          .grad_input = out.grad_logits,
          .positives = out.positives};
}

template <class Where, class T>
status check_sigmoid_focal(const Where& where, const element_views<T>& e,
                           const sigmoid_focal_options& options) noexcept {
  validator v("sigmoid_focal");
  v.not_negative("gamma", options.gamma);
  if (!(options.alpha < 0.0f)) v.in_range("alpha", options.alpha, 0.0f, 1.0f);
  v.require(options.mean_over == focal_mean::elements || options.mean_over == focal_mean::positives,
            "mean_over must be elements or positives");
  v.require(e.labeled || options.mean_over == focal_mean::elements,
            "mean_over is positives, which only labels tell");
  return check_elements(v, where, {"sigmoid_focal", "logits", "logits.rows", "grad_logits"}, e,
                        options);
}

}  // namespace culoss::detail
