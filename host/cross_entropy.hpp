// What the CPU and the CUDA side of cross_entropy share: the check of the arguments.
#pragma once

#include <culoss/cross_entropy.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

// Rows and columns of either view of logits.
template <class T>
std::int64_t rows_of(const matrix<T>& m) noexcept {
  return m.rows;
}
template <class T>
std::int64_t rows_of(const strided_logits<T>& s) noexcept {
  std::int64_t rows = 0;  // of sizes that the check refuses, it need only be some number
  return __builtin_mul_overflow(s.n, s.inner, &rows) ? 0 : rows;
}
template <class T>
std::int64_t cols_of(const matrix<T>& m) noexcept {
  return m.cols;
}
template <class T>
std::int64_t cols_of(const strided_logits<T>& s) noexcept {
  return s.classes;
}
template <class T>
const char* name_of_rows(const matrix<T>&) noexcept {
  return "logits.rows";
}
template <class T>
const char* name_of_rows(const strided_logits<T>&) noexcept {
  return "logits.n * logits.inner";
}
template <class T>
const char* name_of_cols(const matrix<T>&) noexcept {
  return "logits.cols";
}
template <class T>
const char* name_of_cols(const strided_logits<T>&) noexcept {
  return "logits.classes";
}

// Logits that a gradient may replace; there must be classes.
template <class T>
void check_logits(validator& v, const matrix<const T>& logits) noexcept {
  v.check("logits", logits, role::in_place_input);
  v.positive("logits.cols", logits.cols);
}
template <class T>
void check_logits(validator& v, const strided_logits<const T>& logits) noexcept {
  v.check("logits", logits, role::in_place_input);
  v.positive("logits.classes", logits.classes);
}

template <class Logits>
void check_cross_entropy_options(validator& v, const Logits& logits,
                                 const cross_entropy_options& options) noexcept {
  v.check_if_given("class_weights", options.class_weights, cols_of(logits), name_of_cols(logits),
                   role::input);
  v.check_if_given("row_weights", options.row_weights, rows_of(logits), name_of_rows(logits),
                   role::input);
  v.in_range("label_smoothing", options.label_smoothing, 0.0f, 1.0f);
  v.temperature("temperature", options.temperature);
  if (options.softcap != 0.0f) v.temperature("softcap", scalar(options.softcap));
  v.not_negative("z_loss", options.z_loss);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              rows_of(logits));
  v.empty(options.empty);
}

// The outputs that calls with labels and with target probabilities share.
template <class Logits, class Outputs>
void check_cross_entropy_outputs(validator& v, const Logits& logits, const Outputs& outputs,
                                 const cross_entropy_options& options) noexcept {
  const std::int64_t rows = rows_of(logits);
  const char* const of = name_of_rows(logits);
  v.row_loss("loss", outputs.loss, options.reduction, rows, of);
  v.gradient_if_given("grad_logits", outputs.grad_logits, "logits", logits);
  v.check_if_given("lse", outputs.lse, rows, of, role::output);
  v.check_if_given("statistics", outputs.statistics, rows, of, role::output);
  v.check_if_given("argmax", outputs.argmax, rows, of, role::output);
  v.row_loss("z_loss", outputs.z_loss, options.reduction, rows, of);
  v.require(outputs.z_loss.empty() || options.z_loss > 0.0f,
            "output z_loss is given, but the option z_loss is 0");
  v.check_if_given("entropy", outputs.entropy, rows, of, role::output);
}
template <class Outputs>
bool wants_any(const Outputs& outputs) noexcept {
  return !outputs.loss.empty() || !outputs.grad_logits.empty() || !outputs.lse.empty() ||
         !outputs.statistics.empty() || !outputs.argmax.empty() || !outputs.z_loss.empty() ||
         !outputs.entropy.empty();
}

// Scratch of a call with target probabilities.
std::size_t cross_entropy_targets_workspace_bytes(std::int64_t rows) noexcept;

template <class Where, class Logits, class T, class View>
status check_cross_entropy(const Where& where, const Logits& logits, const label_view& labels,
                           const cross_entropy_outputs<T, View>& outputs,
                           const cross_entropy_options& options) noexcept {
  validator v("cross_entropy");
  v.check(where);
  check_logits(v, logits);
  v.check("labels", labels, rows_of(logits), name_of_rows(logits));
  check_cross_entropy_options(v, logits, options);
  check_cross_entropy_outputs(v, logits, outputs, options);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows_of(logits) == 0 || wants_any(outputs) || !outputs.correct.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_cross_entropy(const Where& where, const matrix<const T>& logits,
                           const matrix<const T>& targets,
                           const cross_entropy_soft_outputs<T>& outputs,
                           const cross_entropy_options& options) noexcept {
  validator v("cross_entropy");
  v.check(where);
  check_logits(v, logits);
  v.check("targets", targets, role::in_place_input);
  v.same_shape("targets", targets, "logits", logits);
  check_cross_entropy_options(v, logits, options);
  check_cross_entropy_outputs(v, logits, outputs, options);
  v.gradient_if_given("grad_targets", outputs.grad_targets, "targets", targets);
  v.require(logits.rows == 0 || wants_any(outputs) || !outputs.grad_targets.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class Logits, class T, class View>
status check_cross_entropy_backward(const Where& where, const Logits& logits,
                                    const label_view& labels,
                                    const vector<const row_statistics<real_of<T>>>& statistics,
                                    const cross_entropy_backward_outputs<T, View>& outputs,
                                    const cross_entropy_options& options) noexcept {
  validator v("cross_entropy_backward");
  v.check(where);
  check_logits(v, logits);
  v.check("labels", labels, rows_of(logits), name_of_rows(logits));
  check_cross_entropy_options(v, logits, options);
  v.check("statistics", statistics, rows_of(logits), name_of_rows(logits), role::input);
  v.check("grad_logits", outputs.grad_logits, role::in_place_output);
  v.same_shape("grad_logits", outputs.grad_logits, "logits", logits);
  return v.finish();
}

template <class Where, class T>
status check_cross_entropy_backward(const Where& where, const matrix<const T>& logits,
                                    const matrix<const T>& targets,
                                    const vector<const row_statistics<real_of<T>>>& statistics,
                                    const cross_entropy_soft_backward_outputs<T>& outputs,
                                    const cross_entropy_options& options) noexcept {
  validator v("cross_entropy_backward");
  v.check(where);
  check_logits(v, logits);
  v.check("targets", targets, role::in_place_input);
  v.same_shape("targets", targets, "logits", logits);
  check_cross_entropy_options(v, logits, options);
  v.check("statistics", statistics, logits.rows, "logits.rows", role::input);
  v.gradient_if_given("grad_logits", outputs.grad_logits, "logits", logits);
  v.gradient_if_given("grad_targets", outputs.grad_targets, "targets", targets);
  v.require(logits.rows == 0 || !outputs.grad_logits.empty() || !outputs.grad_targets.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
