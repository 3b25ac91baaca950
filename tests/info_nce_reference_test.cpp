// info_nce and clip on the CPU: closed forms, the formula by hand, and what must not change them.
#include <gtest/gtest.h>

#include <cmath>
#include <culoss/info_nce.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "tests/info_nce_call.hpp"

namespace culoss_test {
namespace {

using culoss::info_nce_options;
using culoss::reduction;

// Besides the error of the arithmetic in double, the rounding to the type of the output.
template <class T>
void expect_near(double actual, double expected, double bound) {
  EXPECT_LE(std::fabs(actual - expected), bound + format_of(element_of<T>).rounding(expected))
      << actual << " instead of " << expected;
}

template <class T>
class InfoNce : public ::testing::Test {};
// half and bf16 may be incomplete, so the list is of tags.
using Types = ::testing::Types<std::type_identity<float>, std::type_identity<culoss::half>,
                               std::type_identity<culoss::bf16>, std::type_identity<double>>;
TYPED_TEST_SUITE(InfoNce, Types);

TYPED_TEST(InfoNce, OneRowAgainstNothing) {
  using T = typename TypeParam::type;
  const info_nce_call<T> one({{1, -2}}, {{0.5, 3}}, {}, {.temperature = 0.25});
  const clip_call<T> pair({{1, -2}}, {{0.5, 3}}, {.temperature = 0.25});
  EXPECT_EQ(one.loss[0], 0);
  EXPECT_EQ(one.grad_queries.row(0), (std::vector<double>{0, 0}));
  EXPECT_EQ(one.grad_keys.row(0), (std::vector<double>{0, 0}));
  EXPECT_EQ(one.grad_scale, 0);
  EXPECT_EQ(one.correct, 1);
  EXPECT_EQ(one.rows_counted, 1);
  EXPECT_EQ(pair.loss[0], 0);
  EXPECT_EQ(pair.grad_images.row(0), (std::vector<double>{0, 0}));
  EXPECT_EQ(pair.correct_images, 1);
  EXPECT_EQ(pair.correct_texts, 1);
}

// All vectors the same: log M, and the pulls of the keys cancel.
TYPED_TEST(InfoNce, AllEqual) {
  using T = typename TypeParam::type;
  const embedding_rows queries(3, {1, -2, 0.5, 4}), keys(5, {1, -2, 0.5, 4});
  for (const bool normalize : {true, false}) {
    const info_nce_call<T> call(
        queries, keys, {{1, -2, 0.5, 4}},
        {.reduction = reduction::none, .normalize = normalize, .temperature = 0.125});
    const double norm = std::sqrt(21.25);
    const similarity_error error = {4, 6, 8 * (normalize ? 1 : norm * norm)};
    for (std::int64_t i = 0; i < 3; ++i) {
      expect_near<culoss::real_of<T>>(call.loss[static_cast<std::size_t>(i)], std::log(6.0),
                                      error.loss(std::log(6.0)));
      const double size = 2 * 8 * (normalize ? 1 / norm : norm);
      for (const double g : call.grad_queries.row(i)) {
        expect_near<T>(g, 0, error.gradient(6) * size);
      }
    }
    EXPECT_EQ(call.grad_scale, 0);
    EXPECT_EQ(call.correct, 1);  // of the first row: ties go to the lowest column
  }
}

// Orthonormal pairs: log(e^s + N - 1) - s = log(1 + (N - 1) e^-s), with gradients that keep their
// digits however small they get.
TYPED_TEST(InfoNce, Orthonormal) {
  using T = typename TypeParam::type;
  constexpr int kRows = 4;
  const embedding_rows x = unit_vectors(kRows, 5);
  for (const double scale : {1.0, 8.0, 32.0}) {
    for (const bool normalize : {true, false}) {
      const info_nce_call<T> call(
          x, x, {},
          {.reduction = reduction::none, .normalize = normalize, .temperature = 1 / scale});
      const double p = 1 / (std::exp(scale) + (kRows - 1));  // of each of the others
      const double loss = std::log1p((kRows - 1) * std::exp(-scale));
      const similarity_error error = {5, kRows, scale};
      for (std::int64_t i = 0; i < kRows; ++i) {
        expect_near<culoss::real_of<T>>(call.loss[static_cast<std::size_t>(i)], loss,
                                        error.loss(loss));
        for (std::int64_t d = 0; d < 5; ++d) {
          const double along = normalize ? 0 : -(kRows - 1) * p;
          const double expected = d == 4 ? 0 : scale * (d == i ? along : p);
          expect_near<T>(call.grad_queries.at(i, d), expected,
                         error.gradient(kRows) * std::fabs(expected));
          expect_near<T>(call.grad_keys.at(i, d), expected,
                         error.gradient(kRows) * std::fabs(expected));
        }
      }
      // sum p_j (l_j - l_t) for each row, by the temperature over its negative.
      const double log_scale_gradient = -double{kRows} * (kRows - 1) * p * scale;
      expect_near<culoss::real_of<T>>(
          call.grad_scale, -log_scale_gradient * scale,
          error.gradient(kRows) * std::fabs(log_scale_gradient * scale));
      EXPECT_EQ(call.correct, kRows);
    }
  }
}

// Rounding the embeddings to the type moves a similarity by `moved`, hence the ratio of two
// probabilities by a factor of e^(2 moved) at most, and the loss with it.
TYPED_TEST(InfoNce, LessonExample) {
  using T = typename TypeParam::type;
  std::ifstream file(CULOSS_TEST_DATA "/lesson_examples.json");
  const auto examples = nlohmann::json::parse(file).at("cases");
  int found = 0;
  for (const auto& example : examples) {
    if (example.at("loss") != "info_nce") continue;
    ++found;
    const std::vector<double> anchor = example.at("inputs").at("anchor");
    const std::vector<double> positive = example.at("inputs").at("positive");
    const embedding_rows negatives = example.at("inputs").at("negatives");
    const double temperature = example.at("options").at("temperature");
    const info_nce_call<T> call({anchor}, {positive}, negatives,
                                {.normalize = example.at("options").at("normalize"),
                                 .temperature = temperature,
                                 .in_batch = false});
    double moved = 0;
    for (const double v : positive) moved += std::fabs(round_to(element_of<T>, v) - v);
    for (const auto& row : negatives) {
      double sum = 0;
      for (const double v : row) sum += std::fabs(round_to(element_of<T>, v) - v);
      moved = std::max(moved, sum);
    }
    const double loss = example.at("expected").at("loss");
    const similarity_error error = {2, 4, largest_norm(negatives) / temperature};
    expect_near<culoss::real_of<T>>(call.loss[0], loss,
                                    error.loss(loss) + std::expm1(2 * moved / temperature) * loss);
  }
  EXPECT_EQ(found, 1);
}

// Random embeddings with further keys before and behind the positives, negatives and ids, and the
// loss written out: log of sum_{j in C_i} exp(l_j - l_t).
TEST(InfoNceReference, FormulaByHand) {
  std::mt19937_64 random(5);
  constexpr std::int64_t kOffset = 2;
  const embedding_rows q = random_embeddings(3, 4, random), k = random_embeddings(7, 4, random);
  const embedding_rows n = random_embeddings(2, 4, random);
  const std::vector<std::int64_t> query_ids = {1, 2, 1}, key_ids = {1, 9, 1, 2, 1, 2, 9},
                                  negative_ids = {2, 9};
  for (const bool masked : {false, true}) {
    for (const bool in_batch : {false, true}) {
      info_nce_options options = {.reduction = reduction::none,
                                  .normalize = false,
                                  .temperature = 2,
                                  .positive_offset = kOffset,
                                  .in_batch = in_batch};
      if (masked) {
        options.query_ids = {query_ids.data(), 3};
        if (in_batch) options.key_ids = {key_ids.data(), 7};
        options.negative_ids = {negative_ids.data(), 2};
      }
      const info_nce_call<double> call(q, k, n, options);
      const similarity_error error = {4, 9,
                                      largest_norm(q) * std::max(largest_norm(k), largest_norm(n))};
      std::int64_t correct = 0;
      for (std::size_t i = 0; i < q.size(); ++i) {
        const std::size_t t = i + kOffset;
        const double positive = product(q[i], k[t]) / 2;
        double sum = 1, largest_other = -kInfinity;
        const auto add = [&](const std::vector<double>& y) {
          sum += std::exp(product(q[i], y) / 2 - positive);
          largest_other = std::max(largest_other, product(q[i], y) / 2);
        };
        for (std::size_t j = 0; j < k.size(); ++j) {
          if (in_batch && j != t && !(masked && key_ids[j] == query_ids[i])) add(k[j]);
        }
        for (std::size_t j = 0; j < n.size(); ++j) {
          if (!(masked && negative_ids[j] == query_ids[i])) add(n[j]);
        }
        correct += positive > largest_other ? 1 : 0;
        // By hand, the 1 of the positive is in the sum, which costs what u of the sum is.
        EXPECT_LE(std::fabs(call.loss[i] - std::log(sum)),
                  2 * error.loss(std::log(sum)) + 12 * kUnit);
      }
      EXPECT_EQ(call.correct, correct);
    }
  }
}

// Keys that are nobody's positive have no part in it without the others of the batch.
TEST(InfoNceReference, KeysOutsideTheBatchGetNoGradient) {
  std::mt19937_64 random(6);
  const embedding_rows q = random_embeddings(2, 3, random), k = random_embeddings(4, 3, random);
  const embedding_rows n = random_embeddings(3, 3, random);
  const info_nce_call<double> call(q, k, n,
                                   {.temperature = 0.5, .positive_offset = 1, .in_batch = false});
  for (const std::int64_t j : {0, 3}) {
    EXPECT_EQ(call.grad_keys.row(j), (std::vector<double>{0, 0, 0}));
  }
  for (const std::int64_t j : {1, 2}) EXPECT_NE(call.grad_keys.at(j, 0), 0);
}

// k copies of each pair under its id: no copy is a negative of another, and the loss is that of
// the pairs against k times the others.
TEST(InfoNceReference, CopiesUnderOneId) {
  std::mt19937_64 random(7);
  const embedding_rows q = random_embeddings(4, 6, random), k = random_embeddings(4, 6, random);
  constexpr std::size_t kCopies = 3;
  embedding_rows queries, keys;
  std::vector<std::int64_t> ids;
  for (std::size_t copy = 0; copy < kCopies; ++copy) {
    queries.insert(queries.end(), q.begin(), q.end());
    keys.insert(keys.end(), k.begin(), k.end());
    for (const std::int64_t id : {-1, 0, 1, 2}) ids.push_back(id);
  }
  const culoss::vector<const std::int64_t> id_view(ids.data(), size_of(queries));
  const info_nce_call<double> call(
      queries, keys, {},
      {.reduction = reduction::none, .temperature = 0.5, .query_ids = id_view, .key_ids = id_view});
  const similarity_error error = {6, 12, 2};
  for (std::size_t i = 0; i < 4; ++i) {
    embedding_rows others;
    for (std::size_t copy = 0; copy < kCopies; ++copy) {
      for (std::size_t j = 0; j < 4; ++j) {
        if (j != i) others.push_back(k[j]);
      }
    }
    const info_nce_call<double> alone({q[i]}, {k[i]}, others, {.temperature = 0.5});
    for (std::size_t copy = 0; copy < kCopies; ++copy) {
      EXPECT_LE(std::fabs(call.loss[copy * 4 + i] - alone.loss[0]), error.loss(alone.loss[0]));
    }
  }
}

// At a scale of 100: two equal keys share their query's probability, and rows of almost no length
// have the gradients of their directions, longer by as much as they are shorter.
TEST(InfoNceReference, LargeScaleDuplicatesAndShortRows) {
  embedding_rows keys = unit_vectors(4, 4);
  keys[1] = keys[0];
  std::mt19937_64 random(8);
  const embedding_rows directions = random_embeddings(4, 4, random);
  embedding_rows queries = unit_vectors(4, 4), shorter = directions;
  queries[1] = queries[0];
  for (auto& row : shorter) {
    for (double& v : row) v *= 0x1p-100;
  }
  const info_nce_options options = {.reduction = reduction::none, .temperature = 1.0f / 128};
  const info_nce_call<double> duplicates(queries, keys, {}, options);
  EXPECT_DOUBLE_EQ(duplicates.loss[0], std::log(2.0));
  EXPECT_DOUBLE_EQ(duplicates.loss[1], std::log(2.0));
  const double loss = std::log1p(3 * std::exp(-128.0));
  const similarity_error error = {4, 4, 128};
  EXPECT_LE(std::fabs(duplicates.loss[2] - loss), error.loss(loss));
  EXPECT_EQ(duplicates.correct, 3);
  const info_nce_call<double> usual(directions, keys, {}, options);
  const info_nce_call<double> of_shorter(shorter, keys, {}, options);
  EXPECT_EQ(usual.loss, of_shorter.loss);
  EXPECT_EQ(usual.grad_keys.storage(), of_shorter.grad_keys.storage());
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t d = 0; d < 4; ++d) {
      EXPECT_EQ(usual.grad_queries.at(i, d) * 0x1p100, of_shorter.grad_queries.at(i, d));
    }
  }
}

}  // namespace
}  // namespace culoss_test
