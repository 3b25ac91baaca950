// The sweep where the queries are the keys: the matrix of similarities is symmetric. Each pair is
// computed once, above the diagonal, and enters its row's statistics and its column's. Both are the
// same vector's in the end, as are the gradients of the two sides, which have one sum.
//
//   tiles   of a panel of rows [r, r + n): columns from r on, and of the rows those that lie above
//           the last column; less than half the matrix and half a tile's width beside the diagonal
#pragma once

#include "host/similarity.hpp"
#include "kernels/policy/self_similarity.cuh"

namespace culoss::detail {

// Positives by label.
struct grouping {
  kernels::labels labels = {};
  bool divides = false;                  // a mean divides by the rows that have a positive
  std::int64_t* rows_counted = nullptr;  // their number, or null
};

template <class T>
class self_sweep : public similarity_sweep<T> {
  using base = similarity_sweep<T>;

 public:
  self_sweep(const device_context& context, const similarity_problem<T>& p,
             const grouping& by) noexcept
      : base(context, p), by_(by) {}

  status run(const cuda& where) noexcept {
    scratch memory;
    status s = open(where, memory);
    if (s.ok()) s = begin();
    if (s.ok()) s = begin_self();
    for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) s = statistics(row);
    if (s.ok()) s = p_.grouped ? finish_groups() : finish_views();
    for (std::int64_t row = 0; row < rows() && s.ok() && p_.gradients(); row += plan_.rows) {
      s = gradients(row);
    }
    if (s.ok()) s = finish_keys();
    if (s.ok()) s = finish_scalars();
    if (!s.ok()) return s;
    return memory.release(context_);
  }

 private:
  using base::begin, base::blas_, base::blocks_of, base::call_, base::context_, base::dimension,
      base::finish_keys, base::finish_scalars, base::m_, base::merge_nothing, base::open,
      base::operand_of, base::p_, base::panel, base::plan_, base::rows;

  // A tile of the similarities in its place, with what the kernels know of it.
  struct tile {
    std::int64_t row, col;
    float* s;
    std::int64_t ld;
    kernels::similarity_tile of_kernel;
  };

  // Both sides add to the gradient; labels are compared as int64.
  status begin_self() noexcept {
    status s;
    if (p_.gradients()) {
      s = clear(context_, m_.dv[0], 0,
                static_cast<std::size_t>(rows() * p_.queries.cols) * sizeof(float));
    }
    if (!s.ok() || !p_.grouped) return s;
    return launch(context_, kernels::widen_labels<kernels::kFoldThreads>,
                  blocks_of(rows(), kernels::kFoldThreads), kernels::kFoldThreads, 0, by_.labels,
                  static_cast<long long>(rows()), m_.labels);
  }

  template <class Visit>
  status for_each_tile(std::int64_t row, const Visit& visit) noexcept {
    const bool whole = plan_.kind == similarity_plan::one_visit;
    const std::int64_t ld = whole ? base::extent().columns() : plan_.cols;
    for (std::int64_t col = row; col < rows(); col += plan_.cols) {
      const std::int64_t cols = std::min(plan_.cols, rows() - col);
      tile t{row, col, whole ? m_.s + col : m_.s, ld, {}};
      t.of_kernel = base::tile_of(row, 0, col, cols, t.s, ld);
      t.of_kernel.rows = static_cast<int>(std::min(panel(row), col + cols - row));
      if (p_.grouped) {
        t.of_kernel.row_ids = m_.labels + row;
        t.of_kernel.col_ids = m_.labels + col;
      }
      const status s = visit(t);
      if (!s.ok()) return s;
    }
    return {};
  }

  status similarities(const tile& t) noexcept {
    return blas_.a_bt(t.of_kernel.rows, t.of_kernel.cols, dimension(),
                      operand_of(p_.queries, t.row), operand_of(p_.queries, t.col), t.s, t.ld);
  }

  // The rows of a panel come in one after the other; its first panel meets all columns.
  status statistics(std::int64_t row) noexcept {
    status s = merge_nothing(m_.row_states + row, panel(row));
    if (s.ok() && p_.grouped) s = merge_nothing(m_.row_positives + row, panel(row));
    if (!s.ok()) return s;
    return for_each_tile(row, [&](const tile& t) noexcept {
      status done = similarities(t);
      if (done.ok()) done = fold(t);
      if (done.ok() && p_.grouped) done = fold_positives(t);
      return done;
    });
  }

