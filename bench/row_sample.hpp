// Which rows of a call are compared with the reference, and where they stand.
#pragma once

#include <algorithm>
#include <vector>

#include "bench/grid.hpp"

namespace culoss::bench {

// Where element j of row i stands.
inline std::int64_t place(const sweep_row& row, std::int64_t i, std::int64_t j) {
  if (row.inner == 0) return i * row.cols + j;
  return (i / row.inner * row.cols + j) * row.inner + i % row.inner;
}

// In ascending order: runs of neighbors from the first row to the last, so that a run is one
// download; of strided logits, positions of the first and the last image.
inline std::vector<std::int64_t> sampled_rows(const sweep_row& row) {
  constexpr std::int64_t kElements = std::int64_t{1} << 17, kRunElements = 4096;
  const std::int64_t count = std::min(row.rows, std::max<std::int64_t>(4, kElements / row.cols));
  const std::int64_t run =
      row.inner > 0 ? 1 : std::clamp<std::int64_t>(kRunElements / row.cols, 1, count);
  const std::int64_t runs = (count + run - 1) / run;
  // What the runs are spread over: without the images between those two.
  const std::int64_t rows = row.inner > 0 ? std::min(row.rows, 2 * row.inner) : row.rows;
  std::vector<std::int64_t> sampled;
  for (std::int64_t i = 0; i < runs; ++i) {
    const std::int64_t first = runs == 1 ? 0 : i * (rows - run) / (runs - 1);
    for (std::int64_t k = first; k < first + run; ++k) {
      const bool last_image = row.inner > 0 && k >= row.inner;
      sampled.push_back(k + (last_image ? row.rows - rows : 0));
    }
  }
  std::sort(sampled.begin(), sampled.end());  // where rows are few, runs overlap
  sampled.erase(std::unique(sampled.begin(), sampled.end()), sampled.end());
  return sampled;
}

}  // namespace culoss::bench
