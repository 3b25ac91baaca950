// Losses and gradients of a few rows of InfoNCE or CLIP in double, and how far a result may be from
// them, at sizes of which nobody can compute all rows in double.
//
// A row's own softmax is computed from all of its similarities. What a gradient takes from the
// softmaxes of the other side's rows follows from their losses, which the library returns:
//   p_ij = exp(l_ij - l_it - loss_i),   1 - p_it = 1 - exp(-loss_i)
#pragma once

#include <span>
#include <vector>

#include "bench/data_pool.hpp"
#include "tests/harness/similarity_bounds.hpp"

namespace culoss::bench {

// Rows of random numbers, normalized by the multiplication with `inverse_norms`.
struct embedding_table {
  const data_pool* pool = nullptr;
  std::size_t first = 0;  // element of region 0
  std::int64_t count = 0, dimension = 0;
  std::vector<double> inverse_norms;

  embedding_table(const data_pool& in, std::size_t begin, std::int64_t n, std::int64_t d);
  void read(std::int64_t i, std::span<double> row) const;
  double r(std::int64_t i) const { return inverse_norms[static_cast<std::size_t>(i)]; }
  double largest() const;  // not below the library's largest
};

// scale <x_i, y_{i + offset}> / (|x_i| |y_{i + offset}|) for all i.
std::vector<double> paired_similarities(const embedding_table& x, const embedding_table& y,
                                        double scale);

// Rows of x against all rows of some tables y, one after another.
class sampled_rows {
 public:
  sampled_rows(const embedding_table& x, std::vector<const embedding_table*> y,
               std::vector<std::int64_t> rows, double scale);

  std::size_t size() const { return rows_.size(); }
  std::int64_t row(std::size_t sample) const { return rows_[sample]; }
  std::int64_t columns() const { return columns_; }
  double l(std::size_t sample, std::int64_t j) const {
    return l_[sample * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(j)];
  }

  struct gradient {
    std::vector<double> value, error;  // of each sample one after another
  };
  // dl(sample, j, error) is the loss' derivative by the similarity, and its error on the device.
  // `a_priori`: added to each error before the norms are multiplied.
  struct derivative {
    double value = 0, error = 0;
  };
  template <class Derivative>
  gradient gradients(const culoss_test::similarity_arithmetic& a, double largest_weight,
                     const Derivative& dl) const;

 private:
};

}  // namespace culoss::bench
