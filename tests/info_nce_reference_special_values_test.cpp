// What is special in the data of info_nce and clip on the CPU: zero vectors, rows that are not
// finite, masks that leave nothing, ties, divisors of 0, no rows, scales that are none. The rules
// stand in culoss/info_nce.hpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <culoss/info_nce.hpp>
#include <random>
#include <vector>

#include "tests/info_nce_call.hpp"

namespace culoss_test {
namespace {

using culoss::empty_batch;
using culoss::info_nce_options;
using culoss::reduction;
using culoss::vector;
using ::testing::Each;
using ::testing::IsNan;

using ids64 = std::vector<std::int64_t>;
const info_nce_options kNone = {.reduction = reduction::none, .temperature = 0.5};

vector<const std::int64_t> view(const ids64& ids) {
  return {ids.data(), static_cast<std::int64_t>(ids.size())};
}

template <class T>
void expect_rows(const host_matrix<T>& m, std::int64_t rows,
                 const ::testing::Matcher<const std::vector<double>&>& matcher) {
  for (std::int64_t i = 0; i < rows; ++i) EXPECT_THAT(m.row(i), matcher) << "row " << i;
}

// The loss of a row whose `columns` similarities are all 0.
template <class T>
void expect_log(double loss, double columns) {
  const similarity_error error = {2, columns, 0};
  const double expected = std::log(columns);
  EXPECT_LE(std::fabs(loss - expected),
            error.loss(expected) + format_of(element_of<culoss::real_of<T>>).rounding(expected));
}

template <class T>
class InfoNceSpecialValues : public ::testing::Test {};
using Types = ::testing::Types<std::type_identity<float>, std::type_identity<culoss::half>,
                               std::type_identity<culoss::bf16>, std::type_identity<double>>;
TYPED_TEST_SUITE(InfoNceSpecialValues, Types);

// Similarity 0 to everything, and gradient 0; a tie that the lowest column wins.
TYPED_TEST(InfoNceSpecialValues, ZeroVectors) {
  using T = typename TypeParam::type;
  const embedding_rows keys = {{1, 0}, {0, 2}, {3, 4}};
  const info_nce_call<T> query({{0, 0}, {1, 1}, {1, 0}}, keys, {{-1, 2}}, kNone);
  expect_log<T>(query.loss[0], 4);
  EXPECT_THAT(query.grad_queries.row(0), Each(0));
  const info_nce_call<T> key({{1, 0}, {0, 1}}, {{0, 0}, {0, 2}}, {{0, 0}}, kNone);
  expect_log<T>(key.loss[0], 3);
  EXPECT_THAT(key.grad_keys.row(0), Each(0));
  EXPECT_THAT(key.grad_negatives.row(0), Each(0));
  EXPECT_NE(key.grad_keys.at(1, 0), 0);
  const clip_call<T> pairs({{0, 0}, {1, 0}}, {{1, 0}, {0, 0}}, {.temperature = 0.5});
  EXPECT_THAT(pairs.grad_images.row(0), Each(0));
  EXPECT_THAT(pairs.grad_texts.row(1), Each(0));
  EXPECT_TRUE(std::isfinite(pairs.loss[0]));
}

// Without a negative there is nothing to lose; the row counts all the same.
TYPED_TEST(InfoNceSpecialValues, AllNegativesMasked) {
  using T = typename TypeParam::type;
  const embedding_rows x = {{1, 2}, {3, -1}, {0, 1}};
  const ids64 ids = {7, 7, 7};
  info_nce_options options = {.temperature = 0.5,
                              .query_ids = view(ids),
                              .key_ids = view(ids),
                              .negative_ids = {ids.data(), 1}};
  const info_nce_call<T> in_batch(x, {{2, 2}, {1, 0}, {5, 5}}, {{1, 1}}, options);
  options.in_batch = false;
  options.key_ids = {};
  const info_nce_call<T> negatives(x, {{2, 2}, {1, 0}, {5, 5}}, {{1, 1}}, options);
  for (const auto* call : {&in_batch, &negatives}) {
    EXPECT_EQ(call->loss[0], 0);
    EXPECT_EQ(call->grad_scale, 0);
    EXPECT_EQ(call->correct, 3);
    EXPECT_EQ(call->rows_counted, 3);
    expect_rows(call->grad_queries, 3, Each(0));
    expect_rows(call->grad_keys, 3, Each(0));
    expect_rows(call->grad_negatives, 1, Each(0));
  }
  const clip_call<T> clip(x, {{2, 2}, {1, 0}, {5, 5}}, {.temperature = 0.5, .ids = view(ids)});
  EXPECT_EQ(clip.loss[0], 0);
  EXPECT_EQ(clip.correct_images, 3);
  EXPECT_EQ(clip.correct_texts, 3);
  expect_rows(clip.grad_images, 3, Each(0));
  expect_rows(clip.grad_texts, 3, Each(0));
}

// Its own row, all columns' gradients and the scalars; not the other rows, to the bit.
TYPED_TEST(InfoNceSpecialValues, NonFiniteQuery) {
  using T = typename TypeParam::type;
  std::mt19937_64 random(13);
  const embedding_rows q = random_embeddings(3, 4, random), k = random_embeddings(4, 4, random);
  const embedding_rows n = random_embeddings(2, 4, random);
  const ids64 query_ids = {1, 2, 3}, key_ids = {1, 2, 3, 2}, negative_ids = {2, 5};
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    for (const bool normalize : {true, false}) {
      for (const bool in_batch : {true, false}) {
        info_nce_options options = kNone;
        options.normalize = normalize;
        options.in_batch = in_batch;
        options.query_ids = view(query_ids);
        if (in_batch) options.key_ids = view(key_ids);
        options.negative_ids = view(negative_ids);
        const info_nce_call<T> good(q, k, n, options);
        embedding_rows with_bad = q;
        with_bad[1][2] = bad;
        const info_nce_call<T> call(with_bad, k, n, options);
        EXPECT_THAT(call.loss[1], IsNan());
        EXPECT_THAT(call.grad_queries.row(1), Each(IsNan()));
        for (const std::int64_t i : {0, 2}) {
          const auto row = static_cast<std::size_t>(i);
          EXPECT_EQ(call.loss[row], good.loss[row]);
          EXPECT_EQ(call.grad_queries.row(i), good.grad_queries.row(i));
        }
        // Without in_batch a key meets no query but its own.
        for (const std::int64_t j : {0, 1, 2, 3}) {
          if (in_batch || j == 1) {
            EXPECT_THAT(call.grad_keys.row(j), Each(IsNan()));
          } else {
            EXPECT_EQ(call.grad_keys.row(j), good.grad_keys.row(j));
          }
        }
        expect_rows(call.grad_negatives, 2, Each(IsNan()));
        EXPECT_THAT(call.grad_scale, IsNan());
        options.reduction = reduction::mean;
        const info_nce_call<T> mean(with_bad, k, n, options);
        EXPECT_THAT(mean.loss[0], IsNan());
        EXPECT_EQ(mean.rows_counted, 3);
      }
    }
  }
}

// Every row that has it among its columns, and no other.
TYPED_TEST(InfoNceSpecialValues, NonFiniteKeyOrNegative) {
  using T = typename TypeParam::type;
  std::mt19937_64 random(14);
  const embedding_rows q = random_embeddings(3, 4, random), k = random_embeddings(3, 4, random);
  const embedding_rows n = random_embeddings(2, 4, random);
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    for (const bool normalize : {true, false}) {
      info_nce_options options = kNone;
      options.normalize = normalize;
      embedding_rows bad_key = k, bad_negative = n;
      bad_key[1][0] = bad_negative[1][3] = bad;

      const info_nce_call<T> in_all_rows(q, bad_key, n, options);
      EXPECT_THAT(in_all_rows.loss, Each(IsNan()));
      expect_rows(in_all_rows.grad_queries, 3, Each(IsNan()));
      EXPECT_THAT(in_all_rows.grad_scale, IsNan());
      EXPECT_EQ(in_all_rows.correct, 0);
      const info_nce_call<T> negative(q, k, bad_negative, options);
      EXPECT_THAT(negative.loss, Each(IsNan()));
      expect_rows(negative.grad_queries, 3, Each(IsNan()));

      options.in_batch = false;
      const info_nce_call<T> good(q, k, n, options), positive(q, bad_key, n, options);
      const ids64 query_ids = {1, 2, 3}, negative_ids = {0, 2};
      options.query_ids = view(query_ids);
      options.negative_ids = view(negative_ids);
      const info_nce_call<T> good_masked(q, k, n, options),
          masked(q, k, bad_negative, options);  // masked for row 1 only
      for (std::size_t i = 0; i < 3; ++i) {
        const auto row = static_cast<std::int64_t>(i);
        if (i == 1) {
          EXPECT_THAT(positive.loss[i], IsNan());
          EXPECT_THAT(positive.grad_queries.row(row), Each(IsNan()));
          EXPECT_EQ(masked.loss[i], good_masked.loss[i]);
        } else {
          EXPECT_EQ(positive.loss[i], good.loss[i]);
          EXPECT_EQ(positive.grad_queries.row(row), good.grad_queries.row(row));
          EXPECT_THAT(masked.loss[i], IsNan());
        }
      }
    }
  }
}

