// batch_hard and semi_hard: the sweep over the Gram matrix of the embeddings, a tile of it at a time,
// that finds each anchor's triplet; then the gradient.
#pragma once

#include "host/mining_call.hpp"
#include "kernels/mined_gradient.cuh"
#include "kernels/mining_tiles.cuh"

namespace culoss::detail {

struct mining_memory {
  mining_rows_memory of_rows;
  kernels::mined_anchor* anchors;
  unsigned char* counts;
  unsigned *begins, *cursors, *entries;
  // Of a panel's rows:
  kernels::least_columns *positives, *negatives, *positive_partials, *negative_partials;
  float* above;
  float* s;  // products of a tile
};

struct mining_extent {
  using memory = mining_memory;
  std::int64_t rows = 0, dimension = 0;

  plan_ladder ladder() const { return {rows, round_up(rows, 8), dimension, false, false}; }
};

inline std::size_t carve(void* base, const mining_extent& e, const panel_plan& plan,
                         mining_memory& m) noexcept {
  carver c(base);
  carve(c, e.rows, m.of_rows);
  m.anchors = c.take<kernels::mined_anchor>(e.rows);
  m.counts = c.take<unsigned char>(e.rows);
  m.begins = c.take<unsigned>(e.rows + 1);
  m.cursors = c.take<unsigned>(e.rows);
  m.entries = c.take<unsigned>(2 * e.rows);
  const std::int64_t blocks = round_up(plan.rows, kFoldBlockRows) / kFoldBlockRows;
  const std::int64_t partials = (kFoldBlocks + blocks) * kFoldBlockRows;
  m.positives = c.take<kernels::least_columns>(plan.rows);
  m.negatives = c.take<kernels::least_columns>(plan.rows);
  m.positive_partials = c.take<kernels::least_columns>(partials);
  m.negative_partials = c.take<kernels::least_columns>(partials);
  m.above = c.take<float>(plan.rows);
  m.s = c.take<float>(plan.rows * plan.cols);
  return c.used();
}

template <class T>
class mining_sweep : mining_call<T> {
  using base = mining_call<T>;

 public:
  mining_sweep(const device_context& context, const mining_problem<T>& p) noexcept
      : base(context, p) {}

  status run(const cuda& where) noexcept {
    status s = blas_.open(context_, *where.blas, p_.allow_tf32);
    if (!s.ok()) return s;
    const mining_extent e{p_.x.rows, p_.x.cols};
    std::size_t needed = 0;
    const bool given = where.workspace.data != nullptr;
    plan_ = choose_plan(e, given ? where.workspace.bytes : SIZE_MAX, needed);
    scratch memory;
    s = memory.get(context_, where.workspace, needed);
    if (!s.ok()) return s;
    carve(memory.data(), e, plan_, m_);
    of_rows_ = m_.of_rows;

    s = begin();
    for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) s = mine(row);
    if (s.ok()) s = base::finish_sums(kernels::count_anchors{m_.counts});
    if (s.ok() && !p_.gradient.empty()) s = gradient();
    if (!s.ok()) return s;
    return memory.release(context_);
  }

 private:
  static constexpr int kThreads = kernels::kFoldThreads;

  using base::begin, base::blocks_of, base::by_, base::context_, base::cosine, base::dimension,
      base::mined_rows, base::of_rows_, base::p_, base::rows;

  std::int64_t panel(std::int64_t row) const noexcept { return std::min(plan_.rows, rows() - row); }

  // As the banner of mining_tiles.cuh derives it.
  kernels::product_error error() const noexcept {
    const auto d = static_cast<float>(p_.x.cols);
    const bool tf32 = std::is_same_v<T, float> && p_.allow_tf32;
    return {(2.0f * d + 16.0f) * 0x1p-24f + (tf32 ? 1.01f * 0x1p-9f : 0.0f),
            8.0f * (d + 1.0f) * 0x1p-126f};
  }

  // The triplets of a panel's anchors. Semi-hard negatives are looked for once the positives are
  // known; the products of a panel that is one tile are still there then.
  status mine(std::int64_t row) noexcept {
    const bool semi_hard = p_.rule.semi_hard;
    status s = fold(row, true, !semi_hard, true);
    if (s.ok()) {
      s = launch(context_, kernels::choose_positive<T>,
                 blocks_of(panel(row), kernels::kEmbeddingRows), kernels::kEmbeddingThreads, 0,
                 mined_rows(), static_cast<long long>(row), static_cast<long long>(panel(row)),
                 static_cast<const kernels::least_columns*>(m_.positives), m_.anchors, m_.above);
    }
    if (s.ok() && semi_hard) s = fold(row, false, true, plan_.cols < rows());
    if (!s.ok()) return s;
    const kernels::anchor_outputs out{m_.anchors, base::row_loss(), m_.counts,
                                      reinterpret_cast<long long*>(p_.positives),
                                      reinterpret_cast<long long*>(p_.negatives)};
    return launch(context_, kernels::finish_anchor<T>,
                  blocks_of(panel(row), kernels::kEmbeddingRows), kernels::kEmbeddingThreads, 0,
                  mined_rows(), static_cast<long long>(row), static_cast<long long>(panel(row)),
                  static_cast<const kernels::least_columns*>(m_.positives),
                  static_cast<const kernels::least_columns*>(m_.negatives), p_.rule, by_, out);
  }

