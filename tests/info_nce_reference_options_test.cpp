// info_nce and clip on the CPU: reductions and what stands beside them, symmetries, accumulated and
// float gradients, threads.
#include <gtest/gtest.h>

#include <cmath>
#include <culoss/info_nce.hpp>
#include <random>
#include <vector>

#include "tests/info_nce_call.hpp"

namespace culoss_test {
namespace {

using culoss::clip_options;
using culoss::info_nce_options;
using culoss::reduction;

class InfoNceOptions : public ::testing::Test {
 protected:
  static constexpr double kScale = 4;
  std::mt19937_64 random_{9};
  embedding_rows q_ = random_embeddings(5, 6, random_), k_ = random_embeddings(8, 6, random_),
                 n_ = random_embeddings(2, 6, random_), t_ = random_embeddings(5, 6, random_);

  // Of gradients by vectors of norm `own`, whose rows weigh `weight` together, and normalized.
  static double gradient_bound(double weight, double own) {
    const similarity_error error = {6, 10, kScale};
    return error.gradient(15) * 2 * weight * kScale / own;
  }
};

// What image 0 does not see of text 1, text 1 does not see of image 0: both have no other.
TEST_F(InfoNceOptions, AMaskOfClipIsTransposedForTheTexts) {
  const std::vector<std::uint8_t> mask = {0, 1, 0, 0};
  clip_options options = {.reduction = reduction::none, .normalize = false, .temperature = 1};
  options.mask = {mask.data(), 2, 2};
  const clip_call<double> call({{1, 0}, {0, 1}}, {{1, 0.5}, {0.25, 1}}, options);
  const double one = std::log1p(std::exp(-0.5)) / 2;  // image 1 of text 0, and text 0 of image 1
  EXPECT_NEAR(call.loss[0], one, 4 * kUnit);
  EXPECT_NEAR(call.loss[1], one, 4 * kUnit);
}

TEST_F(InfoNceOptions, ReductionsWeightsNormalizerAndUpstream) {
  const std::vector<float> weights = {1, 0.5f, 2, 0, 4}, upstream_rows = {2, 4, 0.5f, 8, 1};
  const float normalizer = 8;
  info_nce_options options = {
      .reduction = reduction::none, .temperature = 1 / kScale, .positive_offset = 1};
  const info_nce_call<double> plain(q_, k_, n_, options);
  options.row_weights = {weights.data(), 5};
  options.upstream_rows = {upstream_rows.data(), 5};
  const info_nce_call<double> none(q_, k_, n_, options);
  options.upstream_rows = {};
  options.upstream = 2;
  double sum = 0, size = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(none.loss[i], double{weights[i]} * plain.loss[i]);
    sum += none.loss[i];
    size += std::fabs(none.loss[i]);
    // Powers of two: exact.
    for (std::int64_t d = 0; d < 6; ++d) {
      EXPECT_EQ(none.grad_queries.at(static_cast<std::int64_t>(i), d),
                double{upstream_rows[i] * weights[i]} *
                    plain.grad_queries.at(static_cast<std::int64_t>(i), d));
    }
  }
  const auto check = [&](const info_nce_call<double>& call, double divisor) {
    EXPECT_LE(std::fabs(call.loss[0] - sum / divisor), 6 * kUnit * size / divisor);
    for (std::int64_t i = 0; i < 5; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const double factor = 2 * weights[k] / divisor;
      const double bound = 2 * gradient_bound(factor, std::sqrt(product(q_[k], q_[k])));
      for (std::int64_t d = 0; d < 6; ++d) {
        EXPECT_LE(std::fabs(call.grad_queries.at(i, d) - factor * plain.grad_queries.at(i, d)),
                  bound);
      }
    }
    EXPECT_EQ(call.rows_counted, 5);
  };
  options.reduction = reduction::sum;
  check({q_, k_, n_, options}, 1);
  options.reduction = reduction::mean;
  check({q_, k_, n_, options}, 5);
  options.normalizer = &normalizer;
  check({q_, k_, n_, options}, 8);
  options.reduction = reduction::sum;
  check({q_, k_, n_, options}, 8);
}

// Scalars that stand in memory are as good as values, and a log_scale is a temperature: the
// gradients by them differ by -1 / temperature.
TEST_F(InfoNceOptions, TemperatureAndLogScale) {
  const float temperature = 0.25f, log_scale = std::log(4.0f);
  const info_nce_call<double> by_value(q_, k_, n_, {.temperature = temperature});
  const info_nce_call<double> by_pointer(q_, k_, n_, {.temperature = &temperature});
  const info_nce_call<double> by_log(q_, k_, n_, {.log_scale = &log_scale});
  EXPECT_EQ(by_value.loss, by_pointer.loss);
  EXPECT_EQ(by_value.grad_scale, by_pointer.grad_scale);
  // The logarithm is rounded to a float, which moves the similarities by this part of them, and the
  // gradient sum p_j (l_j - l_t), |l_j - l_t| <= 8, by as much and 2 * 8 times that by p_j.
  const double moved = std::fabs(std::expm1(double{log_scale} - std::log(4.0)));
  const similarity_error error = {6, 10, kScale};
  EXPECT_LE(std::fabs(by_value.grad_scale * -0.25 - by_log.grad_scale),
            8 * (moved * (1 + 2 * 8) + 2 * error.gradient(15)));
  EXPECT_LE(std::fabs(by_value.loss[0] - by_log.loss[0]), 8 * moved + error.loss(by_log.loss[0]));
}

// Where nothing is normalized, the loss depends on scale q, so that sum <q, dq> = dlog_scale, and
// on scale k: likewise over the keys and negatives.
TEST_F(InfoNceOptions, GradientOfTheScale) {
  const info_nce_call<double> call(
      q_, k_, n_, {.reduction = reduction::sum, .normalize = false, .log_scale = 0});
  const double other = std::max(largest_norm(k_), largest_norm(n_)), own = largest_norm(q_);
  const similarity_error error = {6, 10, own * other};
  double by_queries = 0, by_columns = 0;
  for (std::int64_t i = 0; i < 5; ++i) {
    by_queries += product(q_[static_cast<std::size_t>(i)], call.grad_queries.row(i));
  }
  for (std::int64_t j = 0; j < 8; ++j) {
    by_columns += product(k_[static_cast<std::size_t>(j)], call.grad_keys.row(j));
  }
  for (std::int64_t j = 0; j < 2; ++j) {
    by_columns += product(n_[static_cast<std::size_t>(j)], call.grad_negatives.row(j));
  }
  // Terms of 5 rows with sum |dl| <= 2, times 6 elements that |q_d| |k_d| <= own other bounds.
  const double bound = 5 * 2 * 6 * own * other * (2 * error.gradient(15) + 2 * 60 * kUnit);
  EXPECT_LE(std::fabs(by_queries - call.grad_scale), bound);
  EXPECT_LE(std::fabs(by_columns - call.grad_scale), bound);
}

// The length of a normalized vector changes nothing, so its gradient is at a right angle to it.
TEST_F(InfoNceOptions, GradientIsOrthogonalToNormalizedVectors) {
  const info_nce_call<double> call(q_, k_, n_, {.reduction = reduction::sum, .temperature = 0.25});
  const auto check = [](const embedding_rows& x, const host_matrix<double>& g, double weight) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      double sum = 0;
      for (const double v : x[i]) sum += std::fabs(v);
      EXPECT_LE(std::fabs(product(x[i], g.row(static_cast<std::int64_t>(i)))),
                sum * gradient_bound(weight, std::sqrt(product(x[i], x[i]))));
    }
  };
  check(q_, call.grad_queries, 1);
  check(k_, call.grad_keys, 5);
  check(n_, call.grad_negatives, 5);
}

