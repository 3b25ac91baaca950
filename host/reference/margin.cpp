// Margin losses on the CPU. The arithmetic of an element is in margin.hpp beside this file.
#include "host/reference/margin.hpp"

#include "host/margin.hpp"
#include "host/reference/elements.hpp"

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

}  // namespace culoss
