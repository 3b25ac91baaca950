// Regression losses on the CPU. The arithmetic of an element is in regression.hpp beside this file.
#include "host/regression.hpp"

#include "host/reference/elements.hpp"
#include "host/reference/regression.hpp"

namespace culoss {
namespace {

template <class Residual>
struct formula {
  Residual of;
  double negative = 0;  // labels make no targets here

  double loss(double x, double t, std::size_t) const noexcept { return of.value(x - t); }
  double by_input(double x, double t, std::size_t) const noexcept { return of.derivative(x - t); }
  double by_target(double x, double t, std::size_t) const noexcept { return -of.derivative(x - t); }
};

reference::huber_formula huber_of(const huber_options& o) noexcept {
  return {static_cast<double>(o.delta)};
}
reference::smooth_l1_formula smooth_l1_of(const smooth_l1_options& o) noexcept {
  return {static_cast<double>(o.beta)};
}

template <class T, class Residual, class Options>
status run(const cpu& where, const char* function, const detail::element_views<T>& e,
           const Residual& residual, const Options& options) noexcept {
  const status s = detail::check_regression(where, function, e, options);
  return s.ok() ? reference::run_elements(where, function, e, formula<Residual>{residual}, options)
                : s;
}

}  // namespace

status mse(const cpu& where, matrix<const float> predictions, matrix<const float> targets,
           const regression_outputs<float>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs),
             reference::mse_formula{}, options);
}
status mse(const cpu& where, matrix<const half> predictions, matrix<const half> targets,
           const regression_outputs<half>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs),
             reference::mse_formula{}, options);
}
status mse(const cpu& where, matrix<const bf16> predictions, matrix<const bf16> targets,
           const regression_outputs<bf16>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs),
             reference::mse_formula{}, options);
}
status mse(const cpu& where, matrix<const double> predictions, matrix<const double> targets,
           const regression_outputs<double>& outputs, const regression_options& options) noexcept {
  return run(where, "mse", detail::views_of(predictions, targets, outputs),
             reference::mse_formula{}, options);
}

status mae(const cpu& where, matrix<const float> predictions, matrix<const float> targets,
           const regression_outputs<float>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs),
             reference::mae_formula{}, options);
}
status mae(const cpu& where, matrix<const half> predictions, matrix<const half> targets,
           const regression_outputs<half>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs),
             reference::mae_formula{}, options);
}
status mae(const cpu& where, matrix<const bf16> predictions, matrix<const bf16> targets,
           const regression_outputs<bf16>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs),
             reference::mae_formula{}, options);
}
status mae(const cpu& where, matrix<const double> predictions, matrix<const double> targets,
           const regression_outputs<double>& outputs, const regression_options& options) noexcept {
  return run(where, "mae", detail::views_of(predictions, targets, outputs),
             reference::mae_formula{}, options);
}

status huber(const cpu& where, matrix<const float> predictions, matrix<const float> targets,
             const regression_outputs<float>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}
status huber(const cpu& where, matrix<const half> predictions, matrix<const half> targets,
             const regression_outputs<half>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}
status huber(const cpu& where, matrix<const bf16> predictions, matrix<const bf16> targets,
             const regression_outputs<bf16>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}
status huber(const cpu& where, matrix<const double> predictions, matrix<const double> targets,
             const regression_outputs<double>& outputs, const huber_options& options) noexcept {
  return run(where, "huber", detail::views_of(predictions, targets, outputs), huber_of(options),
             options);
}

status smooth_l1(const cpu& where, matrix<const float> predictions, matrix<const float> targets,
                 const regression_outputs<float>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}
status smooth_l1(const cpu& where, matrix<const half> predictions, matrix<const half> targets,
                 const regression_outputs<half>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}
status smooth_l1(const cpu& where, matrix<const bf16> predictions, matrix<const bf16> targets,
                 const regression_outputs<bf16>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}
status smooth_l1(const cpu& where, matrix<const double> predictions, matrix<const double> targets,
                 const regression_outputs<double>& outputs,
                 const smooth_l1_options& options) noexcept {
  return run(where, "smooth_l1", detail::views_of(predictions, targets, outputs),
             smooth_l1_of(options), options);
}

}  // namespace culoss