// In clip each side is the other's key. A row that a mask separates from it keeps its loss; as the
// bad one is a query too, all of the other side's gradients are NaN.
TYPED_TEST(InfoNceSpecialValues, NonFinitePair) {
  using T = typename TypeParam::type;
  std::mt19937_64 random(15);
  const embedding_rows good = random_embeddings(3, 2, random);
  const embedding_rows other = random_embeddings(3, 2, random);
  const ids64 ids = {4, 4, 5};
  embedding_rows bad = other;
  bad[1][1] = kInfinity;
  for (const bool normalize : {true, false}) {
    culoss::clip_options options = {
        .reduction = reduction::none, .normalize = normalize, .log_scale = 1.0f};
    const clip_call<T> call(bad, good, options);
    EXPECT_THAT(call.loss, Each(IsNan()));
    expect_rows(call.grad_images, 3, Each(IsNan()));
    expect_rows(call.grad_texts, 3, Each(IsNan()));
    EXPECT_THAT(call.grad_scale, IsNan());
    EXPECT_EQ(call.correct_texts, 0);

    options.ids = view(ids);
    const clip_call<T> images(bad, good, options), texts(good, bad, options);
    EXPECT_EQ(images.loss[0], clip_call<T>(other, good, options).loss[0]);
    EXPECT_THAT(images.loss[2], IsNan());
    expect_rows(images.grad_texts, 3, Each(IsNan()));
    expect_rows(texts.grad_images, 3, Each(IsNan()));
  }
}

