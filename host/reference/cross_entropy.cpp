// Cross-entropy with labels on the CPU. The arithmetic of a row is in cross_entropy.hpp beside this
// file.
#include "host/reference/cross_entropy.hpp"

#include <vector>

#include "host/cross_entropy.hpp"
#include "host/reference/divergence.hpp"
#include "host/reference/labeled_rows.hpp"

namespace culoss {
namespace {

using namespace reference;

// The labels and options of one call.
struct call {
  call(const label_view& label_data, std::int64_t classes, const cross_entropy_options& options)
      : labels(label_data, classes, options.ignore_index),
        row(options_of_row(options)),
        shared(options, labels.sum_of_weights([&](std::size_t t) { return row.weight(t); })) {}
  row_labels labels;
  row_options row;
  batch shared;
};

// The gradient of row i, whose logits are in x, or of a row whose logits do not matter.
template <class Logits>
void write_gradient(const Logits& gradient, std::int64_t i, const call& c,
                    const row_statistics<double>& statistics, std::span<double> x) noexcept {
  if (const auto fixed = c.shared.fixed_gradient(c.labels.kind(i))) {
    return fill_row(gradient, i, *fixed);
  }
  cross_entropy_gradient_row(x, c.labels.target(i), statistics, c.row, c.shared.gradient_scale(i),
                             x);
  store_row(gradient, i, x);
}

template <class ConstLogits, class T, class Logits>
status run(const cpu& where, const ConstLogits& logits, const label_view& labels,
           const cross_entropy_outputs<T, Logits>& out,
           const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy(where, logits, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy", [&] {
    const std::int64_t rows = detail::rows_of(logits), cols = detail::cols_of(logits);
    const call c(labels, cols, options);
    const auto cap = [&](double x) { return c.row.capped(x); };
    std::vector<double> losses(static_cast<std::size_t>(rows)), z_losses(losses.size());
    std::vector<std::int64_t> argmax(losses.size());
    for_each_row(where, rows, cols, [&](std::int64_t i, std::span<double> x) {
      const auto k = static_cast<std::size_t>(i);
      const labeled_row row = read_row(logits, i, c.labels, c.row, x);
      double entropy = row.lse;  // 0 or NaN, as everything of a row without a label
      losses[k] = z_losses[k] = row.lse;
      argmax[k] = row.argmax;
      if (row.labeled) {
        const double weight = c.shared.row_weight(i), z_loss = z_loss_row(row.lse, c.row);
        z_losses[k] = weighted(weight, z_loss);
        if (!out.loss.empty()) {
          const std::size_t target = c.labels.target(i);
          const double ce = cross_entropy_row<double>(x, target, row.statistics, c.row);
          losses[k] = weighted(weight, ce + z_loss);
        }
        if (!out.entropy.empty()) {
          entropy = entropy_of_logits<double>(x, c.row.temperature, cap).value();
        }
      }
      write(out.lse, i, row.lse);
      write(out.entropy, i, entropy);
      write(out.argmax, i, row.argmax);
      if (!out.statistics.empty()) {
        out.statistics.data[i] = rounded<real_of<T>>(row.statistics);
      }
      if (!out.grad_logits.empty()) write_gradient(out.grad_logits, i, c, row.statistics, x);
    });
    c.shared.write_loss(out.loss, losses);
    c.shared.write_loss(out.z_loss, z_losses);
    write(out.correct, 0, count_correct(c.labels, argmax));
    write(out.rows_counted, 0, c.labels.rows_counted());
    c.labels.record_faults(where.faults);
  });
}

template <class ConstLogits, class T, class Logits>
status run_backward(const cpu& where, const ConstLogits& logits, const label_view& labels,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const cross_entropy_backward_outputs<T, Logits>& out,
                    const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy_backward", [&] {
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

status cross_entropy(const cpu& where, matrix<const float> logits, label_view labels,
                     const cross_entropy_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const half> logits, label_view labels,
                     const cross_entropy_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const double> logits, label_view labels,
                     const cross_entropy_outputs<double>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const float> logits, label_view labels,
                     const cross_entropy_outputs<float, strided_logits<float>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const half> logits, label_view labels,
                     const cross_entropy_outputs<half, strided_logits<half>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16, strided_logits<bf16>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const double> logits, label_view labels,
                     const cross_entropy_outputs<double, strided_logits<double>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const double> logits, label_view labels,
                              vector<const row_statistics<double>> statistics,
                              const cross_entropy_backward_outputs<double>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const float> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<float, strided_logits<float>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const half> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<half, strided_logits<half>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const bf16> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const double> logits, label_view labels,
    vector<const row_statistics<double>> statistics,
    const cross_entropy_backward_outputs<double, strided_logits<double>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
