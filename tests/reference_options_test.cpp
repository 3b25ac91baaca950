// The options z_loss and softcap of cross-entropy and its outputs z_loss and entropy, on the CPU:
// against values worked out by hand, and all options at once against the parts.
#include <gmock/gmock.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cross_entropy_options;
using culoss::empty_batch;
using culoss::reduction;
using ::testing::Each;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;

// Rows with p = (1/2, 1/2), (1/4, 3/4) and (1/4, 3/4).
const double kLog2 = std::log(2.0), kLog3 = std::log(3.0), kLog4 = std::log(4.0);
const rows_of_logits kLogits = {{0, 0}, {0, kLog3}, {0, kLog3}};
const labels64 kLabels = {0, 0, 1};

TEST(ZLoss, AddsTheSquareOfLse) {
  const float row_weights[] = {1, 0.5f, 2};
  const cross_entropy_options options = {
      .reduction = reduction::none, .z_loss = 0.25f, .row_weights = {row_weights, 3}};
  const cross_entropy_call<double> call(kLogits, kLabels, options);
  const double lse[] = {kLog2, kLog4, kLog4}, ce[] = {kLog2, kLog4, kLog4 - kLog3};
  const double p[] = {0.5, 0.25, 0.25};
  for (std::size_t i = 0; i < 3; ++i) {
    const double z_loss = row_weights[i] * 0.25 * lse[i] * lse[i];
    EXPECT_DOUBLE_EQ(call.z_loss[i], z_loss);
    EXPECT_DOUBLE_EQ(call.loss[i], row_weights[i] * ce[i] + z_loss);
    const double onehot = kLabels[i] == 0 ? 1 : 0;
    EXPECT_DOUBLE_EQ(call.gradient.at(static_cast<std::int64_t>(i), 0),
                     row_weights[i] * (p[i] - onehot + 2 * 0.25 * lse[i] * p[i]));
  }
}

// The part of the loss is reduced as the loss is.
TEST(ZLoss, IsReducedAsTheLoss) {
  const float w[] = {2, 3};
  const double sum = 0.5 * (kLog2 * kLog2 + 2 * kLog4 * kLog4);
  const cross_entropy_call<double> mean(kLogits, kLabels,
                                        {.z_loss = 0.5f, .class_weights = {w, 2}});
  EXPECT_DOUBLE_EQ(mean.z_loss[0], sum / (2 + 2 + 3));
  const cross_entropy_call<double> total(kLogits, kLabels,
                                         {.reduction = reduction::sum, .z_loss = 0.5f});
  EXPECT_DOUBLE_EQ(total.z_loss[0], sum);
  EXPECT_DOUBLE_EQ(total.loss[0], sum + kLog2 + 2 * kLog4 - kLog3);
  const cross_entropy_call<double> ignored(
      {kLogits[0], {kNan, 0}, kLogits[1]}, labels64{0, -100, 0},
      {.reduction = reduction::sum, .z_loss = 0.5f, .normalizer = 4});
  EXPECT_DOUBLE_EQ(ignored.z_loss[0], 0.5 * (kLog2 * kLog2 + kLog4 * kLog4) / 4);
  const labels64 nobody = {-100, -100, -100};
  const cross_entropy_call<double> zero(kLogits, nobody, {.z_loss = 0.5f});
  EXPECT_EQ(zero.z_loss[0], 0);
  const cross_entropy_call<double> nan(kLogits, nobody,
                                       {.z_loss = 0.5f, .empty = empty_batch::nan});
  EXPECT_THAT(nan.z_loss[0], IsNan());
}

