// Softmax cross-entropy of logits [N, C] against class labels or target probabilities, with its
// gradients, in one call.
//
// Formula, for a row with label t (softmax: Bridle 1990; label smoothing: Szegedy et al. 2016;
// z-loss: Chowdhery et al., "PaLM", 2022; softcap: Gemma Team, "Gemma 2", 2024):
//   y_j = cap(x_j) / T, cap(x) = c tanh(x / c) where a softcap c is given, else x
//   p = softmax(y)     lse = log sum_j exp(y_j)     s = label_smoothing     w = class weights or 1
//   CE   = -(1 - s) w_t log p_t - (s / C) sum_j w_j log p_j
//   loss = row_weight * (CE + z_loss * lse^2), reduced; none: as it is; sum: over the rows;
//          mean: the sum over D = sum of w_t of the rows that count, or over `normalizer`
//   d loss / d x_j = upstream * row_weight / (T D) * cap'(x_j)
//                    * [ (1 - s) w_t (p_j - [j = t]) + (s / C) (p_j sum_k w_k - w_j)
//                        + 2 z_loss lse p_j ]
// and with target probabilities q instead of a label, q'_j = (1 - s) q_j + s / C:
//   CE   = -sum_j w_j q'_j log p_j;   mean: over D = N, or over `normalizer`
//   d loss / d x_j = upstream * row_weight / (T D) * cap'(x_j)
//                    * [ p_j sum_k w_k q'_k - w_j q'_j + 2 z_loss lse p_j ]
//   d loss / d q_j = upstream * row_weight / D * -(1 - s) w_j log p_j
// With a label it is computed from the statistics of the columns other than the target, m = max_{j
// != t} cap(x_j) and z = sum_{j != t} exp((cap(x_j) - m) / T): with d = (cap(x_t) - m) / T - log z
// -log p_t is log(1 + exp(-d)), relatively exact also for confident rows and at any common offset
// of the logits.
//
// Shapes: logits, targets and their gradients [N, C], each with its own pitch, or strided_logits
// [N, C, inner] and then N * inner rows; labels [rows]. q is not normalized and may be any number.
// Types: float, half, bf16; double on the CPU. Losses and statistics are float (double for double).
// 16-bit inputs are exact in float, all arithmetic is float or better, gradients are rounded once,
// after upstream and divisor. What is left empty among the outputs is not computed: loss alone,
// gradient alone and both are one call, and the logits are then read as few times as the kernel for
// that width can.
//
// A row counts unless its label is `ignore_index`: then its logits are not read, its loss is
// exactly 0, its gradient +0, its lse, entropy and statistics 0, its arg-max -1. With target
// probabilities every row counts. Special values, judged on the raw logits: -inf off the target is
// a masked column, also under softcap and temperature (probability 0, gradient 0, no smoothing
// mass: its term is 0 and sum_k w_k leaves it out; s / C stays); -inf at the target: loss +inf
// with a finite gradient; a NaN, a +inf, or -inf alone: NaN in that row, nowhere else. Target
// probabilities at -inf: q_j = 0 contributes 0 and has gradient 0; q_j > 0: loss +inf, d loss / d
// q_j = +inf, the gradient of the logits finite. C = 1: CE 0, its gradient 0. A factor of exactly
// 0 (weight, 1 - s, q_j) times an infinite term is 0. A label outside [0, C) that is not ignored
// is never dereferenced: loss, gradient, lse, entropy and statistics of that row become NaN, its
// arg-max -1, it counts with weight 1, and the fault record learns of it. A divisor of exactly 0:
// loss 0 and gradients 0 (PyTorch: NaN; `empty` restores that).
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in a fixed order, and
// a row's bits depend on its values, width, type, options and address modulo 16, not on the other
// rows or their number. grad_logits may be the logits, grad_targets the targets (same data and
// pitch), or each the other's: same bits as out of place. Any other overlap of an output with
// anything is refused. N = 0: scalar outputs are 0 (the loss NaN if `empty` says so).
//
// Shards of the classes, for a classifier that is split over devices: with `classes` the logits are
// those of the classes [class_offset, class_offset + cols) of so many in all, and a label in [0,
// classes) is legal wherever it stands; C above is `classes` then, and class weights are of all
// classes. Each shard's forward call gives `shards` (and rows_counted) alone; merge_statistics makes
// everything else of the records of all shards, in the order they are given, and
// cross_entropy_backward the gradient of a shard's own columns from the merged statistics. A row
// whose target none of the records holds, or several, is NaN.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, C = 0, ld < cols, shapes that differ, overlap, label_smoothing outside
// [0, 1], a z_loss or softcap that is negative or not finite (softcap also: not normal; 0 is none),
// a temperature that is not positive and normal, an upstream of the wrong shape for the
// reduction, a normalizer under `none`, an output z_loss without the option, a shard that does
// not lie inside the classes or is asked for more than its records, no output at all;
// workspace_too_small; unsupported without CUDA in the build; cuda_error, naming the runtime's
// call; out_of_memory where the memory pool has no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

