// The elementwise losses on the CPU: complex steps through their formulas, closed forms of their
// reductions.
#include <gtest/gtest.h>

#include <algorithm>
#include <culoss/culoss.hpp>
#include <random>
#include <span>
#include <vector>

#include "host/reference/binary.hpp"
#include "host/reference/margin.hpp"
#include "host/reference/regression.hpp"
#include "tests/complex_step.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::matrix;
using culoss::reduction;
using culoss::vector;
namespace formula = culoss::reference;

matrix<const double> row_of(const std::vector<double>& v) {
  return {v.data(), 1, static_cast<std::int64_t>(v.size())};
}
matrix<double> row_of(std::vector<double>& v) {
  return {v.data(), 1, static_cast<std::int64_t>(v.size())};
}

// Both derivatives of every element of a row against complex steps. `call(x, t, outputs)` gives
// upstream * d/dx and d/dt of `value(x, t, j)`; `relative` of its size, or of
// terms as large as `floor` that cancel, is what both may err by.
template <class Value, class Call>
void check_row(const std::vector<double>& x, const std::vector<double>& t, const Value& value,
               const Call& call, double upstream, double relative, double floor = 0) {
  std::vector<double> dx(x.size()), dt(x.size());
  const culoss::status s = call(dx, dt);
  ASSERT_TRUE(s.ok()) << s.message();
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double by_x = upstream * value(complex(x[j], kStep), complex(t[j], 0), j).imag() / kStep;
    const double by_t = upstream * value(complex(x[j], 0), complex(t[j], kStep), j).imag() / kStep;
    const double size = std::fabs(by_x) + std::fabs(by_t) + floor;
    EXPECT_LE(std::fabs(dx[j] - by_x), relative * kUnit * size) << x[j] << " " << t[j];
    EXPECT_LE(std::fabs(dt[j] - by_t), relative * kUnit * size) << x[j] << " " << t[j];
  }
}

// Residuals of both signs on both sides of the knees.
template <class Check>
void for_each_residual_row(const Check& check) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  for (int turn = 0; turn < 20; ++turn) {
    std::vector<double> x(23), t(23);
    for (std::size_t j = 0; j < x.size(); ++j) {
      x[j] = (turn % 4 == 3 ? 1e5 : 0) + normal(random);
      t[j] = x[j] + (turn % 2 == 0 ? 0.3 : 5) * normal(random);
    }
    check(x, t);
  }
}

TEST(ComplexStep, Regression) {
  constexpr double kUpstream = -1.5;
  for_each_residual_row([&](const std::vector<double>& x, const std::vector<double>& t) {
    const auto check = [&](const auto& residual, const auto& function, auto options) {
      options.reduction = reduction::sum;
      options.upstream = kUpstream;
      check_row(
          x, t, [&](complex a, complex b, std::size_t) { return residual.value(a - b); },
          [&](std::vector<double>& dx, std::vector<double>& dt) {
            return function(culoss::regression_outputs<double>{.grad_predictions = row_of(dx),
                                                               .grad_targets = row_of(dt)},
                            options);
          },
          kUpstream, 8);
    };
    const auto in = row_of(x), targets = row_of(t);
    check(
        formula::mse_formula{},
        [&](const auto& out, const auto& o) { return culoss::mse(cpu{}, in, targets, out, o); },
        culoss::regression_options());
    check(
        formula::mae_formula{},
        [&](const auto& out, const auto& o) { return culoss::mae(cpu{}, in, targets, out, o); },
        culoss::regression_options());
    for (const float k : {0.0f, 0.25f, 1.0f, 3.5f}) {
      if (k > 0) {
        check(
            formula::huber_formula{k},
            [&](const auto& out, const auto& o) {
              return culoss::huber(cpu{}, in, targets, out, o);
            },
            culoss::huber_options{.delta = k});
      }
      check(
          formula::smooth_l1_formula{k},
          [&](const auto& out, const auto& o) {
            return culoss::smooth_l1(cpu{}, in, targets, out, o);
          },
          culoss::smooth_l1_options{.beta = k});
    }
  });
}

