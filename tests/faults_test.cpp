// Labels that are neither a class nor ignored: the row becomes NaN and nothing else does, the fault
// record says how many and where, nothing is dereferenced.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/plans.hpp"

namespace culoss_test {
namespace {

constexpr std::int64_t kInt32Min = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kBeyond32 = (std::int64_t{1} << 32) + 5;  // 5, if it were cut to 32 bits

std::string text_of(const culoss::faults& f) {
  return "flags " + std::to_string(f.flags) + ", " + std::to_string(f.count) + " rows, the first " +
         std::to_string(f.first_row) + " with label " + std::to_string(f.label);
}
std::string bad_labels(std::uint64_t count, std::int64_t first_row, std::int64_t label) {
  return text_of({culoss::faults::label_out_of_range, count, first_row, label});
}
const std::string kNoFaults = text_of({});

cross_entropy_choice of_rows() {
  cross_entropy_choice c = plain_cross_entropy();
  c.reduction = culoss::reduction::none;
  return c;
}

class faults : public on_each_space {
 protected:
  static constexpr mode kModes[] = {mode::fused, mode::forward, mode::gradient, mode::in_place,
                                    mode::backward};
  tally tally_;
};

// Every bad label, for every kernel: values as the reference has them, the record, and the bits of
// the good rows as if the bad one were good.
TEST_P(faults, are_reported_and_stay_in_their_row) {
  const cross_entropy_case narrow_labels([] {
    cross_entropy_choice c = of_rows();
    c.wide_labels = false;
    return c;
  }());
  const cross_entropy_case wide_labels(of_rows());
  for (const element type : device_elements()) {
    for (const std::int64_t cols : width_of_each_plan(type)) {
      if (cols > 5000 || (cols > 1000 && reduced_run())) continue;
      for (const std::int64_t bad :
           {std::int64_t{-1}, cols, kInt32Min, kInt32Max, kBeyond32, kInt64Min}) {
        if (cols > 300 && bad != cols && bad != kBeyond32) continue;
        const bool wide = bad == kBeyond32 || bad == kInt64Min || bad == cols;
        const cross_entropy_case& c = wide ? wide_labels : narrow_labels;
        problem good = c.make({.type = type, .rows = 6, .cols = cols, .seed = 31});
        good.labels[4] = 0;
        problem p = good;
        p.labels[4] = bad;
        for (const mode m : kModes) {
          const execution how{.where = GetParam(), .mode = m, .record_faults = true};
          tally_.expect_correct(c, p, how);
          const results with = run(c, p, how), without = run(c, good, how);
          EXPECT_EQ(text_of(with.faults), bad_labels(1, 4, bad)) << describe(c, p, how);
          EXPECT_EQ(text_of(without.faults), kNoFaults) << describe(c, p, how);
          const std::vector<std::int64_t> others = {0, 1, 2, 3, 5};
          EXPECT_EQ(difference(rows_of(with.outputs, p.rows, others),
                               rows_of(without.outputs, p.rows, others)),
                    "")
              << describe(c, p, how) << ", label " << bad;
        }
      }
    }
  }
}

// The record is an extra: without one, the same results. All options: the divisor of a mean, the
// scalars, arg-max and counts as the reference has them.
TEST_P(faults, change_no_result_by_being_recorded) {
  for (const auto& each : all_cases()) {
    const loss_case* const c = each.get();
    if (c->rows() == nullptr || !c->rows()->labels) continue;
    problem p = c->make({.rows = 7, .cols = 45, .seed = 32});
    p.labels[2] = 47;  // 45 may be the background
    p.labels[6] = -3;
    for (const mode m : c->modes()) {
      if (m == mode::split) continue;  // reports twice
      const execution with{.where = GetParam(), .mode = m, .record_faults = true};
      execution without = with;
      without.record_faults = false;
      without.workspace = false;
      tally_.expect_correct(*c, p, with);
      const results r = run(*c, p, with);
      EXPECT_EQ(text_of(r.faults), bad_labels(2, 2, 47)) << describe(*c, p, with);
      EXPECT_EQ(difference(r.outputs, run(*c, p, without).outputs), "") << describe(*c, p, with);
    }
  }
}

// The forward and the backward both report.
TEST_P(faults, are_counted_by_each_call) {
  const cross_entropy_case c(of_rows());
  problem p = c.make({.rows = 5, .cols = 9, .seed = 33});
  p.labels[3] = 9;
  const execution how{.where = GetParam(), .mode = mode::split, .record_faults = true};
  const results r = run(c, p, how);
  ASSERT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(text_of(r.faults), bad_labels(2, 3, 9));
}

// An ignored label is no fault, whatever its value; without that option it is one.
TEST_P(faults, are_not_ignored_labels) {
  for (const std::int64_t ignored : {std::int64_t{-1}, std::int64_t{9}, kBeyond32, kInt64Min}) {
    cross_entropy_choice choice = plain_cross_entropy();
    choice.ignore_index = ignored;
    const cross_entropy_case c(choice);
    problem p = c.make({.rows = 8, .cols = 9, .seed = 34});
    p.labels = {ignored, 1, ignored, 5, 0, ignored, 8, 2};
    for (const mode m : kModes) {
      const execution how{.where = GetParam(), .mode = m, .record_faults = true};
      tally_.expect_correct(c, p, how);
      EXPECT_EQ(text_of(run(c, p, how).faults), kNoFaults);
    }
    p.labels[6] = -100;  // ignored by default, but not here
    EXPECT_EQ(text_of(run(c, p, {.where = GetParam(), .record_faults = true}).faults),
              bad_labels(1, 6, -100));
  }
  // A label of 32 bits is never equal to an ignore_index beyond them.
  cross_entropy_choice choice = plain_cross_entropy();
  choice.ignore_index = kBeyond32;
  choice.wide_labels = false;
  const cross_entropy_case c(choice);
  problem p = c.make({.rows = 3, .cols = 9, .seed = 34});
  p.labels = {5, 5, 5};
  tally_.expect_correct(c, p, {.where = GetParam(), .record_faults = true});
}

TEST_P(faults, are_not_classes_that_are_ignored) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.ignore_index = 0;
  const cross_entropy_case c(choice);
  problem p = c.make({.rows = 4, .cols = 9, .seed = 35});
  p.labels = {0, 3, 0, -100};
  for (const mode m : kModes) {
    const execution how{.where = GetParam(), .mode = m, .record_faults = true};
    tally_.expect_correct(c, p, how);
    EXPECT_EQ(text_of(run(c, p, how).faults), bad_labels(1, 3, -100));
  }
}

// More rows than one block sums.
TEST_P(faults, are_found_among_many_rows) {
  for (const culoss::reduction r : {culoss::reduction::none, culoss::reduction::mean}) {
    cross_entropy_choice choice = plain_cross_entropy();
    choice.reduction = r;
    const cross_entropy_case c(choice);
    problem p = c.make({.rows = 9000, .cols = 3, .seed = 36});
    for (const std::size_t row : {8999u, 8191u, 8192u, 77u}) {
      p.labels[row] = 3 + static_cast<std::int64_t>(row);
    }
    const execution how{.where = GetParam(), .record_faults = true};
    tally_.expect_correct(c, p, how);
    EXPECT_EQ(text_of(run(c, p, how).faults), bad_labels(4, 77, 80));
  }
}

// A record collects over calls until it is cleared: the counts add up, the smallest row stays with
// the label that stood there.
template <class Where>
class recorder {
 public:
  explicit recorder(space at) : at_(at), record_(at, 4, 0) { clear(); }

