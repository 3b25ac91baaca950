// Contrastive losses over a similarity matrix that is never stored whole: InfoNCE with in-batch and
// shared negatives and negatives of each row's own, and its symmetric form, CLIP.
//
// Formula (InfoNCE: van den Oord et al. 2018; queue of negatives: He et al., MoCo, 2020; symmetric:
// Radford et al., CLIP, 2021). With queries q_i [N, D], keys k_j [M, D], negatives n_j [K, D],
// and row_negatives n_ir [N, R, D], R of each row's own (as a matrix [N R, D], where n_ir is row
// i R + r; any pitch):
//   l_ij = scale <q_i, k_j>, or scale <q_i, k_j> / (|q_i| |k_j|) with `normalize`
//   scale = 1 / temperature or exp(log_scale): exactly one of them is given
//   t = i + positive_offset   the key that is row i's positive
//   info_nce: loss_i = -log( exp(l_it) / sum_{j in C_i} exp(l_ij) )
//     C_i: the positive; the other keys, with `in_batch`; the negatives; the R of row i's own; less
//     those that an id or `mask` takes out
//   with `margin` m the positive's l_it = scale (<q_i, k_t> - m) (CosFace: Wang et al. 2018;
//   AM-softmax: Wang et al. 2018)
//   clip (N = M): loss_i = ( info_nce of row i over the columns + of column i over the rows ) / 2
//   reduced as: none: row_weight_i loss_i; sum: their sum; mean: that over the number of rows, or
//   over `normalizer`
// Gradients, with p_ij the softmax over C_i and w_i = upstream row_weight_i / divisor:
//   dl_ij = w_i (p_ij - [j = t])    (clip: half of it, and half of the same for the columns)
//
//   dq_i = scale sum_j dl_ij k_j    dk_j = scale sum_i dl_ij q_i
//
//   normalize: dq_i = scale (U_i - <U_i, q_i> q_i / |q_i|^2), U_i = sum_j dl_ij k_j / (|q_i|
//   |k_j|); a zero vector has similarity 0 and gradient 0
//
//   dlog_scale = sum_ij dl_ij l_ij    dtemperature = -dlog_scale / temperature
//   (of the scale that multiplies the difference, where there is a margin)
// The similarities are float until the exponential is taken, from the raw embeddings; norms are
// multiplied in float. The loss comes from the statistics of the columns other than the positive,
// as in cross_entropy.hpp: relatively exact for converged batches too.
//
// Types: float, half, bf16; double on the CPU. Losses and the scale's gradient are float (double
// for double). Float inputs mean float products; TF32 only with `allow_tf32`. For 16-bit inputs the
// gradient of the similarities, with the positive's -1 in it, is rounded once to their type before
// the two products that make dq and dk; those accumulate in float. A gradient comes out in the
// inputs' type, rounded once, or in float; float ones may be added to (`accumulate`). Gradients of
// row_negatives are float up to that rounding, whatever the range of their type, and so is what they
// add to dq.
//
// Special values: a non-finite query i makes its loss and dq_i, all of dk and dn and the scalars
// NaN; other rows' losses and dq keep their values (without `in_batch`, of dk only its positive's).
// A non-finite key or negative makes every row NaN that has it among its C_i; one of a row's own its
// row's loss, dq_i and dn_ir, all of dk and dn that the row has among its C_i, and the scalars. One
// of a row's own that the mask takes out is not read, and its gradient is 0. A row whose negatives
// are all masked: loss 0, gradient 0. N = M = 1 likewise. A divisor of exactly 0: loss 0, gradients
// 0 (`empty` restores NaN). N = 0: losses 0, gradients 0.
//
// Ranges on `cuda`: scale * margin must be a float; with `normalize` the product |q_i| |k_j| must be
// a normal float, as the similarities are of the raw embeddings; for half, gradients of similarities
// that lie below 2^-38 of what the shortest embedding can get are lost to half's range, so that
// vectors far shorter than the others cost them accuracy (bf16 has float's range).
//
// On `cuda`: needs `blas`; asynchronous as core.hpp says, cuBLAS included; can be captured. Memory:
// O((N + M + K) D + panel), where the panel is what the workspace allows: see info_nce_workspace.
// row_negatives need no memory but 8 bytes each of a panel's where R > 2048; they are read once
// where R D of their type, a query and 24 KB fit a block's shared memory (227 KB on Hopper), else
// twice where gradients are asked for.
// Deterministic on one stream with one workspace size; another size may give another plan, whose
// results agree within the error bound. Outputs may not overlap anything: not in place.
//
// Errors, with nothing launched or written: as cross_entropy.hpp; also invalid_argument where blas
// is null or empty, neither or both of temperature and log_scale are given, positives lie outside
// the keys, the shapes differ in D, `accumulate` is asked of a 16-bit gradient, a gradient of
// negatives is asked for without negatives, row_negatives are not as many for each row, ids are given
// for only one side, the mask has another shape, the margin is not finite, or the plan is kept and embeddings are not of 16 bits, or
// forward_only and gradients are asked for; workspace_too_small also where a given plan does not
// fit; cublas_error, naming the call.
#pragma once

