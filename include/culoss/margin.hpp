// Losses of the margin y x of each score x, with the gradient of the scores, in one call: hinge
// (Cortes and Vapnik, "Support-vector networks", 1995), its square, and the logistic one.
//
// For an element with score x and y = +1 or -1; sp = softplus, sg = sigmoid:
//   hinge        z = m - y x     L = max(0, z)^k, k = 1, 2     dL/dx = -y, or -2 y z, where z > 0
//                                                                      0 elsewhere, at z = 0 too
//   soft_margin  L = sp(-y x)    dL/dx = -y sg(-y x)
//   loss = row_weight * L, reduced; mean: the sum over the number of elements that count, or over
//          `normalizer`
// y stands in a matrix of the scores' type, where other numbers are taken as they are and 0 leaves
// the score out; or it comes from a label for each row, one against the rest: +1 in the column of
// the row's class, -1 in all others, and -1 in all of a row whose label is `background`. A row
// whose label is `ignore_index` has loss 0 and gradient +0 whatever stands in it and does not
// count. Any other label makes the row NaN, and the fault record learns of it (its elements count).
//
// An infinite score gives the finite limit where there is one, else inf; a NaN stays in its
// element. A divisor of exactly 0 and no elements at all: loss 0 and gradient 0, or NaN (`empty`).
//
// Shapes: scores, targets, upstream_elements, losses and grad_scores [N, D], each with its own
// pitch; labels [N]. Types: float, half, bf16; double on the CPU. Losses are float (double for
// double); arithmetic is float or better, gradients are rounded once, after weight, upstream and
// divisor. Outputs that are left empty are not computed.
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in an order fixed by
// the shape. Loss and gradient come from one read of the scores. The gradient may stand in the
// place of the scores or the targets (same data and pitch): same bits; any other overlap of an
// output is refused.
//
// multi_class_hinge: a loss of rows, with label t and scores x_j (PyTorch's MultiMarginLoss;
// Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines",
// 2001), from z_j = m - x_t + x_j:
//   sum  L = (w_t / C) sum_{j != t} max(0, z_j)^k    max  L = w_t max(0, max_{j != t} z_j)^k
//   dL/dx_j = (w_t / C) k z_j^(k-1) where z_j > 0, with max w_t k z_j^(k-1) in the column of the
//             largest score (the lowest of equals) alone; dL/dx_t = -the sum of these
//   loss = row_weight * L, reduced; mean: the sum over the number of rows that count (class weights
//          are no part of it), or over `normalizer`
// A row whose label is `ignore_index` is not read: loss 0, gradient +0, not counted. A label out of
// range: a NaN row, never dereferenced, and an entry in the fault record. A score of -inf beside the
// label is a masked column: it counts for nothing; other infinite scores give the limit, and NaN where
// there is none. A NaN: NaN in that row, nowhere else. Shapes: scores and gradient [N, C], labels
// [N]; loss [N] under none. In place: as above. Bits of a row do not depend on the others.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, D = 0 with labels, ld < cols, shapes that differ, overlap, a margin that
// is not finite, a power that is neither 1 nor 2, upstream_rows or upstream_elements under mean or
// sum, or both, a normalizer under `none`, losses under another reduction than none or loss under
// none, no output at all; workspace_too_small; unsupported without CUDA in the build; cuda_error,
// naming the runtime's call; out_of_memory where the pool has no scratch.
#pragma once

#include <culoss/core.hpp>
#include <limits>

namespace culoss {

struct hinge_options {
  // The label D, one after the last column.
  static constexpr std::int64_t kAfterLastClass = std::numeric_limits<std::int64_t>::min();

  culoss::reduction reduction = culoss::reduction::mean;
  float margin = 1.0f;                         // m, finite
  int power = 1;                               // k, 1 or 2
  std::int64_t background = kAfterLastClass;   // label of rows without a class; labels only
  std::int64_t ignore_index = -100;            // any integer; labels only; before background
  vector<const float> row_weights = {};        // [N]; not part of the divisor
  scalar normalizer = {};                      // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                      // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};      // [N], instead of `upstream`, under none
  matrix<const float> upstream_elements = {};  // [N, D], likewise
  empty_batch empty = empty_batch::zero;
};

// As of hinge.
struct soft_margin_options {
  static constexpr std::int64_t kAfterLastClass = hinge_options::kAfterLastClass;

