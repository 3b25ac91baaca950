// Entropy of rows of probabilities or of logits and Kullback-Leibler divergence of rows of
// probabilities, with their gradients, in one call.
//
// Entropy. Formula (Shannon 1948):
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
// kl_divergence (Kullback and Leibler, "On information and sufficiency", 1951), forward:
//   D = sum_j p_j (log p_j - log q_j)    dD / d p_j = log p_j - log q_j + 1    dD / d q_j = -p_j / q_j
// reverse: the same with p and q exchanged. Either may come as log-probabilities, and its gradient
// is then by those: dD / d log p_j = p_j (log p_j - log q_j + 1), dD / d log q_j = -p_j (PyTorch's
// kl_div has log q for its input, and p or log p for its target). Reduction as of entropy: the mean
// over rows is PyTorch's `batchmean`. The rows need not sum to 1. log p_j - log q_j is relatively
// exact where p_j is close to q_j, for both as probabilities or both as logarithms.
//   Special values (forward): p_j = 0 has value 0 and gradients 0, also at q_j = 0; q_j = 0 < p_j:
// loss +inf, d p_j = +inf, d q_j = -inf (by log q_j: -p_j). A negative probability or a NaN: NaN in
// the row's loss and its own gradients. The gradient of a row is nowhere else touched by these.
//   Shapes: p, q and their gradients [N, C]. Each gradient may stand in the place of either input.
//
// distillation (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015) of
// logits, p = softmax(teacher / T), q = softmax(student / T):
//   forward           D = KL(p || q) = sum_j p_j (log p_j - log q_j)
//     by the student: (q - p) / T     by the teacher: (p_j / T) (log p_j - log q_j - D)
//   reverse           D = KL(q || p), with p and q exchanged
//   jensen_shannon    D = b KL(p || m) + (1 - b) KL(q || m), m = b p + (1 - b) q (Agarwal et al.,
//                     "On-policy distillation of language models", 2024); as there b = 0 stands for
//                     forward, b = 1 for reverse
//     by the student: (1 - b) (q_j / T) (log(q_j / m_j) - KL(q || m)), by the teacher likewise
//   loss = row_weight * D, times T^2 with `temperature_squared`, reduced; mean: the sum over the
//          number of rows that count, or over `normalizer`
// With labels, rows whose label is `ignore_index` are not read: loss 0, gradients +0, not counted. A
// label that is none of the classes makes its row NaN, and the fault record learns of it; which of
// them it is does not matter. D is summed from terms that are not negative and of
// second order where student and teacher are close, so that it keeps its digits there; of KL in rows
// that do not fit on chip (on an H200 more than 57080 columns of 16 bits, 28540 of floats) it is
// taken from one read, and is good to a few units in the last place of log C.
//   Special values. A logit of -inf in both is a masked column. In one alone, by the rules of KL: a
// column of q = 0 < p makes KL(p || q) +inf, with finite gradients of the row q, and of the row p
// +inf in such columns and -inf in its others; p = 0 < q is nothing special, Jensen-Shannon always
// finite. NaN, +inf or -inf alone in either: NaN in that row, nowhere else.
//   Shapes: student, teacher and their gradients [N, C]; labels [N]. Each gradient may stand in the
// place of either input.
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

// Of entropy.
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
// Of each row, of probabilities or of logits.
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

// Of each of the two rows.
enum class kl_input : int { probabilities, log_probabilities };
enum class kl_direction : int { forward, reverse };  // D(p || q), D(q || p)

struct kl_divergence_options {
  culoss::reduction reduction = culoss::reduction::mean;
  kl_input p_input = kl_input::probabilities;
  kl_input q_input = kl_input::probabilities;
  kl_direction direction = kl_direction::forward;
  bool mean_elements = false;              // mean divides by N C
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct kl_divergence_outputs {
  vector<real_of<T>> loss = {};  // [N] under none, else [1]
  matrix<T> grad_p = {};         // [N, C], by p as it is given
  matrix<T> grad_q = {};         // [N, C]
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t kl_divergence_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Between row i of p and row i of q.
CULOSS_API status kl_divergence(const cuda&, matrix<const float> p, matrix<const float> q,
                                const kl_divergence_outputs<float>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cuda&, matrix<const half> p, matrix<const half> q,
                                const kl_divergence_outputs<half>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cuda&, matrix<const bf16> p, matrix<const bf16> q,
                                const kl_divergence_outputs<bf16>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cpu&, matrix<const float> p, matrix<const float> q,
                                const kl_divergence_outputs<float>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cpu&, matrix<const half> p, matrix<const half> q,
                                const kl_divergence_outputs<half>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cpu&, matrix<const bf16> p, matrix<const bf16> q,
                                const kl_divergence_outputs<bf16>&,
                                const kl_divergence_options& = {}) noexcept;
CULOSS_API status kl_divergence(const cpu&, matrix<const double> p, matrix<const double> q,
                                const kl_divergence_outputs<double>&,
                                const kl_divergence_options& = {}) noexcept;

enum class distillation_direction : int { forward, reverse, jensen_shannon };

struct distillation_options {
  culoss::reduction reduction = culoss::reduction::mean;
  distillation_direction direction = distillation_direction::forward;
  float beta = 0.5f;                       // b in [0, 1], of jensen_shannon
  scalar temperature = 1.0f;               // T > 0
  bool temperature_squared = false;        // times T^2
  label_view labels = {};                  // [N]; only to leave rows out
  std::int64_t ignore_index = -100;        // any integer
  vector<const float> row_weights = {};    // [N]; not part of the divisor
  scalar normalizer = {};                  // replaces the divisor of mean; divides sum
  scalar upstream = 1.0f;                  // gradient of whatever follows, for each reduction
  vector<const float> upstream_rows = {};  // [N], instead of `upstream`, under none
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct distillation_outputs {
  vector<real_of<T>> loss = {};            // [N] under none, else [1]
  matrix<T> grad_student = {};             // [N, C]
  matrix<T> grad_teacher = {};             // [N, C]
  vector<std::int64_t> rows_counted = {};  // [1]: rows that are not ignored
};

// Scratch that one call on `cuda` needs at most. O(N) bytes.
CULOSS_API std::size_t distillation_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;
// Between row i of the student and row i of the teacher.
CULOSS_API status distillation(const cuda&, matrix<const float> student,
                               matrix<const float> teacher, const distillation_outputs<float>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cuda&, matrix<const half> student, matrix<const half> teacher,
                               const distillation_outputs<half>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cuda&, matrix<const bf16> student, matrix<const bf16> teacher,
                               const distillation_outputs<bf16>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cpu&, matrix<const float> student, matrix<const float> teacher,
                               const distillation_outputs<float>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cpu&, matrix<const half> student, matrix<const half> teacher,
                               const distillation_outputs<half>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cpu&, matrix<const bf16> student, matrix<const bf16> teacher,
                               const distillation_outputs<bf16>&,
                               const distillation_options& = {}) noexcept;
CULOSS_API status distillation(const cpu&, matrix<const double> student,
                               matrix<const double> teacher, const distillation_outputs<double>&,
                               const distillation_options& = {}) noexcept;

}  // namespace culoss
