// InfoNCE with negatives of each row's own, alone or beside those that all rows share: every way
// their kernel goes, special values, ties, the bytes that it moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/tuning.hpp"
#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class info_nce_row_negatives : public similarity_fixture {};

struct own_shape {
  std::int64_t count, dimension;
};
// Teams of every size, with the negatives on chip and not; negatives that a few lanes share and
// those that a team goes through several times; more than the scores on chip; odd widths.
constexpr own_shape kShapes[] = {{1, 1},    {2, 3},    {5, 8},    {7, 33},    {40, 16},
                                 {130, 20}, {300, 70}, {33, 514}, {3, 5003},  {2500, 3},
                                 {2049, 9}, {70, 999}, {1, 130},  {20, 4096}, {1, 60000}};

culoss::detail::row_negatives_plan plan_of(const own_shape& s, element type, bool writes = true) {
  return culoss::detail::plan_row_negatives(90, s.count, s.dimension, format_of(type).bytes,
                                            writes);
}

TEST(row_negatives_plan, covers_what_the_shapes_below_are_for) {
  int teams = 0, off_chip = 0, loops = 0, in_memory = 0, shared_lanes = 0;
  for (const own_shape& s : kShapes) {
    for (const element type : device_elements()) {
      const auto p = plan_of(s, type);
      teams |= p.team;
      off_chip += p.on_chip ? 0 : 1;
      loops += p.packs > p.across ? 1 : 0;
      in_memory += p.scores_on_chip ? 0 : 1;
      shared_lanes |= p.group;
      EXPECT_EQ(p.threads % 32, 0);
      EXPECT_LE(p.shared_bytes, culoss::detail::shared_limit(90));
      // Where nothing is kept on chip, any device has the room.
      const auto forward = plan_of(s, type, false);
      EXPECT_FALSE(forward.on_chip);
      EXPECT_LE(forward.shared_bytes, culoss::detail::shared_limit(80) / 3);
      EXPECT_EQ(forward.scores_on_chip, p.scores_on_chip);
    }
  }
  EXPECT_EQ(teams, 32 | 64 | 128 | 256 | 512);
  EXPECT_EQ(shared_lanes, 1 | 2 | 4 | 8 | 16 | 32);
  EXPECT_GT(off_chip, 2);
  EXPECT_GT(loops, 2);
  EXPECT_GT(in_memory, 2);
}

// Scores are kept in memory only where a row has many, and those of a panel alone.
TEST(row_negatives_workspace, holds_the_scores_of_a_panel) {
#ifndef CULOSS_TESTS_WITH_CUDA
  GTEST_SKIP() << "without CUDA nothing needs a workspace";
#endif
  culoss::similarity_shape shape{.queries = 5000, .keys = 5000, .dimension = 16};
  const culoss::similarity_workspace none = culoss::info_nce_workspace(shape);
  shape.row_negatives = 2048;
  EXPECT_EQ(culoss::info_nce_workspace(shape).best, none.best);
  EXPECT_EQ(culoss::info_nce_workspace(shape).least, none.least);
  shape.row_negatives = 3000;
  const culoss::similarity_workspace many = culoss::info_nce_workspace(shape);
  EXPECT_GE(many.least, none.least + 128 * 3000 * 8);
  EXPECT_LE(many.least, none.least + 128 * 3000 * 8 + 16);
  EXPECT_LE(many.best, none.best + 5024u * 3000 * 8 + 16);
  shape.row_negatives = std::int64_t{1} << 60;  // more than there can be
  EXPECT_EQ(culoss::info_nce_workspace(shape).best, 0u);
  shape.row_negatives = -1;
  EXPECT_EQ(culoss::info_nce_workspace(shape).best, 0u);
}

