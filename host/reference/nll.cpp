// Negative log-likelihood and label smoothing on the CPU.
#include <vector>

#include "host/nll.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/nll.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

template <class T>
status run(const cpu& where, const matrix<const T>& input, const label_view& label_data,
           const nll_outputs<T>& out, const nll_options& options) noexcept {
  status s = detail::check_nll(where, input, label_data, out, options);
  if (!s.ok()) return s;
  return without_exceptions("nll", [&] {
    const float* weights = options.class_weights.data;
    const auto weight = [&](std::size_t t) {
      return weights == nullptr ? 1.0 : static_cast<double>(weights[t]);
    };
    const row_labels labels(label_data, input.cols, options.ignore_index);
    const batch b(options, labels.sum_of_weights(weight));
    std::vector<double> losses(static_cast<std::size_t>(input.rows));
    for_each_row(where, input.rows, input.cols, [&](std::int64_t i, std::span<double> g) {
      const row_kind kind = labels.kind(i);
      double& loss = losses[static_cast<std::size_t>(i)];
      double derivative = 0;
      if (kind == row_kind::bad_label) loss = kNan;
      if (kind == row_kind::labeled) {
        const std::size_t t = labels.target(i);
        const double value = load(input.data, i * input.ld + labels.label(i));
        loss = weighted(b.row_weight(i) * weight(t), nll_loss(value, options.input));
        derivative =
            weighted(b.gradient_scale(i) * weight(t), nll_derivative(value, options.input));
      }
      if (out.grad_input.empty()) return;
      if (const auto fixed = b.fixed_gradient(kind)) return fill_row(out.grad_input, i, *fixed);
      std::ranges::fill(g, 0.0);
      g[labels.target(i)] = derivative;
      store_row(out.grad_input, i, g);
    });
    b.write_loss(out.loss, losses);
    write(out.rows_counted, 0, labels.rows_counted());
    labels.record_faults(where.faults);
  });
}

template <class T>
status smooth(const cpu& where, const label_view& label_data, const matrix<T>& smoothed,
              const smooth_labels_options& options) noexcept {
  status s = detail::check_smooth_labels(where, label_data, smoothed, options);
  if (!s.ok()) return s;
  return without_exceptions("smooth_labels", [&] {
    const auto amount = static_cast<double>(options.smoothing);
    const row_labels labels(label_data, smoothed.cols, options.ignore_index);
    for_each_row(where, smoothed.rows, smoothed.cols, [&](std::int64_t i, std::span<double> q) {
      const row_kind kind = labels.kind(i);
      std::ranges::fill(q, kind == row_kind::bad_label ? kNan : 0.0);
      if (kind == row_kind::labeled) {
        q[labels.target(i)] = 1;
        for (double& q_j : q) q_j = smoothed_probability(q_j, q.size(), amount);
      }
      store_row(smoothed, i, q);
    });
    labels.record_faults(where.faults);
  });
}

// Each element by element(q_j), of given rows.
template <class T, class Element>
status transform(const char* function, const cpu& where, const matrix<const T>& input,
                 const matrix<T>& output, const Element& element) noexcept {
  return without_exceptions(function, [&] {
    for_each_row(where, input.rows, input.cols, [&](std::int64_t i, std::span<double> q) {
      load_row(input, i, q);
      for (double& q_j : q) q_j = element(q_j);
      store_row(output, i, q);
    });
  });
}

template <class T>
status smooth(const cpu& where, const matrix<const T>& targets, const matrix<T>& smoothed,
              const smooth_labels_options& options) noexcept {
  status s = detail::check_smooth_labels("smooth_labels", where, "targets", targets, "smoothed",
                                         smoothed, options);
  if (!s.ok()) return s;
  return transform("smooth_labels", where, targets, smoothed, [&](double q_j) {
    return smoothed_probability(q_j, static_cast<std::size_t>(targets.cols),
                                static_cast<double>(options.smoothing));
  });
}

template <class T>
status smooth_backward(const cpu& where, const matrix<const T>& grad_smoothed,
                       const matrix<T>& grad_targets,
                       const smooth_labels_options& options) noexcept {
  status s = detail::check_smooth_labels("smooth_labels_backward", where, "grad_smoothed",
                                         grad_smoothed, "grad_targets", grad_targets, options);
  if (!s.ok()) return s;
  return transform("smooth_labels_backward", where, grad_smoothed, grad_targets, [&](double g_j) {
    return weighted(1 - static_cast<double>(options.smoothing), g_j);
  });
}

}  // namespace

status nll(const cpu& where, matrix<const float> input, label_view labels,
           const nll_outputs<float>& outputs, const nll_options& options) noexcept {
  return run(where, input, labels, outputs, options);
}

status nll(const cpu& where, matrix<const half> input, label_view labels,
           const nll_outputs<half>& outputs, const nll_options& options) noexcept {
  return run(where, input, labels, outputs, options);
}

status nll(const cpu& where, matrix<const bf16> input, label_view labels,
           const nll_outputs<bf16>& outputs, const nll_options& options) noexcept {
  return run(where, input, labels, outputs, options);
}

status nll(const cpu& where, matrix<const double> input, label_view labels,
           const nll_outputs<double>& outputs, const nll_options& options) noexcept {
  return run(where, input, labels, outputs, options);
}

status smooth_labels(const cpu& where, label_view labels, matrix<float> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, labels, smoothed, options);
}

status smooth_labels(const cpu& where, label_view labels, matrix<half> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, labels, smoothed, options);
}

status smooth_labels(const cpu& where, label_view labels, matrix<bf16> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, labels, smoothed, options);
}

status smooth_labels(const cpu& where, label_view labels, matrix<double> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, labels, smoothed, options);
}

status smooth_labels(const cpu& where, matrix<const float> targets, matrix<float> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, targets, smoothed, options);
}

status smooth_labels(const cpu& where, matrix<const half> targets, matrix<half> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, targets, smoothed, options);
}

status smooth_labels(const cpu& where, matrix<const bf16> targets, matrix<bf16> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, targets, smoothed, options);
}

status smooth_labels(const cpu& where, matrix<const double> targets, matrix<double> smoothed,
                     const smooth_labels_options& options) noexcept {
  return smooth(where, targets, smoothed, options);
}

status smooth_labels_backward(const cpu& where, matrix<const float> grad_smoothed,
                              matrix<float> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return smooth_backward(where, grad_smoothed, grad_targets, options);
}

status smooth_labels_backward(const cpu& where, matrix<const half> grad_smoothed,
                              matrix<half> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return smooth_backward(where, grad_smoothed, grad_targets, options);
}

status smooth_labels_backward(const cpu& where, matrix<const bf16> grad_smoothed,
                              matrix<bf16> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return smooth_backward(where, grad_smoothed, grad_targets, options);
}

status smooth_labels_backward(const cpu& where, matrix<const double> grad_smoothed,
                              matrix<double> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return smooth_backward(where, grad_smoothed, grad_targets, options);
}

}  // namespace culoss
