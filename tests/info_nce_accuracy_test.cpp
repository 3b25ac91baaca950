// Value and gradients of InfoNCE and CLIP against the double reference, under the bound of each
// element: every option, every size around a tile, every type.
#include <gtest/gtest.h>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

class info_nce_accuracy : public on_each_space {};

TEST_P(info_nce_accuracy, holds_for_every_size) {
  tally t;
  constexpr std::int64_t kSizes[] = {1, 2, 3, 63, 64, 65, 127, 129};
  constexpr std::int64_t kDimensions[] = {1, 2, 16, 64, 96, 128, 384, 500};
  const std::size_t dimensions = reduced_run() ? 4 : std::size(kDimensions);
  std::uint64_t seed = 0;
  // Rows with keys, and rows with dimensions: every size meets every other.
  for (const std::int64_t rows : kSizes) {
    for (const std::int64_t keys : kSizes) {
      if (keys < rows) continue;
      if (reduced_run() && ++seed % 3 != 0) continue;
      const element type = kDeviceElements[++seed % std::size(kDeviceElements)];
      const similarity_choice c{.normalize = seed % 2 == 0, .reduction = culoss::reduction::none};
      t.expect_correct(c,
                       make_similarity(c, {.type = type,
                                           .rows = rows,
                                           .keys = keys,
                                           .dimension = kDimensions[seed % dimensions],
                                           .offset = (keys - rows) / 2,
                                           .seed = seed}),
                       {.where = GetParam()});
    }
    for (std::size_t d = 0; d < dimensions; ++d) {
      const element type = kDeviceElements[++seed % std::size(kDeviceElements)];
      const similarity_choice c{.symmetric = true, .reduction = culoss::reduction::none};
      t.expect_correct(c,
                       make_similarity(c, {.type = type,
                                           .rows = rows,
                                           .keys = rows,
                                           .dimension = kDimensions[d],
                                           .seed = seed}),
                       {.where = GetParam()});
    }
  }
}

// The first positives lie in the last column that a block reads at a time, in those before, or in the
// first of the next ones.
TEST_P(info_nce_accuracy, holds_for_positives_where_blocks_meet) {
  tally t;
  const similarity_choice c{.reduction = culoss::reduction::none};
  for (const std::int64_t offset : {252, 253, 254, 255, 256}) {
    t.expect_correct(c,
                     make_similarity(c, {.rows = 5, .keys = 270, .dimension = 3, .offset = offset}),
                     {.where = GetParam()});
  }
}

// A few rows, whose columns are split among blocks.
TEST_P(info_nce_accuracy, holds_for_few_rows_of_many_keys) {
  tally t;
  const similarity_choice c{.reduction = culoss::reduction::none};
  t.expect_correct(c, make_similarity(c, {.rows = 5, .keys = 3100, .dimension = 3, .offset = 2000}),
                   {.where = GetParam()});
}

TEST_P(info_nce_accuracy, holds_for_large_sizes) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  tally t;
  struct size {
    element type;
    bool symmetric;
    std::int64_t rows, keys, negatives, dimension;
  };
  constexpr size kSizes[] = {{element::float32, false, 127, 129, 4097, 768},
                             {element::bfloat16, false, 65, 4097, 0, 1152},
                             {element::float16, false, 1000, 1000, 129, 384},
                             {element::float32, false, 4097, 4097, 0, 2},
                             {element::bfloat16, true, 1000, 1000, 0, 500},
                             {element::float32, true, 4097, 4097, 0, 16},
                             {element::float16, true, 129, 129, 0, 1024}};
  for (const size& s : kSizes) {
    // The CPU is the reference itself.
    if (GetParam() == space::cpu && s.rows > 200) continue;
    const similarity_choice c{.symmetric = s.symmetric};
    t.expect_correct(c,
                     make_similarity(c, {.type = s.type,
                                         .rows = s.rows,
                                         .keys = s.keys,
                                         .negatives = s.negatives,
                                         .dimension = s.dimension,
                                         .offset = s.keys - s.rows}),
                     {.where = GetParam()});
  }
}

// Which keys there are.
enum variant { square, more_keys, keys_and_negatives, negatives_alone, positives_alone, pairs };

