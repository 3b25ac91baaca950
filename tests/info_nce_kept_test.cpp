// InfoNCE and CLIP by the plan that keeps exponentials in 16 bits: the same promises as of the other
// plans, and what can go wrong with it alone: the range of 16 bits, the shift of each 256 columns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

using culoss::similarity_plan;

constexpr element kNarrowElements[] = {element::float16, element::bfloat16};

class info_nce_kept : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }

  static similarity_choice kept(similarity_choice c) {
    c.plan = similarity_plan::kept;
    return c;
  }
  static results run_whole(const similarity_choice& c, const similarity_numbers& p) {
    results r = run(c, p);
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
};

// Rows around a warp's, a block's and two blocks'; columns around runs and chunks of columns.
TEST_F(info_nce_kept, holds_for_every_size) {
  tally t;
  constexpr std::int64_t kRows[] = {1, 3, 4, 17, 33, 127, 129};
  constexpr std::int64_t kKeys[] = {1, 4, 7, 8, 9, 129, 255, 256, 257, 261, 513};
  std::uint64_t seed = 0;
  for (const std::int64_t rows : kRows) {
    for (const std::int64_t keys : kKeys) {
      ++seed;
      if (keys < rows || (reduced_run() && seed % 4 != 0)) continue;
      const element type = kNarrowElements[seed % 2];
      similarity_choice c = kept(of_each_row(false));
      c.normalize = seed % 3 != 0;
      t.expect_correct(c, make_similarity(c, {.type = type,
                                              .rows = rows,
                                              .keys = keys,
                                              .negatives = static_cast<std::int64_t>(seed % 5) * 3,
                                              .dimension = 5 + static_cast<std::int64_t>(seed % 7),
                                              .offset = (keys - rows) / 2,
                                              .seed = seed}));
    }
  }
  for (const std::int64_t rows : {1, 3, 31, 33, 127, 129, 255, 257, 300}) {
    ++seed;
    if (reduced_run() && seed % 3 != 0) continue;
    const similarity_choice c = kept(of_each_row(true));
    t.expect_correct(c, make_similarity(c, {.type = kNarrowElements[seed % 2],
                                            .rows = rows,
                                            .keys = rows,
                                            .dimension = 9,
                                            .seed = seed}));
  }
}

TEST_F(info_nce_kept, holds_for_every_choice_of_options) {
  tally t;
  enum { kVariant, kNormalize, kMasked, kWeights, kReduction, kUpstream, kNormalizer, kOutputs };
  enum variant { square, more_keys, keys_and_negatives, negatives_alone, positives_alone, pairs };
  enum { all, queries_alone, keys_alone, negatives_only, no_loss };
  constexpr source kSources[] = {source::value, source::device, source::rows};
  constexpr source kNormalizers[] = {source::absent, source::value, source::device};
  std::uint64_t seed = 100;
  for (const combination& o : pairwise_cover({6, 2, 2, 2, 3, 3, 3, 5}, [](const combination& o) {
         const bool none = o[kReduction] == 0;
         if (none ? o[kNormalizer] != 0 : o[kUpstream] == 2) return false;
         return o[kOutputs] != negatives_only || o[kVariant] == keys_and_negatives ||
                o[kVariant] == negatives_alone;
       })) {
    ++seed;
    if (reduced_run() && seed % 3 != 0) continue;
    similarity_choice c;
    c.plan = similarity_plan::kept;
    c.symmetric = o[kVariant] == pairs;
    c.in_batch = o[kVariant] != negatives_alone && o[kVariant] != positives_alone;
    c.normalize = o[kNormalize] == 1;
    c.log_scale = seed % 2 == 0;
    c.scale = seed % 3 == 0 ? source::device : source::value;
    c.masked = c.mask = o[kMasked] == 1;
    c.margin = c.mask ? 0.35f : 0.0f;
    c.row_weights = o[kWeights] == 1;
    c.reduction = static_cast<culoss::reduction>(o[kReduction]);
    c.upstream = kSources[o[kUpstream]];
    c.normalizer = kNormalizers[o[kNormalizer]];
    c.wide = seed % 2 == 1;
    c.accumulate = c.wide && seed % 3 == 0;
    const int outputs = o[kOutputs];
    if (outputs == queries_alone) c.keys = c.negatives = false;
    if (outputs == keys_alone) c.queries = c.negatives = false;
    if (outputs == negatives_only) c.queries = c.keys = false;
    if (outputs == no_loss) c.loss = c.counts = c.scale_gradient = false;
    const bool negatives = o[kVariant] == keys_and_negatives || o[kVariant] == negatives_alone;
    const bool even = o[kVariant] == variant::square || c.symmetric;
    constexpr std::int64_t kWorkspaces[] = {kBestWorkspace, kLeastWorkspace, kNoWorkspace};
    t.expect_correct(c,
                     make_similarity(c, {.type = kNarrowElements[seed / 2 % 2],
                                         .rows = 67,
                                         .keys = even ? 67 : 81,
                                         .negatives = negatives ? 301 : 0,
                                         .dimension = 24 + static_cast<std::int64_t>(seed % 3),
                                         .offset = even ? 0 : 13,
                                         .seed = seed,
                                         .of_a_row = seed % 2 == 0 && !c.symmetric ? 3 : 0}),
                     {.offset = static_cast<std::int64_t>(seed % 9),
                      .padding = static_cast<std::int64_t>(seed % 4),
                      .workspace = kWorkspaces[seed % 3]});
  }
}

