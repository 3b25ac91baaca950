// Margin losses on the CPU. The arithmetic of an element is in margin.hpp beside this file.
#include "host/reference/margin.hpp"

#include "host/margin.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/elements.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

reference::hinge_formula formula_of(const hinge_options& o) noexcept {
  return {.margin = static_cast<double>(o.margin), .power = o.power};
}
reference::soft_margin_formula formula_of(const soft_margin_options&) noexcept { return {}; }

template <class T, class Options>
status run(const cpu& where, const char* function, const detail::element_views<T>& e,
           const Options& options) noexcept {
  const status s = detail::check_margin(where, e, options);
  return s.ok() ? reference::run_elements(where, function, e, formula_of(options), options) : s;
}

template <class T>
status run(const cpu& where, const matrix<const T>& scores, const label_view& label_data,
           const multi_class_hinge_outputs<T>& out,
           const multi_class_hinge_options& options) noexcept {
  using namespace reference;
  status s = detail::check_multi_class_hinge(where, scores, label_data, out, options);
  if (!s.ok()) return s;
  return without_exceptions("multi_class_hinge", [&] {
    const multi_class_hinge_formula formula{.margin = static_cast<double>(options.margin),
                                            .power = options.power,
                                            .largest = options.form == hinge_form::max};
    const row_labels labels(label_data, scores.cols, options.ignore_index);
    const batch b(options, static_cast<double>(labels.rows_counted()));
    std::vector<double> losses(static_cast<std::size_t>(scores.rows));
    for_each_row(where, scores.rows, scores.cols, [&](std::int64_t i, std::span<double> x) {
      const row_kind kind = labels.kind(i);
      double& loss = losses[static_cast<std::size_t>(i)];
      if (kind == row_kind::bad_label) loss = kNan;
      if (kind == row_kind::labeled) {
        const std::size_t t = labels.target(i);
        const float* const weights = options.class_weights.data;
        const double weight = weights == nullptr ? 1.0 : static_cast<double>(weights[t]);
        load_row(scores, i, x);
        loss = weighted(b.row_weight(i) * weight, formula.loss<double>(x, t));
        formula.gradient(x, t, b.gradient_scale(i) * weight, x);
      }
      if (out.grad_scores.empty()) return;
      if (const auto fixed = b.fixed_gradient(kind)) return fill_row(out.grad_scores, i, *fixed);
      store_row(out.grad_scores, i, x);
    });
    b.write_loss(out.loss, losses);
    write(out.rows_counted, 0, labels.rows_counted());
    labels.record_faults(where.faults);
  });
}

}  // namespace

status hinge(const cpu& where, matrix<const float> scores, matrix<const float> targets,
             const margin_outputs<float>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}
status hinge(const cpu& where, matrix<const half> scores, matrix<const half> targets,
             const margin_outputs<half>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}
status hinge(const cpu& where, matrix<const bf16> scores, matrix<const bf16> targets,
             const margin_outputs<bf16>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}
status hinge(const cpu& where, matrix<const double> scores, matrix<const double> targets,
             const margin_outputs<double>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}

status hinge(const cpu& where, matrix<const float> scores, label_view labels,
             const margin_outputs<float>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}
status hinge(const cpu& where, matrix<const half> scores, label_view labels,
             const margin_outputs<half>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}
status hinge(const cpu& where, matrix<const bf16> scores, label_view labels,
             const margin_outputs<bf16>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}
status hinge(const cpu& where, matrix<const double> scores, label_view labels,
             const margin_outputs<double>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}

status soft_margin(const cpu& where, matrix<const float> scores, matrix<const float> targets,
                   const margin_outputs<float>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}
status soft_margin(const cpu& where, matrix<const half> scores, matrix<const half> targets,
                   const margin_outputs<half>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}
status soft_margin(const cpu& where, matrix<const bf16> scores, matrix<const bf16> targets,
                   const margin_outputs<bf16>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}
status soft_margin(const cpu& where, matrix<const double> scores, matrix<const double> targets,
                   const margin_outputs<double>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}

status soft_margin(const cpu& where, matrix<const float> scores, label_view labels,
                   const margin_outputs<float>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}
status soft_margin(const cpu& where, matrix<const half> scores, label_view labels,
                   const margin_outputs<half>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}
status soft_margin(const cpu& where, matrix<const bf16> scores, label_view labels,
                   const margin_outputs<bf16>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}
status soft_margin(const cpu& where, matrix<const double> scores, label_view labels,
                   const margin_outputs<double>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}

status multi_class_hinge(const cpu& where, matrix<const float> scores, label_view labels,
                         const multi_class_hinge_outputs<float>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}

status multi_class_hinge(const cpu& where, matrix<const half> scores, label_view labels,
                         const multi_class_hinge_outputs<half>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}

status multi_class_hinge(const cpu& where, matrix<const bf16> scores, label_view labels,
                         const multi_class_hinge_outputs<bf16>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}

status multi_class_hinge(const cpu& where, matrix<const double> scores, label_view labels,
                         const multi_class_hinge_outputs<double>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}

}  // namespace culoss