// Logits of every size, targets at the ends and between.
TEST(ComplexStep, BinaryCrossEntropy) {
  constexpr double kUpstream = 0.75;
  std::mt19937_64 random(6);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  for (const double size : {0.1, 1.0, 10.0, 100.0}) {
    for (const float s : {0.0f, 0.25f, 1.0f}) {
      std::vector<double> x(23), t(23), p(23);
      const std::vector<float> weights = positive_floats(23, random);
      for (std::size_t j = 0; j < x.size(); ++j) {
        x[j] = size * normal(random);
        t[j] = j % 3 == 0 ? 0.0 : j % 3 == 1 ? 1.0 : uniform(random);
        p[j] = std::clamp(uniform(random), 1e-6,
                          0.9);  // log(1 - p) of a complex p near 1 is not exact
      }
      const formula::binary_logit_formula of{.pos_weight = weights.data(), .smoothing = s};
      check_row(
          x, t, [&](complex a, complex b, std::size_t j) { return of.loss(a, b, j); },
          [&](std::vector<double>& dx, std::vector<double>& dt) {
            return culoss::binary_cross_entropy(
                cpu{}, row_of(x), row_of(t),
                {.grad_logits = row_of(dx), .grad_targets = row_of(dt)},
                {.reduction = reduction::sum,
                 .pos_weight = {weights.data(), 23},
                 .label_smoothing = s,
                 .upstream = kUpstream});
          },
          kUpstream, 16, kUpstream);
      check_row(
          p, t,
          [&](complex a, complex b, std::size_t j) {
            return formula::binary_probability_formula{}.loss(a, b, j);
          },
          [&](std::vector<double>& dx, std::vector<double>& dt) {
            return culoss::binary_cross_entropy_probabilities(
                cpu{}, row_of(p), row_of(t),
                {.grad_probabilities = row_of(dx), .grad_targets = row_of(dt)},
                {.reduction = reduction::sum, .upstream = kUpstream});
          },
          kUpstream, 16, kUpstream);
    }
  }
}

// A probability near 1 is one near 0 with the target turned around.
TEST(Binary, ProbabilitiesNearOne) {
  for (const double q : {0x1p-3, 0x1p-20, 0x1p-40, 0x1p-52}) {
    for (const double t : {0.0, 0.25, 1.0}) {
      const std::vector<double> p = {q, 1 - q}, targets = {t, 1 - t};
      std::vector<double> losses(2), dp(2), dt(2);
      ASSERT_TRUE(culoss::binary_cross_entropy_probabilities(cpu{}, row_of(p), row_of(targets),
                                                             {.losses = row_of(losses),
                                                              .grad_probabilities = row_of(dp),
                                                              .grad_targets = row_of(dt)},
                                                             {.reduction = reduction::none})
                      .ok());
      EXPECT_NEAR(losses[0], losses[1], 8 * kUnit * losses[0]);
      EXPECT_NEAR(dp[0], -dp[1], 8 * kUnit * std::fabs(dp[0]));
      EXPECT_NEAR(dt[0], -dt[1], 8 * kUnit * std::fabs(dt[0]));
    }
  }
}

TEST(ComplexStep, Margins) {
  constexpr double kUpstream = -2.5;
  for_each_residual_row([&](const std::vector<double>& x, const std::vector<double>& t) {
    std::vector<double> y(x.size());
    for (std::size_t j = 0; j < y.size(); ++j) y[j] = t[j] > x[j] ? 1 : -1;
    const auto check = [&](const auto& of, const auto& call) {
      std::vector<double> dx(x.size());
      ASSERT_TRUE(call(culoss::margin_outputs<double>{.grad_scores = row_of(dx)}).ok());
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double exact =
            kUpstream * of.loss(complex(x[j], kStep), complex(y[j], 0), j).imag() / kStep;
        EXPECT_LE(std::fabs(dx[j] - exact), 16 * kUnit * std::fabs(exact)) << x[j] << " " << y[j];
      }
    };
    for (const int power : {1, 2}) {
      for (const float m : {1.0f, 0.0f, 3.0f}) {
        check(formula::hinge_formula{.margin = m, .power = power}, [&](const auto& out) {
          return culoss::hinge(
              cpu{}, row_of(x), row_of(y), out,
              {.reduction = reduction::sum, .margin = m, .power = power, .upstream = kUpstream});
        });
      }
    }
    check(formula::soft_margin_formula{}, [&](const auto& out) {
      return culoss::soft_margin(cpu{}, row_of(x), row_of(y), out,
                                 {.reduction = reduction::sum, .upstream = kUpstream});
    });
  });
}

TEST(ComplexStep, MultiClassHinge) {
  const std::vector<double> x = {0.25, -1, 2, 0.75, 2, -30};
  for (const auto form : {culoss::hinge_form::sum, culoss::hinge_form::max}) {
    for (const int power : {1, 2}) {
      for (const float m : {1.0f, 0.3f, -1.5f}) {
        for (std::int64_t t = 0; t < 6; ++t) {
          std::vector<double> dx(x.size());
          ASSERT_TRUE(culoss::multi_class_hinge(
                          cpu{}, row_of(x), vector<const std::int64_t>(&t, 1),
                          {.grad_scores = row_of(dx)},
                          {.form = form, .margin = m, .power = power, .upstream = -2.5f})
                          .ok());
          const formula::multi_class_hinge_formula of{
              .margin = m, .power = power, .largest = form == culoss::hinge_form::max};
          for (std::size_t j = 0; j < x.size(); ++j) {
            const double exact = -2.5 * complex_step(x, j, [&](const std::vector<complex>& z) {
              return of.loss(std::span<const complex>(z), static_cast<std::size_t>(t));
            });
            EXPECT_LE(std::fabs(dx[j] - exact), 16 * kUnit * std::fabs(exact)) << t << " " << j;
          }
        }
      }
    }
  }
}

