// The gradients of info_nce and clip on the CPU against complex steps through the formulas of the
// losses (Squire and Trapp, "Using complex variables to estimate derivatives of real functions",
// 1998): by each element of every embedding and by the scale, through the normalization, masks,
// weights and offsets.
#include <gtest/gtest.h>

#include <complex>
#include <culoss/info_nce.hpp>
#include <random>
#include <vector>

#include "tests/info_nce_call.hpp"
#include "tests/info_nce_formula.hpp"

namespace culoss_test {
namespace {

using culoss::reduction;
using complex = std::complex<double>;
constexpr double kStep = 0x1p-100;
constexpr std::size_t kQueries = 4;

struct problem {
  std::size_t dimension = 3;
  std::size_t keys = kQueries;
  std::size_t negatives = 0;
  std::size_t of_a_row = 0;
  bool normalize = true;
  bool in_batch = true;
  bool ids = false;
  bool mask = false;
  float margin = 0;
  bool learns_temperature = false;
  float scalar = 1;  // the temperature or log_scale
  double mean = 0;   // of the embeddings' elements: how similar all are
};

template <class S>
S scale_of(const problem& p, S scalar) {
  return p.learns_temperature ? S(1) / scalar : std::exp(scalar);
}

template <class Options>
void give_scale(const problem& p, Options& options) {
  (p.learns_temperature ? options.temperature : options.log_scale) = p.scalar;
}

template <class Call>
void for_each_problem(const Call& call) {
  for (const std::size_t dimension : {1U, 2U, 9U}) {
    for (const bool normalize : {true, false}) {
      for (const bool ids : {false, true}) {
        for (const double mean : {0.0, 1.0}) {
          problem p = {.dimension = dimension, .normalize = normalize, .ids = ids, .mean = mean};
          p.mask = dimension != 2;
          p.margin = dimension == 1 ? 0 : mean == 0 ? 0.375f : -0.25f;
          p.scalar = 0.5f;
          call(p);
          p.scalar = 3;
          call(p);
          p.learns_temperature = true;
          p.scalar = 0.25f;
          call(p);
        }
      }
    }
  }
}

// Row weights, upstream gradients and divisor of a call, and the factor they give each row.
struct weights {
  explicit weights(std::mt19937_64& random) {
    std::uniform_real_distribution<float> uniform(0.25f, 2.0f);
    for (auto* v : {&rows, &upstream}) {
      for (std::size_t i = 0; i < kQueries; ++i) v->push_back(uniform(random));
    }
  }
  template <class Options>
  void give(reduction r, Options& options) const {
    options.reduction = r;
    options.row_weights = {rows.data(), kQueries};
    options.upstream = 1.75f;
    if (r == reduction::none) options.upstream_rows = {upstream.data(), kQueries};
    if (r == reduction::sum) options.normalizer = 3.0f;
  }
  double of(reduction r, std::size_t i) const {
    if (r == reduction::none) return double{upstream[i]} * rows[i];
    return 1.75 * rows[i] / (r == reduction::sum ? 3 : double{kQueries});
  }
  std::vector<float> rows, upstream;
};

// The gradient of the embeddings x in `actual` against complex steps of `total`, which gets all of
// them flat. Each similarity has |dl| <= 2 sum of the weights, so that the gradient's terms sum to
// at most that times the scale and the norm of the vectors on the other side, over one's own if it
// is normalized.
template <class Total>
void check_gradient(const embedding_rows& x, const host_matrix<double>& actual, bool normalize,
                    double size, const similarity_error& error, const Total& total) {
  std::vector<complex> z = flat<complex>(x);
  const std::size_t dimension = x.empty() ? 0 : x.front().size();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double norm = normalize ? std::sqrt(product(x[i], x[i])) : 1;
    // Both sides err.
    const double bound = 2 * error.gradient(error.columns + kQueries) * size / norm;
    ASSERT_LE(bound, 1e-10 * size / norm);  // what is promised of this test
    for (std::size_t d = 0; d < dimension; ++d) {
      complex& moved = z[i * dimension + d];
      moved += complex(0, kStep);
      const double derivative = total(z).imag() / kStep;
      moved = moved.real();
      EXPECT_LE(std::fabs(actual.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(d)) -
                          derivative),
                bound)
          << "row " << i << " element " << d;
    }
  }
}

