// Sigmoid focal loss on the CPU: against values worked out by hand, against softmax focal, and its
// limits. The rules stand in culoss/focal.hpp.
#include <gmock/gmock.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/complex_step.hpp"
#include "tests/reference_classes_call.hpp"

namespace culoss_test {
namespace {

using culoss::empty_batch;
using culoss::focal_mean;
using culoss::reduction;
using culoss::sigmoid_focal_options;
using ::testing::Each;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;
const double kLog2 = std::log(2.0), kLog3 = std::log(3.0), kLog4 = std::log(4.0);

// x = log 3, sg(x) = 3/4, sp(x) = log 4, sp(-x) = log 4 - log 3; gamma = 2.
TEST(SigmoidFocal, Elements) {
  const float row_weight = 2, upstream = 5;
  for (const float alpha : {-1.0f, 0.25f}) {
    const sigmoid_focal_call<double> call({{kLog3, kLog3, kLog3}}, rows_of_logits{{1, 0, 0.5}},
                                          {.reduction = reduction::none,
                                           .alpha = alpha,
                                           .row_weights = {&row_weight, 1},
                                           .upstream = upstream});
    const double a[] = {alpha < 0 ? 1 : 0.25, alpha < 0 ? 1 : 0.75, alpha < 0 ? 1 : 0.5};
    const double slope = alpha < 0 ? 0 : -0.5;  // of a by t
    const double u[] = {0.25, 0.75, 0.5};
    const double bce[] = {kLog4 - kLog3, kLog4, kLog4 - kLog3 / 2};
    // d u / d x = (1 - 2 t) 3/16, d BCE / d x = sg(x) - t
    const double u_by_x[] = {-3.0 / 16, 3.0 / 16, 0}, bce_by_x[] = {-0.25, 0.75, 0.25};
    for (std::size_t j = 0; j < 3; ++j) {
      const auto column = static_cast<std::int64_t>(j);
      EXPECT_DOUBLE_EQ(call.losses.at(0, column), 2 * a[j] * u[j] * u[j] * bce[j]);
      EXPECT_DOUBLE_EQ(call.grad_logits.at(0, column),
                       10 * a[j] * (2 * u[j] * u_by_x[j] * bce[j] + u[j] * u[j] * bce_by_x[j]));
      // d u / d t = sg(-x) - sg(x) = -1/2, d BCE / d t = -x
      const double by_t =
          slope * u[j] * u[j] * bce[j] + a[j] * (2 * u[j] * -0.5 * bce[j] - u[j] * u[j] * kLog3);
      EXPECT_DOUBLE_EQ(call.grad_targets.at(0, column), 10 * by_t);
    }
  }
}

// At x = 0 each element with gamma 1 and no alpha is log 2 / 2, whatever its target.
TEST(SigmoidFocal, Reductions) {
  const rows_of_logits x(2, std::vector<double>(3)), t = {{1, 0, 0.5}, {0, 0, 1}};
  const float row_weights[] = {1, 4}, five = 5;
  sigmoid_focal_options options = {
      .gamma = 1, .alpha = -1, .row_weights = {row_weights, 2}, .upstream = -2};
  const double sum = 15 * kLog2 / 2;
  const sigmoid_focal_call<double> mean(x, t, options);
  EXPECT_DOUBLE_EQ(mean.loss, sum / 6);
  // (1/2) (sg(0) - t) + log 2 (1 - 2 t) / 4
  EXPECT_DOUBLE_EQ(mean.grad_logits.at(1, 0), -2 * 4 * (0.25 + kLog2 / 4) / 6);
  options.reduction = reduction::sum;
  EXPECT_DOUBLE_EQ(sigmoid_focal_call<double>(x, t, options).loss, sum);
  options.normalizer = &five;
  EXPECT_DOUBLE_EQ(sigmoid_focal_call<double>(x, t, options).loss, sum / 5);
}

TEST(SigmoidFocal, DivisorOfZero) {
  for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
    const sigmoid_focal_options options = {.normalizer = 0, .empty = empty};
    const sigmoid_focal_call<double> call({{1}}, rows_of_logits{{0.5}}, options);
    const sigmoid_focal_call<double> labels({{1}, {1}}, labels64{1, -100},
                                            {.mean_over = focal_mean::positives, .empty = empty});
    const sigmoid_focal_call<double> nothing({{}, {}}, rows_of_logits{{}, {}}, {.empty = empty});
    const bool nan = empty == empty_batch::nan;
    for (const double v : {call.loss, call.grad_logits.at(0, 0), call.grad_targets.at(0, 0),
                           labels.loss, labels.grad_logits.at(0, 0), nothing.loss}) {
      EXPECT_TRUE(nan ? std::isnan(v) : v == 0) << v;
    }
    EXPECT_EQ(labels.grad_logits.at(1, 0), 0);
    EXPECT_EQ(labels.positives, 0);
  }
}

// Of the logits (x, 0) the margin is x: with target 0 the loss is that of the element x with
// target 1, with target 1 that with target 0.
TEST(SigmoidFocal, IsTheSoftmaxFocalOfTwoClasses) {
  for (const double x : {-60.0, -3.0, -0.5, 0.0, 1.0, 20.0, 700.0}) {
    for (const float gamma : {0.0f, 0.5f, 1.0f, 2.0f, 5.0f}) {
      const sigmoid_focal_call<double> sigmoid(
          {{x, x}}, rows_of_logits{{1, 0}},
          {.reduction = reduction::none, .gamma = gamma, .alpha = -1});
      for (const std::int64_t target : {0, 1}) {
        const softmax_focal_call<double> softmax({{x, 0}}, labels64{target},
                                                 {.reduction = reduction::none, .gamma = gamma});
        EXPECT_DOUBLE_EQ(softmax.loss[0], sigmoid.losses.at(0, target));
        EXPECT_DOUBLE_EQ(softmax.gradient.at(0, 0), sigmoid.grad_logits.at(0, target));
      }
    }
  }
}

// The limits at infinity are what very large logits come to: the gradient by x is constant there,
// the value and the gradient by t are a multiple of |x| or 0.
TEST(SigmoidFocal, InfiniteLogits) {
  const rows_of_logits targets = {{0, 0.25, 0.5, 1}};
  const auto limit = [](double at_1e9) {
    return std::fabs(at_1e9) > 1 ? std::copysign(kInfinity, at_1e9) : at_1e9;
  };
  for (const double sign : {1.0, -1.0}) {
    for (const float gamma : {0.0f, 0.5f, 1.0f, 2.0f, 5.0f}) {
      for (const float alpha : {-1.0f, 0.0f, 0.25f, 1.0f}) {
        SCOPED_TRACE("sign " + std::to_string(sign) + " gamma " + std::to_string(gamma) +
                     " alpha " + std::to_string(alpha));
        const sigmoid_focal_options options = {
            .reduction = reduction::none, .gamma = gamma, .alpha = alpha};
        const auto at = [&](double x) {
          return sigmoid_focal_call<double>({std::vector<double>(4, x)}, targets, options);
        };
        const auto large = at(sign * 1e9), infinite = at(sign * kInfinity);
        for (std::int64_t j = 0; j < 4; ++j) {
          EXPECT_EQ(infinite.losses.at(0, j), limit(large.losses.at(0, j))) << j;
          EXPECT_EQ(infinite.grad_logits.at(0, j), large.grad_logits.at(0, j)) << j;
          EXPECT_EQ(infinite.grad_targets.at(0, j), limit(large.grad_targets.at(0, j))) << j;
        }
      }
    }
  }
}

TEST(SigmoidFocal, LimitsByHand) {
  const sigmoid_focal_call<float> call({{kInfinity, -kInfinity, kInfinity, -kInfinity}},
                                       rows_of_logits{{1, 0, 0, 1}},
                                       {.reduction = reduction::none, .gamma = 0.5f});
  EXPECT_THAT(call.losses.row(0), ::testing::ElementsAre(0, 0, kInfinity, kInfinity));
  EXPECT_THAT(call.grad_logits.row(0), ::testing::ElementsAre(0, 0, 0.75, -0.25));
  // |x| times the derivative of a_t t^1.5 at t = 1, 1.5 alpha + (2 alpha - 1) < 0; likewise at 0
  EXPECT_THAT(call.grad_targets.row(0), ::testing::ElementsAre(0, 0, -kInfinity, -kInfinity));
  // BCE by t is -x, for both targets.
  const sigmoid_focal_call<float> bce({{kInfinity, -kInfinity}}, rows_of_logits{{1, 0}},
                                      {.reduction = reduction::none, .gamma = 0, .alpha = -1});
  EXPECT_THAT(bce.losses.row(0), Each(0));
  EXPECT_THAT(bce.grad_targets.row(0), ::testing::ElementsAre(-kInfinity, kInfinity));
  const float zero = 0;
  const sigmoid_focal_call<float> weightless(
      {{kInfinity, kNan}}, rows_of_logits{{0, 0}},
      {.reduction = reduction::none, .row_weights = {&zero, 1}});
  EXPECT_EQ(weightless.losses.at(0, 0), 0);
  EXPECT_EQ(weightless.grad_targets.at(0, 0), 0);
  EXPECT_THAT(weightless.losses.at(0, 1), IsNan());
}

TEST(SigmoidFocal, NanStaysInItsElement) {
  for (const float gamma : {0.0f, 0.5f, 2.0f}) {
    const sigmoid_focal_call<float> call({{1, kNan, 1, kInfinity}, {0, 0, 0, 0}},
                                         rows_of_logits{{0, 1, kNan, kNan}, {0, 0, 0, 0}},
                                         {.reduction = reduction::none, .gamma = gamma});
    for (std::int64_t j = 0; j < 4; ++j) {
      EXPECT_EQ(std::isnan(call.losses.at(0, j)), j > 0) << j;
      EXPECT_EQ(std::isnan(call.grad_logits.at(0, j)), j > 0) << j;
      EXPECT_EQ(std::isnan(call.grad_targets.at(0, j)), j > 0) << j;
      EXPECT_FALSE(std::isnan(call.losses.at(1, j)));
    }
  }
}

// With q = exp(-700) an element that is right has L = q^(gamma + 1) = (gamma + 1) dL / d(-x), where
// neither 1 - p nor its powers round to 0; exp(gamma log u) carries u/2 of its argument.
TEST(SigmoidFocal, ConfidentElementsAreRelativelyExact) {
  for (const double x : {40.0, 300.0}) {
    for (const float gamma : {0.0f, 0.25f, 1.0f}) {
      const sigmoid_focal_call<double> call(
          {{x, -x}}, rows_of_logits{{1, 0}},
          {.reduction = reduction::none, .gamma = gamma, .alpha = -1});
      const double q = std::exp(-x * (gamma + 1.0)), error = (8 + 2 * x * gamma) * kUnit;
      for (const std::int64_t j : {0, 1}) {
        EXPECT_NEAR(call.losses.at(0, j), q, error * q);
        const double g = (j == 0 ? -1.0 : 1.0) * (gamma + 1) * q;
        EXPECT_NEAR(call.grad_logits.at(0, j), g, error * std::fabs(g));
      }
    }
  }
}

// (1 - p_t)^gamma where 1 - p_t rounds away most of p_t, or all of it, and gamma brings it back.
TEST(SigmoidFocal, LargeGamma) {
  const double gamma = 0x1p30, t = 0x1p-30, small = std::exp(-40.0) / (1 + std::exp(-40.0));
  const sigmoid_focal_call<double> call(
      {{40, 40, 40}}, rows_of_logits{{t, 0, 1 - t}},
      {.reduction = reduction::none, .gamma = static_cast<float>(gamma), .alpha = -1});
  const double p = t * (1 - small) + (1 - t) * small, of_bce = 40 + std::log1p(std::exp(-40.0));
  EXPECT_DOUBLE_EQ(call.losses.at(0, 0), std::exp(gamma * std::log1p(-p)) * (of_bce - t * 40));
  EXPECT_DOUBLE_EQ(call.losses.at(0, 1), std::exp(-gamma * small) * of_bce);
  EXPECT_EQ(call.losses.at(0, 2), 0);
}

// Labels are one-hot targets to the bit, but for the rows that have none.
TEST(SigmoidFocalLabels, AreOneHotTargets) {
  constexpr std::int64_t kCols = 5;
  std::mt19937 random(9);
  std::normal_distribution<double> normal(0, 3);
  rows_of_logits x(6, std::vector<double>(kCols));
  for (auto& row : x) {
    for (double& v : row) v = normal(random);
  }
  x[1] = std::vector<double>(kCols, kNan);
  struct {
    std::int64_t background, ignore;
    labels64 labels;
    std::vector<std::int64_t> hot;  // -1: no class, -2: ignored, -3: bad
    std::int64_t positives;
  } cases[] = {
      {sigmoid_focal_options::kAfterLastClass,
       -100,
       {0, -100, 4, 5, 6, -1},
       {0, -2, 4, -1, -3, -3},
       2},
      {-1, -100, {-1, -100, 4, 5, 2, -1}, {-1, -2, 4, -3, 2, -1}, 2},
      {3, 0, {3, 0, 2, 1, 3, 5}, {-1, -2, 2, 1, -1, -3}, 2},
      {-7, -7, {-7, -7, 1, -7, 2, 3}, {-2, -2, 1, -2, 2, 3}, 3},  // ignored stands before
      {sigmoid_focal_options::kAfterLastClass, 5, {5, 5, 0, 1, 2, 3}, {-2, -2, 0, 1, 2, 3}, 4},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE("background " + std::to_string(c.background));
    rows_of_logits targets(6, std::vector<double>(kCols));
    std::int64_t counted = 0;
    std::uint64_t bad = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      if (c.hot[i] >= 0) targets[i][static_cast<std::size_t>(c.hot[i])] = 1;
      counted += c.hot[i] == -2 ? 0 : 1;
      bad += c.hot[i] == -3 ? 1 : 0;
    }
    sigmoid_focal_options options = {.reduction = reduction::none,
                                     .gamma = 1.5f,
                                     .background = c.background,
                                     .ignore_index = c.ignore};
    const sigmoid_focal_call<double> call(x, c.labels, options), expected(x, targets, options);
    EXPECT_EQ(call.positives, c.positives);
    EXPECT_EQ(call.record.count, bad);
    double sum = 0;
    for (std::int64_t i = 0; i < 6; ++i) {
      const std::int64_t hot = c.hot[static_cast<std::size_t>(i)];
      if (hot == -3) {
        EXPECT_THAT(call.losses.row(i), Each(IsNan()));
        EXPECT_THAT(call.grad_logits.row(i), Each(IsNan()));
      } else if (hot == -2) {
        for (const double v : call.losses.row(i)) EXPECT_TRUE(v == 0 && !std::signbit(v));
        for (const double v : call.grad_logits.row(i)) EXPECT_TRUE(v == 0 && !std::signbit(v));
      } else {
        EXPECT_EQ(call.losses.row(i), expected.losses.row(i));
        EXPECT_EQ(call.grad_logits.row(i), expected.grad_logits.row(i));
        for (const double v : call.losses.row(i)) sum += v;
      }
    }
    // What a mean divides by: bad labels count as elements, and are no positives.
    for (const focal_mean over : {focal_mean::elements, focal_mean::positives}) {
      options.reduction = reduction::mean;
      options.mean_over = over;
      const double divisor =
          static_cast<double>(over == focal_mean::elements ? counted * kCols : c.positives);
      const sigmoid_focal_call<double> mean(x, c.labels, options);
      EXPECT_EQ(std::isnan(mean.loss), bad > 0);
      if (bad == 0) {
        EXPECT_NEAR(mean.loss, sum / divisor, 32 * kUnit * mean.loss);  // 30 elements
      }
      EXPECT_DOUBLE_EQ(mean.grad_logits.at(2, 0), call.grad_logits.at(2, 0) / divisor);
    }
  }
}

}  // namespace
}  // namespace culoss_test
