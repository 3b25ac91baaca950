// Triplet loss whose triplets are mined in the batch, from embeddings and labels.
//
// Formula. With embeddings x_i [N, D], labels y_i and a distance d(i, j), anchor a has the positives
// p != a with y_p = y_a and the negatives n with y_n != y_a; a triplet loses
//   l(a, p, n) = max(0, z), or log(1 + exp(z)) with `soft_margin`, z = d(a, p) - d(a, n) + margin
//   batch_hard (Hermans, Beyer and Leibe 2017): loss_a = l(a, p, n) of the farthest positive and
//     the nearest negative; the anchors count that have a positive and a negative
//   semi_hard (Schroff, Kalenichenko and Philbin, FaceNet, 2015): of the farthest positive and the
//     nearest negative among those with d(a, p) < d(a, n) < d(a, p) + margin; the anchors count that
//     have both. One triplet an anchor, as a negative for each positive would take memory for all
//     pairs; the farthest positive, as its negatives are the fewest and the hardest.
//   batch_all (Hermans et al.): loss_a = sum of l over all its triplets; the triplets count that are
//     not 0: those with z > 0, with `soft_margin` all
//   distance: euclidean |x_i - x_j|; squared_euclidean |x_i - x_j|^2;
//     cosine 1 - <x_i, x_j> / (|x_i| |x_j|), 1 where one of the two is a zero vector
//   reduced as: none: row_weight_a loss_a; sum: their sum; mean: that over the number of anchors
//   (batch_all: triplets) that count, or over `normalizer`
// Ties go to the lowest index. `soft_margin` keeps the margin; that of Hermans et al. has margin 0.
// Gradients, with w_a = upstream row_weight_a / divisor and l' = [z > 0], or sigmoid(z):
//   dx_a, dx_p += w_a l' of d(a, p)    dx_a, dx_n -= w_a l' of d(a, n)
//   which is (x_i - x_j) / d, 2 (x_i - x_j), or (u_i - u_j - d u_i) / |x_i| with u = x / |x|; 0 where
//   d = 0, and for a zero vector
//
// Accuracy. On `cuda` one matrix product, 2 N^2 D operations (semi_hard: two, where a tile of it
// does not hold all columns), finds for each anchor the few candidates that its rounding leaves in
// question. Among these, and among all where they may be more, distances of differences in
// double decide: what is chosen does not depend on the product, and losses and gradients keep their
// digits where |x|^2 - 2 <x, y> + |y|^2 has none. Where many distances agree within the rounding of
// the product (a large common offset; equal points) that is 3 N^2 D operations in double.
// `allow_tf32` leaves more in question, and changes no choice. batch_all computes all distances so,
// in double. Gradients are summed in double in the order of the anchors, and rounded once.
//
// Types: float, half, bf16; double on the CPU. Losses are float (double for double). A gradient comes
// out in the inputs' type or in float; float ones may be added to (`accumulate`).
//
// Special values: a row whose label is `ignore_index` is neither anchor nor candidate: loss 0,
// gradient 0, its embedding means nothing. Any other non-finite embedding is a candidate of every
// anchor: the losses of all anchors with a positive and a negative are NaN (they count), their
// indices -1, and the gradients of all rows that are not ignored are NaN, if there is such an
// anchor. z = 0 exactly: gradient 0. An anchor that does not count: loss 0. A divisor of exactly 0:
// loss 0, gradients 0 (`empty` restores NaN, in the gradients of the rows of triplets that count).
// N = 0: loss 0.
//
// On `cuda`: needs `blas` (batch_all does not); asynchronous as core.hpp says; can be captured.
// Memory: O(N D + panel), where the panel is what the workspace allows. Deterministic: no float
// atomics; with equal arguments equal bits, whatever the workspace. Outputs may not overlap anything:
// not in place.
//
// Errors, with nothing launched or written: as cross_entropy.hpp; also invalid_argument where blas
// is null or empty, labels are not one for each row, the margin is negative or not finite,
// `accumulate` is asked of a 16-bit gradient, or indices of batch_all, which has more than one
// triplet an anchor; cublas_error, naming the call.
#pragma once

#include <culoss/cublas.hpp>
#include <culoss/embedding.hpp>

namespace culoss {

enum class mining_rule : int { batch_hard, semi_hard, batch_all };

struct mined_triplet_options {
  mining_rule rule = mining_rule::batch_hard;
  triplet_distance distance = triplet_distance::euclidean;
  float margin = 0.2f;       // finite, at least 0
  bool soft_margin = false;  // log(1 + exp(z)) instead of max(0, z)
  culoss::reduction reduction = culoss::reduction::mean;
  std::int64_t ignore_index = -100;      // any integer
  vector<const float> row_weights = {};  // [N], of anchors; not part of the divisor
  scalar normalizer = {};                // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  bool accumulate = false;                 // the gradient is added to (float only)
  bool allow_tf32 = false;
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct mined_triplet_outputs {
  vector<real_of<T>> loss = {};             // [N] under none, else [1]
  gradient_matrix<T> grad_embeddings = {};  // [N, D]
  vector<std::int64_t> positives = {};  // [N]: the row chosen, -1 where the anchor does not count
  vector<std::int64_t> negatives = {};  // [N]; neither is there with batch_all
  vector<std::int64_t> rows_counted = {};  // [1]: anchors that count; batch_all: triplets
};

struct mined_triplet_shape {
  std::int64_t rows = 0, dimension = 0;
  mining_rule rule = mining_rule::batch_hard;
};

// Bytes that a call on `cuda` can use, whatever its other options: fewer than `least` is
// workspace_too_small, more than `best` buys nothing. The results are the same with any.
struct mined_triplet_workspace_bytes {
  std::size_t least = 0, best = 0;
};
CULOSS_API mined_triplet_workspace_bytes
mined_triplet_workspace(const mined_triplet_shape&) noexcept;  // for one call
// Rows with equal labels are positives of each other.
CULOSS_API status mined_triplet(const cuda&, matrix<const float> embeddings, label_view labels,
                                const mined_triplet_outputs<float>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cuda&, matrix<const half> embeddings, label_view labels,
                                const mined_triplet_outputs<half>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cuda&, matrix<const bf16> embeddings, label_view labels,
                                const mined_triplet_outputs<bf16>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cpu&, matrix<const float> embeddings, label_view labels,
                                const mined_triplet_outputs<float>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cpu&, matrix<const half> embeddings, label_view labels,
                                const mined_triplet_outputs<half>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cpu&, matrix<const bf16> embeddings, label_view labels,
                                const mined_triplet_outputs<bf16>&,
                                const mined_triplet_options&) noexcept;
CULOSS_API status mined_triplet(const cpu&, matrix<const double> embeddings, label_view labels,
                                const mined_triplet_outputs<double>&,
                                const mined_triplet_options&) noexcept;

}  // namespace culoss
