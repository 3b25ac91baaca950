// Value and gradients of NT-Xent and of the supervised contrastive loss against the double
// reference, under the bound of each element: every option, every size around a tile, every type.
#include <gtest/gtest.h>

#include "tests/cases/self_similarity_check.hpp"
#include "tests/harness/pairwise.hpp"

namespace culoss_test {
namespace {

class self_similarity_accuracy : public on_each_space {};

TEST_P(self_similarity_accuracy, holds_for_every_size) {
  tally t;
  constexpr std::int64_t kSizes[] = {1, 2, 3, 31, 32, 33, 34, 63, 64, 66, 127, 130, 255, 256, 258};
  constexpr std::int64_t kDimensions[] = {1, 2, 16, 64, 96, 128, 384, 500};
  const std::size_t dimensions = reduced_run() ? 4 : std::size(kDimensions);
  std::uint64_t seed = 0;
  for (const self_loss which : kSelfLosses) {
    for (const std::int64_t rows : kSizes) {
      if (which == self_loss::nt_xent && rows % 2 != 0) continue;
      for (int turn = 0; turn < (reduced_run() ? 1 : 2); ++turn) {
        const element type = kDeviceElements[++seed % std::size(kDeviceElements)];
        self_choice c{.which = which, .normalize = seed % 5 != 0};
        c.reduction = culoss::reduction::none;
        t.expect_correct(c,
                         make_self(c, {.type = type,
                                       .rows = rows,
                                       .dimension = kDimensions[seed % dimensions],
                                       .seed = seed}),
                         {.where = GetParam()});
      }
    }
  }
}

TEST_P(self_similarity_accuracy, holds_for_large_sizes) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  tally t;
  struct size {
    element type;
    self_loss which;
    std::int64_t rows, dimension, labels;
  };
  constexpr size kSizes[] = {{element::float32, self_loss::nt_xent, 128, 768, 0},
                             {element::bfloat16, self_loss::sup_con, 129, 1152, 7},
                             {element::float16, self_loss::nt_xent, 700, 384, 0},
                             {element::bfloat16, self_loss::sup_con, 701, 250, 100},
                             {element::float32, self_loss::sup_con, 1300, 16, 10}};
  for (const size& s : kSizes) {
    if (GetParam() == space::cpu && s.rows > 200) continue;  // the reference itself
    const self_choice c{.which = s.which};
    t.expect_correct(
        c,
        make_self(c,
                  {.type = s.type, .rows = s.rows, .dimension = s.dimension, .labels = s.labels}),
        {.where = GetParam()});
  }
}

TEST_P(self_similarity_accuracy, holds_for_every_choice_of_options) {
  tally t;
  enum option {
    kLoss,
    kNormalize,
    kLog,
    kDevice,
    kMasked,  // or the width of the labels
    kLabels,
    kWeights,
    kReduction,
    kUpstream,
    kNormalizer,
    kOutputs
  };
  enum { all, forward, gradient_alone, no_gradient_of_scale };
  const std::vector<combination> chosen =
      pairwise_cover({2, 2, 2, 2, 2, 4, 2, 3, 3, 3, 4}, [](const combination& o) {
        const bool none = o[kReduction] == 0;
        return none ? o[kNormalizer] == 0 : o[kUpstream] != 2;
      });
  constexpr source kSources[] = {source::value, source::device, source::rows};
  constexpr source kNormalizers[] = {source::absent, source::value, source::device};
  constexpr std::int64_t kLabelCounts[] = {1, 2, 20, 1000};
  std::uint64_t seed = 0;
  for (const combination& o : chosen) {
    self_choice c{.which = kSelfLosses[o[kLoss]]};
    c.normalize = o[kNormalize] == 1;
    c.log_scale = o[kLog] == 1;
    c.scale = o[kDevice] == 1 ? source::device : source::value;
    c.masked = c.wide_labels = o[kMasked] == 1;
    c.row_weights = o[kWeights] == 1;
    c.reduction = static_cast<culoss::reduction>(o[kReduction]);
    c.upstream = kSources[o[kUpstream]];
    c.normalizer = kNormalizers[o[kNormalizer]];
    if (o[kOutputs] == forward) c = forward_only(c);
    if (o[kOutputs] == gradient_alone) c.loss = c.counts = c.scale_gradient = false;
    if (o[kOutputs] == no_gradient_of_scale) c.scale_gradient = false;
    for (const element type : device_elements()) {
      ++seed;
      c.wide = seed % 2 == 0;
      c.accumulate = (c.wide || type == element::float32) && seed % 3 == 0;
      constexpr std::int64_t kWorkspaces[] = {kBestWorkspace, kLeastWorkspace, kNoWorkspace};
      constexpr std::int64_t kLayouts[][2] = {{0, 0}, {1, 0}, {0, 3}, {5, 8}, {8, 8}};
      const auto& [offset, padding] = kLayouts[seed % std::size(kLayouts)];
      t.expect_correct(c,
                       make_self(c, {.type = type,
                                     .rows = c.labeled() ? 151 : 150,
                                     .dimension = 24 + static_cast<std::int64_t>(seed % 3),
                                     .seed = seed,
                                     .labels = kLabelCounts[o[kLabels]]}),
                       {.where = GetParam(),
                        .offset = offset,
                        .padding = padding,
                        .workspace = kWorkspaces[seed % 3]});
    }
  }
}

// A 16-bit gradient is the float one, rounded once.
TEST_P(self_similarity_accuracy, writes_the_gradient_in_float_and_in_the_type) {
  for (const self_loss which : kSelfLosses) {
    for (const element type : {element::float16, element::bfloat16}) {
      self_choice c{.which = which};
      const self_numbers p = make_self(c, {.type = type, .rows = 40, .dimension = 33});
      const results same = run(c, p, {.where = GetParam()});
      c.wide = true;
      const results wide = run(c, p, {.where = GetParam()});
      ASSERT_TRUE(same.status.ok() && wide.status.ok());
      for (std::size_t i = 0; i < wide["grad_embeddings"].size(); ++i) {
        const double once = wide["grad_embeddings"][i], here = same["grad_embeddings"][i];
        // The CPU rounds double to either, so the float may lie on the other side of a tie.
        const double slack = GetParam() == space::cpu ? 0x1p-23 * std::fabs(once) : 0;
        EXPECT_LE(round_to(type, once - slack), here) << i;
        EXPECT_GE(round_to(type, once + slack), here) << i;
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(self_similarity_accuracy);

}  // namespace
}  // namespace culoss_test
