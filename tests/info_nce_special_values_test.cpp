// What InfoNCE and CLIP make of zero vectors, of rows that are not finite, of masks that leave
// nothing and of empty batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class info_nce_special_values : public similarity_fixture {};

TEST_P(info_nce_special_values, a_zero_vector_has_no_similarity_and_no_gradient) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      const similarity_choice c = of_each_row(symmetric);
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 33, .keys = 33, .dimension = 9});
      std::fill_n(p.q.begin() + 4 * 9, 9, 0.0);
      std::fill_n(p.k.begin() + 7 * 9, 9, 0.0);
      const results r = run_here(c, p);
      for (std::size_t d = 0; d < 9; ++d) {
        EXPECT_EQ(r["grad_queries"][4 * 9 + d], 0);
        EXPECT_EQ(r["grad_keys"][7 * 9 + d], 0);
      }
      expect_correct(c, p);
    }
  }
}

TEST_P(info_nce_special_values, a_query_that_is_not_finite_spoils_its_row_and_the_keys) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
      for (const element type : device_elements()) {
        similarity_choice c = of_each_row(false);
        c.normalize = normalize;
        similarity_numbers p = make_similarity(
            c, {.type = type, .rows = 40, .keys = 45, .negatives = 10, .dimension = 12});
        const results clean = run_here(c, p);
        constexpr std::size_t kRow = 17;
        p.q[kRow * 12 + 5] = bad;
        const results r = run_here(c, p);
        for (const char* name : {"loss", "grad_queries"}) {
          const std::size_t width = r[name].size() / 40;
          for (std::size_t i = 0; i < r[name].size(); ++i) {
            const double expected = i / width == kRow ? kNan : clean[name][i];
            EXPECT_TRUE(same_bits(r[name][i], expected)) << name << " " << i << " " << bad;
          }
        }
        for (const char* name : {"grad_keys", "grad_negatives", "grad_scale"}) {
          EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name;
        }
        EXPECT_EQ(r["correct"], run(c, p, {.where = space::cpu})["correct"]);
        c.reduction = culoss::reduction::mean;
        EXPECT_TRUE(std::isnan(run_here(c, p)["loss"][0]));
      }
    }
  }
}

TEST_P(info_nce_special_values, a_key_that_is_not_finite_spoils_the_rows_that_see_it) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
      for (const bool of_keys : {true, false}) {
        similarity_choice c = of_each_row(false);
        c.normalize = normalize;
        c.masked = true;
        const similarity_input in{.rows = 40, .keys = 40, .negatives = 20, .dimension = 12};
        similarity_numbers p = make_similarity(c, in);
        const results clean = run_here(c, p);
        constexpr std::size_t kRow = 6;
        (of_keys ? p.k : p.n)[kRow * 12 + 3] = bad;
        const results r = run_here(c, p);
        std::int64_t excluded = 0;
        for (std::size_t i = 0; i < 40; ++i) {
          const std::int64_t id = (of_keys ? p.key_ids : p.negative_ids)[kRow];
          const bool sees = p.query_ids[i] != id || (of_keys && i == kRow);
          excluded += sees ? 0 : 1;
          EXPECT_TRUE(same_bits(r["loss"][i], sees ? kNan : clean["loss"][i]))
              << "row " << i << " " << bad << ": " << r["loss"][i];
          // Rows that a mask excludes must still be finite for the backward.
          for (std::size_t d = 0; d < 12 && sees; ++d) {
            EXPECT_TRUE(std::isnan(r["grad_queries"][i * 12 + d])) << i << " " << bad;
          }
        }
        EXPECT_GT(excluded, 0);
      }
    }
  }
}

TEST_P(info_nce_special_values, rows_without_negatives_count_and_give_nothing) {
  for (const bool symmetric : {false, true}) {
    similarity_choice c = of_each_row(symmetric);
    c.masked = true;
    similarity_numbers p = make_similarity(
        c, {.rows = 50, .keys = 50, .negatives = symmetric ? 0 : 7, .dimension = 8});
    for (auto* ids : {&p.query_ids, &p.key_ids, &p.negative_ids}) {
      std::fill(ids->begin(), ids->end(), -5);
    }
    const results r = run_here(c, p);
    for (const output& o : r.outputs) {
      const bool counts =
          o.name == "rows_counted" || o.name == "correct" || o.name == "correct_columns";
      EXPECT_THAT(o.values, ::testing::Each(counts ? 50.0 : 0.0)) << o.name;
    }
  }
}

