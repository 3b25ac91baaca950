// How a call walks over its similarity matrix, for every kind of shape: host arithmetic alone.
#include "host/similarity_plan.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace culoss_test {
namespace {

using culoss::similarity_plan;
using culoss::detail::panel_plan;
using culoss::detail::plan_ladder;

TEST(plan_ladder, goes_down_to_its_end_and_never_asks_for_more_than_there_is) {
  std::set<similarity_plan> kinds;
  for (const std::int64_t rows : {0, 1, 32, 33, 1000, 1055, 2200, 8448, 40000, 1000000}) {
    for (const std::int64_t columns : {0, 8, 1000, 1400, 5000, 65536, 2000000}) {
      for (const std::int64_t dimension : {1, 512, 513, 768, 1024}) {
        for (int flags = 0; flags < 16; ++flags) {
          constexpr similarity_plan kWanted[] = {similarity_plan::automatic,
                                                 similarity_plan::one_visit, similarity_plan::kept,
                                                 similarity_plan::recompute};
          const bool gradients = flags % 2 == 1, symmetric = flags / 2 % 2 == 1;
          const similarity_plan wanted = kWanted[flags / 4];
          const bool automatic = wanted == similarity_plan::automatic;
          plan_ladder ladder(rows, columns, dimension, gradients, symmetric, true, wanted);
          std::int64_t least = std::numeric_limits<std::int64_t>::max(), last = least;
          similarity_plan before = ladder.plan().kind;
          int steps = 0;
          for (;; ladder.next()) {
            const panel_plan plan = ladder.plan();
            kinds.insert(plan.kind);
            const bool whole = plan.kind == similarity_plan::one_visit;
            const std::int64_t panel =
                plan.rows * (whole ? culoss::detail::round_up(std::max<std::int64_t>(columns, 1), 8)
                                   : plan.cols);
            EXPECT_LE(panel, plan.kind == before ? last : panel);
            before = plan.kind;
            last = panel;
            least = std::min(least, panel);
            EXPECT_GT(plan.rows, 0);
            EXPECT_GT(plan.cols, 0);
            EXPECT_EQ(plan.rows % culoss::detail::kFoldBlockRows, 0);
            EXPECT_EQ(plan.cols % 8, 0);
            EXPECT_LE(plan.rows, std::max<std::int64_t>(32, culoss::detail::round_up(rows, 32)));
            EXPECT_LE(plan.cols, std::max<std::int64_t>(8, culoss::detail::round_up(columns, 8)));
            EXPECT_EQ(plan.kind == similarity_plan::forward_only, !gradients);
            if (!automatic && gradients) {
              EXPECT_EQ(plan.kind, wanted);
            }
            const bool kept = plan.kind == similarity_plan::kept;
            if (kept) {
              EXPECT_FALSE(automatic);  // until it has been measured
              EXPECT_TRUE(plan.cols % culoss::detail::kFoldBlockColumns == 0 ||
                          plan.cols >= columns);
              EXPECT_LE(plan.tile_rows, plan.rows);
              EXPECT_EQ(plan.tile_rows % culoss::detail::kFoldBlockRows, 0);
              EXPECT_TRUE(plan.tile_rows == plan.rows || plan.rows >= rows);
            } else {
              EXPECT_EQ(plan.tile_rows, plan.rows);
            }
            if (whole && automatic) {
              EXPECT_LE(panel * 4, culoss::detail::kMostPanelBytes);
            }
            if (whole || kept) {
              EXPECT_GE(plan.rows, symmetric ? rows : 0);
            }
            if (ladder.last()) break;
            ASSERT_LT(++steps, 64) << rows << " x " << columns;
          }
          EXPECT_EQ(last, least);
          EXPECT_LE(symmetric ? ladder.plan().tile_rows : ladder.plan().rows,
                    symmetric && wanted == similarity_plan::one_visit && gradients
                        ? ladder.plan().rows
                        : culoss::detail::kLeastRows);
          if (ladder.plan().kind != similarity_plan::one_visit) {
            EXPECT_LE(ladder.plan().cols, culoss::detail::kLeastCols);
          }
        }
      }
    }
  }
  EXPECT_EQ(kinds.size(), 4u);
}

// By operations and bytes: kept wins above this dimension, whatever else is there.
TEST(similarity_model, keeps_from_a_dimension_on) {
  using namespace culoss::detail;
  EXPECT_FALSE(kept_beats_recompute(365));
  EXPECT_TRUE(kept_beats_recompute(367));
  static_assert(is_automatic(similarity_plan::one_visit));
  static_assert(is_automatic(similarity_plan::recompute));
}

TEST(column_splits, cover_the_columns_in_whole_blocks) {
  for (const std::int64_t rows : {1, 32, 100, 4096, 1000000}) {
    for (const std::int64_t cols : {1, 255, 1024, 5000, 1000000}) {
      const std::int64_t splits = culoss::detail::column_splits(rows, cols);
      EXPECT_GE(splits, 1);
      EXPECT_LE(splits, 264);
      EXPECT_GE(cols / splits, splits > 1 ? 4 * culoss::detail::kFoldBlockColumns : cols);
    }
  }
}

}  // namespace
}  // namespace culoss_test
