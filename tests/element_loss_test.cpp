// Elementwise losses at their kinks and at infinity, to the bit; what their means divide by.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

using enum element_function;
using culoss::reduction;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// An element, its loss and its derivatives; that by the target of a regression is the other one
// with its sign turned.
struct point {
  element_choice of;
  double x, t, loss, slope;
  double target_slope = 0;

  double by_target() const {
    return of.of() == element_choice::family::regression ? -slope : target_slope;
  }
};

// Exact in every type.
std::vector<point> regression_points() {
  const element_choice square(mse), absolute(mae), whole(huber, 1), half(huber, 0.5f),
      smooth(smooth_l1, 0.5f), sharp(smooth_l1, 0);
  return {
      {square, 2, 2, 0, 0},
      {square, 2, 0.5, 2.25, 3},
      {square, -1, 1, 4, -4},
      {square, kInf, 1, kInf, kInf},
      {square, 1, kInf, kInf, -kInf},
      {absolute, 3, 3, 0, 0},
      {absolute, 1, 0.5, 0.5, 1},
      {absolute, 0.5, 1, 0.5, -1},
      {absolute, -kInf, 1, kInf, -1},
      {absolute, 1, -kInf, kInf, 1},
      {whole, 5, 5, 0, 0},
      {whole, 1.5, 1, 0.125, 0.5},
      {whole, 2, 1, 0.5, 1},
      {whole, 1, 2, 0.5, -1},
      {whole, 2.5, 1, 1, 1},
      {whole, 0, 3, 2.5, -1},
      {whole, kInf, 0, kInf, 1},
      {whole, 0, kInf, kInf, -1},
      {half, 1, 0.5, 0.125, 0.5},
      {half, 2, 0, 0.875, 0.5},
      {half, -kInf, 0, kInf, -0.5},
      {smooth, 1, 1, 0, 0},
      {smooth, 1, 0.75, 0.0625, 0.5},
      {smooth, 1, 0.5, 0.25, 1},
      {smooth, 0.5, 1, 0.25, -1},
      {smooth, 0, 1, 0.75, -1},
      {smooth, kInf, 1, kInf, 1},
      {sharp, -2, -2, 0, 0},
      {sharp, 0.75, 1, 0.25, -1},
      {sharp, 1, 0.75, 0.25, 1},
      {sharp, kInf, kInf, kNan, kNan},
      {square, kInf, kInf, kNan, kNan},
      {whole, -kInf, -kInf, kNan, kNan},
      {absolute, kNan, 0, kNan, kNan},
      {square, 0, kNan, kNan, kNan},
      {whole, kNan, 1, kNan, kNan},
      {smooth, 1, kNan, kNan, kNan},
  };
}

// The finite limit at an infinite logit where there is one; logarithms of 0 and of what is none.
std::vector<point> binary_points() {
  const element_choice logits(binary_cross_entropy), p(binary_cross_entropy_probabilities);
  element_choice smoothed = logits, weighed = logits;
  smoothed.smoothing = 1;
  weighed.class_weights = true;
  return {
      {logits, kInf, 1, 0, 0, -kInf},
      {logits, kInf, 0, kInf, 1, -kInf},
      {logits, kInf, 0.5, kInf, 0.5, -kInf},
      {logits, -kInf, 0, 0, 0, kInf},
      {logits, -kInf, 1, kInf, -1, kInf},
      {logits, -kInf, 0.5, kInf, -0.5, kInf},
      {logits, kNan, 1, kNan, kNan, kNan},
      {smoothed, kInf, 1, kInf, 0.5, 0},
      {smoothed, -kInf, 0, kInf, -0.5, 0},
      {weighed, kInf, 1, 0, 0, -kInf},
      {weighed, -kInf, 0, 0, 0, kInf},
      {p, 0, 0, 0, 0, 100},
      {p, 1, 1, 0, 0, -100},
      {p, 0.5, 0.5, std::log(2.0), 0, 0},
      {p, 2, 1, kNan, kNan, kNan},
      {p, -0.5, 0, kNan, kNan, kNan},
      {p, kInf, 1, kNan, kNan, kNan},
      {p, kNan, 0, kNan, kNan, kNan},
  };
}

