#include "host/margin.hpp"

#include "host/elements.hpp"
#include "host/row_call.hpp"
#include "kernels/policy/margin.cuh"
#include "kernels/policy/multi_class_hinge.cuh"

namespace culoss {
namespace {

kernels::hinge_formula formula_of(const hinge_options& o) noexcept {
  return {o.margin, o.power == 2};
}
kernels::soft_margin_formula formula_of(const soft_margin_options&) noexcept { return {}; }

template <class T, class Options>
status run(const cuda& where, const char* function, const detail::element_views<T>& e,
           const Options& options) noexcept {
  const status s = detail::check_margin(where, e, options);
  return s.ok() ? detail::run_elements(where, function, e, formula_of(options), options) : s;
}

template <class T>
status run(const cuda& where, const matrix<const T>& scores, const label_view& labels,
           const multi_class_hinge_outputs<T>& out,
           const multi_class_hinge_options& options) noexcept {
  using namespace detail;
  status s = check_multi_class_hinge(where, scores, labels, out, options);
  device_context context;
  if (s.ok()) s = open("multi_class_hinge", where, context);
  if (s.ok()) s = check_width(context, "scores.cols", scores.cols);
  if (!s.ok()) return s;
  kernels::multi_class_hinge_arguments<T> a{};
  a.in[0] = stream_of(scores);
  a.out[0] = target_of(out.grad_scores);
  a.rows = scores.rows;
  a.cols = scores.cols;
  a.all = labels_of(labels, options.ignore_index, scores.cols, options.ignore_index);
  a.class_weights = options.class_weights.data;
  a.margin = options.margin;
  a.squared = options.power == 2;
  a.largest = options.form == hinge_form::max;
  return run_rows(where, context, a, out.loss.data, out.rows_counted.data, options,
                  [&](const auto& rows) noexcept {
                    return launch_rows<kernels::multi_class_hinge_policy<T>,
                                       kernels::wide_multi_class_hinge_policy<T>>(context, rows);
                  });
}

}  // namespace

std::size_t margin_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return detail::element_workspace_bytes(rows, cols);
}

status hinge(const cuda& where, matrix<const float> scores, matrix<const float> targets,
             const margin_outputs<float>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}
status hinge(const cuda& where, matrix<const half> scores, matrix<const half> targets,
             const margin_outputs<half>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}
status hinge(const cuda& where, matrix<const bf16> scores, matrix<const bf16> targets,
             const margin_outputs<bf16>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, targets, outputs), options);
}

status hinge(const cuda& where, matrix<const float> scores, label_view labels,
             const margin_outputs<float>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}
status hinge(const cuda& where, matrix<const half> scores, label_view labels,
             const margin_outputs<half>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}
status hinge(const cuda& where, matrix<const bf16> scores, label_view labels,
             const margin_outputs<bf16>& outputs, const hinge_options& options) noexcept {
  return run(where, "hinge", detail::views_of(scores, labels, outputs), options);
}

status soft_margin(const cuda& where, matrix<const float> scores, matrix<const float> targets,
                   const margin_outputs<float>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}
status soft_margin(const cuda& where, matrix<const half> scores, matrix<const half> targets,
                   const margin_outputs<half>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}
status soft_margin(const cuda& where, matrix<const bf16> scores, matrix<const bf16> targets,
                   const margin_outputs<bf16>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, targets, outputs), options);
}

status soft_margin(const cuda& where, matrix<const float> scores, label_view labels,
                   const margin_outputs<float>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}
status soft_margin(const cuda& where, matrix<const half> scores, label_view labels,
                   const margin_outputs<half>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}
status soft_margin(const cuda& where, matrix<const bf16> scores, label_view labels,
                   const margin_outputs<bf16>& outputs,
                   const soft_margin_options& options) noexcept {
  return run(where, "soft_margin", detail::views_of(scores, labels, outputs), options);
}

std::size_t multi_class_hinge_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return detail::row_memory_bytes(rows);
}

status multi_class_hinge(const cuda& where, matrix<const float> scores, label_view labels,
                         const multi_class_hinge_outputs<float>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}
status multi_class_hinge(const cuda& where, matrix<const half> scores, label_view labels,
                         const multi_class_hinge_outputs<half>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}
status multi_class_hinge(const cuda& where, matrix<const bf16> scores, label_view labels,
                         const multi_class_hinge_outputs<bf16>& outputs,
                         const multi_class_hinge_options& options) noexcept {
  return run(where, scores, labels, outputs, options);
}

}  // namespace culoss
