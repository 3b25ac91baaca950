// Softmax and log-softmax of the rows of a matrix, with temperature; forward and backward.
//
// Formula (Bridle 1990; stable form: Blanchard, Higham and Higham, "Accurately computing the
// log-sum-exp and softmax functions", 2021), over the columns j of one row:
//   y_j = x_j / T     p_j = exp(y_j - max y) / sum_k exp(y_k - max y)
//   log p_j = (y_j - max y) - log sum_k exp(y_k - max y)
//
// Shapes: every matrix is [rows, cols] with its own pitch. Types: float, half, bf16; double on the
// CPU. 16-bit inputs are exact in float, all arithmetic is float or better, outputs are rounded
// once. In place (same data and pitch) gives the same bits as out of place; other overlap is
// refused. Special values: a -inf logit has probability 0 (log-probability -inf); a row with a NaN,
// with +inf or of -inf alone becomes NaN, and no other row does. Workspace: none,
// but that the pipelined kernels need 16 bytes for each 16 KB or so of up to 512 rows of more than
// 112 KB, for which they take a workspace that is large enough, or else the stream's memory pool. Asynchronous: on `cuda`, as core.hpp says.
// Deterministic: a row's bits depend on its values, width, type, temperature and address modulo 16,
// not on the other rows or their number. rows = 0 does nothing.
//
// Errors, with nothing launched or written: invalid_argument for a null pointer, a negative size,
// cols = 0, ld < cols, shapes that differ, overlap, or a temperature that is not positive and
// normal (one on the device that is not makes every output NaN); unsupported without CUDA in the
// build; cuda_error, naming the runtime's call, where a launch fails or the stream belongs to
// another device; out_of_memory where the pool has no scratch for the pipelined kernels.
#pragma once

#include <culoss/core.hpp>

namespace culoss {

struct softmax_options {
  scalar temperature = 1.0f;  // T > 0
};

// probabilities = p
CULOSS_API status softmax(const cuda&, matrix<const float> logits, matrix<float> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cuda&, matrix<const half> logits, matrix<half> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cuda&, matrix<const bf16> logits, matrix<bf16> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cpu&, matrix<const float> logits, matrix<float> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cpu&, matrix<const half> logits, matrix<half> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cpu&, matrix<const bf16> logits, matrix<bf16> probabilities,
                          const softmax_options& = {}) noexcept;
CULOSS_API status softmax(const cpu&, matrix<const double> logits, matrix<double> probabilities,
                          const softmax_options& = {}) noexcept;

// log_probabilities = log p
CULOSS_API status log_softmax(const cuda&, matrix<const float> logits,
                              matrix<float> log_probabilities,
                              const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cuda&, matrix<const half> logits,
                              matrix<half> log_probabilities, const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cuda&, matrix<const bf16> logits,
                              matrix<bf16> log_probabilities, const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cpu&, matrix<const float> logits,
                              matrix<float> log_probabilities,
                              const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cpu&, matrix<const half> logits, matrix<half> log_probabilities,
                              const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cpu&, matrix<const bf16> logits, matrix<bf16> log_probabilities,
                              const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax(const cpu&, matrix<const double> logits,
                              matrix<double> log_probabilities,
                              const softmax_options& = {}) noexcept;

// Backward of softmax from its output p and the upstream gradient g:
//   grad_logits_j = p_j (g_j - sum_k g_k p_k) / T
// A column with p_j = 0 gets 0 whatever g_j, as long as the difference is finite. May be in place
// of either input.
CULOSS_API status softmax_backward(const cuda&, matrix<const float> probabilities,
                                   matrix<const float> grad_probabilities,
                                   matrix<float> grad_logits, const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cuda&, matrix<const half> probabilities,
                                   matrix<const half> grad_probabilities, matrix<half> grad_logits,
                                   const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cuda&, matrix<const bf16> probabilities,
                                   matrix<const bf16> grad_probabilities, matrix<bf16> grad_logits,
                                   const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cpu&, matrix<const float> probabilities,
                                   matrix<const float> grad_probabilities,
                                   matrix<float> grad_logits, const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cpu&, matrix<const half> probabilities,
                                   matrix<const half> grad_probabilities, matrix<half> grad_logits,
                                   const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cpu&, matrix<const bf16> probabilities,
                                   matrix<const bf16> grad_probabilities, matrix<bf16> grad_logits,
                                   const softmax_options& = {}) noexcept;
CULOSS_API status softmax_backward(const cpu&, matrix<const double> probabilities,
                                   matrix<const double> grad_probabilities,
                                   matrix<double> grad_logits,
                                   const softmax_options& = {}) noexcept;

// Backward of log_softmax from its output l = log p and the upstream gradient g:
//   grad_logits_j = (g_j - exp(l_j) sum_k g_k) / T
// A column with l_j = -inf (masked) gets 0. May be in place of either input.
CULOSS_API status log_softmax_backward(const cuda&, matrix<const float> log_probabilities,
                                       matrix<const float> grad_log_probabilities,
                                       matrix<float> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cuda&, matrix<const half> log_probabilities,
                                       matrix<const half> grad_log_probabilities,
                                       matrix<half> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cuda&, matrix<const bf16> log_probabilities,
                                       matrix<const bf16> grad_log_probabilities,
                                       matrix<bf16> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cpu&, matrix<const float> log_probabilities,
                                       matrix<const float> grad_log_probabilities,
                                       matrix<float> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cpu&, matrix<const half> log_probabilities,
                                       matrix<const half> grad_log_probabilities,
                                       matrix<half> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cpu&, matrix<const bf16> log_probabilities,
                                       matrix<const bf16> grad_log_probabilities,
                                       matrix<bf16> grad_logits,
                                       const softmax_options& = {}) noexcept;
CULOSS_API status log_softmax_backward(const cpu&, matrix<const double> log_probabilities,
                                       matrix<const double> grad_log_probabilities,
                                       matrix<double> grad_logits,
                                       const softmax_options& = {}) noexcept;

}  // namespace culoss