  // A panel's tiles to the states of its rows.
  status fold(std::int64_t row, bool positives, bool negatives, bool multiply) noexcept {
    status s;
    for (std::int64_t col = 0; col < rows() && s.ok(); col += plan_.cols) {
      const std::int64_t cols = std::min(plan_.cols, rows() - col);
      if (multiply) {
        s = blas_.a_bt(static_cast<int>(panel(row)), static_cast<int>(cols), dimension(),
                       operand_of(row), operand_of(col), m_.s, plan_.cols);
      }
      if (s.ok()) s = fold_tile(tile_of(row, col, cols, positives, negatives), col == 0);
    }
    return s;
  }
  operand<T> operand_of(std::int64_t first) const noexcept {
    return {p_.x.data + first * p_.x.ld, p_.x.ld};
  }
  kernels::mining_tile tile_of(std::int64_t row, std::int64_t col, std::int64_t cols,
                               bool positives, bool negatives) const noexcept {
    kernels::mining_tile t{};
    t.s = m_.s;
    t.ld = plan_.cols;
    t.rows = static_cast<int>(panel(row));
    t.cols = static_cast<int>(cols);
    t.row_sizes = of_rows_.sizes + row;
    t.col_sizes = of_rows_.sizes + col;
    t.row_labels = of_rows_.labels + row;
    t.col_labels = of_rows_.labels + col;
    t.ignore_index = p_.labels.ignore_index;
    t.cosine = cosine();
    t.error = error();
    t.positives = positives;
    t.negatives = negatives;
    t.above = p_.rule.semi_hard && negatives ? m_.above : nullptr;
    t.row_index = static_cast<int>(row);
    t.col_index = static_cast<int>(col);
    return t;
  }
  status fold_tile(const kernels::mining_tile& t, bool first) noexcept {
    const std::int64_t blocks = round_up(t.rows, kFoldBlockRows) / kFoldBlockRows;
    const std::int64_t wanted = column_splits(t.rows, t.cols);
    const std::int64_t of_a_split = round_up((t.cols + wanted - 1) / wanted, kFoldBlockColumns);
    const std::int64_t splits = (t.cols + of_a_split - 1) / of_a_split;
    const kernels::mining_outputs out{m_.positive_partials, m_.negative_partials};
    status s = launch(context_, kernels::mine_tile<kThreads>,
                      dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(splits)), kThreads,
                      0, t, out, static_cast<int>(of_a_split));
    const auto merge = [&](kernels::least_columns* states, const kernels::least_columns* of_tile) {
      return launch(context_, kernels::merge_states<kernels::least_columns>,
                    blocks_of(t.rows, kernels::kMergeItems), kThreads, 0, states, of_tile,
                    static_cast<int>(splits), t.rows, first);
    };
    if (s.ok() && t.positives) s = merge(m_.positives, m_.positive_partials);
    if (s.ok() && t.negatives) s = merge(m_.negatives, m_.negative_partials);
    return s;
  }

  status gradient() noexcept {
    const kernels::chosen_pairs pairs{m_.anchors, rows(), m_.begins, m_.cursors, m_.entries};
    const long long blocks = blocks_of(rows(), kThreads);
    status s = clear(context_, m_.begins, 0, static_cast<std::size_t>(rows()) * sizeof(unsigned));
    if (s.ok()) {
      s = launch(context_, kernels::count_chosen<kThreads>, blocks, kThreads, 0, pairs, by_);
    }
    if (s.ok()) {
      s = launch(context_, kernels::place_chosen<kernels::kTotalThreads>, 1, kernels::kTotalThreads,
                 0, pairs);
    }
    if (s.ok()) s = launch(context_, kernels::list_chosen<kThreads>, blocks, kThreads, 0, pairs);
    if (!s.ok()) return s;
    const auto finish = [&](auto kernel, auto* data) noexcept {
      return launch(context_, kernel, blocks_of(rows(), kernels::kEmbeddingRows),
                    kernels::kEmbeddingThreads, 0, mined_rows(), pairs,
                    static_cast<const kernels::totals*>(of_rows_.counted), by_.by, data,
                    static_cast<long long>(p_.gradient.ld), p_.accumulate);
    };
    if (p_.gradient.wide) {
      return finish(kernels::finish_mined_gradient<T, float>,
                    static_cast<float*>(p_.gradient.data));
    }
    return finish(kernels::finish_mined_gradient<T, T>, static_cast<T*>(p_.gradient.data));
  }

  gemm blas_;
  panel_plan plan_;
  mining_memory m_ = {};
};

}  // namespace culoss::detail
