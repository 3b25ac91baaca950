// The sweep over a similarity matrix: row panels by column tiles, products by cuBLAS, one kernel
// between them for the statistics and one for the gradient. The losses that run on it differ in
// what they ask for.
#pragma once

#include "host/gemm.hpp"
#include "host/rows.hpp"
#include "host/similarity_plan.hpp"
#include "host/workspace.hpp"
#include "kernels/embedding_rows.cuh"
#include "kernels/policy/siglip.cuh"
#include "kernels/row_negatives.cuh"
#include "kernels/similarity_kept.cuh"

namespace culoss::detail {

// One matrix of keys: the in-batch ones, or the shared negatives.
template <class T>
struct key_segment {
  matrix<const T> keys = {};
  gradient_matrix<T> gradient = {};
  const std::int64_t* ids = nullptr;
  bool positives = false;         // row i's positive is key offset + i
  bool swept = false;             // its similarities enter the rows' sums
  int first_index = 0;            // of its first column among all
  std::int64_t first_masked = 0;  // column of the mask that its first one has

  std::int64_t width() const { return swept ? keys.rows : 0; }  // columns of similarities
};

template <class T>
struct similarity_problem {
  matrix<const T> queries;
  gradient_matrix<T> grad_queries;
  key_segment<T> segments[2];
  // Negatives of each row's own: row i's k-th is row i * of_a_row + k.
  matrix<const T> row_negatives = {};
  gradient_matrix<T> grad_row_negatives = {};
  std::int64_t of_a_row = 0;
  int first_row_index = 0;            // of a row's first one among its columns
  std::int64_t first_row_masked = 0;  // and in the mask
  std::int64_t offset = 0;            // of the positives
  bool symmetric = false;
  bool pairs = false;    // each pair has a loss of its own: no statistics
  bool self = false;     // the queries are the keys: see self_sweep.hpp
  bool grouped = false;  // likewise, with positives by label
  bool normalize = false;
  bool allow_tf32 = false;
  bool accumulate = false;
  similarity_plan plan = similarity_plan::automatic;
  const std::int64_t* query_ids = nullptr;
  matrix<const std::uint8_t> mask = {};
  kernels::call_arguments call = {};
  float* row_loss = nullptr;  // the caller's, under none
  float* loss = nullptr;      // else
  float* grad_scale = nullptr;
  float* grad_bias = nullptr;
  std::int64_t* correct = nullptr;
  std::int64_t* correct_columns = nullptr;
  std::int64_t* row_count = nullptr;

  bool gradients() const {
    return !grad_queries.empty() || !segments[0].gradient.empty() || !segments[1].gradient.empty();
  }
};

struct similarity_memory;

// What of a problem decides how much memory it takes.
struct similarity_extent {
  using memory = similarity_memory;
  std::int64_t rows = 0, dimension = 0;
  std::int64_t of_a_row = 0;    // negatives of each row's own
  std::int64_t keys[2] = {};    // of the segments
  std::int64_t widths[2] = {};  // columns of similarities
  bool key_gradients[2] = {};
  bool gradients = false, symmetric = false, pairs = false;
  bool self = false;     // the queries are the keys: one half of a symmetric matrix is computed
  bool grouped = false;  // self, with positives by label
  int element_bytes = 0;
  similarity_plan wanted = similarity_plan::automatic;

