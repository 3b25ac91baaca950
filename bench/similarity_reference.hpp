// Rows of a loss over similarities in double, and how far the library's may be from them, at sizes
// of which nobody can compute all rows in double.
//
// A row's own softmax comes from all of its similarities. What a gradient takes from the softmaxes
// of the other side's rows follows from their losses, which the library returns:
//   p_ij = exp(l_ij - l_it - loss_i),   1 - p_it = 1 - exp(-loss_i)
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "bench/data_pool.hpp"
#include "tests/harness/similarity_bounds.hpp"

namespace culoss::bench {

// Rows [first, first + count) of the pool's random numbers, as rows of this dimension.
class embedding_table {
 public:
  embedding_table(const data_pool& pool, std::int64_t first, std::int64_t count,
                  std::int64_t dimension);
  std::int64_t count() const { return count_; }
  std::int64_t dimension() const { return dimension_; }
  void read(std::int64_t i, std::span<double> row) const;
  double inverse_norm(std::int64_t i) const { return inverse_norms_[static_cast<std::size_t>(i)]; }
  double largest_inverse_norm() const;

 private:
  const data_pool& pool_;
  std::int64_t first_, count_, dimension_;
  std::vector<double> inverse_norms_;
};

// scale <x_i, y_i> / (|x_i| |y_i|) of the first rows of both.
std::vector<double> paired_similarities(const embedding_table& x, const embedding_table& y,
                                        std::int64_t count, double scale);

// The derivative of the loss by a similarity, and the error that it has before it is rounded.
struct similarity_derivative {
  double value = 0, error = 0;
  bool in_tile = true;  // rounded to the type of the tiles
};

// Some rows of x against all rows of y: l = scale <x, y> / (|x| |y|).
class sampled_similarities {
 public:
  sampled_similarities(const embedding_table& x, const embedding_table& y,
                       std::vector<std::int64_t> rows, double scale);

  std::size_t size() const { return rows_.size(); }
  std::int64_t row(std::size_t sample) const { return rows_[sample]; }
  std::int64_t columns() const { return y_.count(); }
  double l(std::size_t sample, std::int64_t j) const {
    return l_[sample * static_cast<std::size_t>(y_.count()) + static_cast<std::size_t>(j)];
  }

  struct gradients {
    std::vector<double> values, errors;  // of one sample after another
  };
  using derivative = std::function<similarity_derivative(std::size_t sample, std::int64_t j)>;
  // `largest` is not below any derivative's size.
  gradients gradients_of(const derivative& dl, double largest,
                         const culoss_test::similarity_arithmetic& a) const;

 private:
  const embedding_table &x_, &y_;
  std::vector<std::int64_t> rows_;
  double scale_;
  std::vector<double> samples_, l_;
};

// Error of the library's l; |<x, y>| <= |x| |y| bounds the sum of the products' sizes.
inline double similarity_error(double l, double scale, std::int64_t dimension,
                               const culoss_test::similarity_arithmetic& a) {
  return 2 * static_cast<double>(dimension) * a.u * scale + 9 * a.u * std::fabs(l);
}

// What culoss_test::side_bounds finds from the similarities of a row, at most: for any row of
// `columns` similarities of which only |l| <= scale is known.
struct worst_side {
  double loss_error;        // absolute
  double q_error, p_error;  // relative, of 1 - p of the target and of p of the others

  worst_side(std::int64_t columns, double scale, std::int64_t dimension,
             const culoss_test::similarity_arithmetic& a);
};

}  // namespace culoss::bench
