// Launches an elementwise policy; and the one function that all elementwise losses are.
#pragma once

#include "host/element_call.hpp"
#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/element_loss.cuh"

namespace culoss::detail {

// Whether a matrix is one sequence of elements; one that is not given does not stand in the way.
template <class T>
bool is_flat(const matrix<T>& m) noexcept {
  return m.data == nullptr || m.ld == m.cols || m.rows <= 1;
}

template <class T, class... Matrices>
status plan_elements(const device_context& context, element_walk& walk, const matrix<T>& first,
                     const Matrices&... others) noexcept {
  const bool flat = is_flat(first) && (is_flat(others) && ...);
  walk = walk_elements(first.rows, first.cols, flat, static_cast<int>(sizeof(T)));
  return flat ? status{} : check_width(context, "cols", first.cols);
}

template <class Policy>
status launch_elements(const device_context& context, const typename Policy::arguments& a,
                       const element_walk& walk) noexcept {
  return launch(context, kernels::elementwise<Policy>, walk.blocks(), kElementThreads, 0, a, walk);
}

// What one call of a loss keeps between its launches.
struct element_temporaries {
  kernels::totals* counted;   // the divisor and the number of positive rows
  kernels::totals* blocks;    // the sum of each block
  kernels::totals* partials;  // of either
};

inline std::size_t carve(void* base, std::int64_t rows, std::int64_t cols,
                         element_temporaries& t) noexcept {
  carver c(base);
  const std::int64_t blocks = most_element_blocks(rows, cols);
  t.counted = c.take<kernels::totals>(1);
  t.blocks = c.take<kernels::totals>(blocks);
  t.partials = c.take<kernels::totals>(partials_of(std::max(rows, blocks)));
  return c.used();
}

inline std::size_t element_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  std::int64_t elements = 0;
  element_temporaries t;
  constexpr std::int64_t kMost = std::int64_t{1} << 48;  // there are no more addresses
  const bool some =
      rows > 0 && cols > 0 && !__builtin_mul_overflow(rows, cols, &elements) && elements <= kMost;
  return some ? carve(nullptr, rows, cols, t) : 0;
}

// The sum of the weights, to `t.counted`: of a matrix one read more.
template <class Options>
status sum_weights(const device_context& context, std::int64_t rows, std::int64_t cols,
                   const Options& options, const element_temporaries& t) noexcept {
  const kernels::store_total done{t.counted};
  if (options.weights.empty()) {
    return launch_total(context, kernels::row_weight_sum{options.row_weights.data, cols}, rows,
                        t.partials, done);
  }
  element_walk walk{};
  status s = plan_elements(context, walk, options.weights);
  kernels::weight_sum_policy::arguments a{};
  a.in[0] = stream_of(options.weights);
  a.partials = t.blocks;
  a.row_weights = options.row_weights.data;
  if (s.ok()) s = launch_elements<kernels::weight_sum_policy>(context, a, walk);
  if (!s.ok()) return s;
  return launch_total(context, kernels::sum_partials{t.blocks}, walk.blocks(), t.partials, done);
}

// A checked call: at most the divisor, then loss and gradients of all elements from one read, then
// the sum of the losses.
template <class T, class Formula, class Options>
status run_elements(const cuda& where, const char* function, const element_views<T>& e,
                    const Formula& formula, const Options& options) noexcept {
  const std::int64_t rows = e.input.rows, cols = e.input.cols;
  const matrix<const float> weights = weights_of(options), upstream = upstream_elements_of(options);
  device_context context;
  element_walk walk{};
  status s = open(function, where, context);
  if (s.ok()) {
    s = plan_elements(context, walk, e.input, e.targets, weights, upstream, e.losses, e.grad_input,
                      e.grad_targets);
  }
  if (!s.ok()) return s;
  if (!e.has_elements()) {
    s = write_empty_loss(context, e.loss.data, options);
    return s.ok() ? clear(context, e.positives.data, 0, sizeof(std::int64_t)) : s;
  }

  element_temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, rows, cols, t));
  if (!s.ok()) return s;
  carve(memory.data(), rows, cols, t);
  kernels::element_loss_arguments<T, Formula> a{};
  a.in[0] = stream_of(e.input);
  a.out[0] = target_of(e.grad_input);
  a.losses = target_of(e.losses);
  if (!e.loss.empty()) a.partials = t.blocks;
  a.weights = stream_of(weights);
  a.upstream = stream_of(upstream);
  a.formula = formula;
  const bool own_divisor = counts_divisor(options);
  const double elements = static_cast<double>(rows) * static_cast<double>(cols);
  if constexpr (Formula::kLabels) {
    if (e.labeled) {
      a.all = labels_of(e.labels, options.ignore_index, cols, background_of(options, cols));
      a.scale = scale_of(options, 0.0, t.counted);
      bool of_positives = false;
      if constexpr (requires { options.mean_over == focal_mean::positives; }) {
        of_positives = options.mean_over == focal_mean::positives;
      }
      if (own_divisor || !e.positives.empty() || where.faults != nullptr) {
        s = launch_total(context,
                         kernels::count_labeled_elements{a.all, of_positives, where.faults}, rows,
                         t.partials,
                         kernels::write_count{own_divisor ? t.counted : nullptr,
                                              reinterpret_cast<long long*>(e.positives.data),
                                              where.faults, a.all, rows});
      }
    }
  }
  if (!e.labeled) {
    a.in[1] = stream_of(e.targets);
    a.out[1] = target_of(e.grad_targets);
    a.scale = scale_of(options, elements);
    if constexpr (requires { options.mean_over == weighted_mean::weights; }) {
      if (own_divisor && sums_weights(options)) {
        a.scale = scale_of(options, 0.0, t.counted);
        s = sum_weights(context, rows, cols, options, t);
      }
    }
  }
  if (!upstream.empty()) a.scale.upstream = {1.0f, nullptr};
  using policy = kernels::element_loss_policy<T, Formula>;
  if (s.ok() && e.wants_elements()) s = launch_elements<policy>(context, a, walk);
  if (s.ok() && !e.loss.empty()) {
    s = launch_total(context, kernels::sum_partials{t.blocks}, walk.blocks(), t.partials,
                     kernels::write_loss{e.loss.data, a.scale.by});
  }
  return s.ok() ? memory.release(context) : s;
}

}  // namespace culoss::detail