  std::int64_t columns() const { return round_up(widths[0], 8) + round_up(widths[1], 8); }
  std::int64_t chunks() const { return chunks_of(widths[0]) + chunks_of(widths[1]); }
  // Where a column of a segment stands among all, and the shift of its part of a row.
  std::int64_t column_of(int segment, std::int64_t col) const {
    return (segment == 0 ? 0 : round_up(widths[0], 8)) + col;
  }
  std::int64_t chunk_of(int segment, std::int64_t col) const {
    return (segment == 0 ? 0 : chunks_of(widths[0])) + col / kFoldBlockColumns;
  }
  static std::int64_t chunks_of(std::int64_t width) {
    return (width + kFoldBlockColumns - 1) / kFoldBlockColumns;
  }
  plan_ladder ladder() const {
    return {rows,   columns(), dimension, gradients, symmetric, element_bytes == 2,
            wanted, !pairs,    self};
  }
};

struct similarity_memory {
  kernels::call_numbers* numbers;
  kernels::totals* partials;
  float *row_norms, *key_norms[2];
  kernels::side_state *row_states, *col_states, *row_partials, *col_partials;
  kernels::side_coefficients *row_coefficients, *col_coefficients;
  kernels::pair_sums *pair_sums, *pair_partials;
  float *targets, *row_loss, *row_scale, *row_bias;
  unsigned char *row_correct, *col_correct;
  float2* row_scores;  // of a panel's own negatives, or null
  float* s;            // similarities: of a tile, or of a panel that is kept whole
  void* g;        // their gradient; under kept, of a whole panel, and their exponentials before
  float* shifts;  // of those: [columns / 256][rows of a panel]
  float* du;      // float gradient of a panel's queries
  float* dv[2];   // and of all keys
  // grouped
  long long* labels;
  kernels::positive_state *row_positives, *col_positives;
  kernels::positive_coefficients* positive_coefficients;
  kernels::totals* counted;  // rows that have a positive
};

static_assert(kFoldBlockRows == kernels::kFoldRows && kFoldBlockColumns == kernels::kFoldColumns);

inline constexpr std::int64_t kColumnSlice = 4096;  // columns that have partial states at a time

inline std::size_t carve(void* base, const similarity_extent& e, const panel_plan& plan,
                         similarity_memory& m) noexcept {
  carver c(base);
  const std::int64_t columns = e.columns();
  const std::int64_t symmetric_rows = e.symmetric ? e.rows : 0;
  const std::int64_t softmax_rows = e.pairs ? 0 : e.rows, pair_rows = e.rows - softmax_rows;
  m.numbers = c.take<kernels::call_numbers>(1);
  m.partials = c.take<kernels::totals>(kernels::kRowSums * partials_of(e.rows));
  m.row_norms = c.take<float>(e.rows);
  m.row_states = c.take<kernels::side_state>(softmax_rows);
  m.row_coefficients = c.take<kernels::side_coefficients>(softmax_rows);
  m.pair_sums = c.take<kernels::pair_sums>(pair_rows);
  m.targets = c.take<float>(e.rows);
  m.row_loss = c.take<float>(e.rows);
  m.row_scale = c.take<float>(e.rows);
  m.row_bias = c.take<float>(pair_rows);
  m.row_correct = c.take<unsigned char>(e.rows);
  m.col_states = c.take<kernels::side_state>(symmetric_rows);
  // A vector that is a row and a column has one result of both.
  m.col_coefficients = c.take<kernels::side_coefficients>(e.self ? 0 : symmetric_rows);
  m.col_correct = c.take<unsigned char>(e.self ? 0 : symmetric_rows);
  const std::int64_t blocks = round_up(plan.tile_rows, kFoldBlockRows) / kFoldBlockRows;
  const std::int64_t partials = (kFoldBlocks + blocks) * kFoldBlockRows;
  m.row_partials = c.take<kernels::side_state>(e.pairs ? 0 : partials);
  m.pair_partials = c.take<kernels::pair_sums>(e.pairs ? partials : 0);
  m.col_partials = c.take<kernels::side_state>(
      e.symmetric ? blocks * std::min(round_up(plan.cols, 8), kColumnSlice) : 0);
  const bool keeps_scores = e.of_a_row > 0 && !row_scores_on_chip(e.of_a_row);
  float2* const row_scores = c.take<float2>(keeps_scores ? elements_of(plan.rows, e.of_a_row) : 0);
  m.row_scores = keeps_scores ? row_scores : nullptr;
  const bool kept = plan.kind == similarity_plan::kept;
  m.s = c.take<float>(elements_of(plan.tile_rows, plan.whole ? columns : plan.cols));
  const std::int64_t of_gradient = kept ? columns : plan.cols;
  m.g = c.take<char>(e.gradients ? elements_of(plan.rows, of_gradient * e.element_bytes) : 0);
  m.shifts = c.take<float>(kept ? elements_of(plan.rows, e.chunks()) : 0);
  m.du = c.take<float>(e.gradients && !e.self ? plan.rows * e.dimension : 0);
  for (int i = 0; i < 2; ++i) {
    m.key_norms[i] = e.self ? m.row_norms : c.take<float>(e.keys[i]);
    m.dv[i] = c.take<float>(e.key_gradients[i] ? e.keys[i] * e.dimension : 0);
  }
  const std::int64_t grouped_rows = e.grouped ? e.rows : 0;
  m.labels = c.take<long long>(grouped_rows);
  m.row_positives = c.take<kernels::positive_state>(grouped_rows);
  m.col_positives = c.take<kernels::positive_state>(grouped_rows);
  m.positive_coefficients = c.take<kernels::positive_coefficients>(grouped_rows);
  m.counted = c.take<kernels::totals>(e.grouped ? 1 : 0);
  return c.used();
}

// How a tile is dealt out: blocks of 32 rows, and of their columns in splits.
struct tile_grid {
  std::int64_t blocks, splits;
  int columns_of_split;

