// Negative log-likelihood of labels under given probabilities or log-probabilities, and label
// smoothing as a function of its own; each with its gradient.
//
// nll, for a row with label t (the split of cross-entropy that PyTorch's NLLLoss makes):
//   L = -w_t a_t from log-probabilities a, -w_t log p_t from probabilities p; w = class weights or
//   1
//   loss = row_weight * L, reduced; mean: the sum over the sum of w_t of the rows that count, or
//          over `normalizer`
//   d L / d a_t = -w_t     d L / d p_t = -w_t / p_t     0 in every other column
// Only the element of the label is read. p_t = 0 or a_t = -inf: loss +inf, d L / d p_t = -inf; a
// factor of exactly 0 times an infinite one is 0; p_t < 0 or NaN: NaN; a NaN elsewhere is not seen.
//
// smooth_labels (Szegedy et al., "Rethinking the inception architecture", 2016), s = smoothing:
//   q'_j = (1 - s) q_j + s / C, where q is the one-hot row of a label or a given row
//   its backward: d / d q_j = (1 - s) * (gradient of q'_j); with s = 1, 0 times infinity is 0
// An ignored label gives a row of +0, a bad one a row of NaN and an entry in the fault record.
//
// Shapes: matrices [N, C], each with its own pitch; labels [N]. Types: float, half, bf16; double on
// the CPU. Losses are float (double for double); gradients are rounded once, after upstream and
// divisor; q' is rounded once. Ignored rows (loss 0, gradient +0, not read), bad labels (loss and
// gradient NaN, never dereferenced), divisors of 0 and N = 0: as in cross_entropy.hpp.
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic. An output matrix may stand in the place
// of the input matrix (same data and pitch); any other overlap of an output is refused.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, C = 0, ld < cols, shapes that differ, overlap, a smoothing outside
// [0, 1], an upstream of the wrong shape for the reduction, a normalizer under `none`, no output at
// all; workspace_too_small; unsupported without CUDA in the build; cuda_error, naming the runtime's
// call; out_of_memory where the memory pool has no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

enum class nll_input : int { log_probabilities, probabilities };

struct nll_options {
  culoss::reduction reduction = culoss::reduction::mean;
  nll_input input = nll_input::log_probabilities;
  std::int64_t ignore_index = -100;        // any integer
  vector<const float> class_weights = {};  // [C]
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct nll_outputs {
  vector<real_of<T>> loss = {};            // [N] under none, else [1]
  matrix<T> grad_input = {};               // [N, C]
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t nll_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Of probabilities or log-probabilities against class labels.
CULOSS_API status nll(const cuda&, matrix<const float> input, label_view labels,
                      const nll_outputs<float>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cuda&, matrix<const half> input, label_view labels,
                      const nll_outputs<half>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cuda&, matrix<const bf16> input, label_view labels,
                      const nll_outputs<bf16>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cpu&, matrix<const float> input, label_view labels,
                      const nll_outputs<float>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cpu&, matrix<const half> input, label_view labels,
                      const nll_outputs<half>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cpu&, matrix<const bf16> input, label_view labels,
                      const nll_outputs<bf16>&, const nll_options& = {}) noexcept;
CULOSS_API status nll(const cpu&, matrix<const double> input, label_view labels,
                      const nll_outputs<double>&, const nll_options& = {}) noexcept;

struct smooth_labels_options {
  float smoothing = 0.1f;            // s in [0, 1]
  std::int64_t ignore_index = -100;  // any integer; labels only
};

// smoothed = (1 - s) onehot(labels) + s / C
CULOSS_API status smooth_labels(const cuda&, label_view labels, matrix<float> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cuda&, label_view labels, matrix<half> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cuda&, label_view labels, matrix<bf16> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, label_view labels, matrix<float> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, label_view labels, matrix<half> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, label_view labels, matrix<bf16> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, label_view labels, matrix<double> smoothed,
                                const smooth_labels_options& = {}) noexcept;

// smoothed = (1 - s) targets + s / C
CULOSS_API status smooth_labels(const cuda&, matrix<const float> targets, matrix<float> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cuda&, matrix<const half> targets, matrix<half> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cuda&, matrix<const bf16> targets, matrix<bf16> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, matrix<const float> targets, matrix<float> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, matrix<const half> targets, matrix<half> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, matrix<const bf16> targets, matrix<bf16> smoothed,
                                const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels(const cpu&, matrix<const double> targets, matrix<double> smoothed,
                                const smooth_labels_options& = {}) noexcept;

// grad_targets = (1 - s) grad_smoothed
CULOSS_API status smooth_labels_backward(const cuda&, matrix<const float> grad_smoothed,
                                         matrix<float> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cuda&, matrix<const half> grad_smoothed,
                                         matrix<half> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cuda&, matrix<const bf16> grad_smoothed,
                                         matrix<bf16> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cpu&, matrix<const float> grad_smoothed,
                                         matrix<float> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cpu&, matrix<const half> grad_smoothed,
                                         matrix<half> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cpu&, matrix<const bf16> grad_smoothed,
                                         matrix<bf16> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;
CULOSS_API status smooth_labels_backward(const cpu&, matrix<const double> grad_smoothed,
                                         matrix<double> grad_targets,
                                         const smooth_labels_options& = {}) noexcept;

}  // namespace culoss