// All queries in one direction, half the keys against it: every similarity of such a key lies up to
// 2 scale / log(2) bits below its row's largest, where 16 bits have nothing left, and yet they are
// all that the key's own softmax has.
similarity_numbers opposed(element type, std::int64_t rows, double scale) {
  similarity_numbers p;
  p.type = type;
  p.rows = p.keys = rows;
  p.dimension = 6;
  p.scale = static_cast<float>(std::log(scale));
  random_numbers random(static_cast<std::uint64_t>(scale) + 17);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < p.dimension; ++d) {
      const double along = d == 0 ? 4 : 0.2 * random.normal();
      p.q.push_back(round_to(type, along));
      // Some keys in between, of which some similarities are lost and some are not.
      const double way = i % 4 == 3 ? 0.1 * random.normal() : i % 2 == 0 ? 1 : -1;
      p.k.push_back(round_to(type, d == 0 ? 4 * way : 0.2 * random.normal()));
    }
    p.query_ids.push_back(i / 3);
  }
  p.key_ids = p.query_ids;
  for (std::int64_t k = 0; k < rows * rows; ++k) p.mask.push_back(k * k % 7 == 2 ? 200 : 0);
  // A weight of 0: a column of no gradient, however far below its rows.
  for (std::int64_t i = 0; i < rows; ++i) p.row_weights.push_back(i % 3 == 1 ? 0.0f : 0.75f);
  return p;
}

TEST_F(info_nce_kept, columns_far_below_their_rows_keep_their_softmax) {
  tally t;
  for (const bool masked : {false, true}) {
    for (const element type : kNarrowElements) {
      for (const double scale : {20.0, 30.0, 50.0, 88.0, 100.0}) {
        if (reduced_run() && scale != 30 && scale != 88) continue;
        similarity_choice c = kept(of_each_row(true));
        c.masked = c.mask = c.row_weights = masked;
        t.expect_correct(c, opposed(type, masked ? 71 : 37, scale));
        c.symmetric = false;
        t.expect_correct(c, opposed(type, 37, scale));
      }
    }
  }
}

// Most of such a key's gradient comes from numbers that are no longer there: without them the test
// above would fail by far.
TEST_F(info_nce_kept, far_columns_have_gradients_to_lose) {
  for (const element type : kNarrowElements) {
    const similarity_choice c = kept(of_each_row(true));
    const similarity_numbers p = opposed(type, 37, 100);
    const results r = run_whole(c, p);
    const std::vector<expectation> wanted = expect(c, p);
    double most = 0;
    for (const expectation& e : wanted) {
      if (e.name != "grad_keys") continue;
      for (std::size_t d = 6; d < 12; ++d) {  // of key 1, against all queries
        most = std::max(most, std::fabs(e.values[d]) / e.bounds[d]);
      }
    }
    EXPECT_GT(most, 10);
    EXPECT_EQ(complaint(r, wanted), "");
  }
}