TEST(InfoNceCorrect, TiesGoToTheLowestColumnOfTheRowsOwn) {
  const embedding_rows same = {{1, 0}, {1, 0}, {0, 1}};
  const info_nce_call<double> keys(same, same, {}, kNone);
  EXPECT_EQ(keys.correct, 2);  // row 1 finds key 0 first
  const ids64 ids = {4, 4, 5};
  info_nce_options options = kNone;
  options.query_ids = options.key_ids = view(ids);
  EXPECT_EQ((info_nce_call<double>(same, same, {}, options).correct), 3);  // key 0 is masked
  // Negatives come behind the keys.
  EXPECT_EQ((info_nce_call<double>({{1, 0}}, {{1, 0}}, {{1, 0}}, kNone).correct), 1);
  EXPECT_EQ((info_nce_call<double>({{1, 0}}, {{1, 0.5}}, {{1, 0}}, kNone).correct), 0);
  // Keys in front of the positives come first.
  options = kNone;
  options.positive_offset = 1;
  EXPECT_EQ((info_nce_call<double>({{1, 0}}, {{1, 0}, {1, 0}}, {}, options).correct), 0);
  options.in_batch = false;
  EXPECT_EQ((info_nce_call<double>({{1, 0}}, {{1, 0}, {1, 0}}, {}, options).correct), 1);
}

