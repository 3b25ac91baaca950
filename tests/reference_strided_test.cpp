// strided_logits on the CPU: cross_entropy and softmax_focal of them, forward, backward and in
// place, are to the bit those of their rows gathered into a matrix.
#include <gmock/gmock.h>

#include <cstring>
#include <culoss/culoss.hpp>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::matrix;
using culoss::reduction;
using culoss::strided_logits;
using culoss::vector;

// The same numbers in both layouts.
template <class T>
struct both {
  using real = culoss::real_of<T>;

  both(std::int64_t n, std::int64_t classes, std::int64_t inner)
      : n(n), classes(classes), inner(inner), rows(n * inner), gathered(rows, classes) {
    std::mt19937_64 random(17);
    std::normal_distribution<double> normal(0, 4);
    strided.resize(static_cast<std::size_t>(rows * classes));
    storage_of<T>* to = storage(gathered);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t c = 0; c < classes; ++c) {
        // Rounded to a multiple of 1/4, which all types hold exactly.
        double x = std::round(4 * normal(random)) / 4;
        if (random() % 16 == 0) x = -kInfinity;
        if (random() % 256 == 0) x = kNan;
        strided[index(i, c)] = to[i * classes + c] = encode<T>(x);
      }
      labels.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(classes)));
      if (random() % 8 == 0) labels.back() = -100;
      if (random() % 32 == 0) labels.back() = static_cast<std::int32_t>(classes);
      row_weights.push_back(static_cast<float>(1 + random() % 4) / 2);
    }
    class_weights.resize(static_cast<std::size_t>(classes));
    for (float& w : class_weights) w = static_cast<float>(1 + random() % 4) / 4;
  }

  static storage_of<T>* storage(host_matrix<T>& m) {
    return reinterpret_cast<storage_of<T>*>(m.view().data);
  }
  // Position i = (i / inner, i % inner), class c.
  std::size_t index(std::int64_t i, std::int64_t c) const {
    return static_cast<std::size_t>((i / inner * classes + c) * inner + i % inner);
  }
  strided_logits<T> view(std::vector<storage_of<T>>& v) const {
    return {reinterpret_cast<T*>(v.data()), n, classes, inner};
  }
  culoss::label_view label_view() const { return vector<const std::int32_t>(labels.data(), rows); }

  // Whether the strided gradient is the gathered one, by bits.
  void expect_same(const std::vector<storage_of<T>>& gradient, host_matrix<T>& expected) const {
    std::vector<storage_of<T>> of_rows;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t c = 0; c < classes; ++c) of_rows.push_back(gradient[index(i, c)]);
    }
    const std::size_t bytes = of_rows.size() * sizeof(storage_of<T>);
    EXPECT_TRUE(bytes == 0 || std::memcmp(of_rows.data(), storage(expected), bytes) == 0);
  }

  std::int64_t n, classes, inner, rows;
  std::vector<storage_of<T>> strided;
  host_matrix<T> gathered;
  std::vector<std::int32_t> labels;
  std::vector<float> row_weights, class_weights;
};

template <class V>
bool same_bits(const std::vector<V>& a, const std::vector<V>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}

// Every output of a call but the gradient.
template <class T>
struct row_outputs {
  using real = culoss::real_of<T>;
  explicit row_outputs(std::size_t rows, bool reduce)
      : loss(reduce ? 1 : rows),
        z_loss(loss),
        lse(rows),
        entropy(rows),
        statistics(4 * rows),
        argmax(rows),
        counts(2) {}

  template <class Outputs>
  void give(Outputs& out) {
    const auto n = static_cast<std::int64_t>(argmax.size());
    out.loss = {loss.data(), static_cast<std::int64_t>(loss.size())};
    out.statistics = {reinterpret_cast<culoss::row_statistics<real>*>(statistics.data()), n};
    out.argmax = {argmax.data(), n};
    out.correct = {&counts[0], 1};
    out.rows_counted = {&counts[1], 1};
    if constexpr (requires { out.z_loss; }) {
      out.z_loss = {z_loss.data(), static_cast<std::int64_t>(z_loss.size())};
      out.lse = {lse.data(), n};
      out.entropy = {entropy.data(), n};
    }
  }
  void expect_same(const row_outputs& o) const {
    EXPECT_TRUE(same_bits(loss, o.loss));
    EXPECT_TRUE(same_bits(z_loss, o.z_loss));
    EXPECT_TRUE(same_bits(lse, o.lse));
    EXPECT_TRUE(same_bits(entropy, o.entropy));
    EXPECT_TRUE(same_bits(statistics, o.statistics));
    EXPECT_EQ(argmax, o.argmax);
    EXPECT_EQ(counts, o.counts);
  }

  std::vector<real> loss, z_loss, lse, entropy, statistics;
  std::vector<std::int64_t> argmax, counts;
};