std::vector<point> margin_points() {
  const element_choice once(hinge), logistic(soft_margin);
  element_choice squared = once, wide(hinge, 2.5f);
  squared.power = 2;
  return {
      {once, 1, 1, 0, 0},
      {once, -1, -1, 0, 0},
      {once, 0.5, 1, 0.5, -1},
      {once, 0.5, -1, 1.5, 1},
      {once, 2, 1, 0, 0},
      {once, kInf, 1, 0, 0},
      {once, kInf, -1, kInf, 1},
      {once, -kInf, 1, kInf, -1},
      {once, kInf, 0, 1, 0},
      {once, kNan, 1, kNan, kNan},
      {once, 1, kNan, kNan, kNan},
      {wide, 2.5, 1, 0, 0},
      {wide, 2, 1, 0.5, -1},
      {squared, 0.5, 1, 0.25, -1},
      {squared, 1, 1, 0, 0},
      {squared, -1, 1, 4, -4},
      {squared, 1, -1, 4, 4},
      {squared, kInf, -1, kInf, kInf},
      {squared, kInf, 1, 0, 0},
      {squared, kNan, -1, kNan, kNan},
      {logistic, kInf, 1, 0, 0},
      {logistic, kInf, -1, kInf, 1},
      {logistic, -kInf, 1, kInf, -1},
      {logistic, kNan, 1, kNan, kNan},
  };
}

class element_losses : public on_each_space {
 protected:
  static std::vector<double> values_of(const results& r, const char* name) {
    const output* o = find_output(r.outputs, name);
    return o == nullptr ? std::vector<double>{} : o->values;
  }
  static void expect(double actual, double expected, const std::string& what) {
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(actual) : actual == expected)
        << what << ": " << actual << " instead of " << expected;
  }
  // The point among elements of its own loss that are nothing special: they keep their values.
  static void check(const point& at, element type, space where) {
    element_choice c = at.of;
    c.reduction = reduction::none;
    const element_case of(c);
    problem p = of.make({.type = type, .rows = 2, .cols = 19, .seed = 90});
    const std::vector<expectation> others = of.bound(p, where);
    p.x[21] = at.x;
    p.g[21] = at.t;
    const execution how{.where = where};
    const std::string what =
        describe(of, p, how) + " at " + std::to_string(at.x) + ", " + std::to_string(at.t);
    const results r = run(of, p, how);
    ASSERT_TRUE(r.status.ok() && r.damage.empty()) << r.status.message() << r.damage;
    // A device's sigmoids and logarithms are as exact as their bound says; its zeros, infinities and
    // NaN are exact, and so is everything else.
    const bool approximate =
        where == space::cuda && c.of() != element_choice::family::regression && c.function != hinge;
    const auto compare_with = [&](const char* name, double expected) {
      if (approximate && std::isfinite(expected) && expected != 0) return;
      expect(values_of(r, name).at(21), expected, what + ", " + name);
    };
    compare_with("losses", at.loss);
    compare_with(c.gradient_name(), at.slope);
    if (c.gives_target_gradient()) compare_with("grad_targets", at.by_target());
    const std::vector<expectation> all = of.expect(p, how);
    EXPECT_EQ(compare(r.outputs, all).message, "") << what;
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      if (k == 21) continue;
      EXPECT_EQ(all[0].values[k], others[0].values[k]) << what << ", element " << k;
    }
  }
};

TEST_P(element_losses, of_regression_at_kinks_and_infinity) {
  for (const point& at : regression_points()) {
    for (const element type : device_elements()) check(at, type, GetParam());
  }
}

TEST_P(element_losses, of_binary_cross_entropy_at_the_ends) {
  for (point at : binary_points()) {
    at.loss = static_cast<double>(static_cast<float>(at.loss));
    for (const element type : device_elements()) check(at, type, GetParam());
  }
}

TEST_P(element_losses, of_margins_at_kinks_and_infinity) {
  for (const point& at : margin_points()) {
    for (const element type : device_elements()) check(at, type, GetParam());
  }
}

