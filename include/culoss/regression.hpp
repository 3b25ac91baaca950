// Regression losses of each element (mean squared and absolute error; Huber, "Robust estimation of a
// location parameter", 1964; smooth L1 of Girshick, "Fast R-CNN", 2015), with the gradients of
// predictions and targets, in one call.
//
// For an element with prediction x, target t and weight w, e = x - t:
//   mse        L = e^2                                      dL/dx = 2 e
//   mae        L = |e|                                      dL/dx = sign e
//   huber      L = |e| <= delta ? e^2 / 2                   dL/dx = |e| <= delta ? e
//                               : delta (|e| - delta / 2)                      : delta sign e
//   smooth_l1  L = |e| < beta ? e^2 / (2 beta)              dL/dx = |e| < beta ? e / beta
//                             : |e| - beta / 2                               : sign e
//              with beta = 0 it is mae; huber is delta times smooth_l1 of beta = delta
//   dL/dt = -dL/dx, and sign 0 = 0
//   loss = w L, reduced; w is that of the element in `weights` times that of its row in
//          `row_weights`, 1 where they are not given
//   mean: the sum over the number of elements, whatever the weights; over the sum of the weights
//         (`mean_over`); or over `normalizer`
// An infinite e gives an infinite loss and the derivative's limit (of mse: infinite); both
// infinite of one sign is NaN, as a NaN is, in its element alone. A weight or an upstream gradient
// of exactly 0 times something infinite is 0. A divisor of exactly 0 and no elements at all: loss
// 0 and gradient 0, or NaN (`empty`).
//
// Shapes: predictions, targets, weights, upstream_elements, losses and gradients [N, D], each with
// its own pitch. Types: float, half, bf16; double on the CPU. Losses are float (double for
// double); e is float or better, gradients are rounded once, after weight, upstream and divisor.
// Outputs that are left empty are not computed.
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in an order fixed by
// the shape; an element's loss and gradients depend on nothing but the element and the options.
// Loss and gradients come from one read of each input; mean_over weights reads the weights once
// more. A gradient may stand in the place of predictions or targets (same data and pitch): same
// bits; any other overlap of an output is refused.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, ld < cols, shapes that differ, overlap, a delta that is not positive,
// finite and normal, a beta that is neither that nor 0, upstream_rows or upstream_elements under
// mean or sum, or both, a normalizer under `none`, losses under another reduction than none or loss
// under none, no output at all; workspace_too_small; unsupported without CUDA in the build;
// cuda_error, naming the runtime's call; out_of_memory where the pool has no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

// What the mean of a weighted loss divides by.
enum class weighted_mean {
  elements,  // how many there are
  weights,   // the sum of their weights
};

// Of mse and mae.
struct regression_options {
  culoss::reduction reduction = culoss::reduction::mean;
  matrix<const float> weights = {};                   // [N, D]
  vector<const float> row_weights = {};               // [N]
  weighted_mean mean_over = weighted_mean::elements;  // the divisor of mean
  scalar normalizer = {};                             // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                      // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};      // [N], instead of `upstream`, under none
  matrix<const float> upstream_elements = {};  // [N, D], likewise
  empty_batch empty = empty_batch::zero;
};

struct huber_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float delta = 1.0f;  // > 0
  // As of regression_options.
  matrix<const float> weights = {};
  vector<const float> row_weights = {};
  weighted_mean mean_over = weighted_mean::elements;
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  matrix<const float> upstream_elements = {};
  empty_batch empty = empty_batch::zero;
};

struct smooth_l1_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float beta = 1.0f;  // >= 0; 0: mae
  // As of regression_options.
  matrix<const float> weights = {};
  vector<const float> row_weights = {};
  weighted_mean mean_over = weighted_mean::elements;
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  matrix<const float> upstream_elements = {};
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct regression_outputs {
  vector<real_of<T>> loss = {};     // [1], under mean and sum
  matrix<real_of<T>> losses = {};   // [N, D], under none
  matrix<T> grad_predictions = {};  // [N, D]
  matrix<T> grad_targets = {};      // [N, D]
};

