// Binary cross-entropy on the CPU. The arithmetic of an element is in binary.hpp beside this file.
#include "host/reference/binary.hpp"

#include "host/binary.hpp"
#include "host/reference/elements.hpp"

namespace culoss {
namespace {

reference::binary_logit_formula formula_of(const binary_cross_entropy_options& o) noexcept {
  return {.pos_weight = o.pos_weight.data, .smoothing = static_cast<double>(o.label_smoothing)};
}
reference::binary_probability_formula formula_of(
    const binary_cross_entropy_probabilities_options&) noexcept {
  return {};
}

template <class T, class Options>
status run(const cpu& where, const char* function, const detail::element_views<T>& e,
           const Options& options) noexcept {
  const status s = detail::check_binary(where, e, options);
  return s.ok() ? reference::run_elements(where, function, e, formula_of(options), options) : s;
}

}  // namespace

status binary_cross_entropy(const cpu& where, matrix<const float> logits,
                            matrix<const float> targets,
                            const binary_cross_entropy_outputs<float>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}
status binary_cross_entropy(const cpu& where, matrix<const half> logits, matrix<const half> targets,
                            const binary_cross_entropy_outputs<half>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}
status binary_cross_entropy(const cpu& where, matrix<const bf16> logits, matrix<const bf16> targets,
                            const binary_cross_entropy_outputs<bf16>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}
status binary_cross_entropy(const cpu& where, matrix<const double> logits,
                            matrix<const double> targets,
                            const binary_cross_entropy_outputs<double>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}

status binary_cross_entropy_probabilities(
    const cpu& where, matrix<const float> probabilities, matrix<const float> targets,
    const binary_cross_entropy_probabilities_outputs<float>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}
status binary_cross_entropy_probabilities(
    const cpu& where, matrix<const half> probabilities, matrix<const half> targets,
    const binary_cross_entropy_probabilities_outputs<half>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}
status binary_cross_entropy_probabilities(
    const cpu& where, matrix<const bf16> probabilities, matrix<const bf16> targets,
    const binary_cross_entropy_probabilities_outputs<bf16>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}
status binary_cross_entropy_probabilities(
    const cpu& where, matrix<const double> probabilities, matrix<const double> targets,
    const binary_cross_entropy_probabilities_outputs<double>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}

}  // namespace culoss
