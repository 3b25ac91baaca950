// One call of info_nce or clip on the CPU with everything that it returns, random embeddings to
// call it with, and how far results in double may be off.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <culoss/info_nce.hpp>
#include <random>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {

using embedding_rows = std::vector<std::vector<double>>;
inline constexpr double kUnit = 0x1p-53;

// Normal numbers that a float holds; with a common direction if `mean` is not 0.
inline embedding_rows random_embeddings(std::size_t rows, std::size_t dimension,
                                        std::mt19937_64& random, double mean = 0) {
  std::normal_distribution<double> normal(mean, 1);
  embedding_rows x(rows, std::vector<double>(dimension));
  for (auto& row : x) {
    for (double& v : row) v = static_cast<float>(normal(random));
  }
  return x;
}

// Rows of the unit matrix, times `length`.
inline embedding_rows unit_vectors(std::size_t rows, std::size_t dimension, double length = 1) {
  embedding_rows x(rows, std::vector<double>(dimension));
  for (std::size_t i = 0; i < rows; ++i) x[i][i] = length;
  return x;
}

inline double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

inline double largest_norm(const embedding_rows& x) {
  double largest = 0;
  for (const auto& row : x) largest = std::max(largest, std::sqrt(product(row, row)));
  return largest;
}

// How far rounding can move what is computed in double from `columns` similarities, each of them
// at most `size` = scale |q| |k| (scale, if they are normalized).
//
// A similarity: D products and sums give D u; a unit vector is divided twice, by numbers that its
// largest element and a sum of D squares make, (D + 6) u for both vectors and their products
// together; the scale and its product 4 u.
struct similarity_error {
  double dimension, columns, size;

  double similarity() const { return (2 * dimension + 10) * kUnit * size; }
  // Relative, of p_j = e^{l_j} / sum and of 1 - p_t. Differences of similarities move by 2
  // similarity(); they are at most 2 size, and their own rounding, that of the exponential of each,
  // of the sum, of its logarithm and of the log-odds is that of a softmax: (C + 5 * 2 size +
  // 2 log C + 12) u.
  double probability() const {
    return 4 * similarity() + (columns + 10 * size + 2 * std::log(columns) + 12) * kUnit;
  }
  // Of -log p_t, as the loss is a function of the log-odds with the derivative -(1 - p_t), which
  // the loss itself bounds: 1 - p <= -log p.
  double loss(double loss) const { return (2 * probability() + 6 * kUnit) * loss; }
  // Of a gradient that is made of the probabilities' by `terms` products and sums, and projected.
  double gradient(double terms) const {
    return 2 * probability() + (terms + 3 * dimension + 20) * kUnit;
  }
};

inline std::int64_t size_of(const embedding_rows& x) { return static_cast<std::int64_t>(x.size()); }
inline std::int64_t dimension_of(const embedding_rows& x) {
  return x.empty() ? 0 : static_cast<std::int64_t>(x.front().size());
}

// T: of the embeddings; G: of their gradients, which hold 7 before the call.
template <class T, class G = T>
struct info_nce_call {
  using real = culoss::real_of<T>;

  info_nce_call(const embedding_rows& queries, const embedding_rows& keys,
                const embedding_rows& negatives, const culoss::info_nce_options& options,
                culoss::cpu where = {}, const embedding_rows& row_negatives = {})
      : grad_queries(size_of(queries), dimension(queries, keys), 2),
        grad_keys(size_of(keys), dimension(queries, keys), 1),
        grad_negatives(size_of(negatives), dimension(queries, keys), 3),
        grad_row_negatives(size_of(row_negatives), dimension(queries, keys), 1) {
    const std::int64_t d = dimension(queries, keys);
    host_matrix<T> q(queries, d, 1), k(keys, d, 2), n(negatives, d), own(row_negatives, d, 2);
    loss.assign(options.reduction == culoss::reduction::none ? queries.size() : 1, real{7});
    culoss::info_nce_outputs<T> out = {.loss = {loss.data(), size_of_loss()},
                                       .grad_queries = grad_queries.view(),
                                       .grad_keys = grad_keys.view(),
                                       .grad_scale = {&grad_scale, 1},
                                       .correct = {&correct, 1},
                                       .rows_counted = {&rows_counted, 1}};
    culoss::matrix<const T> negatives_view;
    if (!negatives.empty()) {
      negatives_view = n.view();
      out.grad_negatives = grad_negatives.view();
    }
    if (!row_negatives.empty()) out.grad_row_negatives = grad_row_negatives.view();
    const culoss::status s =
        row_negatives.empty()
            ? culoss::info_nce(where, q.view(), k.view(), negatives_view, out, options)
            : culoss::info_nce(where, q.view(), k.view(), negatives_view, own.view(), out, options);
    EXPECT_TRUE(s.ok()) << s.message();
  }

  static std::int64_t dimension(const embedding_rows& queries, const embedding_rows& keys) {
    return std::max<std::int64_t>({dimension_of(queries), dimension_of(keys), 1});
  }
  std::int64_t size_of_loss() const { return static_cast<std::int64_t>(loss.size()); }

  std::vector<real> loss;
  host_matrix<G> grad_queries, grad_keys, grad_negatives, grad_row_negatives;
  real grad_scale = 7;
  std::int64_t correct = 7, rows_counted = 7;
};

template <class T, class G = T>
struct clip_call {
  using real = culoss::real_of<T>;

  clip_call(const embedding_rows& images, const embedding_rows& texts,
            const culoss::clip_options& options, culoss::cpu where = {})
      : grad_images(size_of(images), std::max<std::int64_t>(1, dimension_of(images)), 2),
        grad_texts(size_of(texts), std::max<std::int64_t>(1, dimension_of(images)), 1) {
    const std::int64_t d = std::max<std::int64_t>(1, dimension_of(images));
    host_matrix<T> i(images, d, 1), t(texts, d, 2);
    loss.assign(options.reduction == culoss::reduction::none ? images.size() : 1, real{7});
    const culoss::status s =
        culoss::clip(where, i.view(), t.view(),
                     {.loss = {loss.data(), static_cast<std::int64_t>(loss.size())},
                      .grad_images = grad_images.view(),
                      .grad_texts = grad_texts.view(),
                      .grad_scale = {&grad_scale, 1},
                      .correct_images = {&correct_images, 1},
                      .correct_texts = {&correct_texts, 1},
                      .rows_counted = {&rows_counted, 1}},
                     options);
    EXPECT_TRUE(s.ok()) << s.message();
  }

  std::vector<real> loss;
  host_matrix<G> grad_images, grad_texts;
  real grad_scale = 7;
  std::int64_t correct_images = 7, correct_texts = 7, rows_counted = 7;
};

}  // namespace culoss_test
