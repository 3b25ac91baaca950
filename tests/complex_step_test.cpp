// The gradients of the CPU functions against complex steps through the formulas of the losses:
// Im f(x + ih) / h is the derivative to h^2, without a difference that could cancel (Squire and
// Trapp, "Using complex variables to estimate derivatives of real functions", 1998). And the losses
// in double against the same formulas in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <culoss/culoss.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "host/reference/cross_entropy.hpp"
#include "host/reference/softmax.hpp"

namespace {

using culoss::matrix;
using culoss::vector;
using namespace culoss::reference;
using complex = std::complex<double>;

constexpr double kStep = 0x1p-100;
constexpr double kUnit = 0x1p-53;

enum class kind { normal, wide, confident, wrong, masked, offset };
constexpr kind kKinds[] = {kind::normal, kind::wide,   kind::confident,
                           kind::wrong,  kind::masked, kind::offset};
constexpr std::size_t kWidths[] = {1, 2, 3, 7, 37};
constexpr float kTemperatures[] = {1.0f, 0.5f, 5.0f};

std::vector<double> make_row(kind k, std::size_t cols, std::size_t target,
                             std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<double> x(cols);
  for (std::size_t j = 0; j < cols; ++j) {
    x[j] = normal(random) * (k == kind::wide ? 10 : 1) + (k == kind::offset ? 1e3 : 0);
    if (k == kind::masked && j % 3 == 1 && j != target) x[j] = -kInfinity;
  }
  if (k == kind::confident) x[target] += 20;
  if (k == kind::wrong) x[target] -= 20;
  return x;
}

std::vector<float> positive_floats(std::size_t size, std::mt19937_64& random) {
  std::uniform_real_distribution<float> uniform(0.25f, 2.0f);
  std::vector<float> v(size);
  std::generate(v.begin(), v.end(), [&] { return uniform(random); });
  return v;
}

// Relative error of a probability p_j = exp(z_j) / sum of C exponentials, z = (x - max) / T, and so
// of every factor that the gradients are made of: a difference, a division and an exponential of z
// give (2|z| + 2) u, the sum C u more, its logarithm 2 |log sum| u <= 2 log(C) u, the log-odds
// another 3|z| u; a sigmoid or a quotient a few u.
double error_of_probability(const std::vector<double>& x, double temperature) {
  double low = kInfinity, high = -kInfinity;
  for (const double v : x) {
    if (v == -kInfinity) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const auto cols = static_cast<double>(x.size());
  return (cols + 5 * (high - low) / temperature + 2 * std::log(cols) + 12) * kUnit;
}

// The derivative of f by x_j.
double complex_step(const std::vector<double>& x, std::size_t j,
                    const std::function<complex(const std::vector<complex>&)>& f) {
  std::vector<complex> z(x.begin(), x.end());
  z[j] += complex(0, kStep);
  return f(z).imag() / kStep;
}

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

// One call of cross_entropy over rows of every kind, with its gradient by every way to it.
class CrossEntropyGradient : public ::testing::TestWithParam<culoss::reduction> {
 protected:
  static constexpr std::size_t kRows = std::size(kKinds);

  void check(std::size_t cols, float temperature, float smoothing, bool weighted_classes) {
    std::vector<double> x;
    std::vector<std::int64_t> labels;
    for (const kind k : kKinds) {
      labels.push_back(static_cast<std::int64_t>(random_() % cols));
      const std::vector<double> row =
          make_row(k, cols, static_cast<std::size_t>(labels.back()), random_);
      x.insert(x.end(), row.begin(), row.end());
    }
    const std::vector<float> class_weights = positive_floats(cols, random_);
    const std::vector<float> row_weights = positive_floats(kRows, random_);
    const std::vector<float> upstream_rows = positive_floats(kRows, random_);
    const bool none = GetParam() == culoss::reduction::none;
    culoss::cross_entropy_options options = {.reduction = GetParam(),
                                             .label_smoothing = smoothing,
                                             .temperature = temperature,
                                             .row_weights = {row_weights.data(), kRows},
                                             .upstream = 1.75f};
    if (none) options.upstream_rows = {upstream_rows.data(), kRows};
    if (GetParam() == culoss::reduction::sum) options.normalizer = 3.0f;
    if (weighted_classes) {
      options.class_weights = {class_weights.data(), static_cast<std::int64_t>(cols)};
    }

    const auto rows = static_cast<std::int64_t>(kRows), width = static_cast<std::int64_t>(cols);
    std::vector<double> fused(x.size()), separate(x.size());
    std::vector<culoss::row_statistics<double>> statistics(kRows);
    const matrix<const double> logits(x.data(), rows, width);
    const culoss::label_view label_view = vector<const std::int64_t>(labels.data(), rows);
    ASSERT_TRUE(culoss::cross_entropy(culoss::cpu{}, logits, label_view,
                                      {.grad_logits = {fused.data(), rows, width},
                                       .statistics = {statistics.data(), rows}},
                                      options)
                    .ok());
    ASSERT_TRUE(culoss::cross_entropy_backward(
                    culoss::cpu{}, logits, label_view,
                    vector<const culoss::row_statistics<double>>(statistics.data(), rows),
                    {.grad_logits = {separate.data(), rows, width}}, options)
                    .ok());
    EXPECT_EQ(fused, separate);

    const row_options row = {.temperature = temperature,
                             .label_smoothing = smoothing,
                             .class_weights = weighted_classes ? class_weights.data() : nullptr};
    double divisor = none ? 1 : 3;
    if (GetParam() == culoss::reduction::mean) {
      divisor = 0;
      for (const std::int64_t t : labels) divisor += row.weight(static_cast<std::size_t>(t));
    }
    for (std::size_t i = 0; i < kRows; ++i) {
      const double scale = (none ? upstream_rows[i] : 1.75) * row_weights[i] / divisor;
      const auto first = x.begin() + static_cast<std::ptrdiff_t>(i * cols);
      check_row({first, first + width}, static_cast<std::size_t>(labels[i]), row, scale,
                fused.data() + i * cols);
    }
  }

  // Each side adds up to C terms for the sum of the weights and has a product for each option. A
  // row's terms are of the size (1 - s) w_t and (s / C) times the sum of the weights; the complex
  // step differentiates each -log p_k by itself, so that sum counts twice.
  static void check_row(const std::vector<double>& x, std::size_t target, const row_options& row,
                        double scale, const double* gradient) {
    const auto cols = static_cast<double>(x.size());
    double weights = 0;
    for (std::size_t j = 0; j < x.size(); ++j) weights += x[j] == -kInfinity ? 0 : row.weight(j);
    const double s = row.label_smoothing;
    const double size =
        scale / row.temperature * ((1 - s) * row.weight(target) + 2 * s / cols * weights);
    const double bound = 2 * (error_of_probability(x, row.temperature) + (cols + 8) * kUnit) * size;
    ASSERT_LE(bound, 1e-12 * size);  // what is promised of this test
    double sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      sum += gradient[j];
      if (x[j] == -kInfinity) {
        EXPECT_EQ(gradient[j], 0.0);
        continue;
      }
      const double derivative = scale * complex_step(x, j, [&](const std::vector<complex>& z) {
                                  const auto statistics =
                                      statistics_of_row<complex>(z, target, row);
                                  return cross_entropy_row<complex>(z, target, statistics, row);
                                });
      EXPECT_LE(std::fabs(gradient[j] - derivative), bound)
          << "column " << j << " of " << x.size() << " target " << target << " T "
          << row.temperature << " s " << s;
    }
    EXPECT_LE(std::fabs(sum), cols * bound);  // adding a constant to the logits changes no loss
  }

 private:
  std::mt19937_64 random_{2};
};

TEST_P(CrossEntropyGradient, IsTheDerivativeOfTheLoss) {
  for (const std::size_t cols : kWidths) {
    for (const float temperature : kTemperatures) {
      for (const float smoothing : {0.0f, 0.1f, 1.0f}) {
        check(cols, temperature, smoothing, false);
        check(cols, temperature, smoothing, true);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reductions, CrossEntropyGradient,
                         ::testing::Values(culoss::reduction::none, culoss::reduction::mean,
                                           culoss::reduction::sum));

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
        const double d = log_odds(statistics, t);
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