TEST_P(info_nce_row_negatives, hold_for_every_plan_of_their_kernel) {
  tally t;
  std::uint64_t seed = 0;
  for (const own_shape& s : kShapes) {
    for (const element type : device_elements()) {
      ++seed;
      if (reduced_run() && seed % 4 != 1) continue;
      const bool large = s.count * s.dimension > 20000;
      similarity_choice c;
      c.reduction = culoss::reduction::none;
      c.in_batch = seed % 2 == 0;
      c.normalize = seed % 3 != 0;
      c.mask = seed % 4 == 2;
      c.margin = seed % 5 == 0 ? 0.1f : 0.0f;
      c.wide = seed % 4 == 3;
      c.accumulate = (c.wide || type == element::float32) && seed % 2 == 1;
      constexpr std::int64_t kLayouts[][2] = {{0, 0}, {1, 0}, {0, 3}, {5, 8}, {8, 8}};
      const auto& [offset, padding] = kLayouts[seed % std::size(kLayouts)];
      const std::int64_t rows = large ? 2 : 5;
      t.expect_correct(c,
                       make_similarity(c, {.type = type,
                                           .rows = rows,
                                           .keys = rows,
                                           .negatives = seed % 3 == 0 ? 2 : 0,
                                           .dimension = s.dimension,
                                           .seed = seed,
                                           .of_a_row = s.count}),
                       {.where = GetParam(),
                        .offset = offset,
                        .padding = padding,
                        .workspace = seed % 2 == 0 ? kBestWorkspace : kLeastWorkspace});
    }
  }
}

// Several panels, so that what belongs to a row is found in each; every set of outputs.
TEST_P(info_nce_row_negatives, hold_for_every_output_in_several_panels) {
  tally t;
  for (int outputs = 0; outputs < 8; ++outputs) {
    for (const bool in_batch : {true, false}) {
      similarity_choice c;
      c.in_batch = in_batch;
      c.mask = in_batch;
      c.queries = outputs % 2 == 1;
      c.keys = outputs / 2 % 2 == 1;
      c.row_negatives = outputs / 4 == 1;
      if (reduced_run() && outputs % 3 != 0) continue;
      t.expect_correct(c,
                       make_similarity(c, {.type = element::float16,
                                           .rows = 140,
                                           .keys = 150,
                                           .negatives = in_batch ? 9 : 0,
                                           .dimension = 5,
                                           .offset = 4,
                                           .of_a_row = 6}),
                       {.where = GetParam(), .workspace = kLeastWorkspace});
    }
  }
}

// All similarities equal: log(M + K + R), and a positive that ties with all is found only where
// nothing stands before it.
TEST_P(info_nce_row_negatives, of_equal_similarities_give_a_logarithm) {
  for (const bool in_batch : {true, false}) {
    for (const element type : device_elements()) {
      similarity_choice c = of_each_row(false);
      c.in_batch = in_batch;
      similarity_numbers p = make_similarity(
          c, {.type = type, .rows = 6, .keys = 6, .negatives = 2, .dimension = 4, .of_a_row = 5});
      for (auto* x : {&p.q, &p.k, &p.n, &p.own}) std::fill(x->begin(), x->end(), 0.5);
      const results r = run_here(c, p);
      expect_near(r["loss"], std::log(in_batch ? 13.0 : 8.0), expect(c, p, GetParam())[0]);
      EXPECT_EQ(r["correct"][0], in_batch ? 1 : 6);
      // Shared negatives come first, and a row's own after them: one that is larger is still found.
      for (std::size_t d = 0; d < 4; ++d) p.own[(2 * 5 + 4) * 4 + d] = d == 0 ? 1 : 0.5;
      c.normalize = false;
      EXPECT_EQ(run_here(c, p)["correct"][0], in_batch ? 1 : 5);
    }
  }
}

TEST_P(info_nce_row_negatives, of_zero_length_have_no_similarity_and_no_gradient) {
  for (const element type : device_elements()) {
    const similarity_choice c = of_each_row(false);
    similarity_numbers p =
        make_similarity(c, {.type = type, .rows = 5, .keys = 5, .dimension = 9, .of_a_row = 7});
    std::fill_n(p.own.begin() + 3 * 9, 9, 0.0);
    std::fill_n(p.q.begin() + 4 * 9, 9, 0.0);
    const results r = run_here(c, p);
    for (std::size_t d = 0; d < 9; ++d) {
      EXPECT_EQ(r["grad_row_negatives"][3 * 9 + d], 0);
      EXPECT_EQ(r["grad_row_negatives"][4 * 7 * 9 + d], 0);  // its query has no direction
      EXPECT_EQ(r["grad_queries"][4 * 9 + d], 0);
    }
    expect_correct(c, p);
  }
}

