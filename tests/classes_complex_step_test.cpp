// The gradients of both focal losses, nll and entropy on the CPU against complex steps through
// their formulas.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>
#include <string>
#include <vector>

#include "host/reference/divergence.hpp"
#include "host/reference/focal.hpp"
#include "host/reference/nll.hpp"
#include "tests/complex_step.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::matrix;
using culoss::reduction;
using culoss::vector;
namespace formula = culoss::reference;

constexpr float kGammas[] = {0.0f, 0.25f, 0.5f, 1.0f, 2.0f, 3.7f, 5.0f};

template <class Check>
void for_each_row(const Check& check) {
  std::mt19937_64 random(3);
  for (const std::size_t cols : kWidths) {
    for (const kind k : kKinds) {
      SCOPED_TRACE("cols " + std::to_string(cols) + " kind " + std::to_string(static_cast<int>(k)));
      check(make_row(k, cols, cols / 2, random), random);
    }
  }
}

std::int64_t size_of(const std::vector<double>& v) { return static_cast<std::int64_t>(v.size()); }
matrix<const double> row_of(const std::vector<double>& v) { return {v.data(), 1, size_of(v)}; }
matrix<double> row_of(std::vector<double>& v) { return {v.data(), 1, size_of(v)}; }

// Both terms of L'(d) have one sign. An error of the margin d changes it by gamma + 2 times that,
// relatively: (1 - p_t)^gamma and (1 - p_t) have the relative derivatives gamma p_t and p_t, the
// other factors one of at most 1. exp(-gamma softplus(d)) carries the rounding of its argument.
TEST(ComplexStep, SoftmaxFocal) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64& random) {
    const std::vector<float> alpha = positive_floats(x.size(), random);
    for (const float t : kTemperatures) {
      for (const float gamma : kGammas) {
        const std::size_t target = x.size() / 2;
        const formula::row_options row = {.temperature = t};
        const auto label = static_cast<std::int64_t>(target);
        const double upstream = 1.75;
        std::vector<double> dx(x.size());
        ASSERT_TRUE(culoss::softmax_focal(cpu{}, row_of(x), vector<const std::int64_t>(&label, 1),
                                          {.grad_logits = row_of(dx)},
                                          {.reduction = reduction::sum,
                                           .gamma = gamma,
                                           .alpha = {alpha.data(), size_of(x)},
                                           .temperature = t,
                                           .normalizer = 3,
                                           .upstream = upstream})
                        .ok());
        const double scale = upstream * alpha[target] / 3.0;
        const auto statistics = formula::statistics_of_row<double>(x, target, row);
        const double d = formula::log_odds(statistics, row);
        const double exponent = std::isinf(d) ? 0 : gamma * formula::softplus(d);
        const double error =
            2 * ((gamma + 2) * (error_of_probability(x, t) + 8 * kUnit) + 8 * exponent * kUnit);
        for (std::size_t j = 0; j < x.size(); ++j) {
          if (x[j] == -HUGE_VAL || std::isinf(d)) {
            EXPECT_EQ(dx[j], 0.0);
            continue;
          }
          const double expected =
              scale * complex_step(x, j, [&](const std::vector<complex>& z) {
                return formula::softmax_focal_row(
                    formula::statistics_of_row<complex>(z, target, row), row, gamma);
              });
          EXPECT_LE(std::fabs(dx[j] - expected), error * std::fabs(expected))
              << "column " << j << " T " << t << " gamma " << gamma;
        }
      }
    }
  });
}