class ComplexStep : public ::testing::TestWithParam<reduction> {
 protected:
  void check_info_nce(const problem& p) {
    embedding_rows queries = random_embeddings(kQueries, p.dimension, random_, p.mean);
    embedding_rows keys = random_embeddings(p.keys, p.dimension, random_, p.mean);
    embedding_rows negatives = random_embeddings(p.negatives, p.dimension, random_, p.mean);
    const weights w(random_);
    const std::vector<std::int64_t> query_ids = {5, 6, 5, std::int64_t{1} << 40};
    std::vector<std::int64_t> key_ids(p.keys, 6), negative_ids(p.negatives, 5);
    if (p.negatives > 1) negative_ids[1] = 8;
    culoss::info_nce_options options = {
        .normalize = p.normalize, .positive_offset = offset(p), .in_batch = p.in_batch};
    candidates among = {.keys = p.keys,
                        .positive_offset = static_cast<std::size_t>(offset(p)),
                        .in_batch = p.in_batch};
    if (p.ids) {
      options.query_ids = {query_ids.data(), kQueries};
      if (p.in_batch) options.key_ids = {key_ids.data(), size_of(keys)};
      if (p.negatives > 0) options.negative_ids = {negative_ids.data(), size_of(negatives)};
      among.query_ids = query_ids.data();
      among.key_ids = key_ids.data();
      among.negative_ids = negative_ids.data();
    }
    const embedding_rows own =
        random_embeddings(kQueries * p.of_a_row, p.dimension, random_, p.mean);
    among.shared = p.keys + p.negatives;
    const std::size_t all = among.shared + p.of_a_row;
    const std::vector<std::uint8_t> mask = some_mask(all);
    if (p.mask) {
      const std::size_t first = p.in_batch ? 0 : p.keys;
      options.mask = {mask.data() + first, kQueries, static_cast<std::int64_t>(all - first),
                      static_cast<std::int64_t>(all)};
      among.mask = mask.data() + first;
      among.mask_row = all;
      among.first_masked = first;
    }
    options.margin = p.margin;
    give_scale(p, options);
    w.give(GetParam(), options);
    const info_nce_call<double> call(queries, keys, negatives, options, {}, own);

    std::vector<complex> n = flat<complex>(own);
    const auto total = [&](const std::vector<complex>& q, const std::vector<complex>& k,
                           complex scalar) {
      const std::vector<complex> rows = losses<complex>(
          q, k, p.dimension, p.normalize, among, scale_of(p, scalar), p.margin, n, p.of_a_row);
      complex sum = 0;
      for (std::size_t i = 0; i < kQueries; ++i) sum += w.of(GetParam(), i) * rows[i];
      return sum;
    };
    const auto q = flat<complex>(queries), k = flat<complex>(keys, negatives);
    double sum_of_weights = 0;
    for (std::size_t i = 0; i < kQueries; ++i) sum_of_weights += w.of(GetParam(), i);
    const double scale = scale_of(p, double{p.scalar});
    const double q_norm = p.normalize ? 1 : largest_norm(queries);
    const double k_norm =
        p.normalize ? 1
                    : std::max({largest_norm(keys), largest_norm(negatives), largest_norm(own)});
    const similarity_error error = {static_cast<double>(p.dimension), static_cast<double>(all),
                                    scale * (q_norm * k_norm + std::fabs(double{p.margin}))};
    const double size = 2 * sum_of_weights * scale;
    check_gradient(queries, call.grad_queries, p.normalize, size * k_norm, error,
                   [&](const std::vector<complex>& z) { return total(z, k, p.scalar); });
    check_gradient(keys, call.grad_keys, p.normalize, size * q_norm, error,
                   [&](const std::vector<complex>& z) {
                     std::vector<complex> columns = z;
                     columns.insert(columns.end(),
                                    k.begin() + static_cast<std::ptrdiff_t>(z.size()), k.end());
                     return total(q, columns, p.scalar);
                   });
    check_gradient(negatives, call.grad_negatives, p.normalize, size * q_norm, error,
                   [&](const std::vector<complex>& z) {
                     std::vector<complex> columns = k;
                     std::ranges::copy(z, columns.end() - static_cast<std::ptrdiff_t>(z.size()));
                     return total(q, columns, p.scalar);
                   });
    check_gradient(own, call.grad_row_negatives, p.normalize, size * q_norm, error,
                   [&](const std::vector<complex>& z) {
                     n = z;
                     return total(q, k, p.scalar);
                   });
    n = flat<complex>(own);
    check_scalar(p, call.grad_scale, sum_of_weights, error,
                 total(q, k, complex(p.scalar, kStep)).imag() / kStep);
  }

