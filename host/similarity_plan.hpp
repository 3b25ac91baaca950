// How a call walks over its similarity matrix: panels of rows, tiles of columns, chosen by the
// shape and by the bytes that it may use. Host arithmetic alone; the same code sizes and carves.
#pragma once

#include <culoss/info_nce.hpp>

#include <algorithm>
#include <cstdint>

namespace culoss::detail {

inline constexpr std::int64_t kFoldBlockRows = 32;      // rows of a block of fold_tile
inline constexpr std::int64_t kFoldBlockColumns = 256;  // columns it takes at a time
inline constexpr std::int64_t kFoldBlocks = 264;        // wanted of a launch: two for each of 132

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

struct panel_plan {
  similarity_plan kind = similarity_plan::recompute;
  std::int64_t rows = 0;  // of a panel
  std::int64_t cols = 0;  // of a tile
};

// Rows whose products fill 132 multiprocessors with cuBLAS' 128 x 256 tiles exactly, for gradients
// of this dimension (66 x 2, 44 x 3, 33 x 4), and columns that give the similarities two such waves
// and 34 MB, about what stays in the L2 cache.
constexpr panel_plan preferred_panel(std::int64_t dimension) {
  if (dimension <= 512) return {similarity_plan::recompute, 8448, 1024};
  if (dimension <= 768) return {similarity_plan::recompute, 5632, 1536};
  return {similarity_plan::recompute, 4224, 2048};
}
// Below this many rows a panel's extra pass over the float gradient of the keys costs more than
// computing the similarities twice.
inline constexpr std::int64_t kLeastOneVisitRows = 1056;
// What one_visit may ask for as its best: the similarities of a panel.
inline constexpr std::int64_t kMostPanelBytes = std::int64_t{2} << 30;
inline constexpr std::int64_t kLeastRows = 128, kLeastCols = 512;

// In how many splits fold_tile takes a tile's columns, so that few rows use the whole device too.
constexpr std::int64_t column_splits(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kLeast = 4 * kFoldBlockColumns;
  const std::int64_t blocks = round_up(rows, kFoldBlockRows) / kFoldBlockRows;
  const std::int64_t wanted = (kFoldBlocks + blocks - 1) / blocks;
  return std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, cols / kLeast));
}

// The plans for a shape, from the best to the one that needs least; next() goes down by one.
class plan_ladder {
 public:
  // columns: of all keys and negatives; symmetric: the columns are normalized too, so that no row
  // is finished before the last.
  plan_ladder(std::int64_t rows, std::int64_t columns, std::int64_t dimension, bool gradients,
              bool symmetric)
      : all_rows_(round_up(std::max<std::int64_t>(rows, 1), kFoldBlockRows)),
        all_columns_(round_up(std::max<std::int64_t>(columns, 1), 8)),
        symmetric_(symmetric) {
    preferred_ = preferred_panel(dimension);
    plan_.kind = gradients ? similarity_plan::one_visit : similarity_plan::forward_only;
    plan_.rows = std::min(all_rows_, symmetric ? all_rows_ : preferred_.rows);
    plan_.cols = all_columns_;
    if (gradients) {
      while (!fits_one_visit() && plan_.kind == similarity_plan::one_visit) next();
    } else {
      tiles();
    }
  }

  const panel_plan& plan() const { return plan_; }
  bool last() const {
    return plan_.kind != similarity_plan::one_visit && plan_.rows <= least_rows() &&
           plan_.cols <= least_cols();
  }
  void next() {
    if (plan_.kind == similarity_plan::one_visit) {
      const std::int64_t half = round_up(plan_.rows / 2, kFoldBlockRows);
      if (!symmetric_ && half >= kLeastOneVisitRows && half < plan_.rows) {
        plan_.rows = half;
        return;
      }
      plan_.kind = similarity_plan::recompute;
      tiles();
      return;
    }
    if (plan_.cols > least_cols() && plan_.cols * 4 >= plan_.rows) {
      plan_.cols = std::max(least_cols(), round_up(plan_.cols / 2, 8));
    } else if (plan_.rows > least_rows()) {
      plan_.rows = std::max(least_rows(), round_up(plan_.rows / 2, kFoldBlockRows));
    } else {
      plan_.cols = std::max(least_cols(), round_up(plan_.cols / 2, 8));
    }
  }

 private:
  std::int64_t least_rows() const { return std::min(all_rows_, kLeastRows); }
  std::int64_t least_cols() const { return std::min(all_columns_, kLeastCols); }
  bool fits_one_visit() const { return plan_.rows <= kMostPanelBytes / 4 / all_columns_; }
  void tiles() {
    plan_.rows = std::min(all_rows_, preferred_.rows);
    plan_.cols = std::min(all_columns_, preferred_.cols);
  }

  std::int64_t all_rows_, all_columns_;
  bool symmetric_;
  panel_plan preferred_;
  panel_plan plan_;
};

}  // namespace culoss::detail
