// Softmax focal loss on the CPU: against values worked out by hand, against cross-entropy, and its
// limits. The rules stand in culoss/focal.hpp.
#include <gmock/gmock.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <limits>
#include <random>
#include <vector>

#include "tests/complex_step.hpp"
#include "tests/reference_classes_call.hpp"

namespace culoss_test {
namespace {

using culoss::empty_batch;
using culoss::reduction;
using culoss::softmax_focal_options;
using ::testing::Each;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;
const double kLog3 = std::log(3.0), kLog4 = std::log(4.0);
// p_t = 1/2, 1/4 and 3/4
const rows_of_logits kLogits = {{0, 0}, {0, kLog3}, {0, kLog3}};
const labels64 kLabels = {0, 0, 1};
const double kP[] = {0.5, 0.25, 0.75};
const double kMinusLog[] = {std::log(2.0), kLog4, kLog4 - kLog3};

// -L'(d) for a_t = 1
double slope(std::size_t i, double gamma) {
  return std::pow(1 - kP[i], gamma) * (gamma * kP[i] * kMinusLog[i] + 1 - kP[i]);
}

TEST(SoftmaxFocal, None) {
  const float alpha[] = {0.25f, 3}, row_weights[] = {1, 0.5f, 2}, upstream[] = {1, -2, 4};
  for (const float gamma : {0.0f, 0.5f, 1.0f, 2.0f, 3.75f}) {
    const softmax_focal_call<double> call(kLogits, kLabels,
                                          {.reduction = reduction::none,
                                           .gamma = gamma,
                                           .alpha = {alpha, 2},
                                           .row_weights = {row_weights, 3},
                                           .upstream_rows = {upstream, 3}});
    for (std::size_t i = 0; i < 3; ++i) {
      const auto row = static_cast<std::int64_t>(i), t = kLabels[i];
      const double weight = row_weights[i] * alpha[t];
      EXPECT_DOUBLE_EQ(call.loss[i], weight * std::pow(1 - kP[i], gamma) * kMinusLog[i]);
      const double g = upstream[i] * weight * slope(i, gamma);
      EXPECT_DOUBLE_EQ(call.gradient.at(row, t), -g);
      EXPECT_DOUBLE_EQ(call.gradient.at(row, 1 - t), g);
    }
    EXPECT_EQ(call.argmax, (labels64{0, 1, 1}));
    EXPECT_EQ(call.correct, 2);
    EXPECT_EQ(call.rows_counted, 3);
    EXPECT_EQ(call.statistics[1].max, kLog3);
    EXPECT_EQ(call.statistics[1].log_sum, 0);
    EXPECT_EQ(call.statistics[1].weight, 0);
  }
}

// The other columns share what the target's loses, by their softmax.
TEST(SoftmaxFocal, ThreeClasses) {
  // The target's p is 3/6, the others' 1/6 and 2/6.
  const softmax_focal_call<double> call({{0, std::log(2.0), kLog3}}, labels64{2},
                                        {.reduction = reduction::none});
  EXPECT_DOUBLE_EQ(call.loss[0], 0.25 * kMinusLog[0]);
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), slope(0, 2) / 3);
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 1), slope(0, 2) * 2 / 3);
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 2), -slope(0, 2));
}

