// Softmax cross-entropy of the logits of a linear classifier (the head of a language model), which
// are never stored whole, with the gradients of hidden states, weights and bias.
//
// Formula, with hidden states h_i [N, D], the classes' weights w_j [V, D] and biases b_j:
//   x_ij = <h_i, w_j> + b_j
//   loss and dx_ij = d loss / d x_ij as of cross_entropy (cross_entropy.hpp) with labels: smoothing,
//   class weights, ignore_index, temperature, z-loss, softcap, row weights, normalizer, reduction,
//   upstream, empty batches and every output mean the same here
//
//   dh_i = sum_j dx_ij w_j    dw_j = sum_i dx_ij h_i    db_j = sum_i dx_ij
//
// Types: float, half, bf16; double on the CPU. Products accumulate in float, and the logits are
// float until the exponential is taken; float inputs mean float products, TF32 only with
// `allow_tf32`. For 16-bit inputs dx is rounded to their type once, with the -1 of the target in it
// and in units of what multiplies all of it; upstream and divisor are applied in float afterwards.
// dh and dw come out in the inputs' type, rounded once, or in float; db is float; float ones may be
// added to (`accumulate`).
//
// Special values: as in cross_entropy.hpp, judged on the logits: a bias of -inf masks its class
// (probability 0, dw_j and db_j 0), a hidden state that is not finite makes its own row's results
// NaN, and dw and db; weights that are not finite or a bias of +inf or NaN every row. An ignored row
// gets dh = +0; where dw is asked for its hidden state must be finite. A row with a bad label makes
// its own dh, and dw and db, NaN. N = 0: losses 0, dw and db 0 or what they were.
//
// Shards of the vocabulary, for a classifier that is split over devices: with `classes`, weights and
// bias are those of the classes [class_offset, class_offset + V), as cross_entropy.hpp says.
// linear_cross_entropy gives the shard's `shards`; merge_statistics makes of all shards' records the
// losses and the statistics; linear_cross_entropy_backward, given those, the dw and db of its shard,
// and its part of dh, which the caller adds up over the shards.
//
// Ranges on `cuda`: for half, entries of dx below 2^-38 of the largest that the options allow are
// lost to half's range. A z-loss makes that largest one 2 z_loss |lse| larger, of which only a bound
// by the norms of hidden states and weights is known beforehand.
//
// On `cuda`: needs `blas`; asynchronous as core.hpp says, cuBLAS included; can be captured. Memory:
// O((N + V) D) and the logits of as many rows as the workspace allows: see
// linear_cross_entropy_workspace. Three products, 6 N V D operations, with gradients; one without;
// again three in a backward. Deterministic on one stream with one workspace size; another size
// gives another plan, whose results agree within the error bound. Outputs may not overlap anything.
//
// Errors, with nothing launched or written: as cross_entropy.hpp; also invalid_argument where blas
// is null or empty, D = 0, the shapes differ, grad_bias is asked for without a bias, or `accumulate`
// of a 16-bit gradient; cublas_error, naming the call.
#pragma once

#include <culoss/cross_entropy.hpp>
#include <culoss/cublas.hpp>

