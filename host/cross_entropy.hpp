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

// Columns and rows, and what their numbers are called.
struct counted_size {
  std::int64_t size;
  const char* name;
};
template <class Logits>
counted_size counted_rows(const Logits& logits) noexcept {
  return {rows_of(logits), name_of_rows(logits)};
}
template <class Logits>
counted_size counted_cols(const Logits& logits) noexcept {
  return {cols_of(logits), name_of_cols(logits)};
}

// Whether columns of that number are all classes.
template <class Options>
bool is_whole(const Options& options, std::int64_t cols) noexcept {
  return options.classes == 0 || options.classes == cols;
}

template <class Options>
void check_cross_entropy_options(validator& v, const counted_size& rows, const counted_size& cols,
                                 const Options& options) noexcept {
  v.shard(options.class_offset, cols.name, cols.size, options.classes);
  const counted_size classes =
      options.classes == 0 ? cols : counted_size{options.classes, "classes"};
  v.check_if_given("class_weights", options.class_weights, classes.size, classes.name, role::input);
  v.check_if_given("row_weights", options.row_weights, rows.size, rows.name, role::input);
  v.in_range("label_smoothing", options.label_smoothing, 0.0f, 1.0f);
  v.temperature("temperature", options.temperature);
  if (options.softcap != 0.0f) v.temperature("softcap", scalar(options.softcap));
  v.not_negative("z_loss", options.z_loss);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              rows.size);
  v.empty(options.empty);
}
template <class Logits>
void check_cross_entropy_options(validator& v, const Logits& logits,
                                 const cross_entropy_options& options) noexcept {
  check_cross_entropy_options(v, counted_rows(logits), counted_cols(logits), options);
}

// The rows' outputs that calls with labels and with target probabilities share.
template <class Outputs, class Options>
void check_row_outputs(validator& v, const counted_size& counted, const Outputs& outputs,
                       const Options& options) noexcept {
  const auto& [rows, of] = counted;
  v.row_loss("loss", outputs.loss, options.reduction, rows, of);
  v.check_if_given("lse", outputs.lse, rows, of, role::output);
  v.check_if_given("statistics", outputs.statistics, rows, of, role::output);
  v.check_if_given("argmax", outputs.argmax, rows, of, role::output);
  v.row_loss("z_loss", outputs.z_loss, options.reduction, rows, of);
  v.require(outputs.z_loss.empty() || options.z_loss > 0.0f,
            "output z_loss is given, but the option z_loss is 0");
  v.check_if_given("entropy", outputs.entropy, rows, of, role::output);
}
template <class Logits, class Outputs>
void check_cross_entropy_outputs(validator& v, const Logits& logits, const Outputs& outputs,
                                 const cross_entropy_options& options) noexcept {
  check_row_outputs(v, counted_rows(logits), outputs, options);
  v.gradient_if_given("grad_logits", outputs.grad_logits, "logits", logits);
}
template <class Outputs>
bool wants_rows(const Outputs& outputs) noexcept {
  return !outputs.loss.empty() || !outputs.lse.empty() || !outputs.statistics.empty() ||
         !outputs.argmax.empty() || !outputs.z_loss.empty() || !outputs.entropy.empty();
}
template <class Outputs>
bool wants_any(const Outputs& outputs) noexcept {
  return wants_rows(outputs) || !outputs.grad_logits.empty();
}

// What calls with labels have beside: counts, and the records of a shard, which gives no more.
template <class Outputs, class Options>
void check_label_outputs(validator& v, const counted_size& rows, const Outputs& outputs,
                         const Options& options, std::int64_t cols, bool gradients) noexcept {
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  if constexpr (requires { outputs.shards; }) {
    v.check_if_given("shards", outputs.shards, rows.size, rows.name, role::output);
    v.require(
        is_whole(options, cols) || !(wants_rows(outputs) || gradients || !outputs.correct.empty()),
        "the columns are not all classes: only shards and rows_counted can be had of them");
    v.require(rows.size == 0 || wants_rows(outputs) || gradients || !outputs.shards.empty() ||
                  !outputs.correct.empty() || !outputs.rows_counted.empty(),
              "no output is given");
  } else {
    v.require(rows.size == 0 || wants_rows(outputs) || !outputs.correct.empty() ||
                  !outputs.rows_counted.empty(),
              "no output is given");
  }
}

// Target probabilities have no shards.
inline void check_no_shard(validator& v, const cross_entropy_options& options) noexcept {
  v.require(options.classes == 0 && options.class_offset == 0,
            "classes or class_offset is given, but target probabilities have no shards");
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
  check_label_outputs(v, counted_rows(logits), outputs, options, cols_of(logits),
                      !outputs.grad_logits.empty());
  return v.finish();
}

template <class Where, class Real>
status check_merge_statistics(const Where& where,
                              const matrix<const shard_statistics<Real>>& shards,
                              const label_view& labels, const merged_outputs<Real>& outputs,
                              const cross_entropy_options& options) noexcept {
  validator v("merge_statistics");
  v.check(where);
  v.check("shards", shards, role::input);
  v.positive("shards.rows", shards.rows);
  v.check("labels", labels, shards.cols, "shards.cols");
  v.positive("classes", options.classes);
  v.require(options.class_offset == 0, "class_offset is given, but the merged rows are whole");
  const counted_size rows{shards.cols, "shards.cols"};
  check_cross_entropy_options(v, rows, {options.classes, "classes"}, options);
  check_row_outputs(v, rows, outputs, options);
  check_label_outputs(v, rows, outputs, options, options.classes, false);
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
  check_no_shard(v, options);
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
  check_no_shard(v, options);
  v.require(logits.rows == 0 || !outputs.grad_logits.empty() || !outputs.grad_targets.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
