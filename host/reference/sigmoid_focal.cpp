// Sigmoid focal loss on the CPU. The arithmetic of an element is in focal.hpp beside this file.
#include "host/focal.hpp"
#include "host/reference/elements.hpp"
#include "host/reference/focal.hpp"

namespace culoss {
namespace {

struct formula {
  reference::focal_options options;
  double negative = 0;

  double loss(double x, double t, std::size_t) const noexcept {
    return reference::focal_loss(x, t, options);
  }
  double by_input(double x, double t, std::size_t) const noexcept {
    return reference::focal_derivative(x, t, options);
  }
  double by_target(double x, double t, std::size_t) const noexcept {
    return reference::focal_derivative_by_target(x, t, options);
  }
};

template <class T>
status run(const cpu& where, const detail::element_views<T>& e,
           const sigmoid_focal_options& options) noexcept {
  const status s = detail::check_sigmoid_focal(where, e, options);
  if (!s.ok()) return s;
  const formula of{
      {.gamma = static_cast<double>(options.gamma), .alpha = static_cast<double>(options.alpha)}};
  return reference::run_elements(where, "sigmoid_focal", e, of, options);
}

}  // namespace

status sigmoid_focal(const cpu& where, matrix<const float> logits, matrix<const float> targets,
                     const sigmoid_focal_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const half> logits, matrix<const half> targets,
                     const sigmoid_focal_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const sigmoid_focal_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const double> logits, matrix<const double> targets,
                     const sigmoid_focal_outputs<double>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, targets, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const float> logits, label_view labels,
                     const sigmoid_focal_label_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const half> logits, label_view labels,
                     const sigmoid_focal_label_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const bf16> logits, label_view labels,
                     const sigmoid_focal_label_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}

status sigmoid_focal(const cpu& where, matrix<const double> logits, label_view labels,
                     const sigmoid_focal_label_outputs<double>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return run(where, detail::views_of(logits, labels, outputs), options);
}

}  // namespace culoss
