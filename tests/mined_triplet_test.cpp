// Triplets mined in the batch against the double reference: every rule, distance and option, every
// type, sizes around the tiles; what is chosen where distances agree; special values.
#include <gtest/gtest.h>

#include <limits>

#include "tests/cases/mined_triplet_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

using culoss::mining_rule;
using culoss::triplet_distance;

class mined_triplet : public on_each_space {
 protected:
  results run_here(const mined_choice& c, const mined_numbers& p) const {
    results r = run(c, p, {.where = GetParam()});
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
  void expect_correct(const mined_choice& c, const mined_numbers& p) {
    tally_.expect_correct(c, p, {.where = GetParam()});
  }

 private:
  tally tally_;
};

// Rows of numbers and their labels; each row's loss is asked for.
mined_numbers of_points(const std::vector<std::vector<double>>& points,
                        const std::vector<std::int64_t>& labels) {
  mined_numbers p;
  p.rows = static_cast<std::int64_t>(points.size());
  p.dimension = points.empty() ? 2 : static_cast<std::int64_t>(points[0].size());
  for (const auto& x : points) p.x.insert(p.x.end(), x.begin(), x.end());
  p.labels = labels;
  p.row_weights.assign(points.size(), 1.0f);
  p.upstream_rows.assign(points.size(), 1.0f);
  return p;
}
// In a reduced run each rule and each distance once.
bool is_run(mining_rule rule, triplet_distance distance) {
  return !reduced_run() || (static_cast<int>(rule) + static_cast<int>(distance)) % 3 == 0;
}
mined_choice of_each_anchor(mining_rule rule, triplet_distance distance, float margin) {
  mined_choice c{.rule = rule, .distance = distance, .margin = margin};
  c.reduction = culoss::reduction::none;
  return c;
}

TEST_P(mined_triplet, is_correct_for_every_rule_distance_and_option) {
  tally t;
  std::uint64_t seed = 0;
  const std::vector<int> levels = {3, 3, 2, 2, 3, 2, 3, 3, 2, 2, 3};
  const auto allowed = [](const combination& o) {
    return o[4] == 1 ? o[7] == 0 : o[6] != 2;  // none divides by nothing, and has rows upstream
  };
  for (const combination& o : pairwise_cover(levels, allowed)) {
    const auto at = [&o](std::size_t k) { return static_cast<std::size_t>(o[k]); };
    mined_choice c{.rule = kMiningRules[at(0)],
                   .distance = kTripletDistances[at(1)],
                   .margin = at(2) == 0 ? 0.4f : 1.7f,
                   .soft_margin = at(3) == 1};
    c.reduction =
        std::array{culoss::reduction::mean, culoss::reduction::none, culoss::reduction::sum}[at(4)];
    c.row_weights = at(5) == 1;
    c.upstream = std::array{source::value, source::device, source::rows}[at(6)];
    c.normalizer = std::array{source::absent, source::value, source::device}[at(7)];
    c.wide = at(8) == 1;
    c.wide_labels = at(9) == 0;
    const element type = kDeviceElements[at(10)];
    c.accumulate = seed % 2 == 0 && (c.wide || type == element::float32);
    c.allow_tf32 = seed % 3 == 0;
    t.expect_correct(c,
                     make_mined(c, {.type = type,
                                    .rows = 21 + static_cast<std::int64_t>(seed % 17),
                                    .dimension = 3 + static_cast<std::int64_t>(seed % 9),
                                    .classes = 6,
                                    .seed = ++seed}),
                     {.where = GetParam(),
                      .offset = static_cast<std::int64_t>(seed % 2),
                      .padding = static_cast<std::int64_t>(seed % 3)});
  }
}

// Around warps, blocks, tiles and their splits; dimensions around what a warp takes at a time.
TEST_P(mined_triplet, is_correct_for_every_size) {
  tally t;
  std::uint64_t seed = 0;
  constexpr std::int64_t kDimensions[] = {2, 31, 32, 33, 127, 128, 129, 260};
  for (const std::int64_t rows : {0, 1, 2, 3, 4, 31, 32, 33, 127, 129, 257}) {
    for (const mining_rule rule : kMiningRules) {
      if (reduced_run() && rows > 33 && (seed + 1) % 3 != 0) {
        ++seed;
        continue;
      }
      const mined_choice c{.rule = rule, .distance = kTripletDistances[++seed % 2]};
      const std::int64_t dimension =
          rows > 100 ? 3 : kDimensions[seed * 5 % std::size(kDimensions)];
      t.expect_correct(c,
                       make_mined(c, {.type = kDeviceElements[seed % std::size(kDeviceElements)],
                                      .rows = rows,
                                      .dimension = dimension,
                                      .classes = rows < 5 ? 2 : 8,
                                      .seed = seed,
                                      .ignored = rows > 4}),
                       {.where = GetParam()});
    }
  }
}

// Several panels and several tiles, and splits of a tile's columns.
TEST_P(mined_triplet, is_correct_for_large_sizes) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  tally t;
  for (const mining_rule rule : {mining_rule::batch_hard, mining_rule::semi_hard}) {
    for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace}) {
      const mined_choice c{.rule = rule};
      t.expect_correct(
          c, make_mined(c, {.type = element::float16, .rows = 1300, .dimension = 3, .classes = 90}),
          {.where = GetParam(), .workspace = workspace});
    }
  }
  const mined_choice all{.rule = mining_rule::batch_all};
  t.expect_correct(all, make_mined(all, {.rows = 300, .dimension = 5, .classes = 20}),
                   {.where = GetParam(), .workspace = kLeastWorkspace});
}