TEST_P(info_nce_special_values, a_mask_that_leaves_no_negative_gives_nothing) {
  for (const bool symmetric : {false, true}) {
    for (const bool in_batch : {true, false}) {
      if (symmetric && !in_batch) continue;
      similarity_choice c = of_each_row(symmetric);
      c.mask = true;
      c.in_batch = in_batch;
      c.margin = 3;  // with nothing to tell it from, the positive is found all the same
      similarity_numbers p = make_similarity(
          c, {.rows = 50, .keys = 50, .negatives = symmetric ? 0 : 7, .dimension = 8});
      std::fill(p.mask.begin(), p.mask.end(), std::uint8_t{255});
      const results r = run_here(c, p);
      for (const output& o : r.outputs) {
        const bool counts =
            o.name == "rows_counted" || o.name == "correct" || o.name == "correct_columns";
        EXPECT_THAT(o.values, ::testing::Each(counts ? 50.0 : 0.0)) << o.name;
      }
    }
  }
}

// The same bits, so that either may stand for the other; and what either masks is masked.
TEST_P(info_nce_special_values, a_mask_does_what_ids_do) {
  for (const bool symmetric : {false, true}) {
    similarity_choice by_ids = of_each_row(symmetric);
    by_ids.masked = true;
    similarity_choice by_mask = by_ids, by_both = by_ids;
    by_mask.masked = false;
    by_mask.mask = by_both.mask = true;
    similarity_numbers p = make_similarity(
        by_ids, {.rows = 60, .keys = 60, .negatives = symmetric ? 0 : 9, .dimension = 8});
    if (symmetric) p.key_ids = p.query_ids;
    for (std::size_t i = 0, at = 0; i < 60; ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(p.columns()); ++j, ++at) {
        const std::int64_t id = j < 60 ? p.key_ids[j] : p.negative_ids[j - 60];
        p.mask[at] = p.query_ids[i] == id ? static_cast<std::uint8_t>(1 + at % 255) : 0;
      }
    }
    const results expected = run_here(by_ids, p);
    EXPECT_EQ(difference(run_here(by_mask, p).outputs, expected.outputs), "");
    EXPECT_EQ(difference(run_here(by_both, p).outputs, expected.outputs), "");
  }
}

// Only the row whose mask lets it through sees what is not finite.
TEST_P(info_nce_special_values, a_mask_hides_a_key_that_is_not_finite) {
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
    similarity_choice c = of_each_row(false);
    c.mask = true;
    similarity_numbers p =
        make_similarity(c, {.rows = 20, .keys = 20, .negatives = 4, .dimension = 6});
    p.mask.assign(p.mask.size(), 0);
    for (std::size_t i = 0; i < 20; ++i) p.mask[i * 24 + 22] = i == 3 ? 0 : 7;
    const results clean = run_here(c, p);
    p.n[2 * 6 + 1] = bad;
    const results r = run_here(c, p);
    for (std::size_t i = 0; i < 20; ++i) {
      EXPECT_TRUE(same_bits(r["loss"][i], i == 3 ? kNan : clean["loss"][i])) << i;
    }
  }
}

// Where its positive stands in no tile, a key that is not finite is none the less NaN to its row.
TEST_P(info_nce_special_values, a_positive_that_is_not_finite_is_nan_outside_the_batch_too) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity()}) {
      similarity_choice c = of_each_row(false);
      c.normalize = normalize;
      c.in_batch = false;
      similarity_numbers p =
          make_similarity(c, {.rows = 20, .keys = 20, .negatives = 4, .dimension = 6});
      const results clean = run_here(c, p);
      p.k[5 * 6 + 1] = bad;
      const results r = run_here(c, p);
      for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_TRUE(same_bits(r["loss"][i], i == 5 ? kNan : clean["loss"][i])) << i << " " << bad;
      }
    }
  }
}