// Labels 0 and 1 of the scores 0, 0.5, 2: z is 1.5, 3 and 0.5, 2.5.
TEST(MultiClassHinge, KnownValues) {
  const std::vector<double> x = {0, 0.5, 2, 0, 0.5, 2, 9, 9, 9, 9, 9, 9};
  const std::vector<std::int64_t> labels = {0, 1, -100, 3};
  const std::vector<float> weights = {1, 4, 1};
  std::vector<double> loss(1), losses(4), dx(12);
  std::int64_t counted = 0;
  culoss::fault_record record{};
  culoss::multi_class_hinge_options o{.class_weights = {weights.data(), 3}};
  const matrix<const double> scores(x.data(), 4, 3);
  const auto call = [&](const matrix<const double>& of, std::vector<double>& to) {
    const auto size = static_cast<std::int64_t>(to.size());
    return culoss::multi_class_hinge(cpu{.faults = &record}, of,
                                     vector<const std::int64_t>(labels.data(), of.rows),
                                     {.loss = {to.data(), size},
                                      .grad_scores = {dx.data(), of.rows, 3},
                                      .rows_counted = {&counted, 1}},
                                     o);
  };
  ASSERT_TRUE(call({x.data(), 3, 3}, loss).ok());
  EXPECT_DOUBLE_EQ(loss[0], (4.5 / 3 + 4 * 3.0 / 3) / 2);
  EXPECT_EQ(counted, 2);
  EXPECT_DOUBLE_EQ(dx[0], -2.0 / 3 / 2);
  EXPECT_DOUBLE_EQ(dx[5], 4.0 / 3 / 2);
  EXPECT_EQ(dx[6], 0);
  o.reduction = reduction::none;
  ASSERT_TRUE(call(scores, losses).ok());
  EXPECT_DOUBLE_EQ(losses[1], 4);
  EXPECT_EQ(losses[2], 0);
  EXPECT_TRUE(std::isnan(losses[3]) && std::isnan(dx[9]));
  EXPECT_EQ(record.count, 1u);
  o.form = culoss::hinge_form::max;
  o.power = 2;
  ASSERT_TRUE(call(scores, losses).ok());
  EXPECT_DOUBLE_EQ(losses[0], 9);
  EXPECT_DOUBLE_EQ(losses[1], 4 * 6.25);
  EXPECT_DOUBLE_EQ(dx[2], 6);
  EXPECT_EQ(dx[1], 0);
  EXPECT_DOUBLE_EQ(dx[4], -4 * 5.0);
}

// Values that are known: of logits, of their sigmoid, and log 2 in all of them at 0.
TEST(Binary, KnownValues) {
  const std::vector<double> x = {0, std::log(3.0), -std::log(3.0)}, t = {0.5, 1, 1};
  const std::vector<double> p = {0.5, 0.75, 0.25};
  const std::vector<float> weights = {2, 1, 4};
  const std::vector<double> known = {std::log(2.0), std::log(4.0 / 3), std::log(4.0)};
  std::vector<double> losses(3), weighed(3), smoothed(3), of_p(3), soft(3);
  const auto call = [&](std::vector<double>& out,
                        const culoss::binary_cross_entropy_options& options) {
    culoss::binary_cross_entropy_options o = options;
    o.reduction = reduction::none;
    EXPECT_TRUE(
        culoss::binary_cross_entropy(cpu{}, row_of(x), row_of(t), {.losses = row_of(out)}, o).ok());
  };
  call(losses, {});
  call(weighed, {.pos_weight = {weights.data(), 3}});
  call(smoothed, {.label_smoothing = 0.5f});
  EXPECT_TRUE(culoss::binary_cross_entropy_probabilities(cpu{}, row_of(p), row_of(t),
                                                         {.losses = row_of(of_p)},
                                                         {.reduction = reduction::none})
                  .ok());
  const std::vector<double> y = {1, 1, 1};
  EXPECT_TRUE(culoss::soft_margin(cpu{}, row_of(x), row_of(y), {.losses = row_of(soft)},
                                  {.reduction = reduction::none})
                  .ok());
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(losses[j], known[j], 8 * kUnit);
    EXPECT_NEAR(of_p[j], known[j], 8 * kUnit);
    EXPECT_NEAR(soft[j], known[j], 8 * kUnit);
  }
  EXPECT_NEAR(weighed[0], 1.5 * known[0], 8 * kUnit);
  EXPECT_NEAR(weighed[2], 4 * known[2], 16 * kUnit);
  EXPECT_NEAR(smoothed[1], 0.75 * known[1] + 0.25 * known[2], 8 * kUnit);
}

