// The kernels over one tile of similarities, by themselves: what tile_pitch_test.cpp has them do.
#pragma once

#include <cstdint>
#include <vector>

namespace culoss_test {

struct tile {
  const float* s;
  std::int64_t ld;
  int rows, cols;
  const unsigned char* mask;
  std::int64_t mask_ld;
};

// What the rows and columns are reduced to, and the gradient into `g`.
std::vector<float> fold_and_gradient(const tile& t, float* g, std::int64_t g_ld);
// The columns that are kept of each row, and what bounds them.
std::vector<float> mine(const tile& t);

}  // namespace culoss_test
