// The tests' own tools: the comparator rejects what it must, and the bounds are tight enough to
// reject the mistakes that loss kernels are known to make.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "tests/cases/cross_entropy.hpp"
#include "tests/harness/comparator.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool passes(double actual, double expected, double bound) {
  return compare(output{"x", {actual}}, expectation{"x", 1, {expected}, {bound}}).ok();
}

TEST(comparator, accepts_what_is_within_the_bound) {
  EXPECT_TRUE(passes(1.0, 1.0, 0));
  EXPECT_TRUE(passes(1.25, 1.0, 0.25));
  EXPECT_TRUE(passes(kNan, kNan, 0));
  EXPECT_TRUE(passes(kInf, kInf, 0));
  EXPECT_TRUE(passes(-0.0, 0.0, 0));
}

TEST(comparator, rejects_nan_and_the_wrong_infinity) {
  EXPECT_FALSE(passes(kNan, 1.0, 1e300));
  EXPECT_FALSE(passes(1.0, kNan, 1e300));
  EXPECT_FALSE(passes(kInf, kNan, 1e300));
  EXPECT_FALSE(passes(kNan, kInf, 1e300));
  EXPECT_FALSE(passes(-kInf, kInf, 1e300));
  EXPECT_FALSE(passes(1e308, kInf, 1e300));
  EXPECT_FALSE(passes(kInf, 1.0, 1e300));
}

TEST(comparator, rejects_what_is_just_outside_the_bound) {
  EXPECT_FALSE(passes(1.25, 1.0, std::nextafter(0.25, 0.0)));
  EXPECT_FALSE(passes(std::nextafter(1.0, 2.0), 1.0, 0));
  EXPECT_FALSE(passes(5e-324, 0.0, 0));
}

TEST(comparator, rejects_a_bound_that_bounds_nothing) {
  EXPECT_FALSE(passes(1.0, 1.0, kInf));
  EXPECT_FALSE(passes(1.0, 1.0, kNan));
  EXPECT_FALSE(passes(1.0, 1.0, -1));
}

TEST(comparator, rejects_missing_and_misplaced_elements) {
  const expectation expected{"x", 2, {1, 2, 3, 4}, {0.1, 0.1, 0.1, 0.1}};
  EXPECT_TRUE(compare(output{"x", {1, 2, 3, 4}}, expected).ok());
  EXPECT_FALSE(compare(output{"x", {1, 2, 3}}, expected).ok());
  EXPECT_FALSE(compare(output{"x", {}}, expected).ok());
  EXPECT_FALSE(compare(output{"y", {1, 2, 3, 4}}, expected).ok());
  const verdict shifted = compare(output{"x", {2, 3, 4, 4}}, expected);
  EXPECT_EQ(shifted.failures, 3);
  const verdict last = compare(output{"x", {1, 2, 3, 0}}, expected);
  EXPECT_EQ(last.failures, 1);
  EXPECT_EQ(last.worst_index, 3);
  EXPECT_NE(last.message.find("row 1 column 1"), std::string::npos) << last.message;
  EXPECT_FALSE(compare(std::vector<output>{}, std::vector<expectation>{expected}).ok());
}

TEST(comparator, accepts_infinity_only_where_the_type_ends) {
  expectation expected{"x", 1, {65519}, {32}};
  expected.largest = 65504;
  EXPECT_TRUE(compare(output{"x", {kInf}}, expected).ok());
  EXPECT_FALSE(compare(output{"x", {-kInf}}, expected).ok());
  expected.values = {60000};
  EXPECT_FALSE(compare(output{"x", {kInf}}, expected).ok());
}

TEST(pairwise, covers_all_pairs_that_are_allowed) {
  const std::vector<int> levels = {3, 2, 4, 2};
  const auto allowed = [](const combination& c) { return c[0] != 1 || c[2] == 0; };
  const std::vector<combination> cover = pairwise_cover(levels, allowed);
  std::set<std::vector<int>> pairs;
  for (const combination& c : cover) {
    EXPECT_TRUE(allowed(c));
    for (int a = 0; a < 4; ++a) {
      for (int b = a + 1; b < 4; ++b) {
        pairs.insert({a, c[static_cast<std::size_t>(a)], b, c[static_cast<std::size_t>(b)]});
      }
    }
  }
  // 6 + 12 + 6 + 8 + 4 + 8 pairs, less the three that are forbidden.
  EXPECT_EQ(pairs.size(), 41u);
  EXPECT_LT(cover.size(), 18u);
}

