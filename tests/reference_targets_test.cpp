// Cross-entropy with target probabilities on the CPU: against values worked out by hand, against
// the call with labels, and its special values. The rules stand in culoss/cross_entropy.hpp.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <culoss/culoss.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/complex_step.hpp"
#include "tests/reference_classes_call.hpp"

namespace culoss_test {
namespace {

using culoss::cross_entropy_options;
using culoss::empty_batch;
using culoss::matrix;
using culoss::reduction;
using ::testing::Each;
using ::testing::IsNan;

constexpr cross_entropy_options kNone = {.reduction = reduction::none};
const double kLog2 = std::log(2.0), kLog3 = std::log(3.0), kLog4 = std::log(4.0);
// p = 1/4, 3/4, and what -log p is
const std::vector<double> kRow = {0, kLog3};
const double kLosses[] = {kLog4, kLog4 - kLog3};

TEST(Targets, None) {
  const float row_weights[] = {1, 0.5f}, upstream[] = {3, -2};
  const rows_of_logits q = {{0.25, 0.75}, {2, -1}};
  const soft_call<double> call({kRow, kRow}, q,
                               {.reduction = reduction::none,
                                .row_weights = {row_weights, 2},
                                .upstream_rows = {upstream, 2}});
  for (const std::size_t i : {0U, 1U}) {
    const auto row = static_cast<std::int64_t>(i);
    EXPECT_DOUBLE_EQ(call.loss[i], row_weights[i] * (q[i][0] * kLosses[0] + q[i][1] * kLosses[1]));
    const double scale = upstream[i] * row_weights[i], sum = q[i][0] + q[i][1];
    EXPECT_NEAR(call.grad_logits.at(row, 0), scale * (sum / 4 - q[i][0]),
                std::fabs(scale) * 4 * kUnit);
    EXPECT_NEAR(call.grad_logits.at(row, 1), scale * (sum * 3 / 4 - q[i][1]),
                std::fabs(scale) * 4 * kUnit);
    EXPECT_DOUBLE_EQ(call.grad_targets.at(row, 0), scale * kLosses[0]);
    EXPECT_DOUBLE_EQ(call.grad_targets.at(row, 1), scale * kLosses[1]);
    EXPECT_DOUBLE_EQ(call.lse[i], kLog4);
    EXPECT_DOUBLE_EQ(call.entropy[i], kLog4 - 0.75 * kLog3);
    EXPECT_EQ(call.argmax[i], 1);
    EXPECT_EQ(call.statistics[i].max, kLog3);
    EXPECT_DOUBLE_EQ(call.statistics[i].log_sum, kLog4 - kLog3);
    EXPECT_EQ(call.statistics[i].target, 0);
    EXPECT_EQ(call.statistics[i].weight, sum);
  }
}

// A mean is over the rows, whatever the weights are.
TEST(Targets, MeanSumAndNormalizer) {
  const float w[] = {2, 3}, row_weights[] = {1, 0.5f};
  const rows_of_logits q = {{1, 0}, {0, 1}};
  const double sum = 2 * kLosses[0] + 0.5 * 3 * kLosses[1];
  cross_entropy_options options = {.class_weights = {w, 2}, .row_weights = {row_weights, 2}};
  EXPECT_DOUBLE_EQ(soft_call<double>({kRow, kRow}, q, options).loss[0], sum / 2);
  options.reduction = reduction::sum;
  EXPECT_DOUBLE_EQ(soft_call<double>({kRow, kRow}, q, options).loss[0], sum);
  options.normalizer = 8;
  const soft_call<double> call({kRow, kRow}, q, options);
  EXPECT_DOUBLE_EQ(call.loss[0], sum / 8);
  EXPECT_DOUBLE_EQ(call.grad_logits.at(0, 0), 2 * (0.25 - 1) / 8);
  EXPECT_DOUBLE_EQ(call.grad_targets.at(1, 1), 0.5 * 3 * kLosses[1] / 8);
}

TEST(Targets, DivisorOfZero) {
  for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
    const soft_call<double> call({kRow}, {{1, 0}}, {.normalizer = 0, .empty = empty});
    const soft_call<double> nothing({}, {}, {.empty = empty});
    if (empty == empty_batch::nan) {
      EXPECT_THAT(call.loss[0], IsNan());
      EXPECT_THAT(call.grad_logits.row(0), Each(IsNan()));
      EXPECT_THAT(call.grad_targets.row(0), Each(IsNan()));
      EXPECT_THAT(nothing.loss[0], IsNan());
    } else {
      EXPECT_EQ(call.loss[0], 0);
      EXPECT_THAT(call.grad_logits.row(0), Each(0));
      EXPECT_THAT(call.grad_targets.row(0), Each(0));
      EXPECT_EQ(nothing.loss[0], 0);
    }
  }
}

rows_of_logits random_rows(std::size_t rows, std::size_t cols, double deviation, double mean) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal(mean, deviation);
  rows_of_logits x(rows, std::vector<double>(cols));
  for (auto& row : x) {
    for (double& v : row) v = normal(random);
  }
  return x;
}

