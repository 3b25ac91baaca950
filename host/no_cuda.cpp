// The `cuda` functions of a build without CUDA: the same symbols, each of which says so.
#include <culoss/culoss.hpp>

#include "host/status.hpp"

namespace culoss {
namespace {

template <class T>
using in = matrix<const T>;
template <class T>
using image = strided_logits<T>;
using saved = vector<const row_statistics<float>>;

}  // namespace

#define NO_CUDA(function, ...)                                                                 \
  status function(const cuda&, __VA_ARGS__) noexcept {                                         \
    return detail::failure(status_code::unsupported, #function, "this build is without CUDA"); \
  }

// An overload for each element type.
// NOLINTBEGIN(bugprone-macro-parentheses): T is a type
#define OVERLOADS(T)                                                                               \
  NO_CUDA(softmax, in<T>, matrix<T>, const softmax_options&)                                       \
  NO_CUDA(log_softmax, in<T>, matrix<T>, const softmax_options&)                                   \
  NO_CUDA(softmax_backward, in<T>, in<T>, matrix<T>, const softmax_options&)                       \
  NO_CUDA(log_softmax_backward, in<T>, in<T>, matrix<T>, const softmax_options&)                   \
  NO_CUDA(cross_entropy, in<T>, label_view, const cross_entropy_outputs<T>&,                       \
          const cross_entropy_options&)                                                            \
  NO_CUDA(cross_entropy, in<T>, in<T>, const cross_entropy_soft_outputs<T>&,                       \
          const cross_entropy_options&)                                                            \
  NO_CUDA(cross_entropy, image<const T>, label_view, const cross_entropy_outputs<T, image<T>>&,    \
          const cross_entropy_options&)                                                            \
  NO_CUDA(cross_entropy_backward, in<T>, label_view, saved,                                        \
          const cross_entropy_backward_outputs<T>&, const cross_entropy_options&)                  \
  NO_CUDA(cross_entropy_backward, in<T>, in<T>, saved,                                             \
          const cross_entropy_soft_backward_outputs<T>&, const cross_entropy_options&)             \
  NO_CUDA(cross_entropy_backward, image<const T>, label_view, saved,                               \
          const cross_entropy_backward_outputs<T, image<T>>&, const cross_entropy_options&)        \
  NO_CUDA(softmax_focal, in<T>, label_view, const softmax_focal_outputs<T>&,                       \
          const softmax_focal_options&)                                                            \
  NO_CUDA(softmax_focal, image<const T>, label_view, const softmax_focal_outputs<T, image<T>>&,    \
          const softmax_focal_options&)                                                            \
  NO_CUDA(softmax_focal_backward, in<T>, label_view, saved,                                        \
          const softmax_focal_backward_outputs<T>&, const softmax_focal_options&)                  \
  NO_CUDA(softmax_focal_backward, image<const T>, label_view, saved,                               \
          const softmax_focal_backward_outputs<T, image<T>>&, const softmax_focal_options&)        \
  NO_CUDA(sigmoid_focal, in<T>, in<T>, const sigmoid_focal_outputs<T>&,                            \
          const sigmoid_focal_options&)                                                            \
  NO_CUDA(sigmoid_focal, in<T>, label_view, const sigmoid_focal_label_outputs<T>&,                 \
          const sigmoid_focal_options&)                                                            \
  NO_CUDA(mse, in<T>, in<T>, const regression_outputs<T>&, const regression_options&)              \
  NO_CUDA(mae, in<T>, in<T>, const regression_outputs<T>&, const regression_options&)              \
  NO_CUDA(huber, in<T>, in<T>, const regression_outputs<T>&, const huber_options&)                 \
  NO_CUDA(smooth_l1, in<T>, in<T>, const regression_outputs<T>&, const smooth_l1_options&)         \
  NO_CUDA(binary_cross_entropy, in<T>, in<T>, const binary_cross_entropy_outputs<T>&,              \
          const binary_cross_entropy_options&)                                                     \
  NO_CUDA(binary_cross_entropy_probabilities, in<T>, in<T>,                                        \
          const binary_cross_entropy_probabilities_outputs<T>&,                                    \
          const binary_cross_entropy_probabilities_options&)                                       \
  NO_CUDA(hinge, in<T>, in<T>, const margin_outputs<T>&, const hinge_options&)                     \
  NO_CUDA(hinge, in<T>, label_view, const margin_outputs<T>&, const hinge_options&)                \
  NO_CUDA(soft_margin, in<T>, in<T>, const margin_outputs<T>&, const soft_margin_options&)         \
  NO_CUDA(soft_margin, in<T>, label_view, const margin_outputs<T>&, const soft_margin_options&)    \
  NO_CUDA(nll, in<T>, label_view, const nll_outputs<T>&, const nll_options&)                       \
  NO_CUDA(smooth_labels, label_view, matrix<T>, const smooth_labels_options&)                      \
  NO_CUDA(smooth_labels, in<T>, matrix<T>, const smooth_labels_options&)                           \
  NO_CUDA(smooth_labels_backward, in<T>, matrix<T>, const smooth_labels_options&)                  \
  NO_CUDA(entropy, in<T>, const entropy_outputs<T>&, const entropy_options&)                       \
  NO_CUDA(kl_divergence, in<T>, in<T>, const kl_divergence_outputs<T>&,                            \
          const kl_divergence_options&)                                                            \
  NO_CUDA(distillation, in<T>, in<T>, const distillation_outputs<T>&, const distillation_options&) \
  NO_CUDA(multi_class_hinge, in<T>, label_view, const multi_class_hinge_outputs<T>&,               \
          const multi_class_hinge_options&)                                                        \
  NO_CUDA(cosine_embedding, in<T>, in<T>, label_view, const pair_outputs<T>&,                      \
          const cosine_embedding_options&)                                                         \
  NO_CUDA(contrastive, in<T>, in<T>, label_view, const pair_outputs<T>&,                           \
          const contrastive_options&)                                                              \
  NO_CUDA(triplet, in<T>, in<T>, in<T>, const triplet_outputs<T>&, const triplet_options&)         \
  NO_CUDA(info_nce, in<T>, in<T>, in<T>, const info_nce_outputs<T>&, const info_nce_options&)      \
  NO_CUDA(info_nce, in<T>, in<T>, in<T>, in<T>, const info_nce_outputs<T>&,                        \
          const info_nce_options&)                                                                 \
  NO_CUDA(clip, in<T>, in<T>, const clip_outputs<T>&, const clip_options&)                         \
  NO_CUDA(siglip, in<T>, in<T>, const siglip_outputs<T>&, const siglip_options&)                   \
  NO_CUDA(nt_xent, in<T>, const nt_xent_outputs<T>&, const nt_xent_options&)                       \
  NO_CUDA(sup_con, in<T>, label_view, const sup_con_outputs<T>&, const sup_con_options&)           \
  NO_CUDA(mined_triplet, in<T>, label_view, const mined_triplet_outputs<T>&,                       \
          const mined_triplet_options&)                                                            \
  NO_CUDA(linear_cross_entropy, in<T>, in<T>, vector<const float>, label_view,                     \
          const linear_cross_entropy_outputs<T>&, const linear_cross_entropy_options&)             \
  NO_CUDA(linear_cross_entropy_backward, in<T>, in<T>, vector<const float>, label_view, saved,     \
          const linear_cross_entropy_backward_outputs<T>&, const linear_cross_entropy_options&)
// NOLINTEND(bugprone-macro-parentheses)

OVERLOADS(float)
OVERLOADS(half)
OVERLOADS(bf16)

NO_CUDA(merge_statistics, matrix<const shard_statistics<float>>, label_view,
        const merged_outputs<float>&, const cross_entropy_options&)
NO_CUDA(read_faults, const fault_record*, faults*)

#define NO_SCRATCH(function) \
  std::size_t function(std::int64_t, std::int64_t) noexcept { return 0; }
NO_SCRATCH(cross_entropy_workspace_bytes)
NO_SCRATCH(softmax_focal_workspace_bytes)
NO_SCRATCH(sigmoid_focal_workspace_bytes)
NO_SCRATCH(nll_workspace_bytes)
NO_SCRATCH(entropy_workspace_bytes)
NO_SCRATCH(kl_divergence_workspace_bytes)
NO_SCRATCH(distillation_workspace_bytes)
NO_SCRATCH(multi_class_hinge_workspace_bytes)
NO_SCRATCH(regression_workspace_bytes)
NO_SCRATCH(binary_cross_entropy_workspace_bytes)
NO_SCRATCH(margin_workspace_bytes)
NO_SCRATCH(cosine_embedding_workspace_bytes)
NO_SCRATCH(contrastive_workspace_bytes)
NO_SCRATCH(triplet_workspace_bytes)

similarity_workspace info_nce_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace clip_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace siglip_workspace(const similarity_shape&) noexcept { return {}; }
similarity_workspace nt_xent_workspace(const self_similarity_shape&) noexcept { return {}; }
similarity_workspace sup_con_workspace(const self_similarity_shape&) noexcept { return {}; }
mined_triplet_workspace_bytes mined_triplet_workspace(const mined_triplet_shape&) noexcept {
  return {};
}
linear_cross_entropy_plan linear_cross_entropy_workspace(
    const linear_cross_entropy_shape&) noexcept {
  return {};
}

cublas::~cublas() { release(); }
void cublas::release() noexcept {}
status cublas::create() noexcept {
  return detail::failure(status_code::unsupported, "cublas::create", "this build is without CUDA");
}
status cublas::borrow(cublasContext*, workspace) noexcept {
  return detail::failure(status_code::unsupported, "cublas::borrow", "this build is without CUDA");
}

}  // namespace culoss