TEST(ZLoss, OfRowsThatDoNotCountOrAreNone) {
  const cross_entropy_call<float> call({{0, 1}, {0, 1}, {0, kNan}, {0, kInfinity}},
                                       labels64{-100, 2, 0, 0},
                                       {.reduction = reduction::none, .z_loss = 0.5f});
  EXPECT_EQ(call.z_loss[0], 0);
  EXPECT_EQ(call.entropy[0], 0);
  for (const std::size_t i : {1U, 2U, 3U}) {
    EXPECT_THAT(call.loss[i], IsNan());
    EXPECT_THAT(call.z_loss[i], IsNan());
    EXPECT_THAT(call.entropy[i], IsNan());
  }
  // The target's -inf is in no lse.
  const cross_entropy_call<double> masked({{0, -kInfinity, 0}}, labels64{1},
                                          {.reduction = reduction::none, .z_loss = 0.5f});
  EXPECT_EQ(masked.loss[0], kInfinity);
  EXPECT_DOUBLE_EQ(masked.z_loss[0], 0.5 * kLog2 * kLog2);
  EXPECT_DOUBLE_EQ(masked.gradient.at(0, 0), 0.5 + 2 * 0.5 * kLog2 * 0.5);
  EXPECT_EQ(masked.gradient.at(0, 1), -1);
}

// With c = 2 and x = 2 atanh(y / 2) the capped logits are y, and cap' is 1 - (y / 2)^2.
TEST(Softcap, IsThatOfTheCappedLogits) {
  const double x = 2 * std::atanh(kLog3 / 2), slope = 1 - kLog3 * kLog3 / 4;
  for (const float t : {1.0f, 0.5f}) {
    const double p = std::exp(kLog3 / t) / (1 + std::exp(kLog3 / t));
    const cross_entropy_call<double> call(
        {{0, x}}, labels64{1}, {.reduction = reduction::none, .temperature = t, .softcap = 2});
    EXPECT_DOUBLE_EQ(call.loss[0], -std::log(p));
    EXPECT_DOUBLE_EQ(call.lse[0], kLog3 / t - std::log(p));
    EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), (1 - p) / t);
    EXPECT_DOUBLE_EQ(call.gradient.at(0, 1), -slope * (1 - p) / t);
    EXPECT_EQ(call.statistics[0].max, 0);
    EXPECT_EQ(call.statistics[0].target, x);  // raw
    const cross_entropy_call<double> other(
        {{0, x}}, labels64{0}, {.reduction = reduction::none, .temperature = t, .softcap = 2});
    EXPECT_DOUBLE_EQ(other.statistics[0].max, kLog3);  // capped
  }
}

// tanh(40) rounds to 1, and 1 - tanh^2(40) to 0; the gradient is 4 exp(-80) times something.
TEST(Softcap, SlopeOfSaturatedLogits) {
  const double p = 1 / (1 + std::exp(-1.0));
  for (const double sign : {1.0, -1.0}) {
    const cross_entropy_call<double> call({{sign * 40, 0}}, labels64{0},
                                          {.reduction = reduction::none, .softcap = 1});
    const double g = (sign > 0 ? p : 1 - p) - 1;
    EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), g * 4 * std::exp(-80.0));
    EXPECT_DOUBLE_EQ(call.gradient.at(0, 1), -g);
  }
}

// Equal to the bit with the capped logits in the place of the logits, but for the chain rule.
TEST(Softcap, EqualsACallOnCappedLogits) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 4);
  const float c = 2.5f;
  rows_of_logits x(6, std::vector<double>(9)), y = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < 9; ++j) {
      x[i][j] = (i + j) % 5 == 4 ? -kInfinity : normal(random);
      y[i][j] = std::isinf(x[i][j]) ? x[i][j] : c * std::tanh(x[i][j] / c);
    }
  }
  const labels64 labels = {0, 1, 3, 5, -100, 8};
  const cross_entropy_options plain = {
      .reduction = reduction::none, .label_smoothing = 0.25f, .temperature = 0.5f, .z_loss = 0.1f};
  cross_entropy_options with_cap = plain;
  with_cap.softcap = c;
  const cross_entropy_call<double> capped(x, labels, with_cap), expected(y, labels, plain);
  EXPECT_EQ(capped.loss, expected.loss);
  EXPECT_EQ(capped.z_loss, expected.z_loss);
  EXPECT_EQ(capped.lse, expected.lse);
  EXPECT_EQ(capped.entropy, expected.entropy);
  EXPECT_EQ(capped.argmax, expected.argmax);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(capped.statistics[i].max, expected.statistics[i].max);
    EXPECT_EQ(capped.statistics[i].log_sum, expected.statistics[i].log_sum);
    EXPECT_EQ(capped.statistics[i].weight, expected.statistics[i].weight);
    for (std::size_t j = 0; j < 9; ++j) {
      const auto row = static_cast<std::int64_t>(i), column = static_cast<std::int64_t>(j);
      const double cosh = std::isinf(x[i][j]) ? 1 : std::cosh(x[i][j] / c);
      EXPECT_DOUBLE_EQ(capped.gradient.at(row, column),
                       expected.gradient.at(row, column) / cosh / cosh);
    }
  }
}

