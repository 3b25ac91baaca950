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
