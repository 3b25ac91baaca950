// What the CPU and the CUDA side of cross_entropy share: the check of the arguments.
#pragma once

#include <culoss/cross_entropy.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

template <class T>
void check_cross_entropy_inputs(validator& v, const matrix<const T>& logits,
                                const label_view& labels,
                                const cross_entropy_options& options) noexcept {
  v.check("logits", logits, role::in_place_input);
  v.positive("logits.cols", logits.cols);
  v.check("labels", labels, logits.rows, "logits.rows");
  v.check_if_given("class_weights", options.class_weights, logits.cols, "logits.cols", role::input);
  v.check_if_given("row_weights", options.row_weights, logits.rows, "logits.rows", role::input);
  v.in_range("label_smoothing", options.label_smoothing, 0.0f, 1.0f);
  v.temperature("temperature", options.temperature);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              logits.rows);
  v.empty(options.empty);
}

template <class Where, class T>
status check_cross_entropy(const Where& where, const matrix<const T>& logits,
                           const label_view& labels, const cross_entropy_outputs<T>& outputs,
                           const cross_entropy_options& options) noexcept {
  validator v("cross_entropy");
  v.check(where);
  check_cross_entropy_inputs(v, logits, labels, options);
  const std::int64_t rows = logits.rows;
  if (options.reduction == reduction::none) {
    v.check_if_given("loss", outputs.loss, rows, "logits.rows, as reduction is none", role::output);
  } else {
    v.check_if_given("loss", outputs.loss, 1, "reduction is mean or sum", role::output);
  }
  if (!outputs.grad_logits.empty()) {
    v.check("grad_logits", outputs.grad_logits, role::in_place_output);
    v.same_shape("grad_logits", outputs.grad_logits, "logits", logits);
  }
  v.check_if_given("lse", outputs.lse, rows, "logits.rows", role::output);
  v.check_if_given("statistics", outputs.statistics, rows, "logits.rows", role::output);
  v.check_if_given("argmax", outputs.argmax, rows, "logits.rows", role::output);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_logits.empty() ||
                !outputs.lse.empty() || !outputs.statistics.empty() || !outputs.argmax.empty() ||
                !outputs.correct.empty() || !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_cross_entropy_backward(const Where& where, const matrix<const T>& logits,
                                    const label_view& labels,
                                    const vector<const row_statistics<real_of<T>>>& statistics,
                                    const cross_entropy_backward_outputs<T>& outputs,
                                    const cross_entropy_options& options) noexcept {
  validator v("cross_entropy_backward");
  v.check(where);
  check_cross_entropy_inputs(v, logits, labels, options);
  v.check("statistics", statistics, logits.rows, "logits.rows", role::input);
  v.check("grad_logits", outputs.grad_logits, role::in_place_output);
  v.same_shape("grad_logits", outputs.grad_logits, "logits", logits);
  return v.finish();
}

}  // namespace culoss::detail