// One against the rest: what labels say, as a matrix of +1 and -1.
TEST_P(element_losses, of_labels_are_those_of_their_signs) {
  for (const element_function f : {hinge, soft_margin}) {
    for (const bool wide : {true, false}) {
      element_choice c(f);
      c.reduction = reduction::none;
      element_choice of_labels = c;
      of_labels.labels = true;
      of_labels.wide_labels = wide;
      of_labels.background = -1;
      problem p = element_case(of_labels).make({.rows = 7, .cols = 37, .seed = 95});
      p.labels = {0, 36, 5, -1, -100, 36, 7};
      for (std::size_t k = 0; k < p.g.size(); ++k) {
        p.g[k] = p.labels[k / 37] == static_cast<std::int64_t>(k % 37) ? 1 : -1;
      }
      const execution how{.where = GetParam(), .record_faults = true};
      const results signs = run(element_case(c), p, how);
      const results labels = run(element_case(of_labels), p, how);
      ASSERT_TRUE(signs.status.ok() && labels.status.ok()) << labels.status.message();
      EXPECT_EQ(labels.faults.count, 0u);
      for (std::size_t o = 0; o < 2; ++o) {
        std::vector<double> expected = signs.outputs[o].values;
        std::fill_n(expected.begin() + 4 * 37, 37, 0.0);  // the ignored row
        EXPECT_EQ(labels.outputs[o].values, expected) << name_of(f) << " " << o;
      }
    }
  }
}

// A factor of exactly 0 switches an infinite loss or derivative off.
TEST_P(element_losses, weighed_by_zero) {
  element_choice c(mse);
  c.reduction = reduction::none;
  c.weights = c.row_weights = c.upstream_elements = true;
  const element_case of(c);
  problem p = of.make({.rows = 3, .cols = 5, .seed = 91});
  for (const std::size_t k : {1u, 6u, 11u}) p.x[k] = kInf;
  p.weights[1] = 0;
  p.row_weights[1] = 0;
  p.upstream_elements[11] = 0;
  const results r = run(of, p, {.where = GetParam()});
  ASSERT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(compare(r.outputs, of.expect(p, {.where = GetParam()})).message, "");
  const std::vector<double> losses = values_of(r, "losses"), dx = values_of(r, c.gradient_name());
  EXPECT_EQ(losses[1], 0);
  EXPECT_EQ(losses[6], 0);
  EXPECT_EQ(losses[11], kInf);
  for (const std::size_t k : {1u, 6u, 11u}) EXPECT_EQ(dx[k], 0) << k;
}

// Residuals of 2: the mean over the weights is 4 whatever they are, exactly where their sum is; the
// mean over the elements is their sum over the count.
TEST_P(element_losses, divide_by_elements_or_weights) {
  for (const bool weights : {false, true}) {
    for (const bool row_weights : {false, true}) {
      for (const std::int64_t cols : {1, 5, 300}) {
        for (const std::int64_t padding : {0, 3}) {
          for (const std::int64_t rows : {3, 67}) {
            element_choice c(mse);
            c.weights = weights;
            c.row_weights = row_weights;
            problem p = element_case(c).make({.rows = rows, .cols = cols, .seed = 92});
            double sum = 0;
            for (std::size_t k = 0; k < p.x.size(); ++k) {
              const std::size_t row = k / static_cast<std::size_t>(cols);
              p.x[k] = 3;
              p.g[k] = 1;
              p.weights[k] = static_cast<float>(1 << (k % 4));
              p.row_weights[row] = static_cast<float>(1 << (row % 3));
              sum += c.weight(p, k) * c.row_weight(p, row);
            }
            const auto count = static_cast<double>(p.x.size());
            for (const auto mean_over :
                 {culoss::weighted_mean::elements, culoss::weighted_mean::weights}) {
              c.mean_over = mean_over;
              const bool over = mean_over == culoss::weighted_mean::weights;
              const execution how{.where = GetParam(), .padding = padding};
              const results r = run(element_case(c), p, how);
              ASSERT_TRUE(r.status.ok() && r.damage.empty()) << r.status.message() << r.damage;
              const double mean = 4 * sum / (over ? sum : count);
              EXPECT_EQ(values_of(r, "loss").at(0), static_cast<double>(static_cast<float>(mean)))
                  << rows << " x " << cols;
              const double divisor = over ? sum : count;
              const double w = c.weight(p, 0) * c.row_weight(p, 0);
              EXPECT_NEAR(values_of(r, c.gradient_name()).at(0), 4 * w / divisor,
                          4 * 0x1p-24 * 4 * w / divisor);
            }
          }
        }
      }
    }
  }
}