TEST_F(InfoNceOptions, ClipIsHalfOfEachDirection) {
  const info_nce_options half = {.reduction = reduction::none, .log_scale = 1.25f};
  const info_nce_call<double> rows(q_, t_, {}, half), columns(t_, q_, {}, half);
  const clip_call<double> call(q_, t_, {.reduction = reduction::none, .log_scale = 1.25f});
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(call.loss[i], (rows.loss[i] + columns.loss[i]) / 2);
  }
  EXPECT_EQ(call.correct_images, rows.correct);
  EXPECT_EQ(call.correct_texts, columns.correct);
  EXPECT_EQ(call.rows_counted, 5);
  const similarity_error error = {6, 5, std::exp(1.25)};
  EXPECT_LE(std::fabs(call.grad_scale - (rows.grad_scale + columns.grad_scale) / 2),
            20 * std::exp(1.25) * 2 * error.gradient(15));
  for (std::int64_t i = 0; i < 5; ++i) {
    const auto k = static_cast<std::size_t>(i);
    for (std::int64_t d = 0; d < 6; ++d) {
      EXPECT_LE(std::fabs(call.grad_images.at(i, d) -
                          (rows.grad_queries.at(i, d) + columns.grad_keys.at(i, d)) / 2),
                2 * gradient_bound(5, std::sqrt(product(q_[k], q_[k]))));
      EXPECT_LE(std::fabs(call.grad_texts.at(i, d) -
                          (rows.grad_keys.at(i, d) + columns.grad_queries.at(i, d)) / 2),
                2 * gradient_bound(5, std::sqrt(product(t_[k], t_[k]))));
    }
  }
}

