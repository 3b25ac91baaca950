// Launches a row policy with the kernel that its width asks for, and sums over rows.
#pragma once

#include "host/launch.hpp"
#include "host/tuning.hpp"
#include "kernels/reduce.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::detail {

inline kernels::scalar_argument argument(const scalar& s) noexcept {
  return {s.value(), s.on_device() ? s.device() : nullptr};
}
template <class T>
kernels::stream<T> stream_of(const matrix<const T>& m) noexcept {
  return {m.data, m.ld};
}

// Kernels count the columns of a row in 32 bits, with room for the ends of a loop.
inline status check_width(const device_context& context, const char* name,
                          std::int64_t cols) noexcept {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (1 << 16);
  if (cols <= kMost) return {};
  return failure(status_code::unsupported, context.function,
                 "%s.cols is %lld, the kernels take at most %lld", name,
                 static_cast<long long>(cols), static_cast<long long>(kMost));
}

template <class Policy>
status launch_rows(const device_context& context, const typename Policy::arguments& a) noexcept {
  using T = typename Policy::value;
  constexpr int kBytes = static_cast<int>(sizeof(T));
  const bool aligned = reinterpret_cast<std::uintptr_t>(a.in[0].data) % kPackBytes == 0 &&
                       (a.rows == 1 || a.in[0].ld * kBytes % kPackBytes == 0);
  const row_plan plan =
      plan_rows(context.capability, a.cols, kBytes, Policy::kStreams, aligned, a.out != nullptr);
  const long long rows_of_block = plan.kernel == row_kernel::lanes ? plan.threads / plan.lanes : 1;
  const long long blocks = (a.rows + rows_of_block - 1) / rows_of_block;
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, plan.threads, plan.shared_bytes, a);
  };
  switch (plan.kernel) {
    case row_kernel::lanes:
      if (plan.lanes == 8) return run(kernels::rows_by_lanes<Policy, 8, 2>);
      if (plan.packs == 2) return run(kernels::rows_by_lanes<Policy, 32, 2>);
      if (plan.packs == 5) return run(kernels::rows_by_lanes<Policy, 32, 5>);
      return run(kernels::rows_by_lanes<Policy, 32, kMaxLanePacks>);
    case row_kernel::on_chip:
      if (plan.threads == 128) return run(kernels::rows_by_block<Policy, 128, true>);
      return run(kernels::rows_by_block<Policy, 512, true>);
    case row_kernel::two_reads:
      break;
  }
  if (plan.threads == 128) return run(kernels::rows_by_block<Policy, 128, false>);
  return run(kernels::rows_by_block<Policy, 512, false>);
}

// Results from elements and what an earlier call left of their row: no reduction.
template <class Policy>
status launch_elementwise(const device_context& context,
                          const typename Policy::arguments& a) noexcept {
  constexpr long long kSpan = 32 * kernels::kSpanPacks, kSpans = kernels::kSpanThreads / 32;
  const long long packs = packs_of(a.cols, static_cast<int>(sizeof(typename Policy::value)), false);
  const long long of_a_row = (packs + kSpan - 1) / kSpan;
  return launch(context, kernels::rows_elementwise<Policy>,
                (a.rows * of_a_row + kSpans - 1) / kSpans, kernels::kSpanThreads, 0, a, of_a_row);
}

inline status clear(const device_context& context, void* p, int value, std::size_t bytes) noexcept {
  if (p == nullptr) return {};
  return checked(context.function, "cudaMemsetAsync",
                 cudaMemsetAsync(p, value, bytes, context.stream));
}

// The scalar loss of no rows at all: 0, or NaN where a zero divisor is to give that (all bits set
// are a NaN). A normalizer on the device cannot be looked at: it counts as not 0.
inline status write_empty_loss(const device_context& context, const vector<float>& loss,
                               reduction r, const scalar& normalizer, empty_batch empty) noexcept {
  if (r == reduction::none) return {};
  const bool zero_divisor = normalizer.given()
                                ? !normalizer.on_device() && normalizer.value() == 0.0f
                                : r == reduction::mean;
  const bool nan = zero_divisor && empty == empty_batch::nan;
  return clear(context, loss.data, nan ? 0xff : 0, sizeof(float));
}

// How many partial sums the total of this many items needs room for.
constexpr std::int64_t partials_of(std::int64_t items) {
  constexpr std::int64_t kChunk = kernels::kRowsOfOneBlock;
  return items > kChunk ? (items + kChunk - 1) / kChunk : 0;
}

// done(total of item(0) ... item(items - 1)), in an order fixed by `items`.
template <class Item, class Done>
status launch_total(const device_context& context, const Item& item, std::int64_t items,
                    kernels::totals* partials, const Done& done) noexcept {
  constexpr long long kChunk = kernels::kRowsOfOneBlock;
  const long long several = partials_of(items);
  if (several == 0) {
    return launch(context, kernels::total_kernel<Item, Done>, 1, kernels::kTotalThreads, 0, item,
                  static_cast<long long>(items), static_cast<long long>(items), done);
  }
  const kernels::store_total store{partials};
  const status s =
      launch(context, kernels::total_kernel<Item, kernels::store_total>, several,
             kernels::kTotalThreads, 0, item, static_cast<long long>(items), kChunk, store);
  if (!s.ok()) return s;
  return launch(context, kernels::total_kernel<kernels::sum_partials, Done>, 1,
                kernels::kTotalThreads, 0, kernels::sum_partials{partials}, several, several, done);
}

}  // namespace culoss::detail