// Weights whose sum is 0, and no elements at all.
TEST_P(element_losses, of_nothing) {
  for (const culoss::empty_batch empty : {culoss::empty_batch::zero, culoss::empty_batch::nan}) {
    const double value = empty == culoss::empty_batch::nan ? kNan : 0;
    for (const bool weights : {false, true}) {
      element_choice c(huber);
      c.empty = empty;
      c.mean_over = culoss::weighted_mean::weights;
      (weights ? c.weights : c.row_weights) = true;
      const element_case of(c);
      problem p = of.make({.rows = 3, .cols = 9, .seed = 93});
      p.weights.assign(p.weights.size(), 0.0f);
      p.row_weights.assign(p.row_weights.size(), 0.0f);
      p.x[4] = kNan;  // whatever the elements are
      const results r = run(of, p, {.where = GetParam()});
      ASSERT_TRUE(r.status.ok()) << r.status.message();
      for (const char* name : {"loss", "grad_predictions", "grad_targets"}) {
        for (const double v : values_of(r, name)) expect(v, value, name);
      }
      for (const auto& [rows, cols] : {std::pair{0, 5}, {4, 0}, {0, 0}}) {
        problem none;
        none.rows = rows;
        none.cols = cols;
        none.row_weights.assign(static_cast<std::size_t>(rows), 1.0f);
        const std::uint64_t before = simt::count().launches;
        const results of_none = run(of, none, {.where = GetParam(), .mode = mode::forward});
        ASSERT_TRUE(of_none.status.ok()) << of_none.status.message();
        EXPECT_EQ(simt::count().launches, before);
        expect(values_of(of_none, "loss").at(0), value, "no elements");
      }
    }
  }
}

// Each matrix with a pitch and an alignment of its own, one of them with padding: which one it is
// must not show.
TEST_P(element_losses, with_matrices_that_lie_differently) {
  constexpr std::int64_t kHeight = 5, kWidth = 131;
  const auto check_type = [&]<class T>(std::type_identity<T>) {
    element_choice c(mse);
    c.reduction = reduction::none;
    c.weights = c.upstream_elements = true;
    const element_case of(c);
    const problem p = of.make({.type = element_of<T>, .rows = kHeight, .cols = kWidth, .seed = 94});
    const std::vector<expectation> expected = of.expect(p, {.where = GetParam()});
    for (int padded = 0; padded < 7; ++padded) {
      int next = 0;
      const auto matrix_like = [&]<class U>(std::type_identity<U>) {
        const int own = next++;
        return array<U>(GetParam(), kHeight, kWidth, own == padded ? 3 : 0, (own + padded) % 5);
      };
      const std::type_identity<T> number;
      const std::type_identity<float> factor;
      array<T> x = matrix_like(number), t = matrix_like(number);
      array<float> weights = matrix_like(factor), upstream = matrix_like(factor);
      const array<culoss::real_of<T>> losses =
          matrix_like(std::type_identity<culoss::real_of<T>>());
      const array<T> dx = matrix_like(number), dt = matrix_like(number);
      x.write(p.x);
      t.write(p.g);
      weights.write(p.weights);
      upstream.write(p.upstream_elements);
      loss_views<T> v;
      v.in[0] = x.as_matrix();
      v.in[1] = t.as_matrix();
      v.weights = weights.as_matrix();
      v.upstream_elements = upstream.as_matrix();
      v.losses = losses.as_matrix();
      v.out[0] = dx.as_matrix();
      v.out[1] = dt.as_matrix();
      const auto set = [&](auto& o) { o.reduction = reduction::none; };
      const culoss::status s =
          GetParam() == space::cpu ? c.call(culoss::cpu{}, v, set) : c.call(culoss::cuda{}, v, set);
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(GetParam());
      std::string damage;
      const verdict verdict = compare({{"losses", losses.read("losses", damage)},
                                       {c.gradient_name(), dx.read("dx", damage)},
                                       {"grad_targets", dt.read("dt", damage)}},
                                      expected);
      EXPECT_TRUE(verdict.ok() && damage.empty()) << format_of(element_of<T>).name << ", matrix "
                                                  << padded << ": " << verdict.message << damage;
    }
  };
  check_type(std::type_identity<float>{});
  check_type(std::type_identity<culoss::half>{});
  check_type(std::type_identity<culoss::bf16>{});
}

CULOSS_ON_EACH_SPACE(element_losses);

}  // namespace
}  // namespace culoss_test
