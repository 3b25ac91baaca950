#include "host/regression.hpp"

#include <limits>

#include "host/elements.hpp"
#include "kernels/policy/residual.cuh"

namespace culoss {
namespace {

using kernels::residual_formula;

constexpr residual_formula kSquare{std::numeric_limits<float>::infinity(), 1.0f, 0.0f};
constexpr residual_formula kAbsolute{0.0f, 0.0f, 1.0f};
residual_formula huber_of(const huber_options& o) noexcept { return {o.delta, 0.5f, o.delta}; }
residual_formula smooth_l1_of(const smooth_l1_options& o) noexcept {
  return o.beta > 0.0f ? residual_formula{o.beta, 0.5f / o.beta, 1.0f} : kAbsolute;
}

template <class T, class Options>
status run(const cuda& where, const char* function, const detail::element_views<T>& e,
           const residual_formula& formula, const Options& options) noexcept {
  const status s = detail::check_regression(where, function, e, options);
  return s.ok() ? detail::run_elements(where, function, e, formula, options) : s;
}

}  // namespace

std::size_t regression_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return detail::element_workspace_bytes(rows, cols);
}

status mse(const cuda& where, matrix<const float> predictions, matrix<const float> targets,
           const regression_outputs<float>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs), kSquare, options);
}
status mse(const cuda& where, matrix<const half> predictions, matrix<const half> targets,
           const regression_outputs<half>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs), kSquare, options);
}
status mse(const cuda& where, matrix<const bf16> predictions, matrix<const bf16> targets,
           const regression_outputs<bf16>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs), kSquare, options);
}

status mae(const cuda& where, matrix<const float> predictions, matrix<const float> targets,
           const regression_outputs<float>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs), kAbsolute, options);
}
status mae(const cuda& where, matrix<const half> predictions, matrix<const half> targets,
           const regression_outputs<half>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs), kAbsolute, options);
}
status mae(const cuda& where, matrix<const bf16> predictions, matrix<const bf16> targets,
           const regression_outputs<bf16>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs), kAbsolute, options);
}

status huber(const cuda& where, matrix<const float> predictions, matrix<const float> targets,
             const regression_outputs<float>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}
status huber(const cuda& where, matrix<const half> predictions, matrix<const half> targets,
             const regression_outputs<half>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}
status huber(const cuda& where, matrix<const bf16> predictions, matrix<const bf16> targets,
             const regression_outputs<bf16>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}

status smooth_l1(const cuda& where, matrix<const float> predictions, matrix<const float> targets,
                 const regression_outputs<float>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}
status smooth_l1(const cuda& where, matrix<const half> predictions, matrix<const half> targets,
                 const regression_outputs<half>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}
status smooth_l1(const cuda& where, matrix<const bf16> predictions, matrix<const bf16> targets,
                 const regression_outputs<bf16>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}

}  // namespace culoss