TEST_P(info_nce_row_negatives, that_are_not_finite_spoil_their_own_row) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, kInfinity, -kInfinity}) {
      for (const element type : device_elements()) {
        similarity_choice c = of_each_row(false);
        c.normalize = normalize;
        similarity_numbers p = make_similarity(
            c,
            {.type = type, .rows = 6, .keys = 8, .negatives = 3, .dimension = 12, .of_a_row = 4});
        const results clean = run_here(c, p);
        constexpr std::size_t kRow = 2;
        p.own[(kRow * 4 + 1) * 12 + 5] = bad;
        const results r = run_here(c, p);
        for (const char* name : {"loss", "grad_queries", "grad_row_negatives"}) {
          const std::size_t width = r[name].size() / 6;
          for (std::size_t i = 0; i < r[name].size(); ++i) {
            const double expected = i / width == kRow ? kNan : clean[name][i];
            EXPECT_TRUE(same_bits(r[name][i], expected)) << name << " " << i << " " << bad;
          }
        }
        for (const char* name : {"grad_keys", "grad_negatives", "grad_scale"}) {
          EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name;
        }
      }
    }
  }
}

// Rows of different numbers of negatives: the mask takes out what is not there.
TEST_P(info_nce_row_negatives, that_are_masked_are_not_read) {
  for (const own_shape& s : {own_shape{7, 12}, own_shape{3, 30000}}) {
    for (const element type : device_elements()) {
      if (reduced_run() && s.dimension > 1000 && type != element::float32) continue;
      similarity_choice c = of_each_row(false);
      c.mask = true;
      similarity_numbers p = make_similarity(c, {.type = type,
                                                 .rows = 4,
                                                 .keys = 4,
                                                 .negatives = 1,
                                                 .dimension = s.dimension,
                                                 .of_a_row = s.count});
      const results clean = run_here(c, p);
      std::int64_t masked = 0;
      for (std::int64_t i = 0; i < p.rows; ++i) {
        for (std::int64_t k = 0; k < s.count; ++k) {
          if (p.mask[static_cast<std::size_t>(i * p.all_columns() + 5 + k)] == 0) continue;
          ++masked;
          std::fill_n(p.own.begin() + (i * s.count + k) * s.dimension, s.dimension, kNan);
        }
      }
      EXPECT_GT(masked, s.count);
      const results r = run_here(c, p);
      EXPECT_EQ(difference(r.outputs, clean.outputs), "");
      for (const output& o : r.outputs) {
        EXPECT_THAT(o.values, ::testing::Each(::testing::Not(::testing::IsNan()))) << o.name;
      }
      for (std::int64_t i = 0; i < p.rows * s.count; ++i) {
        const std::int64_t at = i / s.count * p.all_columns() + 5 + i % s.count;
        if (p.mask[static_cast<std::size_t>(at)] == 0) continue;
        EXPECT_EQ(r["grad_row_negatives"][static_cast<std::size_t>(i * s.dimension)], 0);
      }
    }
  }
}

TEST_P(info_nce_row_negatives, whose_masks_leave_nothing_give_nothing) {
  similarity_choice c = of_each_row(false);
  c.mask = true;
  similarity_numbers p =
      make_similarity(c, {.rows = 40, .keys = 40, .dimension = 8, .of_a_row = 3});
  std::fill(p.mask.begin(), p.mask.end(), std::uint8_t{1});
  const results r = run_here(c, p);
  for (const output& o : r.outputs) {
    const bool counts = o.name == "rows_counted" || o.name == "correct";
    EXPECT_THAT(o.values, ::testing::Each(counts ? 40.0 : 0.0)) << o.name;
  }
}

TEST_P(info_nce_row_negatives, of_a_divisor_of_zero_have_no_gradient) {
  for (const bool nan : {false, true}) {
    similarity_choice c;
    c.normalizer = source::device;
    c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
    c.mask = true;
    similarity_numbers p =
        make_similarity(c, {.rows = 7, .keys = 7, .dimension = 5, .of_a_row = 3});
    p.normalizer = 0;
    p.q[3] = kNan;  // whatever the row is
    const results r = run_here(c, p);
    for (const double v : r["grad_row_negatives"]) {
      EXPECT_TRUE(same_bits(v, nan ? kNan : 0.0));
    }
  }
}

// |q| |n| alone has to be a float; keys of a length of their own.
TEST_P(info_nce_row_negatives, may_be_short_or_long) {
  for (const element type : {element::float32, element::bfloat16}) {
    for (const double length : {0x1p-80, 0x1p80}) {
      const similarity_choice c = of_each_row(false);
      similarity_numbers p = make_similarity(
          c, {.type = type, .rows = 20, .keys = 20, .dimension = 24, .of_a_row = 9});
      for (double& x : p.q) x /= length;
      for (double& x : p.own) x *= length;
      for (double& x : p.k) x *= length;
      expect_correct(c, p);
    }
  }
}

