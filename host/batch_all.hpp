// batch_all: panels of anchors, whose distances to all rows are in memory at once, and the gradient,
// to which each panel adds.
#pragma once

#include "host/mining_call.hpp"
#include "kernels/batch_all.cuh"

namespace culoss::detail {

struct batch_all_memory {
  mining_rows_memory of_rows;
  long long* counts;
  double *as_anchor, *as_other;  // [N, D]: the two sides' sums of the gradient
  // [panel, N]:
  double* distances;
  int* columns;
  float* weights;
};

// From the most rows of a panel that are worth their memory down to the fewest.
class batch_all_ladder {
 public:
  explicit batch_all_ladder(std::int64_t rows) : least_(std::min(rows, kLeast)) {
    plan_ = {similarity_plan::one_visit, least_, rows};
    constexpr std::int64_t kMostPairs = std::int64_t{1} << 24;
    while (plan_.rows < rows && 2 * plan_.rows * rows <= kMostPairs) plan_.rows *= 2;
    plan_.rows = std::min(plan_.rows, rows);
  }
  const panel_plan& plan() const { return plan_; }
  bool last() const { return plan_.rows <= least_; }
  void next() { plan_.rows = std::max(least_, plan_.rows / 2); }

 private:
  static constexpr std::int64_t kLeast = 32;
  std::int64_t least_;
  panel_plan plan_;
};

struct batch_all_extent {
  using memory = batch_all_memory;
  std::int64_t rows = 0, dimension = 0;

  batch_all_ladder ladder() const { return batch_all_ladder(rows); }
};

inline std::size_t carve(void* base, const batch_all_extent& e, const panel_plan& plan,
                         batch_all_memory& m) noexcept {
  carver c(base);
  carve(c, e.rows, m.of_rows);
  m.counts = c.take<long long>(e.rows);
  m.as_anchor = c.take<double>(e.rows * e.dimension);
  m.as_other = c.take<double>(e.rows * e.dimension);
  m.distances = c.take<double>(plan.rows * e.rows);
  m.columns = c.take<int>(plan.rows * e.rows);
  m.weights = c.take<float>(plan.rows * e.rows);
  return c.used();
}

template <class T>
class batch_all_sweep : mining_call<T> {
  using base = mining_call<T>;

 public:
  batch_all_sweep(const device_context& context, const mining_problem<T>& p) noexcept
      : base(context, p) {}

  status run(const cuda& where) noexcept {
    const batch_all_extent e{rows(), p_.x.cols};
    std::size_t needed = 0;
    const bool given = where.workspace.data != nullptr;
    plan_ = choose_plan(e, given ? where.workspace.bytes : SIZE_MAX, needed);
    scratch memory;
    status s = memory.get(context_, where.workspace, needed);
    if (!s.ok()) return s;
    carve(memory.data(), e, plan_, m_);
    base::of_rows_ = m_.of_rows;

    s = base::begin();
    for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) s = run_panel(row);
    if (s.ok()) s = base::finish_sums(kernels::count_all_triplets{m_.counts});
    if (s.ok() && !p_.gradient.empty()) s = finish_gradient();
    if (!s.ok()) return s;
    return memory.release(context_);
  }

 private:
  using base::blocks_of, base::by_, base::context_, base::mined_rows, base::p_, base::rows;

  status run_panel(std::int64_t row) noexcept {
    constexpr int kThreads = 256;
    const std::int64_t n = std::min(plan_.rows, rows() - row);
    const auto tiles = [](std::int64_t of) {
      return static_cast<unsigned>((of + kernels::kPairSide - 1) / kernels::kPairSide);
    };
    status s = launch(context_, kernels::distance_tile<T>, dim3(tiles(rows()), tiles(n)),
                      kernels::kPairThreads, 0, mined_rows(), static_cast<long long>(row),
                      static_cast<long long>(n), m_.distances);
    if (!s.ok()) return s;
    // A divisor that is counted is known after the last panel.
    kernels::gradient_scale by = by_;
    if (p_.counts_divisor) by.by.divides = false;
    const kernels::all_triplets triplets{m_.distances, m_.columns, m_.weights, base::row_loss(),
                                         m_.counts};
    s = launch(context_, kernels::count_triplets<T, kThreads>, n, kThreads, 0, mined_rows(),
               static_cast<long long>(row), p_.rule, by, triplets);
    if (!s.ok() || p_.gradient.empty()) return s;
    s = pull({m_.weights, m_.distances, row, n, rows(), 0, rows(), 1, m_.as_anchor, true});
    if (!s.ok()) return s;
    return pull({m_.weights, m_.distances, 0, rows(), 1, row, n, rows(), m_.as_other, row == 0});
  }
  status pull(const kernels::panel_pulls& pulls) noexcept {
    return launch(context_, kernels::pull_rows<T>, blocks_of(pulls.count, kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, mined_rows(), pulls);
  }

  status finish_gradient() noexcept {
    const auto finish = [&](auto kernel, auto* data) noexcept {
      return launch(context_, kernel, blocks_of(rows(), kernels::kEmbeddingRows),
                    kernels::kEmbeddingThreads, 0, mined_rows(),
                    static_cast<const double*>(m_.as_anchor),
                    static_cast<const double*>(m_.as_other),
                    static_cast<const kernels::totals*>(m_.of_rows.counted), by_.by, data,
                    static_cast<long long>(p_.gradient.ld), p_.accumulate);
    };
    if (p_.gradient.wide) {
      return finish(kernels::finish_all_gradient<T, float>, static_cast<float*>(p_.gradient.data));
    }
    return finish(kernels::finish_all_gradient<T, T>, static_cast<T*>(p_.gradient.data));
  }

  panel_plan plan_;
  batch_all_memory m_ = {};
};

}  // namespace culoss::detail