// One-hot targets are labels, but for what a mean divides by. The row's error in each of the two
// ways is that of -log p, times the weights.
TEST(Targets, OneHotEqualsLabels) {
  constexpr std::size_t kRows = 5, kCols = 7;
  rows_of_logits x = random_rows(kRows, kCols, 3, 0), q(kRows, std::vector<double>(kCols));
  x[1][0] = x[1][6] = -kInfinity;
  const float w[] = {1, 2, 0.5f, 4, 0.25f, 3, 1};
  const std::vector<std::int64_t> labels = {0, 2, 6, 3, 3};
  for (std::size_t i = 0; i < kRows; ++i) q[i][static_cast<std::size_t>(labels[i])] = 1;
  for (const float s : {0.0f, 0.25f, 1.0f}) {
    for (const float softcap : {0.0f, 4.0f}) {
      const cross_entropy_options options = {.reduction = reduction::none,
                                             .label_smoothing = s,
                                             .temperature = 0.5f,
                                             .softcap = softcap,
                                             .z_loss = 0.125f,
                                             .class_weights = {w, kCols}};
      const soft_call<double> soft(x, q, options);
      const cross_entropy_call<double> hard(x, labels, options);
      EXPECT_EQ(soft.entropy, hard.entropy);
      EXPECT_EQ(soft.argmax, hard.argmax);
      for (std::size_t i = 0; i < kRows; ++i) {
        const double error = error_of_probability(x[i], 0.5) + kCols * kUnit;
        const double lse = hard.lse[i], weights = 12;  // at least the sum of w_j q'_j
        EXPECT_NEAR(soft.lse[i], lse, 2 * (error + kUnit * std::fabs(lse)));
        EXPECT_NEAR(soft.loss[i], hard.loss[i],
                    2 * (weights + std::fabs(lse)) * error + 8 * kUnit * hard.loss[i]);
        for (std::int64_t j = 0; j < static_cast<std::int64_t>(kCols); ++j) {
          EXPECT_NEAR(soft.grad_logits.at(static_cast<std::int64_t>(i), j),
                      hard.gradient.at(static_cast<std::int64_t>(i), j),
                      2 * 2 * error * (2 * weights + std::fabs(lse)));
        }
      }
    }
  }
}

