// The `cuda` functions of a build without CUDA: the losses of rows of classes.
#include <culoss/culoss.hpp>

#include "host/no_cuda.hpp"

namespace culoss {

using detail::without_cuda;

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

status cross_entropy(const cuda&, matrix<const float>, matrix<const float>,
                     const cross_entropy_soft_outputs<float>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, matrix<const half>, matrix<const half>,
                     const cross_entropy_soft_outputs<half>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, matrix<const bf16>, matrix<const bf16>,
                     const cross_entropy_soft_outputs<bf16>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}

status cross_entropy(const cuda&, strided_logits<const float>, label_view,
                     const cross_entropy_outputs<float, strided_logits<float>>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, strided_logits<const half>, label_view,
                     const cross_entropy_outputs<half, strided_logits<half>>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}
status cross_entropy(const cuda&, strided_logits<const bf16>, label_view,
                     const cross_entropy_outputs<bf16, strided_logits<bf16>>&,
                     const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy");
}

status merge_statistics(const cuda&, matrix<const shard_statistics<float>>, label_view,
                        const merged_outputs<float>&, const cross_entropy_options&) noexcept {
  return without_cuda("merge_statistics");
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

status cross_entropy_backward(const cuda&, matrix<const float>, matrix<const float>,
                              vector<const row_statistics<float>>,
                              const cross_entropy_soft_backward_outputs<float>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, matrix<const half>, matrix<const half>,
                              vector<const row_statistics<float>>,
                              const cross_entropy_soft_backward_outputs<half>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, matrix<const bf16>, matrix<const bf16>,
                              vector<const row_statistics<float>>,
                              const cross_entropy_soft_backward_outputs<bf16>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}

status cross_entropy_backward(const cuda&, strided_logits<const float>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<float, strided_logits<float>>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, strided_logits<const half>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<half, strided_logits<half>>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}
status cross_entropy_backward(const cuda&, strided_logits<const bf16>, label_view,
                              vector<const row_statistics<float>>,
                              const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>&,
                              const cross_entropy_options&) noexcept {
  return without_cuda("cross_entropy_backward");
}

std::size_t softmax_focal_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status softmax_focal(const cuda&, matrix<const float>, label_view,
                     const softmax_focal_outputs<float>&, const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}
status softmax_focal(const cuda&, matrix<const half>, label_view,
                     const softmax_focal_outputs<half>&, const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}
status softmax_focal(const cuda&, matrix<const bf16>, label_view,
                     const softmax_focal_outputs<bf16>&, const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}

status softmax_focal(const cuda&, strided_logits<const float>, label_view,
                     const softmax_focal_outputs<float, strided_logits<float>>&,
                     const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}
status softmax_focal(const cuda&, strided_logits<const half>, label_view,
                     const softmax_focal_outputs<half, strided_logits<half>>&,
                     const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}
status softmax_focal(const cuda&, strided_logits<const bf16>, label_view,
                     const softmax_focal_outputs<bf16, strided_logits<bf16>>&,
                     const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal");
}

status softmax_focal_backward(const cuda&, matrix<const float>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<float>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}
status softmax_focal_backward(const cuda&, matrix<const half>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<half>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}
status softmax_focal_backward(const cuda&, matrix<const bf16>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<bf16>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}

status softmax_focal_backward(const cuda&, strided_logits<const float>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<float, strided_logits<float>>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}
status softmax_focal_backward(const cuda&, strided_logits<const half>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<half, strided_logits<half>>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}
status softmax_focal_backward(const cuda&, strided_logits<const bf16>, label_view,
                              vector<const row_statistics<float>>,
                              const softmax_focal_backward_outputs<bf16, strided_logits<bf16>>&,
                              const softmax_focal_options&) noexcept {
  return without_cuda("softmax_focal_backward");
}

std::size_t sigmoid_focal_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status sigmoid_focal(const cuda&, matrix<const float>, matrix<const float>,
                     const sigmoid_focal_outputs<float>&, const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}
status sigmoid_focal(const cuda&, matrix<const half>, matrix<const half>,
                     const sigmoid_focal_outputs<half>&, const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}
status sigmoid_focal(const cuda&, matrix<const bf16>, matrix<const bf16>,
                     const sigmoid_focal_outputs<bf16>&, const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}

status sigmoid_focal(const cuda&, matrix<const float>, label_view,
                     const sigmoid_focal_label_outputs<float>&,
                     const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}
status sigmoid_focal(const cuda&, matrix<const half>, label_view,
                     const sigmoid_focal_label_outputs<half>&,
                     const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}
status sigmoid_focal(const cuda&, matrix<const bf16>, label_view,
                     const sigmoid_focal_label_outputs<bf16>&,
                     const sigmoid_focal_options&) noexcept {
  return without_cuda("sigmoid_focal");
}

std::size_t nll_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status nll(const cuda&, matrix<const float>, label_view, const nll_outputs<float>&,
           const nll_options&) noexcept {
  return without_cuda("nll");
}
status nll(const cuda&, matrix<const half>, label_view, const nll_outputs<half>&,
           const nll_options&) noexcept {
  return without_cuda("nll");
}
status nll(const cuda&, matrix<const bf16>, label_view, const nll_outputs<bf16>&,
           const nll_options&) noexcept {
  return without_cuda("nll");
}

status smooth_labels(const cuda&, label_view, matrix<float>,
                     const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}
status smooth_labels(const cuda&, label_view, matrix<half>, const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}
status smooth_labels(const cuda&, label_view, matrix<bf16>, const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}

status smooth_labels(const cuda&, matrix<const float>, matrix<float>,
                     const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}
status smooth_labels(const cuda&, matrix<const half>, matrix<half>,
                     const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}
status smooth_labels(const cuda&, matrix<const bf16>, matrix<bf16>,
                     const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels");
}

status smooth_labels_backward(const cuda&, matrix<const float>, matrix<float>,
                              const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels_backward");
}
status smooth_labels_backward(const cuda&, matrix<const half>, matrix<half>,
                              const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels_backward");
}
status smooth_labels_backward(const cuda&, matrix<const bf16>, matrix<bf16>,
                              const smooth_labels_options&) noexcept {
  return without_cuda("smooth_labels_backward");
}

std::size_t entropy_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status entropy(const cuda&, matrix<const float>, const entropy_outputs<float>&,
               const entropy_options&) noexcept {
  return without_cuda("entropy");
}
status entropy(const cuda&, matrix<const half>, const entropy_outputs<half>&,
               const entropy_options&) noexcept {
  return without_cuda("entropy");
}
status entropy(const cuda&, matrix<const bf16>, const entropy_outputs<bf16>&,
               const entropy_options&) noexcept {
  return without_cuda("entropy");
}

std::size_t kl_divergence_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status kl_divergence(const cuda&, matrix<const float>, matrix<const float>,
                     const kl_divergence_outputs<float>&, const kl_divergence_options&) noexcept {
  return without_cuda("kl_divergence");
}
status kl_divergence(const cuda&, matrix<const half>, matrix<const half>,
                     const kl_divergence_outputs<half>&, const kl_divergence_options&) noexcept {
  return without_cuda("kl_divergence");
}
status kl_divergence(const cuda&, matrix<const bf16>, matrix<const bf16>,
                     const kl_divergence_outputs<bf16>&, const kl_divergence_options&) noexcept {
  return without_cuda("kl_divergence");
}

std::size_t distillation_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status distillation(const cuda&, matrix<const float>, matrix<const float>,
                    const distillation_outputs<float>&, const distillation_options&) noexcept {
  return without_cuda("distillation");
}
status distillation(const cuda&, matrix<const half>, matrix<const half>,
                    const distillation_outputs<half>&, const distillation_options&) noexcept {
  return without_cuda("distillation");
}
status distillation(const cuda&, matrix<const bf16>, matrix<const bf16>,
                    const distillation_outputs<bf16>&, const distillation_options&) noexcept {
  return without_cuda("distillation");
}

std::size_t multi_class_hinge_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status multi_class_hinge(const cuda&, matrix<const float>, label_view,
                         const multi_class_hinge_outputs<float>&,
                         const multi_class_hinge_options&) noexcept {
  return without_cuda("multi_class_hinge");
}
status multi_class_hinge(const cuda&, matrix<const half>, label_view,
                         const multi_class_hinge_outputs<half>&,
                         const multi_class_hinge_options&) noexcept {
  return without_cuda("multi_class_hinge");
}
status multi_class_hinge(const cuda&, matrix<const bf16>, label_view,
                         const multi_class_hinge_outputs<bf16>&,
                         const multi_class_hinge_options&) noexcept {
  return without_cuda("multi_class_hinge");
}

}  // namespace culoss
