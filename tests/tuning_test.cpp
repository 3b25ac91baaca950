// Sizes that the host plans with, where no launch would show that they are wrong.
#include "host/tuning.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace culoss_test {
namespace {

using namespace culoss::detail;

// The workspace of an elementwise loss has room for the blocks of every call of that shape.
TEST(element_walk, has_room_for_the_blocks_of_every_type_and_pitch) {
  std::int64_t checked = 0;
  for (const std::int64_t cols : {1, 2, 3, 10, 80, 90, 91, 1021, 1024, 4096, 65536, 134225916}) {
    for (std::int64_t rows = 1; rows * cols < (std::int64_t{1} << 33); rows += rows / 97 + 1) {
      const std::int64_t room = most_element_blocks(rows, cols);
      for (const int bytes : {2, 4}) {
        for (const bool flat : {false, true}) {
          const element_walk w = walk_elements(rows, cols, flat, bytes);
          ASSERT_LE(w.blocks(), room) << rows << " x " << cols << ", " << bytes << ", " << flat;
          ASSERT_LE(w.blocks(), kMostElementBlocks);
          ASSERT_GE(w.blocks() * w.chunk, w.spans);
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 10000);
}

// Every element of every run lies in one of its spans, wherever the run begins in its 16 bytes.
TEST(element_walk, covers_every_element) {
  for (const std::int64_t cols : {1, 7, 128, 511, 512, 513, 4099, 1 << 20}) {
    for (const std::int64_t rows : {1, 2, 5, 1500}) {
      for (const int bytes : {2, 4}) {
        for (const bool flat : {false, true}) {
          const element_walk w = walk_elements(rows, cols, flat, bytes);
          const std::int64_t runs = w.spans / w.spans_of_run;
          std::int64_t elements = 0;
          for (std::int64_t run = 0; run < runs; ++run) elements += w.length(run);
          EXPECT_EQ(elements, rows * cols);
          const std::int64_t misaligned = w.length(0) * bytes + kPackBytes - bytes;
          EXPECT_GE(w.spans_of_run * 32 * kElementPacks * kPackBytes, misaligned);
        }
      }
    }
  }
}

// Packs of 16 bytes that a row lies in at worst.
std::int64_t packs_at_most(std::int64_t cols, int bytes, bool aligned) {
  const std::int64_t before = aligned ? 0 : kPackBytes - bytes;
  return (before + cols * bytes + kPackBytes - 1) / kPackBytes;
}

// Registers and shared memory hold the rows that they are planned for.
TEST(row_plan, has_room_for_its_row) {
  for (const int capability : {75, 80, 86, 90}) {
    for (std::int64_t cols = 1; cols < 70000; cols += 1 + cols / 3000) {
      for (const int bytes : {2, 4}) {
        const std::int64_t packs = packs_at_most(cols, bytes, false);
        for (const bool aligned : {false, true}) {
          for (const int streams : {1, 2}) {
            const row_plan p = plan_rows(capability, cols, bytes, streams, aligned, true);
            if (p.kernel == row_kernel::lanes) {
              ASSERT_GE(p.lanes * p.packs, packs_at_most(cols, bytes, aligned)) << cols;
            } else if (p.kernel == row_kernel::on_chip) {
              ASSERT_GE(p.shared_bytes, packs * kPackBytes * streams) << cols;
            }
          }
        }
        const block_plan block = plan_block(capability, cols, bytes);
        if (block.on_chip) {
          ASSERT_GE(block.shared_bytes, packs * kPackBytes) << cols;
        }
        const strided_plan strided = plan_strided(capability, cols, bytes, true);
        if (strided.on_chip) {
          ASSERT_GE(strided.shared_bytes, cols * bytes * kStridedThreads / strided.groups) << cols;
        }
        for (const bool writes : {false, true}) {
          constexpr int kState = 12, kCoefficients = 32;
          const strided_plan four =
              plan_strided_by_four(capability, cols, bytes, kState, kCoefficients, writes);
          const std::int64_t rows = 4 * kStridedThreads / four.groups;
          ASSERT_GE(four.shared_bytes, rows * (four.groups * kState + kCoefficients) +
                                           (four.on_chip ? cols * bytes * rows : 0))
              << cols;
          ASSERT_LE(four.shared_bytes, shared_limit(capability)) << cols;
          ASSERT_TRUE(writes || !four.on_chip);
        }
      }
    }
  }
}

// A team has its query and negatives, its sums and its scores one behind the other.
TEST(row_negatives_plan, has_room_for_its_row) {
  std::int64_t on_chip = 0;
  for (const std::int64_t count : {1, 2, 7, 16, 100, 500, 513, 5000}) {
    for (const std::int64_t dimension : {1, 4, 8, 33, 128, 768, 1024, 5000}) {
      for (const int bytes : {2, 4}) {
        const row_negatives_plan p = plan_row_negatives(90, count, dimension, bytes, true);
        const std::int64_t packs = packs_at_most(dimension, bytes, true);
        ASSERT_EQ(p.packs, packs);
        ASSERT_GE(p.sums, p.on_chip ? (count + 1) * packs * kPackBytes : 0);
        const int parts = p.team / p.across, floats_of_a_thread = kPackBytes / bytes;
        const int of_sums = parts > 1 ? p.team * floats_of_a_thread : 0;
        ASSERT_GE(p.scores - p.sums, of_sums * static_cast<int>(sizeof(float)));
        ASSERT_GE(p.shared_of_team - p.scores, p.scores_on_chip ? count * 8 : 0);
        ASSERT_GE(p.shared_bytes, p.shared_of_team * (p.threads / p.team));
        ASSERT_LE(p.shared_bytes, shared_limit(90));
        on_chip += p.on_chip ? 1 : 0;
      }
    }
  }
  EXPECT_GT(on_chip, 20);
}

// Static and dynamic shared memory together fit a block's limit (CUDA C++ Programming Guide,
// technical specifications per compute capability).
TEST(shared_memory, fits_with_what_is_static) {
  const std::pair<int, int> limits[] = {{75, 64}, {80, 163}, {86, 99}, {89, 99}, {90, 227}};
  for (const auto& [capability, kilobytes] : limits) {
    EXPECT_LE(shared_limit(capability) + kStaticShared, kilobytes * 1024) << capability;
    EXPECT_LE(strided_shared_limit(capability) + kStridedStates, kilobytes * 1024) << capability;
    for (std::int64_t cols = 1; cols < 70000; cols += 1 + cols / 50) {
      for (const int bytes : {2, 4}) {
        EXPECT_LE(plan_strided(capability, cols, bytes, true).shared_bytes,
                  strided_shared_limit(capability));
        EXPECT_LE(plan_rows(capability, cols, bytes, 2, false, true).shared_bytes,
                  shared_limit(capability));
      }
    }
  }
}

}  // namespace
}  // namespace culoss_test
