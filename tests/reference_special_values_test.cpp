// What is special in the data of the CPU functions: infinite and NaN logits, ignored rows, labels
// that are none, temperatures that are none. The rules stand in culoss/cross_entropy.hpp.
#include <gmock/gmock.h>

#include <cmath>
#include <culoss/culoss.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/reference_call.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::cross_entropy_options;
using culoss::reduction;
using ::testing::Each;
using ::testing::IsNan;

using labels64 = std::vector<std::int64_t>;
constexpr cross_entropy_options kNone = {.reduction = reduction::none};

// Bits, so that -0 is not +0.
void expect_plus_zeros(const std::vector<double>& row) {
  for (const double v : row) EXPECT_TRUE(v == 0 && !std::signbit(v)) << v;
}

template <class Real>
void expect_nan(const culoss::row_statistics<Real>& s) {
  for (const Real v : {s.max, s.log_sum, s.target, s.weight}) EXPECT_THAT(v, IsNan());
}

template <class T>
class SpecialValues : public ::testing::Test {};
// half and bf16 may be incomplete, so the list is of tags.
using Types = ::testing::Types<std::type_identity<float>, std::type_identity<culoss::half>,
                               std::type_identity<culoss::bf16>, std::type_identity<double>>;
TYPED_TEST_SUITE(SpecialValues, Types);

TYPED_TEST(SpecialValues, MaskedColumnIsAsIfItWereNotThere) {
  using T = typename TypeParam::type;
  const cross_entropy_call<T> masked({{1, -kInfinity, 2, -kInfinity}}, labels64{2}, kNone);
  const cross_entropy_call<T> without({{1, 2}}, labels64{1}, kNone);
  EXPECT_EQ(masked.loss, without.loss);
  EXPECT_EQ(masked.lse, without.lse);
  EXPECT_EQ(masked.gradient.at(0, 0), without.gradient.at(0, 0));
  EXPECT_EQ(masked.gradient.at(0, 2), without.gradient.at(0, 1));
  EXPECT_EQ(masked.gradient.at(0, 1), 0);
  EXPECT_EQ(masked.gradient.at(0, 3), 0);
  EXPECT_EQ(masked.statistics[0].max, without.statistics[0].max);
  EXPECT_EQ(masked.statistics[0].log_sum, without.statistics[0].log_sum);
}

TYPED_TEST(SpecialValues, EveryOtherColumnMasked) {
  using T = typename TypeParam::type;
  const cross_entropy_call<T> call({{-kInfinity, 3, -kInfinity}}, labels64{1}, kNone);
  EXPECT_EQ(call.loss[0], 0);
  EXPECT_EQ(call.lse[0], 3);
  for (const double g : call.gradient.row(0)) EXPECT_EQ(g, 0);
  EXPECT_EQ(call.argmax[0], 1);
}

TYPED_TEST(SpecialValues, OneClassHasNoLoss) {
  using T = typename TypeParam::type;
  for (const float s : {0.0f, 0.5f, 1.0f}) {
    const cross_entropy_call<T> call({{-5}}, labels64{0},
                                     {.reduction = reduction::none, .label_smoothing = s});
    EXPECT_EQ(call.loss[0], 0);
    EXPECT_EQ(call.gradient.at(0, 0), 0);
    EXPECT_EQ(call.lse[0], -5);
  }
}

TYPED_TEST(SpecialValues, MaskedTargetHasInfiniteLossAndFiniteGradient) {
  using T = typename TypeParam::type;
  const cross_entropy_call<T> call({{0, -kInfinity, 0}}, labels64{1}, kNone);
  EXPECT_EQ(call.loss[0], kInfinity);
  EXPECT_THAT(call.gradient.row(0), ::testing::ElementsAre(0.5, -1, 0.5));
  EXPECT_EQ(call.argmax[0], 0);
}

