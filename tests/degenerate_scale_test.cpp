// Gradients whose scale is 0, NaN or at the ends of its range: the two execution spaces agree on
// which elements are 0, which NaN and which finite.
#include <gtest/gtest.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <limits>

#include "tests/harness/arrays.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

class degenerate_scale : public on_each_space {
 protected:
  static constexpr std::int64_t kRows = 2, kCols = 3;

  array<float> matrix_of(const std::vector<double>& numbers) const {
    array<float> a(GetParam(), kRows, kCols, 0, 0);
    if (!numbers.empty()) a.write(numbers);
    return a;
  }
  array<std::int32_t> labels_of(const std::vector<int>& labels) const {
    array<std::int32_t> a(GetParam(), kRows, 0);
    a.write(labels);
    return a;
  }
  // call(where) on the space under test; then the matrix.
  template <class Call>
  std::vector<double> result_of(const Call& call, const array<float>& out) const {
    const culoss::status s =
        GetParam() == space::cpu ? call(culoss::cpu{.threads = 1}) : call(culoss::cuda{});
    EXPECT_TRUE(s.ok()) << s.message();
    synchronize(GetParam());
    std::string damage;
    return out.read("gradient", damage);
  }
};

TEST_P(degenerate_scale, of_0_meets_an_infinite_logit) {
  const array<float> x = matrix_of({kInf, -kInf, 1, kInf, -kInf, 1});
  const array<float> t = matrix_of({0.3, 0.3, 0.3, 0.3, 0.3, 0.3});
  array<float> weights(GetParam(), kRows, 0);
  weights.write(std::vector<float>{0, 1});
  const array<float> out = matrix_of({});
  culoss::sigmoid_focal_options options;
  options.row_weights = weights.as_vector();
  const auto g = result_of(
      [&](const auto& where) {
        return culoss::sigmoid_focal(where, x.as_matrix(), t.as_matrix(),
                                     {.grad_targets = out.as_matrix()}, options);
      },
      out);
  for (std::size_t j = 0; j < 3; ++j) EXPECT_EQ(g[j], 0) << j;
  EXPECT_TRUE(std::isinf(g[3]) && std::isinf(g[4]) && std::isfinite(g[5]));
}

// With `empty_batch::nan` a divisor of 0 makes every element of a row that counts NaN, also those
// whose gradient is 0 by the formula.
TEST_P(degenerate_scale, of_nan_reaches_every_element) {
  const array<std::int32_t> labels = labels_of({1, 2});
  const array<float> logits = matrix_of({-kInf, 1, -kInf, 0, 1, 2});
  const array<float> targets = matrix_of({0, 1, 0, 0.5, 0, 0.5});
  const array<float> out = matrix_of({});
  const auto expect_nan = [&](const char* what, const auto& call) {
    for (const double g : result_of(call, out)) EXPECT_TRUE(std::isnan(g)) << what << ": " << g;
  };
  culoss::cross_entropy_options options;
  options.normalizer = 0.0f;
  options.empty = culoss::empty_batch::nan;
  expect_nan("labels", [&](const auto& where) {
    return culoss::cross_entropy(where, logits.as_matrix(), culoss::label_view(labels.as_vector()),
                                 {.grad_logits = out.as_matrix()}, options);
  });
  expect_nan("logits of targets", [&](const auto& where) {
    return culoss::cross_entropy(where, logits.as_matrix(), targets.as_matrix(),
                                 {.grad_logits = out.as_matrix()}, options);
  });
  expect_nan("targets", [&](const auto& where) {
    return culoss::cross_entropy(where, logits.as_matrix(), targets.as_matrix(),
                                 {.grad_targets = out.as_matrix()}, options);
  });
  expect_nan("entropy", [&](const auto& where) {
    culoss::entropy_options o;
    o.normalizer = 0.0f;
    o.empty = culoss::empty_batch::nan;
    return culoss::entropy(where, targets.as_matrix(), {.grad_input = out.as_matrix()}, o);
  });
  expect_nan("nll", [&](const auto& where) {
    culoss::nll_options o;
    o.normalizer = 0.0f;
    o.empty = culoss::empty_batch::nan;
    return culoss::nll(where, logits.as_matrix(), culoss::label_view(labels.as_vector()),
                       {.grad_input = out.as_matrix()}, o);
  });
}

// dL/dt of a subnormal target, and of logits near 0, where sg(-x) - sg(x) is a small difference.
TEST_P(degenerate_scale, of_sigmoid_focal_keeps_small_differences) {
  const std::vector<double> x = {-100, -100, 1e-5, -1e-6, 1e-7, 0};
  const std::vector<double> t = {static_cast<double>(1e-40f), 0, 0.5, 0.5, 0.5, 0.5};
  for (const float gamma : {0.1f, 1.5f}) {
    const array<float> logits = matrix_of(x), targets = matrix_of(t), out = matrix_of({});
    culoss::sigmoid_focal_options options;
    options.reduction = culoss::reduction::sum;
    options.gamma = gamma;
    options.alpha = -1;
    const auto g = result_of(
        [&](const auto& where) {
          return culoss::sigmoid_focal(where, logits.as_matrix(), targets.as_matrix(),
                                       {.grad_targets = out.as_matrix()}, options);
        },
        out);
    for (std::size_t j = 2; j < 6; ++j) {
      // To first order at t = 1/2: u = 1/2, BCE = log 2, sg(-x) - sg(x) = -x / 2, and f = u^gamma.
      const double xj = static_cast<double>(static_cast<float>(x[j]));
      const double f = std::pow(0.5, static_cast<double>(gamma));
      const double slope = -f * xj * (1 + static_cast<double>(gamma) * std::log(2.0));
      // What the expansion leaves out is x^2 of it; some two dozen roundings to float.
      EXPECT_NEAR(g[j], slope, std::fabs(slope) * (xj * xj + 24 * 0x1p-24)) << j;
    }
    // u = t + exp(x), BCE = t |x| + exp(x) nearly; f = u^gamma.
    for (std::size_t j = 0; j < 2; ++j) {
      const double u = t[j] + std::exp(x[j]), bce = t[j] * -x[j] + std::exp(x[j]);
      const double f = std::pow(u, static_cast<double>(gamma));
      const double slope = f * (-x[j] + static_cast<double>(gamma) * bce / u);
      // u is a sum of two products, each rounded to a subnormal; its logarithm is multiplied.
      const double of_u = (1 + static_cast<double>(gamma)) * 2 * 0x1p-149 / u;
      const double of_power = 2 * static_cast<double>(gamma) * std::fabs(std::log2(u)) * 0x1p-24;
      EXPECT_NEAR(g[j], slope, slope * (of_u + of_power + 24 * 0x1p-24) + 0x1p-149) << j;
    }
  }
}

CULOSS_ON_EACH_SPACE(degenerate_scale);

}  // namespace
}  // namespace culoss_test
