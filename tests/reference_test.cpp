// Cross-entropy on the CPU: options, reductions and divisors against sums done by hand, and where
// the results go.
#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <cstring>
#include <culoss/culoss.hpp>
#include <numeric>
#include <random>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::cross_entropy_options;
using culoss::empty_batch;
using culoss::matrix;
using culoss::reduction;
using culoss::vector;
using ::testing::Each;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;

// Three rows whose losses are log 2, log 4 and log 4 / 3: with p = 1/2, 1/4 and 3/4.
const double kLog3 = std::log(3.0);
const rows_of_logits kLogits = {{0, 0}, {0, kLog3}, {0, kLog3}};
const labels64 kLabels = {0, 0, 1};
const std::array<double, 3> kLosses = {std::log(2.0), std::log(4.0), std::log(4.0 / 3)};
// d loss / d x_0 of each
const std::array<double, 3> kGradients = {-0.5, -0.75, 0.25};

TEST(CrossEntropy, None) {
  const float row_weights[] = {1, 0.5f, 2}, upstream[] = {1, -2, 4};
  const cross_entropy_call<double> call(kLogits, kLabels,
                                        {.reduction = reduction::none,
                                         .row_weights = {row_weights, 3},
                                         .upstream_rows = {upstream, 3}});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(call.loss[i], row_weights[i] * kLosses[i]);
    const double g = upstream[i] * row_weights[i] * kGradients[i];
    EXPECT_DOUBLE_EQ(call.gradient.at(static_cast<std::int64_t>(i), 0), g);
    EXPECT_DOUBLE_EQ(call.gradient.at(static_cast<std::int64_t>(i), 1), -g);
  }
  EXPECT_DOUBLE_EQ(call.lse[1], std::log(4.0));
  EXPECT_EQ(call.argmax, (labels64{0, 1, 1}));
  EXPECT_EQ(call.correct, 2);
  EXPECT_EQ(call.rows_counted, 3);
  EXPECT_EQ(call.statistics[1].max, kLog3);
  EXPECT_EQ(call.statistics[1].log_sum, 0);
  EXPECT_EQ(call.statistics[1].target, 0);
  EXPECT_EQ(call.statistics[1].weight, 0);
}

// Class weights enter the divisor, row weights do not; the upstream gradient is not in the loss.
TEST(CrossEntropy, Mean) {
  const float w[] = {2, 3}, row_weights[] = {1, 0.5f, 2}, upstream = -3;
  const cross_entropy_call<double> call(
      kLogits, kLabels,
      {.class_weights = {w, 2}, .row_weights = {row_weights, 3}, .upstream = &upstream});
  EXPECT_DOUBLE_EQ(call.loss[0],
                   (2 * kLosses[0] + 0.5 * 2 * kLosses[1] + 2 * 3 * kLosses[2]) / (2 + 2 + 3));
  EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), -3 * 0.5 * 2 * kGradients[1] / 7);
  EXPECT_DOUBLE_EQ(call.gradient.at(2, 0), -3 * 2.0 * 3 * kGradients[2] / 7);
}

TEST(CrossEntropy, MeanIsOverTheRowsThatCount) {
  const cross_entropy_call<double> call({kLogits[0], {9, 9}, kLogits[2]}, labels64{0, -100, 1});
  EXPECT_DOUBLE_EQ(call.loss[0], (kLosses[0] + kLosses[2]) / 2);
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), kGradients[0] / 2);
  EXPECT_EQ(call.rows_counted, 2);
}

TEST(CrossEntropy, Sum) {
  const cross_entropy_call<double> call(kLogits, kLabels, {.reduction = reduction::sum});
  EXPECT_DOUBLE_EQ(call.loss[0], kLosses[0] + kLosses[1] + kLosses[2]);
  EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), kGradients[1]);
}

TEST(CrossEntropy, NormalizerReplacesTheDivisor) {
  const float w[] = {2, 3}, five = 5;
  for (const reduction r : {reduction::mean, reduction::sum}) {
    for (const culoss::scalar normalizer : {culoss::scalar(5), culoss::scalar(&five)}) {
      const cross_entropy_call<double> call(
          kLogits, kLabels, {.reduction = r, .class_weights = {w, 2}, .normalizer = normalizer});
      EXPECT_DOUBLE_EQ(call.loss[0], (2 * kLosses[0] + 2 * kLosses[1] + 3 * kLosses[2]) / 5);
      EXPECT_DOUBLE_EQ(call.gradient.at(2, 0), 3 * kGradients[2] / 5);
    }
  }
}

