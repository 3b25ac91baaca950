// The `cuda` functions of a build without CUDA: the same symbols, each of which says so.
#include <culoss/culoss.hpp>

#include "host/no_cuda.hpp"

namespace culoss {

using detail::without_cuda;

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

cublas::~cublas() { release(); }
void cublas::release() noexcept {}
status cublas::create() noexcept { return without_cuda("cublas::create"); }
status cublas::borrow(cublasContext*, workspace) noexcept { return without_cuda("cublas::borrow"); }

similarity_workspace info_nce_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace clip_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace siglip_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace nt_xent_workspace(const self_similarity_shape&) noexcept { return {}; }
similarity_workspace sup_con_workspace(const self_similarity_shape&) noexcept { return {}; }

status info_nce(const cuda&, matrix<const float>, matrix<const float>, matrix<const float>,
                const info_nce_outputs<float>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const float>, matrix<const float>, matrix<const float>,
                matrix<const float>, const info_nce_outputs<float>&,
                const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const half>, matrix<const half>, matrix<const half>,
                const info_nce_outputs<half>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const half>, matrix<const half>, matrix<const half>,
                matrix<const half>, const info_nce_outputs<half>&,
                const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<const bf16>,
                const info_nce_outputs<bf16>&, const info_nce_options&) noexcept {
  return without_cuda("info_nce");
}
status info_nce(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<const bf16>,
                matrix<const bf16>, const info_nce_outputs<bf16>&,
                const info_nce_options&) noexcept {
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

mined_triplet_workspace_bytes mined_triplet_workspace(const mined_triplet_shape&) noexcept {
  return {};
}
status mined_triplet(const cuda&, matrix<const float>, label_view,
                     const mined_triplet_outputs<float>&, const mined_triplet_options&) noexcept {
  return without_cuda("mined_triplet");
}
status mined_triplet(const cuda&, matrix<const half>, label_view,
                     const mined_triplet_outputs<half>&, const mined_triplet_options&) noexcept {
  return without_cuda("mined_triplet");
}
status mined_triplet(const cuda&, matrix<const bf16>, label_view,
                     const mined_triplet_outputs<bf16>&, const mined_triplet_options&) noexcept {
  return without_cuda("mined_triplet");
}

status siglip(const cuda&, matrix<const float>, matrix<const float>, const siglip_outputs<float>&,
              const siglip_options&) noexcept {
  return without_cuda("siglip");
}
status siglip(const cuda&, matrix<const half>, matrix<const half>, const siglip_outputs<half>&,
              const siglip_options&) noexcept {
  return without_cuda("siglip");
}
status siglip(const cuda&, matrix<const bf16>, matrix<const bf16>, const siglip_outputs<bf16>&,
              const siglip_options&) noexcept {
  return without_cuda("siglip");
}

status nt_xent(const cuda&, matrix<const float>, const nt_xent_outputs<float>&,
               const nt_xent_options&) noexcept {
  return without_cuda("nt_xent");
}
status nt_xent(const cuda&, matrix<const half>, const nt_xent_outputs<half>&,
               const nt_xent_options&) noexcept {
  return without_cuda("nt_xent");
}
status nt_xent(const cuda&, matrix<const bf16>, const nt_xent_outputs<bf16>&,
               const nt_xent_options&) noexcept {
  return without_cuda("nt_xent");
}

status sup_con(const cuda&, matrix<const float>, label_view, const sup_con_outputs<float>&,
               const sup_con_options&) noexcept {
  return without_cuda("sup_con");
}
status sup_con(const cuda&, matrix<const half>, label_view, const sup_con_outputs<half>&,
               const sup_con_options&) noexcept {
  return without_cuda("sup_con");
}
status sup_con(const cuda&, matrix<const bf16>, label_view, const sup_con_outputs<bf16>&,
               const sup_con_options&) noexcept {
  return without_cuda("sup_con");
}

linear_cross_entropy_plan linear_cross_entropy_workspace(
    const linear_cross_entropy_shape&) noexcept {
  return {};
}

status linear_cross_entropy(const cuda&, matrix<const float>, matrix<const float>,
                            vector<const float>, label_view,
                            const linear_cross_entropy_outputs<float>&,
                            const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy");
}
status linear_cross_entropy(const cuda&, matrix<const half>, matrix<const half>,
                            vector<const float>, label_view,
                            const linear_cross_entropy_outputs<half>&,
                            const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy");
}
status linear_cross_entropy(const cuda&, matrix<const bf16>, matrix<const bf16>,
                            vector<const float>, label_view,
                            const linear_cross_entropy_outputs<bf16>&,
                            const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy");
}

status linear_cross_entropy_backward(const cuda&, matrix<const float>, matrix<const float>,
                                     vector<const float>, label_view,
                                     vector<const row_statistics<float>>,
                                     const linear_cross_entropy_backward_outputs<float>&,
                                     const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy_backward");
}
status linear_cross_entropy_backward(const cuda&, matrix<const half>, matrix<const half>,
                                     vector<const float>, label_view,
                                     vector<const row_statistics<float>>,
                                     const linear_cross_entropy_backward_outputs<half>&,
                                     const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy_backward");
}
status linear_cross_entropy_backward(const cuda&, matrix<const bf16>, matrix<const bf16>,
                                     vector<const float>, label_view,
                                     vector<const row_statistics<float>>,
                                     const linear_cross_entropy_backward_outputs<bf16>&,
                                     const linear_cross_entropy_options&) noexcept {
  return without_cuda("linear_cross_entropy_backward");
}

}  // namespace culoss
