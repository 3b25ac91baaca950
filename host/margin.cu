#include "host/margin.hpp"

#include "host/elements.hpp"
#include "kernels/policy/margin.cuh"

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

}  // namespace culoss