// huber is delta times smooth_l1 of beta = delta.
TEST(Regression, HuberIsSmoothL1TimesDelta) {
  for_each_residual_row([](const std::vector<double>& x, const std::vector<double>& t) {
    for (const float k : {0.5f, 2.0f}) {
      std::vector<double> a(x.size()), b(x.size());
      ASSERT_TRUE(culoss::huber(cpu{}, row_of(x), row_of(t), {.losses = row_of(a)},
                                {.reduction = reduction::none, .delta = k})
                      .ok());
      ASSERT_TRUE(culoss::smooth_l1(cpu{}, row_of(x), row_of(t), {.losses = row_of(b)},
                                    {.reduction = reduction::none, .beta = k})
                      .ok());
      for (std::size_t j = 0; j < x.size(); ++j) {
        EXPECT_NEAR(a[j], static_cast<double>(k) * b[j], 8 * kUnit * a[j]);
      }
    }
  });
}

// Weights of elements and rows, upstream, normalizer and pitch, against sums written out.
TEST(Regression, OptionsMultiplyAndDivide) {
  constexpr std::int64_t kLd = 5;
  const std::vector<double> x = {1, 2, 3, 99, 99, 4, 5, 6, 99, 99}, t(10, 1.0);
  const std::vector<float> weights = {1, 2, 3, 99, 99, 0.5f, 0, 4, 99, 99};
  const std::vector<float> of_rows = {2, 0.25f};
  const std::vector<float> upstream = {1, -1, 2, 99, 99, 3, 5, 0.5f, 99, 99};
  const matrix<const double> in(x.data(), 2, 3, kLd), targets(t.data(), 2, 3, kLd);
  const matrix<const float> w(weights.data(), 2, 3, kLd), g(upstream.data(), 2, 3, kLd);
  double sum = 0, all_weights = 0;
  for (const std::size_t k : {0u, 1u, 2u, 5u, 6u, 7u}) {
    const double product = static_cast<double>(weights[k] * of_rows[k / 5]);
    sum += product * (x[k] - 1) * (x[k] - 1);
    all_weights += product;
  }
  std::vector<double> dx(10, 7.0), losses(10, 7.0);
  double loss = 0;
  culoss::regression_options o;
  o.weights = w;
  o.row_weights = {of_rows.data(), 2};
  const auto mean = [&] {
    EXPECT_TRUE(culoss::mse(cpu{}, in, targets,
                            {.loss = {&loss, 1}, .grad_predictions = {dx.data(), 2, 3, kLd}}, o)
                    .ok());
    return loss;
  };
  EXPECT_DOUBLE_EQ(mean(), sum / 6);
  EXPECT_DOUBLE_EQ(dx[2], 2 * 2.0 * 3 * 2 / 6);
  EXPECT_EQ(dx[3], 7);
  o.mean_over = culoss::weighted_mean::weights;
  EXPECT_DOUBLE_EQ(mean(), sum / all_weights);
  EXPECT_DOUBLE_EQ(dx[7], 2 * 5.0 * 4 * 0.25 / all_weights);
  o.normalizer = 8;
  o.upstream = 3;
  EXPECT_DOUBLE_EQ(mean(), sum / 8);
  EXPECT_DOUBLE_EQ(dx[7], 3 * 2 * 5.0 * 4 * 0.25 / 8);
  o.normalizer = {};
  o.reduction = reduction::none;
  o.upstream = 1;
  o.upstream_elements = g;
  ASSERT_TRUE(
      culoss::mse(
          cpu{}, in, targets,
          {.losses = {losses.data(), 2, 3, kLd}, .grad_predictions = {dx.data(), 2, 3, kLd}}, o)
          .ok());
  for (const std::size_t k : {0u, 1u, 2u, 5u, 6u, 7u}) {
    const double e = x[k] - 1, product = static_cast<double>(weights[k] * of_rows[k / 5]);
    EXPECT_DOUBLE_EQ(losses[k], product * e * e);
    EXPECT_DOUBLE_EQ(dx[k], product * 2 * e * static_cast<double>(upstream[k]));
  }
  EXPECT_EQ(losses[4], 7);
}

}  // namespace
}  // namespace culoss_test