  void clear() { record_.write(std::vector<int>(4, 0)); }
  void call(const std::vector<std::int64_t>& labels) {
    const auto rows = static_cast<std::int64_t>(labels.size());
    array<float> logits(at_, rows, 3, 0, 0), loss(at_, rows, 0);
    array<std::int64_t> numbers(at_, rows, 0);
    logits.write(std::vector<float>(static_cast<std::size_t>(rows * 3), 0.5f));
    numbers.write(labels);
    Where where;
    where.faults = reinterpret_cast<culoss::fault_record*>(record_.data());
    const culoss::status s =
        culoss::cross_entropy(where, logits.as_matrix(), numbers.as_vector(),
                              {.loss = loss.as_vector()}, {.reduction = culoss::reduction::none});
    ASSERT_TRUE(s.ok()) << s.message();
    synchronize(at_);
  }
  std::string read() const {
    culoss::faults f;
    const culoss::status s = culoss::read_faults(
        Where{}, reinterpret_cast<const culoss::fault_record*>(record_.data()), &f);
    EXPECT_TRUE(s.ok()) << s.message();
    return text_of(f);
  }

 private:
  space at_;
  array<std::int64_t> record_;
};

template <class Where>
void collect_over_calls(space at) {
  recorder<Where> r(at);
  EXPECT_EQ(r.read(), kNoFaults);
  r.call({0, 1, 2});
  EXPECT_EQ(r.read(), kNoFaults);
  r.call({0, 1, 2, 0, 1, 70, 0, 80});
  EXPECT_EQ(r.read(), bad_labels(2, 5, 70));
  r.call({0, 1, 2, 0, 1, 2, 90});  // a larger row
  EXPECT_EQ(r.read(), bad_labels(3, 5, 70));
  r.call({0, 1, -7, 0});  // a smaller one
  EXPECT_EQ(r.read(), bad_labels(4, 2, -7));
  r.call({0, 1, 0, 1, 60});  // whose label is good in a later call
  EXPECT_EQ(r.read(), bad_labels(5, 2, -7));
  r.call({-5});
  EXPECT_EQ(r.read(), bad_labels(6, 0, -5));
  r.clear();
  EXPECT_EQ(r.read(), kNoFaults);
  r.call({1, 2, 3});
  EXPECT_EQ(r.read(), bad_labels(1, 2, 3));
}

// A record that was never cleared may name a row that is not there: no label is looked for in
// front of the labels or behind them.
template <class Where>
void leave_what_was_never_cleared(space at) {
  constexpr std::int64_t kRows = 4, kMargin = 3;
  constexpr std::int64_t kBefore = -77, kAfter = 99;
  for (const std::int64_t row : {std::int64_t{-2}, -kMargin, kRows, kRows + 1}) {
    array<float> logits(at, kRows, 3, 0, 0), loss(at, kRows, 0);
    logits.write(std::vector<float>(kRows * 3, 0.5f));
    array<std::int64_t> numbers(at, kMargin + kRows + kMargin, 0), record(at, 4, 0);
    numbers.write(
        std::vector<std::int64_t>{kBefore, kBefore, kBefore, 0, 1, 2, 0, kAfter, kAfter, kAfter});
    culoss::fault_record held{};
    held.count = 5;
    held.inverted_first_row = ~static_cast<std::uint64_t>(row);
    held.label = 42;
    std::vector<std::int64_t> bytes(4);
    static_assert(sizeof held == 4 * sizeof(std::int64_t));
    std::memcpy(bytes.data(), &held, sizeof held);
    record.write(bytes);
    Where where;
    where.faults = reinterpret_cast<culoss::fault_record*>(record.data());
    for (const culoss::reduction r : {culoss::reduction::none, culoss::reduction::mean}) {
      const culoss::vector<float> out(loss.data(), r == culoss::reduction::none ? kRows : 1);
      const culoss::status s =
          culoss::cross_entropy(where, logits.as_matrix(),
                                culoss::vector<const std::int64_t>(numbers.data() + kMargin, kRows),
                                {.loss = out}, {.reduction = r});
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(at);
      std::string damage;
      const std::vector<double> after = record.read("record", damage);
      EXPECT_EQ(after, std::vector<double>(bytes.begin(), bytes.end())) << row;
      EXPECT_EQ(damage, "");
    }
  }
}

// A call that counts rows, and has nothing else to give, still looks at all labels.
template <class Where>
void are_told_beside_the_count_alone(space at) {
  array<float> x(at, 3, 4, 0, 0), y(at, 3, 4, 0, 0);
  x.write(std::vector<float>(12, 0.5f));
  y.write(std::vector<float>(12, 0.25f));
  array<std::int64_t> labels(at, 3, 0), count(at, 1, 0), record(at, 4, 0);
  labels.write(std::vector<int>{1, 9, 1});
  Where where;
  where.faults = reinterpret_cast<culoss::fault_record*>(record.data());
  const auto expect_told = [&](const char* function, const auto& call) {
    record.write(std::vector<int>(4, 0));
    const culoss::status s = call();
    ASSERT_TRUE(s.ok()) << s.message();
    culoss::faults f;
    ASSERT_TRUE(culoss::read_faults(Where{}, where.faults, &f).ok());
    EXPECT_EQ(text_of(f), bad_labels(1, 1, 9)) << function;
  };
  const culoss::label_view all = labels.as_vector();
  expect_told("multi_class_hinge", [&] {
    return multi_class_hinge(
        where, x.as_matrix(), all,
        culoss::multi_class_hinge_outputs<float>{.rows_counted = count.as_vector()});
  });
  expect_told("distillation", [&] {
    return distillation(where, x.as_matrix(), y.as_matrix(),
                        culoss::distillation_outputs<float>{.rows_counted = count.as_vector()},
                        {.labels = all});
  });
  expect_told("cosine_embedding", [&] {
    return cosine_embedding(where, x.as_matrix(), y.as_matrix(), all,
                            culoss::pair_outputs<float>{.rows_counted = count.as_vector()});
  });
  expect_told("contrastive", [&] {
    return contrastive(where, x.as_matrix(), y.as_matrix(), all,
                       culoss::pair_outputs<float>{.rows_counted = count.as_vector()});
  });
}

TEST_P(faults, are_told_where_only_rows_are_counted) {
  GetParam() == space::cpu ? are_told_beside_the_count_alone<culoss::cpu>(GetParam())
                           : are_told_beside_the_count_alone<culoss::cuda>(GetParam());
}

TEST_P(faults, leave_a_record_that_was_never_cleared) {
  GetParam() == space::cpu ? leave_what_was_never_cleared<culoss::cpu>(GetParam())
                           : leave_what_was_never_cleared<culoss::cuda>(GetParam());
}

TEST_P(faults, collect_over_calls_until_cleared) {
  GetParam() == space::cpu ? collect_over_calls<culoss::cpu>(GetParam())
                           : collect_over_calls<culoss::cuda>(GetParam());
}

CULOSS_ON_EACH_SPACE(faults);

}  // namespace
}  // namespace culoss_test