TEST_P(mined_triplet, of_one_class_or_of_all_classes_is_nothing) {
  for (const mining_rule rule : kMiningRules) {
    for (const bool one : {true, false}) {
      const mined_choice c = of_each_anchor(rule, triplet_distance::euclidean, 1);
      mined_numbers p = make_mined(c, {.rows = 9, .dimension = 4, .ignored = false});
      for (std::size_t i = 0; i < 9; ++i) p.labels[i] = one ? 5 : static_cast<std::int64_t>(i);
      const results r = run_here(c, p);
      for (const char* name : {"loss", "gradient"}) {
        for (const double v : r[name]) EXPECT_TRUE(same_bits(v, 0.0)) << name;
      }
      if (!c.all()) {
        for (const char* name : {"positives", "negatives"}) {
          for (const double v : r[name]) EXPECT_EQ(v, -1) << name;
        }
      }
      EXPECT_EQ(r["rows_counted"][0], 0);
      // Nothing to divide by.
      mined_choice mean = c;
      mean.reduction = culoss::reduction::mean;
      EXPECT_EQ(run_here(mean, p)["loss"][0], 0);
      mean.empty = culoss::empty_batch::nan;
      EXPECT_TRUE(std::isnan(run_here(mean, p)["loss"][0]));
      expect_correct(mean, p);
    }
  }
}

// One class has a single row: it is a negative, and no anchor.
TEST_P(mined_triplet, of_a_class_of_one_row_counts_the_others) {
  for (const mining_rule rule : kMiningRules) {
    const mined_choice c = of_each_anchor(rule, triplet_distance::squared_euclidean, 20);
    const mined_numbers p = of_points({{0, 0}, {1, 0}, {2, 0}, {9, 0}}, {1, 2, 1, 1});
    const results r = run_here(c, p);
    EXPECT_EQ(r["loss"][1], 0);
    EXPECT_EQ(r["rows_counted"][0], rule == mining_rule::batch_hard  ? 3
                                    : rule == mining_rule::semi_hard ? 0
                                                                     : 6);
    expect_correct(c, p);
  }
}

// Distances in small integers: all is exact, ties go to the lowest index, and z = 0 has no gradient.
TEST_P(mined_triplet, chooses_the_lowest_of_equal_candidates) {
  // Of anchor 0: positives 2 and 4 at 5, 6 at 3; negatives 1, 3, 5 at 4, 7 at 10.
  const mined_numbers p = of_points(
      {{0, 0}, {0, 4}, {3, 4}, {4, 0}, {5, 0}, {0, -4}, {0, 3}, {10, 0}}, {1, 2, 1, 2, 1, 2, 1, 2});
  mined_choice c = of_each_anchor(mining_rule::batch_hard, triplet_distance::euclidean, 1);
  results r = run_here(c, p);
  EXPECT_EQ(r["positives"][0], 2);
  EXPECT_EQ(r["negatives"][0], 1);
  EXPECT_EQ(r["loss"][0], 2);
  // Farther than 5 is 7 alone, and 10 < 5 + 5 does not hold.
  c.rule = mining_rule::semi_hard;
  c.margin = 5;
  r = run_here(c, p);
  EXPECT_EQ(r["positives"][0], -1);
  EXPECT_EQ(r["negatives"][0], -1);
  EXPECT_EQ(r["loss"][0], 0);
  c.margin = 5.5f;
  r = run_here(c, p);
  EXPECT_EQ(r["positives"][0], 2);
  EXPECT_EQ(r["negatives"][0], 7);
  EXPECT_EQ(r["loss"][0], 0.5);
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance d : kTripletDistances) {
      if (d != triplet_distance::cosine) {
        expect_correct(of_each_anchor(rule, d, 1), p);
      }
    }
  }
}