// Cross-entropy in float as a kernel would compute it, with one mistake at a time.
enum class mistake {
  none,
  unshifted,          // loss = lse - x_t
  one_minus_p,        // gradient at the target p - 1
  rounded_twice,      // to bf16 before and after the division by the rows
  last_column_lost,   // from the sum
  rescale_missing,    // the sum of the first half is not scaled to the second's maximum
  all_rows_counted,   // in the divisor
  maximum_drops_nan,  // and the sum does not carry it
  padding_counted,    // one column of zeros too many
  rounded_logits,     // statistics of bf16-rounded differences
  weights_not_in_divisor,
  smoothing_unshifted,  // sum_j x_j instead of sum_j (x_j - m)
};

struct float_row {
  float loss = 0;
  std::vector<float> gradient;
};

float bf16_of(float x) { return static_cast<float>(round_to(element::bfloat16, x)); }

float_row cross_entropy_in_float(const double* row, std::int64_t cols, std::int64_t target,
                                 const cross_entropy_choice& choice, mistake m) {
  std::vector<float> x(row, row + cols);
  if (m == mistake::padding_counted) x.push_back(0);
  const auto n = static_cast<std::int64_t>(x.size());
  float max = -INFINITY;
  for (std::int64_t j = 0; j < n; ++j) {
    if (j != target) max = std::fmax(max, x[static_cast<std::size_t>(j)]);
  }
  const auto z = [&](std::int64_t j) {
    const float difference = x[static_cast<std::size_t>(j)] - max;
    return m == mistake::rounded_logits ? bf16_of(difference) : difference;
  };
  float sum = 0, first_max = -INFINITY;
  for (std::int64_t j = 0; j < n / 2; ++j) {
    if (j != target) first_max = std::fmax(first_max, x[static_cast<std::size_t>(j)]);
  }
  for (std::int64_t j = 0; j < n; ++j) {
    if (j == target || (m == mistake::last_column_lost && j == n - 1)) continue;
    const float value = x[static_cast<std::size_t>(j)];
    if (m == mistake::maximum_drops_nan && std::isnan(value)) continue;
    const bool stale = m == mistake::rescale_missing && j < n / 2;
    sum += std::exp(stale ? value - first_max : z(j));
  }
  const float log_sum = std::log(sum);
  const float target_logit = x[static_cast<std::size_t>(target)];
  const float d = z(target) - log_sum;
  const float e = std::exp(-std::fabs(d));
  const float p = (d >= 0 ? 1 : e) / (1 + e), q = (d >= 0 ? e : 1) / (1 + e);
  const float above = log_sum + std::fmax(d, 0.0f) + std::log1p(e);  // lse - max
  float_row r;
  r.loss =
      m == mistake::unshifted ? (max + above) - target_logit : std::fmax(-d, 0.0f) + std::log1p(e);
  const float soft = choice.smoothing / static_cast<float>(cols), hard = 1 - choice.smoothing;
  if (choice.smoothing > 0) {
    float distances = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      distances += m == mistake::smoothing_unshifted ? x[static_cast<std::size_t>(j)] : z(j);
    }
    if (m == mistake::smoothing_unshifted) distances -= static_cast<float>(cols) * max;
    r.loss = hard * r.loss + soft * (static_cast<float>(cols) * above - distances);
  }
  for (std::int64_t j = 0; j < cols; ++j) {
    const float of_p = j == target ? p : q * std::exp(z(j)) / sum;
    const float at_target = m == mistake::one_minus_p ? p - 1 : -q;
    r.gradient.push_back(hard * (j == target ? at_target : of_p) +
                         soft * (static_cast<float>(cols) * of_p - 1));
  }
  return r;
}

// Loss and gradient of a call with that mistake, against the expectation of the device's kernels.
verdict judge(const cross_entropy_choice& choice, const problem& p, mistake m) {
  const bool none = choice.reduction == culoss::reduction::none;
  std::vector<double> losses, gradient;
  double divisor = 0, total = 0;
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    const bool ignored = p.labels[i] == choice.ignore_index;
    const bool counts = !ignored || m == mistake::all_rows_counted;
    const bool weighted = choice.class_weights && m != mistake::weights_not_in_divisor;
    const double weight =
        weighted && !ignored ? p.class_weights[static_cast<std::size_t>(p.labels[i])] : 1;
    divisor += counts ? weight : 0;
  }
  if (none) divisor = 1;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const std::int64_t label = p.labels[static_cast<std::size_t>(i)];
    float_row r;
    r.gradient.assign(static_cast<std::size_t>(p.cols), 0.0f);
    float weight = 0;
    if (label != choice.ignore_index) {
      r = cross_entropy_in_float(p.row(i), p.cols, label, choice, m);
      weight = choice.class_weights ? p.class_weights[static_cast<std::size_t>(label)] : 1;
    }
    losses.push_back(weight * r.loss);
    total += weight * r.loss;
    for (const float g : r.gradient) {
      const float before = m == mistake::rounded_twice ? bf16_of(g) : g;
      gradient.push_back(
          round_to(p.type, static_cast<float>(weight * before / static_cast<float>(divisor))));
    }
  }
  if (!none) losses = {static_cast<double>(static_cast<float>(total / divisor))};
  const std::vector<expectation> all = bound_cross_entropy(choice, p, space::cuda);
  return compare(std::vector<output>{{"loss", losses}, {"grad_logits", gradient}},
                 {all[kLossOutput], all[kGradientOutput]});
}

