// The sigmoid loss of SigLIP, over a similarity matrix that is never stored whole: each pair of an
// image and a text is a decision of its own, so that nothing is normalized over rows or columns.
//
// Formula (Zhai, Mustafa, Kolesnikov and Beyer, Sigmoid Loss for Language Image Pre-Training, 2023;
// temperature and bias are learned there from log_scale = log 10 and bias = -10). With images x_i
// [N, D] and texts y_j [M, D]:
//   l_ij = scale <x_i, y_j>, or scale <x_i, y_j> / (|x_i| |y_j|) with `normalize`
//   scale = 1 / temperature or exp(log_scale): exactly one of them is given
//   z_ij = l_ij + bias
//   t_ij = +1 for j = i + positive_offset, -1 for every other text; -1 for all without `positives`
//   siglip: loss_i = sum_j softplus(-t_ij z_ij), over the texts that no id masks
//   reduced as: none: row_weight_i loss_i; sum: their sum; mean: that over the number of images, or
//   over `normalizer`
// Gradients, with w_i = upstream row_weight_i / divisor:
//   dl_ij = -w_i t_ij sigmoid(-t_ij z_ij)
//
//   dx_i = scale sum_j dl_ij y_j    dy_j = scale sum_i dl_ij x_i, and through `normalize` as in
//   info_nce.hpp; a zero vector has similarity 0 and gradient 0
//
//   dlog_scale = sum_ij dl_ij l_ij    dtemperature = -dlog_scale / temperature
//   dbias = sum_ij dl_ij
// The similarities are float until the exponential is taken, from the raw embeddings. softplus and
// sigmoid come from exp(-|z|) and are relatively exact at both ends: a pair that is right by far has
// a loss and a gradient of its own size, never 0 = 1 - 1.
//
// A batch that is spread over devices is the sum of its blocks: each calls siglip with its own
// images and texts, and then, as the others' texts come around, without `positives`; losses and
// the gradients of the scale and the bias are added up by the caller, those of the embeddings by
// `accumulate`, and `normalizer` is the number of all images. Blocks [N, M] of any M go with
// `positives`, too, as long as the positives lie in them.
//
// Types, rounding, `accumulate` and TF32: as info_nce.hpp. The gradient of the similarities, with
// its sign, is rounded once to the type of 16-bit inputs.
//
// Special values: a non-finite image i makes its loss and dx_i, all of dy and the scalars NaN; other
// rows' losses and dx keep their values. A non-finite text makes every row NaN that has it among its
// pairs. A scale or bias in memory that is not finite makes everything NaN. Images that a mask leaves
// no pair, and M = 0 without `positives`: loss 0, gradient 0. A divisor of exactly 0: loss 0,
// gradients 0 (`empty` restores NaN). N = 0: losses 0, gradients 0.
//
// Ranges on `cuda`: as info_nce.hpp.
//
// On `cuda`: needs `blas`; asynchronous as core.hpp says, cuBLAS included; can be captured. Each tile
// of similarities is computed once, read once and turned to its gradient: three products, 6 N M D
// operations, from the least workspace on; one product for the loss alone. Memory:
// O((N + M) D + tile). Deterministic on one stream with one workspace size; another size gives other
// tiles, whose results agree within the error bound. Outputs may not overlap anything: not in place.
//
// Errors, with nothing launched or written: as info_nce.hpp; also invalid_argument where bias is not
// given, or `correct` is asked for without `positives`.
#pragma once

#include <culoss/info_nce.hpp>

namespace culoss {

struct siglip_options {
  culoss::reduction reduction = culoss::reduction::mean;
  bool normalize = true;
  scalar temperature = {};           // tau > 0 ...
  scalar log_scale = {};             // ... or the logarithm of 1 / tau, at most 88
  scalar bias = {};                  // must be given: no value suits every batch
  std::int64_t positive_offset = 0;  // image i's positive is text i + positive_offset
  bool positives = true;             // false: no text is anybody's positive; the offset is not read
  // Texts with the id of the image are no negatives of it (its positive stays).
  vector<const std::int64_t> image_ids = {};  // [N]
  vector<const std::int64_t> text_ids = {};   // [M]
  vector<const float> row_weights = {};       // [N], of images; not part of the divisor
  scalar normalizer = {};                     // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  bool accumulate = false;                 // gradients of the embeddings are added to (float only)
  bool allow_tf32 = false;
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct siglip_outputs {
  vector<real_of<T>> loss = {};         // [N] under none, else [1]
  gradient_matrix<T> grad_images = {};  // [N, D]
  gradient_matrix<T> grad_texts = {};   // [M, D]
  vector<real_of<T>> grad_scale = {};   // [1]: of temperature or log_scale, whichever is given
  vector<real_of<T>> grad_bias = {};    // [1]
  vector<std::int64_t> correct = {};    // [1]: images whose positive is the most similar of their
                                        // texts, ties to the lowest
  vector<std::int64_t> rows_counted = {};  // [1]: N
};

// Of images as the queries, texts as the keys, and no negatives. Every size has the one plan; more
// bytes make larger tiles.
CULOSS_API similarity_workspace siglip_workspace(const similarity_shape&) noexcept;
// A decision for each image and text.
CULOSS_API status siglip(const cuda&, matrix<const float> images, matrix<const float> texts,
                         const siglip_outputs<float>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cuda&, matrix<const half> images, matrix<const half> texts,
                         const siglip_outputs<half>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cuda&, matrix<const bf16> images, matrix<const bf16> texts,
                         const siglip_outputs<bf16>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cpu&, matrix<const float> images, matrix<const float> texts,
                         const siglip_outputs<float>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cpu&, matrix<const half> images, matrix<const half> texts,
                         const siglip_outputs<half>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cpu&, matrix<const bf16> images, matrix<const bf16> texts,
                         const siglip_outputs<bf16>&, const siglip_options&) noexcept;
CULOSS_API status siglip(const cpu&, matrix<const double> images, matrix<const double> texts,
                         const siglip_outputs<double>&, const siglip_options&) noexcept;

}  // namespace culoss
