// Losses of two or three embeddings a row, with the gradient of each embedding, in one call.
//
// Formulas. Of rows x1_i, x2_i [N, D] with labels y_i, or anchors a_i, positives p_i and negatives
// n_i [N, D]; cos = <x1, x2> / (|x1| |x2|), d the Euclidean distance |x1 - x2|:
//   cosine_embedding  y = 1: 1 - cos;  y = -1: max(0, cos - margin)
//     (PyTorch's CosineEmbeddingLoss, but without its epsilon)
//   contrastive       y = 1: s d^2;    y = 0: s max(0, margin - d)^2
//     s = `factor`: 1, or 1/2 as in Hadsell, Chopra and LeCun (Dimensionality Reduction by Learning
//     an Invariant Mapping, 2006), whose Y is 1 - y
//   triplet           max(0, z), or log(1 + exp(z)) with `soft_margin`,
//     z = d(a, p) - d(a, n) + margin (Schroff, Kalenichenko and Philbin, FaceNet, 2015);
//     d: euclidean; squared_euclidean; cosine, 1 - cos. With `swap` (Balntas et al., Learning local
//     feature descriptors with triplets, 2016) d(p, n) stands for d(a, n) where it is less
//   loss = row_weight * that, reduced; mean: the sum over the number of rows that count, or over
//          `normalizer`
// Gradients, with w = upstream row_weight / divisor:
//   by x1: w L' times (x1 - x2) / d, 2 (x1 - x2), or of 1 - cos -(u2 - cos u1) / |x1| with
//   u = x / |x|; by x2 likewise; with `swap` through the distance that was taken, d(a, n) if both
//   are the same
//
// Accuracy. Distances are those of differences, and 1 - cos is no difference of rounded numbers:
// sums are of exact terms in double, so that neither squares of large and small embeddings overflow
// or vanish nor nearly equal or parallel ones lose their digits; there is no epsilon in any root or
// quotient. Each output is rounded once, after upstream and divisor.
//
// Types: float, half, bf16; double on the CPU. Losses are float (double for double). Each matrix has
// a pitch of its own. Outputs that are left empty are not computed.
//
// Special values. A zero vector has cosine 0 with every other, and then the gradient of both is 0. A
// distance of 0 and a kink (z = 0, d = margin, cos = margin) have gradient 0. A row with a NaN or an
// infinity in any of its embeddings: loss and gradients NaN in that row, nowhere else. A row whose
// label is `ignore_index` is not read: loss 0, gradients 0, and it does not count. Any other label
// than those two: loss and gradients NaN, and `faults` is told; the row counts. A divisor of exactly
// 0: loss 0, gradients 0 (`empty`: NaN in the rows that count).
//
// Asynchronous on `cuda`, as core.hpp says; can be captured. Embeddings are read once where they fit
// on chip (in 16 bits, on a Hopper GPU, two of 57000 elements or three of 38000), else once for the
// loss and once more for the gradients. Deterministic: scalars are summed in a fixed order, and a
// row's bits depend on its values, width, type, options and address modulo 16, not on the other rows
// or their number. Each gradient may stand in the place of any of the embeddings (same data and
// pitch): same bits; any other overlap of an output is refused. N = 0: the scalar loss is 0.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, D = 0, ld < cols, shapes that differ, overlap, labels that are not one a
// row, a margin out of range, an upstream of the wrong shape for the reduction, a normalizer under
// `none`, no output at all; workspace_too_small; unsupported without CUDA in the build; cuda_error,
// naming the runtime's call; out_of_memory where the pool has no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

struct cosine_embedding_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float margin = 0.0f;                     // in [-1, 1]
  std::int64_t ignore_index = -100;        // any integer
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

struct contrastive_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float margin = 1.0f;               // finite, at least 0
  float factor = 1.0f;               // finite, at least 0
  std::int64_t ignore_index = -100;  // and all others, as above
  vector<const float> row_weights = {};
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  empty_batch empty = empty_batch::zero;
};

// Of both.
template <class T>
struct pair_outputs {
  vector<real_of<T>> loss = {};            // [N] under none, else [1]
  matrix<T> grad_x1 = {};                  // [N, D]
  matrix<T> grad_x2 = {};                  // [N, D]
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
};

