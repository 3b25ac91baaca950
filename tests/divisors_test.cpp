// What a loss is divided by, what multiplies its gradient, and what is counted: against closed
// forms where they are exact, against the reference elsewhere.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

using culoss::empty_batch;
using culoss::reduction;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> values_of(const results& r, const std::string& name) {
  const output* o = find_output(r.outputs, name);
  EXPECT_NE(o, nullptr) << name;
  return o != nullptr ? o->values : std::vector<double>{};
}
double loss_of(const results& r) { return values_of(r, "loss").at(0); }

class divisors : public on_each_space {
 protected:
  static results must_run(const cross_entropy_choice& choice, const problem& p, mode m,
                          space where) {
    const cross_entropy_case c(choice);
    const execution how{.where = where, .mode = m};
    results r = run(c, p, how);
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
  static void expect_all(const results& r, const std::string& name, double value) {
    for (const double v : values_of(r, name)) {
      EXPECT_TRUE(same_bits(v, value)) << name << ": " << v << " instead of " << value;
    }
  }
  tally tally_;
};

// Rows of equal losses times weights that are powers of two: their sum is exact in double, so a row
// that is missed or counted twice cannot hide, however many there are.
TEST_P(divisors, sums_of_many_rows_miss_no_row) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.row_weights = true;
  for (const std::int64_t rows : {1, 511, 512, 513, 8191, 8192, 8193, 20000}) {
    const cross_entropy_case c(choice);
    problem p = c.make({.rows = rows, .cols = 2, .seed = 41});
    std::fill(p.x.begin(), p.x.end(), 0.25);
    double weights = 0;
    for (std::size_t i = 0; i < p.row_weights.size(); ++i) {
      p.labels[i] = static_cast<std::int64_t>(i % 2);
      p.row_weights[i] = static_cast<float>(1 << (i % 5));
      weights += p.row_weights[i];
    }
    cross_entropy_choice none = choice;
    none.reduction = reduction::none;
    problem single = select_rows(p, {0});
    single.row_weights = {1.0f};
    const double log2 = loss_of(must_run(none, single, mode::forward, GetParam()));
    choice.reduction = reduction::sum;
    const results sum = must_run(choice, p, mode::fused, GetParam());
    // The CPU has log 2 in double before it rounds: a row is then off by half an ulp of a float.
    const double slack = GetParam() == space::cpu ? weights * log2 * 0x1p-24 : 0;
    const auto rounded = static_cast<double>(static_cast<float>(weights * log2));
    EXPECT_LE(std::fabs(loss_of(sum) - rounded), slack) << rows;
    choice.reduction = reduction::mean;
    const results mean = must_run(choice, p, mode::fused, GetParam());
    const auto divided = static_cast<float>(weights * log2 / static_cast<double>(rows));
    EXPECT_LE(std::fabs(loss_of(mean) - static_cast<double>(divided)),
              slack / static_cast<double>(rows))
        << rows;
    EXPECT_EQ(values_of(mean, "rows_counted").at(0), static_cast<double>(rows));
    EXPECT_EQ(values_of(mean, "correct").at(0), static_cast<double>((rows + 1) / 2));
  }
}

TEST_P(divisors, agree_with_the_reference_over_many_rows) {
  for (const auto& c : all_cases()) {
    if (c->rows() == nullptr || c->rows()->reduction == reduction::none) continue;
    const auto* of_labels = dynamic_cast<const cross_entropy_case*>(c.get());
    if (of_labels == nullptr || (reduced_run() && of_labels->choice().smoothing != 0)) continue;
    const problem p = c->make({.rows = 8193, .cols = 3, .seed = 42});
    tally_.expect_correct(*c, p, {.where = GetParam()});
  }
  for (const auto& c : plain_cases()) {
    const problem p = c->make({.rows = reduced_run() ? 8193 : 20000, .cols = 3, .seed = 42});
    tally_.expect_correct(*c, p, {.where = GetParam()});
  }
}