  culoss::reduction reduction = culoss::reduction::mean;
  std::int64_t background = kAfterLastClass;
  std::int64_t ignore_index = -100;
  vector<const float> row_weights = {};
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  matrix<const float> upstream_elements = {};
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct margin_outputs {
  vector<real_of<T>> loss = {};    // [1], under mean and sum
  matrix<real_of<T>> losses = {};  // [N, D], under none
  matrix<T> grad_scores = {};      // [N, D]
};

// Scratch that one call on `cuda`, of either, needs at most: some 16 bytes for every few thousand
// elements.
CULOSS_API std::size_t margin_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Against y in a matrix.
CULOSS_API status hinge(const cuda&, matrix<const float> scores, matrix<const float> targets,
                        const margin_outputs<float>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cuda&, matrix<const half> scores, matrix<const half> targets,
                        const margin_outputs<half>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cuda&, matrix<const bf16> scores, matrix<const bf16> targets,
                        const margin_outputs<bf16>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const float> scores, matrix<const float> targets,
                        const margin_outputs<float>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const half> scores, matrix<const half> targets,
                        const margin_outputs<half>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const bf16> scores, matrix<const bf16> targets,
                        const margin_outputs<bf16>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const double> scores, matrix<const double> targets,
                        const margin_outputs<double>&, const hinge_options& = {}) noexcept;
// Against labels: one class against the rest.
CULOSS_API status hinge(const cuda&, matrix<const float> scores, label_view labels,
                        const margin_outputs<float>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cuda&, matrix<const half> scores, label_view labels,
                        const margin_outputs<half>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cuda&, matrix<const bf16> scores, label_view labels,
                        const margin_outputs<bf16>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const float> scores, label_view labels,
                        const margin_outputs<float>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const half> scores, label_view labels,
                        const margin_outputs<half>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const bf16> scores, label_view labels,
                        const margin_outputs<bf16>&, const hinge_options& = {}) noexcept;
CULOSS_API status hinge(const cpu&, matrix<const double> scores, label_view labels,
                        const margin_outputs<double>&, const hinge_options& = {}) noexcept;
// Against y in a matrix.
CULOSS_API status soft_margin(const cuda&, matrix<const float> scores, matrix<const float> targets,
                              const margin_outputs<float>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cuda&, matrix<const half> scores, matrix<const half> targets,
                              const margin_outputs<half>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cuda&, matrix<const bf16> scores, matrix<const bf16> targets,
                              const margin_outputs<bf16>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const float> scores, matrix<const float> targets,
                              const margin_outputs<float>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const half> scores, matrix<const half> targets,
                              const margin_outputs<half>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const bf16> scores, matrix<const bf16> targets,
                              const margin_outputs<bf16>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const double> scores, matrix<const double> targets,
                              const margin_outputs<double>&,
                              const soft_margin_options& = {}) noexcept;
// Against labels: one class against the rest.
CULOSS_API status soft_margin(const cuda&, matrix<const float> scores, label_view labels,
                              const margin_outputs<float>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cuda&, matrix<const half> scores, label_view labels,
                              const margin_outputs<half>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cuda&, matrix<const bf16> scores, label_view labels,
                              const margin_outputs<bf16>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const float> scores, label_view labels,
                              const margin_outputs<float>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const half> scores, label_view labels,
                              const margin_outputs<half>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const bf16> scores, label_view labels,
                              const margin_outputs<bf16>&,
                              const soft_margin_options& = {}) noexcept;
CULOSS_API status soft_margin(const cpu&, matrix<const double> scores, label_view labels,
                              const margin_outputs<double>&,
                              const soft_margin_options& = {}) noexcept;

enum class hinge_form : int { sum, max };

struct multi_class_hinge_options {
  culoss::reduction reduction = culoss::reduction::mean;
  hinge_form form = hinge_form::sum;
  float margin = 1.0f;                     // m, finite
  int power = 1;                           // k, 1 or 2
  std::int64_t ignore_index = -100;        // any integer
  vector<const float> class_weights = {};  // [C]
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct multi_class_hinge_outputs {
  vector<real_of<T>> loss = {};            // [N] under none, else [1]
  matrix<T> grad_scores = {};              // [N, C]
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t multi_class_hinge_workspace_bytes(std::int64_t rows,
                                                         std::int64_t cols) noexcept;
// Against a label for each row.
CULOSS_API status multi_class_hinge(const cuda&, matrix<const float> scores, label_view labels,
                                    const multi_class_hinge_outputs<float>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cuda&, matrix<const half> scores, label_view labels,
                                    const multi_class_hinge_outputs<half>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cuda&, matrix<const bf16> scores, label_view labels,
                                    const multi_class_hinge_outputs<bf16>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cpu&, matrix<const float> scores, label_view labels,
                                    const multi_class_hinge_outputs<float>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cpu&, matrix<const half> scores, label_view labels,
                                    const multi_class_hinge_outputs<half>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cpu&, matrix<const bf16> scores, label_view labels,
                                    const multi_class_hinge_outputs<bf16>&,
                                    const multi_class_hinge_options& = {}) noexcept;
CULOSS_API status multi_class_hinge(const cpu&, matrix<const double> scores, label_view labels,
                                    const multi_class_hinge_outputs<double>&,
                                    const multi_class_hinge_options& = {}) noexcept;

}  // namespace culoss