TEST(CrossEntropy, TemperatureDividesTheLogits) {
  const float t = 0.5f;
  rows_of_logits halved = kLogits;
  for (auto& row : halved) {
    for (double& x : row) x /= 2;
  }
  for (const culoss::scalar temperature : {culoss::scalar(t), culoss::scalar(&t)}) {
    const cross_entropy_call<double> call(
        halved, kLabels, {.reduction = reduction::none, .temperature = temperature});
    EXPECT_DOUBLE_EQ(call.loss[1], kLosses[1]);
    EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), kGradients[1] / t);
    EXPECT_DOUBLE_EQ(call.lse[1], std::log(4.0));
    EXPECT_DOUBLE_EQ(call.lse[2], std::log(4.0));  // of a row whose target is the largest
    EXPECT_EQ(call.statistics[1].max, kLog3 / 2);
  }
}

// (1 - s) (-log p_t) + (s / C) sum_j w_j (-log p_j), with p = 1/4, 3/4.
TEST(CrossEntropy, LabelSmoothingUsesTheWeightOfEachClass) {
  const float w[] = {2, 3}, s = 0.25f;
  const cross_entropy_call<double> call(
      {kLogits[1]}, labels64{0},
      {.reduction = reduction::none, .label_smoothing = s, .class_weights = {w, 2}});
  EXPECT_DOUBLE_EQ(call.loss[0],
                   0.75 * 2 * kLosses[1] + 0.25 / 2 * (2 * std::log(4.0) + 3 * std::log(4.0 / 3)));
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), 0.75 * 2 * -0.75 + 0.125 * (0.25 * 5 - 2));
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 1), 0.75 * 2 * 0.75 + 0.125 * (0.75 * 5 - 3));
  EXPECT_EQ(call.statistics[0].weight, 5);
}

// Everything that makes the divisor exactly 0, and what comes of it.
TEST(CrossEntropy, DivisorOfZero) {
  const std::vector<float> zeros = {0, 0};
  const auto check = [](const labels64& labels, const cross_entropy_options& options) {
    const cross_entropy_call<double> call(kLogits, labels, options);
    const bool nan = options.empty == empty_batch::nan;
    if (nan) {
      EXPECT_THAT(call.loss[0], IsNan());
    } else {
      EXPECT_EQ(call.loss[0], 0);
    }
    for (std::size_t i = 0; i < labels.size(); ++i) {
      for (const double g : call.gradient.row(static_cast<std::int64_t>(i))) {
        if (nan && labels[i] != -100) {
          EXPECT_THAT(g, IsNan());
        } else {
          EXPECT_TRUE(g == 0 && !std::signbit(g));
        }
      }
    }
  };
  for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
    check(kLabels, {.class_weights = {zeros.data(), 2}, .empty = empty});
    check({0, -100, 1}, {.normalizer = 0, .empty = empty});
    check({0, -100, 5}, {.reduction = reduction::sum, .normalizer = zeros.data(), .empty = empty});
    check({-100, -100, -100}, {.empty = empty});
  }
}

// A sum divides by nothing, so there is nothing to be zero.
TEST(CrossEntropy, SumOfNoRowsIsZero) {
  for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
    const cross_entropy_call<double> ignored(kLogits, labels64{-100, -100, -100},
                                             {.reduction = reduction::sum, .empty = empty});
    EXPECT_EQ(ignored.loss[0], 0);
    EXPECT_EQ(ignored.rows_counted, 0);
  }
}

TEST(CrossEntropy, NoRows) {
  const cross_entropy_call<float> zero({}, labels64{});
  EXPECT_EQ(zero.loss[0], 0);
  EXPECT_EQ(zero.correct, 0);
  EXPECT_EQ(zero.rows_counted, 0);
  const cross_entropy_call<float> nan({}, labels64{}, {.empty = empty_batch::nan});
  EXPECT_THAT(nan.loss[0], IsNan());
}

// A common offset of the logits changes nothing but the lse, and a confident row keeps its loss.
TEST(CrossEntropy, ConfidentRowsAndLargeOffsets) {
  for (const double offset : {0.0, 1e3, 1e5}) {
    const cross_entropy_call<float> call({{offset + 25, offset, offset}}, labels64{0},
                                         {.reduction = reduction::none});
    const double q = 2 * std::exp(-25.0);  // 1 - p_t, up to its square
    EXPECT_FLOAT_EQ(call.loss[0], static_cast<float>(q));
    EXPECT_FLOAT_EQ(static_cast<float>(call.gradient.at(0, 0)), static_cast<float>(-q));
    EXPECT_FLOAT_EQ(static_cast<float>(call.gradient.at(0, 1)), static_cast<float>(q / 2));
    EXPECT_FLOAT_EQ(call.lse[0], static_cast<float>(offset + 25));
  }
  // The lse of a row whose target stands alone is its logit, however far below the others are.
  const cross_entropy_call<double> alone({{0.1, -600, -700}}, labels64{0});
  EXPECT_EQ(alone.lse[0], 0.1);
}

