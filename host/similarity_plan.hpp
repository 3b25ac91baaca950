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

// Elements of a buffer, or, where they are more, so many that no memory holds them and that the
// bytes of a call's buffers can still be added.
constexpr std::int64_t elements_of(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kMost = std::int64_t{1} << 56;
  return cols > 0 && rows > kMost / cols ? kMost : rows * cols;
}

struct panel_plan {
  similarity_plan kind = similarity_plan::recompute;
  std::int64_t rows = 0;       // of a panel: its gradient is made at once
  std::int64_t cols = 0;       // of a tile
  std::int64_t tile_rows = 0;  // of a tile: a panel's, but under kept, where all rows may be one
  bool whole = false;          // the similarities of all of a panel's tiles are kept
};

// Rows whose products fill 132 multiprocessors with cuBLAS' 128 x 256 tiles exactly, for gradients
// of this dimension (66 x 2, 44 x 3, 33 x 4), and columns that give the similarities two such waves
// and 34 MB, about what stays in the L2 cache.
constexpr panel_plan preferred_panel(std::int64_t dimension) {
  if (dimension <= 512) return {similarity_plan::recompute, 8448, 1024, 8448};
  if (dimension <= 768) return {similarity_plan::recompute, 5632, 1536, 5632};
  return {similarity_plan::recompute, 4224, 2048, 4224};
}
// Below this many rows a panel's extra pass over the float gradient of the keys costs more than
// computing the similarities twice.
inline constexpr std::int64_t kLeastOneVisitRows = 1056;
// What one_visit may ask for as its best: the similarities of a panel. And kept: 16 bits of each.
inline constexpr std::int64_t kMostPanelBytes = std::int64_t{2} << 30;
inline constexpr std::int64_t kMostKeptBytes = std::int64_t{16} << 30;
inline constexpr std::int64_t kLeastRows = 128, kLeastCols = 512;

// Which plans `automatic` chooses among. A plan is chosen without being asked for once the results
// of the suite and its times on a GPU are kept beside the benchmarks.
struct plan_rule {
  similarity_plan kind;
  bool automatic;
};
inline constexpr plan_rule kPlanRules[] = {{similarity_plan::one_visit, true},
                                           {similarity_plan::kept, false},
                                           {similarity_plan::recompute, true}};
constexpr bool is_automatic(similarity_plan kind) {
  for (const plan_rule& r : kPlanRules) {
    if (r.kind == kind) return r.automatic;
  }
  return false;
}

// The model of an H200, in picoseconds for one similarity. Every plan moves S once and the
// statistics' reads of it through the L2 cache. Beyond that
//   recompute  2 D operations for S again, which is written and read once more: 8 bytes of L2
//   kept       10 bytes of memory: E written and read, G written and read by two products
//   one_visit  S and G as of kept's, but S in float: written, read and read again, 12 bytes, of
//              memory or, where a panel stays there, of L2
// so that kept beats recompute from a dimension on, and one_visit wherever a panel of S outgrows
// the cache.
inline constexpr double kFlopOfPicosecond = 790, kMemoryOfPicosecond = 4.2,
                        kCacheOfPicosecond = 5.5;
inline constexpr std::int64_t kCacheBytes = std::int64_t{34} << 20;
constexpr double recompute_cost(std::int64_t dimension) {
  return 2 * static_cast<double>(dimension) / kFlopOfPicosecond + 8 / kCacheOfPicosecond;
}
inline constexpr double kKeptCost = 10 / kMemoryOfPicosecond;
constexpr bool kept_beats_recompute(std::int64_t dimension) {
  return kKeptCost < recompute_cost(dimension);
}

// In how many splits fold_tile takes a tile's columns, so that few rows use the whole device too.
constexpr std::int64_t column_splits(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kLeast = 4 * kFoldBlockColumns;
  const std::int64_t blocks = round_up(rows, kFoldBlockRows) / kFoldBlockRows;
  const std::int64_t wanted = (kFoldBlocks + blocks - 1) / blocks;
  return std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, cols / kLeast));
}

