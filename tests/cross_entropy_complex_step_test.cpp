// The gradients of cross-entropy on the CPU, with labels and with target probabilities, against
// complex steps through its formula: each option alone and all at once.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>
#include <string>
#include <vector>

#include "host/reference/cross_entropy_targets.hpp"
#include "tests/complex_step.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::vector;
using culoss::reference::row_options;

constexpr std::size_t kRows = std::size(kKinds);

struct setting {
  float temperature, smoothing, softcap, z_loss;
  bool weighted;
};

template <class Check>
void for_each_setting(const Check& check) {
  for (const std::size_t cols : kWidths) {
    for (const float t : kTemperatures) {
      for (const float s : {0.0f, 0.1f, 1.0f}) {
        for (const bool weighted : {false, true}) {
          check(cols, setting{t, s, 0, 0, weighted});
          check(cols, setting{t, s, 30, 0, weighted});
          check(cols, setting{t, s, 0, 0.3f, weighted});
          check(cols, setting{t, s, 2.5f, 0.1f, weighted});
        }
      }
    }
  }
}

// What both sides of a comparison may differ by.
class row_error {
 public:
  row_error(const std::vector<double>& x, const row_options& options)
      : options_(options), cols_(static_cast<double>(x.size())) {
    std::vector<double> y = x;
    double largest = 0;
    for (double& v : y) {
      v = options.capped(v);
      if (!std::isinf(v)) largest = std::max(largest, std::fabs(v));
    }
    // A quotient, tanh to an ulp and a product: 4 u of each y where there is a cap.
    const double of_cap = options.softcap == 0 ? 0 : 2 * 4 * largest / options.temperature * kUnit;
    probability_ = error_of_probability(y, options.temperature) + of_cap;
  }

  // Of log p_j.
  double probability() const { return probability_; }
  // Of p_j times sums over the columns times the slope of the cap at x_j: 1 / cosh^2 carries the
  // rounding of x / c with |x / c|, twice; and a product for each option.
  double gradient(double x_j) const {
    const double of_slope = options_.softcap == 0 ? 0 : 2 * std::fabs(x_j / options_.softcap) + 8;
    return 2 * (probability_ + (cols_ + 8 + of_slope) * kUnit);
  }
  // Of 2 z_loss lse p_j, the size and what the error of lse adds, over that error.
  double z_size(double lse) const { return 2 * options_.z_loss * (std::fabs(lse) + 1); }

 private:
  row_options options_;
  double cols_, probability_;
};

class CrossEntropyGradient : public ::testing::TestWithParam<reduction> {
 protected:
  // Logits of every kind, and every weight that a call can have.
  struct problem {
    std::vector<double> x, q;
    std::vector<std::int64_t> labels;
    std::vector<float> class_weights, row_weights, upstream_rows;
    culoss::cross_entropy_options options;
    row_options row;
  };

  problem make(std::size_t cols, const setting& of) {
    problem p;
    std::normal_distribution<double> normal(0.2, 0.5);
    for (const kind k : kKinds) {
      p.labels.push_back(static_cast<std::int64_t>(random_() % cols));
      for (const double v : make_row(k, cols, static_cast<std::size_t>(p.labels.back()), random_)) {
        p.x.push_back(v);
        p.q.push_back(v == -HUGE_VAL || random_() % 4 == 0 ? 0 : normal(random_));
      }
    }
    p.class_weights = positive_floats(cols, random_);
    p.row_weights = positive_floats(kRows, random_);
    p.upstream_rows = positive_floats(kRows, random_);
    p.options = {.reduction = GetParam(),
                 .label_smoothing = of.smoothing,
                 .temperature = of.temperature,
                 .softcap = of.softcap,
                 .z_loss = of.z_loss,
                 .row_weights = {p.row_weights.data(), kRows},
                 .upstream = 1.75f};
    if (GetParam() == reduction::none) p.options.upstream_rows = {p.upstream_rows.data(), kRows};
    if (GetParam() == reduction::sum) p.options.normalizer = 3.0f;
    if (of.weighted) {
      p.options.class_weights = {p.class_weights.data(), static_cast<std::int64_t>(cols)};
    }
    p.row = {.temperature = of.temperature,
             .label_smoothing = of.smoothing,
             .softcap = of.softcap,
             .z_loss = of.z_loss,
             .class_weights = of.weighted ? p.class_weights.data() : nullptr};
    return p;
  }

