// Entropy of rows of probabilities or of logits, with its gradient, in one call.
//
// Formula (Shannon 1948):
//   probabilities p:  H = -sum_j p_j log p_j            dH / d p_j = -(log p_j + 1)
//   logits x:         p = softmax(x / T), H likewise    dH / d x_j = -(p_j / T) (log p_j + H)
//   loss = row_weight * H, reduced; mean: the sum over the number of rows (`mean_elements`: over
//          the number of elements, N C), or over `normalizer`
// Of logits it is computed from m = max x, z = sum_j exp((x_j - m) / T) and
// B = sum_j exp((x_j - m) / T) (x_j - m) / T <= 0: H = log z - B / z, two terms that are not
// negative.
//
// Shapes: input and gradient [N, C], each with its own pitch. Types: float, half, bf16; double on
// the CPU. Losses are float (double for double); arithmetic is float or better, the gradient is
// rounded once, after upstream and divisor. Outputs that are left empty are not computed.
//
// Special values. Probabilities: p_j = 0 has value 0 and gradient 0; p_j < 0: NaN. The rows need
// not sum to 1. Logits: -inf is a masked column (probability 0, gradient 0); a NaN, a +inf, or -inf
// alone: NaN in that row, nowhere else. A divisor of exactly 0: loss 0 and gradient 0 (`empty`:
// NaN).
//
// Asynchronous on `cuda`, as core.hpp says. Deterministic: scalars are summed in a fixed order, and
// a row's bits depend on its values, width, type, options and address modulo 16, not on the other
// rows or their number. The gradient may stand in the place of the input (same data and pitch):
// same bits; any other overlap of an output is refused. N = 0: the scalar loss is 0.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer where data is
// needed, a negative size, C = 0, ld < cols, shapes that differ, overlap, a temperature that is not
// positive and normal, or is not 1 with probabilities, an upstream of the wrong shape for the
// reduction, a normalizer under `none`, no output at all; workspace_too_small; unsupported without
// CUDA in the build; cuda_error, naming the runtime's call; out_of_memory where the pool has no
// scratch.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

enum class entropy_input : int { probabilities, logits };

struct entropy_options {
  culoss::reduction reduction = culoss::reduction::mean;
  entropy_input input = entropy_input::probabilities;
  scalar temperature = 1.0f;               // T > 0, of logits
  bool mean_elements = false;              // mean divides by N C
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct entropy_outputs {
  vector<real_of<T>> loss = {};  // [N] under none, else [1]
  matrix<T> grad_input = {};     // [N, C]
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t entropy_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;

CULOSS_API status entropy(const cuda&, matrix<const float> input, const entropy_outputs<float>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cuda&, matrix<const half> input, const entropy_outputs<half>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cuda&, matrix<const bf16> input, const entropy_outputs<bf16>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cpu&, matrix<const float> input, const entropy_outputs<float>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cpu&, matrix<const half> input, const entropy_outputs<half>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cpu&, matrix<const bf16> input, const entropy_outputs<bf16>&,
                          const entropy_options& = {}) noexcept;
CULOSS_API status entropy(const cpu&, matrix<const double> input, const entropy_outputs<double>&,
                          const entropy_options& = {}) noexcept;

}  // namespace culoss