// The plans for a shape, from the best to the one that needs least; next() goes down by one. Either
// all that `automatic` chooses among, or only those of one kind.
class plan_ladder {
 public:
  // columns: of all keys and negatives; symmetric: the columns are normalized too, so that no row
  // is finished before the last; narrow: embeddings of 16 bits; without statistics a tile is
  // finished before the next; self: one half of a symmetric matrix is computed, in tiles that stay
  // narrow under every plan, so that they follow the diagonal.
  plan_ladder(std::int64_t rows, std::int64_t columns, std::int64_t dimension, bool gradients,
              bool symmetric, bool narrow = false,
              similarity_plan wanted = similarity_plan::automatic, bool statistics = true,
              bool self = false)
      : all_rows_(round_up(std::max<std::int64_t>(rows, 1), kFoldBlockRows)),
        all_columns_(round_up(std::max<std::int64_t>(columns, 1), 8)),
        symmetric_(symmetric),
        statistics_(statistics),
        self_(self),
        preferred_(preferred_panel(dimension)) {
    using enum similarity_plan;
    if (!gradients) {
      kinds_[count_++] = forward_only;
    } else if (!statistics) {
      kinds_[count_++] = one_visit;
    } else if (wanted != automatic) {
      kinds_[count_++] = wanted;
    } else {
      const bool kept_is_better =
          narrow && !self && is_automatic(kept) && kept_beats_recompute(dimension);
      const bool stays = panel_rows() <= kCacheBytes / 4 / all_columns_;  // in the cache
      if (!kept_is_better || stays) kinds_[count_++] = one_visit;
      if (kept_is_better) kinds_[count_++] = kept;
      kinds_[count_++] = recompute;
    }
    begin(0);
  }

  const panel_plan& plan() const { return plan_; }
  bool last() const { return kind_ + 1 == count_ && at_end(); }
  void next() {
    if (at_end()) {
      begin(kind_ + 1);
    } else {
      step();
    }
  }

 private:
  std::int64_t least_rows() const { return std::min(all_rows_, kLeastRows); }
  std::int64_t least_cols() const { return std::min(all_columns_, kLeastCols); }
  std::int64_t panel_rows() const {
    return symmetric_ ? all_rows_ : std::min(all_rows_, preferred_.rows);
  }
  bool only() const { return count_ == 1; }  // down to the least memory, whatever it costs

  void begin(int kind) {
    using enum similarity_plan;
    kind_ = kind;
    plan_.kind = kinds_[kind];
    plan_.rows = plan_.tile_rows = std::min(all_rows_, preferred_.rows);
    plan_.cols = std::min(all_columns_, preferred_.cols);
    plan_.whole = plan_.kind == one_visit && statistics_;
    if (!plan_.whole && plan_.kind != kept) return;
    plan_.rows = panel_rows();
    if (plan_.whole) {
      plan_.tile_rows = plan_.rows;
      if (!self_) plan_.cols = all_columns_;
    }
    // What asks for more memory than it may is left out.
    const bool is_kept = plan_.kind == kept;
    const std::int64_t most = is_kept ? kMostKeptBytes / 2 : kMostPanelBytes / 4;
    while (plan_.rows > most / all_columns_ && !at_end()) step();
    if (plan_.rows > most / all_columns_ && !only()) begin(kind + 1);
  }

  // Rows of a panel after the next step; as many as now where they stay.
  std::int64_t fewer_rows() const {
    if (symmetric_) return plan_.rows;
    const std::int64_t half = round_up(plan_.rows / 2, kFoldBlockRows);
    if (only()) return std::max(least_rows(), half);
    return half < kLeastOneVisitRows ? plan_.rows : half;
  }
  bool tile_is_least() const {
    return plan_.tile_rows <= least_rows() && plan_.cols <= least_cols();
  }
  bool at_end() const {
    if (plan_.whole) return fewer_rows() == plan_.rows;
    if (plan_.kind == similarity_plan::kept) {
      return fewer_rows() == plan_.rows && (!only() || tile_is_least());
    }
    return tile_is_least();
  }

  void step() {
    const bool is_kept = plan_.kind == similarity_plan::kept;
    if (is_kept || plan_.whole) {
      const std::int64_t rows = fewer_rows();
      if (rows < plan_.rows) {
        plan_.rows = plan_.tile_rows = rows;
        return;
      }
    }
    // Each 256 columns of a row have a shift of their own under kept: tiles begin there.
    const std::int64_t to = is_kept ? kFoldBlockColumns : 8;
    const std::int64_t cols = std::max(least_cols(), round_up(plan_.cols / 2, to));
    const bool wide = plan_.cols > least_cols() && plan_.cols * 4 >= plan_.tile_rows;
    // A panel of one direction is as high as its tiles.
    const bool fixed = is_kept && !symmetric_;
    if (wide || fixed || plan_.tile_rows <= least_rows()) {
      plan_.cols = cols;
      return;
    }
    plan_.tile_rows = std::max(least_rows(), round_up(plan_.tile_rows / 2, kFoldBlockRows));
    if (!is_kept) plan_.rows = plan_.tile_rows;
  }

  std::int64_t all_rows_, all_columns_;
  bool symmetric_, statistics_, self_;
  panel_plan preferred_;
  similarity_plan kinds_[3] = {};
  int count_ = 0, kind_ = 0;
  panel_plan plan_;
};

}  // namespace culoss::detail
