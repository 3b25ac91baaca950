// The worked examples of an introduction to loss functions (data/lesson_examples.json) that are
// softmax, cross-entropy, what is made of them, regression or pairs of embeddings: on the CPU in
// every type, and on the device where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <culoss/culoss.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/cases/element_bounds.hpp"
#include "tests/cases/kl_divergence.hpp"
#include "tests/harness/arrays.hpp"
#include "tests/harness/bounds.hpp"

namespace culoss_test {
namespace {

const nlohmann::json& examples() {
  static const nlohmann::json cases = [] {
    std::ifstream file(CULOSS_TEST_DATA "/lesson_examples.json");
    return nlohmann::json::parse(file).at("cases");
  }();
  return cases;
}

std::vector<nlohmann::json> examples_of(const std::string& loss) {
  std::vector<nlohmann::json> found;
  for (const auto& example : examples()) {
    if (example.at("loss") == loss) found.push_back(example);
  }
  return found;
}

template <class Where, class T>
struct backend {
  using execution = Where;
  using type = T;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;
};

template <class Backend>
class Lesson : public ::testing::Test {
 protected:
  using T = typename Backend::type;
  static constexpr element kElement = element_of<T>;
  static constexpr space kSpace = Backend::kSpace;

  void SetUp() override {
    if (Backend::kOnDevice) CULOSS_NEEDS_CUDA();
  }

  // The numbers of an example as T has them, and by how much that moves an exponent x / T at most.
  struct inputs {
    inputs(const std::vector<double>& exact, double temperature) {
      for (const double v : exact) {
        x.push_back(round_to(kElement, v));
        if (x.back() != v) moved = std::fmax(moved, std::fabs(x.back() - v) / temperature);
      }
    }
    std::vector<double> x;
    double moved = 0;
  };

  // The quotient of two exponentials, and with it a probability, moves by a factor of at most
  // e^(2 moved); so does 1 - p_t = sum p_j; and as -log p_t >= 1 - p_t, the loss. On top of that
  // come the bound of the arithmetic, one rounding to the type of the output, and the last digits
  // of the examples' own doubles.
  static void expect_near(double actual, double expected, double moved, double bound,
                          const format& output) {
    const double tolerance = std::expm1(2 * moved) * std::fabs(expected) + bound +
                             output.rounding(expected) + 0x1p-50 * std::fabs(expected);
    EXPECT_LE(std::fabs(actual - expected), tolerance) << actual << " instead of " << expected;
  }

  static array<T> row_of(const std::vector<double>& x) {
    array<T> row(kSpace, 1, static_cast<std::int64_t>(x.size()), 0, 0);
    row.write(x);
    return row;
  }
  template <class Array>
  static std::vector<double> read(const Array& from) {
    std::string damage;
    std::vector<double> values = from.read("", damage);
    EXPECT_EQ(damage, "");
    return values;
  }