// Ties among capped logits are none among the logits.
TEST(Softcap, ArgMaxIsOfTheLogits) {
  const cross_entropy_call<double> call({{100, 200, 150}}, labels64{1},
                                        {.reduction = reduction::none, .softcap = 1});
  EXPECT_EQ(call.argmax[0], 1);
  EXPECT_EQ(call.correct, 1);
}

// An infinite logit is finite behind tanh: what it makes of its row must not be.
TEST(SpecialValues, AreJudgedOnTheRawLogits) {
  for (const float softcap : {0.0f, 2.5f}) {
    for (const float z_loss : {0.0f, 0.3f}) {
      for (const float s : {0.0f, 0.25f}) {
        SCOPED_TRACE("softcap " + std::to_string(softcap) + " z_loss " + std::to_string(z_loss));
        const cross_entropy_options options = {.reduction = reduction::none,
                                               .label_smoothing = s,
                                               .softcap = softcap,
                                               .z_loss = z_loss};
        for (const auto& bad : rows_of_logits{{1, kInfinity, 0},
                                              {kInfinity, 1, 0},
                                              {1, kNan, 0},
                                              {kNan, 0, 1},
                                              {-kInfinity, -kInfinity, -kInfinity}}) {
          const cross_entropy_call<float> call({{1, 2, 3}, bad}, labels64{0, 0}, options);
          EXPECT_FALSE(std::isnan(call.loss[0]));
          EXPECT_THAT(call.gradient.row(0), Each(::testing::Not(IsNan())));
          EXPECT_THAT(call.loss[1], IsNan());
          EXPECT_THAT(call.lse[1], IsNan());
          EXPECT_THAT(call.entropy[1], IsNan());
          EXPECT_THAT(call.gradient.row(1), Each(IsNan()));
          for (const float v : {call.statistics[1].max, call.statistics[1].log_sum,
                                call.statistics[1].target, call.statistics[1].weight}) {
            EXPECT_THAT(v, IsNan());
          }
        }
      }
    }
  }
}

TEST(SpecialValues, MaskedColumnIsAsIfItWereNotThere) {
  for (const float softcap : {0.0f, 2.5f}) {
    const cross_entropy_options options = {
        .reduction = reduction::none, .softcap = softcap, .z_loss = 0.3f};
    const cross_entropy_call<double> masked({{1, -kInfinity, 2, -kInfinity, -3}}, labels64{2},
                                            options);
    const cross_entropy_call<double> without({{1, 2, -3}}, labels64{1}, options);
    EXPECT_EQ(masked.loss, without.loss);
    EXPECT_EQ(masked.z_loss, without.z_loss);
    EXPECT_EQ(masked.lse, without.lse);
    EXPECT_EQ(masked.entropy, without.entropy);
    EXPECT_EQ(masked.gradient.at(0, 0), without.gradient.at(0, 0));
    EXPECT_EQ(masked.gradient.at(0, 1), 0);
    EXPECT_EQ(masked.gradient.at(0, 2), without.gradient.at(0, 1));
    EXPECT_EQ(masked.gradient.at(0, 3), 0);
    EXPECT_EQ(masked.gradient.at(0, 4), without.gradient.at(0, 2));
  }
}