  tile_grid(std::int64_t rows, std::int64_t cols) noexcept
      : blocks(round_up(rows, kFoldBlockRows) / kFoldBlockRows) {
    const std::int64_t wanted = column_splits(rows, cols);
    const std::int64_t width = round_up((cols + wanted - 1) / wanted, kFoldBlockColumns);
    splits = (cols + width - 1) / width;
    columns_of_split = static_cast<int>(width);
  }
  dim3 dim() const noexcept {
    return {static_cast<unsigned>(blocks), static_cast<unsigned>(splits)};
  }
};

// The best plan that the bytes hold; the one that needs least where they hold none.
template <class Extent>
panel_plan choose_plan(const Extent& e, std::size_t bytes, std::size_t& needed) noexcept {
  auto ladder = e.ladder();
  typename Extent::memory unused;
  panel_plan plan = ladder.plan();
  needed = carve(nullptr, e, plan, unused);
  while (needed > bytes && !ladder.last()) {
    ladder.next();
    // Of the smallest shapes the last plan is not the one that needs least.
    const std::size_t of_next = carve(nullptr, e, ladder.plan(), unused);
    if (of_next >= needed) continue;
    needed = of_next;
    plan = ladder.plan();
  }
  return plan;
}

template <class Extent>
similarity_workspace workspace_of(const Extent& e) noexcept {
  similarity_workspace w;
  typename Extent::memory unused;
  const auto ladder = e.ladder();
  w.best_plan = ladder.plan().kind;
  w.best = carve(nullptr, e, ladder.plan(), unused);
  w.least_plan = choose_plan(e, 0, w.least).kind;
  return w;
}

template <class T>
class similarity_sweep {
 public:
  similarity_sweep(const device_context& context, const similarity_problem<T>& p) noexcept
      : context_(context), p_(p) {}

  similarity_extent extent() const noexcept {
    similarity_extent e;
    e.rows = p_.queries.rows;
    e.dimension = p_.queries.cols;
    e.of_a_row = p_.of_a_row;
    for (int i = 0; i < 2; ++i) {
      e.keys[i] = p_.segments[i].keys.rows;
      e.widths[i] = p_.segments[i].width();
      e.key_gradients[i] = !p_.segments[i].gradient.empty();
    }
    e.gradients = p_.gradients();
    e.symmetric = p_.symmetric;
    e.pairs = p_.pairs;
    e.self = p_.self;
    e.grouped = p_.grouped;
    e.element_bytes = sizeof(T);
    e.wanted = p_.plan;
    return e;
  }

