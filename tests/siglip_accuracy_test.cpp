// Value and gradients of SigLIP against the double reference, under the bound of each element: every
// option, every size around a tile, every type.
#include <gtest/gtest.h>

#include "tests/cases/siglip_expected.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

class siglip_accuracy : public on_each_space {};

TEST_P(siglip_accuracy, holds_for_every_size) {
  tally t;
  constexpr std::int64_t kSizes[] = {1, 2, 3, 31, 32, 33, 127, 255, 257};
  constexpr std::int64_t kDimensions[] = {1, 2, 16, 33, 96, 128};
  const std::size_t dimensions = reduced_run() ? 4 : std::size(kDimensions);
  std::uint64_t seed = 0;
  for (const std::int64_t rows : kSizes) {
    for (const std::int64_t keys : kSizes) {
      if (reduced_run() && ++seed % 3 != 0) continue;
      ++seed;
      siglip_choice c;
      c.positives = keys >= rows;
      c.normalize = seed % 2 == 0;
      c.reduction = culoss::reduction::none;
      t.expect_correct(c,
                       make_siglip(c, {.type = kDeviceElements[seed % std::size(kDeviceElements)],
                                       .rows = rows,
                                       .keys = std::max(keys, c.positives ? rows : 0),
                                       .dimension = kDimensions[seed % dimensions],
                                       .offset = c.positives ? (keys - rows) / 2 : 0,
                                       .seed = seed}),
                       {.where = GetParam()});
    }
  }
}

TEST_P(siglip_accuracy, holds_for_large_sizes) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  if (GetParam() == space::cpu) GTEST_SKIP() << "the CPU is the reference itself";
  tally t;
  // Beyond a dimension of 768 tiles are wide enough to be dealt out in splits of their columns.
  constexpr similarity_input kInputs[] = {
      {.type = element::float32, .rows = 127, .keys = 4097, .dimension = 64, .offset = 3970},
      {.type = element::bfloat16, .rows = 300, .keys = 300, .dimension = 384},
      {.type = element::float16, .rows = 33, .keys = 2100, .dimension = 770, .offset = 7},
      {.type = element::float32, .rows = 1000, .keys = 1000, .dimension = 4}};
  for (const similarity_input& in : kInputs) {
    const siglip_choice c;
    t.expect_correct(c, make_siglip(c, in));
  }
}

TEST_P(siglip_accuracy, holds_for_every_choice_of_options) {
  tally t;
  enum option {
    kVariant,
    kNormalize,
    kLog,
    kDevice,
    kBias,
    kMasked,
    kWeights,
    kReduction,
    kUpstream,
    kNormalizer,
    kOutputs
  };
  enum { square, more_texts, no_positives };
  enum { all, forward, images_alone, texts_alone, no_loss };
  const std::vector<combination> chosen =
      pairwise_cover({3, 2, 2, 2, 2, 2, 2, 3, 3, 3, 5}, [](const combination& o) {
        const bool none = o[kReduction] == 0;
        return none ? o[kNormalizer] == 0 : o[kUpstream] != 2;
      });
  constexpr source kSources[] = {source::value, source::device, source::rows};
  constexpr source kNormalizers[] = {source::absent, source::value, source::device};
  std::uint64_t seed = 0;
  for (const combination& o : chosen) {
    siglip_choice c;
    c.positives = o[kVariant] != no_positives;
    c.normalize = o[kNormalize] == 1;
    c.log_scale = o[kLog] == 1;
    c.scale = o[kDevice] == 1 ? source::device : source::value;
    c.bias = o[kBias] == 1 ? source::device : source::value;
    c.masked = o[kMasked] == 1;
    c.row_weights = o[kWeights] == 1;
    c.reduction = static_cast<culoss::reduction>(o[kReduction]);
    c.upstream = kSources[o[kUpstream]];
    c.normalizer = kNormalizers[o[kNormalizer]];
    const int outputs = o[kOutputs];
    if (outputs == forward) c = without_gradients(c);
    if (outputs == images_alone) c.keys = false;
    if (outputs == texts_alone) c.queries = false;
    if (outputs == no_loss) c.loss = c.counts = c.scale_gradient = c.bias_gradient = false;
    for (const element type : device_elements()) {
      ++seed;
      c.wide = seed % 2 == 0;
      c.accumulate = (c.wide || type == element::float32) && seed % 3 == 0;
      constexpr std::int64_t kWorkspaces[] = {kBestWorkspace, kLeastWorkspace, kNoWorkspace};
      constexpr std::int64_t kLayouts[][2] = {{0, 0}, {1, 0}, {0, 3}, {5, 8}, {8, 8}};
      const auto& [offset, padding] = kLayouts[seed % std::size(kLayouts)];
      const bool wider = o[kVariant] == more_texts;
      siglip_numbers p = make_siglip(c, {.type = type,
                                         .rows = 67,
                                         .keys = wider ? 281 : 67,
                                         .dimension = 24 + static_cast<std::int64_t>(seed % 3),
                                         .offset = wider ? 113 : 0,
                                         .seed = seed});
      if (seed % 4 == 0) p.bias = -10;
      t.expect_correct(c, p,
                       {.where = GetParam(),
                        .offset = offset,
                        .padding = padding,
                        .workspace = kWorkspaces[seed % 3]});
    }
  }
}

// What stood in a float gradient stays in it, and a 16-bit gradient is the float one, rounded once.
TEST_P(siglip_accuracy, writes_gradients_in_float_and_in_the_type) {
  for (const element type : {element::float16, element::bfloat16}) {
    siglip_choice c;
    const siglip_numbers p =
        make_siglip(c, {.type = type, .rows = 40, .keys = 40, .dimension = 33});
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

CULOSS_ON_EACH_SPACE(siglip_accuracy);

}  // namespace
}  // namespace culoss_test