// Neither alpha nor row weights are in the divisor.
TEST(SoftmaxFocal, Reductions) {
  const float alpha[] = {0.25f, 3}, row_weights[] = {1, 0.5f, 2}, t = 0.5f;
  const auto loss = [](std::size_t i) { return (1 - kP[i]) * (1 - kP[i]) * kMinusLog[i]; };
  softmax_focal_options options = {.alpha = {alpha, 2}, .row_weights = {row_weights, 3}};
  const double sum = 0.25 * loss(0) + 0.5 * 0.25 * loss(1) + 2.0 * 3 * loss(2);
  EXPECT_DOUBLE_EQ(softmax_focal_call<double>(kLogits, kLabels, options).loss[0], sum / 3);
  options.normalizer = 7;
  EXPECT_DOUBLE_EQ(softmax_focal_call<double>(kLogits, kLabels, options).loss[0], sum / 7);
  options.normalizer = {};
  options.reduction = reduction::sum;
  EXPECT_DOUBLE_EQ(softmax_focal_call<double>(kLogits, kLabels, options).loss[0], sum);
  const softmax_focal_call<double> mean({kLogits[0], {kNan, kInfinity}, kLogits[2]},
                                        labels64{0, -100, 1}, {});
  EXPECT_DOUBLE_EQ(mean.loss[0], (loss(0) + loss(2)) / 2);
  EXPECT_DOUBLE_EQ(mean.gradient.at(0, 1), slope(0, 2) / 2);
  EXPECT_THAT(mean.gradient.row(1), Each(0));
  EXPECT_EQ(mean.rows_counted, 2);
  EXPECT_EQ(mean.argmax[1], -1);
  // Logits and temperature halved.
  const softmax_focal_call<double> cold({{0, kLog3 / 2}}, labels64{0},
                                        {.reduction = reduction::none, .temperature = &t});
  EXPECT_DOUBLE_EQ(cold.loss[0], loss(1));
  EXPECT_DOUBLE_EQ(cold.gradient.at(0, 1), slope(1, 2) / t);
}

TEST(SoftmaxFocal, WithoutGammaIsCrossEntropy) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0, 4);
  rows_of_logits x(8, std::vector<double>(13));
  for (auto& row : x) {
    for (double& v : row) v = normal(random);
  }
  x[2][5] = x[3][1] = -kInfinity;  // the first is the target
  x[4][2] = kNan;
  const labels64 labels = {0, 3, 5, 12, 1, -100, 99, 7};
  const softmax_focal_call<double> focal(
      x, labels, {.reduction = reduction::none, .gamma = 0, .temperature = 0.5f});
  const cross_entropy_call<double> expected(x, labels,
                                            {.reduction = reduction::none, .temperature = 0.5f});
  EXPECT_EQ(focal.argmax, expected.argmax);
  EXPECT_EQ(focal.correct, expected.correct);
  EXPECT_EQ(focal.rows_counted, expected.rows_counted);
  EXPECT_EQ(focal.record.count, 1U);
  EXPECT_EQ(focal.record.label, 99);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool nan = i == 4 || i == 6;
    EXPECT_EQ(std::isnan(focal.loss[i]), nan);
    if (nan) {
      EXPECT_THAT(focal.gradient.row(static_cast<std::int64_t>(i)), Each(IsNan()));
      EXPECT_THAT(focal.statistics[i].max, IsNan());
      continue;
    }
    EXPECT_EQ(focal.loss[i], expected.loss[i]);
    EXPECT_EQ(focal.statistics[i].max, expected.statistics[i].max);
    EXPECT_EQ(focal.statistics[i].log_sum, expected.statistics[i].log_sum);
    EXPECT_EQ(focal.statistics[i].target, expected.statistics[i].target);
    for (std::int64_t j = 0; j < 13; ++j) {
      EXPECT_DOUBLE_EQ(focal.gradient.at(static_cast<std::int64_t>(i), j),
                       expected.gradient.at(static_cast<std::int64_t>(i), j));
    }
  }
}

// With q = exp(-50): L = q^(gamma + 1) and L' = -(gamma + 1) q^(gamma + 1) for p_t = 1 - q, up to
// q^2; L = 50 and L' = -1 for p_t = q. exp(-gamma softplus) carries u/2 of its argument twice.
TEST(SoftmaxFocal, BothEndsAreExact) {
  for (const float gamma : {0.0f, 0.125f, 0.5f, 1.0f, 2.0f, 5.0f}) {
    const double q = std::exp(-50.0 * (gamma + 1.0)), error = (8 + 2 * 50 * gamma) * kUnit;
    const softmax_focal_call<double> call({{50, 0}, {0, 50}}, labels64{0, 0},
                                          {.reduction = reduction::none, .gamma = gamma});
    EXPECT_NEAR(call.loss[0], q, error * q);
    EXPECT_NEAR(call.gradient.at(0, 0), -(gamma + 1) * q, error * (gamma + 1) * q);
    EXPECT_NEAR(call.gradient.at(0, 1), (gamma + 1) * q, error * (gamma + 1) * q);
    EXPECT_DOUBLE_EQ(call.loss[1], 50);
    EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), -1);
    EXPECT_DOUBLE_EQ(call.gradient.at(1, 1), 1);
  }
}

