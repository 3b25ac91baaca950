// The gradients of softmax and log_softmax on the CPU against complex steps, and cross-entropy in
// double against the same formula in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <culoss/culoss.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "host/reference/cross_entropy.hpp"
#include "host/reference/softmax.hpp"
#include "tests/complex_step.hpp"

namespace {

using culoss::matrix;
using namespace culoss::reference;
using namespace culoss_test;

// Calls check(x) for rows of every kind and width.
void for_each_row(const std::function<void(const std::vector<double>&, std::mt19937_64&)>& check) {
  std::mt19937_64 random(1);
  for (const std::size_t cols : kWidths) {
    for (const kind k : kKinds) {
      SCOPED_TRACE("cols " + std::to_string(cols) + " kind " + std::to_string(static_cast<int>(k)));
      check(make_row(k, cols, cols / 2, random), random);
    }
  }
}

struct row_view {
  explicit row_view(std::vector<double>& v)
      : cols(static_cast<std::int64_t>(v.size())), data(v.data()) {}
  operator matrix<double>() const { return {data, 1, cols}; }
  operator matrix<const double>() const { return {data, 1, cols}; }
  std::int64_t cols;
  double* data;
};

// sum_k g_k p_k and sum_k g_k log p_k are differentiated; the backward gets g. Both sides sum C
// products and multiply by a probability, so each errs by the sum of the magnitudes, which is at
// most |g_j| + sum |g_k| p_k (for log p: + p_j sum |g_k|), times the error of two probabilities and
// of the sum.
TEST(ComplexStep, SoftmaxBackward) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::vector<double> logits = x, p(x.size()), g(x.size()), dx(x.size());
    std::generate(g.begin(), g.end(), [&] { return normal(random); });
    for (const float t : kTemperatures) {
      const culoss::softmax_options options = {.temperature = t};
      ASSERT_TRUE(culoss::softmax(culoss::cpu{}, row_view(logits), row_view(p), options).ok());
      ASSERT_TRUE(
          culoss::softmax_backward(culoss::cpu{}, row_view(p), row_view(g), row_view(dx), options)
              .ok());
      double dot = 0;
      for (std::size_t k = 0; k < x.size(); ++k) dot += std::fabs(g[k]) * p[k];
      const double relative =
          2 * (2 * error_of_probability(x, t) + (static_cast<double>(x.size()) + 6) * kUnit);
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double derivative = complex_step(x, j, [&](const std::vector<complex>& z) {
          std::vector<complex> q(z.size());
          softmax_row<complex>(z, t, q);
          complex sum = 0;
          for (std::size_t k = 0; k < z.size(); ++k) sum += g[k] * q[k];
          return sum;
        });
        const double bound = relative * p[j] * (std::fabs(g[j]) + dot) / t;
        EXPECT_LE(std::fabs(dx[j] - derivative), bound) << "T " << t << " column " << j;
      }
    }
  });
}

TEST(ComplexStep, LogSoftmaxBackward) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::vector<double> logits = x, l(x.size()), g(x.size()), dx(x.size());
    std::generate(g.begin(), g.end(), [&] { return normal(random); });
    for (const float t : kTemperatures) {
      const culoss::softmax_options options = {.temperature = t};
      ASSERT_TRUE(culoss::log_softmax(culoss::cpu{}, row_view(logits), row_view(l), options).ok());
      ASSERT_TRUE(culoss::log_softmax_backward(culoss::cpu{}, row_view(l), row_view(g),
                                               row_view(dx), options)
                      .ok());
      double sum = 0;
      for (const double v : g) sum += std::fabs(v);
      // The backward sees log p, whose rounding enters exp(log p) with |log p| u.
      const double relative =
          2 * (2 * error_of_probability(x, t) + (static_cast<double>(x.size()) + 6) * kUnit);
      for (std::size_t j = 0; j < x.size(); ++j) {
        if (x[j] == -kInfinity) {
          EXPECT_EQ(dx[j], 0.0);
          continue;
        }
        const double derivative = complex_step(x, j, [&](const std::vector<complex>& z) {
          std::vector<complex> q(z.size());
          log_softmax_row<complex>(z, t, q);
          // The gradient of a masked column's log p is that of -log sum_k exp(x_k / T).
          complex total = 0;
          for (std::size_t k = 0; k < z.size(); ++k) total += g[k] * complex(0, q[k].imag());
          return total;
        });
        const double bound = relative * (std::fabs(g[j]) + std::exp(l[j]) * sum) / t;
        EXPECT_LE(std::fabs(dx[j] - derivative), bound) << "T " << t << " column " << j;
      }
    }
  });
}

TEST(LongDouble, SoftmaxSumsToOne) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64&) {
    std::vector<double> logits = x, p(x.size());
    ASSERT_TRUE(culoss::softmax(culoss::cpu{}, row_view(logits), row_view(p)).ok());
    double sum = 0;
    for (const double v : p) sum += v;
    // The quotients' sum is exact up to a rounding of each, of the denominator and of this sum.
    EXPECT_LE(std::fabs(sum - 1), (2 * static_cast<double>(x.size()) + 2) * kUnit);
  });
}

// With d = (x_t - m) / T - log s as the loss takes it: the error of d is that of its terms, and
// d loss / dd = -(1 - p_t), so a confident row is held to relative accuracy.
TEST(LongDouble, CrossEntropyIsRelativelyExact) {
  for_each_row([](const std::vector<double>& x, std::mt19937_64&) {
    for (const float t : kTemperatures) {
      const row_options row = {.temperature = t};
      const std::vector<long double> exact(x.begin(), x.end());
      for (std::size_t target = 0; target < x.size(); ++target) {
        if (x[target] == -kInfinity) continue;
        const auto statistics = statistics_of_row<double>(x, target, row);
        const double loss = cross_entropy_row<double>(x, target, statistics, row);
        const long double expected = cross_entropy_row<long double>(
            exact, target, statistics_of_row<long double>(exact, target, row), row);
        const double d = log_odds(statistics, row);
        if (std::isinf(d)) {
          EXPECT_EQ(loss, 0.0);
          EXPECT_EQ(expected, 0.0L);
          continue;
        }
        const double error_of_d =
            error_of_probability(x, t) +
            (2 * std::fabs(x[target] - statistics.max) / t + std::fabs(d)) * kUnit;
        const double bound = sigmoid(-d) * error_of_d + 6 * kUnit * loss;
        EXPECT_LE(std::fabs(static_cast<double>(loss - expected)), bound)
            << "target " << target << " T " << t << " loss " << loss;
      }
    }
  });
}

}  // namespace
