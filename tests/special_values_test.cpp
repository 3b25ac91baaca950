// Special values, row by row of the rules in the public headers, in one call beside ordinary rows:
// whatever a row holds, no other row changes. Once for each kernel that a width may get.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cases/all.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/special_rows.hpp"

namespace culoss_test {
namespace {

// One row of each kind, beside ordinary weights and labels.
problem special_problem(const cross_entropy_case& c, element type, std::int64_t cols,
                        const std::vector<special_row>& rows) {
  problem p = c.make({.type = type,
                      .rows = static_cast<std::int64_t>(rows.size()),
                      .cols = cols,
                      .kind = input_kind::normal,
                      .seed = 8});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    p.labels[i] = 2;
    rows[i].set(p.row(static_cast<std::int64_t>(i)), cols, p.labels[i]);
  }
  return p;
}

// What the rules say of a row, without the help of a reference.
void expect_outcome(outcome expected, double loss, const double* gradient, const double* x,
                    std::int64_t cols, std::int64_t label, bool loss_given) {
  switch (expected) {
    case outcome::ignored:
      if (loss_given) {
        EXPECT_TRUE(loss == 0 && !std::signbit(loss)) << loss;
      }
      for (std::int64_t j = 0; j < cols; ++j) {
        ASSERT_TRUE(gradient[j] == 0 && !std::signbit(gradient[j])) << "column " << j;
      }
      return;
    case outcome::zero:
      if (loss_given) {
        EXPECT_EQ(loss, 0);
      }
      for (std::int64_t j = 0; j < cols; ++j) ASSERT_EQ(gradient[j], 0) << "column " << j;
      return;
    case outcome::nan:
      if (loss_given) {
        EXPECT_TRUE(std::isnan(loss)) << loss;
      }
      for (std::int64_t j = 0; j < cols; ++j) {
        ASSERT_TRUE(std::isnan(gradient[j])) << "column " << j << ": " << gradient[j];
      }
      return;
    case outcome::infinite:
      if (loss_given) {
        EXPECT_EQ(loss, kInf);
      }
      break;
    case outcome::finite:
      if (loss_given) {
        EXPECT_TRUE(std::isfinite(loss)) << loss;
      }
      break;
  }
  for (std::int64_t j = 0; j < cols; ++j) {
    ASSERT_TRUE(std::isfinite(gradient[j])) << "column " << j << ": " << gradient[j];
    if (x[j] == -kInf && j != label) {
      ASSERT_EQ(gradient[j], 0) << "masked column " << j;
    }
  }
}

std::vector<cross_entropy_choice> choices_for_special_values() {
  std::vector<cross_entropy_choice> choices = {
      plain_cross_entropy(), bare_cross_entropy(), weighted_and_smoothed_cross_entropy(),
      full_cross_entropy(), strided(full_cross_entropy(), 19)};
  for (cross_entropy_choice& c : choices) c.reduction = culoss::reduction::none;
  return choices;
}

class special_values : public on_each_space {
 protected:
  // A row by 8 lanes, by a warp, by a warp with more registers, by a block on chip, by a block that
  // reads it twice.
  static std::vector<std::int64_t> widths(element type) {
    std::vector<std::int64_t> all = {5, 45, 700, 3001};
    if (!reduced_run()) all.push_back(type == element::float32 ? 5003 : 9001);
    return all;
  }
};

TEST_P(special_values, of_cross_entropy) {
  tally t;
  const std::vector<special_row> rows = special_rows();
  for (const cross_entropy_choice& choice : choices_for_special_values()) {
    const cross_entropy_case c(choice);
    for (const element type : device_elements()) {
      for (const std::int64_t cols : widths(type)) {
        const problem p = special_problem(c, type, cols, rows);
        const std::vector<expectation> expected = c.bound(p, GetParam());
        for (const mode m : c.modes()) {
          const execution how{.where = GetParam(), .mode = m};
          t.expect_correct(c, p, how, c.choose(expected, m));
          if (m == mode::forward) continue;
          const results r = run(c, p, how);
          ASSERT_TRUE(r.status.ok()) << r.status.message();
          const bool loss_given = r.outputs[0].name == "loss";
          const std::vector<double>& gradient = r.outputs[loss_given ? 1 : 0].values;
          for (std::size_t i = 0; i < rows.size(); ++i) {
            SCOPED_TRACE(std::string(rows[i].what) + ", " + describe(c, p, how));
            const auto row = static_cast<std::int64_t>(i);
            // The square of the logsumexp is no 0 where the cross-entropy is.
            const bool square = choice.z_loss != 0 && rows[i].expected == outcome::zero;
            expect_outcome(square ? outcome::finite : rows[i].expected, r.outputs[0].values[i],
                           &gradient[i * static_cast<std::size_t>(cols)], p.row(row), cols,
                           p.labels[i], loss_given);
          }
        }
      }
    }
  }
}

// A row that is read twice, and one special row at a time.
TEST_P(special_values, of_rows_too_wide_for_the_chip) {
  if (reduced_run()) GTEST_SKIP() << "the widest rows are for the full run";
  tally t;
  for (const special_row& special : special_rows()) {
    const cross_entropy_case c(weighted_and_smoothed_cross_entropy());
    const problem p = special_problem(c, element::float32, 60001, {special});
    t.expect_correct(c, p, {.where = GetParam()}, special.what);
  }
}

// A mean over rows of which one is NaN or infinite: the other rows' gradients do not notice.
TEST_P(special_values, of_one_row_leave_the_others_alone) {
  tally t;
  const cross_entropy_case c(plain_cross_entropy());
  const special_row ordinary = special_rows()[0];
  for (const special_row& special : special_rows()) {
    for (const element type : device_elements()) {
      const problem p = special_problem(c, type, 45, {ordinary, special, ordinary});
      t.expect_correct(c, p, {.where = GetParam()}, special.what);
    }
  }
}

// int64 labels are compared as they are: 2^32 + 2 is not class 2.
TEST_P(special_values, of_labels_beyond_32_bits) {
  tally t;
  for (const std::int64_t label :
       {(std::int64_t{1} << 32) + 2, INT64_MIN, INT64_MAX, -(std::int64_t{1} << 32) + 2}) {
    for (const std::int64_t cols : {5, 300, 3001}) {
      const cross_entropy_case c(plain_cross_entropy());
      problem p = c.make({.type = element::float32, .rows = 3, .cols = cols, .seed = 9});
      p.labels = {1, label, 2};
      const execution how{.where = GetParam(), .record_faults = true};
      t.expect_correct(c, p, how);
      const results r = run(c, p, how);
      EXPECT_EQ(r.faults.flags, culoss::faults::label_out_of_range);
      EXPECT_EQ(r.faults.count, 1u);
      EXPECT_EQ(r.faults.first_row, 1);
      EXPECT_EQ(r.faults.label, label);
    }
  }
}

// A factor of exactly 0 switches off even an infinite loss.
TEST_P(special_values, of_weights_that_are_zero) {
  tally t;
  for (const float smoothing : {0.0f, 0.1f, 1.0f}) {
    for (const std::int64_t cols : {5, 300, 3001}) {
      cross_entropy_choice choice = weighted_and_smoothed_cross_entropy();
      choice.smoothing = smoothing;
      const cross_entropy_case c(choice);
      problem p = c.make({.type = element::float32, .rows = 4, .cols = cols, .seed = 10});
      p.labels = {2, 2, 3, 2};
      p.class_weights[2] = 0;
      p.row_weights[2] = 0;
      p.row(1)[2] = p.row(2)[3] = -kInf;
      for (const mode m : c.modes()) t.expect_correct(c, p, {.where = GetParam(), .mode = m});
      const results r = run(c, p, {.where = GetParam()});
      EXPECT_TRUE(std::isfinite(r.outputs[0].values[1])) << r.outputs[0].values[1];
      EXPECT_EQ(r.outputs[0].values[2], 0);
    }
  }
}

TEST_P(special_values, of_a_single_class) {
  for (const cross_entropy_choice& choice : choices_for_special_values()) {
    if (choice.z_loss != 0) continue;
    for (const element type : device_elements()) {
      const cross_entropy_case c(choice);
      problem p = c.make({.type = type, .rows = 3, .cols = 1, .seed = 11});
      p.labels = {0, 0, 0};
      const results r = run(c, p, {.where = GetParam()});
      ASSERT_TRUE(r.status.ok()) << r.status.message();
      for (const double loss : r.outputs[0].values) EXPECT_EQ(loss, 0);
      for (const double g : r.outputs[1].values) EXPECT_EQ(g, 0);
    }
  }
}

// A divisor of exactly 0, its own or the caller's; an empty and an ignored batch.
TEST_P(special_values, of_the_divisor) {
  tally t;
  for (const culoss::empty_batch empty : {culoss::empty_batch::zero, culoss::empty_batch::nan}) {
    for (const source normalizer : {source::absent, source::value, source::device}) {
      for (const culoss::reduction reduction : {culoss::reduction::mean, culoss::reduction::sum}) {
        cross_entropy_choice choice = plain_cross_entropy();
        choice.empty = empty;
        choice.normalizer_source = normalizer;
        choice.normalizer = 0;
        choice.reduction = reduction;
        const cross_entropy_case c(choice);
        for (const std::int64_t rows : {0, 1, 5}) {
          // Without rows no kernel runs that could read the device's normalizer.
          if (rows == 0 && normalizer == source::device) continue;
          for (const bool all_ignored : {false, true}) {
            problem p = c.make({.type = element::bfloat16, .rows = rows, .cols = 300, .seed = 12});
            if (all_ignored) p.labels.assign(p.labels.size(), kIgnored);
            if (rows > 1) p.row(1)[7] = kNan;  // a row that counts, if any does
            for (const mode m : c.modes()) {
              t.expect_correct(c, p, {.where = GetParam(), .mode = m},
                               all_ignored ? "all ignored" : "");
            }
          }
        }
      }
    }
  }
}

TEST_P(special_values, of_the_divisor_by_the_rules) {
  cross_entropy_choice choice = plain_cross_entropy();
  for (const bool nan : {false, true}) {
    choice.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
    const cross_entropy_case c(choice);
    problem p = c.make({.type = element::float32, .rows = 3, .cols = 40, .seed = 13});
    p.labels.assign(3, kIgnored);
    const results r = run(c, p, {.where = GetParam()});
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_TRUE(nan ? std::isnan(r.outputs[0].values[0]) : r.outputs[0].values[0] == 0);
    for (const double g : r.outputs[1].values) EXPECT_TRUE(g == 0 && !std::signbit(g));
    EXPECT_EQ(r.outputs.back().name, "rows_counted");
    EXPECT_EQ(r.outputs.back().values[0], 0);
  }
}

// No rows: nothing but the scalars is written.
TEST_P(special_values, of_no_rows) {
  tally t;
  for (const auto& c : all_cases()) {
    for (const element type : device_elements()) {
      const problem p = c->make({.type = type, .rows = 0, .cols = 33});
      for (const mode m : c->modes()) t.expect_correct(*c, p, {.where = GetParam(), .mode = m});
    }
  }
}

// A temperature in device memory that is not positive and normal, where no host check can see it.
TEST_P(special_values, of_the_temperature_on_the_device) {
  for (const double bad : {0.0, -1.0, kNan, kInf, -kInf, 0x1p-130}) {
    const softmax_case softmax({.temperature_on_device = true});
    cross_entropy_choice choice = plain_cross_entropy();
    choice.reduction = culoss::reduction::none;
    choice.temperature_source = source::device;
    const cross_entropy_case cross_entropy(choice);
    for (const std::int64_t cols : {5, 300, 3001}) {
      problem p = cross_entropy.make({.type = element::float32, .rows = 2, .cols = cols});
      p.labels = {1, kIgnored};
      p.temperature = static_cast<float>(bad);
      const results probabilities = run(softmax, p, {.where = GetParam()});
      for (const double v : probabilities.outputs[0].values) ASSERT_TRUE(std::isnan(v)) << bad;
      const results r = run(cross_entropy, p, {.where = GetParam()});
      EXPECT_TRUE(std::isnan(r.outputs[0].values[0])) << bad;
      EXPECT_EQ(r.outputs[0].values[1], 0) << bad;
      for (std::size_t j = 0; j < static_cast<std::size_t>(cols); ++j) {
        ASSERT_TRUE(std::isnan(r.outputs[1].values[j])) << bad;
        ASSERT_EQ(r.outputs[1].values[j + static_cast<std::size_t>(cols)], 0) << bad;
      }
    }
  }
}

// Nor does a backward make sense of one, however sound what the forward call left.
TEST_P(special_values, of_the_temperature_of_a_backward) {
  constexpr std::int64_t kRows = 2;
  for (const double bad : {0.0, -1.0, kNan, kInf, -kInf, 0x1p-130}) {
    for (const std::int64_t cols : {5, 300, 3001}) {
      for (const softmax_function f :
           {softmax_function::softmax_backward, softmax_function::log_softmax_backward}) {
        const softmax_case c({.function = f, .temperature_on_device = true});
        problem p = c.make({.type = element::float32, .rows = kRows, .cols = cols});
        p.temperature = static_cast<float>(bad);
        const results r = run(c, p, {.where = GetParam()});
        for (const double v : r.outputs[0].values) ASSERT_TRUE(std::isnan(v)) << bad;
      }
      array<float> logits(GetParam(), kRows, cols, 0, 0), statistics(GetParam(), 4 * kRows, 0);
      array<float> temperature(GetParam(), 1, 0);
      array<std::int64_t> labels(GetParam(), kRows, 0);
      const array<float> of_cross_entropy(GetParam(), kRows, cols, 0, 0);
      const array<float> of_focal(GetParam(), kRows, cols, 0, 0);
      const float log_sum = std::log(static_cast<float>(cols - 1));
      logits.write(std::vector<float>(static_cast<std::size_t>(kRows * cols), 1.0f));
      statistics.write(std::vector<float>{1, log_sum, 1, 0, 1, log_sum, 1, 0});
      temperature.write(std::vector<float>{static_cast<float>(bad)});
      labels.write(std::vector<std::int64_t>{1, 2});
      const culoss::scalar t(static_cast<const float*>(temperature.data()));
      const culoss::vector<const culoss::row_statistics<float>> saved(
          reinterpret_cast<const culoss::row_statistics<float>*>(statistics.data()), kRows);
      const auto call = [&](const auto& where) {
        culoss::status s = culoss::cross_entropy_backward(
            where, culoss::matrix<const float>(logits.as_matrix()), labels.as_vector(), saved,
            {of_cross_entropy.as_matrix()}, {.temperature = t});
        if (!s.ok()) return s;
        return culoss::softmax_focal_backward(
            where, culoss::matrix<const float>(logits.as_matrix()), labels.as_vector(), saved,
            {of_focal.as_matrix()}, {.temperature = t});
      };
      const culoss::status s =
          GetParam() == space::cpu ? call(culoss::cpu{}) : call(culoss::cuda{});
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(GetParam());
      std::string damage;
      for (const array<float>* g : {&of_cross_entropy, &of_focal}) {
        for (const double v : g->read("gradient", damage)) ASSERT_TRUE(std::isnan(v)) << bad;
      }
      EXPECT_EQ(damage, "");
    }
  }
}

// A backward goes by the statistics that it is given: a row that was NaN stays NaN.
TEST_P(special_values, of_statistics_that_are_nan) {
  constexpr std::int64_t kRows = 2;
  for (const float smoothing : {0.0f, 0.1f}) {
    for (const std::int64_t cols : {5, 300, 3001}) {
      array<float> logits(GetParam(), kRows, cols, 0, 0), statistics(GetParam(), 4 * kRows, 0);
      array<std::int64_t> labels(GetParam(), kRows, 0);
      const array<float> gradient(GetParam(), kRows, cols, 0, 0);
      const float log_sum = std::log(static_cast<float>(cols - 1));
      const float nan = std::nanf(""), weight = smoothing == 0 ? 0 : static_cast<float>(cols);
      logits.write(std::vector<float>(static_cast<std::size_t>(kRows * cols), 1.0f));
      statistics.write(std::vector<float>{nan, nan, nan, nan, 1, log_sum, 1, weight});
      labels.write(std::vector<std::int64_t>{1, 2});
      const culoss::vector<const culoss::row_statistics<float>> saved(
          reinterpret_cast<const culoss::row_statistics<float>*>(statistics.data()), kRows);
      const auto call = [&](const auto& where) {
        return culoss::cross_entropy_backward(
            where, culoss::matrix<const float>(logits.as_matrix()), labels.as_vector(), saved,
            {gradient.as_matrix()}, {.label_smoothing = smoothing});
      };
      const culoss::status s =
          GetParam() == space::cpu ? call(culoss::cpu{}) : call(culoss::cuda{});
      ASSERT_TRUE(s.ok()) << s.message();
      synchronize(GetParam());
      std::string damage;
      const std::vector<double> g = gradient.read("gradient", damage);
      EXPECT_EQ(damage, "");
      for (std::size_t k = 0; k < g.size(); ++k) {
        const bool of_nan = k < static_cast<std::size_t>(cols);
        ASSERT_TRUE(of_nan ? std::isnan(g[k]) : std::isfinite(g[k])) << smoothing << " " << k;
      }
    }
  }
}

TEST_P(special_values, of_softmax) {
  tally t;
  const cross_entropy_case shapes(bare_cross_entropy());
  for (const softmax_function f : {softmax_function::softmax, softmax_function::log_softmax}) {
    const softmax_case c({.function = f});
    for (const element type : device_elements()) {
      for (const std::int64_t cols : widths(type)) {
        const std::vector<special_row> rows = special_rows();
        const problem p = special_problem(shapes, type, cols, rows);
        for (const mode m : c.modes()) t.expect_correct(c, p, {.where = GetParam(), .mode = m});
        const results r = run(c, p, {.where = GetParam()});
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const double* x = p.row(static_cast<std::int64_t>(i));
          const bool nan = std::none_of(x, x + cols, [](double v) { return v > -kInf; }) ||
                           std::any_of(x, x + cols, [](double v) { return !(v < kInf); });
          for (std::int64_t j = 0; j < cols; ++j) {
            const double v =
                r.outputs[0]
                    .values[i * static_cast<std::size_t>(cols) + static_cast<std::size_t>(j)];
            ASSERT_EQ(std::isnan(v), nan) << rows[i].what << ", column " << j;
            if (nan || x[j] != -kInf) continue;
            ASSERT_EQ(v, f == softmax_function::softmax ? 0 : -kInf) << rows[i].what;
          }
        }
      }
    }
  }
}

// Backward of softmax where a probability is 0, of log-softmax where a column is masked: 0.
TEST_P(special_values, of_the_softmax_backwards) {
  tally t;
  const cross_entropy_case shapes(bare_cross_entropy());
  for (const softmax_function f :
       {softmax_function::softmax_backward, softmax_function::log_softmax_backward}) {
    const softmax_case c({.function = f});
    for (const element type : device_elements()) {
      for (const std::int64_t cols : widths(type)) {
        for (const input_kind kind : {input_kind::masked_but_one, input_kind::top_k}) {
          problem p = c.make({.type = type, .rows = 5, .cols = cols, .kind = kind, .seed = 14});
          p.row(1)[0] = kNan;
          p.g[static_cast<std::size_t>(3 * cols)] = kNan;
          t.expect_correct(c, p, {.where = GetParam()}, name_of(kind));
        }
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(special_values);

}  // namespace
}  // namespace culoss_test