// Scratch that one call on `cuda` needs at most: some 16 bytes for every few thousand elements.
CULOSS_API std::size_t regression_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Squared error.
CULOSS_API status mse(const cuda&, matrix<const float> predictions, matrix<const float> targets,
                      const regression_outputs<float>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cuda&, matrix<const half> predictions, matrix<const half> targets,
                      const regression_outputs<half>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cuda&, matrix<const bf16> predictions, matrix<const bf16> targets,
                      const regression_outputs<bf16>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cpu&, matrix<const float> predictions, matrix<const float> targets,
                      const regression_outputs<float>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cpu&, matrix<const half> predictions, matrix<const half> targets,
                      const regression_outputs<half>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cpu&, matrix<const bf16> predictions, matrix<const bf16> targets,
                      const regression_outputs<bf16>&, const regression_options& = {}) noexcept;
CULOSS_API status mse(const cpu&, matrix<const double> predictions, matrix<const double> targets,
                      const regression_outputs<double>&, const regression_options& = {}) noexcept;
// Absolute error.
CULOSS_API status mae(const cuda&, matrix<const float> predictions, matrix<const float> targets,
                      const regression_outputs<float>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cuda&, matrix<const half> predictions, matrix<const half> targets,
                      const regression_outputs<half>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cuda&, matrix<const bf16> predictions, matrix<const bf16> targets,
                      const regression_outputs<bf16>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cpu&, matrix<const float> predictions, matrix<const float> targets,
                      const regression_outputs<float>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cpu&, matrix<const half> predictions, matrix<const half> targets,
                      const regression_outputs<half>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cpu&, matrix<const bf16> predictions, matrix<const bf16> targets,
                      const regression_outputs<bf16>&, const regression_options& = {}) noexcept;
CULOSS_API status mae(const cpu&, matrix<const double> predictions, matrix<const double> targets,
                      const regression_outputs<double>&, const regression_options& = {}) noexcept;
// Squared up to delta, absolute from there on.
CULOSS_API status huber(const cuda&, matrix<const float> predictions, matrix<const float> targets,
                        const regression_outputs<float>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cuda&, matrix<const half> predictions, matrix<const half> targets,
                        const regression_outputs<half>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cuda&, matrix<const bf16> predictions, matrix<const bf16> targets,
                        const regression_outputs<bf16>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cpu&, matrix<const float> predictions, matrix<const float> targets,
                        const regression_outputs<float>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cpu&, matrix<const half> predictions, matrix<const half> targets,
                        const regression_outputs<half>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cpu&, matrix<const bf16> predictions, matrix<const bf16> targets,
                        const regression_outputs<bf16>&, const huber_options& = {}) noexcept;
CULOSS_API status huber(const cpu&, matrix<const double> predictions, matrix<const double> targets,
                        const regression_outputs<double>&, const huber_options& = {}) noexcept;
// Squared up to beta, absolute from there on; its slope ends at 1.
CULOSS_API status smooth_l1(const cuda&, matrix<const float> predictions,
                            matrix<const float> targets, const regression_outputs<float>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cuda&, matrix<const half> predictions, matrix<const half> targets,
                            const regression_outputs<half>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cuda&, matrix<const bf16> predictions, matrix<const bf16> targets,
                            const regression_outputs<bf16>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cpu&, matrix<const float> predictions,
                            matrix<const float> targets, const regression_outputs<float>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cpu&, matrix<const half> predictions, matrix<const half> targets,
                            const regression_outputs<half>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cpu&, matrix<const bf16> predictions, matrix<const bf16> targets,
                            const regression_outputs<bf16>&,
                            const smooth_l1_options& = {}) noexcept;
CULOSS_API status smooth_l1(const cpu&, matrix<const double> predictions,
                            matrix<const double> targets, const regression_outputs<double>&,
                            const smooth_l1_options& = {}) noexcept;

}  // namespace culoss