// A batch that has converged: the gradients keep their digits, which 16 bits on the way would not.
TEST_P(info_nce_row_negatives, of_converged_batches_keep_relative_accuracy) {
  for (const element type : device_elements()) {
    similarity_choice c = of_each_row(false);
    c.in_batch = false;
    c.wide = true;
    similarity_numbers p =
        make_similarity(c, {.type = type, .rows = 12, .keys = 12, .dimension = 16, .of_a_row = 6});
    p.k = p.q;
    for (std::size_t i = 0; i < p.own.size(); ++i) {
      p.own[i] = round_to(type, 0.1 * p.own[i] - p.q[i / 96 * 16 + i % 16]);
    }
    p.scale = static_cast<float>(std::log(10.0));
    expect_correct(c, p);
    for (const expectation& e : expect(c, p, GetParam())) {
      if (e.name != "loss") continue;
      for (std::size_t i = 0; i < e.values.size(); ++i) {
        EXPECT_LT(e.values[i], 1e-7);
        EXPECT_LT(e.bounds[i], 1e-3 * e.values[i]);  // the bound asks for it
      }
    }
  }
}

// No matrix, or one of no rows, is no negatives at all.
TEST_P(info_nce_row_negatives, may_be_none) {
  similarity_choice c = of_each_row(false);
  const similarity_numbers none = make_similarity(c, {.rows = 0, .keys = 3, .dimension = 5});
  EXPECT_TRUE(run_here(c, none).status.ok());
  const float q[2] = {1, 2}, k[2] = {2, 1};
  float loss = 7;
  const culoss::matrix<const float> empty(nullptr, 0, 2);
  const culoss::status s = culoss::info_nce(culoss::cpu{}, culoss::matrix<const float>(q, 1, 2),
                                            culoss::matrix<const float>(k, 1, 2), {}, empty,
                                            {.loss = {&loss, 1}}, {.temperature = 1.0f});
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(loss, 0);
}

// The negatives once where they fit on chip, twice where they do not and gradients are wanted, and
// nothing of masked ones; their gradient once; 16 bytes at a time.
TEST_P(info_nce_row_negatives, move_as_many_bytes_as_they_must) {
  if (GetParam() == space::cpu || !simt::watch::present()) {
    GTEST_SKIP() << "only the watched device counts bytes";
  }
  for (const own_shape& s : kShapes) {
    for (const element type : device_elements()) {
      if (s.count * s.dimension > 8000 && type != element::float32) continue;
      for (const int how : {0, 1, 2, 3}) {
        const bool writes = how % 2 == 1, mask = how / 2 == 1;
        similarity_choice c;
        c.mask = mask;
        if (!writes) c = forward_only(c);
        const similarity_numbers p = make_similarity(
            c, {.type = type, .rows = 3, .keys = 3, .dimension = s.dimension, .of_a_row = s.count});
        const auto call = prepare(c, p);
        simt::watch::reset();
        const results r = call->read(call->launch());
        ASSERT_TRUE(r.status.ok()) << r.status.message();
        std::int64_t read = 0;
        for (std::int64_t i = 0; i < 3 * s.count; ++i) {
          const std::int64_t at = i / s.count * p.all_columns() + 3 + i % s.count;
          read += mask && p.mask[static_cast<std::size_t>(at)] != 0 ? 0 : 1;
        }
        const std::int64_t bytes = format_of(type).bytes * s.dimension;
        const std::int64_t times = writes && !plan_of(s, type).on_chip ? 2 : 1;
        const auto moved = call->own_traffic();
        EXPECT_EQ(moved.first.bytes_loaded, static_cast<std::uint64_t>(read * bytes * times))
            << s.count << " x " << s.dimension << " " << how;
        EXPECT_EQ(moved.second.bytes_loaded, 0u);
        EXPECT_EQ(moved.second.bytes_stored,
                  static_cast<std::uint64_t>(writes ? 3 * s.count * bytes : 0));
        for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
          if (l.kernel.find("row_negatives") == std::string::npos || bytes % 16 != 0) continue;
          EXPECT_GE(l.moved.loads16, static_cast<std::uint64_t>(read * bytes * times / 16));
          EXPECT_GE(l.moved.stores16,
                    static_cast<std::uint64_t>(writes ? 3 * s.count * bytes / 16 : 0));
        }
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(info_nce_row_negatives);

}  // namespace
}  // namespace culoss_test