TYPED_TEST(SpecialValues, NanOrInfinityMakesItsRowNanAndNoOther) {
  using T = typename TypeParam::type;
  const std::vector<double> good = {1, 0.5, -2};
  const rows_of_logits bad_rows = {{1, kNan, 2},
                                   {kNan, 1, 2},
                                   {kNan, -kInfinity, -kInfinity},
                                   {-kInfinity, 1, kNan},
                                   {1, kInfinity, -kInfinity},
                                   {kInfinity, 1, -kInfinity},
                                   {kInfinity, kInfinity, 0},
                                   {-kInfinity, kInfinity, 0},
                                   {-kInfinity, -kInfinity, -kInfinity}};
  for (const float s : {0.0f, 0.25f, 1.0f}) {
    for (const auto& bad : bad_rows) {
      SCOPED_TRACE(::testing::PrintToString(bad) + " s " + std::to_string(s));
      const cross_entropy_options options = {.reduction = reduction::none, .label_smoothing = s};
      const cross_entropy_call<T> call({good, bad, good}, labels64{0, 0, 0}, options);
      EXPECT_THAT(call.loss[1], IsNan());
      EXPECT_THAT(call.lse[1], IsNan());
      EXPECT_THAT(call.gradient.row(1), Each(IsNan()));
      expect_nan(call.statistics[1]);
      const cross_entropy_call<T> expected({good}, labels64{0}, options);
      for (const std::int64_t i : {0, 2}) {
        EXPECT_EQ(call.loss[static_cast<std::size_t>(i)], expected.loss[0]);
        EXPECT_EQ(call.gradient.row(i), expected.gradient.row(0));
      }
    }
  }
}

TYPED_TEST(SpecialValues, NanStaysNanUnderAWeightOfZero) {
  using T = typename TypeParam::type;
  const float zero = 0;
  const cross_entropy_call<T> call({{1, kNan}}, labels64{0},
                                   {.reduction = reduction::none, .row_weights = {&zero, 1}});
  EXPECT_THAT(call.loss[0], IsNan());
  EXPECT_THAT(call.gradient.row(0), Each(IsNan()));
}

TYPED_TEST(SpecialValues, WeightOfZeroTimesAnInfiniteLossIsZero) {
  using T = typename TypeParam::type;
  const rows_of_logits logits = {{0, -kInfinity, 0}};
  const float row_weight = 0;
  const cross_entropy_call<T> by_row(
      logits, labels64{1}, {.reduction = reduction::none, .row_weights = {&row_weight, 1}});
  EXPECT_EQ(by_row.loss[0], 0);
  for (const double g : by_row.gradient.row(0)) EXPECT_EQ(g, 0);

  const float class_weights[] = {1, 0, 1};
  const cross_entropy_call<T> by_class(
      logits, labels64{1}, {.reduction = reduction::none, .class_weights = {class_weights, 3}});
  EXPECT_EQ(by_class.loss[0], 0);
  for (const double g : by_class.gradient.row(0)) EXPECT_EQ(g, 0);

  // 1 - s = 0: what is left is (1/3) (log 2 + log 2), each of the other two having p = 1/2.
  const cross_entropy_call<double> by_smoothing(
      logits, labels64{1}, {.reduction = reduction::none, .label_smoothing = 1.0f});
  EXPECT_DOUBLE_EQ(by_smoothing.loss[0], 2 * std::log(2.0) / 3);
}

