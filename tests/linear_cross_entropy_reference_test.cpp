// Linear cross-entropy on the CPU: numbers worked out by hand, its gradients against complex steps
// through the formula of the loss, rows in any number of threads.
#include <gtest/gtest.h>

#include <complex>
#include <vector>

#include "host/reference/cross_entropy.hpp"
#include "tests/cases/linear_cross_entropy_check.hpp"
#include "tests/complex_step.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

const std::vector<double>& values(const std::vector<output>& all, const char* name) {
  const output* o = find_output(all, name);
  if (o == nullptr) throw std::out_of_range(name);
  return o->values;
}

// Logits (log 2, 0, log 5) and (0, log 3, log 4) as the products of unit vectors, with labels 2 and
// 0: probabilities (2, 1, 5) / 8 and (1, 3, 4) / 8.
TEST(linear_reference, gives_the_numbers_of_an_example) {
  linear_choice c = linear(plain_cross_entropy());
  c.bias = true;
  linear_numbers p;
  p.type = element::float64;
  p.dimension = 2;
  p.rows.type = element::float64;
  p.rows.rows = 2;
  p.rows.cols = 3;
  p.rows.labels = {2, 0};
  p.h = {1, 0, 0, 1};
  p.w = {std::log(2), 1, 0, 1 + std::log(3), std::log(5), 1 + std::log(4)};
  p.bias = {0, 0, 0};
  const results r = run(c, p, {.where = space::cpu});
  ASSERT_TRUE(r.status.ok()) << r.status.message();
  constexpr double kError = 8 * 0x1p-53;
  EXPECT_NEAR(values(r.outputs, "loss")[0], (std::log(8.0 / 5) + std::log(8)) / 2, kError);
  const double g[2][3] = {{1.0 / 8, 1.0 / 16, -3.0 / 16}, {-7.0 / 16, 3.0 / 16, 1.0 / 4}};
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(values(r.outputs, "grad_bias")[j], g[0][j] + g[1][j], kError);
    for (std::size_t i = 0; i < 2; ++i) {  // h is the unit matrix
      EXPECT_NEAR(values(r.outputs, "grad_weight")[2 * j + i], g[i][j], kError);
    }
  }
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t d = 0; d < 2; ++d) {
      double sum = 0;
      for (std::size_t j = 0; j < 3; ++j) sum += g[i][j] * p.w[2 * j + d];
      EXPECT_NEAR(values(r.outputs, "grad_hidden")[2 * i + d], sum, kError);
    }
  }
  EXPECT_EQ(values(r.outputs, "argmax"), (std::vector<double>{2, 2}));
  EXPECT_EQ(values(r.outputs, "correct")[0], 1);
}

// The sum of all rows' losses with what multiplies them, by hidden states, weights and biases.
complex total(const linear_choice& c, const linear_numbers& p, const std::vector<complex>& h,
              const std::vector<complex>& w, const std::vector<complex>& bias) {
  const auto dimension = static_cast<std::size_t>(p.dimension);
  const auto classes = static_cast<std::size_t>(p.classes());
  const auto options = culoss::reference::options_of_row(c.reference_options(p.rows));
  const double divisor = c.divisor(p.rows, counted_weight(c, p.rows));
  complex sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(p.rows.rows); ++i) {
    if (!c.counts(p.rows, i)) continue;
    std::vector<complex> x(classes);
    for (std::size_t j = 0; j < classes; ++j) {
      x[j] = c.bias ? bias[j] : complex(0);
      for (std::size_t d = 0; d < dimension; ++d)
        x[j] += h[i * dimension + d] * w[j * dimension + d];
    }
    const auto target = static_cast<std::size_t>(p.rows.labels[i]);
    const std::span<const complex> row(x);
    const auto statistics = culoss::reference::statistics_of_row<complex>(row, target, options);
    const complex lse = culoss::reference::log_sum_exp(statistics, options);
    sum += c.gradient_scale(p.rows, i, divisor) *
           (culoss::reference::cross_entropy_row<complex>(row, target, statistics, options) +
            culoss::reference::z_loss_row(lse, options));
  }
  return sum;
}

TEST(linear_reference, has_the_gradients_of_its_loss) {
  std::uint64_t seed = 0;
  for (const cross_entropy_choice& rows : cross_entropy_choices()) {
    linear_choice c = linear(rows);
    ++seed;
    c.mode = static_cast<linear_mode>(seed % 3);
    if (c.mode == linear_mode::shards) c.shards = {2, 1, 4};
    c.bias = seed % 4 != 0;
    const linear_numbers p = make_linear(
        c, {.type = element::float64, .rows = 5, .classes = 7, .dimension = 3, .seed = seed});
    const results r = run(c, p, {.where = space::cpu});
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    std::vector<complex> h(p.h.begin(), p.h.end()), w(p.w.begin(), p.w.end()),
        bias(p.bias.begin(), p.bias.end());
    for (const expectation& e : expect(c, p, space::cpu)) {
      std::vector<complex>* const by = e.name == "grad_hidden"   ? &h
                                       : e.name == "grad_weight" ? &w
                                       : e.name == "grad_bias"   ? &bias
                                                                 : nullptr;
      if (by == nullptr) continue;
      for (std::size_t k = 0; k < by->size(); ++k) {
        (*by)[k] += complex(0, kStep);
        const double derivative = total(c, p, h, w, bias).imag() / kStep;
        (*by)[k] = (*by)[k].real();
        // Both sides err.
        EXPECT_LE(std::fabs(values(r.outputs, e.name.c_str())[k] - derivative), 2 * e.bounds[k])
            << describe(c, p) << " " << e.name << " " << k;
        EXPECT_LE(e.bounds[k], 1e-10);  // what is promised of this test
      }
    }
  }
}

TEST(linear_reference, is_the_same_on_any_number_of_threads) {
  for (const linear_mode mode : {linear_mode::fused, linear_mode::split, linear_mode::shards}) {
    linear_choice c = linear(full_cross_entropy());
    c.mode = mode;
    if (mode == linear_mode::shards) c.shards = {300, 1, 700};
    const linear_numbers p = make_linear(c, {.rows = 150, .classes = 1001, .dimension = 20});
    const results one = run(c, p, {.where = space::cpu, .threads = 1});
    ASSERT_TRUE(one.status.ok()) << one.status.message();
    for (const int threads : {2, 5}) {
      EXPECT_EQ(
          difference(one.outputs, run(c, p, {.where = space::cpu, .threads = threads}).outputs),
          "");
    }
  }
}

}  // namespace
}  // namespace culoss_test