TEST_P(info_nce_accuracy, holds_for_every_choice_of_options) {
  tally t;
  enum option {
    kVariant,
    kNormalize,
    kLog,
    kDevice,
    kMasked,
    kMask,
    kMargin,
    kOwn,
    kWeights,
    kReduction,
    kUpstream,
    kNormalizer,
    kOutputs
  };
  enum { all, forward, queries_alone, keys_alone, negatives_only, no_loss };
  const std::vector<combination> chosen =
      pairwise_cover({6, 2, 2, 2, 2, 2, 3, 3, 2, 3, 3, 3, 6}, [](const combination& o) {
        if (o[kVariant] == pairs && o[kOwn] != 0) return false;
        const bool none = o[kReduction] == 0;
        if (none ? o[kNormalizer] != 0 : o[kUpstream] == 2) return false;
        return o[kOutputs] != negatives_only || o[kVariant] == keys_and_negatives ||
               o[kVariant] == negatives_alone;
      });
  constexpr source kSources[] = {source::value, source::device, source::rows};
  constexpr source kNormalizers[] = {source::absent, source::value, source::device};
  std::uint64_t seed = 0;
  for (const combination& o : chosen) {
    similarity_choice c;
    c.symmetric = o[kVariant] == pairs;
    c.in_batch = o[kVariant] != negatives_alone && o[kVariant] != positives_alone;
    c.normalize = o[kNormalize] == 1;
    c.log_scale = o[kLog] == 1;
    c.scale = o[kDevice] == 1 ? source::device : source::value;
    c.masked = o[kMasked] == 1;
    c.mask = o[kMask] == 1;
    c.margin = o[kMargin] == 0 ? 0.0f : o[kMargin] == 1 ? 0.35f : -0.2f;
    c.row_weights = o[kWeights] == 1;
    c.reduction = static_cast<culoss::reduction>(o[kReduction]);
    c.upstream = kSources[o[kUpstream]];
    c.normalizer = kNormalizers[o[kNormalizer]];
    const int outputs = o[kOutputs];
    if (outputs == forward) c = forward_only(c);
    if (outputs == queries_alone) c.keys = c.negatives = c.row_negatives = false;
    if (outputs == keys_alone) c.queries = c.negatives = c.row_negatives = false;
    if (outputs == negatives_only) c.queries = c.keys = false;  // and their own
    if (outputs == no_loss) c.loss = c.counts = c.scale_gradient = false;
    const bool negatives = o[kVariant] == keys_and_negatives || o[kVariant] == negatives_alone;
    const bool square = o[kVariant] == variant::square || c.symmetric;
    for (const element type : device_elements()) {
      ++seed;
      c.wide = seed % 2 == 0;
      c.accumulate = (c.wide || type == element::float32) && seed % 3 == 0;
      constexpr std::int64_t kWorkspaces[] = {kBestWorkspace, kLeastWorkspace, kNoWorkspace};
      constexpr std::int64_t kLayouts[][2] = {{0, 0}, {1, 0}, {0, 3}, {5, 8}, {8, 8}};
      const auto& [offset, padding] = kLayouts[seed % std::size(kLayouts)];
      t.expect_correct(c,
                       make_similarity(c, {.type = type,
                                           .rows = 67,
                                           .keys = square ? 67 : 81,
                                           .negatives = negatives ? 301 : 0,
                                           .dimension = 24 + static_cast<std::int64_t>(seed % 3),
                                           .offset = square ? 0 : 13,
                                           .seed = seed,
                                           .of_a_row = o[kOwn] == 0   ? 0
                                                       : o[kOwn] == 1 ? 3
                                                                      : 41}),
                       {.where = GetParam(),
                        .offset = offset,
                        .padding = padding,
                        .workspace = kWorkspaces[seed % 3]});
    }
  }
}

// What stood in a float gradient stays in it, and a 16-bit gradient is the float one, rounded once.
TEST_P(info_nce_accuracy, writes_gradients_in_float_and_in_the_type) {
  for (const bool symmetric : {false, true}) {
    for (const element type : {element::float16, element::bfloat16}) {
      similarity_choice c{.symmetric = symmetric};
      const similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 40, .keys = 40, .dimension = 33});
      const results same = run(c, p, {.where = GetParam()});
      c.wide = true;
      const results wide = run(c, p, {.where = GetParam()});
      ASSERT_TRUE(same.status.ok() && wide.status.ok());
      for (const char* name : {"grad_queries", "grad_keys"}) {
        for (std::size_t i = 0; i < wide[name].size(); ++i) {
          const double once = wide[name][i];
          // The CPU rounds double to either, so the float may lie on the other side of a tie.
          const double slack = GetParam() == space::cpu ? 0x1p-23 * std::fabs(once) : 0;
          EXPECT_LE(round_to(type, once - slack), same[name][i]) << name << " " << i;
          EXPECT_GE(round_to(type, once + slack), same[name][i]) << name << " " << i;
        }
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(info_nce_accuracy);

}  // namespace
}  // namespace culoss_test