enum class triplet_distance : int { euclidean, squared_euclidean, cosine };

struct triplet_options {
  culoss::reduction reduction = culoss::reduction::mean;
  triplet_distance distance = triplet_distance::euclidean;
  float margin = 1.0f;  // finite, at least 0
  bool swap = false;
  bool soft_margin = false;  // log(1 + exp(z)) instead of max(0, z)
  vector<const float> row_weights = {};
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct triplet_outputs {
  vector<real_of<T>> loss = {};  // [N] under none, else [1]
  matrix<T> grad_anchors = {};   // [N, D]
  matrix<T> grad_positives = {};
  matrix<T> grad_negatives = {};
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t cosine_embedding_workspace_bytes(std::int64_t rows,
                                                        std::int64_t cols) noexcept;
CULOSS_API std::size_t contrastive_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
CULOSS_API std::size_t triplet_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Row i of x1 with row i of x2, labels 1 and -1.
CULOSS_API status cosine_embedding(const cuda&, matrix<const float> x1, matrix<const float> x2,
                                   label_view labels, const pair_outputs<float>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cuda&, matrix<const half> x1, matrix<const half> x2,
                                   label_view labels, const pair_outputs<half>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cuda&, matrix<const bf16> x1, matrix<const bf16> x2,
                                   label_view labels, const pair_outputs<bf16>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cpu&, matrix<const float> x1, matrix<const float> x2,
                                   label_view labels, const pair_outputs<float>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cpu&, matrix<const half> x1, matrix<const half> x2,
                                   label_view labels, const pair_outputs<half>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cpu&, matrix<const bf16> x1, matrix<const bf16> x2,
                                   label_view labels, const pair_outputs<bf16>&,
                                   const cosine_embedding_options& = {}) noexcept;
CULOSS_API status cosine_embedding(const cpu&, matrix<const double> x1, matrix<const double> x2,
                                   label_view labels, const pair_outputs<double>&,
                                   const cosine_embedding_options& = {}) noexcept;
// Row i of x1 with row i of x2, labels 1 and 0.
CULOSS_API status contrastive(const cuda&, matrix<const float> x1, matrix<const float> x2,
                              label_view labels, const pair_outputs<float>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cuda&, matrix<const half> x1, matrix<const half> x2,
                              label_view labels, const pair_outputs<half>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cuda&, matrix<const bf16> x1, matrix<const bf16> x2,
                              label_view labels, const pair_outputs<bf16>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cpu&, matrix<const float> x1, matrix<const float> x2,
                              label_view labels, const pair_outputs<float>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cpu&, matrix<const half> x1, matrix<const half> x2,
                              label_view labels, const pair_outputs<half>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cpu&, matrix<const bf16> x1, matrix<const bf16> x2,
                              label_view labels, const pair_outputs<bf16>&,
                              const contrastive_options& = {}) noexcept;
CULOSS_API status contrastive(const cpu&, matrix<const double> x1, matrix<const double> x2,
                              label_view labels, const pair_outputs<double>&,
                              const contrastive_options& = {}) noexcept;
// Of the triplets (a_i, p_i, n_i).
CULOSS_API status triplet(const cuda&, matrix<const float> anchors, matrix<const float> positives,
                          matrix<const float> negatives, const triplet_outputs<float>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cuda&, matrix<const half> anchors, matrix<const half> positives,
                          matrix<const half> negatives, const triplet_outputs<half>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cuda&, matrix<const bf16> anchors, matrix<const bf16> positives,
                          matrix<const bf16> negatives, const triplet_outputs<bf16>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cpu&, matrix<const float> anchors, matrix<const float> positives,
                          matrix<const float> negatives, const triplet_outputs<float>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cpu&, matrix<const half> anchors, matrix<const half> positives,
                          matrix<const half> negatives, const triplet_outputs<half>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cpu&, matrix<const bf16> anchors, matrix<const bf16> positives,
                          matrix<const bf16> negatives, const triplet_outputs<bf16>&,
                          const triplet_options& = {}) noexcept;
CULOSS_API status triplet(const cpu&, matrix<const double> anchors, matrix<const double> positives,
                          matrix<const double> negatives, const triplet_outputs<double>&,
                          const triplet_options& = {}) noexcept;

}  // namespace culoss