TEST_F(InfoNceOptions, ClipIsSymmetric) {
  const std::vector<float> weights = {1, 0.5f, 2, 0, 4};
  const std::vector<std::int64_t> ids = {1, 2, 3, 1, 5};
  const clip_options options = {
      .temperature = 0.5, .ids = {ids.data(), 5}, .row_weights = {weights.data(), 5}};
  const clip_call<double> call(q_, t_, options), swapped(t_, q_, options);
  EXPECT_EQ(call.loss, swapped.loss);
  EXPECT_EQ(call.grad_scale, swapped.grad_scale);
  EXPECT_EQ(call.correct_images, swapped.correct_texts);
  EXPECT_EQ(call.correct_texts, swapped.correct_images);
  for (std::int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(call.grad_images.row(i), swapped.grad_texts.row(i));
    EXPECT_EQ(call.grad_texts.row(i), swapped.grad_images.row(i));
  }
}

// Pairs in another order: the same sums in another order.
TEST_F(InfoNceOptions, RowPermutation) {
  const std::size_t order[] = {3, 0, 4, 1, 2};
  embedding_rows q, t;
  for (const std::size_t i : order) {
    q.push_back(q_[i]);
    t.push_back(t_[i]);
  }
  const info_nce_options options = {.reduction = reduction::none, .temperature = 1 / kScale};
  const info_nce_call<double> call(q_, t_, n_, options), permuted(q, t, n_, options);
  const similarity_error error = {6, 7, kScale};
  for (std::size_t i = 0; i < 5; ++i) {
    const double loss = call.loss[order[i]];
    EXPECT_LE(std::fabs(permuted.loss[i] - loss), 2 * error.loss(loss));
    for (std::int64_t d = 0; d < 6; ++d) {
      const auto from = static_cast<std::int64_t>(order[i]), to = static_cast<std::int64_t>(i);
      EXPECT_LE(std::fabs(permuted.grad_queries.at(to, d) - call.grad_queries.at(from, d)),
                2 * gradient_bound(1, std::sqrt(product(q[i], q[i]))));
      EXPECT_LE(std::fabs(permuted.grad_keys.at(to, d) - call.grad_keys.at(from, d)),
                2 * gradient_bound(5, std::sqrt(product(t[i], t[i]))));
    }
  }
  EXPECT_EQ(call.correct, permuted.correct);
}