// Of each derivative, the sum of its terms' sizes. Each term is a product of at most 16 factors and
// functions good to an ulp, 2 u; u^gamma carries gamma times the errors of log u: that of u and
// its own.
TEST(ComplexStep, SigmoidFocal) {
  const std::vector<double> targets = {0, 1, 0.5, 0.25, 0.999, 1e-6};
  const std::vector<double> logits = {-40, -6, -0.75, 0, 1e-3, 2, 15, 37};
  for (const float gamma : kGammas) {
    for (const float alpha : {-1.0f, 0.0f, 0.25f, 1.0f}) {
      const formula::focal_options element = {.gamma = gamma, .alpha = alpha};
      for (const double x : logits) {
        const std::vector<double> row(targets.size(), x);
        std::vector<double> dx(row), dt(row);
        ASSERT_TRUE(
            culoss::sigmoid_focal(cpu{}, row_of(row), row_of(targets),
                                  {.grad_logits = row_of(dx), .grad_targets = row_of(dt)},
                                  {.reduction = reduction::sum, .gamma = gamma, .alpha = alpha})
                .ok());
        for (std::size_t j = 0; j < targets.size(); ++j) {
          const double t = targets[j], p = formula::sigmoid(x), q = formula::sigmoid(-x);
          const double bce = formula::binary_cross_entropy(x, t), u = formula::complement(x, t);
          const double modulation = std::pow(u, gamma), a = element.factor(t);
          const double error = 2 * (16 * 2 + 8 * gamma * (1 + std::fabs(std::log(u)))) * kUnit;
          const auto f = [&](const std::vector<complex>& v) {
            return formula::focal_loss(v[0], v[1], element);
          };
          const double x_size = a * modulation * ((1 - t) * p + t * q + gamma * bce * p * q / u);
          EXPECT_LE(std::fabs(dx[j] - complex_step({x, t}, 0, f)), error * x_size)
              << "x " << x << " t " << t << " gamma " << gamma << " alpha " << alpha;
          const double both = formula::softplus(x) + formula::softplus(-x);
          const double t_size = modulation * (std::fabs(element.factor_slope()) * bce +
                                              a * (both + gamma * bce / u * (p + q)));
          EXPECT_LE(std::fabs(dt[j] - complex_step({x, t}, 1, f)), error * t_size)
              << "x " << x << " t " << t << " gamma " << gamma << " alpha " << alpha;
        }
      }
    }
  }
}

TEST(ComplexStep, Nll) {
  const std::vector<double> p = {0.75, 1e-9, 0.5, 2};
  for (const auto input :
       {culoss::nll_input::log_probabilities, culoss::nll_input::probabilities}) {
    for (std::size_t t = 0; t < p.size(); ++t) {
      const auto label = static_cast<std::int64_t>(t);
      std::vector<double> dp(p.size());
      ASSERT_TRUE(culoss::nll(cpu{}, row_of(p), vector<const std::int64_t>(&label, 1),
                              {.grad_input = row_of(dp)}, {.input = input, .upstream = 3})
                      .ok());
      for (std::size_t j = 0; j < p.size(); ++j) {
        const double expected = complex_step(p, j, [&](const std::vector<complex>& z) {
          return 3.0 * formula::nll_loss(z[t], input);
        });
        EXPECT_LE(std::fabs(dp[j] - expected), 8 * kUnit * std::fabs(expected));
      }
    }
  }
}

// log p_j + H = e_j - B / z, e_j = (x_j - max x) / T. The complex step differentiates log z and
// B / z apart, each by p_j times terms of the sizes 1, |e_j| and |B / z|.
TEST(ComplexStep, EntropyOfLogits) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64&) {
    for (const float t : kTemperatures) {
      std::vector<double> dx(x.size());
      ASSERT_TRUE(culoss::entropy(cpu{}, row_of(x), {.grad_input = row_of(dx)},
                                  {.reduction = reduction::sum,
                                   .input = culoss::entropy_input::logits,
                                   .temperature = t,
                                   .upstream = -1.75f})
                      .ok());
      const auto row = formula::entropy_of_logits<double>(x, t);
      const double error =
          2 * (error_of_probability(x, t) + (static_cast<double>(x.size()) + 16) * kUnit);
      for (std::size_t j = 0; j < x.size(); ++j) {
        if (x[j] == -HUGE_VAL) {
          EXPECT_EQ(dx[j], 0.0);
          continue;
        }
        const double derivative = -1.75 * complex_step(x, j, [&](const std::vector<complex>& z) {
          return formula::entropy_of_logits<complex>(z, t).value();
        });
        const double exponent = (x[j] - row.max) / t, p = std::exp(exponent - row.log_sum);
        const double size = 1.75 * p / t * (2 - exponent - 2 * row.mean_exponent);
        EXPECT_LE(std::fabs(dx[j] - derivative), error * size) << "column " << j << " T " << t;
      }
    }
  });
}