  status run(const cuda& where) noexcept {
    scratch memory;
    status s = open(where, memory);
    if (!s.ok()) return s;
    s = begin();
    if (s.ok() && !p_.segments[0].swept) s = begin_pairs();
    // Rows are finished with their panel, unless the columns are normalized too.
    const bool recomputes = plan_.kind == similarity_plan::recompute;
    const bool at_once =
        plan_.kind == similarity_plan::one_visit || is_kept() || (recomputes && !p_.symmetric);
    for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) {
      // Tiles are as high as the panel, or the panel is all rows.
      of_a_panel_ = plan_.tile_rows;
      const std::int64_t end = std::min(row + plan_.rows, rows());
      for (std::int64_t r = row; r < end && s.ok(); r += plan_.tile_rows) s = statistics(r);
      of_a_panel_ = plan_.rows;
      if (s.ok() && !p_.symmetric) s = finish_rows(row, row + panel(row));
      if (s.ok() && p_.symmetric && row + plan_.rows >= rows()) s = finish_rows(0, rows());
      if (s.ok() && at_once) s = gradients(row);
    }
    if (recomputes && !at_once) {
      for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) s = gradients(row);
    }
    if (s.ok()) s = finish_keys();
    if (s.ok()) s = finish_scalars();
    if (!s.ok()) return s;
    return memory.release(context_);
  }

  // No rows: nothing flows back to the keys.
  status run_without_rows() noexcept {
    kernels::gradient_jobs<T> jobs{};
    for (int i = 0; i < 2; ++i) {
      const key_segment<T>& seg = p_.segments[i];
      jobs.of[i] = gradient_of(seg.keys, 0, seg.keys.rows, nullptr, nullptr, seg.gradient);
    }
    return finish_gradients(jobs);
  }

 protected:
  using embeddings = kernels::embeddings<T>;

  std::int64_t rows() const noexcept { return p_.queries.rows; }
  std::int64_t panel(std::int64_t row) const noexcept {
    return std::min(of_a_panel_, rows() - row);
  }
  bool is_kept() const noexcept { return plan_.kind == similarity_plan::kept; }
  int dimension() const noexcept { return static_cast<int>(p_.queries.cols); }
  const float* norms(const float* n) const noexcept { return p_.normalize ? n : nullptr; }
  static embeddings rows_of(const matrix<const T>& m, std::int64_t first) noexcept {
    return {m.data + first * m.ld, m.ld, static_cast<int>(m.cols)};
  }
  static operand<T> operand_of(const matrix<const T>& m, std::int64_t first) noexcept {
    return {m.data + first * m.ld, m.ld};
  }
  static long long blocks_of(std::int64_t items, int of_a_block) noexcept {
    return (items + of_a_block - 1) / of_a_block;
  }

  // The handle, the plan and the memory of a call.
  status open(const cuda& where, scratch& memory) noexcept {
    status s = blas_.open(context_, *where.blas, p_.allow_tf32);
    if (!s.ok()) return s;
    const similarity_extent e = extent();
    std::size_t needed = 0;
    // Without a workspace any plan can be had from the pool: the best.
    const bool given = where.workspace.data != nullptr;
    plan_ = choose_plan(e, given ? where.workspace.bytes : SIZE_MAX, needed);
    s = memory.get(context_, where.workspace, needed);
    if (s.ok()) carve(memory.data(), e, plan_, m_);
    of_a_panel_ = plan_.rows;
    return s;
  }

  // Norms, and the numbers that every kernel reads.
  status begin() noexcept {
    const status s = find_norms();
    if (!s.ok()) return s;
    call_ = p_.call;
    call_.row_norms = norms(m_.row_norms);
    call_.col_norms = norms(m_.key_norms[0]);
    call_.col_norms_2 = norms(m_.key_norms[1]);
    call_.rows = rows();
    call_.cols = p_.segments[0].keys.rows;
    call_.cols_2 = p_.segments[1].keys.rows;
    call_.range = std::is_same_v<T, __half> ? 16384.0f : 1.0f;
    return prepare_call();
  }
  status prepare_call() noexcept {
    return launch(context_, kernels::prepare_call<kernels::kTotalThreads>, 1,
                  kernels::kTotalThreads, 0, call_, m_.numbers);
  }

  status find_norms() noexcept {
    if (!p_.normalize) return {};
    kernels::norm_jobs<T> jobs{};
    long long all = 0;
    const auto add = [&](int i, const matrix<const T>& m, float* out) noexcept {
      jobs.x[i] = rows_of(m, 0);
      jobs.out[i] = out;
      all += jobs.rows[i] = m.rows;
    };
    add(0, p_.queries, m_.row_norms);
    // Where the keys are the queries, so are their norms.
    for (int i = 0; i < 2 && !p_.self; ++i) add(1 + i, p_.segments[i].keys, m_.key_norms[i]);
    return launch(context_, kernels::inverse_norms<T>, blocks_of(all, kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, jobs);
  }

  // Positives that are in no tile.
  status begin_pairs() noexcept {
    const matrix<const T>& keys = p_.segments[0].keys;
    status s =
        launch(context_, kernels::pair_similarity<T>, blocks_of(rows(), kernels::kEmbeddingRows),
               kernels::kEmbeddingThreads, 0, rows_of(p_.queries, 0), rows_of(keys, p_.offset),
               static_cast<long long>(rows()), call_.row_norms, key_norms(0, p_.offset),
               static_cast<const kernels::call_numbers*>(m_.numbers), m_.targets);
    if (s.ok() && !p_.segments[0].gradient.empty()) {
      s = clear(context_, m_.dv[0], 0,
                static_cast<std::size_t>(keys.rows * keys.cols) * sizeof(float));
    }
    return s;
  }
  const float* key_norms(int segment, std::int64_t first) const noexcept {
    return p_.normalize ? m_.key_norms[segment] + first : nullptr;
  }

  kernels::similarity_tile tile_of(std::int64_t row, int segment, std::int64_t col,
                                   std::int64_t cols, const float* s, long long ld) const noexcept {
    const key_segment<T>& seg = p_.segments[segment];
    kernels::similarity_tile t{};
    t.s = s;
    t.ld = ld;
    t.rows = static_cast<int>(panel(row));
    t.cols = static_cast<int>(cols);
    t.numbers = m_.numbers;
    t.row_norms = p_.normalize ? m_.row_norms + row : nullptr;
    t.col_norms = key_norms(segment, col);
    const bool masks = p_.query_ids != nullptr && seg.ids != nullptr;
    t.row_ids = masks ? reinterpret_cast<const long long*>(p_.query_ids) + row : nullptr;
    t.col_ids = masks ? reinterpret_cast<const long long*>(seg.ids) + col : nullptr;
    t.mask = p_.mask.data == nullptr ? nullptr
                                     : p_.mask.data + row * p_.mask.ld + seg.first_masked + col;
    t.mask_ld = p_.mask.ld;
    t.positive = row + p_.offset - col;
    t.has_positive = seg.positives;
    t.row_index = static_cast<int>(row);
    t.col_index = seg.first_index + static_cast<int>(col);
    return t;
  }

  // visit(segment, first column, columns, similarities, their pitch) for the tiles of a row panel;
  // or for tiles of other widths, which have no similarities.
  template <class Visit>
  status for_each_tile(const Visit& visit) noexcept {
    return for_each_tile(visit, plan_.cols);
  }
  template <class Visit>
  status for_each_tile(const Visit& visit, std::int64_t most) noexcept {
    const bool whole = plan_.whole;
    const std::int64_t ld = whole ? extent().columns() : plan_.cols;
    std::int64_t before = 0;
    for (int segment = 0; segment < 2; ++segment) {
      const std::int64_t width = p_.segments[segment].width();
      for (std::int64_t col = 0, cols = 0; col < width; col += cols) {
        cols = std::min(most, width - col);
        const status s = visit(segment, col, cols, whole ? m_.s + before + col : m_.s, ld);
        if (!s.ok()) return s;
      }
      before += round_up(width, 8);
    }
    return {};
  }

  status similarities(std::int64_t row, int segment, std::int64_t col, std::int64_t cols, float* s,
                      std::int64_t ld) noexcept {
    return blas_.a_bt(static_cast<int>(panel(row)), static_cast<int>(cols), dimension(),
                      operand_of(p_.queries, row), operand_of(p_.segments[segment].keys, col), s,
                      ld);
  }

  template <class State>
  status merge(State* states, const std::type_identity_t<State>* partials, std::int64_t count,
               std::int64_t items, bool first) noexcept {
    return launch(context_, kernels::merge_states<State>, blocks_of(items, kernels::kMergeItems),
                  kernels::kFoldThreads, 0, states, partials, static_cast<int>(count),
                  static_cast<int>(items), first);
  }
  template <class State>
  status merge_nothing(State* states, std::int64_t items) noexcept {
    return merge(states, nullptr, 0, items, true);
  }

  status statistics(std::int64_t row) noexcept {
    bool first = true;
    const status s = for_each_tile([&](int segment, std::int64_t col, std::int64_t cols, float* s,
                                       std::int64_t ld) noexcept {
      status done = similarities(row, segment, col, cols, s, ld);
      const std::int64_t slice = p_.symmetric ? std::min(cols, kColumnSlice) : cols;
      for (std::int64_t at = 0; at < cols && done.ok(); at += slice) {
        const std::int64_t n = std::min(slice, cols - at);
        done = fold(row, segment, tile_of(row, segment, col + at, n, s + at, ld), col + at, first);
        first = false;
      }
      return done;
    });
    // No column at all: the states still have to be written.
    if (s.ok() && first) return merge_nothing(m_.row_states + row, panel(row));
    return s;
  }

  // The kept exponentials of a panel, from this row and column on.
  kernels::kept_exponentials kept_at(std::int64_t row, int segment,
                                     std::int64_t col) const noexcept {
    const similarity_extent e = extent();
    const std::int64_t r = row % plan_.rows, ld = e.columns();
    return {static_cast<std::uint16_t*>(m_.g) + r * ld + e.column_of(segment, col),
            static_cast<long long>(ld), m_.shifts + e.chunk_of(segment, col) * plan_.rows + r,
            static_cast<long long>(plan_.rows)};
  }

  status fold(std::int64_t row, int segment, const kernels::similarity_tile& t, std::int64_t col,
              bool first) noexcept {
    const tile_grid grid(t.rows, t.cols);
    // Blocks that have all columns of their rows need no merge.
    const bool direct = grid.splits == 1;
    kernels::fold_outputs out{m_.row_partials,
                              p_.symmetric ? m_.col_partials : nullptr,
                              m_.targets + row,
                              direct ? m_.row_states + row : nullptr,
                              first,
                              {}};
    if (is_kept()) out.kept = kept_at(row, segment, col);
    const auto run = [&](auto kernel) noexcept {
      return launch(context_, kernel, grid.dim(), kernels::kFoldThreads, 0, t, out,
                    grid.columns_of_split);
    };
    status s;
    if constexpr (sizeof(T) == 2) {
      if (is_kept()) {
        s = p_.symmetric ? run(kernels::fold_tile<true, T>) : run(kernels::fold_tile<false, T>);
      }
    }
    if (!is_kept()) {
      s = p_.symmetric ? run(kernels::fold_tile<true>) : run(kernels::fold_tile<false>);
    }
    if (!s.ok() || (direct && !p_.symmetric)) return s;
    const auto count = [](std::int64_t n) { return static_cast<int>(n); };
    const kernels::merge_job<kernels::side_state> of_rows{
        m_.row_states + row, m_.row_partials, count(grid.splits), direct ? 0 : t.rows, first};
    if (!p_.symmetric) return merge(of_rows.states, of_rows.partials, grid.splits, t.rows, first);
    const kernels::merge_job<kernels::side_state> of_cols{m_.col_states + col, m_.col_partials,
                                                          count(grid.blocks), t.cols, row == 0};
    return launch(context_, kernels::merge_both_states<kernels::side_state>,
                  blocks_of(of_rows.items, kernels::kMergeItems) +
                      blocks_of(of_cols.items, kernels::kMergeItems),
                  kernels::kFoldThreads, 0, of_rows, of_cols);
  }

  kernels::finish_arguments finishing(std::int64_t begin, std::int64_t end) const noexcept {
    kernels::finish_arguments a{};
    a.call = call_;
    a.numbers = m_.numbers;
    a.targets = m_.targets;
    const auto first = static_cast<int>(p_.segments[0].swept ? p_.offset : 0);
    a.rows = {m_.row_states, m_.row_coefficients, p_.correct != nullptr ? m_.row_correct : nullptr,
              first};
    if (p_.symmetric) {
      a.cols = {m_.col_states, m_.col_coefficients,
                p_.correct_columns != nullptr ? m_.col_correct : nullptr, 0};
    }
    a.loss = p_.row_loss != nullptr ? p_.row_loss : p_.loss != nullptr ? m_.row_loss : nullptr;
    a.scale = p_.grad_scale != nullptr ? m_.row_scale : nullptr;
    a.begin = begin;
    a.end = end;
    return a;
  }
  status finish_rows(std::int64_t begin, std::int64_t end) noexcept {
    if (p_.of_a_row > 0) return finish_row_negatives(finishing(begin, end));
    return launch(context_, kernels::finish_rows<kernels::kFoldThreads>,
                  blocks_of(end - begin, kernels::kFoldThreads), kernels::kFoldThreads, 0,
                  finishing(begin, end));
  }

  // The same, with the rows' own negatives and their gradients; du begins with what they give.
  status finish_row_negatives(const kernels::finish_arguments& finish) noexcept {
    const gradient_matrix<T>& g = p_.grad_row_negatives;
    const matrix<const T>& n = p_.row_negatives;
    constexpr int kBytes = static_cast<int>(sizeof(T));
    const bool wants_queries = !p_.grad_queries.empty();
    const row_negatives_plan plan = plan_row_negatives(context_.capability, p_.of_a_row, n.cols,
                                                       kBytes, wants_queries || !g.empty());
    const auto aligned = [](const void* data, std::int64_t ld, std::int64_t bytes) {
      return reinterpret_cast<std::uintptr_t>(data) % kPackBytes == 0 &&
             ld * bytes % kPackBytes == 0;
    };
    kernels::row_negatives_arguments<T> a{};
    a.finish = finish;
    a.team = {plan.team,           plan.group, plan.across, plan.packs,
              plan.shared_of_team, plan.sums,  plan.scores};
    a.queries = stream_of(p_.queries);
    a.negatives = stream_of(n);
    a.count = static_cast<int>(p_.of_a_row);
    a.dimension = dimension();
    a.mask = p_.mask.data == nullptr ? nullptr : p_.mask.data + p_.first_row_masked;
    a.mask_ld = p_.mask.ld;
    a.first_index = p_.first_row_index;
    a.scores = m_.row_scores;
    a.du = wants_queries ? m_.du : nullptr;
    a.gradient = g.data;
    a.gradient_ld = g.ld;
    a.wide = g.wide;
    a.accumulate = p_.accumulate;
    a.queries_aligned = aligned(p_.queries.data, p_.queries.ld, kBytes);
    a.negatives_aligned = aligned(n.data, n.ld, kBytes);
    a.gradient_aligned = aligned(g.data, g.ld, g.wide ? 4 : kBytes);
    const int teams = plan.threads / plan.team;
    const dynamic_shared shared{plan.shared_bytes, shared_limit(context_.capability)};
    return launch(context_,
                  plan.on_chip ? kernels::row_negatives<T, true> : kernels::row_negatives<T, false>,
                  blocks_of(finish.end - finish.begin, teams), plan.threads, shared, a);
  }

  // A panel's similarities to gradients: du whole, its part of dv.
  status gradients(std::int64_t row) noexcept {
    const std::int64_t n = panel(row);
    const bool wants_queries = !p_.grad_queries.empty();
    bool started = p_.of_a_row > 0 && wants_queries;
    status s;
    if (!p_.segments[0].swept) {
      const bool wants_keys = !p_.segments[0].gradient.empty();
      s = launch(context_, kernels::pair_gradient<T>, blocks_of(n, kernels::kEmbeddingRows),
                 kernels::kEmbeddingThreads, 0, rows_of(p_.queries, row),
                 rows_of(p_.segments[0].keys, row + p_.offset), static_cast<long long>(n),
                 p_.normalize ? m_.row_norms + row : nullptr, key_norms(0, row + p_.offset),
                 static_cast<const kernels::call_numbers*>(m_.numbers),
                 static_cast<const kernels::side_coefficients*>(m_.row_coefficients + row),
                 wants_queries ? m_.du : nullptr,
                 wants_keys ? m_.dv[0] + (row + p_.offset) * dimension() : nullptr, started);
      if (!s.ok()) return s;
      started = true;
    }
    const auto visit = [&](int segment, std::int64_t col, std::int64_t cols, float* sim,
                           std::int64_t ld) noexcept {
      const key_segment<T>& seg = p_.segments[segment];
      const bool wants_keys = !seg.gradient.empty();
      if (!wants_queries && !wants_keys) return status{};
      T* g = static_cast<T*>(m_.g);
      status done;
      if (plan_.kind == similarity_plan::recompute) {
        done = similarities(row, segment, col, cols, sim, ld);
      }
      if (done.ok() && !is_kept()) {
        done = gradient_of_tile(tile_of(row, segment, col, cols, sim, ld), row, col, g);
      }
      if constexpr (sizeof(T) == 2) {
        if (is_kept()) {
          done = gradient_of_kept(tile_of(row, segment, col, cols, nullptr, 0), row, segment, col);
          g += extent().column_of(segment, col);
        }
      }
      if (done.ok()) done = products(row, segment, col, cols, g, started);
      return done;
    };
    s = is_kept() ? for_each_tile(visit, INT64_MAX) : for_each_tile(visit);
    return s.ok() ? finish_queries(row, started) : s;
  }

  // What a tile's gradient g gives to du, which its panel's first one starts, and to dv.
  status products(std::int64_t row, int segment, std::int64_t col, std::int64_t cols, const T* g,
                  bool& started) noexcept {
    const key_segment<T>& seg = p_.segments[segment];
    const operand<T> of_g{g, is_kept() ? extent().columns() : plan_.cols};
    const int k = static_cast<int>(cols), m = static_cast<int>(panel(row));
    status s;
    if (!p_.grad_queries.empty()) {
      s = blas_.a_b(m, dimension(), k, of_g, operand_of(seg.keys, col), started ? 1.0f : 0.0f,
                    m_.du, dimension());
      started = true;
    }
    if (s.ok() && !seg.gradient.empty()) {
      s = blas_.at_b(k, dimension(), m, of_g, operand_of(p_.queries, row), row > 0 ? 1.0f : 0.0f,
                     m_.dv[segment] + col * dimension(), dimension());
    }
    return s;
  }
  // Where all rows are one panel, their gradient is finished with that of the keys.
  status finish_queries(std::int64_t row, bool started) noexcept {
    kernels::gradient_jobs<T> jobs{};
    jobs.of[0] = gradient_of(p_.queries, row, panel(row), norms(m_.row_norms),
                             started ? m_.du : nullptr, p_.grad_queries);
    if (plan_.rows < rows()) return finish_gradients(jobs);
    queries_left_ = jobs.of[0];
    return {};
  }
  status finish_keys() noexcept {
    kernels::gradient_jobs<T> jobs{};
    jobs.of[0] = queries_left_;
    for (int i = 0; i < 2; ++i) {
      const key_segment<T>& seg = p_.segments[i];
      jobs.of[1 + i] =
          gradient_of(seg.keys, 0, seg.keys.rows, norms(m_.key_norms[i]), m_.dv[i], seg.gradient);
    }
    return finish_gradients(jobs);
  }

  status gradient_of_tile(const kernels::similarity_tile& t, std::int64_t row, std::int64_t col,
                          T* g) noexcept {
    const kernels::gradient_sides sides{m_.row_coefficients + row,
                                        p_.symmetric ? m_.col_coefficients + col : nullptr};
    return launch(context_, kernels::gradient_tile<T>, gradient_grid(t), kernels::kGradientThreads,
                  0, t, sides, g, static_cast<long long>(plan_.cols));
  }
  static dim3 gradient_grid(const kernels::similarity_tile& t) noexcept {
    constexpr std::int64_t kColumns = 1024;  // of a warp, so that few rows use the device too
    return dim3(static_cast<unsigned>(blocks_of(t.rows, kernels::kGradientRows)),
                static_cast<unsigned>((t.cols + kColumns - 1) / kColumns));
  }

  // The kept exponentials become the gradient.
  status gradient_of_kept(const kernels::similarity_tile& t, std::int64_t row, int segment,
                          std::int64_t col) noexcept {
    const kernels::gradient_sides sides{m_.row_coefficients + row,
                                        p_.symmetric ? m_.col_coefficients + col : nullptr};
    const kernels::raw_rows<T> raw{rows_of(p_.queries, row),
                                   rows_of(p_.segments[segment].keys, col)};
    const std::int64_t chunks = similarity_extent::chunks_of(t.cols);
    const dim3 grid(static_cast<unsigned>(blocks_of(t.rows, kernels::kKeptRows)),
                    static_cast<unsigned>(std::min<std::int64_t>(chunks, 65535)));
    const auto run = [&](auto kernel) noexcept {
      return launch(context_, kernel, grid, kernels::kGradientThreads, 0, t, sides,
                    kept_at(row, segment, col), raw);
    };
    return p_.symmetric ? run(kernels::gradient_of_kept<T, true>)
                        : run(kernels::gradient_of_kept<T, false>);
  }

  // Rows [first, first + n) of a gradient, from sums whose row 0 is row `first`; no rows where it is
  // not asked for.
  kernels::gradient_job<T> gradient_of(const matrix<const T>& x, std::int64_t first, std::int64_t n,
                                       const float* inverse_norms, const float* sums,
                                       const gradient_matrix<T>& out) const noexcept {
    if (out.empty() || n == 0) return {};
    const std::int64_t element = out.wide ? 4 : sizeof(T);
    return {rows_of(x, first),
            static_cast<long long>(n),
            inverse_norms != nullptr ? inverse_norms + first : nullptr,
            sums,
            static_cast<char*>(out.data) + first * out.ld * element,
            out.wide,
            static_cast<long long>(out.ld)};
  }
  status finish_gradients(const kernels::gradient_jobs<T>& jobs) noexcept {
    long long all = 0;
    for (const kernels::gradient_job<T>& job : jobs.of) all += job.rows;
    if (all == 0) return {};
    return launch(context_, kernels::finish_gradients<T>, blocks_of(all, kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, jobs,
                  static_cast<const kernels::call_numbers*>(m_.numbers), p_.accumulate);
  }

  // The loss with the rows' count, the scale's gradient with the columns'; the bias'.
  status finish_scalars() noexcept {
    kernels::sum_all_rows all{};
    int sums = 0;
    const auto add = [&](const float* values, const unsigned char* correct, float* loss,
                         float* scale, float* bias, std::int64_t* count) noexcept {
      if (loss == nullptr && scale == nullptr && bias == nullptr && count == nullptr) return;
      all.sums[sums++] = {{values, count != nullptr ? correct : nullptr},
                          loss,
                          scale,
                          bias,
                          reinterpret_cast<long long*>(count)};
    };
    add(p_.loss != nullptr ? m_.row_loss : nullptr, m_.row_correct, p_.loss, nullptr, nullptr,
        p_.correct);
    add(p_.grad_scale != nullptr ? m_.row_scale : nullptr, m_.col_correct, nullptr, p_.grad_scale,
        nullptr, p_.correct_columns);
    add(m_.row_bias, nullptr, nullptr, nullptr, p_.grad_bias, nullptr);
    if (sums == 0 && p_.row_count == nullptr) return {};
    all.rows = rows();
    kernels::write_row_sums done{m_.numbers,
                                 {},
                                 reinterpret_cast<long long*>(p_.row_count),
                                 static_cast<long long>(rows()),
                                 call_.by.by};
    std::copy_n(all.sums, kernels::kRowSums, done.sums);
    return launch_totals(context_, all, std::max(sums, 1), m_.partials, done);
  }

  const device_context& context_;
  const similarity_problem<T>& p_;
  gemm blas_;
  panel_plan plan_;
  std::int64_t of_a_panel_ = 0;  // rows of the panel that is walked over
  similarity_memory m_ = {};
  kernels::call_arguments call_ = {};
  kernels::gradient_job<T> queries_left_ = {};
};

}  // namespace culoss::detail