// A negative exactly as far as the farthest positive is not farther.
TEST_P(mined_triplet, takes_no_semi_hard_negative_at_the_distance_of_the_positive) {
  const mined_choice c = of_each_anchor(mining_rule::semi_hard, triplet_distance::euclidean, 3);
  const results r =
      run_here(c, of_points({{0, 0}, {3, 4}, {5, 0}, {0, 5}, {6, 0}}, {1, 1, 2, 2, 2}));
  EXPECT_EQ(r["positives"][0], 1);
  EXPECT_EQ(r["negatives"][0], 4);
  EXPECT_EQ(r["loss"][0], 2);
}

// d(a, p) = d(a, n) - margin exactly: loss 0, gradient 0.
TEST_P(mined_triplet, has_no_gradient_at_the_margin) {
  for (const mining_rule rule : {mining_rule::batch_hard, mining_rule::batch_all}) {
    const mined_choice c = of_each_anchor(rule, triplet_distance::euclidean, 2);
    const mined_numbers p = of_points({{0, 0}, {3, 0}, {0, 5}, {0, 50}}, {1, 1, 2, 3});
    const results r = run_here(c, p);
    EXPECT_EQ(r["loss"][0], 0);
    for (const double v : r["gradient"]) EXPECT_TRUE(same_bits(v, 0.0));
  }
}

// Many copies of few points: more candidates agree than a row keeps, and all are told apart exactly.
TEST_P(mined_triplet, is_correct_for_copies_of_points) {
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance d : kTripletDistances) {
      if (!is_run(rule, d)) continue;
      const mined_choice c = of_each_anchor(rule, d, 0.75f);
      mined_numbers p = make_mined(c, {.type = element::bfloat16, .rows = 40, .dimension = 3});
      for (std::size_t i = 12; i < p.x.size(); ++i) p.x[i] = p.x[i % 12];
      expect_correct(c, p);
      std::fill(p.x.begin(), p.x.end(), 1.25);  // all equal
      const results r = run_here(c, p);
      for (const double v : r["gradient"]) {
        // Cosines of equal vectors are 1 within rounding.
        EXPECT_LE(std::fabs(v), d == triplet_distance::cosine ? 0x1p-40 : 0.0);
      }
      if (rule == mining_rule::batch_hard) {
        for (std::size_t a = 0; a < r["loss"].size(); ++a) {
          EXPECT_EQ(r["loss"][a], p.labels[a] == p.ignore_index ? 0 : 0.75) << a;
        }
      }
    }
  }
}

// Points a thousand from the origin whose distances are small: |x|^2 - 2 <x, y> + |y|^2 in float has
// none of their digits.
TEST_P(mined_triplet, keeps_its_digits_at_a_common_offset) {
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance d :
         {triplet_distance::euclidean, triplet_distance::squared_euclidean}) {
      if (!is_run(rule, d)) continue;
      const mined_choice c = of_each_anchor(rule, d, 0.01f);
      mined_numbers p = make_mined(c, {.rows = 70, .dimension = 8, .classes = 10});
      for (double& v : p.x) v = round_to(element::float32, 1000 + 0.01 * v);
      expect_correct(c, p);
    }
  }
}

// Products in TF32 tell none of these distances apart.
TEST_P(mined_triplet, chooses_the_same_from_products_in_tf32) {
  for (const mining_rule rule : {mining_rule::batch_hard, mining_rule::semi_hard}) {
    for (const triplet_distance d : {triplet_distance::euclidean, triplet_distance::cosine}) {
      mined_choice c = of_each_anchor(rule, d, 0.5f);
      c.allow_tf32 = true;
      mined_numbers p = make_mined(c, {.rows = 40, .dimension = 6, .classes = 6});
      for (double& v : p.x) v = round_to(element::float32, 8 + 0.1 * v);
      expect_correct(c, p);
    }
  }
}

// As far apart as their squares leave float's range, and as near.
TEST_P(mined_triplet, is_correct_for_any_size_of_the_embeddings) {
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance d : {triplet_distance::euclidean, triplet_distance::cosine}) {
      if (!is_run(rule, d)) continue;
      for (const double size : {0x1p-100, 0x1p-70, 0x1p60, 0x1p90}) {
        mined_choice c = of_each_anchor(rule, d, d == triplet_distance::cosine ? 0.3f : 0.0f);
        if (rule == mining_rule::semi_hard && d == triplet_distance::euclidean) {
          c.margin = static_cast<float>(size);
        }
        mined_numbers p = make_mined(c, {.rows = 40, .dimension = 5, .classes = 6});
        for (double& v : p.x) v *= size;
        if (d == triplet_distance::cosine && size < 1) p.upstream = static_cast<float>(size);
        expect_correct(c, p);
      }
    }
  }
}