TEST(SoftmaxFocal, Limits) {
  const float alpha[] = {3, 3, 3};
  for (const float gamma :
       {0.0f, 1e-30f, 0.5f, 1.0f, 2.0f, 100.0f, std::numeric_limits<float>::max()}) {
    const softmax_focal_options options = {
        .reduction = reduction::none, .gamma = gamma, .alpha = {alpha, 3}};
    const softmax_focal_call<double> call(
        {{1e4, 0, 0}, {0, -kInfinity, -kInfinity}, {-kInfinity, 1, 1}, {-1e4, 1, -kInfinity}},
        labels64{0, 0, 0, 0}, options);
    for (const std::size_t i : {0U, 1U}) {  // p_t = 1
      EXPECT_EQ(call.loss[i], 0);
      EXPECT_THAT(call.gradient.row(static_cast<std::int64_t>(i)), Each(0));
    }
    EXPECT_EQ(call.loss[2], kInfinity);  // p_t = 0
    EXPECT_THAT(call.gradient.row(2), ::testing::ElementsAre(-3, 1.5, 1.5));
    EXPECT_EQ(call.loss[3], 3 * 10001.0);
    EXPECT_THAT(call.gradient.row(3), ::testing::ElementsAre(-3, 3, 0));
  }
  const softmax_focal_call<double> one({{-5}}, labels64{0}, {});
  EXPECT_EQ(one.loss[0], 0);
  EXPECT_EQ(one.gradient.at(0, 0), 0);
}

TEST(SoftmaxFocal, BadRowsAreNanAndNoOther) {
  const float zero[] = {0, 0, 0};
  for (const auto& bad : rows_of_logits{{1, kNan, 0},
                                        {kNan, 0, 0},
                                        {kInfinity, 1, 0},
                                        {1, kInfinity, 0},
                                        {-kInfinity, -kInfinity, -kInfinity}}) {
    const softmax_focal_call<float> call({{1, 2, 3}, bad}, labels64{0, 0},
                                         {.reduction = reduction::none, .gamma = 0.5f});
    EXPECT_GT(call.loss[0], 0);
    EXPECT_THAT(call.loss[1], IsNan());
    EXPECT_THAT(call.gradient.row(1), Each(IsNan()));
    // alpha = 0 makes 0 of what is infinite, not of what is NaN
    const softmax_focal_call<float> by_zero({{-kInfinity, 2, 3}, bad}, labels64{0, 0},
                                            {.reduction = reduction::none, .alpha = {zero, 3}});
    EXPECT_EQ(by_zero.loss[0], 0);
    EXPECT_THAT(by_zero.gradient.row(0), Each(0));
    EXPECT_THAT(by_zero.loss[1], IsNan());
  }
}

TEST(SoftmaxFocal, DivisorOfZero) {
  const softmax_focal_call<float> zero(kLogits, labels64{-100, -100, -100}, {});
  EXPECT_EQ(zero.loss[0], 0);
  const softmax_focal_call<float> nan({{0, 1}, {0, 1}}, labels64{-100, 1},
                                      {.normalizer = 0, .empty = empty_batch::nan});
  EXPECT_THAT(nan.loss[0], IsNan());
  EXPECT_THAT(nan.gradient.row(0), Each(0));
  EXPECT_THAT(nan.gradient.row(1), Each(IsNan()));
  EXPECT_THAT(softmax_focal_call<float>({}, {}, {.empty = empty_batch::nan}).loss[0], IsNan());
}

}  // namespace
}  // namespace culoss_test