  void check_clip(const problem& p) {
    embedding_rows images = random_embeddings(kQueries, p.dimension, random_, p.mean);
    embedding_rows texts = random_embeddings(kQueries, p.dimension, random_, p.mean);
    const weights w(random_);
    const std::vector<std::int64_t> ids = {5, 6, 5, 7};
    culoss::clip_options options = {.normalize = p.normalize};
    candidates among = {.keys = kQueries};
    if (p.ids) {
      options.ids = {ids.data(), kQueries};
      among.query_ids = among.key_ids = ids.data();
    }
    give_scale(p, options);
    w.give(GetParam(), options);
    const std::vector<std::uint8_t> mask = some_mask(kQueries);
    candidates transposed = among;
    if (p.mask) {
      options.mask = {mask.data(), kQueries, kQueries};
      among.mask = transposed.mask = mask.data();
      among.mask_row = transposed.mask_column = kQueries;
      transposed.mask_row = 1;
    }
    options.margin = p.margin;
    const clip_call<double> call(images, texts, options);

    const auto total = [&](const std::vector<complex>& i, const std::vector<complex>& t,
                           complex scalar) {
      const complex scale = scale_of(p, scalar);
      const auto rows = losses<complex>(i, t, p.dimension, p.normalize, among, scale, p.margin);
      const auto columns =
          losses<complex>(t, i, p.dimension, p.normalize, transposed, scale, p.margin);
      complex sum = 0;
      for (std::size_t k = 0; k < kQueries; ++k) {
        sum += w.of(GetParam(), k) * (rows[k] + columns[k]) / 2.0;
      }
      return sum;
    };
    const auto i = flat<complex>(images), t = flat<complex>(texts);
    double sum_of_weights = 0;
    for (std::size_t k = 0; k < kQueries; ++k) sum_of_weights += w.of(GetParam(), k);
    const double scale = scale_of(p, double{p.scalar});
    const double i_norm = p.normalize ? 1 : largest_norm(images);
    const double t_norm = p.normalize ? 1 : largest_norm(texts);
    const similarity_error error = {static_cast<double>(p.dimension), kQueries,
                                    scale * (i_norm * t_norm + std::fabs(double{p.margin}))};
    const double size = 2 * sum_of_weights * scale;
    check_gradient(images, call.grad_images, p.normalize, size * t_norm, error,
                   [&](const std::vector<complex>& z) { return total(z, t, p.scalar); });
    check_gradient(texts, call.grad_texts, p.normalize, size * i_norm, error,
                   [&](const std::vector<complex>& z) { return total(i, z, p.scalar); });
    check_scalar(p, call.grad_scale, sum_of_weights, error,
                 total(i, t, complex(p.scalar, kStep)).imag() / kStep);
  }

 private:
  // Of all rows and columns; not symmetric.
  static std::vector<std::uint8_t> some_mask(std::size_t columns) {
    std::vector<std::uint8_t> mask(kQueries * columns);
    for (std::size_t k = 0; k < mask.size(); ++k) mask[k] = k * k % 5 == 1 ? 255 : 0;
    return mask;
  }
  static std::int64_t offset(const problem& p) {
    return static_cast<std::int64_t>((p.keys - kQueries) / 2);
  }
  // sum p_j (l_j - l_t): differences of at most 2 size, which err by two similarities and a
  // rounding; by the temperature over it.
  static void check_scalar(const problem& p, double actual, double sum_of_weights,
                           const similarity_error& error, double derivative) {
    const double by = p.learns_temperature ? double{p.scalar} : 1.0;
    const double bound =
        2 * sum_of_weights / by *
        (2 * error.size * error.gradient(error.columns + kQueries) + 2 * error.similarity());
    EXPECT_LE(std::fabs(actual - derivative), bound);
  }

  std::mt19937_64 random_{11};
};

TEST_P(ComplexStep, InfoNce) {
  for_each_problem([&](problem p) {
    check_info_nce(p);
    p.keys = 7;
    check_info_nce(p);
    p.negatives = 3;
    check_info_nce(p);
    p.of_a_row = 2;
    check_info_nce(p);
    p.in_batch = false;
    check_info_nce(p);
    p.negatives = 0;
    check_info_nce(p);
  });
}

TEST_P(ComplexStep, Clip) {
  for_each_problem([&](const problem& p) { check_clip(p); });
}

INSTANTIATE_TEST_SUITE_P(Reductions, ComplexStep,
                         ::testing::Values(reduction::none, reduction::mean, reduction::sum));

}  // namespace
}  // namespace culoss_test