// Smoothing within and before the call: the same to the bit.
TEST(Targets, SmoothedBeforehand) {
  constexpr std::int64_t kRows = 4, kCols = 6;
  const rows_of_logits x = random_rows(kRows, kCols, 2, 0), q = random_rows(kRows, kCols, 1, 0.2);
  const float w[] = {1, 2, 0.5f, 4, 0.25f, 3};
  for (const float s : {0.0f, 0.1f, 1.0f}) {
    host_matrix<double> targets(q, kCols), smoothed(kRows, kCols), back(kRows, kCols);
    ASSERT_TRUE(
        culoss::smooth_labels(culoss::cpu{}, targets.view(), smoothed.view(), {.smoothing = s})
            .ok());
    rows_of_logits smoothed_rows;
    for (std::int64_t i = 0; i < kRows; ++i) smoothed_rows.push_back(smoothed.row(i));
    cross_entropy_options options = {
        .reduction = reduction::none, .z_loss = 0.5f, .class_weights = {w, kCols}};
    soft_call<double> before(x, smoothed_rows, options);
    options.label_smoothing = s;
    const soft_call<double> within(x, q, options);
    EXPECT_EQ(within.loss, before.loss);
    EXPECT_EQ(within.grad_logits.storage(), before.grad_logits.storage());
    ASSERT_TRUE(culoss::smooth_labels_backward(culoss::cpu{}, before.grad_targets.view(),
                                               back.view(), {.smoothing = s})
                    .ok());
    for (std::int64_t i = 0; i < kRows; ++i) {
      EXPECT_EQ(within.statistics[static_cast<std::size_t>(i)].weight,
                before.statistics[static_cast<std::size_t>(i)].weight);
      for (std::int64_t j = 0; j < kCols; ++j) {
        EXPECT_DOUBLE_EQ(within.grad_targets.at(i, j), back.at(i, j));
      }
    }
  }
}

TEST(TargetsSpecialValues, TargetsAtMaskedColumns) {
  // C = 3, p = 1/2, 1/2, 0
  const rows_of_logits x = {{1, 1, -kInfinity}};
  const soft_call<double> zero(x, {{0.5, 0.5, 0}}, kNone);
  EXPECT_DOUBLE_EQ(zero.loss[0], kLog2);
  EXPECT_EQ(zero.grad_logits.at(0, 2), 0);
  EXPECT_EQ(zero.grad_targets.at(0, 2), 0);
  EXPECT_DOUBLE_EQ(zero.grad_targets.at(0, 0), kLog2);

  const soft_call<double> positive(x, {{0.5, 0.25, 0.25}}, kNone);
  EXPECT_EQ(positive.loss[0], kInfinity);
  EXPECT_EQ(positive.grad_targets.at(0, 2), kInfinity);
  EXPECT_THAT(positive.grad_logits.row(0), ::testing::ElementsAre(0, 0.25, -0.25));
  const soft_call<double> capped({{0, 0, -kInfinity}}, {{0.5, 0.25, 0.25}},
                                 {.reduction = reduction::none, .softcap = 2});
  EXPECT_EQ(capped.loss[0], kInfinity);
  EXPECT_EQ(capped.grad_targets.at(0, 2), kInfinity);
  EXPECT_THAT(capped.grad_logits.row(0), ::testing::ElementsAre(0, 0.25, -0.25));

  // Smoothing adds s / C = 1/6 to the others only, and 1 - s = 0 asks for nothing of q.
  const soft_call<double> smoothed(x, {{1, 0, 0}},
                                   {.reduction = reduction::none, .label_smoothing = 0.5f});
  EXPECT_DOUBLE_EQ(smoothed.loss[0], (0.5 + 1.0 / 3) * kLog2);
  EXPECT_DOUBLE_EQ(smoothed.statistics[0].weight, 0.5 + 1.0 / 3);
  const soft_call<double> all(x, {{0, 0, 1}}, {.reduction = reduction::none, .label_smoothing = 1});
  EXPECT_DOUBLE_EQ(all.loss[0], 2.0 / 3 * kLog2);
  EXPECT_THAT(all.grad_targets.row(0), Each(0));

  // Factors of 0 times the infinite term.
  const float w[] = {1, 1, 0}, zero_row = 0;
  for (const auto& options :
       {cross_entropy_options{.reduction = reduction::none, .class_weights = {w, 3}},
        cross_entropy_options{.reduction = reduction::none, .row_weights = {&zero_row, 1}}}) {
    const soft_call<double> by_zero(x, {{0.5, 0.25, 0.25}}, options);
    EXPECT_LT(by_zero.loss[0], kInfinity);
    EXPECT_EQ(by_zero.grad_targets.at(0, 2), 0);
  }
}

