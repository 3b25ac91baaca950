// The `cuda` functions of a build without CUDA: the losses of elements.
#include <culoss/culoss.hpp>

#include "host/no_cuda.hpp"

namespace culoss {

using detail::without_cuda;

std::size_t regression_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status mse(const cuda&, matrix<const float>, matrix<const float>, const regression_outputs<float>&,
           const regression_options&) noexcept {
  return without_cuda("mse");
}
status mse(const cuda&, matrix<const half>, matrix<const half>, const regression_outputs<half>&,
           const regression_options&) noexcept {
  return without_cuda("mse");
}
status mse(const cuda&, matrix<const bf16>, matrix<const bf16>, const regression_outputs<bf16>&,
           const regression_options&) noexcept {
  return without_cuda("mse");
}

status mae(const cuda&, matrix<const float>, matrix<const float>, const regression_outputs<float>&,
           const regression_options&) noexcept {
  return without_cuda("mae");
}
status mae(const cuda&, matrix<const half>, matrix<const half>, const regression_outputs<half>&,
           const regression_options&) noexcept {
  return without_cuda("mae");
}
status mae(const cuda&, matrix<const bf16>, matrix<const bf16>, const regression_outputs<bf16>&,
           const regression_options&) noexcept {
  return without_cuda("mae");
}

status huber(const cuda&, matrix<const float>, matrix<const float>,
             const regression_outputs<float>&, const huber_options&) noexcept {
  return without_cuda("huber");
}
status huber(const cuda&, matrix<const half>, matrix<const half>, const regression_outputs<half>&,
             const huber_options&) noexcept {
  return without_cuda("huber");
}
status huber(const cuda&, matrix<const bf16>, matrix<const bf16>, const regression_outputs<bf16>&,
             const huber_options&) noexcept {
  return without_cuda("huber");
}

status smooth_l1(const cuda&, matrix<const float>, matrix<const float>,
                 const regression_outputs<float>&, const smooth_l1_options&) noexcept {
  return without_cuda("smooth_l1");
}
status smooth_l1(const cuda&, matrix<const half>, matrix<const half>,
                 const regression_outputs<half>&, const smooth_l1_options&) noexcept {
  return without_cuda("smooth_l1");
}
status smooth_l1(const cuda&, matrix<const bf16>, matrix<const bf16>,
                 const regression_outputs<bf16>&, const smooth_l1_options&) noexcept {
  return without_cuda("smooth_l1");
}

std::size_t binary_cross_entropy_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status binary_cross_entropy(const cuda&, matrix<const float>, matrix<const float>,
                            const binary_cross_entropy_outputs<float>&,
                            const binary_cross_entropy_options&) noexcept {
  return without_cuda("binary_cross_entropy");
}
status binary_cross_entropy(const cuda&, matrix<const half>, matrix<const half>,
                            const binary_cross_entropy_outputs<half>&,
                            const binary_cross_entropy_options&) noexcept {
  return without_cuda("binary_cross_entropy");
}
status binary_cross_entropy(const cuda&, matrix<const bf16>, matrix<const bf16>,
                            const binary_cross_entropy_outputs<bf16>&,
                            const binary_cross_entropy_options&) noexcept {
  return without_cuda("binary_cross_entropy");
}

status binary_cross_entropy_probabilities(
    const cuda&, matrix<const float>, matrix<const float>,
    const binary_cross_entropy_probabilities_outputs<float>&,
    const binary_cross_entropy_probabilities_options&) noexcept {
  return without_cuda("binary_cross_entropy_probabilities");
}
status binary_cross_entropy_probabilities(
    const cuda&, matrix<const half>, matrix<const half>,
    const binary_cross_entropy_probabilities_outputs<half>&,
    const binary_cross_entropy_probabilities_options&) noexcept {
  return without_cuda("binary_cross_entropy_probabilities");
}
status binary_cross_entropy_probabilities(
    const cuda&, matrix<const bf16>, matrix<const bf16>,
    const binary_cross_entropy_probabilities_outputs<bf16>&,
    const binary_cross_entropy_probabilities_options&) noexcept {
  return without_cuda("binary_cross_entropy_probabilities");
}

std::size_t margin_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status hinge(const cuda&, matrix<const float>, matrix<const float>, const margin_outputs<float>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}
status hinge(const cuda&, matrix<const half>, matrix<const half>, const margin_outputs<half>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}
status hinge(const cuda&, matrix<const bf16>, matrix<const bf16>, const margin_outputs<bf16>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}

status hinge(const cuda&, matrix<const float>, label_view, const margin_outputs<float>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}
status hinge(const cuda&, matrix<const half>, label_view, const margin_outputs<half>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}
status hinge(const cuda&, matrix<const bf16>, label_view, const margin_outputs<bf16>&,
             const hinge_options&) noexcept {
  return without_cuda("hinge");
}

status soft_margin(const cuda&, matrix<const float>, matrix<const float>,
                   const margin_outputs<float>&, const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}
status soft_margin(const cuda&, matrix<const half>, matrix<const half>, const margin_outputs<half>&,
                   const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}
status soft_margin(const cuda&, matrix<const bf16>, matrix<const bf16>, const margin_outputs<bf16>&,
                   const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}

status soft_margin(const cuda&, matrix<const float>, label_view, const margin_outputs<float>&,
                   const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}
status soft_margin(const cuda&, matrix<const half>, label_view, const margin_outputs<half>&,
                   const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}
status soft_margin(const cuda&, matrix<const bf16>, label_view, const margin_outputs<bf16>&,
                   const soft_margin_options&) noexcept {
  return without_cuda("soft_margin");
}

}  // namespace culoss
