#include <culoss/embedding.hpp>

#include "host/no_cuda.hpp"

namespace culoss {

using detail::without_cuda;

std::size_t cosine_embedding_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }
std::size_t contrastive_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }
std::size_t triplet_workspace_bytes(std::int64_t, std::int64_t) noexcept { return 0; }

status cosine_embedding(const cuda&, matrix<const float>, matrix<const float>, label_view,
                        const pair_outputs<float>&, const cosine_embedding_options&) noexcept {
  return without_cuda("cosine_embedding");
}
status cosine_embedding(const cuda&, matrix<const half>, matrix<const half>, label_view,
                        const pair_outputs<half>&, const cosine_embedding_options&) noexcept {
  return without_cuda("cosine_embedding");
}
status cosine_embedding(const cuda&, matrix<const bf16>, matrix<const bf16>, label_view,
                        const pair_outputs<bf16>&, const cosine_embedding_options&) noexcept {
  return without_cuda("cosine_embedding");
}

status contrastive(const cuda&, matrix<const float>, matrix<const float>, label_view,
                   const pair_outputs<float>&, const contrastive_options&) noexcept {
  return without_cuda("contrastive");
}
status contrastive(const cuda&, matrix<const half>, matrix<const half>, label_view,
                   const pair_outputs<half>&, const contrastive_options&) noexcept {
  return without_cuda("contrastive");
}
status contrastive(const cuda&, matrix<const bf16>, matrix<const bf16>, label_view,
                   const pair_outputs<bf16>&, const contrastive_options&) noexcept {
  return without_cuda("contrastive");
}

status triplet(const cuda&, matrix<const float>, matrix<const float>, matrix<const float>,
               const triplet_outputs<float>&, const triplet_options&) noexcept {
  return without_cuda("triplet");
}
status triplet(const cuda&, matrix<const half>, matrix<const half>, matrix<const half>,
               const triplet_outputs<half>&, const triplet_options&) noexcept {
  return without_cuda("triplet");
}
status triplet(const cuda&, matrix<const bf16>, matrix<const bf16>, matrix<const bf16>,
               const triplet_outputs<bf16>&, const triplet_options&) noexcept {
  return without_cuda("triplet");
}

}  // namespace culoss
