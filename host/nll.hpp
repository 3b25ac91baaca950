// What the CPU and the CUDA side of nll and smooth_labels share: the check of the arguments.
#pragma once

#include <culoss/nll.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

template <class Where, class T>
status check_nll(const Where& where, const matrix<const T>& input, const label_view& labels,
                 const nll_outputs<T>& outputs, const nll_options& options) noexcept {
  validator v("nll");
  v.check(where);
  v.check("input", input, role::in_place_input);
  v.positive("input.cols", input.cols);
  v.check("labels", labels, input.rows, "input.rows");
  v.require(
      options.input == nll_input::log_probabilities || options.input == nll_input::probabilities,
      "input must be log_probabilities or probabilities");
  v.check_if_given("class_weights", options.class_weights, input.cols, "input.cols", role::input);
  v.check_if_given("row_weights", options.row_weights, input.rows, "input.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              input.rows);
  v.empty(options.empty);
  v.row_loss("loss", outputs.loss, options.reduction, input.rows, "input.rows");
  v.gradient_if_given("grad_input", outputs.grad_input, "input", input);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(input.rows == 0 || !outputs.loss.empty() || !outputs.grad_input.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_smooth_labels(const Where& where, const label_view& labels, const matrix<T>& smoothed,
                           const smooth_labels_options& options) noexcept {
  validator v("smooth_labels");
  v.check(where);
  v.check("smoothed", smoothed, role::output);
  v.positive("smoothed.cols", smoothed.cols);
  v.check("labels", labels, smoothed.rows, "smoothed.rows");
  v.in_range("smoothing", options.smoothing, 0.0f, 1.0f);
  return v.finish();
}

// Of given rows, forward and backward.
template <class Where, class T>
status check_smooth_labels(const char* function, const Where& where, const char* input_name,
                           const matrix<const T>& input, const char* output_name,
                           const matrix<T>& output, const smooth_labels_options& options) noexcept {
  validator v(function);
  v.check(where);
  v.check(input_name, input, role::in_place_input);
  v.positive(input_name, "cols", input.cols);
  v.check(output_name, output, role::in_place_output);
  v.same_shape(output_name, output, input_name, input);
  v.in_range("smoothing", options.smoothing, 0.0f, 1.0f);
  return v.finish();
}

}  // namespace culoss::detail