TEST_P(mined_triplet, of_zero_vectors_has_the_cosine_0) {
  for (const mining_rule rule : kMiningRules) {
    const mined_choice c = of_each_anchor(rule, triplet_distance::cosine, 0.5f);
    mined_numbers p = make_mined(c, {.rows = 12, .dimension = 4});
    for (std::size_t i = 0; i < 8; ++i) p.x[i] = 0;
    p.labels[0] = p.labels[2] = p.labels[3] = 1;
    p.labels[1] = p.labels[4] = 2;
    expect_correct(c, p);
    const results r = run_here(c, p);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(r["gradient"][i], 0);
  }
}

TEST_P(mined_triplet, of_embeddings_that_are_not_finite_is_nan_everywhere) {
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance d : kTripletDistances) {
      for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
        if (!is_run(rule, d)) continue;
        if (bad < 0 && (reduced_run() || d == triplet_distance::euclidean)) continue;
        mined_choice c = of_each_anchor(rule, d, 1);
        mined_numbers p = make_mined(c, {.rows = 20, .dimension = 3, .classes = 6});
        p.labels[5] = p.ignore_index;
        p.labels[6] = 77;  // of a class of its own: no anchor
        p.x[6 * 3 + 1] = bad;
        const results r = run_here(c, p);
        const auto anchor = [&p](std::size_t i) {
          return p.labels[i] != p.ignore_index && std::ranges::count(p.labels, p.labels[i]) > 1;
        };
        for (std::size_t i = 0; i < 20; ++i) {
          const bool ignored = p.labels[i] == p.ignore_index;
          EXPECT_EQ(std::isnan(r["loss"][i]), anchor(i)) << i;
          for (std::size_t k = 0; k < 3; ++k) {
            EXPECT_EQ(std::isnan(r["gradient"][i * 3 + k]), !ignored) << i;
          }
          if (!c.all()) {
            EXPECT_EQ(r["positives"][i], -1) << i;
            EXPECT_EQ(r["negatives"][i], -1) << i;
          }
        }
        expect_correct(c, p);
        c.reduction = culoss::reduction::mean;
        expect_correct(c, p);
        // A divisor of 0 switches it off.
        c.normalizer = source::device;
        p.normalizer = 0;
        expect_correct(c, p);
        // In an ignored row it means nothing.
        p.labels[6] = p.ignore_index;
        c.normalizer = source::absent;
        EXPECT_FALSE(std::isnan(run_here(c, p)["loss"][0]));
        for (const double v : run_here(c, p)["gradient"]) EXPECT_FALSE(std::isnan(v));
      }
    }
  }
}

TEST_P(mined_triplet, divides_by_nothing_as_it_is_told) {
  for (const mining_rule rule : kMiningRules) {
    for (const bool nan : {false, true}) {
      mined_choice c{.rule = rule, .normalizer = source::value};
      c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
      mined_numbers p = make_mined(c, {.rows = 20, .dimension = 3});
      p.normalizer = 0;
      const results r = run_here(c, p);
      EXPECT_EQ(std::isnan(r["loss"][0]), nan);
      if (!nan) {
        for (const double v : r["gradient"]) EXPECT_EQ(v, 0);
      }
      expect_correct(c, p);
    }
  }
}

// What is left out changes nothing of the rest.
TEST_P(mined_triplet, has_the_same_bits_whatever_is_asked_for) {
  for (const mining_rule rule : kMiningRules) {
    const mined_choice c{.rule = rule, .soft_margin = true, .row_weights = true};
    const mined_numbers p = make_mined(c, {.type = element::float16, .rows = 37, .dimension = 6});
    const results whole = run_here(c, p);
    for (int left_out = 0; left_out < 4; ++left_out) {
      mined_choice less = c;
      (left_out == 0   ? less.loss
       : left_out == 1 ? less.gradient
       : left_out == 2 ? less.indices
                       : less.counts) = false;
      EXPECT_EQ(difference(run_here(less, p).outputs, whole.outputs), "");
    }
    // And whatever TF32 leaves in question.
    mined_choice other = c;
    other.allow_tf32 = true;
    mined_numbers wide = make_mined(c, {.rows = 37, .dimension = 6});
    EXPECT_EQ(difference(run_here(other, wide).outputs, run_here(c, wide).outputs), "");
  }
}

CULOSS_ON_EACH_SPACE(mined_triplet);

}  // namespace
}  // namespace culoss_test
