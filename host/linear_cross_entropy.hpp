// What the CPU and the CUDA side of linear_cross_entropy share: the check of the arguments.
#pragma once

#include <culoss/linear_cross_entropy.hpp>

#include "host/cross_entropy.hpp"
#include "host/info_nce.hpp"

namespace culoss::detail {

// The options of the rows, as those of cross_entropy.
inline cross_entropy_options row_options_of(const linear_cross_entropy_options& o) noexcept {
  cross_entropy_options rows;
  rows.reduction = o.reduction;
  rows.label_smoothing = o.label_smoothing;
  rows.ignore_index = o.ignore_index;
  rows.temperature = o.temperature;
  rows.softcap = o.softcap;
  rows.z_loss = o.z_loss;
  rows.class_weights = o.class_weights;
  rows.row_weights = o.row_weights;
  rows.normalizer = o.normalizer;
  rows.upstream = o.upstream;
  rows.upstream_rows = o.upstream_rows;
  rows.empty = o.empty;
  rows.class_offset = o.class_offset;
  rows.classes = o.classes;
  return rows;
}

template <class T, class Outputs>
void check_linear(validator& v, const matrix<const T>& hidden, const matrix<const T>& weight,
                  const vector<const real_of<T>>& bias, const label_view& labels,
                  const Outputs& outputs, const linear_cross_entropy_options& options) noexcept {
  v.check("hidden", hidden, role::input);
  v.positive("hidden.cols", hidden.cols);
  v.check("weight", weight, role::input);
  v.positive("weight.rows", weight.rows);
  v.equal("weight", "cols", weight.cols, "hidden", "cols", hidden.cols);
  v.check_if_given("bias", bias, weight.rows, "weight.rows", role::input);
  v.check("labels", labels, hidden.rows, "hidden.rows");
  check_cross_entropy_options(v, {hidden.rows, "hidden.rows"}, {weight.rows, "weight.rows"},
                              options);
  check_gradient(v, "grad_hidden", outputs.grad_hidden, "hidden", hidden, options.accumulate);
  check_gradient(v, "grad_weight", outputs.grad_weight, "weight", weight, options.accumulate);
  v.require(!bias.empty() || outputs.grad_bias.empty(), "grad_bias is given, but bias is not");
  v.check_if_given("grad_bias", outputs.grad_bias, weight.rows, "weight.rows", role::output);
}
template <class Outputs>
bool wants_gradients(const Outputs& outputs) noexcept {
  return !outputs.grad_hidden.empty() || !outputs.grad_weight.empty() || !outputs.grad_bias.empty();
}

template <class Where, class T>
status check_linear_cross_entropy(const Where& where, const matrix<const T>& hidden,
                                  const matrix<const T>& weight,
                                  const vector<const real_of<T>>& bias, const label_view& labels,
                                  const linear_cross_entropy_outputs<T>& outputs,
                                  const linear_cross_entropy_options& options) noexcept {
  validator v("linear_cross_entropy");
  v.check(where);
  check_linear(v, hidden, weight, bias, labels, outputs, options);
  const counted_size rows{hidden.rows, "hidden.rows"};
  check_row_outputs(v, rows, outputs, options);
  check_label_outputs(v, rows, outputs, options, weight.rows, wants_gradients(outputs));
  return v.finish();
}

template <class Where, class T>
status check_linear_cross_entropy_backward(
    const Where& where, const matrix<const T>& hidden, const matrix<const T>& weight,
    const vector<const real_of<T>>& bias, const label_view& labels,
    const vector<const row_statistics<real_of<T>>>& statistics,
    const linear_cross_entropy_backward_outputs<T>& outputs,
    const linear_cross_entropy_options& options) noexcept {
  validator v("linear_cross_entropy_backward");
  v.check(where);
  check_linear(v, hidden, weight, bias, labels, outputs, options);
  v.check("statistics", statistics, hidden.rows, "hidden.rows", role::input);
  v.require(hidden.rows == 0 || wants_gradients(outputs), "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