struct trap {
  mistake planted;
  problem_shape shape;
  std::function<void(cross_entropy_choice&, problem&)> set;
};

class bounds : public ::testing::TestWithParam<trap> {};

// The input on which a mistake shows: the right computation passes there, the wrong one does not.
TEST_P(bounds, kill_a_classical_mistake) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.reduction = culoss::reduction::none;
  problem p = make_problem(GetParam().shape);
  if (GetParam().set) GetParam().set(choice, p);
  const verdict right = judge(choice, p, mistake::none);
  EXPECT_TRUE(right.ok()) << right.message;
  const verdict wrong = judge(choice, p, GetParam().planted);
  EXPECT_FALSE(wrong.ok()) << "largest error " << wrong.worst_ratio << " of its bound";
}

void confident(cross_entropy_choice&, problem& p) {
  for (std::int64_t i = 0; i < p.rows; ++i) {
    p.row(i)[p.labels[static_cast<std::size_t>(i)]] = 30;  // p_t = 1 - 1e-11
  }
}
void average(cross_entropy_choice& c, problem& p) {
  c.reduction = culoss::reduction::mean;
  p.labels[1] = c.ignore_index;
}
void weigh_classes(cross_entropy_choice& c, problem&) {
  c.reduction = culoss::reduction::mean;
  c.class_weights = true;
}
void smooth(cross_entropy_choice& c, problem&) { c.smoothing = 0.1f; }
void target_first(cross_entropy_choice&, problem& p) { p.labels.assign(p.labels.size(), 0); }
void nan_inside(cross_entropy_choice&, problem& p) {
  p.labels.assign(p.labels.size(), 0);
  p.row(1)[p.cols / 2] = kNan;
}

constexpr element kFloat = element::float32;
constexpr element kBf16 = element::bfloat16;

INSTANTIATE_TEST_SUITE_P(
    of_cross_entropy, bounds,
    ::testing::Values(
        trap{mistake::unshifted, {kFloat, 5, 100, input_kind::offset_1e5}, {}},
        trap{mistake::unshifted, {kFloat, 5, 100, input_kind::offset_1e3}, {}},
        trap{mistake::unshifted, {kFloat, 5, 100, input_kind::near_minus_1000}, {}},
        trap{mistake::unshifted, {kFloat, 5, 100, input_kind::normal}, confident},
        trap{mistake::one_minus_p, {kFloat, 5, 100, input_kind::normal}, confident},
        trap{mistake::one_minus_p, {kBf16, 5, 1000, input_kind::near_uniform}, confident},
        trap{mistake::rounded_twice, {kBf16, 7, 100, input_kind::normal}, average},
        trap{mistake::last_column_lost, {kFloat, 5, 1000, input_kind::near_uniform}, {}},
        trap{mistake::last_column_lost, {kFloat, 5, 1000, input_kind::sorted_up}, target_first},
        trap{mistake::last_column_lost, {kBf16, 5, 50257, input_kind::sorted_up}, target_first},
        trap{mistake::rescale_missing, {kFloat, 5, 100, input_kind::sorted_up}, {}},
        trap{mistake::rescale_missing, {kFloat, 5, 100, input_kind::near_uniform}, {}},
        trap{mistake::all_rows_counted, {kFloat, 64, 100, input_kind::normal}, average},
        trap{mistake::maximum_drops_nan, {kFloat, 3, 100, input_kind::normal}, nan_inside},
        trap{mistake::padding_counted, {kFloat, 5, 1000, input_kind::near_uniform}, {}},
        trap{mistake::padding_counted, {kBf16, 5, 100, input_kind::near_minus_1000}, {}},
        trap{mistake::rounded_logits, {kBf16, 5, 100, input_kind::wide_normal}, {}},
        trap{mistake::weights_not_in_divisor, {kFloat, 9, 10, input_kind::normal}, weigh_classes},
        trap{mistake::smoothing_unshifted, {kFloat, 5, 100, input_kind::offset_1e5}, smooth}));

}  // namespace
}  // namespace culoss_test
