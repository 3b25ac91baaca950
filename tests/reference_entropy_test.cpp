// Entropy and divergence on the CPU: against values worked out by hand, against cross-entropy, and
// their special values. The rules stand in culoss/divergence.hpp.
#include <gmock/gmock.h>

#include <algorithm>
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
using culoss::entropy_input;
using culoss::entropy_options;
using culoss::reduction;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

template <class T>
struct entropy_call {
  entropy_call(const rows_of_logits& rows, const entropy_options& options)
      : gradient(static_cast<std::int64_t>(rows.size()), width(rows)) {
    const auto n = static_cast<std::int64_t>(rows.size());
    const bool none = options.reduction == reduction::none;
    host_matrix<T> input(rows, width(rows));
    loss.assign(none ? rows.size() : 1, 7);
    const culoss::status s = culoss::entropy(
        cpu{}, input.view(), {.loss = {loss.data(), none ? n : 1}, .grad_input = gradient.view()},
        options);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  std::vector<culoss::real_of<T>> loss;
  host_matrix<T> gradient;
};

const double kLog2 = std::log(2.0), kLog3 = std::log(3.0), kLog4 = std::log(4.0);

TEST(Entropy, OfProbabilities) {
  const float row_weights[] = {1, 0.5f, 2}, upstream[] = {1, -2, 3};
  const entropy_call<double> call({{0.5, 0.5}, {0.25, 0.75}, {0, 1}},
                                  {.reduction = reduction::none,
                                   .row_weights = {row_weights, 3},
                                   .upstream_rows = {upstream, 3}});
  EXPECT_DOUBLE_EQ(call.loss[0], kLog2);
  EXPECT_DOUBLE_EQ(call.loss[1], 0.5 * (kLog4 - 0.75 * kLog3));
  EXPECT_EQ(call.loss[2], 0);
  EXPECT_DOUBLE_EQ(call.gradient.at(0, 0), kLog2 - 1);
  EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), -2 * 0.5 * (kLog4 - 1));
  EXPECT_THAT(call.gradient.row(2), ElementsAre(0, -3.0 * 2));
  // They need not be a distribution; what is none is NaN.
  const entropy_call<double> any({{2, 0.5}, {-0.5, 1}, {kNan, 1}, {0, 0}},
                                 {.reduction = reduction::none});
  EXPECT_DOUBLE_EQ(any.loss[0], -1.5 * kLog2);
  for (const std::int64_t i : {1, 2}) {
    EXPECT_THAT(any.loss[static_cast<std::size_t>(i)], IsNan());
    EXPECT_THAT(any.gradient.row(i), ElementsAre(IsNan(), -1));
  }
  EXPECT_EQ(any.loss[3], 0);
  EXPECT_THAT(any.gradient.row(3), Each(0));
}

TEST(Entropy, OfLogits) {
  const float t = 0.5f;
  const double h = kLog4 - 0.75 * kLog3;
  const entropy_call<double> call(
      {{7, 7}, {0, kLog3 / 2}, {0, -kInfinity}, {-1e4, 1e4}},
      {.reduction = reduction::none, .input = entropy_input::logits, .temperature = &t});
  EXPECT_DOUBLE_EQ(call.loss[0], kLog2);
  EXPECT_DOUBLE_EQ(call.loss[1], h);
  EXPECT_THAT(call.gradient.row(0), Each(0));
  EXPECT_DOUBLE_EQ(call.gradient.at(1, 0), -0.25 / t * (h - kLog4));
  EXPECT_DOUBLE_EQ(call.gradient.at(1, 1), 0.25 / t * (h - kLog4));  // the sum of the row is 0
  for (const std::int64_t i : {2, 3}) {
    EXPECT_EQ(call.loss[static_cast<std::size_t>(i)], 0);
    EXPECT_THAT(call.gradient.row(i), Each(0));
  }
  const entropy_call<float> bad(
      {{1, kNan}, {kInfinity, 1}, {-kInfinity, -kInfinity}, {-kInfinity, kInfinity}, {1, 2}},
      {.reduction = reduction::none, .input = entropy_input::logits});
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_THAT(bad.loss[static_cast<std::size_t>(i)], IsNan());
    EXPECT_THAT(bad.gradient.row(i), Each(IsNan()));
  }
  EXPECT_GT(bad.loss[4], 0);
}

