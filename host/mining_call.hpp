// What the rules of mining in the batch share: the problem, what is found out of its rows, the sums
// that end a call.
#pragma once

#include <culoss/mined_triplet.hpp>

#include "host/similarity.hpp"
#include "kernels/mined_rows.cuh"

namespace culoss::detail {

template <class T>
struct mining_problem {
  matrix<const T> x;
  kernels::labels labels;
  kernels::distance_kind distance = kernels::distance_kind::euclidean;
  kernels::anchor_rule rule = {};
  bool allow_tf32 = false;
  bool accumulate = false;
  kernels::gradient_scale by = {};  // its divisor counts the anchors once the memory is known
  bool counts_divisor = false;
  gradient_matrix<T> gradient;
  float* row_loss = nullptr;  // the caller's, under none
  float* loss = nullptr;      // else
  std::int64_t* positives = nullptr;
  std::int64_t* negatives = nullptr;
  std::int64_t* rows_counted = nullptr;
};

// Of the rows, whatever the rule.
struct mining_rows_memory {
  kernels::totals *counted, *partials;
  int* not_finite;
  float* sizes;
  double* inverse_norms;
  long long* labels;
  float* row_loss;
};

inline void carve(carver& c, std::int64_t rows, mining_rows_memory& m) noexcept {
  m.counted = c.take<kernels::totals>(1);
  m.partials = c.take<kernels::totals>(partials_of(rows));
  m.not_finite = c.take<int>(1);
  m.sizes = c.take<float>(rows);
  m.inverse_norms = c.take<double>(rows);
  m.labels = c.take<long long>(rows);
  m.row_loss = c.take<float>(rows);
}

template <class T>
class mining_call {
 protected:
  mining_call(const device_context& context, const mining_problem<T>& p) noexcept
      : context_(context), p_(p) {}

  std::int64_t rows() const noexcept { return p_.x.rows; }
  int dimension() const noexcept { return static_cast<int>(p_.x.cols); }
  bool cosine() const noexcept { return p_.distance == kernels::distance_kind::cosine; }
  kernels::embeddings<T> embeddings() const noexcept { return {p_.x.data, p_.x.ld, dimension()}; }
  kernels::mined_rows<T> mined_rows() const noexcept {
    return {embeddings(),           rows(),          p_.distance,
            of_rows_.inverse_norms, of_rows_.labels, p_.labels.ignore_index,
            of_rows_.not_finite};
  }
  float* row_loss() const noexcept {
    return p_.row_loss != nullptr ? p_.row_loss : p_.loss != nullptr ? of_rows_.row_loss : nullptr;
  }
  static long long blocks_of(std::int64_t items, int of_a_block) noexcept {
    return (items + of_a_block - 1) / of_a_block;
  }

  status begin() noexcept {
    by_ = p_.by;
    if (p_.counts_divisor) by_.by.counted = of_rows_.counted;
    const status s = clear(context_, of_rows_.not_finite, 0, sizeof(int));
    if (!s.ok()) return s;
    return launch(context_, kernels::describe_rows<T>, blocks_of(rows(), kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, embeddings(), static_cast<long long>(rows()),
                  cosine(), p_.labels, of_rows_.sizes, of_rows_.inverse_norms, of_rows_.labels,
                  of_rows_.not_finite);
  }

  // How much counts, and the sum of the losses.
  template <class Count>
  status finish_sums(const Count& count) noexcept {
    const status s =
        launch_total(context_, count, rows(), of_rows_.partials,
                     kernels::write_mined_count{of_rows_.counted,
                                                reinterpret_cast<long long*>(p_.rows_counted)});
    if (!s.ok() || p_.loss == nullptr) return s;
    return launch_total(context_, kernels::sum_losses{of_rows_.row_loss}, rows(), of_rows_.partials,
                        kernels::write_loss{p_.loss, by_.by});
  }

  const device_context& context_;
  const mining_problem<T>& p_;
  mining_rows_memory of_rows_ = {};
  kernels::gradient_scale by_ = {};
};

}  // namespace culoss::detail
