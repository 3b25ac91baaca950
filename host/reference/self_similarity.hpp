// NT-Xent and the supervised contrastive loss of one row, from the textbook formulas of
// culoss/self_similarity.hpp. The losses are templates on the scalar S (double, long double,
// std::complex<double>); the gradients are written apart from them, so that a complex step through
// the loss checks them.
#pragma once

#include <cstdint>
#include <culoss/self_similarity.hpp>
#include <span>
#include <vector>

#include "host/reference/info_nce.hpp"

namespace culoss::reference {

// The rows C_i that row i is compared with.
struct two_views {
  std::size_t pairs = 0;
  const std::int64_t* ids = nullptr;  // or none

  std::size_t positive(std::size_t row) const noexcept {
    return row < pairs ? row + pairs : row - pairs;
  }
  bool contain(std::size_t row, std::size_t other) const noexcept {
    if (other == positive(row)) return true;
    return other != row && (ids == nullptr || ids[row] != ids[other]);
  }
};

// l_ij = scale <z_i, z_j>
template <class S>
S logit_of(const embeddings<S>& z, S scale, std::size_t i, std::size_t j) noexcept {
  return scale * dot<S>(z[i], z[j]);
}

// Row i as the logits of a classification: -inf, a masked column, where j is not in C_i.
template <class S>
void row_of_views(const embeddings<S>& z, const two_views& views, S scale, std::size_t i,
                  std::span<S> l) noexcept {
  for (std::size_t j = 0; j < l.size(); ++j) {
    l[j] = views.contain(i, j) ? logit_of<S>(z, scale, i, j)
                               : S(-std::numeric_limits<real_part_of<S>>::infinity());
  }
}

// log sum_j exp(l_j) = max + log_sum of a set of logits; -inf, -inf where there are none.
template <class S>
struct set_statistics {
  real_part_of<S> max = -std::numeric_limits<real_part_of<S>>::infinity();
  S log_sum = S(-std::numeric_limits<real_part_of<S>>::infinity());

  explicit set_statistics(std::span<const S> l) noexcept {
    if (l.empty()) return;
    for (const S& x : l) max = std::max(max, std::real(x));
    S sum = 0;
    for (const S& x : l) sum += std::exp(x - max);
    log_sum = std::log(sum);
  }
  double softmax(double l) const noexcept { return std::exp(l - max - log_sum); }
};

// A row of sup_con: the logits of its positives and those of all others but itself.
template <class S>
struct labeled_row {
  std::vector<S> positives, others;
};

template <class S, class Label>
labeled_row<S> row_of_labels(const embeddings<S>& z, const Label& label, S scale, std::size_t i) {
  labeled_row<S> row;
  for (std::size_t j = 0; j < z.size(); ++j) {
    if (j == i) continue;
    (label(i) == label(j) ? row.positives : row.others).push_back(logit_of<S>(z, scale, i, j));
  }
  return row;
}

// -(1 / |P|) sum_P log( exp(l_p) / (sum_P exp(l) + sum_o exp(l)) ) with both sums apart: the
// logarithm of the whole is lse_P + softplus(lse_o - lse_P), so that nothing is lost where the
// positives dominate. 0 without a positive.
template <class S>
S sup_con_row(const labeled_row<S>& row) noexcept {
  if (row.positives.empty()) return S(0);
  const set_statistics<S> positives(row.positives), others(row.others);
  const S d = (positives.max - others.max) + (positives.log_sum - others.log_sum);
  S below = 0;  // sum_P (max - l)
  for (const S& l : row.positives) below += positives.max - l;
  return softplus(-d) + (positives.log_sum + below / static_cast<double>(row.positives.size()));
}

// d loss_i / d l_ij = p_ij - [j in P] / |P|. A positive's is split into what the others and what
// the spread of the positives do: p_ij = (1 - q) pi_j, q the softmax of all others.
class labeled_gradient {
 public:
  explicit labeled_gradient(const labeled_row<double>& row) noexcept
      : positives_(row.positives),
        others_(row.others),
        share_(row.positives.empty() ? 0.0 : 1.0 / static_cast<double>(row.positives.size())) {
    const double d = (positives_.max - others_.max) + (positives_.log_sum - others_.log_sum);
    q_ = sigmoid(-d);
  }

  bool counts() const noexcept { return share_ > 0; }
  double other(double l) const noexcept { return counts() ? q_ * others_.softmax(l) : 0.0; }
  double positive(double l) const noexcept {
    const double pi = share_ == 1 ? 1 : positives_.softmax(l);
    return (pi - share_) - q_ * pi;
  }
  // sum_j dl_j l_j. All dl_j together are 0, so that no common offset of the similarities enters.
  double log_scale(const labeled_row<double>& row) const noexcept {
    if (!counts()) return 0;
    double sum = 0;
    for (const double l : row.others) sum += other(l) * (l - positives_.max);
    for (const double l : row.positives) sum += positive(l) * (l - positives_.max);
    return sum;
  }

 private:
  set_statistics<double> positives_, others_;
  double share_, q_ = 0;
};

}  // namespace culoss::reference