struct cross_entropy_loss {
  template <class T, class View>
  using outputs = culoss::cross_entropy_outputs<T, View>;
  template <class T, class View>
  using backward_outputs = culoss::cross_entropy_backward_outputs<T, View>;
  template <class T>
  static culoss::cross_entropy_options options(const both<T>& b, reduction r) {
    return {.reduction = r,
            .label_smoothing = 0.25f,
            .temperature = 0.5f,
            .softcap = 5,
            .z_loss = 0.125f,
            .class_weights = {b.class_weights.data(), b.classes},
            .row_weights = {b.row_weights.data(), b.rows},
            .upstream = 3};
  }
  static culoss::status call(auto&&... a) { return culoss::cross_entropy(a...); }
  static culoss::status backward(auto&&... a) { return culoss::cross_entropy_backward(a...); }
};

struct softmax_focal_loss {
  template <class T, class View>
  using outputs = culoss::softmax_focal_outputs<T, View>;
  template <class T, class View>
  using backward_outputs = culoss::softmax_focal_backward_outputs<T, View>;
  template <class T>
  static culoss::softmax_focal_options options(const both<T>& b, reduction r) {
    return {.reduction = r,
            .gamma = 1.5f,
            .alpha = {b.class_weights.data(), b.classes},
            .temperature = 2,
            .row_weights = {b.row_weights.data(), b.rows},
            .upstream = 3};
  }
  static culoss::status call(auto&&... a) { return culoss::softmax_focal(a...); }
  static culoss::status backward(auto&&... a) { return culoss::softmax_focal_backward(a...); }
};

template <class Loss, class T>
void check(std::int64_t n, std::int64_t classes, std::int64_t inner, reduction r) {
  SCOPED_TRACE(std::to_string(n) + " x " + std::to_string(classes) + " x " + std::to_string(inner));
  both<T> b(n, classes, inner);
  const auto options = Loss::options(b, r);
  const auto rows = static_cast<std::size_t>(b.rows);
  row_outputs<T> of_strided(rows, r != reduction::none), of_matrix = of_strided;
  std::vector<storage_of<T>> gradient(b.strided.size()), separate(gradient), input = b.strided;
  host_matrix<T> expected(b.rows, classes);
  typename Loss::template outputs<T, strided_logits<T>> out = {.grad_logits = b.view(gradient)};
  typename Loss::template outputs<T, matrix<T>> matrix_out = {.grad_logits = expected.view()};
  of_strided.give(out);
  of_matrix.give(matrix_out);
  culoss::fault_record faults = {}, matrix_faults = {};
  const culoss::status s = Loss::call(
      cpu{.faults = &faults}, strided_logits<const T>(b.view(input)), b.label_view(), out, options);
  ASSERT_TRUE(s.ok()) << s.message();
  ASSERT_TRUE(Loss::call(cpu{.faults = &matrix_faults}, matrix<const T>(b.gathered.view()),
                         b.label_view(), matrix_out, options)
                  .ok());
  of_strided.expect_same(of_matrix);
  b.expect_same(gradient, expected);
  EXPECT_TRUE(same_bits(input, b.strided));
  EXPECT_EQ(std::memcmp(&faults, &matrix_faults, sizeof faults), 0);

  const vector<const culoss::row_statistics<culoss::real_of<T>>> saved = matrix_out.statistics;
  host_matrix<T> expected_separate(b.rows, classes);
  ASSERT_TRUE(Loss::backward(
                  cpu{}, strided_logits<const T>(b.view(input)), b.label_view(), saved,
                  typename Loss::template backward_outputs<T, strided_logits<T>>{b.view(separate)},
                  options)
                  .ok());
  ASSERT_TRUE(Loss::backward(
                  cpu{}, matrix<const T>(b.gathered.view()), b.label_view(), saved,
                  typename Loss::template backward_outputs<T, matrix<T>>{expected_separate.view()},
                  options)
                  .ok());
  b.expect_same(separate, expected_separate);

  out.grad_logits = b.view(input);  // in place
  ASSERT_TRUE(
      Loss::call(cpu{}, strided_logits<const T>(b.view(input)), b.label_view(), out, options).ok());
  EXPECT_TRUE(same_bits(input, gradient));
}

template <class Pair>
class Strided : public ::testing::Test {};
template <class Loss, class T>
struct pair {  // half and bf16 may be incomplete, so the list is of tags
  using loss = Loss;
  using type = T;
};
using Pairs =
    ::testing::Types<pair<cross_entropy_loss, float>, pair<cross_entropy_loss, culoss::half>,
                     pair<cross_entropy_loss, culoss::bf16>, pair<cross_entropy_loss, double>,
                     pair<softmax_focal_loss, float>, pair<softmax_focal_loss, culoss::half>,
                     pair<softmax_focal_loss, culoss::bf16>, pair<softmax_focal_loss, double>>;
TYPED_TEST_SUITE(Strided, Pairs);

TYPED_TEST(Strided, IsTheMatrixOfItsPositions) {
  for (const std::int64_t n : {0, 1, 3}) {
    for (const std::int64_t classes : {1, 2, 19}) {
      for (const std::int64_t inner : {0, 1, 7, 33}) {
        for (const reduction r : {reduction::none, reduction::mean, reduction::sum}) {
          check<typename TypeParam::loss, typename TypeParam::type>(n, classes, inner, r);
        }
      }
    }
  }
  check<typename TypeParam::loss, typename TypeParam::type>(2, 150, 1024, reduction::none);
}

}  // namespace
}  // namespace culoss_test
