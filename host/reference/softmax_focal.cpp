// Softmax focal loss on the CPU. The arithmetic of a row is in focal.hpp beside this file.
#include <vector>

#include "host/focal.hpp"
#include "host/reference/focal.hpp"
#include "host/reference/labeled_rows.hpp"

namespace culoss {
namespace {

using namespace reference;

// The labels and options of one call.
struct call {
  call(const label_view& label_data, std::int64_t classes, const softmax_focal_options& options)
      : labels(label_data, classes, options.ignore_index),
        row{.temperature = read_temperature(options.temperature)},
        shared(options, static_cast<double>(labels.rows_counted())),
        gamma(static_cast<double>(options.gamma)),
        alpha_of_class(options.alpha.data) {}

  // Of a labeled row.
  double alpha(std::int64_t i) const noexcept {
    return alpha_of_class == nullptr ? 1.0 : static_cast<double>(alpha_of_class[labels.target(i)]);
  }

  row_labels labels;
  row_options row;
  batch shared;
  double gamma;
  const float* alpha_of_class;
};

// The gradient of row i, whose logits are in x, or of a row whose logits do not matter.
template <class Logits>
void write_gradient(const Logits& gradient, std::int64_t i, const call& c,
                    const row_statistics<double>& statistics, std::span<double> x) noexcept {
  if (const auto fixed = c.shared.fixed_gradient(c.labels.kind(i))) {
    return fill_row(gradient, i, *fixed);
  }
  softmax_focal_gradient_row(x, c.labels.target(i), statistics, c.row, c.gamma,
                             c.shared.gradient_scale(i) * c.alpha(i), x);
  store_row(gradient, i, x);
}

template <class ConstLogits, class T, class Logits>
status run(const cpu& where, const ConstLogits& logits, const label_view& labels,
           const softmax_focal_outputs<T, Logits>& out,
           const softmax_focal_options& options) noexcept {
  status s = detail::check_softmax_focal(where, logits, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions("softmax_focal", [&] {
    const std::int64_t rows = detail::rows_of(logits), cols = detail::cols_of(logits);
    const call c(labels, cols, options);
    std::vector<double> losses(static_cast<std::size_t>(rows));
    std::vector<std::int64_t> argmax(losses.size());
    for_each_row(where, rows, cols, [&](std::int64_t i, std::span<double> x) {
      const auto k = static_cast<std::size_t>(i);
      const labeled_row row = read_row(logits, i, c.labels, c.row, x);
      losses[k] = row.lse;  // 0 or NaN, as everything of a row without a label
      argmax[k] = row.argmax;
      if (row.labeled) {
        const double loss = softmax_focal_row(row.statistics, c.row, c.gamma);
        losses[k] = weighted(c.shared.row_weight(i) * c.alpha(i), loss);
      }
      write(out.argmax, i, row.argmax);
      if (!out.statistics.empty()) {
        out.statistics.data[i] = rounded<real_of<T>>(row.statistics);
      }
      if (!out.grad_logits.empty()) write_gradient(out.grad_logits, i, c, row.statistics, x);
    });
    c.shared.write_loss(out.loss, losses);
    write(out.correct, 0, count_correct(c.labels, argmax));
    write(out.rows_counted, 0, c.labels.rows_counted());
    c.labels.record_faults(where.faults);
  });
}

template <class ConstLogits, class T, class Logits>
status run_backward(const cpu& where, const ConstLogits& logits, const label_view& labels,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const softmax_focal_backward_outputs<T, Logits>& out,
                    const softmax_focal_options& options) noexcept {
  status s = detail::check_softmax_focal_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions("softmax_focal_backward", [&] {
    const std::int64_t rows = detail::rows_of(logits), cols = detail::cols_of(logits);
    const call c(labels, cols, options);
    for_each_row(where, rows, cols, [&](std::int64_t i, std::span<double> x) {
      if (c.labels.kind(i) == row_kind::labeled) load_row(logits, i, x);
      write_gradient(out.grad_logits, i, c, widened(statistics.data[i]), x);
    });
    c.labels.record_faults(where.faults);
  });
}

}  // namespace

status softmax_focal(const cpu& where, matrix<const float> logits, label_view labels,
                     const softmax_focal_outputs<float>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, matrix<const half> logits, label_view labels,
                     const softmax_focal_outputs<half>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, matrix<const bf16> logits, label_view labels,
                     const softmax_focal_outputs<bf16>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, matrix<const double> logits, label_view labels,
                     const softmax_focal_outputs<double>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, strided_logits<const float> logits, label_view labels,
                     const softmax_focal_outputs<float, strided_logits<float>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, strided_logits<const half> logits, label_view labels,
                     const softmax_focal_outputs<half, strided_logits<half>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, strided_logits<const bf16> logits, label_view labels,
                     const softmax_focal_outputs<bf16, strided_logits<bf16>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal(const cpu& where, strided_logits<const double> logits, label_view labels,
                     const softmax_focal_outputs<double, strided_logits<double>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status softmax_focal_backward(const cpu& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<float>& outputs,
                              const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(const cpu& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<half>& outputs,
                              const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(const cpu& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<bf16>& outputs,
                              const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(const cpu& where, matrix<const double> logits, label_view labels,
                              vector<const row_statistics<double>> statistics,
                              const softmax_focal_backward_outputs<double>& outputs,
                              const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(
    const cpu& where, strided_logits<const float> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<float, strided_logits<float>>& outputs,
    const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(
    const cpu& where, strided_logits<const half> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<half, strided_logits<half>>& outputs,
    const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(
    const cpu& where, strided_logits<const bf16> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<bf16, strided_logits<bf16>>& outputs,
    const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(
    const cpu& where, strided_logits<const double> logits, label_view labels,
    vector<const row_statistics<double>> statistics,
    const softmax_focal_backward_outputs<double, strided_logits<double>>& outputs,
    const softmax_focal_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