TEST(Entropy, Reductions) {
  const rows_of_logits p = {{0.5, 0.5, 0}, {0.25, 0.25, 0.5}};
  const double sum = kLog2 + (kLog4 + kLog2) / 2;
  EXPECT_DOUBLE_EQ(entropy_call<double>(p, {}).loss[0], sum / 2);
  const entropy_call<double> elements(p, {.mean_elements = true, .upstream = -2});
  EXPECT_DOUBLE_EQ(elements.loss[0], sum / 6);
  EXPECT_DOUBLE_EQ(elements.gradient.at(0, 0), -2 * (kLog2 - 1) / 6);
  EXPECT_DOUBLE_EQ(entropy_call<double>(p, {.reduction = reduction::sum}).loss[0], sum);
  EXPECT_DOUBLE_EQ(entropy_call<double>(p, {.normalizer = 5}).loss[0], sum / 5);
  const entropy_call<double> zero(p, {.normalizer = 0});
  EXPECT_EQ(zero.loss[0], 0);
  EXPECT_THAT(zero.gradient.row(1), Each(0));
  const entropy_call<double> nan(p, {.normalizer = 0, .empty = empty_batch::nan});
  EXPECT_THAT(nan.loss[0], IsNan());
  EXPECT_THAT(nan.gradient.row(1), Each(IsNan()));
  EXPECT_EQ(entropy_call<double>({}, {}).loss[0], 0);
  EXPECT_THAT(entropy_call<double>({}, {.empty = empty_batch::nan}).loss[0], IsNan());
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

// Entropy of the logits, entropy of their softmax and the output of cross-entropy. A probability's
// relative error e changes -p log p by p (|log p| + 1) e.
TEST(Entropy, OfLogitsAndOfTheirSoftmax) {
  constexpr std::int64_t kRows = 5, kCols = 17;
  rows_of_logits x = random_rows(kRows, kCols), rows;
  x[1][4] = x[1][16] = -kInfinity;
  host_matrix<double> logits(x, kCols), p(kRows, kCols);
  ASSERT_TRUE(culoss::softmax(cpu{}, logits.view(), p.view()).ok());
  for (std::int64_t i = 0; i < kRows; ++i) rows.push_back(p.row(i));
  const entropy_call<double> of_logits(
      x, {.reduction = reduction::none, .input = entropy_input::logits});
  const entropy_call<double> of_softmax(rows, {.reduction = reduction::none});
  const cross_entropy_call<double> loss(x, std::vector<std::int64_t>(kRows, 3), {});
  EXPECT_EQ(loss.entropy, of_logits.loss);
  for (std::size_t i = 0; i < kRows; ++i) {
    const double h = of_logits.loss[i], error = error_of_probability(x[i], 1) + kCols * kUnit;
    EXPECT_NEAR(of_softmax.loss[i], h, 2 * error * (h + 1));
  }
}

struct kl_call {
  kl_call(const rows_of_logits& p, const rows_of_logits& q,
          const culoss::kl_divergence_options& options)
      : by_p(static_cast<std::int64_t>(p.size()), width(p)), by_q(by_p) {
    const auto n = static_cast<std::int64_t>(p.size());
    const bool none = options.reduction == reduction::none;
    host_matrix<double> of_p(p, width(p)), of_q(q, width(q));
    loss.assign(none ? p.size() : 1, 7);
    const culoss::status s = culoss::kl_divergence(
        cpu{}, of_p.view(), of_q.view(),
        {.loss = {loss.data(), none ? n : 1}, .grad_p = by_p.view(), .grad_q = by_q.view()},
        options);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  std::vector<double> loss;
  host_matrix<double> by_p, by_q;
};

TEST(KlDivergence, OfProbabilitiesAndLogarithms) {
  using culoss::kl_input;
  const rows_of_logits p = {{0.5, 0.5, 0}, {0.25, 0.75, 0}},
                       q = {{0.25, 0.5, 0.25}, {0.25, 0, 0.75}};
  rows_of_logits log_p = p, log_q = q;
  for (auto& row : log_p)
    std::ranges::transform(row, row.begin(), [](double x) { return std::log(x); });
  for (auto& row : log_q)
    std::ranges::transform(row, row.begin(), [](double x) { return std::log(x); });
  const float row_weights[] = {2, 1}, upstream[] = {3, 1};
  for (const bool by_log_p : {false, true}) {
    for (const bool by_log_q : {false, true}) {
      for (const auto direction : {culoss::kl_direction::forward, culoss::kl_direction::reverse}) {
        culoss::kl_divergence_options o{.reduction = reduction::none,
                                        .row_weights = {row_weights, 2},
                                        .upstream_rows = {upstream, 2}};
        const auto& first = by_log_p ? log_p : p;
        const auto& second = by_log_q ? log_q : q;
        const bool reverse = direction == culoss::kl_direction::reverse;
        o.direction = direction;
        (reverse ? o.q_input : o.p_input) =
            by_log_p ? kl_input::log_probabilities : kl_input::probabilities;
        (reverse ? o.p_input : o.q_input) =
            by_log_q ? kl_input::log_probabilities : kl_input::probabilities;
        const kl_call call = reverse ? kl_call(second, first, o) : kl_call(first, second, o);
        const auto& by_p = reverse ? call.by_q : call.by_p;
        const auto& by_q = reverse ? call.by_p : call.by_q;
        EXPECT_NEAR(call.loss[0], 2 * 0.5 * kLog2, 4 * kUnit);
        EXPECT_EQ(call.loss[1], HUGE_VAL);
        const double scale = 2 * 3;
        EXPECT_NEAR(by_p.at(0, 0), scale * (by_log_p ? 0.5 : 1) * (kLog2 + 1), 16 * kUnit);
        EXPECT_NEAR(by_p.at(0, 1), scale * (by_log_p ? 0.5 : 1), 16 * kUnit);
        EXPECT_EQ(by_p.at(0, 2), 0);
        EXPECT_NEAR(by_q.at(0, 0), -scale * (by_log_q ? 0.5 : 2), 32 * kUnit);
        EXPECT_EQ(by_q.at(0, 2), 0);
        EXPECT_EQ(by_p.at(1, 1), HUGE_VAL);
        if (by_log_q) {
          EXPECT_NEAR(by_q.at(1, 1), -0.75, 8 * kUnit);
        } else {
          EXPECT_EQ(by_q.at(1, 1), -HUGE_VAL);
        }
      }
    }
  }
}

TEST(KlDivergence, Reductions) {
  const rows_of_logits p = {{0.5, 0.5}, {1, 0}, {0.125, 0.875}},
                       q = {{0.25, 0.25}, {0.5, 0.5}, {0.125, 0.875}};
  const double sum = 2 * kLog2;
  EXPECT_DOUBLE_EQ(kl_call(p, q, {}).loss[0], sum / 3);
  const kl_call elements(p, q, {.mean_elements = true, .upstream = -2});
  EXPECT_DOUBLE_EQ(elements.loss[0], sum / 6);
  EXPECT_DOUBLE_EQ(elements.by_p.at(0, 0), -2 * (kLog2 + 1) / 6);
  EXPECT_DOUBLE_EQ(elements.by_q.at(0, 0), -2 * -2.0 / 6);
  EXPECT_DOUBLE_EQ(kl_call(p, q, {.reduction = reduction::sum}).loss[0], sum);
  EXPECT_DOUBLE_EQ(kl_call(p, q, {.normalizer = 5}).loss[0], sum / 5);
  EXPECT_EQ(kl_call(p, p, {}).loss[0], 0);
  const kl_call zero(p, q, {.normalizer = 0});
  EXPECT_EQ(zero.loss[0], 0);
  EXPECT_THAT(zero.by_p.row(1), Each(0));
  const kl_call nan(p, q, {.normalizer = 0, .empty = empty_batch::nan});
  EXPECT_THAT(nan.loss[0], IsNan());
  EXPECT_THAT(nan.by_q.row(1), Each(IsNan()));
  EXPECT_EQ(kl_call({}, {}, {}).loss[0], 0);
}

struct distillation_call {
  distillation_call(const rows_of_logits& student, const rows_of_logits& teacher,
                    const culoss::distillation_options& options)
      : by_student(static_cast<std::int64_t>(student.size()), width(student)),
        by_teacher(by_student) {
    const auto n = static_cast<std::int64_t>(student.size());
    const bool none = options.reduction == reduction::none;
    host_matrix<double> x(student, width(student)), y(teacher, width(teacher));
    loss.assign(none ? student.size() : 1, 7);
    const culoss::status s = culoss::distillation(cpu{}, x.view(), y.view(),
                                                  {.loss = {loss.data(), none ? n : 1},
                                                   .grad_student = by_student.view(),
                                                   .grad_teacher = by_teacher.view(),
                                                   .rows_counted = {&rows_counted, 1}},
                                                  options);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  std::vector<double> loss;
  host_matrix<double> by_student, by_teacher;
  std::int64_t rows_counted = 7;
};

// Logits whose softmax at T = 2 is known: p = 1/4, 3/4 and q = 1/2, 1/2.
TEST(Distillation, KnownValues) {
  using culoss::distillation_direction;
  const rows_of_logits student = {{5, 5}, {1, 1}, {0, kNan}};
  const rows_of_logits teacher = {{0, 2 * kLog3}, {1, 1}, {0, 0}};
  const std::vector<std::int64_t> labels = {1, 0, -100};
  const double forward = 0.25 * std::log(0.5) + 0.75 * std::log(1.5);
  const double reverse = 0.5 * kLog2 + 0.5 * std::log(2.0 / 3);
  // The mixture of equal parts is 3/8, 5/8.
  const double of_p = 0.25 * std::log(2.0 / 3) + 0.75 * std::log(1.2);
  const double of_q = 0.5 * std::log(4.0 / 3) + 0.5 * std::log(0.8);
  culoss::distillation_options o{.temperature = 2,
                                 .labels = culoss::vector<const std::int64_t>(labels.data(), 3)};
  const auto call = [&](distillation_direction d) {
    o.direction = d;
    return distillation_call(student, teacher, o);
  };
  const auto kl = call(distillation_direction::forward);
  EXPECT_EQ(kl.rows_counted, 2);
  EXPECT_NEAR(kl.loss[0], forward / 2, 4 * kUnit);
  EXPECT_NEAR(kl.by_student.at(0, 0), 0.25 / 2 / 2, 4 * kUnit);
  EXPECT_NEAR(kl.by_teacher.at(0, 0), 0.25 * (std::log(0.5) - forward) / 2 / 2, 4 * kUnit);
  EXPECT_THAT(kl.by_student.row(1), Each(0));
  EXPECT_THAT(kl.by_student.row(2), Each(0));
  const auto back = call(distillation_direction::reverse);
  EXPECT_NEAR(back.loss[0], reverse / 2, 4 * kUnit);
  EXPECT_NEAR(back.by_student.at(0, 0), 0.5 * (kLog2 - reverse) / 2 / 2, 4 * kUnit);
  EXPECT_NEAR(back.by_teacher.at(0, 0), -0.25 / 2 / 2, 4 * kUnit);
  const auto both = call(distillation_direction::jensen_shannon);
  EXPECT_NEAR(both.loss[0], (of_p + of_q) / 2 / 2, 4 * kUnit);
  EXPECT_NEAR(both.by_student.at(0, 0), 0.5 * 0.5 * (std::log(4.0 / 3) - of_q) / 2 / 2, 4 * kUnit);
  EXPECT_NEAR(both.by_teacher.at(0, 0), 0.5 * 0.25 * (std::log(2.0 / 3) - of_p) / 2 / 2, 4 * kUnit);
  for (const float beta : {0.0f, 1.0f}) {
    o.beta = beta;
    const auto end = call(distillation_direction::jensen_shannon);
    EXPECT_EQ(end.loss, beta == 0 ? kl.loss : back.loss);
    EXPECT_EQ(end.by_teacher.row(0), (beta == 0 ? kl : back).by_teacher.row(0));
  }
  o.temperature_squared = true;
  const auto squared = call(distillation_direction::forward);
  EXPECT_NEAR(squared.loss[0], 4 * forward / 2, 16 * kUnit);
  EXPECT_NEAR(squared.by_student.at(0, 0), 0.25, 16 * kUnit);
  o.labels = {};
  EXPECT_THAT(call(distillation_direction::forward).loss[0], IsNan());
  EXPECT_EQ(call(distillation_direction::forward).rows_counted, 3);
}

TEST(Distillation, MaskedColumns) {
  using culoss::distillation_direction;
  const rows_of_logits one = {{0, 0, -kInfinity}, {0, 0, 0}, {-kInfinity, 1, 1}};
  const rows_of_logits other = {{0, 0, -kInfinity}, {0, 0, -kInfinity}, {-kInfinity, 1, 1}};
  culoss::distillation_options o{.reduction = reduction::none};
  const distillation_call fine(one, other, o), infinite(other, one, o);
  EXPECT_THAT(fine.loss, ElementsAre(0, ::testing::DoubleNear(std::log(1.5), 4 * kUnit), 0));
  EXPECT_EQ(fine.by_student.at(0, 2), 0);
  EXPECT_NEAR(fine.by_student.at(1, 2), 1.0 / 3, kUnit);
  EXPECT_EQ(fine.by_teacher.at(1, 2), 0);
  EXPECT_EQ(infinite.loss[1], kInfinity);
  EXPECT_THAT(infinite.by_teacher.row(1), ElementsAre(-kInfinity, -kInfinity, kInfinity));
  EXPECT_NEAR(infinite.by_student.at(1, 2), -1.0 / 3, kUnit);
  EXPECT_EQ(infinite.loss[0], 0);
  o.direction = distillation_direction::jensen_shannon;
  const distillation_call mixed(one, other, o);
  EXPECT_NEAR(mixed.loss[1], 0.5 * (std::log(1.2) + 2.0 / 3 * std::log(0.8) + kLog2 / 3),
              8 * kUnit);
}

}  // namespace
}  // namespace culoss_test
