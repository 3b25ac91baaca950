// nll and smooth_labels on the CPU: against values worked out by hand, against cross-entropy, and
// their special values. The rules stand in culoss/nll.hpp.
#include <gmock/gmock.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <random>
#include <vector>

#include "tests/complex_step.hpp"
#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::empty_batch;
using culoss::nll_input;
using culoss::nll_options;
using culoss::reduction;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;

template <class T>
struct nll_call {
  nll_call(const rows_of_logits& rows, const labels64& labels, const nll_options& options)
      : gradient(static_cast<std::int64_t>(rows.size()), width(rows)), record() {
    const auto n = static_cast<std::int64_t>(rows.size());
    const bool none = options.reduction == reduction::none;
    host_matrix<T> input(rows, width(rows));
    loss.assign(none ? rows.size() : 1, 7);
    const culoss::status s = culoss::nll(cpu{.faults = &record}, input.view(),
                                         culoss::vector<const std::int64_t>(labels.data(), n),
                                         {.loss = {loss.data(), none ? n : 1},
                                          .grad_input = gradient.view(),
                                          .rows_counted = {&rows_counted, 1}},
                                         options);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  std::vector<culoss::real_of<T>> loss;
  host_matrix<T> gradient;
  std::int64_t rows_counted = 7;
  culoss::fault_record record;
};

TEST(Nll, None) {
  const float w[] = {2, 3}, row_weights[] = {1, 0.5f, 4}, upstream[] = {1, -2, 3};
  nll_options options = {.reduction = reduction::none,
                         .class_weights = {w, 2},
                         .row_weights = {row_weights, 3},
                         .upstream_rows = {upstream, 3}};
  // A NaN beside the label's element is not seen.
  const rows_of_logits logs = {{-0.5, kNan}, {-1, -2}, {kNan, -4}};
  const nll_call<double> of_logs(logs, {0, 0, 1}, options);
  EXPECT_THAT(of_logs.loss, ElementsAre(2 * 0.5, 0.5 * 2 * 1, 4.0 * 3 * 4));
  EXPECT_THAT(of_logs.gradient.row(0), ElementsAre(-2, 0));
  EXPECT_THAT(of_logs.gradient.row(1), ElementsAre(2.0 * 0.5 * 2, 0));
  EXPECT_THAT(of_logs.gradient.row(2), ElementsAre(0, -3.0 * 4 * 3));
  options.input = nll_input::probabilities;
  const nll_call<double> of_probabilities({{0.25, kNan}, {0.5, 2}, {kNan, 0.125}}, {0, 0, 1},
                                          options);
  EXPECT_DOUBLE_EQ(of_probabilities.loss[0], 2 * std::log(4.0));
  EXPECT_DOUBLE_EQ(of_probabilities.loss[1], std::log(2.0));
  EXPECT_DOUBLE_EQ(of_probabilities.loss[2], 4 * 3 * std::log(8.0));
  EXPECT_THAT(of_probabilities.gradient.row(0), ElementsAre(-2 / 0.25, 0));
  EXPECT_THAT(of_probabilities.gradient.row(1), ElementsAre(2.0 * 0.5 * 2 / 0.5, 0));
  EXPECT_THAT(of_probabilities.gradient.row(2), ElementsAre(0, -3.0 * 4 * 3 / 0.125));
}

// The divisor: class weights of the rows that count; a bad label has weight 1.
TEST(Nll, Reductions) {
  const float w[] = {2, 3};
  const rows_of_logits a = {{-1, -2}, {-3, -4}, {-5, -6}, {-7, -8}};
  const nll_call<double> mean(a, {0, -100, 1, 0}, {.class_weights = {w, 2}});
  EXPECT_DOUBLE_EQ(mean.loss[0], (2.0 + 3 * 6 + 2 * 7) / (2 + 3 + 2));
  EXPECT_DOUBLE_EQ(mean.gradient.at(2, 1), -3.0 / 7);
  EXPECT_EQ(mean.rows_counted, 3);
  const nll_call<double> bad(a, {0, 2, 1, -100}, {.class_weights = {w, 2}});
  EXPECT_THAT(bad.loss[0], IsNan());
  EXPECT_DOUBLE_EQ(bad.gradient.at(0, 0), -2.0 / (2 + 1 + 3));
  EXPECT_THAT(bad.gradient.row(1), Each(IsNan()));
  EXPECT_THAT(bad.gradient.row(3), Each(0));
  EXPECT_EQ(bad.record.count, 1U);
  EXPECT_EQ(bad.record.label, 2);
  const nll_call<double> sum(a, {0, 0, 1, 1},
                             {.reduction = reduction::sum, .normalizer = 4, .upstream = 3});
  EXPECT_DOUBLE_EQ(sum.loss[0], (1.0 + 3 + 6 + 8) / 4);
  EXPECT_DOUBLE_EQ(sum.gradient.at(3, 1), -3.0 / 4);
  const nll_call<float> zero(a, {-1, -1, -1, -1}, {.ignore_index = -1});
  EXPECT_EQ(zero.loss[0], 0);
  const nll_call<float> nan(a, {0, 0, -100, 0}, {.normalizer = 0, .empty = empty_batch::nan});
  EXPECT_THAT(nan.loss[0], IsNan());
  EXPECT_THAT(nan.gradient.row(0), Each(IsNan()));
  EXPECT_THAT(nan.gradient.row(2), Each(0));
}

TEST(Nll, SpecialValues) {
  const nll_options logs = {.reduction = reduction::none};
  const nll_options probabilities = {.reduction = reduction::none,
                                     .input = nll_input::probabilities};
  const nll_call<float> a({{-kInfinity, 0}, {kNan, 0}, {0, kNan}}, {0, 0, 0}, logs);
  EXPECT_EQ(a.loss[0], kInfinity);
  EXPECT_THAT(a.gradient.row(0), ElementsAre(-1, 0));
  EXPECT_THAT(a.loss[1], IsNan());
  EXPECT_EQ(a.loss[2], 0);
  const nll_call<float> p({{0, 1}, {-0.0, 1}, {-0.5, 1}, {kNan, 1}, {1, kNan}}, {0, 0, 0, 0, 0},
                          probabilities);
  for (const std::int64_t i : {0, 1}) {
    EXPECT_EQ(p.loss[static_cast<std::size_t>(i)], kInfinity);
    EXPECT_THAT(p.gradient.row(i), ElementsAre(-kInfinity, 0));
  }
  for (const std::int64_t i : {2, 3}) {
    EXPECT_THAT(p.loss[static_cast<std::size_t>(i)], IsNan());
    EXPECT_THAT(p.gradient.row(i), ElementsAre(IsNan(), 0));
  }
  EXPECT_EQ(p.loss[4], 0);
  const float zeros[] = {0, 0};
  nll_options weightless = probabilities;
  weightless.class_weights = {zeros, 2};
  const nll_call<float> zero({{0, 1}}, {0}, weightless);
  EXPECT_EQ(zero.loss[0], 0);
  EXPECT_THAT(zero.gradient.row(0), Each(0));
}

rows_of_logits random_rows(std::size_t rows, std::size_t cols) {
  std::mt19937_64 random(13);
  std::normal_distribution<double> normal(0, 3);
  rows_of_logits x(rows, std::vector<double>(cols));
  for (auto& row : x) {
    for (double& v : row) v = normal(random);
  }
  return x;
}

// nll and log_softmax, and their backwards, against the fused loss: -log p of each has the relative
// error of a probability, absolutely.
TEST(Nll, OfLogSoftmaxIsCrossEntropy) {
  constexpr std::int64_t kRows = 4, kCols = 9;
  rows_of_logits x = random_rows(kRows, kCols);
  x[2][3] = -kInfinity;
  const labels64 labels = {0, 8, 4, -100};
  const float w[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const cross_entropy_call<double> expected(
      x, labels, {.reduction = reduction::none, .class_weights = {w, kCols}});
  host_matrix<double> logits(x, kCols), log_p(kRows, kCols), dx(kRows, kCols);
  ASSERT_TRUE(culoss::log_softmax(cpu{}, logits.view(), log_p.view()).ok());
  rows_of_logits rows;
  for (std::int64_t i = 0; i < kRows; ++i) rows.push_back(log_p.row(i));
  nll_call<double> nll(rows, labels, {.reduction = reduction::none, .class_weights = {w, kCols}});
  ASSERT_TRUE(
      culoss::log_softmax_backward(cpu{}, log_p.view(), nll.gradient.view(), dx.view()).ok());
  for (std::size_t i = 0; i < kRows; ++i) {
    const double error = 2 * 9 * (error_of_probability(x[i], 1) + 4 * kUnit);
    EXPECT_NEAR(nll.loss[i], expected.loss[i], error * (1 + expected.lse[i]));
    for (std::int64_t j = 0; j < kCols; ++j) {
      EXPECT_NEAR(dx.at(static_cast<std::int64_t>(i), j),
                  expected.gradient.at(static_cast<std::int64_t>(i), j), error);
    }
  }
}

TEST(SmoothLabels, OfLabels) {
  culoss::fault_record record = {};
  const labels64 labels = {2, -1, 4, 0};
  host_matrix<float> q(4, 4, 3);
  const culoss::vector<const std::int64_t> view(labels.data(), 4);
  ASSERT_TRUE(culoss::smooth_labels(cpu{.faults = &record}, view, q.view(),
                                    {.smoothing = 0.5f, .ignore_index = -1})
                  .ok());
  EXPECT_THAT(q.row(0), ElementsAre(0.125, 0.125, 0.625, 0.125));
  for (const double v : q.row(1)) EXPECT_TRUE(v == 0 && !std::signbit(v));
  EXPECT_THAT(q.row(2), Each(IsNan()));
  EXPECT_THAT(q.row(3), ElementsAre(0.625, 0.125, 0.125, 0.125));
  EXPECT_EQ(record.count, 1U);
  EXPECT_EQ(record.label, 4);
  EXPECT_EQ(q.storage()[4], encode<float>(7));  // the padding
  ASSERT_TRUE(
      culoss::smooth_labels(cpu{}, view, q.view(), {.smoothing = 0, .ignore_index = -1}).ok());
  EXPECT_THAT(q.row(0), ElementsAre(0, 0, 1, 0));
  ASSERT_TRUE(
      culoss::smooth_labels(cpu{}, view, q.view(), {.smoothing = 1, .ignore_index = -1}).ok());
  EXPECT_THAT(q.row(0), Each(0.25));
}

TEST(SmoothLabels, OfRowsAndBackward) {
  host_matrix<float> q({{2, -1, 0, kNan}}, 4), out(1, 4);
  ASSERT_TRUE(culoss::smooth_labels(cpu{}, q.view(), out.view(), {.smoothing = 0.25f}).ok());
  EXPECT_THAT(out.row(0), ElementsAre(1.5625, -0.6875, 0.0625, IsNan()));
  ASSERT_TRUE(
      culoss::smooth_labels_backward(cpu{}, q.view(), out.view(), {.smoothing = 0.25f}).ok());
  EXPECT_THAT(out.row(0), ElementsAre(1.5, -0.75, 0, IsNan()));
  ASSERT_TRUE(culoss::smooth_labels(cpu{}, q.view(), q.view(), {.smoothing = 0.25f}).ok());
  EXPECT_THAT(q.row(0), ElementsAre(1.5625, -0.6875, 0.0625, IsNan()));
}

}  // namespace
}  // namespace culoss_test