// C = 4, s = 1/2, of which a column is masked: s / C stays 1/8, its term and its weight are gone.
TYPED_TEST(SpecialValues, MaskedColumnGetsNoSmoothingMass) {
  using T = typename TypeParam::type;
  const float w[] = {1, 2, 0.5f, 4};
  const cross_entropy_options options = {
      .reduction = reduction::none, .label_smoothing = 0.5f, .class_weights = {w, 4}};
  const cross_entropy_call<T> call({{0, 0, 0, -kInfinity}}, labels64{1}, options);
  const double log3 = std::log(3.0), third = 1.0 / 3;
  EXPECT_FLOAT_EQ(static_cast<float>(call.loss[0]),
                  static_cast<float>(0.5 * 2 * log3 + (1 + 2 + 0.5) * log3 / 8));
  const double relative = format_of(element_of<T>).unit_roundoff() * 4;
  const double expected[] = {third + (3.5 * third - 1) / 8, third - 1 + (3.5 * third - 2) / 8,
                             third + (3.5 * third - 0.5) / 8, 0};
  for (std::int64_t j = 0; j < 4; ++j) {
    EXPECT_NEAR(call.gradient.at(0, j), expected[j], relative * std::fabs(expected[j]));
  }
  EXPECT_EQ(call.statistics[0].weight, 3.5);
  // The target is no exception: it keeps its own term of the loss, which is infinite, only.
  const cross_entropy_call<T> target({{0, 0, 0, -kInfinity}}, labels64{3}, options);
  EXPECT_EQ(target.loss[0], kInfinity);
  EXPECT_EQ(target.gradient.at(0, 3), -2);
  EXPECT_EQ(target.statistics[0].weight, 3.5);
}

TYPED_TEST(SpecialValues, IgnoredRowsAreZeroWhateverStandsThere) {
  using T = typename TypeParam::type;
  for (const std::int64_t ignore : {std::int64_t{-100}, std::int64_t{1}, std::int64_t{1} << 40}) {
    const cross_entropy_call<T> call(
        {{kNan, kInfinity, 1}, {0, 0, 4}}, labels64{ignore, 2},
        {.reduction = reduction::none, .ignore_index = ignore, .upstream = -1});
    EXPECT_TRUE(call.loss[0] == 0 && !std::signbit(call.loss[0]));
    expect_plus_zeros(call.gradient.row(0));
    EXPECT_EQ(call.lse[0], 0);
    EXPECT_EQ(call.statistics[0].max, 0);
    EXPECT_EQ(call.statistics[0].log_sum, 0);
    EXPECT_EQ(call.statistics[0].target, 0);
    EXPECT_EQ(call.statistics[0].weight, 0);
    EXPECT_EQ(call.argmax, (labels64{-1, 2}));
    EXPECT_EQ(call.correct, 1);
    EXPECT_EQ(call.rows_counted, 1);
    EXPECT_GT(call.loss[1], 0);
    EXPECT_EQ(call.faults().count, 0u);
  }
}

template <class T, class Label>
void check_bad_label(Label label) {
  SCOPED_TRACE(label);
  const rows_of_logits logits = {{0, 0, 0, 0, 0, 0, 0, 0}, {1, 2, 3, 4, 5, 6, 7, 8}};
  const std::vector<Label> labels = {5, label};
  const cross_entropy_call<T> call(logits, labels, kNone);
  EXPECT_FLOAT_EQ(static_cast<float>(call.loss[0]), std::log(8.0f));
  EXPECT_THAT(call.loss[1], IsNan());
  EXPECT_THAT(call.gradient.row(1), Each(IsNan()));
  EXPECT_THAT(call.lse[1], IsNan());
  expect_nan(call.statistics[1]);
  EXPECT_EQ(call.argmax, (labels64{0, -1}));
  EXPECT_EQ(call.correct, 0);
  EXPECT_EQ(call.rows_counted, 2);
  EXPECT_EQ(call.faults().count, 1u);
  EXPECT_EQ(call.faults().flags, culoss::faults::label_out_of_range);
  EXPECT_EQ(call.faults().first_row, 1);
  EXPECT_EQ(call.faults().label, label);
  // The gradient of the good row is divided by 2: the bad one counts with weight 1.
  const std::vector<float> w(8, 3.0f);
  const cross_entropy_call<T> mean(logits, labels, {.class_weights = {w.data(), 8}});
  EXPECT_THAT(mean.loss[0], IsNan());
  EXPECT_FLOAT_EQ(static_cast<float>(mean.gradient.at(0, 0)), 3.0f / 8 / (3 + 1));
}

