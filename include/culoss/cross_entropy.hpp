// Softmax cross-entropy of logits [N, C] against class labels, with its gradient, in one call.
//
// Formula, for a row with label t (softmax: Bridle 1990; label smoothing: Szegedy et al. 2016):
//   y_j = x_j / T     p = softmax(y)     s = label_smoothing     w = class weights (1 if none)
//   CE   = -(1 - s) w_t log p_t - (s / C) sum_j w_j log p_j
//   loss = row_weight * CE, reduced; none: as it is; sum: over the rows;
//          mean: the sum over D = sum of w_t of the rows that count, or over `normalizer`
//   d loss / d x_j = upstream * row_weight / (T D)
//                    * [ (1 - s) w_t (p_j - [j = t]) + (s / C) (p_j sum_k w_k - w_j) ]
// Computed from the statistics of the columns other than the target, m = max_{j != t} x_j and
// z = sum_{j != t} exp((x_j - m) / T): with d = (x_t - m) / T - log z the loss is log(1 + exp(-d)),
// relatively exact also for confident rows and at any common offset of the logits.
//
// Shapes: logits, grad_logits [N, C], each with its own pitch; labels [N]. Types: float, half,
// bf16; double on the CPU. Losses and statistics are float (double for double). 16-bit inputs are
// exact in float, all arithmetic is float or better, the gradient is rounded once, after upstream
// and divisor. What is left empty among the outputs is not computed: loss alone, gradient alone and
// both are one call, and the logits are then read as few times as the kernel for that width can.
//
// A row counts unless its label is `ignore_index`: then its logits are not read, its loss is
// exactly 0, its gradient +0, its lse and statistics 0, its arg-max -1. Special values, judged on
// the raw logits: -inf off the target is a masked column (probability 0, gradient 0, no smoothing
// mass: its term is 0 and sum_k w_k leaves it out; s / C stays); -inf at the target: loss +inf with
// a finite gradient; a NaN, a +inf, or -inf alone: NaN in that row, nowhere else. C = 1: loss 0,
// gradient 0. A factor of exactly 0 (weight, 1 - s) times an infinite loss is 0. A label outside
// [0, C) that is not ignored is never dereferenced: loss, gradient, lse and statistics of that row
// become NaN, its arg-max -1, it counts with weight 1, and the fault record learns of it. A divisor
// of exactly 0: loss 0 and gradient 0 (PyTorch: NaN; `empty` restores that).
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in a fixed order, and
// a row's bits depend on its values, width, type, options and address modulo 16, not on the other
// rows or their number. grad_logits may be the logits (same data and pitch): same bits as out of
// place. Any other overlap of an output with anything is refused. N = 0: scalar outputs are 0 (the
// loss NaN if `empty` says so).
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, C = 0, ld < cols, shapes that differ, overlap, label_smoothing outside
// [0, 1], a temperature that is not positive and normal, an upstream of the wrong shape for the
// reduction, a normalizer under `none`, no output at all; workspace_too_small; unsupported without
// CUDA in the build; cuda_error, naming the runtime's call; out_of_memory where the memory pool has
// no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

// What a later backward needs of a row; all NaN where the row is NaN. `max` is a raw logit (exact);
// `log_sum` is taken after the temperature. With labels these are of the columns other than the
// target.
template <class Real>
struct row_statistics {
  Real max;      // m: the largest raw logit
  Real log_sum;  // log sum_j exp((x_j - m) / T)
  Real target;   // the raw logit of the label's column
  Real weight;   // sum of the class weights of the columns that are not -inf; 0 without smoothing
};

struct cross_entropy_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float label_smoothing = 0.0f;            // s in [0, 1]
  std::int64_t ignore_index = -100;        // any integer
  scalar temperature = 1.0f;               // T > 0
  vector<const float> class_weights = {};  // [C]
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct cross_entropy_outputs {
  vector<real_of<T>> loss = {};                        // [N] under none, else [1]
  matrix<T> grad_logits = {};                          // [N, C]
  vector<real_of<T>> lse = {};                         // [N]: log sum_j exp(y_j), target included
  vector<row_statistics<real_of<T>>> statistics = {};  // [N], for cross_entropy_backward
  vector<std::int64_t> argmax = {};        // [N]: lowest index of the largest logit; NaN is largest
  vector<std::int64_t> correct = {};       // [1]: rows whose arg-max is their label
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
};

template <class T>
struct cross_entropy_backward_outputs {
  matrix<T> grad_logits = {};  // [N, C]
};

// Scratch that one call on `cuda` needs at most, forward or backward. O(N) bytes.
CULOSS_API std::size_t cross_entropy_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;

CULOSS_API status cross_entropy(const cuda&, matrix<const float> logits, label_view labels,
                                const cross_entropy_outputs<float>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, matrix<const half> logits, label_view labels,
                                const cross_entropy_outputs<half>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, matrix<const bf16> logits, label_view labels,
                                const cross_entropy_outputs<bf16>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const float> logits, label_view labels,
                                const cross_entropy_outputs<float>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const half> logits, label_view labels,
                                const cross_entropy_outputs<half>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const bf16> logits, label_view labels,
                                const cross_entropy_outputs<bf16>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const double> logits, label_view labels,
                                const cross_entropy_outputs<double>&,
                                const cross_entropy_options& = {}) noexcept;

// The gradient alone, from the statistics that a cross_entropy call with the same labels,
// smoothing, temperature and class weights left: one read and one write an element. For an upstream
// gradient that is learned later. Same gradient as the fused call within the error bound.
CULOSS_API status cross_entropy_backward(const cuda&, matrix<const float> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<float>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cuda&, matrix<const half> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<half>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cuda&, matrix<const bf16> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<bf16>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const float> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<float>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const half> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<half>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const bf16> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_backward_outputs<bf16>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const double> logits, label_view labels,
                                         vector<const row_statistics<double>> statistics,
                                         const cross_entropy_backward_outputs<double>&,
                                         const cross_entropy_options& = {}) noexcept;

}  // namespace culoss