// What a later backward needs of a row; all NaN where the row is NaN. With labels, max and log_sum
// are of the columns other than the target; with target probabilities, of all columns.
template <class Real>
struct row_statistics {
  Real max;      // m: the largest logit, exact; the largest capped one where there is a softcap
  Real log_sum;  // log sum_j exp((cap(x_j) - m) / T)
  Real target;   // the raw logit of the label's column; target probabilities: 0
  Real weight;   // sum of the class weights of the columns that are not -inf, 0 without smoothing;
                 // target probabilities: sum_j w_j q'_j
};

// What one shard of the classes knows of a row, for merge_statistics: of its columns other than the
// target ("others"), which are all of them where the target is in another shard.
template <class Real>
struct shard_statistics {
  Real max;       // m: the largest others' logit, capped where there is a softcap; -inf: none
  Real sum;       // sum_j e_j of the others, e_j = exp((cap(x_j) - m) / T); NaN where the row is
  Real target;    // the raw logit of the label's column; +inf: it is in another shard
  Real weight;    // sum of the class weights of the others that are not -inf, 0 without smoothing
  Real distance;  // sum_j w_j (cap(x_j) - m) over them, likewise
  Real spread;    // sum_j e_j log2 e_j of the others
  Real largest;   // the largest raw logit, the target's included; NaN is largest
  std::int64_t argmax;  // its class
};

struct cross_entropy_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float label_smoothing = 0.0f;            // s in [0, 1]
  std::int64_t ignore_index = -100;        // any integer; only labels have it
  scalar temperature = 1.0f;               // T > 0
  float softcap = 0.0f;                    // c; 0: none
  float z_loss = 0.0f;                     // coefficient of lse^2
  vector<const float> class_weights = {};  // [C]
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
  std::int64_t class_offset = 0;  // of the first column, with `classes`; only labels have shards
  std::int64_t classes = 0;       // in all shards; 0: the columns are all classes
};

// The outputs of a call with labels; Logits is the view that the logits were given as.
template <class T, class Logits = matrix<T>>
struct cross_entropy_outputs {
  vector<real_of<T>> loss = {};  // [rows] under none, else [1]
  Logits grad_logits = {};       // of the logits' shape
  vector<real_of<T>> lse = {};   // [rows]: log sum_j exp(y_j), with the target
  vector<row_statistics<real_of<T>>> statistics = {};  // [rows], for cross_entropy_backward
  vector<std::int64_t> argmax = {};   // [rows]: lowest index of the largest logit; NaN is largest
  vector<std::int64_t> correct = {};  // [1]: rows whose arg-max is their label
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
  vector<real_of<T>> z_loss = {};          // as loss: the part row_weight * z_loss * lse^2 of it
  vector<real_of<T>> entropy = {};         // [rows]: -sum_j p_j log p_j
  vector<shard_statistics<real_of<T>>> shards = {};  // [rows], for merge_statistics
};

// The outputs of merge_statistics, as those above.
template <class Real>
struct merged_outputs {
  vector<Real> loss = {};
  vector<Real> lse = {};
  vector<row_statistics<Real>> statistics = {};
  vector<std::int64_t> argmax = {};
  vector<std::int64_t> correct = {};
  vector<std::int64_t> rows_counted = {};
  vector<Real> z_loss = {};
  vector<Real> entropy = {};
};

// The outputs of a call with target probabilities.
template <class T>
struct cross_entropy_soft_outputs {
  vector<real_of<T>> loss = {};                        // [N] under none, else [1]
  matrix<T> grad_logits = {};                          // [N, C]
  matrix<T> grad_targets = {};                         // [N, C]
  vector<real_of<T>> lse = {};                         // [N]
  vector<row_statistics<real_of<T>>> statistics = {};  // [N], for cross_entropy_backward
  vector<std::int64_t> argmax = {};                    // [N]
  vector<real_of<T>> z_loss = {};                      // as loss
  vector<real_of<T>> entropy = {};                     // [N]
};

template <class T, class Logits = matrix<T>>
struct cross_entropy_backward_outputs {
  Logits grad_logits = {};
};

template <class T>
struct cross_entropy_soft_backward_outputs {
  matrix<T> grad_logits = {};   // [N, C]
  matrix<T> grad_targets = {};  // [N, C]
};

// Scratch that one call on `cuda` needs at most, forward or backward. O(N) bytes; for the pipelined kernels up
// to 16 KB more, and of more than 28000 columns about the bytes of one row of floats. Of
// strided_logits N is n * inner.
CULOSS_API std::size_t cross_entropy_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Against class labels.
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

