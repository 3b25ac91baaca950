// Binary cross-entropy of each element against a target in [0, 1], from a logit or from a
// probability, with the gradients of both, in one call. Two functions: they share neither formula
// nor options, and what goes wrong with probabilities (log 0, 1 - p) cannot with logits.
//
// For an element with target t and weight w; sp = softplus, sg = sigmoid:
//   binary_cross_entropy, of a logit x in column j, with pw = pos_weight_j (1 where it is not given)
//     t' = t (1 - s) + s / 2, s = label_smoothing
//     L = pw t' sp(-x) + (1 - t') sp(x)
//     dL/dx = (1 - t') sg(x) - pw t' sg(-x)     dL/dt = (1 - s) [pw sp(-x) - sp(x)]
//   binary_cross_entropy_probabilities, of a probability p, as PyTorch's BCELoss:
//     L = -t log p - (1 - t) log(1 - p), each logarithm at least -100
//     dL/dp = (p - t) / max(p (1 - p), 1e-12)   dL/dt = log(1 - p) - log p, clamped likewise
//   loss = w L, reduced; w is that of the element in `weights` times that of its row in
//          `row_weights`, 1 where they are not given
//   mean: the sum over the number of elements, whatever the weights, or over `normalizer`
// An infinite logit gives the finite limit where there is one, else inf; a factor of exactly 0
// times an infinite term is 0. A NaN, and a p outside [0, 1], is NaN in its element alone (of a
// target, which dL/dt does not depend on, not in that). A
// divisor of exactly 0 and no elements at all: loss 0 and gradient 0, or NaN (`empty`).
//
// Shapes: logits or probabilities, targets, weights, upstream_elements, losses and gradients
// [N, D], each with its own pitch; pos_weight [D]. Types: float, half, bf16; double on the CPU.
// Losses are float (double for double); arithmetic is float or better, gradients are rounded once,
// after weight, upstream and divisor. Outputs that are left empty are not computed.
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in an order fixed by
// the shape; an element's loss and gradients depend on nothing but the element, its column's
// pos_weight and the options. Loss and gradients come from one read of each input. A gradient may
// stand in the place of the logits, the probabilities or the targets (same data and pitch): same
// bits; any other overlap of an output is refused.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, ld < cols, shapes that differ, overlap, a label_smoothing outside
// [0, 1], upstream_rows or upstream_elements under mean or sum, or both, a normalizer under `none`,
// losses under another reduction than none or loss under none, no output at all;
// workspace_too_small; unsupported without CUDA in the build; cuda_error, naming the runtime's
// call; out_of_memory where the pool has no scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

struct binary_cross_entropy_options {
  culoss::reduction reduction = culoss::reduction::mean;
  vector<const float> pos_weight = {};         // [D]: one factor a column, of the positive part
  float label_smoothing = 0.0f;                // in [0, 1]: targets move towards 1/2
  matrix<const float> weights = {};            // [N, D]; not part of the divisor
  vector<const float> row_weights = {};        // [N]; likewise
  scalar normalizer = {};                      // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                      // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};      // [N], instead of `upstream`, under none
  matrix<const float> upstream_elements = {};  // [N, D], likewise
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct binary_cross_entropy_outputs {
  vector<real_of<T>> loss = {};    // [1], under mean and sum
  matrix<real_of<T>> losses = {};  // [N, D], under none
  matrix<T> grad_logits = {};      // [N, D]
  matrix<T> grad_targets = {};     // [N, D]
};

// As of binary_cross_entropy.
struct binary_cross_entropy_probabilities_options {
  culoss::reduction reduction = culoss::reduction::mean;
  matrix<const float> weights = {};
  vector<const float> row_weights = {};
  scalar normalizer = {};
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  matrix<const float> upstream_elements = {};
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct binary_cross_entropy_probabilities_outputs {
  vector<real_of<T>> loss = {};       // [1], under mean and sum
  matrix<real_of<T>> losses = {};     // [N, D], under none
  matrix<T> grad_probabilities = {};  // [N, D]
  matrix<T> grad_targets = {};        // [N, D]
};

// Scratch that one call on `cuda`, of either, needs at most: some 16 bytes for every few thousand
// elements.
CULOSS_API std::size_t binary_cross_entropy_workspace_bytes(std::int64_t rows,
                                                            std::int64_t cols) noexcept;
// Of logits.
CULOSS_API status binary_cross_entropy(const cuda&, matrix<const float> logits,
                                       matrix<const float> targets,
                                       const binary_cross_entropy_outputs<float>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cuda&, matrix<const half> logits,
                                       matrix<const half> targets,
                                       const binary_cross_entropy_outputs<half>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cuda&, matrix<const bf16> logits,
                                       matrix<const bf16> targets,
                                       const binary_cross_entropy_outputs<bf16>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cpu&, matrix<const float> logits,
                                       matrix<const float> targets,
                                       const binary_cross_entropy_outputs<float>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cpu&, matrix<const half> logits,
                                       matrix<const half> targets,
                                       const binary_cross_entropy_outputs<half>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cpu&, matrix<const bf16> logits,
                                       matrix<const bf16> targets,
                                       const binary_cross_entropy_outputs<bf16>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy(const cpu&, matrix<const double> logits,
                                       matrix<const double> targets,
                                       const binary_cross_entropy_outputs<double>&,
                                       const binary_cross_entropy_options& = {}) noexcept;
// Of probabilities.
CULOSS_API status binary_cross_entropy_probabilities(
    const cuda&, matrix<const float> probabilities, matrix<const float> targets,
    const binary_cross_entropy_probabilities_outputs<float>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cuda&, matrix<const half> probabilities, matrix<const half> targets,
    const binary_cross_entropy_probabilities_outputs<half>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cuda&, matrix<const bf16> probabilities, matrix<const bf16> targets,
    const binary_cross_entropy_probabilities_outputs<bf16>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cpu&, matrix<const float> probabilities, matrix<const float> targets,
    const binary_cross_entropy_probabilities_outputs<float>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cpu&, matrix<const half> probabilities, matrix<const half> targets,
    const binary_cross_entropy_probabilities_outputs<half>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cpu&, matrix<const bf16> probabilities, matrix<const bf16> targets,
    const binary_cross_entropy_probabilities_outputs<bf16>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;
CULOSS_API status binary_cross_entropy_probabilities(
    const cpu&, matrix<const double> probabilities, matrix<const double> targets,
    const binary_cross_entropy_probabilities_outputs<double>&,
    const binary_cross_entropy_probabilities_options& = {}) noexcept;

}  // namespace culoss