TEST(SpecialValues, MaskedTargetUnderACap) {
  const cross_entropy_call<double> call({{0, -kInfinity, 0}}, labels64{1},
                                        {.reduction = reduction::none, .softcap = 3});
  EXPECT_EQ(call.loss[0], kInfinity);
  EXPECT_EQ(call.gradient.at(0, 0), 0.5);
  EXPECT_EQ(call.gradient.at(0, 1), -1);  // a cap leaves -inf as it is, and so its slope
  EXPECT_EQ(call.gradient.at(0, 2), 0.5);
}

TEST(Entropy, OfTheSoftmaxOfTheRow) {
  const cross_entropy_call<double> call(kLogits, kLabels, {.reduction = reduction::none});
  EXPECT_DOUBLE_EQ(call.entropy[0], kLog2);
  EXPECT_DOUBLE_EQ(call.entropy[1], kLog4 - 0.75 * kLog3);
  EXPECT_EQ(call.entropy[1], call.entropy[2]);  // whatever the label
  const cross_entropy_call<double> one({{5}, {-2}}, labels64{0, 0}, {});
  EXPECT_EQ(one.entropy[0], 0);
  EXPECT_EQ(one.entropy[1], 0);
}

// With q = exp(-40) the entropy is q (1 + 40), up to q^2: relatively exact in confident rows, and
// the same at any common offset.
TEST(Entropy, OfConfidentRows) {
  for (const double offset : {0.0, 1e3, 0x1p40}) {
    const cross_entropy_call<double> call({{offset, offset + 40}}, labels64{1}, {});
    EXPECT_DOUBLE_EQ(call.entropy[0], 41 * std::exp(-40.0));
  }
}

// Every option, against the formula with probabilities that are known: p = 1/4, 3/4 behind the cap
// and the temperature.
TEST(CrossEntropy, AllOptionsAtOnce) {
  const float t = 0.5f, s = 0.25f, z = 0.5f, w[] = {2, 3}, row_weights[] = {0.5f, 9, 4}, c = 2;
  const double y = kLog3 * t, x = c * std::atanh(y / c), slope = 1 - y * y / (c * c);
  const double losses[] = {kLog4, kLog4 - kLog3}, p[] = {0.25, 0.75};
  const cross_entropy_call<double> call({{0, x}, {0, kNan}, {0, x}}, labels64{1, -1, 0},
                                        {.label_smoothing = s,
                                         .ignore_index = -1,
                                         .temperature = &t,
                                         .softcap = c,
                                         .z_loss = z,
                                         .class_weights = {w, 2},
                                         .row_weights = {row_weights, 3},
                                         .normalizer = 5,
                                         .upstream = -3});
  double loss = 0;
  for (const std::size_t i : {0U, 2U}) {
    const std::size_t target = i == 0 ? 1 : 0;
    const double smooth = s / 2 * (w[0] * losses[0] + w[1] * losses[1]);
    const double of_lse = z * kLog4 * kLog4;
    loss += row_weights[i] * ((1 - s) * w[target] * losses[target] + smooth + of_lse);
    for (const std::size_t j : {0U, 1U}) {
      const double g = (1 - s) * w[target] * (p[j] - (j == target ? 1 : 0)) +
                       s / 2 * (p[j] * (w[0] + w[1]) - w[j]) + 2 * z * kLog4 * p[j];
      const double expected = -3.0 * row_weights[i] / 5 / t * (j == 1 ? slope : 1) * g;
      EXPECT_DOUBLE_EQ(call.gradient.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)),
                       expected);
    }
  }
  EXPECT_DOUBLE_EQ(call.loss[0], loss / 5);
  EXPECT_DOUBLE_EQ(call.z_loss[0], 4.5 * z * kLog4 * kLog4 / 5);
  EXPECT_THAT(call.gradient.row(1), Each(0));
}

}  // namespace
}  // namespace culoss_test