// A divisor of exactly 0, however it comes about: 0, or NaN where that is asked for.
TEST_P(divisors, of_zero) {
  struct way {
    const char* name;
    std::function<void(cross_entropy_choice&, problem&)> apply;
    bool nothing_counts = false;
  };
  const way ways[] = {
      {"all rows ignored",
       [](auto& c, problem& p) {
         c.reduction = reduction::mean;
         std::fill(p.labels.begin(), p.labels.end(), c.ignore_index);
       },
       true},
      {"class weights of zero",
       [](auto& c, problem& p) {
         c.reduction = reduction::mean;
         c.class_weights = true;
         std::fill(p.class_weights.begin(), p.class_weights.end(), 0.0f);
       }},
      {"a normalizer of zero",
       [](auto& c, problem& p) {
         c.normalizer_source = source::value;
         p.normalizer = 0;
       }},
      {"a normalizer of minus zero",
       [](auto& c, problem& p) {
         c.normalizer_source = source::value;
         p.normalizer = -0.0f;
       }},
      {"a normalizer of zero on the device",
       [](auto& c, problem& p) {
         c.normalizer_source = source::device;
         p.normalizer = 0;
       }},
      {"all ignored and a normalizer of zero",
       [](auto& c, problem& p) {
         c.normalizer_source = source::device;
         p.normalizer = 0;
         std::fill(p.labels.begin(), p.labels.end(), c.ignore_index);
       },
       true},
  };
  for (const way& w : ways) {
    for (const reduction r : {reduction::mean, reduction::sum}) {
      for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
        for (const std::int64_t cols : {7, 300, 2000}) {
          cross_entropy_choice choice = plain_cross_entropy();
          choice.reduction = r;
          choice.empty = empty;
          problem p = cross_entropy_case(choice).make({.rows = 5, .cols = cols, .seed = 43});
          p.labels = {0, 1, 2, choice.ignore_index, 3};
          w.apply(choice, p);
          SCOPED_TRACE(std::string(w.name) + ", " + std::to_string(cols) + " columns");
          const double value = empty == empty_batch::nan ? kNan : 0;
          for (const mode m : {mode::fused, mode::split, mode::in_place}) {
            const results got = must_run(choice, p, m, GetParam());
            expect_all(got, "loss", value);
            const std::vector<double> gradient = values_of(got, "grad_logits");
            for (std::size_t k = 0; k < gradient.size(); ++k) {
              const bool ignored = p.labels[k / static_cast<std::size_t>(cols)] == -100;
              EXPECT_TRUE(same_bits(gradient[k], ignored ? 0 : value)) << k << ": " << gradient[k];
            }
            EXPECT_EQ(values_of(got, "rows_counted").at(0), w.nothing_counts ? 0 : 4);
          }
        }
      }
    }
  }
}

// ... also where the gradient would be infinite or NaN.
TEST_P(divisors, of_zero_switch_off_what_is_not_finite) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.normalizer_source = source::device;
  problem p = cross_entropy_case(choice).make({.rows = 2, .cols = 40, .seed = 44});
  p.labels = {3, 3};
  p.x[5] = kNan;
  p.x[40 + 3] = -kInfinity;
  p.normalizer = 0;
  for (const mode m : {mode::fused, mode::backward}) {
    expect_all(must_run(choice, p, m, GetParam()), "grad_logits", 0);
  }
}

TEST_P(divisors, of_an_empty_batch) {
  for (const reduction r : {reduction::mean, reduction::sum}) {
    for (const empty_batch empty : {empty_batch::zero, empty_batch::nan}) {
      for (const source normalizer : {source::absent, source::value}) {
        cross_entropy_choice choice = plain_cross_entropy();
        choice.reduction = r;
        choice.empty = empty;
        choice.normalizer_source = normalizer;
        problem p = cross_entropy_case(choice).make({.rows = 0, .cols = 9, .seed = 45});
        p.normalizer = 4;
        const bool divides_by_zero = r == reduction::mean && normalizer == source::absent;
        const std::uint64_t before = simt::count().launches;
        const results got = must_run(choice, p, mode::fused, GetParam());
        EXPECT_EQ(simt::count().launches, before);
        expect_all(got, "loss", divides_by_zero && empty == empty_batch::nan ? kNan : 0);
        expect_all(got, "correct", 0);
        expect_all(got, "rows_counted", 0);
      }
    }
  }
}

