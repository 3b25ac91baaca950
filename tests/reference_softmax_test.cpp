// Softmax and log_softmax on the CPU: values by hand, special values, rounding, memory.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <culoss/culoss.hpp>
#include <type_traits>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::softmax_options;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

template <class T>
class Softmax : public ::testing::Test {};
// half and bf16 may be incomplete, so the list is of tags.
using Types = ::testing::Types<std::type_identity<float>, std::type_identity<culoss::half>,
                               std::type_identity<culoss::bf16>, std::type_identity<double>>;
TYPED_TEST_SUITE(Softmax, Types);

template <class T>
host_matrix<T> softmax(const rows_of_logits& rows, const softmax_options& options = {},
                       const cpu& where = {}) {
  host_matrix<T> x(rows, static_cast<std::int64_t>(rows.front().size()), 1), y = x;
  const culoss::status s = culoss::softmax(where, x.view(), y.view(), options);
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(culoss::softmax(where, x.view(), x.view(), options).ok());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto r = static_cast<std::int64_t>(i);
    if (!std::isnan(y.at(r, 0))) {
      EXPECT_EQ(x.row(r), y.row(r)) << "in place";
    }
  }
  return y;
}

template <class T>
host_matrix<T> log_softmax(const rows_of_logits& rows, const softmax_options& options = {}) {
  host_matrix<T> x(rows, static_cast<std::int64_t>(rows.front().size())), y = x;
  const culoss::status s = culoss::log_softmax(cpu{}, x.view(), y.view(), options);
  EXPECT_TRUE(s.ok()) << s.message();
  return y;
}

// The gradient, which must have the same bits over either input.
template <class T>
std::vector<double> backward(bool log, const std::vector<double>& output,
                             const std::vector<double>& upstream,
                             const softmax_options& options = {}) {
  const auto cols = static_cast<std::int64_t>(output.size());
  const auto run = [&](host_matrix<T>& y, host_matrix<T>& g, host_matrix<T>& dx) {
    const culoss::status s =
        log ? culoss::log_softmax_backward(cpu{}, y.view(), g.view(), dx.view(), options)
            : culoss::softmax_backward(cpu{}, y.view(), g.view(), dx.view(), options);
    EXPECT_TRUE(s.ok()) << s.message();
    return dx.storage();
  };
  host_matrix<T> y({output}, cols), g({upstream}, cols), dx(1, cols);
  const auto bits = run(y, g, dx);
  host_matrix<T> over_y = y, over_g = g;
  const auto over_output = run(over_y, g, over_y), over_upstream = run(y, over_g, over_g);
  EXPECT_EQ(std::memcmp(bits.data(), over_output.data(), bits.size() * sizeof bits[0]), 0);
  EXPECT_EQ(std::memcmp(bits.data(), over_upstream.data(), bits.size() * sizeof bits[0]), 0);
  return dx.row(0);
}

TYPED_TEST(Softmax, ByHand) {
  using T = typename TypeParam::type;
  EXPECT_THAT(softmax<T>({{0, 0, 0, 0}}).row(0), Each(0.25));
  EXPECT_THAT(softmax<T>({{-kInfinity, 5, -kInfinity, 5}}).row(0), ElementsAre(0, 0.5, 0, 0.5));
  EXPECT_THAT(softmax<T>({{-9}}).row(0), ElementsAre(1));
  EXPECT_THAT(log_softmax<T>({{-kInfinity, 5, -kInfinity}}).row(0),
              ElementsAre(-kInfinity, 0, -kInfinity));
  const double minus_log2 = decode<T>(encode<T>(-std::log(2.0)));
  EXPECT_THAT(log_softmax<T>({{3, 3}}).row(0), Each(minus_log2));
}

// Each output is the double result rounded once.
TYPED_TEST(Softmax, RoundsOnce) {
  using T = typename TypeParam::type;
  const rows_of_logits rows = {{0, 1, 2.5, -3}, {128, 127, 100, 64}, {-8, 0, 8, -16}};
  for (const float t : {1.0f, 0.5f, 5.0f}) {
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < 4; ++j) {
        EXPECT_EQ(softmax<T>(rows, {.temperature = t}).at(i, j),
                  decode<T>(encode<T>(softmax<double>(rows, {.temperature = t}).at(i, j))));
        EXPECT_EQ(log_softmax<T>(rows, {.temperature = t}).at(i, j),
                  decode<T>(encode<T>(log_softmax<double>(rows, {.temperature = t}).at(i, j))));
      }
    }
  }
}