// Statistics that were merged over shards of the classes: the gradient of a shard needs no other.
TEST(CrossEntropyBackward, TakesTheStatisticsItIsGiven) {
  const cross_entropy_call<double> whole({{1, -2, 0.5, 3, 0.25}}, labels64{2},
                                         {.reduction = reduction::sum});
  const double shard[] = {1, -2, 0.5};
  const std::int64_t label = 2;
  double gradient[3] = {};
  const vector<const culoss::row_statistics<double>> saved(whole.statistics.data(), 1);
  ASSERT_TRUE(culoss::cross_entropy_backward(
                  cpu{}, matrix<const double>(shard, 1, 3), vector<const std::int64_t>(&label, 1),
                  saved, {.grad_logits = {gradient, 1, 3}}, {.reduction = reduction::sum})
                  .ok());
  for (int j = 0; j < 3; ++j) EXPECT_EQ(gradient[j], whole.gradient.at(0, j));
}

rows_of_logits random_logits(std::int64_t rows, std::int64_t cols) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 3);
  rows_of_logits logits(static_cast<std::size_t>(rows));
  for (auto& row : logits) {
    for (std::int64_t j = 0; j < cols; ++j) row.push_back(normal(random));
  }
  return logits;
}

template <class T>
void check_in_place() {
  constexpr std::int64_t kRows = 5, kCols = 11, kPadding = 3;
  const host_matrix<T> logits(random_logits(kRows, kCols), kCols, kPadding);
  const labels64 labels = {0, 10, -100, 4, 99};
  host_matrix<T> apart(kRows, kCols, kPadding), input = logits, in_place = logits;
  const vector<const std::int64_t> label_view(labels.data(), kRows);
  const cross_entropy_options options = {.reduction = reduction::none, .label_smoothing = 0.5f};
  ASSERT_TRUE(
      culoss::cross_entropy(cpu{}, input.view(), label_view, {.grad_logits = apart.view()}, options)
          .ok());
  ASSERT_TRUE(culoss::cross_entropy(cpu{}, in_place.view(), label_view,
                                    {.grad_logits = in_place.view()}, options)
                  .ok());
  const auto same_bits = [](const host_matrix<T>& a, const host_matrix<T>& b) {
    const auto& x = a.storage();
    const auto& y = b.storage();
    return std::memcmp(x.data(), y.data(), x.size() * sizeof x[0]) == 0;
  };
  EXPECT_TRUE(same_bits(input, logits));
  EXPECT_TRUE(same_bits(apart, in_place));  // the padding of both, too
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t k = 0; k < kPadding; ++k) {
      const auto behind = static_cast<std::size_t>(i * (kCols + kPadding) + kCols + k);
      EXPECT_EQ(apart.storage()[behind], encode<T>(7));
    }
  }
}

TEST(CrossEntropy, InPlaceGivesTheSameBitsAndLeavesThePadding) {
  check_in_place<float>();
  check_in_place<culoss::half>();
  check_in_place<culoss::bf16>();
  check_in_place<double>();
}

TEST(CrossEntropy, ResultsDoNotDependOnTheThreads) {
  constexpr std::int64_t kRows = 301, kCols = 517;
  const rows_of_logits logits = random_logits(kRows, kCols);
  labels64 labels(kRows);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = i % 7 == 3 ? -100 : static_cast<std::int64_t>(i * 31 % kCols);
  }
  const cross_entropy_call<double> expected(logits, labels, {}, {.threads = 1});
  for (const int threads : {0, 2, 3, 7, 1000}) {
    const cross_entropy_call<double> call(logits, labels, {}, {.threads = threads});
    EXPECT_EQ(call.loss, expected.loss);
    EXPECT_EQ(call.lse, expected.lse);
    EXPECT_EQ(call.argmax, expected.argmax);
    EXPECT_EQ(call.gradient.storage(), expected.gradient.storage());
  }
}

TEST(CrossEntropy, BadArgumentsWriteNothing) {
  const float logits[] = {1, 2};
  const std::int32_t label = 0;
  float loss = 7, gradient[] = {7, 7};
  const culoss::status s = culoss::cross_entropy(
      cpu{}, matrix<const float>(logits, 1, 2), vector<const std::int32_t>(&label, 1),
      {.loss = {&loss, 1}, .grad_logits = {gradient, 1, 2}}, {.label_smoothing = 1.5f});
  EXPECT_EQ(s.code(), culoss::status_code::invalid_argument);
  EXPECT_THAT(s.message(), ::testing::HasSubstr("label_smoothing is 1.5"));
  EXPECT_EQ(loss, 7);
  EXPECT_THAT(gradient, Each(7));
  EXPECT_EQ(culoss::cross_entropy(cpu{.threads = -1}, matrix<const float>(logits, 1, 2),
                                  vector<const std::int32_t>(&label, 1), {.loss = {&loss, 1}})
                .code(),
            culoss::status_code::invalid_argument);
}

}  // namespace
}  // namespace culoss_test
