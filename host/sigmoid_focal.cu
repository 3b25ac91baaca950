#include "host/elements.hpp"
#include "host/focal.hpp"
#include "kernels/policy/sigmoid_focal.cuh"

namespace culoss {
namespace {

template <class T>
status run(const cuda& where, const detail::element_views<T>& e,
           const sigmoid_focal_options& options) noexcept {
  const status s = detail::check_sigmoid_focal(where, e, options);
  const kernels::sigmoid_focal_formula formula{options.gamma, options.alpha};
  return s.ok() ? detail::run_elements(where, "sigmoid_focal", e, formula, options) : s;
}

}  // namespace

std::size_t sigmoid_focal_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return detail::element_workspace_bytes(rows, cols);
}

status sigmoid_focal(const cuda& where, matrix<const float> logits, matrix<const float> targets,
                     const sigmoid_focal_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}
status sigmoid_focal(const cuda& where, matrix<const half> logits, matrix<const half> targets,
                     const sigmoid_focal_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}
status sigmoid_focal(const cuda& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const sigmoid_focal_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}

status sigmoid_focal(const cuda& where, matrix<const float> logits, label_view labels,
                     const sigmoid_focal_label_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}
status sigmoid_focal(const cuda& where, matrix<const half> logits, label_view labels,
                     const sigmoid_focal_label_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}
status sigmoid_focal(const cuda& where, matrix<const bf16> logits, label_view labels,
                     const sigmoid_focal_label_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}

}  // namespace culoss
