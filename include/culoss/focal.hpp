// Focal losses: softmax focal of a row against its label, sigmoid focal of each element (Lin et
// al., "Focal loss for dense object detection", 2017), with their gradients, in one call.
//
// softmax_focal, for a row with label t:
//   p = softmax(x / T)     a = alpha or 1     L = -a_t (1 - p_t)^gamma log p_t
//   loss = row_weight * L, reduced; mean: the sum over the number of rows that count (alpha and row
//          weights never enter it), or over `normalizer`
// In terms of the margin d = x_t / T - log sum_{j != t} exp(x_j / T), of which p_t is the sigmoid:
//   L'(d) = -a_t (1 - p_t)^gamma [ gamma p_t (-log p_t) + (1 - p_t) ]
//   d L / d x_t = L'(d) / T     d L / d x_j = -L'(d) / T * exp(x_j / T) / sum_{k != t} exp(x_k / T)
// exact at both ends for every real gamma >= 0: also where p_t rounds to 1 or to 0.
//
// sigmoid_focal, for an element x with target t in [0, 1]; sp = softplus, sg = sigmoid:
//   BCE = t sp(-x) + (1 - t) sp(x)           1 - p_t = t sg(-x) + (1 - t) sg(x)
//   a_t = alpha t + (1 - alpha) (1 - t), or 1 for a negative alpha
//   L = a_t (1 - p_t)^gamma BCE
//   loss = row_weight * L, reduced; mean: the sum over the number of elements that count, over the
//          number of positive rows (`mean_over`), or over `normalizer`
//   dL/dx = a_t (1 - p_t)^gamma
//           [(1 - t) sg(x) - t sg(-x) + gamma BCE (1 - 2t) / (t / sg(x) + (1 - t) / sg(-x))]
//   dL/dt = (1 - p_t)^gamma [(2 alpha - 1) BCE - a_t x]
//           + a_t gamma (1 - p_t)^(gamma - 1) BCE (sg(-x) - sg(x))
// Infinite logits give the finite limit where there is one, else inf; a factor of exactly 0 times
// an infinite loss is 0; a NaN stays in its element.
//
// sigmoid_focal against class labels makes the one-hot targets itself: t = 1 in the column of the
// row's label, 0 elsewhere; a row whose label is `background` has t = 0 everywhere; a row whose
// label is `ignore_index` has loss 0 and gradient +0 whatever stands in it and does not count. Any
// other label makes the row NaN, and the fault record learns of it (it counts as elements).
//
// Shapes: logits, targets and gradients [N, C], each with its own pitch (softmax_focal also
// strided_logits: N * inner rows); labels [rows]; alpha of softmax_focal [C]. Types: float, half,
// bf16; double on the CPU. Losses are float (double for double); arithmetic is float or better,
// gradients are rounded once, after upstream and divisor. Outputs that are left empty are not
// computed. Special values of softmax_focal, ignored rows, bad labels, divisors of 0 and the
// statistics for its backward: as in cross_entropy.hpp.
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in an order fixed by
// the shape. A gradient may stand in the place of an input, its own or the other (same data and
// pitch): same bits; any other overlap of an output is refused.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, C = 0 (sigmoid_focal: only with labels), ld < cols, shapes that differ,
// overlap, a gamma that is negative or not finite, an alpha of sigmoid_focal above 1 or NaN, a
// temperature that is not positive and normal, an upstream of the wrong shape for the reduction, a
// normalizer under `none`, mean_over positives without labels, losses under another reduction than
// none or loss under none, no output at all; workspace_too_small; unsupported without CUDA in the
// build; cuda_error, naming the runtime's call; out_of_memory where the pool has no scratch.
#pragma once

#include <culoss/core.hpp>
#include <culoss/cross_entropy.hpp>
#include <limits>