// The gradients of the embeddings are added to the 7 that stands there, and nothing else is.
TEST_F(InfoNceOptions, Accumulate) {
  info_nce_options options = {.temperature = 0.25};
  clip_options of_clip = {.temperature = 0.25};
  const info_nce_call<double> plain(q_, k_, n_, options);
  const clip_call<double> plain_clip(q_, t_, of_clip);
  options.accumulate = of_clip.accumulate = true;
  const info_nce_call<double> sum(q_, k_, n_, options);
  const clip_call<double> sum_clip(q_, t_, of_clip);
  const auto check = [](const host_matrix<double>& g, const host_matrix<double>& accumulated,
                        std::int64_t rows) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t d = 0; d < 6; ++d) EXPECT_EQ(accumulated.at(i, d), 7 + g.at(i, d));
    }
  };
  check(plain.grad_queries, sum.grad_queries, 5);
  check(plain.grad_keys, sum.grad_keys, 8);
  check(plain.grad_negatives, sum.grad_negatives, 2);
  check(plain_clip.grad_images, sum_clip.grad_images, 5);
  check(plain_clip.grad_texts, sum_clip.grad_texts, 5);
  EXPECT_EQ(plain.grad_scale, sum.grad_scale);
  EXPECT_EQ(plain.loss, sum.loss);
}

// A float gradient of 16-bit embeddings is the same number, rounded less.
template <class T>
void check_wide(const embedding_rows& q, const embedding_rows& k, const embedding_rows& n) {
  info_nce_options options = {.temperature = 0.25};
  const info_nce_call<T> narrow(q, k, n, options);
  const info_nce_call<T, float> wide(q, k, n, options);
  options.accumulate = true;
  const info_nce_call<T, float> sum(q, k, n, options);
  const format &to = format_of(element_of<T>), &single = format_of(element::float32);
  for (std::int64_t i = 0; i < size_of(q); ++i) {
    for (std::int64_t d = 0; d < dimension_of(q); ++d) {
      const double g = wide.grad_queries.at(i, d);
      EXPECT_LE(std::fabs(narrow.grad_queries.at(i, d) - g),
                to.rounding(g) + 2 * single.rounding(g));
      EXPECT_LE(std::fabs(sum.grad_queries.at(i, d) - (7 + g)),
                single.rounding(g) + single.rounding(7 + g));
    }
  }
}

TEST_F(InfoNceOptions, FloatGradientsOfNarrowEmbeddings) {
  check_wide<culoss::half>(q_, k_, n_);
  check_wide<culoss::bf16>(q_, k_, n_);
}

TEST_F(InfoNceOptions, ResultsDoNotDependOnTheThreads) {
  const embedding_rows q = random_embeddings(150, 8, random_),
                       k = random_embeddings(160, 8, random_);
  const embedding_rows t = random_embeddings(150, 8, random_), n = random_embeddings(9, 8, random_);
  const info_nce_call<float> expected(q, k, n, {.temperature = 0.25}, {.threads = 1});
  const clip_call<float> expected_clip(q, t, {.temperature = 0.25}, {.threads = 1});
  for (const int threads : {0, 2, 3, 1000}) {
    const info_nce_call<float> call(q, k, n, {.temperature = 0.25}, {.threads = threads});
    EXPECT_EQ(call.loss, expected.loss);
    EXPECT_EQ(call.grad_scale, expected.grad_scale);
    EXPECT_EQ(call.grad_queries.storage(), expected.grad_queries.storage());
    EXPECT_EQ(call.grad_keys.storage(), expected.grad_keys.storage());
    EXPECT_EQ(call.grad_negatives.storage(), expected.grad_negatives.storage());
    const clip_call<float> of_clip(q, t, {.temperature = 0.25}, {.threads = threads});
    EXPECT_EQ(of_clip.loss, expected_clip.loss);
    EXPECT_EQ(of_clip.grad_images.storage(), expected_clip.grad_images.storage());
    EXPECT_EQ(of_clip.grad_texts.storage(), expected_clip.grad_texts.storage());
  }
}

}  // namespace
}  // namespace culoss_test