  static void check_cross_entropy(const std::vector<double>& exact, std::int64_t target,
                                  float label_smoothing, const std::vector<double>& loss,
                                  const std::vector<double>& gradient,
                                  double label_smoothing_moved = 0) {
    inputs in(exact, 1);
    in.moved += label_smoothing_moved;
    const auto cols = static_cast<std::int64_t>(exact.size());
    const array<T> logits = row_of(in.x);
    array<T> actual_gradient(kSpace, 1, cols, 0, 0);
    array<culoss::real_of<T>> actual_loss(kSpace, 1, 0);
    array<std::int64_t> label(kSpace, 1, 0);
    label.write(std::vector<std::int64_t>{target});
    const culoss::status s = culoss::cross_entropy(
        typename Backend::execution{}, culoss::matrix<const T>(logits.as_matrix()),
        label.as_vector(),
        {.loss = actual_loss.as_vector(), .grad_logits = actual_gradient.as_matrix()},
        {.label_smoothing = label_smoothing});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(kSpace);
    const cross_entropy_row bounds(in.x.data(), cols, target, {.smoothing = label_smoothing},
                                   arithmetic_of(kSpace, cols, kElement, 1));
    if (!loss.empty()) {
      expect_near(read(actual_loss)[0], loss[0], in.moved, bounds.loss(), real_format(kElement));
    }
    const std::vector<double> g = read(actual_gradient);
    for (std::size_t j = 0; j < gradient.size(); ++j) {
      expect_near(g[j], gradient[j], in.moved, bounds.gradient(static_cast<std::int64_t>(j)),
                  format_of(kElement));
    }
  }
};

using Backends = ::testing::Types<
#ifdef CULOSS_TESTS_WITH_CUDA
    backend<culoss::cuda, float>, backend<culoss::cuda, culoss::half>,
    backend<culoss::cuda, culoss::bf16>,
#endif
    backend<culoss::cpu, double>, backend<culoss::cpu, float>, backend<culoss::cpu, culoss::half>,
    backend<culoss::cpu, culoss::bf16>>;
TYPED_TEST_SUITE(Lesson, Backends);

TYPED_TEST(Lesson, Softmax) {
  using T = typename TypeParam::type;
  const auto found = examples_of("softmax");
  ASSERT_EQ(found.size(), 4u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const double temperature = example.at("options").at("temperature");
    const typename TestFixture::inputs in(example.at("inputs").at("logits"), temperature);
    const std::vector<double> expected = example.at("expected").at("probabilities");
    const auto cols = static_cast<std::int64_t>(in.x.size());
    const array<T> logits = TestFixture::row_of(in.x);
    array<T> probabilities(TypeParam::kSpace, 1, cols, 0, 0);
    const culoss::status s = culoss::softmax(
        typename TypeParam::execution{}, culoss::matrix<const T>(logits.as_matrix()),
        probabilities.as_matrix(), {.temperature = temperature});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(TypeParam::kSpace);
    const arithmetic a = arithmetic_of(TypeParam::kSpace, cols, TestFixture::kElement, 1);
    const softmax_row row(in.x.data(), cols, temperature, -1, a);
    const std::vector<double> p = TestFixture::read(probabilities);
    for (std::size_t j = 0; j < p.size(); ++j) {
      // bf16 has no 999 and no 998: with 1000, 1000, 1000 nothing but the thirds is left to see.
      const bool other_numbers = in.moved >= 1;
      TestFixture::expect_near(
          p[j], other_numbers ? 1.0 / 3 : expected[j], other_numbers ? 0 : in.moved,
          softmax_bound(row, static_cast<std::int64_t>(j), a), format_of(TestFixture::kElement));
    }
  }
}

TYPED_TEST(Lesson, CrossEntropy) {
  const auto found = examples_of("cross_entropy");
  ASSERT_EQ(found.size(), 2u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const auto& expected = example.at("expected");
    TestFixture::check_cross_entropy(example.at("inputs").at("logits"),
                                     example.at("inputs").at("target"), 0, {expected.at("loss")},
                                     expected.value("grad_logits", std::vector<double>()));
  }
}

// -log p is the cross-entropy of the logits log p, log(1 - p): their softmax is p, 1 - p.
TYPED_TEST(Lesson, SurpriseOfAProbability) {
  const auto found = examples_of("nll_of_probability");
  ASSERT_EQ(found.size(), 6u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const double p = example.at("inputs").at("probability");
    TestFixture::check_cross_entropy({std::log(p), std::log1p(-p)}, 0, 0,
                                     {example.at("expected").at("loss")}, {p - 1, 1 - p});
  }
}

// Of equal logits the gradient is 1 / C - target, with the smoothed target; that is (1 - s) times
// the one without smoothing, so the rounding of s to a float moves it by a factor of at most
// 1 + 2 |change of s| for s <= 1/2.
TYPED_TEST(Lesson, SmoothedLabels) {
  const auto found = examples_of("smooth_labels");
  ASSERT_EQ(found.size(), 1u);
  const std::vector<double> onehot = found[0].at("inputs").at("onehot");
  const std::vector<double> target = found[0].at("expected").at("target");
  const double epsilon = found[0].at("options").at("epsilon");
  std::vector<double> gradient;
  for (const double t : target) gradient.push_back(1.0 / static_cast<double>(target.size()) - t);
  const auto label = std::find(onehot.begin(), onehot.end(), 1.0) - onehot.begin();
  TestFixture::check_cross_entropy(std::vector<double>(onehot.size(), 0.0), label,
                                   static_cast<float>(epsilon), {}, gradient,
                                   std::fabs(static_cast<float>(epsilon) - epsilon));
}

// The surprise itself. As a type has p, its logarithm moves by that of the quotient.
TYPED_TEST(Lesson, NegativeLogLikelihood) {
  using T = typename TypeParam::type;
  const auto found = examples_of("nll_of_probability");
  ASSERT_EQ(found.size(), 6u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const double exact = example.at("inputs").at("probability");
    const double expected = example.at("expected").at("loss");
    const typename TestFixture::inputs in({exact, 1 - exact}, 1);
    const array<T> p = TestFixture::row_of(in.x);
    const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
    array<std::int64_t> label(TypeParam::kSpace, 1, 0);
    label.write(std::vector<int>{0});
    const culoss::status s = culoss::nll(
        typename TypeParam::execution{}, culoss::matrix<const T>(p.as_matrix()), label.as_vector(),
        {.loss = loss.as_vector()}, {.input = culoss::nll_input::probabilities});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(TypeParam::kSpace);
    const arithmetic a = arithmetic_of(TypeParam::kSpace, 2, TestFixture::kElement, 1);
    const double bound =
        std::fabs(std::log(in.x[0] / exact)) + (a.library + 4 * a.u) * std::fabs(expected);
    TestFixture::expect_near(TestFixture::read(loss)[0], expected, 0, bound,
                             real_format(TestFixture::kElement));
  }
}

// Of the logits log p, log(1 - p): p_t and 1 - p_t move by a factor of at most e^(2 moved), so
// (1 - p_t)^gamma (-log p_t) by one of e^(2 (gamma + 1) moved).
TYPED_TEST(Lesson, Focal) {
  using T = typename TypeParam::type;
  const auto found = examples_of("focal_of_probability");
  ASSERT_EQ(found.size(), 3u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const double p = example.at("inputs").at("probability");
    const double gamma = example.at("options").at("gamma");
    const typename TestFixture::inputs in({std::log(p), std::log1p(-p)}, 1);
    const array<T> logits = TestFixture::row_of(in.x);
    const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
    array<std::int64_t> label(TypeParam::kSpace, 1, 0);
    label.write(std::vector<int>{0});
    for (const bool with_gamma : {true, false}) {
      culoss::softmax_focal_options options;
      options.gamma = with_gamma ? static_cast<float>(gamma) : 0.0f;
      const culoss::status s = culoss::softmax_focal(
          typename TypeParam::execution{}, culoss::matrix<const T>(logits.as_matrix()),
          label.as_vector(), {.loss = loss.as_vector()}, options);
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(TypeParam::kSpace);
      const cross_entropy_row bounds(in.x.data(), 2, 0, {.gamma = options.gamma},
                                     arithmetic_of(TypeParam::kSpace, 2, TestFixture::kElement, 1));
      const double expected = example.at("expected").at(with_gamma ? "loss" : "cross_entropy");
      TestFixture::expect_near(TestFixture::read(loss)[0], expected, (1 + options.gamma) * in.moved,
                               bounds.loss(), real_format(TestFixture::kElement));
    }
  }
}

// The smoothed target itself, of the label and of its one-hot row.
TYPED_TEST(Lesson, SmoothLabels) {
  using T = typename TypeParam::type;
  const auto found = examples_of("smooth_labels");
  ASSERT_EQ(found.size(), 1u);
  const std::vector<double> onehot = found[0].at("inputs").at("onehot");
  const std::vector<double> target = found[0].at("expected").at("target");
  const double epsilon = found[0].at("options").at("epsilon");
  const auto smoothing = static_cast<float>(epsilon);
  const auto cols = static_cast<std::int64_t>(onehot.size());
  const array<T> rows = TestFixture::row_of(onehot);
  const array<T> smoothed(TypeParam::kSpace, 1, cols, 0, 0);
  array<std::int64_t> label(TypeParam::kSpace, 1, 0);
  label.write(
      std::vector<std::ptrdiff_t>{std::find(onehot.begin(), onehot.end(), 1.0) - onehot.begin()});
  const arithmetic a = arithmetic_of(TypeParam::kSpace, cols, TestFixture::kElement, 1);
  for (const bool of_label : {true, false}) {
    const typename TypeParam::execution where;
    const culoss::smooth_labels_options options{.smoothing = smoothing};
    const culoss::status s =
        of_label ? culoss::smooth_labels(where, label.as_vector(), smoothed.as_matrix(), options)
                 : culoss::smooth_labels(where, culoss::matrix<const T>(rows.as_matrix()),
                                         smoothed.as_matrix(), options);
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(TypeParam::kSpace);
    const std::vector<double> q = TestFixture::read(smoothed);
    for (std::size_t j = 0; j < q.size(); ++j) {
      TestFixture::expect_near(q[j], target[j], 0,
                               std::fabs(smoothing - epsilon) + 4 * a.u * target[j],
                               format_of(TestFixture::kElement));
    }
  }
}

// H moves by at most (|log p| + 1) times the change of each p.
TYPED_TEST(Lesson, Entropy) {
  using T = typename TypeParam::type;
  const auto found = examples_of("entropy");
  ASSERT_EQ(found.size(), 2u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const std::vector<double> exact = example.at("inputs").at("p");
    const typename TestFixture::inputs in(exact, 1);
    const array<T> p = TestFixture::row_of(in.x);
    const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
    const culoss::status s =
        culoss::entropy(typename TypeParam::execution{}, culoss::matrix<const T>(p.as_matrix()),
                        {.loss = loss.as_vector()});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(TypeParam::kSpace);
    const double expected = example.at("expected").at("value");
    const arithmetic a = arithmetic_of(TypeParam::kSpace, 2, TestFixture::kElement, 1);
    double bound = (a.library + (a.adds + 4) * a.u) * expected;
    for (std::size_t j = 0; j < exact.size(); ++j) {
      const double lower = std::fmin(exact[j], in.x[j]);
      bound += std::fabs(in.x[j] - exact[j]) * (std::fabs(std::log(lower)) + 1);
    }
    TestFixture::expect_near(TestFixture::read(loss)[0], expected, 0, bound,
                             real_format(TestFixture::kElement));
  }
}

// sum p log(p / q) moves by at most |log(p / q)| + 1 times the change of each p and p / q times that
// of each q, wherever between the two.
TYPED_TEST(Lesson, KullbackLeibler) {
  using T = typename TypeParam::type;
  const auto found = examples_of("kl_divergence");
  ASSERT_EQ(found.size(), 2u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const std::vector<double> p = example.at("inputs").at("p"), q = example.at("inputs").at("q");
    const bool reverse = example.at("options").at("direction") == "reverse";
    const double expected = example.at("expected").at("loss");
    const auto cols = static_cast<std::int64_t>(p.size());
    const arithmetic a = arithmetic_of(TypeParam::kSpace, cols, TestFixture::kElement, 2);
    for (const bool logarithms : {false, true}) {
      std::vector<double> given_p = p, given_q = q;
      for (double& x : given_p) x = logarithms ? std::log(x) : x;
      for (double& x : given_q) x = logarithms ? std::log(x) : x;
      const typename TestFixture::inputs of_p(given_p, 1), of_q(given_q, 1);
      const array<T> first = TestFixture::row_of(of_p.x), second = TestFixture::row_of(of_q.x);
      const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
      const auto input =
          logarithms ? culoss::kl_input::log_probabilities : culoss::kl_input::probabilities;
      const culoss::status s = culoss::kl_divergence(
          typename TypeParam::execution{}, culoss::matrix<const T>(first.as_matrix()),
          culoss::matrix<const T>(second.as_matrix()), {.loss = loss.as_vector()},
          {.p_input = input,
           .q_input = input,
           .direction = reverse ? culoss::kl_direction::reverse : culoss::kl_direction::forward});
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(TypeParam::kSpace);
      double bound = 0;
      for (std::size_t j = 0; j < p.size(); ++j) {
        const auto plain = [&](double x) { return logarithms ? std::exp(x) : x; };
        const double x = plain((reverse ? of_q : of_p).x[j]), exact_x = (reverse ? q : p)[j];
        const double y = plain((reverse ? of_p : of_q).x[j]), exact_y = (reverse ? p : q)[j];
        const double most = std::fmax(x, exact_x), least = std::fmin(y, exact_y);
        const double steepest =
            std::fmax(std::fabs(std::log(most / least)),
                      std::fabs(std::log(std::fmin(x, exact_x) / std::fmax(y, exact_y))));
        const kl_element_bound of_term((reverse ? of_q : of_p).x[j], (reverse ? of_p : of_q).x[j],
                                       logarithms, logarithms, a);
        bound += std::fabs(x - exact_x) * (steepest + 1) + std::fabs(y - exact_y) * most / least +
                 of_term.loss + (a.adds + 3) * a.u * of_term.size;
      }
      TestFixture::expect_near(TestFixture::read(loss)[0], expected, 0, bound,
                               real_format(TestFixture::kElement));
    }
  }
}

// Elements that move by m move a distance by at most the root of the sum of m^2, and its square, or
// that of what is left of the margin, by 2 sqrt(L) of that and its square.
TYPED_TEST(Lesson, Contrastive) {
  using T = typename TypeParam::type;
  const auto found = examples_of("contrastive");
  ASSERT_EQ(found.size(), 3u);
  for (const auto& example : found) {
    SCOPED_TRACE(example.at("id"));
    const std::vector<double> a = example.at("inputs").at("a"), b = example.at("inputs").at("b");
    const typename TestFixture::inputs of_a(a, 1), of_b(b, 1);
    const array<T> x1 = TestFixture::row_of(of_a.x), x2 = TestFixture::row_of(of_b.x);
    const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
    array<std::int64_t> label(TypeParam::kSpace, 1, 0);
    label.write(std::vector<int>{example.at("inputs").at("label").get<int>()});
    const culoss::status s = culoss::contrastive(
        typename TypeParam::execution{}, culoss::matrix<const T>(x1.as_matrix()),
        culoss::matrix<const T>(x2.as_matrix()), label.as_vector(), {.loss = loss.as_vector()},
        {.margin = example.at("options").at("margin")});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(TypeParam::kSpace);
    double moved = 0;
    for (std::size_t j = 0; j < a.size(); ++j) {
      moved += std::pow((of_a.x[j] - of_b.x[j]) - (a[j] - b[j]), 2);
    }
    const double expected = example.at("expected").at("loss");
    const arithmetic arith = arithmetic_of(TypeParam::kSpace, 2, TestFixture::kElement, 2);
    const double bound = 2 * std::sqrt(expected * moved) + moved + 8 * arith.u * (expected + 4);
    TestFixture::expect_near(TestFixture::read(loss)[0], expected, 0, bound,
                             real_format(TestFixture::kElement));
  }
}

// Convex losses of a residual e: one that moves by d moves L by at most |d| times the steeper of the
// two slopes, and the slope of mse by 2 |d|.
TYPED_TEST(Lesson, Regression) {
  using T = typename TypeParam::type;
  using enum element_function;
  std::size_t gradients = 0, weighted = 0;
  for (const auto& [function, count] : {std::pair{mse, 5u}, {mae, 1u}, {huber, 1u}}) {
    const auto found = examples_of(name_of(function));
    ASSERT_EQ(found.size(), count);
    for (const auto& example : found) {
      SCOPED_TRACE(example.at("id"));
      const auto& inputs = example.at("inputs");
      const auto& expected = example.at("expected");
      const std::vector<double> x = inputs.at("prediction"), t = inputs.at("target");
      const std::vector<double> w = inputs.value("weight", std::vector<double>(x.size(), 1.0));
      const std::vector<double> slopes = expected.value("grad_prediction", std::vector<double>());
      element_choice choice(function, example.at("options").value("delta", 1.0f));
      choice.weights = inputs.contains("weight");
      const typename TestFixture::inputs of_x(x, 1), of_t(t, 1);
      const array<T> in = TestFixture::row_of(of_x.x), targets = TestFixture::row_of(of_t.x);
      const auto cols = static_cast<std::int64_t>(x.size());
      array<float> weights(TypeParam::kSpace, 1, cols, 0, 0);
      weights.write(w);
      const array<culoss::real_of<T>> loss(TypeParam::kSpace, 1, 0);
      const array<T> gradient(TypeParam::kSpace, 1, cols, 0, 0);
      loss_views<T> v;
      v.in[0] = in.as_matrix();
      v.in[1] = targets.as_matrix();
      if (choice.weights) v.weights = weights.as_matrix();
      v.loss = loss.as_vector();
      v.out[0] = gradient.as_matrix();
      const culoss::status s = choice.call(typename TypeParam::execution{}, v, [](auto&) {});
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(TypeParam::kSpace);

      const arithmetic a = arithmetic_of(TypeParam::kSpace, cols, TestFixture::kElement, 1);
      const auto n = static_cast<double>(cols);
      const std::vector<double> g = TestFixture::read(gradient);
      double bound = 0;
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double moved = std::fabs((of_x.x[j] - of_t.x[j]) - (x[j] - t[j]));
        const element_bound given = residual_bound(choice, of_x.x[j], of_t.x[j], a);
        const element_bound exact = residual_bound(choice, x[j], t[j], a);
        const double steepest = std::fmax(given.input_slope, exact.input_slope);
        bound += w[j] * (moved * steepest + given.loss + 8 * a.u * given.size) / n;
        if (slopes.empty()) continue;
        TestFixture::expect_near(g[j], slopes[j], 0,
                                 (2 * moved + given.by_input + 8 * a.u * given.input_slope) / n,
                                 format_of(TestFixture::kElement));
      }
      TestFixture::expect_near(TestFixture::read(loss)[0], expected.at("loss"), 0, bound,
                               real_format(TestFixture::kElement));
      gradients += slopes.size();
      weighted += choice.weights ? 1 : 0;
    }
  }
  EXPECT_EQ(gradients, 3u);
  EXPECT_EQ(weighted, 1u);
}

}  // namespace
}  // namespace culoss_test