namespace culoss {

struct linear_cross_entropy_options {
  culoss::reduction reduction = culoss::reduction::mean;
  float label_smoothing = 0.0f;            // s in [0, 1]
  std::int64_t ignore_index = -100;        // any integer
  scalar temperature = 1.0f;               // T > 0
  float softcap = 0.0f;                    // c; 0: none
  float z_loss = 0.0f;                     // coefficient of lse^2
  vector<const float> class_weights = {};  // [V], with `classes` of all of them
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
  std::int64_t class_offset = 0;  // of the first class, with `classes`
  std::int64_t classes = 0;       // in all shards; 0: V is all classes
  bool accumulate = false;        // gradients are added to (float only)
  bool allow_tf32 = false;
};

template <class T>
struct linear_cross_entropy_outputs {
  vector<real_of<T>> loss = {};                        // [N] under none, else [1]
  gradient_matrix<T> grad_hidden = {};                 // [N, D]
  gradient_matrix<T> grad_weight = {};                 // [V, D]
  vector<real_of<T>> grad_bias = {};                   // [V]
  vector<real_of<T>> lse = {};                         // [N]
  vector<row_statistics<real_of<T>>> statistics = {};  // [N], for linear_cross_entropy_backward
  vector<std::int64_t> argmax = {};                    // [N]
  vector<std::int64_t> correct = {};                   // [1]
  vector<std::int64_t> rows_counted = {};              // [1]
  vector<real_of<T>> z_loss = {};                      // as loss
  vector<real_of<T>> entropy = {};                     // [N]
  vector<shard_statistics<real_of<T>>> shards = {};    // [N], for merge_statistics
};

template <class T>
struct linear_cross_entropy_backward_outputs {
  gradient_matrix<T> grad_hidden = {};  // [N, D]
  gradient_matrix<T> grad_weight = {};  // [V, D]
  vector<real_of<T>> grad_bias = {};    // [V]
};

struct linear_cross_entropy_shape {
  std::int64_t rows = 0, classes = 0, dimension = 0;  // N, V (of the shard), D
  int element_bytes = 2;                              // of hidden states and weights
  bool hidden_gradient = true;
  bool weight_gradient = true;
  bool bias_gradient = false;
};

// What a call on `cuda` with these sizes can use, forward or backward, and the rows whose logits it
// then has at a time. Fewer bytes than `least`: workspace_too_small. More than `best` buys nothing.
struct linear_cross_entropy_plan {
  std::size_t least = 0;
  std::int64_t least_rows = 0;
  std::size_t best = 0;
  std::int64_t best_rows = 0;
};
CULOSS_API linear_cross_entropy_plan
linear_cross_entropy_workspace(const linear_cross_entropy_shape&) noexcept;  // for one call

// An empty bias: none.
CULOSS_API status linear_cross_entropy(const cuda&, matrix<const float> hidden,
                                       matrix<const float> weight, vector<const float> bias,
                                       label_view labels,
                                       const linear_cross_entropy_outputs<float>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cuda&, matrix<const half> hidden,
                                       matrix<const half> weight, vector<const float> bias,
                                       label_view labels, const linear_cross_entropy_outputs<half>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cuda&, matrix<const bf16> hidden,
                                       matrix<const bf16> weight, vector<const float> bias,
                                       label_view labels, const linear_cross_entropy_outputs<bf16>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cpu&, matrix<const float> hidden,
                                       matrix<const float> weight, vector<const float> bias,
                                       label_view labels,
                                       const linear_cross_entropy_outputs<float>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cpu&, matrix<const half> hidden,
                                       matrix<const half> weight, vector<const float> bias,
                                       label_view labels, const linear_cross_entropy_outputs<half>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cpu&, matrix<const bf16> hidden,
                                       matrix<const bf16> weight, vector<const float> bias,
                                       label_view labels, const linear_cross_entropy_outputs<bf16>&,
                                       const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy(const cpu&, matrix<const double> hidden,
                                       matrix<const double> weight, vector<const double> bias,
                                       label_view labels,
                                       const linear_cross_entropy_outputs<double>&,
                                       const linear_cross_entropy_options& = {}) noexcept;

// The gradients alone, from the statistics that a call with the same inputs and options left, or
// that merge_statistics made: for an upstream gradient that is learned later, and for shards.
CULOSS_API status linear_cross_entropy_backward(const cuda&, matrix<const float> hidden,
                                                matrix<const float> weight,
                                                vector<const float> bias, label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<float>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(const cuda&, matrix<const half> hidden,
                                                matrix<const half> weight, vector<const float> bias,
                                                label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<half>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(const cuda&, matrix<const bf16> hidden,
                                                matrix<const bf16> weight, vector<const float> bias,
                                                label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<bf16>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(const cpu&, matrix<const float> hidden,
                                                matrix<const float> weight,
                                                vector<const float> bias, label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<float>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(const cpu&, matrix<const half> hidden,
                                                matrix<const half> weight, vector<const float> bias,
                                                label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<half>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(const cpu&, matrix<const bf16> hidden,
                                                matrix<const bf16> weight, vector<const float> bias,
                                                label_view labels,
                                                vector<const row_statistics<float>> statistics,
                                                const linear_cross_entropy_backward_outputs<bf16>&,
                                                const linear_cross_entropy_options& = {}) noexcept;
CULOSS_API status linear_cross_entropy_backward(
    const cpu&, matrix<const double> hidden, matrix<const double> weight, vector<const double> bias,
    label_view labels, vector<const row_statistics<double>> statistics,
    const linear_cross_entropy_backward_outputs<double>&,
    const linear_cross_entropy_options& = {}) noexcept;

}  // namespace culoss
