// A loss of rows from its checked arguments on: counts them, launches them, sums their losses, tells
// of bad labels.
#pragma once

#include "host/rows.hpp"
#include "host/workspace.hpp"

namespace culoss::detail {

// What a call keeps between its launches.
struct row_memory {
  kernels::totals* counted;  // the number of rows that count
  kernels::totals* partials;
  float* row_loss;  // under mean and sum

  std::size_t carve(void* base, std::int64_t rows) noexcept {
    carver c(base);
    counted = c.take<kernels::totals>(1);
    partials = c.take<kernels::totals>(partials_of(rows));
    row_loss = c.take<float>(rows);
    return c.used();
  }
};

inline std::size_t row_memory_bytes(std::int64_t rows) noexcept {
  return rows > 0 ? row_memory{}.carve(nullptr, rows) : 0;
}

// launch_them(a) launches the rows. Of `a` the scale, the losses of the rows and the fault record
// are filled in here; it has no labels `all` where the loss has none, and null ones where they are
// an option. Null: that output is not wanted.
template <class Arguments, class Options, class Rows>
status run_rows(const cuda& where, const device_context& context, Arguments& a, float* loss,
                std::int64_t* rows_counted, const Options& options,
                const Rows& launch_them) noexcept {
  constexpr bool kLabels = requires { a.all; };
  if (a.rows == 0) {
    const status s = write_empty_loss(context, loss, options);
    return s.ok() ? clear(context, rows_counted, 0, sizeof(std::int64_t)) : s;
  }
  row_memory t{};
  scratch memory;
  status s = memory.get(context, where.workspace, row_memory_bytes(a.rows));
  if (!s.ok()) return s;
  t.carve(memory.data(), a.rows);

  const bool none = options.reduction == reduction::none;
  float* const scalar = none ? nullptr : loss;
  if (loss != nullptr) a.row_loss = none ? loss : t.row_loss;
  bool wanted = loss != nullptr;
  for (const auto& out : a.out) wanted = wanted || out.data != nullptr;
  double divisor = static_cast<double>(a.rows);
  if constexpr (requires { options.mean_elements; }) {
    if (options.mean_elements) divisor *= static_cast<double>(a.cols);
  }
  if constexpr (kLabels) {
    const bool labeled = a.all.data != nullptr, counts = labeled && counts_divisor(options);
    a.scale = scale_of(options, divisor, counts ? t.counted : nullptr);
    a.faults = labeled ? where.faults : nullptr;
    wanted = wanted || a.faults != nullptr;
    if (counts || rows_counted != nullptr) {
      s = launch_total(
          context, kernels::count_rows{a.all, nullptr}, a.rows, t.partials,
          kernels::write_count{counts ? t.counted : nullptr,
                               reinterpret_cast<long long*>(rows_counted), nullptr, a.all, a.rows});
    }
  } else {
    a.scale = scale_of(options, divisor);
  }
  if (s.ok() && wanted) s = launch_them(a);
  const kernels::sum_losses losses{a.row_loss};
  if constexpr (kLabels) {
    const kernels::write_loss_of<decltype(a.all)> done{scalar,   nullptr, a.scale.by,
                                                       a.faults, a.all,   a.rows};
    if (s.ok() && scalar != nullptr) {
      s = launch_total(context, losses, a.rows, t.partials, done);
    } else if (s.ok() && a.faults != nullptr) {
      s = launch_total(context, kernels::no_item{}, 1, t.partials, done);
    }
  } else if (s.ok() && scalar != nullptr) {
    const kernels::write_loss done{scalar, a.scale.by};
    s = launch_total(context, losses, a.rows, t.partials, done);
  }
  return s.ok() ? memory.release(context) : s;
}

}  // namespace culoss::detail