// Chunks of one row at very different heights: each has a shift of its own, so that a column keeps
// its digits beside others that lie far above it.
TEST_F(info_nce_kept, chunks_of_columns_have_their_own_shifts) {
  tally t;
  for (const element type : kNarrowElements) {
    for (const bool symmetric : {false, true}) {
      similarity_choice c = kept(of_each_row(symmetric));
      similarity_numbers p = opposed(type, 600, 80);
      for (std::int64_t j = 0; j < p.keys; ++j) {
        const double way = j < 256 ? 1 : j < 512 ? -1 : 0;
        p.k[static_cast<std::size_t>(j * p.dimension)] = 4 * way;
      }
      if (reduced_run() && symmetric) continue;
      t.expect_correct(c, p);
    }
  }
}

TEST_F(info_nce_kept, a_query_that_is_not_finite_spoils_what_depends_on_it) {
  for (const element type : kNarrowElements) {
    for (const bool normalize : {false, true}) {
      for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
        similarity_choice c = kept(of_each_row(false));
        c.normalize = normalize;
        similarity_numbers p = make_similarity(
            c, {.type = type, .rows = 40, .keys = 40, .negatives = 20, .dimension = 12});
        const results clean = run_whole(c, p);
        constexpr std::size_t kRow = 17;
        p.q[kRow * 12 + 5] = bad;
        const results r = run_whole(c, p);
        for (const char* name : {"loss", "grad_queries"}) {
          const std::size_t width = r[name].size() / 40;
          for (std::size_t i = 0; i < r[name].size(); ++i) {
            const double expected = i / width == kRow ? std::nan("") : clean[name][i];
            EXPECT_TRUE(same_bits(r[name][i], expected)) << name << " " << i << " " << bad;
          }
        }
        for (const char* name : {"grad_keys", "grad_negatives", "grad_scale"}) {
          EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name;
        }
        // Either direction of clip sees it.
        c.symmetric = true;
        p.n.clear();
        p.negatives = 0;
        const results both = run_whole(c, p);
        for (const char* name : {"loss", "grad_queries", "grad_keys", "grad_scale"}) {
          EXPECT_THAT(both[name], ::testing::Each(::testing::IsNan())) << name;
        }
      }
    }
  }
}

TEST_F(info_nce_kept, a_key_that_is_not_finite_spoils_the_rows_that_see_it) {
  for (const element type : kNarrowElements) {
    similarity_choice c = kept(of_each_row(false));
    c.masked = true;
    similarity_numbers p =
        make_similarity(c, {.type = type, .rows = 40, .keys = 40, .dimension = 12});
    const results clean = run_whole(c, p);
    constexpr std::size_t kKey = 6;
    p.k[kKey * 12 + 3] = std::numeric_limits<double>::infinity();
    const results r = run_whole(c, p);
    for (std::size_t i = 0; i < 40; ++i) {
      const bool sees = i == kKey || p.query_ids[i] != p.key_ids[kKey];
      EXPECT_TRUE(same_bits(r["loss"][i], sees ? std::nan("") : clean["loss"][i])) << i;
      for (std::size_t d = 0; d < 12 && sees; ++d) {
        EXPECT_TRUE(std::isnan(r["grad_queries"][i * 12 + d])) << i;
      }
    }
  }
}

TEST_F(info_nce_kept, rows_without_negatives_and_divisors_of_zero_give_zeros) {
  for (const bool symmetric : {false, true}) {
    for (const bool masked : {false, true}) {
      similarity_choice c = kept(similarity_choice{.symmetric = symmetric});
      c.masked = masked;
      c.reduction = culoss::reduction::sum;
      c.normalizer = masked ? source::absent : source::device;
      similarity_numbers p =
          make_similarity(c, {.type = element::bfloat16, .rows = 50, .keys = 50, .dimension = 8});
      for (auto* ids : {&p.query_ids, &p.key_ids}) std::fill(ids->begin(), ids->end(), -5);
      p.normalizer = 0;
      const results r = run_whole(c, p);
      for (const output& o : r.outputs) {
        if (o.name.find("correct") == 0 || o.name == "rows_counted") continue;
        EXPECT_THAT(o.values, ::testing::Each(0.0)) << o.name;
      }
    }
  }
}