// Of an element, whose derivative carries the rounding of a difference of two logarithms.
TEST(ComplexStep, KlDivergence) {
  using culoss::kl_input;
  const std::vector<double> p = {1e-12, 0.25, 0.5, 1, 3, 0.125},
                            q = {1e-3, 0.25, 1e-9, 2, 1, 0.126};
  for (const bool log_p : {false, true}) {
    for (const bool log_q : {false, true}) {
      std::vector<double> x = p, y = q, dx(x.size()), dy(x.size());
      for (double& v : x) v = log_p ? std::log(v) : v;
      for (double& v : y) v = log_q ? std::log(v) : v;
      ASSERT_TRUE(culoss::kl_divergence(
                      cpu{}, row_of(x), row_of(y), {.grad_p = row_of(dx), .grad_q = row_of(dy)},
                      {.p_input = log_p ? kl_input::log_probabilities : kl_input::probabilities,
                       .q_input = log_q ? kl_input::log_probabilities : kl_input::probabilities,
                       .upstream = 3})
                      .ok());
      for (std::size_t j = 0; j < x.size(); ++j) {
        const auto f = [&](const std::vector<complex>& z) {
          return formula::kl_term<complex>{{z[0], log_p}, {z[1], log_q}}.value();
        };
        const double logs = std::fabs(std::log(p[j])) + std::fabs(std::log(q[j])) + 1;
        EXPECT_LE(std::fabs(dx[j] - 3 * complex_step({x[j], y[j]}, 0, f)),
                  16 * kUnit * 3 * (log_p ? p[j] : 1) * logs);
        const double by_q = 3 * complex_step({x[j], y[j]}, 1, f);
        EXPECT_LE(std::fabs(dy[j] - by_q), 16 * kUnit * std::fabs(by_q) * logs);
      }
    }
  }
}

// The student off the teacher by the numbers of another row. Logarithms of what the mixture is made
// of cancel no more than those of p and q.
TEST(ComplexStep, Distillation) {
  for (const double share : {0.0, 1.0, 0.5, 0.1}) {
    for_each_row([&](const std::vector<double>& x, std::mt19937_64&) {
      std::vector<double> y(x.size());
      for (std::size_t j = 0; j < x.size(); ++j) {
        y[j] = x[j] == -HUGE_VAL ? x[j] : x[j] + 0.5 * std::sin(static_cast<double>(3 * j + 1));
      }
      for (const float t : kTemperatures) {
        std::vector<double> dx(x.size()), dy(x.size());
        const auto direction = share == 0   ? culoss::distillation_direction::forward
                               : share == 1 ? culoss::distillation_direction::reverse
                                            : culoss::distillation_direction::jensen_shannon;
        const auto beta = static_cast<float>(share);
        ASSERT_TRUE(culoss::distillation(
                        cpu{}, row_of(x), row_of(y),
                        {.grad_student = row_of(dx), .grad_teacher = row_of(dy)},
                        {.direction = direction, .beta = beta, .temperature = t, .upstream = 3})
                        .ok());
        const auto f = [&](const std::vector<complex>& student,
                           const std::vector<complex>& teacher) {
          return formula::distilled_row<complex>(student, teacher, t, static_cast<double>(beta))
              .value(static_cast<double>(beta));
        };
        const std::vector<complex> cx(x.begin(), x.end()), cy(y.begin(), y.end());
        const formula::distilled_row<double> row(x, y, t, share);
        const double error = 8 * (error_of_probability(x, t) + error_of_probability(y, t));
        for (std::size_t j = 0; j < x.size(); ++j) {
          const double by_x =
              3 * complex_step(x, j, [&](const std::vector<complex>& z) { return f(z, cy); });
          const double by_y =
              3 * complex_step(y, j, [&](const std::vector<complex>& z) { return f(cx, z); });
          if (x[j] == -HUGE_VAL) {
            EXPECT_EQ(dx[j], 0.0);
            EXPECT_EQ(dy[j], 0.0);
            continue;
          }
          const double p = std::exp(row.log_p[j]), q = std::exp(row.log_q[j]);
          const double logs = 1 + std::fabs(row.log_p[j]) + std::fabs(row.log_q[j]);
          const double size = 3 * (p + q) / t * logs;
          EXPECT_LE(std::fabs(dx[j] - by_x), error * size) << j << " T " << t << " " << share;
          EXPECT_LE(std::fabs(dy[j] - by_y), error * size) << j << " T " << t << " " << share;
        }
      }
    });
  }
}

TEST(ComplexStep, EntropyOfProbabilities) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> p = {1e-12, 1e-6, 1, 3}, dp(20);
  while (p.size() < dp.size()) p.push_back(uniform(random));
  ASSERT_TRUE(culoss::entropy(cpu{}, row_of(p), {.grad_input = row_of(dp)},
                              {.mean_elements = true, .upstream = 2})
                  .ok());
  for (std::size_t j = 0; j < p.size(); ++j) {
    const double expected = 2.0 / 20 * complex_step(p, j, [](const std::vector<complex>& z) {
                              return formula::entropy_of_probabilities<complex>(z);
                            });
    EXPECT_LE(std::fabs(dp[j] - expected), 0.1 * 16 * kUnit * (std::fabs(std::log(p[j])) + 1));
  }
}

}  // namespace
}  // namespace culoss_test