TEST(InfoNceEmpty, NoRows) {
  for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
    for (const bool accumulate : {false, true}) {
      const info_nce_call<float> call({}, {{1, 2}, {3, 4}}, {{5, 6}},
                                      {.temperature = 1, .accumulate = accumulate, .empty = empty});
      if (empty == empty_batch::nan) {
        EXPECT_THAT(call.loss[0], IsNan());
      } else {
        EXPECT_EQ(call.loss[0], 0);
      }
      EXPECT_EQ(call.grad_scale, 0);
      EXPECT_EQ(call.correct, 0);
      EXPECT_EQ(call.rows_counted, 0);
      expect_rows(call.grad_keys, 2, Each(accumulate ? 7 : 0));
      expect_rows(call.grad_negatives, 1, Each(accumulate ? 7 : 0));
    }
    const info_nce_call<float> sum({}, {{1, 2}}, {},
                                   {.reduction = reduction::sum, .temperature = 1, .empty = empty});
    EXPECT_EQ(sum.loss[0], 0);  // divided by nothing
    const clip_call<float> clip({}, {}, {.temperature = 1, .empty = empty});
    EXPECT_EQ(std::isnan(clip.loss[0]), empty == empty_batch::nan);
    EXPECT_EQ(clip.grad_scale, 0);
    EXPECT_EQ(clip.rows_counted, 0);
  }
}

TEST(InfoNceEmpty, NormalizerOfZero) {
  const float zero = 0;
  for (const culoss::scalar normalizer : {culoss::scalar(0), culoss::scalar(&zero)}) {
    const info_nce_call<float> call({{1, 2}, {3, 4}}, {{5, 6}, {1, 0}}, {{2, 1}},
                                    {.temperature = 1, .normalizer = normalizer});
    EXPECT_EQ(call.loss[0], 0);
    EXPECT_EQ(call.grad_scale, 0);
    EXPECT_EQ(call.rows_counted, 2);
    expect_rows(call.grad_queries, 2, Each(0));
    expect_rows(call.grad_keys, 2, Each(0));
    expect_rows(call.grad_negatives, 1, Each(0));
    const clip_call<float> clip(
        {{1, 2}, {3, 4}}, {{5, 6}, {1, 0}},
        {.temperature = 1, .normalizer = normalizer, .empty = empty_batch::nan});
    EXPECT_THAT(clip.loss[0], IsNan());
    EXPECT_THAT(clip.grad_scale, IsNan());
    expect_rows(clip.grad_images, 2, Each(IsNan()));
    expect_rows(clip.grad_texts, 2, Each(IsNan()));
  }
}

// Scales that only the call could see.
TEST(InfoNceScale, ThatIsNoneMakesEverythingNan) {
  const embedding_rows x = {{1, 2}, {3, 4}, {0, 0}};
  const auto check = [&](const culoss::scalar& temperature, const culoss::scalar& log_scale) {
    for (const bool in_batch : {true, false}) {
      const info_nce_call<float> call(x, {{1, 0}, {0, 1}, {2, 1}, {1, 1}},
                                      in_batch ? embedding_rows{{4, 4}} : embedding_rows{},
                                      {.reduction = reduction::none,
                                       .temperature = temperature,
                                       .log_scale = log_scale,
                                       .in_batch = in_batch});
      EXPECT_THAT(call.loss, Each(IsNan()));
      EXPECT_THAT(call.grad_scale, IsNan());
      expect_rows(call.grad_queries, 3, Each(IsNan()));
      expect_rows(call.grad_keys, 4, Each(IsNan()));
      expect_rows(call.grad_negatives, in_batch ? 1 : 0, Each(IsNan()));
    }
    const clip_call<float> clip(x, x, {.temperature = temperature, .log_scale = log_scale});
    EXPECT_THAT(clip.loss[0], IsNan());
    EXPECT_THAT(clip.grad_scale, IsNan());
    expect_rows(clip.grad_images, 3, Each(IsNan()));
    expect_rows(clip.grad_texts, 3, Each(IsNan()));
  };
  for (const double bad : {0.0, -1.0, 1e-40, kInfinity, kNan}) {
    const auto value = static_cast<float>(bad);
    check(&value, {});
  }
  for (const double bad : {kInfinity, -kInfinity, kNan}) {
    const auto value = static_cast<float>(bad);
    check({}, &value);
  }
}

}  // namespace
}  // namespace culoss_test
