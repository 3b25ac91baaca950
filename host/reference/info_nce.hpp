// InfoNCE of one row, from the textbook formulas of culoss/info_nce.hpp: the cross-entropy of the
// row's similarities. The loss is a template on the scalar S (double, long double,
// std::complex<double>); the gradient is written apart from it, so that a complex step through the
// loss checks it.
#pragma once

#include <cstdint>
#include <culoss/info_nce.hpp>
#include <span>

#include "host/reference/cross_entropy.hpp"
#include "host/reference/embeddings.hpp"

namespace culoss::reference {

// The columns C_i of row i's softmax, among all columns: the keys, the negatives, then those of the
// row's own, which have no ids.
struct candidates {
  std::size_t keys = 0;
  std::size_t positive_offset = 0;
  bool in_batch = true;
  const std::int64_t* query_ids = nullptr;  // or none
  const std::int64_t* key_ids = nullptr;
  const std::int64_t* negative_ids = nullptr;
  // Byte (i, j) of the mask, whose columns begin with `first_masked`; or none.
  const std::uint8_t* mask = nullptr;
  std::size_t mask_row = 0, mask_column = 1;  // elements between two rows, and two columns
  std::size_t first_masked = 0;
  std::size_t shared = std::numeric_limits<std::size_t>::max();  // columns that all rows have

  std::size_t positive(std::size_t row) const noexcept { return row + positive_offset; }
  bool contain(std::size_t row, std::size_t column) const noexcept {
    if (column == positive(row)) return true;
    const bool is_key = column < keys;
    if (is_key && !in_batch) return false;
    if (mask != nullptr && mask[row * mask_row + (column - first_masked) * mask_column] != 0) {
      return false;
    }
    if (query_ids == nullptr || column >= shared) return true;
    return query_ids[row] != (is_key ? key_ids[column] : negative_ids[column - keys]);
  }
};

// l_ij = scale <q_i, k_j>, less scale * margin for the positive
template <class S>
struct similarities {
  const embeddings<S>& queries;
  const embeddings<S>& columns;
  const candidates& among;
  S scale;
  real_part_of<S> margin = 0;
  const embeddings<S>* own = nullptr;  // negatives of each row's own: row i's begin at i * of_a_row
  std::size_t of_a_row = 0;

  std::size_t size() const noexcept { return columns.size() + of_a_row; }
  std::span<const S> column(std::size_t i, std::size_t j) const noexcept {
    return j < columns.size() ? columns[j] : (*own)[i * of_a_row + j - columns.size()];
  }
  S similarity(std::size_t i, std::size_t j) const noexcept {
    return scale * dot<S>(queries[i], column(i, j));
  }
  S logit(std::size_t i, std::size_t j) const noexcept {
    return j == among.positive(i) ? similarity(i, j) - scale * margin : similarity(i, j);
  }
  // Row i as the logits of a classification: -inf, a masked column, where j is not in C_i.
  void row(std::size_t i, std::span<S> l) const noexcept {
    for (std::size_t j = 0; j < l.size(); ++j) {
      l[j] =
          among.contain(i, j) ? logit(i, j) : S(-std::numeric_limits<real_part_of<S>>::infinity());
    }
  }
};

// -log( exp(l_t) / sum_{j in C_i} exp(l_j) )
template <class S>
S info_nce_row(std::span<const S> l, std::size_t positive,
               const row_statistics<S>& statistics) noexcept {
  return cross_entropy_row<S>(l, positive, statistics, {});
}

template <class S>
row_statistics<S> statistics_of_similarities(std::span<const S> l, std::size_t positive) noexcept {
  return statistics_of_row<S>(l, positive, {});
}

// d loss_i / d l_ij = p_ij - [j = t], for a column of C_i.
class logit_gradient {
 public:
  explicit logit_gradient(const row_statistics<double>& statistics) noexcept
      : max_(statistics.max),
        log_sum_(statistics.log_sum),
        p_negatives_(sigmoid(-log_odds(statistics, {}))) {}

  double positive() const noexcept { return -p_negatives_; }
  double negative(double l) const noexcept { return p_negatives_ * std::exp(l - max_ - log_sum_); }

 private:
  double max_, log_sum_, p_negatives_;
};

// d loss_i / d log(scale) = sum_j p_ij l_ij - l_it = sum_j p_ij (l_ij - l_it): no common offset of
// the similarities enters.
inline double log_scale_gradient_row(std::span<const double> l, std::size_t positive,
                                     const logit_gradient& gradient) noexcept {
  double sum = gradient.positive() * (l[positive] - l[positive]);  // 0, or NaN
  for (std::size_t j = 0; j < l.size(); ++j) {
    if (j == positive || is_minus_infinity(l[j])) continue;
    sum += gradient.negative(l[j]) * (l[j] - l[positive]);
  }
  return sum;
}

}  // namespace culoss::reference
