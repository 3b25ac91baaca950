#include "host/binary.hpp"

#include "host/elements.hpp"
#include "kernels/policy/binary.cuh"

namespace culoss {
namespace {

kernels::binary_logit_formula formula_of(const binary_cross_entropy_options& o) noexcept {
  return {o.pos_weight.data, o.pos_weight.size, 1.0f - o.label_smoothing, 0.5f * o.label_smoothing};
}
kernels::binary_probability_formula formula_of(
    const binary_cross_entropy_probabilities_options&) noexcept {
  return {};
}

template <class T, class Options>
status run(const cuda& where, const char* function, const detail::element_views<T>& e,
           const Options& options) noexcept {
  const status s = detail::check_binary(where, e, options);
  return s.ok() ? detail::run_elements(where, function, e, formula_of(options), options) : s;
}

}  // namespace

std::size_t binary_cross_entropy_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return detail::element_workspace_bytes(rows, cols);
}

status binary_cross_entropy(const cuda& where, matrix<const float> logits,
                            matrix<const float> targets,
                            const binary_cross_entropy_outputs<float>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}
status binary_cross_entropy(const cuda& where, matrix<const half> logits,
                            matrix<const half> targets,
                            const binary_cross_entropy_outputs<half>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}
status binary_cross_entropy(const cuda& where, matrix<const bf16> logits,
                            matrix<const bf16> targets,
                            const binary_cross_entropy_outputs<bf16>& outputs,
                            const binary_cross_entropy_options& options) noexcept {
  return run(where, "binary_cross_entropy", detail::views_of(logits, targets, outputs), options);
}

status binary_cross_entropy_probabilities(
    const cuda& where, matrix<const float> probabilities, matrix<const float> targets,
    const binary_cross_entropy_probabilities_outputs<float>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}
status binary_cross_entropy_probabilities(
    const cuda& where, matrix<const half> probabilities, matrix<const half> targets,
    const binary_cross_entropy_probabilities_outputs<half>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}
status binary_cross_entropy_probabilities(
    const cuda& where, matrix<const bf16> probabilities, matrix<const bf16> targets,
    const binary_cross_entropy_probabilities_outputs<bf16>& outputs,
    const binary_cross_entropy_probabilities_options& options) noexcept {
  return run(where, "binary_cross_entropy_probabilities",
             detail::views_of(probabilities, targets, outputs), options);
}

}  // namespace culoss
