// How many kernels and products a call of InfoNCE or CLIP is made of: a promise, as each costs a
// launch. Two kernels a tile where a block has all columns of its rows, one more where states have
// to be merged; a handful a call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

using culoss::similarity_plan;

class info_nce_launches : public ::testing::Test {
 protected:
  void SetUp() override {
    CULOSS_NEEDS_CUDA();
    if (!simt::present()) GTEST_SKIP() << "a real device counts no launches";
  }

  struct counts {
    std::int64_t kernels, products, folds, gradients, merges, panels, finished;
  };
  static counts of(const similarity_choice& c, const similarity_input& in, std::int64_t workspace) {
    const auto call = prepare(c, make_similarity(c, in), {.workspace = workspace});
    const recorded_work work;
    const culoss::status s = call->launch();
    const std::int64_t launches = work.calls("cudaLaunchKernel");
    const std::int64_t products = work.calls("cublasGemmEx");
    EXPECT_EQ(work.calls("Memset"), 0);
    EXPECT_TRUE(call->read(s).status.ok()) << s.message();  // they have run then
    const counts n{work.kernels(""),
                   products,
                   work.kernels("fold_tile"),
                   work.kernels("gradient_tile") + work.kernels("gradient_of_kept"),
                   work.kernels("merge_"),
                   work.kernels("finish_rows"),
                   work.kernels("finish_gradients")};
    EXPECT_EQ(n.kernels, launches);
    return n;
  }
  // Norms, the call's numbers; the sums.
  static constexpr std::int64_t kOfCall = 3;
  // Beside those of the tiles.
  static std::int64_t beside_tiles(const counts& n) { return kOfCall + n.panels + n.finished; }
};

// Whatever is asked for: loss, all gradients, counts.
TEST_F(info_nce_launches, of_a_batch_are_seven_and_three_products) {
  const similarity_choice nce, clip{.symmetric = true};
  const similarity_input in{.type = element::bfloat16, .rows = 200, .keys = 200, .dimension = 8};
  const counts a = of(nce, in, kBestWorkspace);
  EXPECT_EQ(a.kernels, 7);
  EXPECT_EQ(a.products, 3);
  EXPECT_EQ(a.merges, 0);
  const counts b = of(clip, in, kBestWorkspace);
  EXPECT_EQ(b.kernels, 8);
  EXPECT_EQ(b.products, 3);
  EXPECT_EQ(b.merges, 1);
  similarity_choice kept = clip;
  kept.plan = similarity_plan::kept;
  EXPECT_EQ(of(kept, in, kBestWorkspace).kernels, 8);
  EXPECT_EQ(of(forward_only(nce), in, kBestWorkspace).kernels, 5);
  EXPECT_EQ(of(forward_only(clip), in, kBestWorkspace).kernels, 6);
  similarity_choice plain = nce;
  plain.normalize = false;  // no norms
  EXPECT_EQ(of(plain, in, kBestWorkspace).kernels, 6);
}

TEST_F(info_nce_launches, of_many_tiles_are_two_kernels_a_tile) {
  for (const bool symmetric : {false, true}) {
    for (const similarity_plan plan : {similarity_plan::automatic, similarity_plan::one_visit,
                                       similarity_plan::recompute, similarity_plan::kept}) {
      similarity_choice c{.symmetric = symmetric};
      c.plan = plan;
      const similarity_input in{.type = element::float16,
                                .rows = 600,
                                .keys = symmetric ? 600 : 700,
                                .negatives = symmetric ? 0 : 1100,
                                .dimension = 4};
      for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace}) {
        const counts n = of(c, in, workspace);
        EXPECT_EQ(n.kernels, n.folds + n.gradients + n.merges + beside_tiles(n));
        // A panel's queries; all keys, with the queries if they are one panel.
        const std::int64_t panels = symmetric ? (n.gradients + 1) / 2 : n.panels;
        EXPECT_EQ(n.finished, panels == 1 ? 1 : panels + 1);
        // Both sides of a tile in one.
        EXPECT_EQ(n.merges, symmetric ? n.folds : 0);
        const bool kept = plan == similarity_plan::kept;
        const bool once = kept || n.products == n.folds + 2 * n.gradients;
        EXPECT_EQ(n.products, n.folds + (once ? 2 : 3) * n.gradients);
        // However many tiles, the kept numbers of keys and of negatives are each one matrix.
        if (kept) {
          EXPECT_EQ(n.gradients, n.panels * (symmetric ? 1 : 2));
        } else {
          EXPECT_EQ(n.gradients, n.folds);
        }
        const bool whole = plan == similarity_plan::one_visit;  // all columns at once
        EXPECT_GT(n.folds, workspace == kLeastWorkspace && !whole ? 3 : 0);
      }
      const counts forward = of(forward_only(c), in, kLeastWorkspace);
      EXPECT_EQ(forward.kernels, forward.folds + forward.merges + beside_tiles(forward));
    }
  }
}

// Few rows and many columns: several blocks share a row.
TEST_F(info_nce_launches, of_split_rows_are_one_merge_more) {
  const similarity_choice c;
  const counts n =
      of(c, {.rows = 40, .keys = 40, .negatives = 2100, .dimension = 2}, kBestWorkspace);
  EXPECT_EQ(n.folds, 2);
  EXPECT_EQ(n.merges, 1);
  EXPECT_EQ(n.kernels, n.folds + n.merges + n.gradients + beside_tiles(n));
}

// More rows than one block sums: the partial sums of all scalars in one launch, too.
TEST_F(info_nce_launches, of_many_rows_are_one_more_for_all_sums) {
  similarity_choice c;
  c.normalize = false;
  c.in_batch = false;
  c.queries = c.keys = c.negatives = false;
  const counts n =
      of(c, {.rows = 8200, .keys = 8200, .negatives = 3, .dimension = 1}, kBestWorkspace);
  // The call's numbers, the pairs, the tile, its rows; two of the sums.
  EXPECT_EQ(n.kernels, 6);
}

}  // namespace
}  // namespace culoss_test
