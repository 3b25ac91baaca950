// Tiles of more than 2^32 similarities: row * pitch in 32 bits ends elsewhere. No call asks for one
// that the emulated device could fill, so the kernels that read and write tiles run by themselves,
// over a few rows that lie so far apart, and must give what they give of rows that lie close.
#include <gtest/gtest.h>

#include "tests/harness/sparse_rows.hpp"
#include "tests/tile_pitch.hpp"

namespace culoss_test {
namespace {

constexpr int kRows = 6, kCols = 45;
// Row 2 begins at 2^31 elements, row 4 at 2^32: beyond int and beyond unsigned.
constexpr std::int64_t kClose = 64, kFar = (std::int64_t{1} << 30) + kClose;

class mask {
 public:
  explicit mask(std::int64_t ld) : bytes_(kRows, (kCols + 3) / 4, ld / 4) {
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t j = 0; j < kCols; ++j) data()[i * ld + j] = (3 * i + j) % 7 == 0 ? 1 : 0;
    }
  }
  unsigned char* data() const { return reinterpret_cast<unsigned char*>(bytes_.data()); }

 private:
  sparse_rows<float> bytes_;
};

TEST(tile_pitch, of_a_fold_and_its_gradient) {
  const auto results_at = [](std::int64_t ld, std::int64_t mask_ld, std::int64_t gradient_ld) {
    const sparse_rows<float> s(kRows, kCols, ld, 1), gradient(kRows, kCols, gradient_ld);
    const mask masked(mask_ld);
    const std::vector<float> of_sides = fold_and_gradient(
        {s.data(), ld, kRows, kCols, masked.data(), mask_ld}, gradient.data(), gradient_ld);
    std::vector<double> values(of_sides.begin(), of_sides.end());
    gradient.append_to(values);
    return values;
  };
  const std::vector<double> expected = results_at(kClose, kClose, kClose);
  EXPECT_EQ(results_at(kFar, kClose, kClose), expected);
  EXPECT_EQ(results_at(kClose, kFar, kClose), expected);
  EXPECT_EQ(results_at(kClose, kClose, kFar), expected);
}

// They are read and written four at a time, but for the last.
TEST(tile_pitch, leaves_what_stands_behind_a_row) {
  const sparse_rows<float> s(kRows, kCols, kClose, 1), gradient(kRows, kClose, kClose, 2);
  std::vector<double> before, after;
  gradient.append_to(before);
  (void)fold_and_gradient({s.data(), kClose, kRows, kCols, nullptr, 0}, gradient.data(), kClose);
  gradient.append_to(after);
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kClose; ++j) {
      const auto at = static_cast<std::size_t>(i * kClose + j);
      EXPECT_EQ(after[at] == before[at], j >= kCols) << i << ", " << j;
    }
  }
}

TEST(tile_pitch, of_mining) {
  const auto results_at = [](std::int64_t ld) {
    const sparse_rows<float> s(kRows, kCols, ld, 1);
    return mine({s.data(), ld, kRows, kCols, nullptr, 0});
  };
  EXPECT_EQ(results_at(kFar), results_at(kClose));
}

}  // namespace
}  // namespace culoss_test