// Against target probabilities.
CULOSS_API status cross_entropy(const cuda&, matrix<const float> logits,
                                matrix<const float> targets,
                                const cross_entropy_soft_outputs<float>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, matrix<const half> logits, matrix<const half> targets,
                                const cross_entropy_soft_outputs<half>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, matrix<const bf16> logits, matrix<const bf16> targets,
                                const cross_entropy_soft_outputs<bf16>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const float> logits, matrix<const float> targets,
                                const cross_entropy_soft_outputs<float>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const half> logits, matrix<const half> targets,
                                const cross_entropy_soft_outputs<half>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const bf16> logits, matrix<const bf16> targets,
                                const cross_entropy_soft_outputs<bf16>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, matrix<const double> logits,
                                matrix<const double> targets,
                                const cross_entropy_soft_outputs<double>&,
                                const cross_entropy_options& = {}) noexcept;

// Of logits whose classes are not innermost.
CULOSS_API status cross_entropy(const cuda&, strided_logits<const float> logits, label_view labels,
                                const cross_entropy_outputs<float, strided_logits<float>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, strided_logits<const half> logits, label_view labels,
                                const cross_entropy_outputs<half, strided_logits<half>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cuda&, strided_logits<const bf16> logits, label_view labels,
                                const cross_entropy_outputs<bf16, strided_logits<bf16>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, strided_logits<const float> logits, label_view labels,
                                const cross_entropy_outputs<float, strided_logits<float>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, strided_logits<const half> logits, label_view labels,
                                const cross_entropy_outputs<half, strided_logits<half>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, strided_logits<const bf16> logits, label_view labels,
                                const cross_entropy_outputs<bf16, strided_logits<bf16>>&,
                                const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy(const cpu&, strided_logits<const double> logits, label_view labels,
                                const cross_entropy_outputs<double, strided_logits<double>>&,
                                const cross_entropy_options& = {}) noexcept;

// The gradients alone, from the statistics that a cross_entropy call with the same labels or
// targets, smoothing, softcap, temperature and class weights left: one read and one write an
// element. For an upstream gradient that is learned later. Same gradients as the fused call within
// the error bound.
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

CULOSS_API status cross_entropy_backward(const cuda&, matrix<const float> logits,
                                         matrix<const float> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<float>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cuda&, matrix<const half> logits,
                                         matrix<const half> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<half>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cuda&, matrix<const bf16> logits,
                                         matrix<const bf16> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<bf16>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const float> logits,
                                         matrix<const float> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<float>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const half> logits,
                                         matrix<const half> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<half>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const bf16> logits,
                                         matrix<const bf16> targets,
                                         vector<const row_statistics<float>> statistics,
                                         const cross_entropy_soft_backward_outputs<bf16>&,
                                         const cross_entropy_options& = {}) noexcept;
CULOSS_API status cross_entropy_backward(const cpu&, matrix<const double> logits,
                                         matrix<const double> targets,
                                         vector<const row_statistics<double>> statistics,
                                         const cross_entropy_soft_backward_outputs<double>&,
                                         const cross_entropy_options& = {}) noexcept;

CULOSS_API status
cross_entropy_backward(const cuda&, strided_logits<const float> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<float, strided_logits<float>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cuda&, strided_logits<const half> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<half, strided_logits<half>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cuda&, strided_logits<const bf16> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cpu&, strided_logits<const float> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<float, strided_logits<float>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cpu&, strided_logits<const half> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<half, strided_logits<half>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cpu&, strided_logits<const bf16> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>&,
                       const cross_entropy_options& = {}) noexcept;
CULOSS_API status
cross_entropy_backward(const cpu&, strided_logits<const double> logits, label_view labels,
                       vector<const row_statistics<double>> statistics,
                       const cross_entropy_backward_outputs<double, strided_logits<double>>&,
                       const cross_entropy_options& = {}) noexcept;

// Everything that the forward call gives of whole rows, from what it gave of each shard [shards,
// rows], with the same labels and options: those must name `classes`, and class_offset be 0.
// Smoothing, z-loss and entropy want nothing of the shards' calls but the same options. Entirely of
// size shards * rows; scratch as cross_entropy.
CULOSS_API status merge_statistics(const cuda&, matrix<const shard_statistics<float>> shards,
                                   label_view labels, const merged_outputs<float>&,
                                   const cross_entropy_options&) noexcept;
CULOSS_API status merge_statistics(const cpu&, matrix<const shard_statistics<float>> shards,
                                   label_view labels, const merged_outputs<float>&,
                                   const cross_entropy_options&) noexcept;
CULOSS_API status merge_statistics(const cpu&, matrix<const shard_statistics<double>> shards,
                                   label_view labels, const merged_outputs<double>&,
                                   const cross_entropy_options&) noexcept;

}  // namespace culoss
