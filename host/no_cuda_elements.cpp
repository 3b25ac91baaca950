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

}  // namespace culoss
