// Contrastive losses of one batch of embeddings, each compared with all the others: NT-Xent with two
// views of each item, and the supervised contrastive loss, whose positives share a label.
//
// Formula (NT-Xent: Chen et al., SimCLR, 2020; sup_con: Khosla et al., Supervised Contrastive
// Learning, 2020, L_out). With embeddings z [M, D]:
//   l_ij = scale <z_i, z_j>, or scale <z_i, z_j> / (|z_i| |z_j|) with `normalize`
//   scale = 1 / temperature or exp(log_scale): exactly one of them is given
//   nt_xent, M = 2 N: rows i and i + N are two views of one item, p(i) = i + N or i - N
//     loss_i = -log( exp(l_i,p(i)) / sum_{j in C_i} exp(l_ij) )
//     C_i: all rows but i, less those other than p(i) that have i's id
//   sup_con: P_i = the other rows with i's label
//     loss_i = -(1 / |P_i|) sum_{p in P_i} log( exp(l_ip) / sum_{j != i} exp(l_ij) )
//     A row without positive has the loss 0 and does not count.
//   reduced as: none: row_weight_i loss_i; sum: their sum; mean: that over the number of rows that
//   count, or over `normalizer`
// Gradients, with p_ij the softmax over C_i, or over j != i, and w_i = upstream row_weight_i /
// divisor, 0 for a row that does not count:
//   dl_ij = w_i (p_ij - [j = p(i)]), or w_i (p_ij - [j in P_i] / |P_i|)
//   dz_i = scale sum_j (dl_ij + dl_ji) z_j; through the norms with `normalize`, where a zero vector
//   has similarity 0 and gradient 0
//   dlog_scale = sum_ij dl_ij l_ij    dtemperature = -dlog_scale / temperature
// A row is never compared with itself. Loss and gradients come from the statistics of positives and
// others apart, about the largest of each: relatively exact for converged batches too. With one
// positive a row, sup_con is nt_xent.
//
// Types: as info_nce.hpp. The gradient of a pair's similarity, dl_ij + dl_ji, is rounded once to the
// embeddings' type for 16-bit inputs, before the products that make dz, which accumulate in float.
//
// Special values: an embedding that is not finite makes every row NaN that has it among its C_i, for
// sup_con every row that counts; all of dz and the scalars are NaN then. N = 1, or a row whose
// negatives are all masked: loss 0, gradient 0. A divisor of exactly 0, as where no row has a
// positive: loss 0, gradients 0 (`empty` restores NaN). M = 0: losses 0.
//
// Ranges on `cuda`: as info_nce.hpp.
//
// On `cuda`: needs `blas`; asynchronous as core.hpp says, cuBLAS included; can be captured. The
// matrix is symmetric: the half above its diagonal is computed, M^2 D operations for the values and
// as many for each product of the gradients (and again where the similarities do not fit the
// workspace). Memory: O(M D + panel), where the panel is what the workspace allows. Deterministic on
// one stream with one workspace size; another size gives another plan, whose results agree within
// the error bound. Outputs may not overlap anything: not in place.
//
// Errors, with nothing launched or written: as info_nce.hpp; also invalid_argument where nt_xent
// gets an odd number of rows. Every label is legal.
#pragma once

#include <culoss/info_nce.hpp>

namespace culoss {

struct nt_xent_options {
  culoss::reduction reduction = culoss::reduction::mean;
  bool normalize = true;
  scalar temperature = {};               // tau > 0 ...
  scalar log_scale = {};                 // ... or the logarithm of 1 / tau, at most 88
  vector<const std::int64_t> ids = {};   // [2N]: rows with equal ids are no negatives of each other
  vector<const float> row_weights = {};  // [2N]
  scalar normalizer = {};                // instead of the number of rows
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};  // [2N], instead of `upstream`, under none
  bool accumulate = false;                 // the embeddings' gradient is added to (float only)
  bool allow_tf32 = false;
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct nt_xent_outputs {
  vector<real_of<T>> loss = {};             // [2N] under none, else [1]
  gradient_matrix<T> grad_embeddings = {};  // [2N, D]
  vector<real_of<T>> grad_scale = {};       // [1]: of temperature or log_scale, whichever is given
  vector<std::int64_t> correct = {};        // [1]: rows whose other view is the most similar to
                                            // them, ties to the lowest row
  vector<std::int64_t> rows_counted = {};   // [1]: 2N
};

struct sup_con_options {
  culoss::reduction reduction = culoss::reduction::mean;
  bool normalize = true;
  scalar temperature = {};
  scalar log_scale = {};
  vector<const float> row_weights = {};  // [M]
  scalar normalizer = {};                // instead of the number of rows that count
  scalar upstream = 1.0f;
  vector<const float> upstream_rows = {};
  bool accumulate = false;
  bool allow_tf32 = false;
  empty_batch empty = empty_batch::zero;
};

template <class T>
struct sup_con_outputs {
  vector<real_of<T>> loss = {};             // [M] under none, else [1]
  gradient_matrix<T> grad_embeddings = {};  // [M, D]
  vector<real_of<T>> grad_scale = {};       // [1]
  vector<std::int64_t> rows_counted = {};   // [1]: rows that have a positive
};

// What a call on `cuda` with so many embeddings can use. The plans compute half of each product that
// info_nce's do: M^2 D operations forward only, 3 M^2 D where the similarities stay in the workspace
// (one_visit), 4 M^2 D where they are computed twice (recompute).
struct self_similarity_shape {
  std::int64_t rows = 0, dimension = 0;
  int element_bytes = 2;  // of the embeddings
  bool gradients = true;  // of the embeddings
};
// For one call of nt_xent, and for one of sup_con.
CULOSS_API similarity_workspace nt_xent_workspace(const self_similarity_shape&) noexcept;
CULOSS_API similarity_workspace sup_con_workspace(const self_similarity_shape&) noexcept;
// Rows i and i + N are two views of one item.
CULOSS_API status nt_xent(const cuda&, matrix<const float> embeddings,
                          const nt_xent_outputs<float>&, const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cuda&, matrix<const half> embeddings, const nt_xent_outputs<half>&,
                          const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cuda&, matrix<const bf16> embeddings, const nt_xent_outputs<bf16>&,
                          const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cpu&, matrix<const float> embeddings, const nt_xent_outputs<float>&,
                          const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cpu&, matrix<const half> embeddings, const nt_xent_outputs<half>&,
                          const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cpu&, matrix<const bf16> embeddings, const nt_xent_outputs<bf16>&,
                          const nt_xent_options&) noexcept;
CULOSS_API status nt_xent(const cpu&, matrix<const double> embeddings,
                          const nt_xent_outputs<double>&, const nt_xent_options&) noexcept;
// Rows with equal labels are positives of each other.
CULOSS_API status sup_con(const cuda&, matrix<const float> embeddings, label_view labels,
                          const sup_con_outputs<float>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cuda&, matrix<const half> embeddings, label_view labels,
                          const sup_con_outputs<half>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cuda&, matrix<const bf16> embeddings, label_view labels,
                          const sup_con_outputs<bf16>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cpu&, matrix<const float> embeddings, label_view labels,
                          const sup_con_outputs<float>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cpu&, matrix<const half> embeddings, label_view labels,
                          const sup_con_outputs<half>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cpu&, matrix<const bf16> embeddings, label_view labels,
                          const sup_con_outputs<bf16>&, const sup_con_options&) noexcept;
CULOSS_API status sup_con(const cpu&, matrix<const double> embeddings, label_view labels,
                          const sup_con_outputs<double>&, const sup_con_options&) noexcept;

}  // namespace culoss
