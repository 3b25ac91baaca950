// Sigmoid focal loss on the CPU. The arithmetic of an element is in focal.hpp beside this file.
#include <vector>

#include "host/focal.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/focal.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

focal_options options_of_element(const sigmoid_focal_options& options) noexcept {
  return {.gamma = static_cast<double>(options.gamma), .alpha = static_cast<double>(options.alpha)};
}

// Row i, whose logits are in x and whose targets are in t; x is what the gradient of the logits
// becomes, t what that of the targets does. Returns the sum of the losses.
template <class Outputs>
double run_row(const Outputs& out, std::int64_t i, const batch& b, const focal_options& options,
               std::span<double> x, std::span<double> t) {
  std::vector<double> losses(x.size());
  double sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    losses[j] = weighted(b.row_weight(i), focal_loss(x[j], t[j], options));
    sum += losses[j];
    const double x_j = x[j], t_j = t[j];
    if (const auto fixed = b.fixed_gradient()) {
      x[j] = t[j] = *fixed;
      continue;
    }
    const double scale = b.gradient_scale(i);
    x[j] = scale * focal_derivative(x_j, t_j, options);
    t[j] = weighted(scale, focal_derivative_by_target(x_j, t_j, options));
  }
  if (!out.losses.empty()) store_row(out.losses, i, losses);
  if (!out.grad_logits.empty()) store_row(out.grad_logits, i, x);
  return sum;
}

template <class T>
status run(const cpu& where, const matrix<const T>& logits, const matrix<const T>& targets,
           const sigmoid_focal_outputs<T>& out, const sigmoid_focal_options& options) noexcept {
  status s = detail::check_sigmoid_focal(where, logits, targets, out, options);
  if (!s.ok()) return s;
  return without_exceptions("sigmoid_focal", [&] {
    const focal_options element = options_of_element(options);
    const batch b(options, static_cast<double>(logits.rows * logits.cols));
    const std::int64_t rows = logits.cols == 0 ? 0 : logits.rows;  // that have an element
    std::vector<double> sums(static_cast<std::size_t>(rows));
    for_each_row_pair(where, rows, logits.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> t) {
                        load_row(logits, i, x);
                        load_row(targets, i, t);
                        sums[static_cast<std::size_t>(i)] = run_row(out, i, b, element, x, t);
                        if (!out.grad_targets.empty()) store_row(out.grad_targets, i, t);
                      });
    b.write_loss(out.loss, sums);
  });
}

double divisor_of_mean(const row_labels& labels, std::int64_t cols,
                       const sigmoid_focal_options& options) noexcept {
  return static_cast<double>(options.mean_over == focal_mean::positives
                                 ? labels.count(row_kind::labeled)
                                 : labels.rows_counted() * cols);
}

template <class T>
status run(const cpu& where, const matrix<const T>& logits, const label_view& label_data,
           const sigmoid_focal_label_outputs<T>& out,
           const sigmoid_focal_options& options) noexcept {
  status s = detail::check_sigmoid_focal(where, logits, label_data, out, options);
  if (!s.ok()) return s;
  return without_exceptions("sigmoid_focal", [&] {
    const focal_options element = options_of_element(options);
    const row_labels labels(label_data, logits.cols, options.ignore_index,
                            detail::background_of(options, logits.cols));
    const batch b(options, divisor_of_mean(labels, logits.cols, options));
    std::vector<double> sums(static_cast<std::size_t>(logits.rows));
    for_each_row_pair(where, logits.rows, logits.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> t) {
                        const row_kind kind = labels.kind(i);
                        double& sum = sums[static_cast<std::size_t>(i)];
                        if (kind == row_kind::labeled || kind == row_kind::background) {
                          load_row(logits, i, x);
                          std::ranges::fill(t, 0.0);
                          if (kind == row_kind::labeled) t[labels.target(i)] = 1;
                          sum = run_row(out, i, b, element, x, t);
                          return;
                        }
                        sum = kind == row_kind::ignored ? 0.0 : kNan;
                        if (!out.losses.empty()) fill_row(out.losses, i, sum);
                        if (!out.grad_logits.empty())
                          fill_row(out.grad_logits, i, *b.fixed_gradient(kind));
                      });
    b.write_loss(out.loss, sums);
    write(out.positives, 0, labels.count(row_kind::labeled));
    labels.record_faults(where.faults);
  });
}

}  // namespace

status sigmoid_focal(const cpu& where, matrix<const float> logits, matrix<const float> targets,
                     const sigmoid_focal_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const half> logits, matrix<const half> targets,
                     const sigmoid_focal_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const sigmoid_focal_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const double> logits, matrix<const double> targets,
                     const sigmoid_focal_outputs<double>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const float> logits, label_view labels,
                     const sigmoid_focal_label_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const half> logits, label_view labels,
                     const sigmoid_focal_label_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const bf16> logits, label_view labels,
                     const sigmoid_focal_label_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status sigmoid_focal(const cpu& where, matrix<const double> logits, label_view labels,
                     const sigmoid_focal_label_outputs<double>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

}  // namespace culoss