namespace culoss {

struct softmax_focal_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float gamma = 2.0f;                      // >= 0; 0: cross-entropy
  vector<const float> alpha = {};          // [C]: one factor a class
  std::int64_t ignore_index = -100;        // any integer
  scalar temperature = 1.0f;               // T > 0
  vector<const float> row_weights = {};    // [rows]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [rows], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T, class Logits = matrix<T>>
struct softmax_focal_outputs {
  vector<real_of<T>> loss = {};                        // [rows] under none, else [1]
  Logits grad_logits = {};                             // of the logits' shape
  vector<row_statistics<real_of<T>>> statistics = {};  // [rows], for softmax_focal_backward
  vector<std::int64_t> argmax = {};                    // [rows]: lowest index of the largest logit
  vector<std::int64_t> correct = {};                   // [1]: rows whose arg-max is their label
  vector<std::int64_t> rows_counted = {};              // [1]: rows that are not ignored
};

template <class T, class Logits = matrix<T>>
struct softmax_focal_backward_outputs {
  Logits grad_logits = {};
};

// Scratch that one call on `cuda` needs at most, forward or backward. As cross_entropy.
CULOSS_API std::size_t softmax_focal_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Against class labels.
CULOSS_API status softmax_focal(const cuda&, matrix<const float> logits, label_view labels,
                                const softmax_focal_outputs<float>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cuda&, matrix<const half> logits, label_view labels,
                                const softmax_focal_outputs<half>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cuda&, matrix<const bf16> logits, label_view labels,
                                const softmax_focal_outputs<bf16>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, matrix<const float> logits, label_view labels,
                                const softmax_focal_outputs<float>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, matrix<const half> logits, label_view labels,
                                const softmax_focal_outputs<half>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, matrix<const bf16> logits, label_view labels,
                                const softmax_focal_outputs<bf16>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, matrix<const double> logits, label_view labels,
                                const softmax_focal_outputs<double>&,
                                const softmax_focal_options& = {}) noexcept;

// Of logits whose classes are not innermost.
CULOSS_API status softmax_focal(const cuda&, strided_logits<const float> logits, label_view labels,
                                const softmax_focal_outputs<float, strided_logits<float>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cuda&, strided_logits<const half> logits, label_view labels,
                                const softmax_focal_outputs<half, strided_logits<half>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cuda&, strided_logits<const bf16> logits, label_view labels,
                                const softmax_focal_outputs<bf16, strided_logits<bf16>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, strided_logits<const float> logits, label_view labels,
                                const softmax_focal_outputs<float, strided_logits<float>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, strided_logits<const half> logits, label_view labels,
                                const softmax_focal_outputs<half, strided_logits<half>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, strided_logits<const bf16> logits, label_view labels,
                                const softmax_focal_outputs<bf16, strided_logits<bf16>>&,
                                const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal(const cpu&, strided_logits<const double> logits, label_view labels,
                                const softmax_focal_outputs<double, strided_logits<double>>&,
                                const softmax_focal_options& = {}) noexcept;

// The gradient alone, from the statistics that a softmax_focal or cross_entropy call with the same
// labels and temperature, and without a softcap, left: one read and one write an element.
CULOSS_API status softmax_focal_backward(const cuda&, matrix<const float> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<float>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cuda&, matrix<const half> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<half>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cuda&, matrix<const bf16> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<bf16>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cpu&, matrix<const float> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<float>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cpu&, matrix<const half> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<half>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cpu&, matrix<const bf16> logits, label_view labels,
                                         vector<const row_statistics<float>> statistics,
                                         const softmax_focal_backward_outputs<bf16>&,
                                         const softmax_focal_options& = {}) noexcept;
CULOSS_API status softmax_focal_backward(const cpu&, matrix<const double> logits, label_view labels,
                                         vector<const row_statistics<double>> statistics,
                                         const softmax_focal_backward_outputs<double>&,
                                         const softmax_focal_options& = {}) noexcept;

CULOSS_API status
softmax_focal_backward(const cuda&, strided_logits<const float> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<float, strided_logits<float>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cuda&, strided_logits<const half> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<half, strided_logits<half>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cuda&, strided_logits<const bf16> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<bf16, strided_logits<bf16>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cpu&, strided_logits<const float> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<float, strided_logits<float>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cpu&, strided_logits<const half> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<half, strided_logits<half>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cpu&, strided_logits<const bf16> logits, label_view labels,
                       vector<const row_statistics<float>> statistics,
                       const softmax_focal_backward_outputs<bf16, strided_logits<bf16>>&,
                       const softmax_focal_options& = {}) noexcept;
CULOSS_API status
softmax_focal_backward(const cpu&, strided_logits<const double> logits, label_view labels,
                       vector<const row_statistics<double>> statistics,
                       const softmax_focal_backward_outputs<double, strided_logits<double>>&,
                       const softmax_focal_options& = {}) noexcept;

// What the mean of sigmoid_focal divides by.
enum class focal_mean {
  elements,   // cols times the rows that count
  positives,  // the rows whose label is a class; bad labels are none
};

struct sigmoid_focal_options {
  // The label C, one after the last class, as detection libraries number the background.
  static constexpr std::int64_t kAfterLastClass = std::numeric_limits<std::int64_t>::min();

  culoss::reduction reduction = culoss::reduction::mean;
  float gamma = 2.0f;                         // >= 0; 0: binary cross-entropy
  float alpha = 0.25f;                        // in [0, 1], or negative: off
  std::int64_t background = kAfterLastClass;  // label of rows without a class; labels only
  std::int64_t ignore_index = -100;           // any integer; labels only; stands before background
  focal_mean mean_over = focal_mean::elements;  // the divisor of mean
  vector<const float> row_weights = {};         // [N]; not part of the divisor
  scalar normalizer = {};                       // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                       // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};       // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct sigmoid_focal_outputs {
  vector<real_of<T>> loss = {};    // [1], under mean and sum
  matrix<real_of<T>> losses = {};  // [N, C], under none
  matrix<T> grad_logits = {};      // [N, C]
  matrix<T> grad_targets = {};     // [N, C]
};

// With labels, whose one-hot targets have no gradient.
template <class T>
struct sigmoid_focal_label_outputs {
  vector<real_of<T>> loss = {};         // [1], under mean and sum
  matrix<real_of<T>> losses = {};       // [N, C], under none
  matrix<T> grad_logits = {};           // [N, C]
  vector<std::int64_t> positives = {};  // [1]: rows whose label is a class
};

// Scratch that one call on `cuda` needs at most: some 16 bytes for every few thousand elements.
CULOSS_API std::size_t sigmoid_focal_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Against a target for each element.
CULOSS_API status sigmoid_focal(const cuda&, matrix<const float> logits,
                                matrix<const float> targets, const sigmoid_focal_outputs<float>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cuda&, matrix<const half> logits, matrix<const half> targets,
                                const sigmoid_focal_outputs<half>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cuda&, matrix<const bf16> logits, matrix<const bf16> targets,
                                const sigmoid_focal_outputs<bf16>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const float> logits, matrix<const float> targets,
                                const sigmoid_focal_outputs<float>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const half> logits, matrix<const half> targets,
                                const sigmoid_focal_outputs<half>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const bf16> logits, matrix<const bf16> targets,
                                const sigmoid_focal_outputs<bf16>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const double> logits,
                                matrix<const double> targets, const sigmoid_focal_outputs<double>&,
                                const sigmoid_focal_options& = {}) noexcept;

// Against class labels.
CULOSS_API status sigmoid_focal(const cuda&, matrix<const float> logits, label_view labels,
                                const sigmoid_focal_label_outputs<float>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cuda&, matrix<const half> logits, label_view labels,
                                const sigmoid_focal_label_outputs<half>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cuda&, matrix<const bf16> logits, label_view labels,
                                const sigmoid_focal_label_outputs<bf16>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const float> logits, label_view labels,
                                const sigmoid_focal_label_outputs<float>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const half> logits, label_view labels,
                                const sigmoid_focal_label_outputs<half>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const bf16> logits, label_view labels,
                                const sigmoid_focal_label_outputs<bf16>&,
                                const sigmoid_focal_options& = {}) noexcept;
CULOSS_API status sigmoid_focal(const cpu&, matrix<const double> logits, label_view labels,
                                const sigmoid_focal_label_outputs<double>&,
                                const sigmoid_focal_options& = {}) noexcept;

}  // namespace culoss