#include <culoss/cublas.hpp>

namespace culoss {

// How a call on `cuda` with gradients goes through the similarity matrix; operations are those of
// the matrix products, for N queries, M keys and D dimensions. `automatic` is the fastest that the
// workspace holds, of those that are known to be the fastest: of kept nobody knows yet, so that it
// runs only where it is asked for. Results of two plans agree within the error bound.
enum class similarity_plan : int {
  forward_only,  // no gradient is asked for: one product, 2 N M D operations
  one_visit,     // each panel of rows is finished before the next: three products, 6 N M D; the
                 // float similarities of a panel of rows (all rows for clip) are in the workspace.
                 // The one plan of siglip, whose tiles are finished one by one: any workspace
  recompute,     // the similarities are computed twice: four products, 8 N M D; the least memory
  kept,          // three products, 6 N M D: exp(l_ij - shift) is kept in 16 bits, with one float
                 // shift for each 256 columns of a row, and turned into the gradient in place: half
                 // the memory of one_visit, most of it written and read twice. The kept numbers
                 // are rounded to the significand of half (11 bits) or, for bf16, to 9: a second
                 // rounding of the gradient of each similarity but the positive's; loss, counts
                 // and the scale's gradient come from the float similarities as ever. Embeddings
                 // of 16 bits alone
  automatic,
};

struct info_nce_options {
  culoss::reduction reduction = culoss::reduction::mean;
  bool normalize = true;
  scalar temperature = {};           // tau > 0 ...
  scalar log_scale = {};             // ... or the logarithm of 1 / tau, at most 88
  std::int64_t positive_offset = 0;  // row i's positive is key i + positive_offset
  bool in_batch = true;              // the other rows' keys are negatives too
  // Keys and negatives with the id of the query are no negatives of it (its positive stays).
  vector<const std::int64_t> query_ids = {};     // [N]
  vector<const std::int64_t> key_ids = {};       // [M], with in_batch
  vector<const std::int64_t> negative_ids = {};  // [K]
  // Columns that are not 0 are no negatives of the row (its positive stays), beside those that ids
  // mask. [N, M + K + R]: keys, negatives, the row's own, which have no ids; without in_batch
  // [N, K + R].
  matrix<const std::uint8_t> mask = {};
  float margin = 0;                      // off the positive's similarity, before the scale; finite
  vector<const float> row_weights = {};  // [N]; not part of the divisor
  scalar normalizer = {};                // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  bool accumulate = false;                 // gradients of the embeddings are added to (float only)
  bool allow_tf32 = false;
  similarity_plan plan = similarity_plan::automatic;  // of a call with gradients, on `cuda`
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct info_nce_outputs {
  vector<real_of<T>> loss = {};                // [N] under none, else [1]
  gradient_matrix<T> grad_queries = {};        // [N, D]
  gradient_matrix<T> grad_keys = {};           // [M, D]
  gradient_matrix<T> grad_negatives = {};      // [K, D]; a queue of negatives mostly wants none
  gradient_matrix<T> grad_row_negatives = {};  // [N R, D]
  vector<real_of<T>> grad_scale = {};      // [1]: of temperature or log_scale, whichever is given
  vector<std::int64_t> correct = {};       // [1]: rows whose positive is the most similar, whatever
                                           // the margin; ties to the lowest column (keys,
                                           // negatives, then the row's own)
  vector<std::int64_t> rows_counted = {};  // [1]: N
};

struct clip_options {
  culoss::reduction reduction = culoss::reduction::mean;
  bool normalize = true;
  scalar temperature = {};
  scalar log_scale = {};
  vector<const std::int64_t> ids = {};  // [N]: pairs with equal ids are no negatives of each other
  // [N, N]: where it is not 0, image i and text j are no negatives of each other.
  matrix<const std::uint8_t> mask = {};
  float margin = 0;                      // as info_nce's
  vector<const float> row_weights = {};  // [N], of pairs
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  bool accumulate = false;
  bool allow_tf32 = false;
  similarity_plan plan = similarity_plan::automatic;  // of a call with gradients, on `cuda`
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct clip_outputs {
  vector<real_of<T>> loss = {};              // [N] under none, else [1]
  gradient_matrix<T> grad_images = {};       // [N, D]
  gradient_matrix<T> grad_texts = {};        // [N, D]
  vector<real_of<T>> grad_scale = {};        // [1]
  vector<std::int64_t> correct_images = {};  // [1]: images whose text is the most similar to them
  vector<std::int64_t> correct_texts = {};   // [1]: texts whose image is
  vector<std::int64_t> rows_counted = {};    // [1]: N
};

// What a call on `cuda` with these sizes and this plan can use. Fewer bytes than `least`:
// workspace_too_small. More than `best` buys nothing.
struct similarity_workspace {
  std::size_t least = 0;
  similarity_plan least_plan = similarity_plan::recompute;
  std::size_t best = 0;
  similarity_plan best_plan = similarity_plan::recompute;
};

struct similarity_shape {
  std::int64_t queries = 0, keys = 0, negatives = 0, dimension = 0;
  std::int64_t row_negatives = 0;                     // of each query's own
  int element_bytes = 2;                              // of the embeddings
  bool gradients = true;                              // of queries or keys
  bool negative_gradients = false;                    // of the negatives
  similarity_plan plan = similarity_plan::automatic;  // as in the options of the call
};
// For one call of info_nce; or of clip, with images as the queries and texts as the keys.
CULOSS_API similarity_workspace info_nce_workspace(const similarity_shape&) noexcept;
CULOSS_API similarity_workspace clip_workspace(const similarity_shape&) noexcept;  // likewise
// Empty negatives: none. Without row_negatives: no row has any of its own.
CULOSS_API status info_nce(const cuda&, matrix<const float> queries, matrix<const float> keys,
                           matrix<const float> negatives, const info_nce_outputs<float>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cuda&, matrix<const float> queries, matrix<const float> keys,
                           matrix<const float> negatives, matrix<const float> row_negatives,
                           const info_nce_outputs<float>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cuda&, matrix<const half> queries, matrix<const half> keys,
                           matrix<const half> negatives, const info_nce_outputs<half>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cuda&, matrix<const half> queries, matrix<const half> keys,
                           matrix<const half> negatives, matrix<const half> row_negatives,
                           const info_nce_outputs<half>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cuda&, matrix<const bf16> queries, matrix<const bf16> keys,
                           matrix<const bf16> negatives, const info_nce_outputs<bf16>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cuda&, matrix<const bf16> queries, matrix<const bf16> keys,
                           matrix<const bf16> negatives, matrix<const bf16> row_negatives,
                           const info_nce_outputs<bf16>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const float> queries, matrix<const float> keys,
                           matrix<const float> negatives, const info_nce_outputs<float>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const float> queries, matrix<const float> keys,
                           matrix<const float> negatives, matrix<const float> row_negatives,
                           const info_nce_outputs<float>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const half> queries, matrix<const half> keys,
                           matrix<const half> negatives, const info_nce_outputs<half>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const half> queries, matrix<const half> keys,
                           matrix<const half> negatives, matrix<const half> row_negatives,
                           const info_nce_outputs<half>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const bf16> queries, matrix<const bf16> keys,
                           matrix<const bf16> negatives, const info_nce_outputs<bf16>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const bf16> queries, matrix<const bf16> keys,
                           matrix<const bf16> negatives, matrix<const bf16> row_negatives,
                           const info_nce_outputs<bf16>&, const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const double> queries, matrix<const double> keys,
                           matrix<const double> negatives, const info_nce_outputs<double>&,
                           const info_nce_options&) noexcept;
CULOSS_API status info_nce(const cpu&, matrix<const double> queries, matrix<const double> keys,
                           matrix<const double> negatives, matrix<const double> row_negatives,
                           const info_nce_outputs<double>&, const info_nce_options&) noexcept;
// Image i and text i are a pair.
CULOSS_API status clip(const cuda&, matrix<const float> images, matrix<const float> texts,
                       const clip_outputs<float>&, const clip_options&) noexcept;
CULOSS_API status clip(const cuda&, matrix<const half> images, matrix<const half> texts,
                       const clip_outputs<half>&, const clip_options&) noexcept;
CULOSS_API status clip(const cuda&, matrix<const bf16> images, matrix<const bf16> texts,
                       const clip_outputs<bf16>&, const clip_options&) noexcept;
CULOSS_API status clip(const cpu&, matrix<const float> images, matrix<const float> texts,
                       const clip_outputs<float>&, const clip_options&) noexcept;
CULOSS_API status clip(const cpu&, matrix<const half> images, matrix<const half> texts,
                       const clip_outputs<half>&, const clip_options&) noexcept;
CULOSS_API status clip(const cpu&, matrix<const bf16> images, matrix<const bf16> texts,
                       const clip_outputs<bf16>&, const clip_options&) noexcept;
CULOSS_API status clip(const cpu&, matrix<const double> images, matrix<const double> texts,
                       const clip_outputs<double>&, const clip_options&) noexcept;

}  // namespace culoss
