// What the CPU and the CUDA side of the focal losses share: the check of the arguments, and the
// label that stands for the background.
#pragma once

#include <culoss/focal.hpp>

#include "host/cross_entropy.hpp"

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

inline std::int64_t background_of(const sigmoid_focal_options& options,
                                  std::int64_t classes) noexcept {
  const bool after_last = options.background == sigmoid_focal_options::kAfterLastClass;
  return after_last ? classes : options.background;
}

template <class T, class Outputs>
void check_sigmoid_focal_shared(validator& v, const matrix<const T>& logits, const Outputs& outputs,
                                const sigmoid_focal_options& options) noexcept {
  v.not_negative("gamma", options.gamma);
  if (!(options.alpha < 0.0f)) v.in_range("alpha", options.alpha, 0.0f, 1.0f);
  v.require(options.mean_over == focal_mean::elements || options.mean_over == focal_mean::positives,
            "mean_over must be elements or positives");
  v.check_if_given("row_weights", options.row_weights, logits.rows, "logits.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              logits.rows);
  v.empty(options.empty);
  const bool none = options.reduction == reduction::none;
  v.require(!none || outputs.loss.empty(), "loss is given, but reduction none writes losses");
  v.check_if_given("loss", outputs.loss, 1, "reduction is mean or sum", role::output);
  v.require(none || outputs.losses.empty(), "losses is given, but only reduction none writes it");
  if (!outputs.losses.empty()) {
    v.check("losses", outputs.losses, role::output);
    v.same_shape("losses", outputs.losses, "logits", logits);
  }
  v.gradient_if_given("grad_logits", outputs.grad_logits, "logits", logits);
}

template <class Where, class T>
status check_sigmoid_focal(const Where& where, const matrix<const T>& logits,
                           const matrix<const T>& targets, const sigmoid_focal_outputs<T>& outputs,
                           const sigmoid_focal_options& options) noexcept {
  validator v("sigmoid_focal");
  v.check(where);
  v.check("logits", logits, role::in_place_input);
  v.check("targets", targets, role::in_place_input);
  v.same_shape("targets", targets, "logits", logits);
  check_sigmoid_focal_shared(v, logits, outputs, options);
  v.require(options.mean_over == focal_mean::elements,
            "mean_over is positives, which only labels tell");
  v.gradient_if_given("grad_targets", outputs.grad_targets, "targets", targets);
  v.require(logits.rows == 0 || logits.cols == 0 || !outputs.loss.empty() ||
                !outputs.losses.empty() || !outputs.grad_logits.empty() ||
                !outputs.grad_targets.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_sigmoid_focal(const Where& where, const matrix<const T>& logits,
                           const label_view& labels, const sigmoid_focal_label_outputs<T>& outputs,
                           const sigmoid_focal_options& options) noexcept {
  validator v("sigmoid_focal");
  v.check(where);
  check_logits(v, logits);
  v.check("labels", labels, logits.rows, "logits.rows");
  check_sigmoid_focal_shared(v, logits, outputs, options);
  v.check_if_given("positives", outputs.positives, 1, "it is one count", role::output);
  v.require(logits.rows == 0 || !outputs.loss.empty() || !outputs.losses.empty() ||
                !outputs.grad_logits.empty() || !outputs.positives.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