// Row weights are no part of the divisor, class weights are, upstream is no part of the loss.
TEST_P(divisors, follow_the_closed_form) {
  constexpr std::int64_t kRows = 4, kCols = 4;  // equal logits: the loss of a row is log 4
  const double log4 = std::log(4.0);
  const std::array<double, 4> class_weights = {1, 2, 4, 8}, row_weights = {1, 0.5, 0.25, 2};
  for (const source upstream : {source::value, source::device}) {
    for (const source normalizer : {source::absent, source::value, source::device}) {
      for (const reduction r : {reduction::mean, reduction::sum}) {
        cross_entropy_choice choice = plain_cross_entropy();
        choice.reduction = r;
        choice.class_weights = choice.row_weights = true;
        choice.upstream = upstream;
        choice.normalizer_source = normalizer;
        problem p = cross_entropy_case(choice).make({.rows = kRows, .cols = kCols, .seed = 46});
        std::fill(p.x.begin(), p.x.end(), -1.5);
        p.labels = {1, 3, choice.ignore_index, 0};
        p.class_weights.assign(class_weights.begin(), class_weights.end());
        p.row_weights.assign(row_weights.begin(), row_weights.end());
        p.upstream = -0.5f;
        p.normalizer = 16;
        const double divisor = normalizer != source::absent ? 16 : r == reduction::mean ? 11 : 1;
        const double weighted = 1 * 2 + 0.5 * 8 + 2 * 1;
        const results got = must_run(choice, p, mode::fused, GetParam());
        // A row: exp, log and log1p of 1 ulp = 2 u each, a sum, two weights; the rest in double,
        // one rounding: 10 u at most.
        const double expected = weighted * log4 / divisor;
        EXPECT_LE(std::fabs(loss_of(got) - expected), 10 * 0x1p-24 * expected);
        const std::vector<double> gradient = values_of(got, "grad_logits");
        for (std::size_t i = 0; i < 4; ++i) {
          const std::int64_t t = p.labels[i];
          const double w = t < 0 ? 0 : class_weights[static_cast<std::size_t>(t)] * row_weights[i];
          for (std::size_t j = 0; j < 4; ++j) {
            const double own = static_cast<std::int64_t>(j) == t ? 1 : 0;
            const double g = -0.5 * w * (0.25 - own) / divisor;
            EXPECT_LE(std::fabs(gradient[i * 4 + j] - g), 16 * 0x1p-24 * std::fabs(g));
          }
        }
        EXPECT_EQ(values_of(got, "rows_counted").at(0), 3);
      }
    }
  }
}

// A factor of exactly 0 switches an infinite loss off.
TEST_P(divisors, weights_of_zero_switch_an_infinite_loss_off) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.reduction = reduction::sum;
  problem p = cross_entropy_case(choice).make({.rows = 2, .cols = 6, .seed = 47});
  p.labels = {2, 4};
  p.row(0)[2] = -kInfinity;
  EXPECT_EQ(loss_of(must_run(choice, p, mode::fused, GetParam())), kInfinity);
  const double alone = loss_of(must_run(choice, select_rows(p, {1}), mode::forward, GetParam()));
  cross_entropy_choice by_row = choice, by_class = choice;
  by_row.row_weights = by_class.class_weights = true;
  p.row_weights = {0, 1};
  EXPECT_EQ(loss_of(must_run(by_row, p, mode::fused, GetParam())), alone);
  std::fill(p.class_weights.begin(), p.class_weights.end(), 1.0f);
  p.class_weights[2] = 0;
  EXPECT_EQ(loss_of(must_run(by_class, p, mode::fused, GetParam())), alone);
  by_row.smoothing = 1;
  p.row_weights = {1, 1};
  EXPECT_TRUE(std::isfinite(loss_of(must_run(by_row, p, mode::fused, GetParam()))));
}

// Ties: the lowest index; NaN is the largest of all; an ignored row has none.
TEST_P(divisors, of_accuracy) {
  const cross_entropy_choice choice = plain_cross_entropy();
  for (const element type : device_elements()) {
    for (const std::int64_t cols : {3, 70, 400, 2100, 5000}) {
      problem p = cross_entropy_case(choice).make({.type = type, .rows = 7, .cols = cols});
      std::fill(p.x.begin(), p.x.end(), -1.0);
      const std::int64_t last = cols - 1, middle = cols / 2;
      p.row(0)[last] = 2;
      p.row(0)[middle] = 2;  // a tie: the middle
      p.row(1)[0] = kNan;    // NaN beats infinity
      p.row(1)[last] = kInfinity;
      p.row(2)[middle] = kNan;
      p.row(2)[last] = kNan;  // the first NaN
      p.row(3)[last] = 1;
      // row 4: all equal, row 5: ignored
      std::fill(p.row(6), p.row(6) + cols, -kInfinity);
      p.labels = {middle, 0, last, last, 0, choice.ignore_index, 0};
      const results r = must_run(choice, p, mode::fused, GetParam());
      const std::vector<double> expected = {static_cast<double>(middle),
                                            0,
                                            static_cast<double>(middle),
                                            static_cast<double>(last),
                                            0,
                                            -1,
                                            0};
      EXPECT_EQ(values_of(r, "argmax"), expected) << format_of(type).name << " " << cols;
      EXPECT_EQ(values_of(r, "correct").at(0), 5) << format_of(type).name << " " << cols;
      EXPECT_EQ(values_of(r, "rows_counted").at(0), 6);
    }
  }
}

CULOSS_ON_EACH_SPACE(divisors);

}  // namespace
}  // namespace culoss_test
