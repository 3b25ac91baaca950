// The `cuda` functions of a build without CUDA: the same symbols, each of which says so.
#include <culoss/culoss.hpp>

#include "host/status.hpp"

namespace culoss {
namespace {

status without_cuda(const char* function) noexcept {
  return detail::failure(status_code::unsupported, function, "this build is without CUDA");
}

}  // namespace

status read_faults(const cuda&, const fault_record*, faults*) noexcept {
  return without_cuda("read_faults");
}

status softmax(const cuda&, matrix<const float>, matrix<float>, const softmax_options&) noexcept {
  return without_cuda("softmax");
}
status softmax(const cuda&, matrix<const half>, matrix<half>, const softmax_options&) noexcept {
  return without_cuda("softmax");
}
status softmax(const cuda&, matrix<const bf16>, matrix<bf16>, const softmax_options&) noexcept {
  return without_cuda("softmax");
}

status log_softmax(const cuda&, matrix<const float>, matrix<float>,
                   const softmax_options&) noexcept {
  return without_cuda("log_softmax");
}
status log_softmax(const cuda&, matrix<const half>, matrix<half>, const softmax_options&) noexcept {
  return without_cuda("log_softmax");
}
status log_softmax(const cuda&, matrix<const bf16>, matrix<bf16>, const softmax_options&) noexcept {
  return without_cuda("log_softmax");
}

status softmax_backward(const cuda&, matrix<const float>, matrix<const float>, matrix<float>,
                        const softmax_options&) noexcept {
  return without_cuda("softmax_backward");
}
status softmax_backward(const cuda&, matrix<const half>, matrix<const half>, matrix<half>,
                        const softmax_options&) noexcept {
  return without_cuda("softmax_backward");
}
status softmax_backward(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<bf16>,
                        const softmax_options&) noexcept {
  return without_cuda("softmax_backward");
}

status log_softmax_backward(const cuda&, matrix<const float>, matrix<const float>, matrix<float>,
                            const softmax_options&) noexcept {
  return without_cuda("log_softmax_backward");
}
status log_softmax_backward(const cuda&, matrix<const half>, matrix<const half>, matrix<half>,
                            const softmax_options&) noexcept {
  return without_cuda("log_softmax_backward");
}
status log_softmax_backward(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<bf16>,
                            const softmax_options&) noexcept {
  return without_cuda("log_softmax_backward");
}

std::size_t cross_entropy_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status cross_entropy(const cuda&, matrix<const float>, label_view,
                     const cross_entropy_outputs<float>&, const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, matrix<const half>, label_view,
                     const cross_entropy_outputs<half>&, const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, matrix<const bf16>, label_view,
                     const cross_entropy_outputs<bf16>&, const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}

status cross_entropy_backward(const cuda&, matrix<const float>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<float>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, matrix<const half>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<half>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, matrix<const bf16>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<bf16>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}

cublas::~cublas() { release(); }
void cublas::release() noexcept {}
status cublas::create() noexcept { return without_cuda("cublas::create"); }
status cublas::borrow(cublasContext*, workspace) noexcept { return without_cuda("cublas::borrow"); }

similarity_workspace info_nce_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace clip_workspace(const similarity_shape&) noexcept { return {}; }

status info_nce(const cuda&, matrix<const float>, matrix<const float>, matrix<const float>,
                const info_nce_outputs<float>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const half>, matrix<const half>, matrix<const half>,
                const info_nce_outputs<half>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<const bf16>,
                const info_nce_outputs<bf16>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}

status clip(const cuda&, matrix<const float>, matrix<const float>, const clip_outputs<float>&,
            const clip_options&) noexcept {
  return without_cuda("clip");
}
status clip(const cuda&, matrix<const half>, matrix<const half>, const clip_outputs<half>&,
            const clip_options&) noexcept {
  return without_cuda("clip");
}
status clip(const cuda&, matrix<const bf16>, matrix<const bf16>, const clip_outputs<bf16>&,
            const clip_options&) noexcept {
  return without_cuda("clip");
}

}  // namespace culoss