TEST_P(info_nce_special_values, ids_take_copies_out_of_the_denominator) {
  for (const bool symmetric : {false, true}) {
    similarity_choice c = of_each_row(symmetric);
    constexpr std::int64_t kRows = 20, kCopies = 3, kDimension = 10;
    const similarity_numbers once =
        make_similarity(c, {.rows = kRows, .keys = kRows, .dimension = kDimension});
    similarity_numbers p = once;
    p.rows = p.keys = kCopies * kRows;
    p.q.clear(), p.k.clear(), p.query_ids.clear(), p.key_ids.clear();
    for (std::int64_t copy = 0; copy < kCopies; ++copy) {
      p.q.insert(p.q.end(), once.q.begin(), once.q.end());
      p.k.insert(p.k.end(), once.k.begin(), once.k.end());
      for (std::int64_t i = 0; i < kRows; ++i) {
        // They differ beyond their lower 32 bits alone.
        p.query_ids.push_back(((i - 7) << 32) + 5);
        p.key_ids.push_back(((i - 7) << 32) + 5);
      }
    }
    c.masked = true;
    expect_correct(c, p);
    if (symmetric) continue;
    // exp(l) of every other pair stands there kCopies times: log(1 + kCopies (exp(loss) - 1)).
    const results r = run_here(c, p);
    const std::vector<double> bounds = expect(c, p, GetParam())[0].bounds;
    c.masked = false;
    const std::vector<double> single = expect(c, once, GetParam())[0].values;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      EXPECT_NEAR(r["loss"][i], std::log1p(kCopies * std::expm1(single[i % kRows])), bounds[i]);
    }
  }
}

TEST_P(info_nce_special_values, a_log_scale_in_memory_must_be_finite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double scale : {-kInfinity, kInfinity, kNan}) {
    for (const bool symmetric : {false, true}) {
      similarity_choice c = of_each_row(symmetric);
      c.scale = source::device;
      similarity_numbers p = make_similarity(c, {.rows = 20, .keys = 20, .dimension = 5});
      p.scale = static_cast<float>(scale);
      const results r = run_here(c, p);
      EXPECT_THAT(r["loss"], ::testing::Each(::testing::IsNan()));
      EXPECT_THAT(r["grad_queries"], ::testing::Each(::testing::IsNan()));
      EXPECT_THAT(r["grad_scale"], ::testing::Each(::testing::IsNan()));
    }
  }
}

TEST_P(info_nce_special_values, a_divisor_of_zero_gives_zeros_or_nan) {
  for (const bool symmetric : {false, true}) {
    for (const source normalizer : {source::value, source::device}) {
      for (const bool nan : {false, true}) {
        similarity_choice c{.symmetric = symmetric};
        c.normalizer = normalizer;
        c.reduction = culoss::reduction::sum;
        c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
        similarity_numbers p = make_similarity(
            c, {.rows = 20, .keys = 20, .negatives = symmetric ? 0 : 3, .dimension = 5});
        p.normalizer = 0;
        const results r = run_here(c, p);
        for (const output& o : r.outputs) {
          if (o.name.find("correct") == 0 || o.name == "rows_counted") continue;
          for (const double v : o.values) EXPECT_TRUE(same_bits(v, nan ? kNan : 0.0)) << o.name;
        }
        EXPECT_EQ(r["rows_counted"][0], 20);
      }
    }
  }
}

TEST_P(info_nce_special_values, no_rows_give_zeros) {
  for (const bool symmetric : {false, true}) {
    for (const bool accumulate : {false, true}) {
      similarity_choice c{.symmetric = symmetric};
      c.accumulate = accumulate;
      const std::int64_t others = symmetric ? 0 : 6;
      const similarity_numbers p =
          make_similarity(c, {.rows = 0, .keys = others, .negatives = others, .dimension = 5});
      const results r = run_here(c, p);
      for (const output& o : r.outputs) {
        const bool stays = accumulate && o.name.find("grad_") == 0 && o.name != "grad_scale";
        for (std::size_t i = 0; i < o.values.size(); ++i) {
          EXPECT_EQ(o.values[i], stays ? standing(static_cast<std::int64_t>(i)) : 0.0) << o.name;
        }
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(info_nce_special_values);

}  // namespace
}  // namespace culoss_test