  status fold(const tile& t) noexcept {
    const tile_grid grid(t.of_kernel.rows, t.of_kernel.cols);
    const kernels::fold_outputs out{m_.row_partials, m_.col_partials, m_.targets + t.row,
                                    nullptr,         false,           {}};
    const status s = launch(context_, kernels::fold_tile<true, void, true>, grid.dim(),
                            kernels::kFoldThreads, 0, t.of_kernel, out, grid.columns_of_split);
    return s.ok() ? merge(t, grid, m_.row_states, m_.row_partials, m_.col_states, m_.col_partials)
                  : s;
  }
  status fold_positives(const tile& t) noexcept {
    using state = kernels::positive_state;
    static_assert(sizeof(state) == sizeof(kernels::side_state));  // the same partials' memory
    const tile_grid grid(t.of_kernel.rows, t.of_kernel.cols);
    auto* const of_rows = reinterpret_cast<state*>(m_.row_partials);
    auto* const of_cols = reinterpret_cast<state*>(m_.col_partials);
    const status s =
        launch(context_, kernels::fold_positives<kernels::kFoldThreads>, grid.dim(),
               kernels::kFoldThreads, 0, t.of_kernel, of_rows, of_cols, grid.columns_of_split);
    return s.ok() ? merge(t, grid, m_.row_positives, of_rows, m_.col_positives, of_cols) : s;
  }
  template <class State>
  status merge(const tile& t, const tile_grid& grid, State* rows, const State* of_rows, State* cols,
               const State* of_cols) noexcept {
    const status s = base::merge(rows + t.row, of_rows, grid.splits, t.of_kernel.rows, false);
    if (!s.ok()) return s;
    return base::merge(cols + t.col, of_cols, grid.blocks, t.of_kernel.cols, t.row == 0);
  }

  template <class Kernel, class More>
  status finish(Kernel kernel, const More& more) noexcept {
    return launch(context_, kernel, blocks_of(rows(), kernels::kFoldThreads), kernels::kFoldThreads,
                  0, base::finishing(0, rows()), more);
  }
  status finish_views() noexcept {
    return finish(kernels::finish_views<kernels::kFoldThreads>, static_cast<long long>(p_.offset));
  }
  // How many rows have a positive, and so what a mean divides by, is known only then.
  status finish_groups() noexcept {
    status s = finish(kernels::finish_groups<kernels::kFoldThreads>,
                      kernels::positive_arguments{m_.row_positives, m_.col_positives,
                                                  m_.positive_coefficients, m_.row_correct});
    if (s.ok()) {
      s = launch_total(
          context_, kernels::sum_similarity_rows{nullptr, m_.row_correct}, rows(), m_.partials,
          kernels::store_counted{m_.counted, reinterpret_cast<long long*>(by_.rows_counted)});
    }
    if (!s.ok() || !by_.divides) return s;
    call_.by.by.counted = m_.counted;
    return base::prepare_call();
  }

  // A panel's tiles to their gradients G; dz += G z of the columns for the rows, and the transpose.
  status gradients(std::int64_t row) noexcept {
    T* const g = static_cast<T*>(m_.g);
    return for_each_tile(row, [&](const tile& t) noexcept {
      const int m = t.of_kernel.rows, k = t.of_kernel.cols;
      status s;
      if (plan_.kind == similarity_plan::recompute) s = similarities(t);
      if (s.ok()) s = gradient_of_tile(t, g);
      const operand<T> of_g{g, plan_.cols};
      if (s.ok()) {
        s = blas_.a_b(m, dimension(), k, of_g, operand_of(p_.queries, t.col), 1.0f,
                      m_.dv[0] + t.row * dimension(), dimension());
      }
      if (s.ok()) {
        s = blas_.at_b(k, dimension(), m, of_g, operand_of(p_.queries, t.row), 1.0f,
                       m_.dv[0] + t.col * dimension(), dimension());
      }
      return s;
    });
  }
  status gradient_of_tile(const tile& t, T* g) noexcept {
    kernels::gradient_sides sides{m_.row_coefficients + t.row, m_.row_coefficients + t.col};
    if (p_.grouped) {
      sides.row_positives = m_.positive_coefficients + t.row;
      sides.col_positives = m_.positive_coefficients + t.col;
    }
    return launch(context_, kernels::gradient_tile<T, true>, base::gradient_grid(t.of_kernel),
                  kernels::kGradientThreads, 0, t.of_kernel, sides, g,
                  static_cast<long long>(plan_.cols));
  }

  grouping by_;
};

}  // namespace culoss::detail