// log p of the one large element is -sum of the others, not 0.
TEST(LogSoftmax, ConfidentRowsKeepTheirDigits) {
  const double e = std::exp(-45.0);
  EXPECT_DOUBLE_EQ(log_softmax<double>({{50, 5, 5}}).at(0, 0), -2 * e);
  EXPECT_DOUBLE_EQ(log_softmax<double>({{5, 5, 50}}).at(0, 2), -2 * e);
}

TYPED_TEST(Softmax, NanOrInfinityMakesItsRowNanAndNoOther) {
  using T = typename TypeParam::type;
  const rows_of_logits bad_rows = {
      {1, kNan, -kInfinity},        {kNan, 1, 2},
      {kInfinity, 1, -kInfinity},   {1, 2, kInfinity},
      {kInfinity, kNan, kInfinity}, {-kInfinity, -kInfinity, -kInfinity}};
  for (const auto& bad : bad_rows) {
    SCOPED_TRACE(::testing::PrintToString(bad));
    const host_matrix<T> p = softmax<T>({{0, 0, 0}, bad, {0, 0, 0}});
    const host_matrix<T> log_p = log_softmax<T>({{0, 0, 0}, bad, {0, 0, 0}});
    EXPECT_THAT(p.row(1), Each(IsNan()));
    EXPECT_THAT(log_p.row(1), Each(IsNan()));
    EXPECT_THAT(p.row(0), Each(decode<T>(encode<T>(1.0 / 3))));
    EXPECT_EQ(p.row(0), p.row(2));
    EXPECT_EQ(log_p.row(0), log_p.row(2));
  }
}

TYPED_TEST(Softmax, BackwardByHand) {
  using T = typename TypeParam::type;
  // p (g - <g, p>) / T with <g, p> = 1
  EXPECT_THAT(backward<T>(false, {0.5, 0.25, 0.25, 0}, {2, 4, -4, 1000}, {.temperature = 0.5f}),
              ElementsAre(1, 1.5, -2.5, 0));
  // g - p sum g with sum g = 2; the masked column gets nothing
  EXPECT_THAT(backward<T>(true, {0, -kInfinity}, {1, 1}), ElementsAre(-1, 0));
  EXPECT_THAT(backward<T>(false, {1}, {3}), ElementsAre(0));
  EXPECT_THAT(backward<T>(false, {kNan, kNan}, {1, 1}), Each(IsNan()));
  EXPECT_THAT(backward<T>(true, {kNan, kNan}, {1, 1}), Each(IsNan()));
}

TYPED_TEST(Softmax, TemperatureOnTheDevice) {
  using T = typename TypeParam::type;
  const rows_of_logits rows = {{1, 2, 4}};
  const float half = 0.5f;
  EXPECT_EQ(softmax<T>(rows, {.temperature = &half}).row(0),
            softmax<T>(rows, {.temperature = 0.5f}).row(0));
  for (const float t : {0.0f, -1.0f, 1e-40f, static_cast<float>(kInfinity)}) {
    const softmax_options options = {.temperature = &t};
    const rows_of_logits masked = {{1, -kInfinity, 4}};
    EXPECT_THAT(softmax<T>(masked, options).row(0), Each(IsNan())) << t;
    EXPECT_THAT(log_softmax<T>(masked, options).row(0), Each(IsNan())) << t;
    EXPECT_THAT(backward<T>(false, {1, 0}, {1, 1}, options), Each(IsNan())) << t;
    EXPECT_THAT(backward<T>(true, {0, -kInfinity}, {1, 1}, options), Each(IsNan())) << t;
  }
}

TYPED_TEST(Softmax, NoRowsAndBadArguments) {
  using T = typename TypeParam::type;
  host_matrix<T> empty(0, 3), y(1, 3), narrow(1, 2);
  EXPECT_TRUE(culoss::softmax(cpu{}, empty.view(), empty.view()).ok());
  EXPECT_EQ(culoss::softmax(cpu{}, y.view(), narrow.view()).code(),
            culoss::status_code::invalid_argument);
  EXPECT_EQ(culoss::log_softmax_backward(cpu{}, y.view(), narrow.view(), y.view()).code(),
            culoss::status_code::invalid_argument);
  EXPECT_THAT(narrow.row(0), Each(7));
}

TEST(SoftmaxThreads, ResultsDoNotDependOnTheThreads) {
  rows_of_logits rows(211, std::vector<double>(401));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows[i].size(); ++j) {
      rows[i][j] = std::sin(static_cast<double>(i * 401 + j));
    }
  }
  const host_matrix<float> expected = softmax<float>(rows, {}, {.threads = 1});
  for (const int threads : {0, 2, 5}) {
    EXPECT_EQ(softmax<float>(rows, {}, {.threads = threads}).storage(), expected.storage());
  }
}

}  // namespace
}  // namespace culoss_test