// Zero vectors, one row, and a batch that has converged: the positive's coefficient is that of the
// other plans, to the bit.
TEST_F(info_nce_kept, degenerate_and_converged_batches) {
  tally t;
  for (const element type : kNarrowElements) {
    for (const bool symmetric : {false, true}) {
      const similarity_choice c = kept(of_each_row(symmetric));
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 40, .keys = 40, .dimension = 40});
      std::fill_n(p.q.begin() + 80, 40, 0.0);
      std::fill_n(p.k.begin() + 80, 40, 0.0);
      t.expect_correct(c, p);
      p.scale = static_cast<float>(std::log(30.0));
      random_numbers random(3);
      for (std::size_t i = 0; i < p.q.size(); ++i) {
        const double one = i / 40 == i % 40 ? 1 : 0;
        p.q[i] = round_to(type, one + 0.02 * random.normal());
        p.k[i] = round_to(type, one + 0.02 * random.normal());
      }
      t.expect_correct(c, p);
      t.expect_correct(c, make_similarity(c, {.type = type, .rows = 1, .keys = 1, .dimension = 3}));
    }
  }
}

// What does not go through 16 bits has the same bound as ever, and the plan alone decides the bits.
TEST_F(info_nce_kept, has_the_same_bits_for_every_workspace_of_a_plan) {
  for (const bool symmetric : {false, true}) {
    const similarity_choice c = kept(similarity_choice{.symmetric = symmetric});
    const similarity_numbers p =
        make_similarity(c, {.type = element::bfloat16, .rows = 300, .keys = 300, .dimension = 8});
    const auto best = static_cast<std::int64_t>(workspace_of(c, p).best);
    const results r = run_whole(c, p);
    for (const std::int64_t bytes : {best, best + 100000, kNoWorkspace}) {
      const results again = run(c, p, {.workspace = bytes});
      EXPECT_EQ(difference(r.outputs, again.outputs), "") << bytes;
    }
  }
}

// Tiles that are narrower than what the workspace would hold begin where a shift does, too.
TEST_F(info_nce_kept, tiles_of_every_width_begin_at_a_shift) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  tally t;
  const similarity_choice c = kept(of_each_row(false));
  const similarity_numbers p =
      make_similarity(c, {.type = element::float16, .rows = 33, .keys = 1290, .dimension = 520});
  const culoss::similarity_workspace w = workspace_of(c, p);
  const std::vector<expectation> wanted = expect(c, p);
  for (std::size_t k = 0; k <= 4; ++k) {
    const std::size_t bytes = w.least + (w.best - w.least) * k / 4;
    t.expect_correct(c, p, {.workspace = static_cast<std::int64_t>(bytes)}, wanted);
  }
}

TEST(info_nce_kept_workspace, is_of_another_plan_unless_it_is_asked_for) {
  for (const bool symmetric : {false, true}) {
    for (const std::int64_t n : {1000, 20000, 100000}) {
      const culoss::similarity_shape s{.queries = n, .keys = n, .dimension = 1024};
      const auto w = symmetric ? culoss::clip_workspace(s) : culoss::info_nce_workspace(s);
      EXPECT_NE(w.best_plan, similarity_plan::kept);
      EXPECT_NE(w.least_plan, similarity_plan::kept);
    }
  }
}

// Half of what the float similarities take, at D = 1: nothing else is as large.
TEST(info_nce_kept_workspace, is_that_of_16_bits_an_element) {
  for (const bool symmetric : {false, true}) {
    culoss::similarity_shape s{.queries = 8000, .keys = 8000, .dimension = 1};
    const auto best = [&](similarity_plan plan) {
      s.plan = plan;
      const auto w = symmetric ? culoss::clip_workspace(s) : culoss::info_nce_workspace(s);
      if (w.best == 0) return 0.0;  // without CUDA there is none
      EXPECT_EQ(w.best_plan, plan);
      EXPECT_EQ(w.least_plan, plan);
      return static_cast<double>(w.best);
    };
    const double kept = best(similarity_plan::kept);
    const double tile = 8000.0 * 1024 * 4, few = 16 << 20;
    if (kept == 0) continue;
    EXPECT_LE(kept, 8000.0 * 8000 * (2 + 4.0 / 256) + tile + few);
    EXPECT_GE(best(similarity_plan::one_visit), 8000.0 * 8000 * 4);
    s.element_bytes = 4;
    s.plan = similarity_plan::kept;
    EXPECT_EQ(culoss::info_nce_workspace(s).best, 0u);
    s.element_bytes = 2;
  }
}

}  // namespace
}  // namespace culoss_test