TEST(TargetsSpecialValues, BadRowsAreNanAndNoOther) {
  const rows_of_logits bad_rows = {{1, kNan, 2},
                                   {kInfinity, 1, 0},
                                   {1, kInfinity, -kInfinity},
                                   {-kInfinity, -kInfinity, -kInfinity}};
  for (const float softcap : {0.0f, 3.0f}) {
    for (const auto& bad : bad_rows) {
      for (const std::vector<double>& q : rows_of_logits{{0, 0, 0}, {0, 1, 0}}) {
        const cross_entropy_options options = {
            .reduction = reduction::none, .softcap = softcap, .z_loss = 0.5f};
        const soft_call<float> call({{1, 2, 3}, bad}, {{1, 0, 0}, q}, options);
        EXPECT_FALSE(std::isnan(call.loss[0]));
        for (const float v :
             {call.loss[1], call.lse[1], call.entropy[1], call.z_loss[1], call.statistics[1].max,
              call.statistics[1].log_sum, call.statistics[1].target, call.statistics[1].weight}) {
          EXPECT_THAT(v, IsNan());
        }
        EXPECT_THAT(call.grad_logits.row(1), Each(IsNan()));
        EXPECT_THAT(call.grad_targets.row(1), Each(IsNan()));
      }
    }
  }
  // A target that is NaN: what does not depend on it stays a number.
  const soft_call<float> target({{1, 2, 3}}, {{0, kNan, 1}}, kNone);
  EXPECT_THAT(target.loss[0], IsNan());
  EXPECT_THAT(target.grad_logits.row(0), Each(IsNan()));
  EXPECT_THAT(target.grad_targets.row(0), Each(::testing::Not(IsNan())));
}

TEST(TargetsSpecialValues, OneClass) {
  const soft_call<double> call({{-5}}, {{0.7}}, {.label_smoothing = 0.5f});
  EXPECT_EQ(call.loss[0], 0);
  EXPECT_EQ(call.grad_logits.at(0, 0), 0);
  EXPECT_EQ(call.grad_targets.at(0, 0), 0);
  EXPECT_EQ(call.lse[0], -5);
}

// Each gradient over its own input, over the other's, and each alone.
template <class T>
void check_places() {
  constexpr std::int64_t kRows = 5, kCols = 11;
  const host_matrix<T> x(random_rows(kRows, kCols, 3, 0), kCols, 2);
  const host_matrix<T> q(random_rows(kRows, kCols, 1, 0.1), kCols, 2);
  host_matrix<T> logits = x, targets = q, dx(kRows, kCols, 2), dq(kRows, kCols, 2);
  const auto run = [](host_matrix<T>& l, host_matrix<T>& t, matrix<T> by_l, matrix<T> by_t) {
    ASSERT_TRUE(culoss::cross_entropy(culoss::cpu{}, l.view(), t.view(),
                                      {.grad_logits = by_l, .grad_targets = by_t}, kNone)
                    .ok());
  };
  run(logits, targets, dx.view(), dq.view());
  const auto expect_equal = [&](const host_matrix<T>& a, const host_matrix<T>& b) {
    for (std::int64_t i = 0; i < kRows; ++i) EXPECT_EQ(a.row(i), b.row(i));
  };
  host_matrix<T> a = x, b = q;
  run(a, b, a.view(), b.view());
  expect_equal(a, dx);
  expect_equal(b, dq);
  a = x, b = q;
  run(a, b, b.view(), a.view());
  expect_equal(b, dx);
  expect_equal(a, dq);
  host_matrix<T> alone(kRows, kCols, 2);
  run(logits, targets, alone.view(), {});
  expect_equal(alone, dx);
  run(logits, targets, {}, alone.view());
  expect_equal(alone, dq);
  expect_equal(logits, x);
  expect_equal(targets, q);
}

TEST(Targets, GradientsInEveryPlace) {
  check_places<float>();
  check_places<culoss::half>();
  check_places<culoss::bf16>();
  check_places<double>();
}

}  // namespace
}  // namespace culoss_test