  static double scale(const problem& p, std::size_t i, double divisor_of_mean) {
    const double upstream = GetParam() == reduction::none ? p.upstream_rows[i] : 1.75;
    double divisor = GetParam() == reduction::sum ? 3 : 1;
    if (GetParam() == reduction::mean) divisor = divisor_of_mean;
    return upstream * p.row_weights[i] / divisor;
  }

  void check_labels(std::size_t cols, const setting& of) {
    const problem p = make(cols, of);
    const auto rows = static_cast<std::int64_t>(kRows), width = static_cast<std::int64_t>(cols);
    std::vector<double> fused(p.x.size()), separate(p.x.size());
    std::vector<culoss::row_statistics<double>> statistics(kRows);
    const matrix<const double> logits(p.x.data(), rows, width);
    const culoss::label_view labels = vector<const std::int64_t>(p.labels.data(), rows);
    ASSERT_TRUE(culoss::cross_entropy(culoss::cpu{}, logits, labels,
                                      {.grad_logits = {fused.data(), rows, width},
                                       .statistics = {statistics.data(), rows}},
                                      p.options)
                    .ok());
    ASSERT_TRUE(culoss::cross_entropy_backward(
                    culoss::cpu{}, logits, labels,
                    vector<const culoss::row_statistics<double>>(statistics.data(), rows),
                    {.grad_logits = {separate.data(), rows, width}}, p.options)
                    .ok());
    EXPECT_EQ(fused, separate);
    double divisor = 0;
    for (const std::int64_t t : p.labels) divisor += p.row.weight(static_cast<std::size_t>(t));
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto first = p.x.begin() + static_cast<std::ptrdiff_t>(i * cols);
      check_row({first, first + width}, static_cast<std::size_t>(p.labels[i]), p.row,
                scale(p, i, divisor), fused.data() + i * cols);
    }
  }

  // A row's terms are of the size (1 - s) w_t, (s / C) times the sum of the weights and that of the
  // z-loss; the complex step differentiates each -log p_k by itself, so that sum counts twice.
  static void check_row(const std::vector<double>& x, std::size_t target, const row_options& row,
                        double scale, const double* gradient) {
    using namespace culoss::reference;
    const auto loss = [&](const std::vector<complex>& z) {
      const auto statistics = statistics_of_row<complex>(z, target, row);
      return cross_entropy_row<complex>(z, target, statistics, row) +
             z_loss_row(log_sum_exp(statistics, row), row);
    };
    const row_error error(x, row);
    const double lse = log_sum_exp(statistics_of_row<double>(x, target, row), row);
    const auto cols = static_cast<double>(x.size());
    double weights = 0;
    for (std::size_t j = 0; j < x.size(); ++j) weights += x[j] == -HUGE_VAL ? 0 : row.weight(j);
    const double s = row.label_smoothing;
    const double size = scale / row.temperature *
                        ((1 - s) * row.weight(target) + 2 * s / cols * weights + error.z_size(lse));
    double sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      sum += gradient[j];
      if (x[j] == -HUGE_VAL) {
        EXPECT_EQ(gradient[j], 0.0);
        continue;
      }
      const double bound = error.gradient(x[j]) * size * row.slope(x[j]);
      ASSERT_LE(error.gradient(x[j]), 1e-12);  // what is promised of this test
      EXPECT_LE(std::fabs(gradient[j] - scale * complex_step(x, j, loss)), bound)
          << "column " << j << " of " << x.size() << " target " << target << " T "
          << row.temperature << " s " << s << " softcap " << row.softcap << " z " << row.z_loss;
    }
    if (row.softcap == 0) {  // adding a constant to the logits changes no loss but through lse
      const double expected = scale / row.temperature * 2 * row.z_loss * lse;
      EXPECT_LE(std::fabs(sum - expected), cols * error.gradient(0) * size);
    }
  }

  void check_targets(std::size_t cols, const setting& of) {
    problem p = make(cols, of);
    const auto rows = static_cast<std::int64_t>(kRows), width = static_cast<std::int64_t>(cols);
    std::vector<double> dx(p.x.size()), dq(dx), separate_dx(dx), separate_dq(dx);
    std::vector<culoss::row_statistics<double>> statistics(kRows);
    const matrix<const double> logits(p.x.data(), rows, width), targets(p.q.data(), rows, width);
    ASSERT_TRUE(culoss::cross_entropy(culoss::cpu{}, logits, targets,
                                      {.grad_logits = {dx.data(), rows, width},
                                       .grad_targets = {dq.data(), rows, width},
                                       .statistics = {statistics.data(), rows}},
                                      p.options)
                    .ok());
    ASSERT_TRUE(culoss::cross_entropy_backward(
                    culoss::cpu{}, logits, targets,
                    vector<const culoss::row_statistics<double>>(statistics.data(), rows),
                    {.grad_logits = {separate_dx.data(), rows, width},
                     .grad_targets = {separate_dq.data(), rows, width}},
                    p.options)
                    .ok());
    EXPECT_EQ(dx, separate_dx);
    EXPECT_EQ(dq, separate_dq);
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto first = static_cast<std::ptrdiff_t>(i * cols);
      check_row_of_targets({p.x.begin() + first, p.x.begin() + first + width},
                           {p.q.begin() + first, p.q.begin() + first + width}, p.row,
                           scale(p, i, static_cast<double>(kRows)), dx.data() + first,
                           dq.data() + first);
    }
  }

  static void check_row_of_targets(const std::vector<double>& x, const std::vector<double>& q,
                                   const row_options& row, double scale, const double* dx,
                                   const double* dq) {
    using namespace culoss::reference;
    const auto loss = [&](const std::vector<complex>& z, const std::vector<complex>& r) {
      const auto statistics = statistics_of_row<complex>(z, std::span<const complex>(r), row);
      return cross_entropy_row<complex>(z, std::span<const complex>(r), statistics, row) +
             z_loss_row(log_sum_exp_of_all(statistics, row), row);
    };
    const std::vector<complex> complex_x(x.begin(), x.end()), complex_q(q.begin(), q.end());
    const row_error error(x, row);
    const auto statistics = statistics_of_row<double>(x, std::span<const double>(q), row);
    const double lse = log_sum_exp_of_all(statistics, row);
    const auto target = [&](std::size_t j) {
      return std::fabs(row.weight(j) * smoothed_target(x[j], q[j], x.size(), row));
    };
    double targets = 0;
    for (std::size_t j = 0; j < x.size(); ++j) targets += target(j);
    for (std::size_t j = 0; j < x.size(); ++j) {
      SCOPED_TRACE("column " + std::to_string(j) + " of " + std::to_string(x.size()));
      if (x[j] == -HUGE_VAL) {
        EXPECT_EQ(dx[j], 0.0);
        EXPECT_EQ(dq[j], 0.0);
        continue;
      }
      const double log_p = -loss_of_column(x[j], statistics, row);
      const double size = scale / row.temperature * row.slope(x[j]) *
                          (std::exp(log_p) * (targets + error.z_size(lse)) + target(j));
      const double by_x =
          complex_step(x, j, [&](const std::vector<complex>& z) { return loss(z, complex_q); });
      EXPECT_LE(std::fabs(dx[j] - scale * by_x), error.gradient(x[j]) * size);

      const double factor = scale * (1 - row.label_smoothing) * row.weight(j);
      const double by_q =
          complex_step(q, j, [&](const std::vector<complex>& r) { return loss(complex_x, r); });
      EXPECT_LE(std::fabs(dq[j] - scale * by_q),
                2 * factor * (error.probability() + 8 * kUnit * std::fabs(log_p)));
    }
  }

 private:
  std::mt19937_64 random_{2};
};

TEST_P(CrossEntropyGradient, IsTheDerivativeOfTheLoss) {
  for_each_setting([&](std::size_t cols, const setting& of) { check_labels(cols, of); });
}

TEST_P(CrossEntropyGradient, OfTargetProbabilitiesIsTheDerivativeOfTheLoss) {
  for_each_setting([&](std::size_t cols, const setting& of) { check_targets(cols, of); });
}

INSTANTIATE_TEST_SUITE_P(Reductions, CrossEntropyGradient,
                         ::testing::Values(reduction::none, reduction::mean, reduction::sum));

}  // namespace
}  // namespace culoss_test