TYPED_TEST(SpecialValues, BadLabels) {
  using T = typename TypeParam::type;
  for (const std::int32_t label : {-1, 8, INT32_MIN, INT32_MAX}) {
    check_bad_label<T>(label);
    check_bad_label<T>(std::int64_t{label});
  }
  for (const std::int64_t label : {(std::int64_t{1} << 32) + 5, INT64_MIN, INT64_MAX}) {
    check_bad_label<T>(label);
  }
}

TEST(Faults, KeepTheSmallestRowOverCalls) {
  culoss::fault_record record = {};
  const cpu where = {.faults = &record};
  const float logits[6] = {};
  std::vector<float> loss(3);
  const auto run = [&](std::vector<std::int32_t> labels) {
    const culoss::vector<const std::int32_t> view(labels.data(), 3);
    ASSERT_TRUE(culoss::cross_entropy(where, culoss::matrix<const float>(logits, 3, 2), view,
                                      {.loss = {loss.data(), 3}}, kNone)
                    .ok());
  };
  culoss::faults decoded;
  run({0, 1, 0});
  ASSERT_TRUE(culoss::read_faults(where, &record, &decoded).ok());
  EXPECT_EQ(decoded.count, 0u);
  EXPECT_EQ(decoded.flags, 0u);
  EXPECT_EQ(decoded.first_row, -1);
  run({0, 17, -9});
  run({0, 1, -5});
  ASSERT_TRUE(culoss::read_faults(where, &record, &decoded).ok());
  EXPECT_EQ(decoded.count, 3u);
  EXPECT_EQ(decoded.first_row, 1);
  EXPECT_EQ(decoded.label, 17);
  run({44, 1, 0});
  ASSERT_TRUE(culoss::read_faults(where, &record, &decoded).ok());
  EXPECT_EQ(decoded.count, 4u);
  EXPECT_EQ(decoded.first_row, 0);
  EXPECT_EQ(decoded.label, 44);
}

TEST(Faults, NullPointersAreRefused) {
  culoss::fault_record record = {};
  culoss::faults decoded;
  EXPECT_EQ(culoss::read_faults(cpu{}, nullptr, &decoded).code(),
            culoss::status_code::invalid_argument);
  EXPECT_EQ(culoss::read_faults(cpu{}, &record, nullptr).code(),
            culoss::status_code::invalid_argument);
}

TYPED_TEST(SpecialValues, TemperatureOnTheDeviceThatIsNone) {
  using T = typename TypeParam::type;
  for (const float t :
       {0.0f, -1.0f, 1e-40f, static_cast<float>(kInfinity), static_cast<float>(kNan)}) {
    const cross_entropy_call<T> call({{1, 2, -kInfinity}, {1, 2, 3}, {-kInfinity, 1, -kInfinity}},
                                     labels64{0, -100, 1},
                                     {.reduction = reduction::none, .temperature = &t});
    for (const std::size_t i : {0u, 2u}) {
      EXPECT_THAT(call.loss[i], IsNan()) << t;
      EXPECT_THAT(call.lse[i], IsNan()) << t;
      expect_nan(call.statistics[i]);
      EXPECT_THAT(call.gradient.row(static_cast<std::int64_t>(i)), Each(IsNan())) << t;
    }
    EXPECT_EQ(call.loss[1], 0);
    expect_plus_zeros(call.gradient.row(1));
  }
}

TYPED_TEST(SpecialValues, ArgMax) {
  using T = typename TypeParam::type;
  const cross_entropy_call<T> call({{1, 3, 3},
                                    {kNan, kInfinity, kNan},
                                    {kInfinity, kNan, kNan},
                                    {-kInfinity, -kInfinity, -kInfinity},
                                    {-kInfinity, -1, -2},
                                    {0, kInfinity, kInfinity}},
                                   labels64{1, 0, 1, 1, 2, 1}, kNone);
  EXPECT_EQ(call.argmax, (labels64{1, 0, 1, 0, 1, 1}));
  EXPECT_EQ(call.correct, 4);
}

}  // namespace
}  // namespace culoss_test
