// Launches a row policy with the kernel that its width asks for, and sums over rows.
#pragma once

#include "host/launch.hpp"
#include "host/tuning.hpp"
#include "kernels/divisor.cuh"
#include "kernels/labels.cuh"
#include "kernels/reduce.cuh"
#include "kernels/row_copies.cuh"
#include "kernels/row_ring.cuh"
#include "kernels/row_softmax.cuh"
#include "kernels/row_strided.cuh"

namespace culoss::detail {

inline kernels::scalar_argument argument(const scalar& s) noexcept {
  return {s.value(), s.on_device() ? s.device() : nullptr};
}
template <class T>
kernels::stream<T> stream_of(const matrix<const T>& m) noexcept {
  return {m.data, m.ld};
}
template <class T>
kernels::target<T> target_of(const matrix<T>& m) noexcept {
  return {m.data, m.ld};
}

inline kernels::labels labels_of(const label_view& labels, std::int64_t ignore_index,
                                 std::int64_t classes, std::int64_t background) noexcept {
  return {labels.data, labels.wide, ignore_index, classes, background};
}
inline kernels::softcap cap_of(float cap) noexcept {
  return {cap, cap == 0.0f ? 0.0f : 1.0f / cap};
}

// What every loss's options say in the same words. A mean divides by what `counted` will hold, or
// else by `known`, unless the caller gave a normalizer.
template <class Options>
bool counts_divisor(const Options& o) noexcept {
  return o.reduction == reduction::mean && !o.normalizer.given();
}
template <class Options>
kernels::gradient_scale scale_of(const Options& o, double known,
                                 const kernels::totals* counted = nullptr) noexcept {
  const bool own = counts_divisor(o);
  const scalar& n = o.normalizer;
  return {argument(o.upstream), o.upstream_rows.data, o.row_weights.data,
          kernels::divisor{own || n.given(), own ? known : static_cast<double>(n.value()),
                           own ? counted : nullptr, n.on_device() ? n.device() : nullptr,
                           o.empty == empty_batch::nan}};
}

// Kernels count the columns of a row in 32 bits, with room for the ends of a loop.
inline status check_width(const device_context& context, const char* name,
                          std::int64_t cols) noexcept {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (1 << 16);
  if (cols <= kMost) return {};
  return failure(status_code::unsupported, context.function,
                 "%s is %lld, the kernels take at most %lld", name, static_cast<long long>(cols),
                 static_cast<long long>(kMost));
}

inline status clear(const device_context& context, void* p, int value, std::size_t bytes) noexcept {
  if (p == nullptr) return {};
  return checked(context.function, "cudaMemsetAsync",
                 cudaMemsetAsync(p, value, bytes, context.stream));
}

// How many blocks the current device holds at once.
inline status resident_blocks(const device_context& context, int of_multiprocessor,
                              long long& blocks) noexcept {
  int multiprocessors = 0;
  const status s = checked(
      context.function, "cudaDeviceGetAttribute",
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, context.device));
  blocks = static_cast<long long>(of_multiprocessor) * multiprocessors;
  return s;
}

// What blocks that stay are told of a whole call; of a loss that knows none, nothing.
template <class Arguments>
kernels::whole_call whole_call_in(const Arguments& a) noexcept {
  if constexpr (requires { a.whole.on; }) return a.whole;
  return {};
}
// How many blocks that stay, or clusters of them, a launch has: as many as the device holds, if
// there are rows for them.
template <class Arguments>
long long blocks_that_stay(const Arguments& a, long long resident, int of_cluster = 1) noexcept {
  const long long most = whole_call_in(a).on ? kMostWholeBlocks / of_cluster : resident;
  const long long held = resident < most ? resident : most;
  return a.rows < held ? a.rows : held;
}
// Just before the launch of a whole call.
template <class Arguments>
status ready(const device_context& context, const Arguments& a) noexcept {
  return clear(context, whole_call_in(a).ended, 0, sizeof(unsigned));
}

// By as many blocks, or clusters of them, as the device holds; by fewer clusters only if
// `underfills`. `runs`: whether it has been launched.
template <class Policy>
status launch_ring(const device_context& context, const ring_plan& plan,
                   const typename Policy::arguments& a, bool underfills, bool& runs) noexcept {
  const dynamic_shared shared{plan.shared_bytes, kRingSharedLimit};
  const int threads = plan.threads + 32;
  if (plan.cluster > 1) {
    const auto kernel = kernels::rows_by_ring<Policy, 512, true>;
    int resident = 0;
    status s = resident_clusters(context, kernel, plan.cluster, threads, shared, resident);
    runs = resident > 0 && (underfills || a.rows >= resident);
    if (s.ok() && runs) s = ready(context, a);
    if (!s.ok() || !runs) return s;
    return launch_clusters(context, kernel, blocks_that_stay(a, resident, plan.cluster),
                           plan.cluster, threads, shared, a, plan.slots, plan.packs_of_slot,
                           plan.parts);
  }
  runs = true;
  long long resident = 0;
  status s = resident_blocks(context, plan.blocks, resident);
  if (s.ok()) s = ready(context, a);
  if (!s.ok()) return s;
  const long long blocks = blocks_that_stay(a, resident);
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, threads, shared, a, plan.slots, plan.packs_of_slot,
                  plan.parts);
  };
  if (plan.threads == 128) return run(kernels::rows_by_ring<Policy, 128, false>);
  return run(kernels::rows_by_ring<Policy, 512, false>);
}

// By as many blocks as the device holds.
template <class Policy>
status launch_copies(const device_context& context, const copies_plan& plan,
                     const typename Policy::arguments& a) noexcept {
  long long resident = 0;
  status s = resident_blocks(context, plan.blocks, resident);
  if (s.ok()) s = ready(context, a);
  if (!s.ok()) return s;
  const long long blocks = blocks_that_stay(a, resident);
  const dynamic_shared shared{plan.shared_bytes, shared_limit(context.capability)};
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, plan.threads, shared, a, plan.packs_of_slot);
  };
  if (plan.threads == 128) return run(kernels::rows_by_copies<Policy, 128>);
  return run(kernels::rows_by_copies<Policy, 512>);
}

// By as many blocks as the device holds, of a whole call that counts labels in each of them by two a
// multiprocessor. Rows of which there are not more have nothing to wait for: they do not run, but as
// a whole call.
template <class Policy>
status launch_lanes_in_turn(const device_context& context, const row_plan& plan,
                            const typename Policy::arguments& a, bool& runs) noexcept {
  const kernels::whole_call whole = whole_call_in(a);
  long long resident = 0;
  status s =
      resident_blocks(context, whole.counted != nullptr ? 2 : lane_blocks(plan.packs), resident);
  if (!s.ok()) return s;
  if (whole.on && resident > kMostWholeBlocks) resident = kMostWholeBlocks;
  const long long rows_of_step = plan.threads / plan.lanes;
  const long long steps = (a.rows + rows_of_step - 1) / rows_of_step;
  runs = steps > resident || whole.on;
  if (runs) s = ready(context, a);
  if (!s.ok() || !runs) return s;
  const long long rows_of_block = (steps + resident - 1) / resident * rows_of_step;
  const long long blocks = (a.rows + rows_of_block - 1) / rows_of_block;
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, plan.threads, 0, a, rows_of_block);
  };
  if (plan.lanes == 8) return run(kernels::rows_by_lanes_in_turn<Policy, 8, 2>);
  if (plan.packs == 2) return run(kernels::rows_by_lanes_in_turn<Policy, 32, 2>);
  if (plan.packs == 5) return run(kernels::rows_by_lanes_in_turn<Policy, 32, 5>);
  return run(kernels::rows_by_lanes_in_turn<Policy, 32, kMaxLanePacks>);
}

// A block a row; if `left` has room for the states of all their parts, a block a part, twice.
template <class Policy>
status launch_parts(const device_context& context, const parts_plan& plan,
                    const typename Policy::arguments& a, void* left) noexcept {
  using state = typename Policy::state;
  static_assert(sizeof(state) <= kPartState);
  const auto shared_of = [](int parts) {
    const int bytes = parts * kPartWarps * static_cast<int>(sizeof(state));
    return dynamic_shared{bytes, kMostRingBlocks * kMostPartsOfGroup * kPartWarps * kPartState};
  };
  auto* const states = static_cast<state*>(left);
  if (states == nullptr) {
    return launch(context, kernels::rows_by_parts<Policy>, a.rows, kPartThreads,
                  shared_of(plan.parts), a, plan, states);
  }
  const status s = launch(context, kernels::rows_by_parts<Policy>, a.rows * plan.parts,
                          kPartThreads, shared_of(1), a, plan, states);
  if (!s.ok()) return s;
  const bool writes = a.out[0].data != nullptr;
  return launch(context, kernels::finish_parts<Policy>, writes ? a.rows * plan.parts : a.rows,
                writes ? kPartThreads : 32, 0, a, plan, states);
}

// What a launch of rows is told for the sake of the pipelined kernels.
struct row_launch {
  void* part_states = nullptr;  // memory of part_state_bytes, where rows may be split
  bool* whole = nullptr;        // launch them only as a whole call, and say whether that was done
};

// The kernels that `row_kernels::pipelined` asks for; `runs`: whether there is one for these rows,
// which of a whole call is one of those that can do all of it.
template <class Policy>
status launch_pipelined(const device_context& context, const row_plan& plan,
                        const typename Policy::arguments& a, const row_launch& how, bool writes,
                        bool& runs) noexcept {
  constexpr int kBytes = static_cast<int>(sizeof(typename Policy::value));
  const ring_plan ring = plan_ring(context.capability, a.cols, kBytes);
  const copies_plan copies = plan_copies(context.capability, a.cols, kBytes);
  const parts_plan parts = plan_parts(a.cols, kBytes);
  const bool by_ring = writes && ring.slots > 0, by_copies = writes && copies.threads > 0;
  const bool by_lanes = plan.kernel == row_kernel::lanes;
  void* const left = a.rows <= kSplitRows ? how.part_states : nullptr;
  if (by_lanes) return launch_lanes_in_turn<Policy>(context, plan, a, runs);
  if (by_ring) {
    const status s = launch_ring<Policy>(context, ring, a, left == nullptr, runs);
    if (!s.ok() || runs) return s;
  }
  if (by_copies) {
    runs = true;
    return launch_copies<Policy>(context, copies, a);
  }
  runs = parts.parts > 0 && !whole_call_in(a).on;
  return runs ? launch_parts<Policy>(context, parts, a, left) : status();
}

// Wide: the policy of rows that do not fit on chip.
template <class Policy, class Wide = Policy>
status launch_rows(const device_context& context, const typename Policy::arguments& a,
                   const row_launch& how = {}) noexcept {
  using T = typename Policy::value;
  constexpr int kBytes = static_cast<int>(sizeof(T));
  const bool aligned = reinterpret_cast<std::uintptr_t>(a.in[0].data) % kPackBytes == 0 &&
                       (a.rows == 1 || a.in[0].ld * kBytes % kPackBytes == 0);
  bool writes = kernels::reduces_twice<Policy>;  // or needs the row again anyhow
  for (const auto& out : a.out) writes = writes || out.data != nullptr;
  const row_plan plan =
      plan_rows(context.capability, a.cols, kBytes, Policy::kStreams, aligned, writes);
  if constexpr (requires { requires Policy::kPipelined; }) {
    if (context.row_kernels == row_kernels::pipelined) {
      bool runs = false;
      const status s = launch_pipelined<Policy>(context, plan, a, how, writes, runs);
      if (how.whole != nullptr) *how.whole = runs;
      if (!s.ok() || runs || how.whole != nullptr) return s;
    }
  }
  if (how.whole != nullptr) return {};
  const long long rows_of_block = plan.kernel == row_kernel::lanes ? plan.threads / plan.lanes : 1;
  const long long blocks = (a.rows + rows_of_block - 1) / rows_of_block;
  const dynamic_shared shared{plan.shared_bytes, shared_limit(context.capability)};
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, plan.threads, shared, a);
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
  if (plan.threads == 128) return run(kernels::rows_by_block<Wide, 128, false>);
  return run(kernels::rows_by_block<Wide, 512, false>);
}

// Rows of floats whose results are 16 bits wide, which they always have: always a block a row, so
// that few kernels are built. With results, rows of the small block fit on chip.
template <class Policy>
status launch_rows_by_block(const device_context& context,
                            const typename Policy::arguments& a) noexcept {
  static_assert(sizeof(typename Policy::value) == 4 && Policy::kStreams == 1);
  const block_plan plan = plan_block(context.capability, a.cols, 4);
  const dynamic_shared shared{plan.shared_bytes, shared_limit(context.capability)};
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, a.rows, plan.threads, shared, a);
  };
  if (plan.threads == 128) return run(kernels::rows_by_block<Policy, 128, true>);
  if (plan.on_chip) return run(kernels::rows_by_block<Policy, 512, true>);
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

// Four positions a thread; `runs`: whether the elements are read once so.
template <class Policy>
status launch_strided_by_four(const device_context& context, const typename Policy::arguments& a,
                              bool has_state, bool& runs) noexcept {
  constexpr int kBytes = static_cast<int>(sizeof(typename Policy::value));
  constexpr int kState = static_cast<int>(sizeof(typename Policy::state));
  constexpr int kCoefficients = static_cast<int>(sizeof(typename Policy::coefficients));
  const bool keeps = !has_state && a.out[0].data != nullptr;
  const strided_plan plan =
      plan_strided_by_four(context.capability, a.cols, kBytes, kState, kCoefficients, keeps);
  const auto misaligned = [](const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % (4 * kBytes) != 0;
  };
  runs = plan.on_chip == keeps;
  if (!runs) return {};
  const bool together = a.inner % 4 == 0 && !misaligned(a.in[0].data) && !misaligned(a.out[0].data);
  const long long rows_of_block = 4 * kStridedThreads / plan.groups;
  const long long blocks = (a.rows + rows_of_block - 1) / rows_of_block;
  const dynamic_shared shared{plan.shared_bytes, shared_limit(context.capability)};
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, kStridedThreads, shared, a, plan.on_chip);
  };
  const auto run_of = [&]<int kGroups, bool kSaved>(std::integral_constant<int, kGroups>,
                                                    std::bool_constant<kSaved>) noexcept {
    return together ? run(kernels::rows_strided_by_four<Policy, kGroups, kSaved, true>)
                    : run(kernels::rows_strided_by_four<Policy, kGroups, kSaved, false>);
  };
  constexpr std::integral_constant<int, 1> kOne;
  constexpr std::integral_constant<int, kStridedGroups> kMany;
  if (plan.groups == 1) {
    return has_state ? run_of(kOne, std::true_type()) : run_of(kOne, std::false_type());
  }
  return has_state ? run_of(kMany, std::true_type()) : run_of(kMany, std::false_type());
}

// The same policies on rows whose columns are not innermost.
template <class Policy>
status launch_strided(const device_context& context, const typename Policy::arguments& a,
                      bool has_state) noexcept {
  using enum kernels::strided_source;
  if constexpr (requires { requires Policy::kPipelined; }) {
    if (context.row_kernels == row_kernels::pipelined) {
      bool runs = false;
      const status s = launch_strided_by_four<Policy>(context, a, has_state, runs);
      if (!s.ok() || runs) return s;
    }
  }
  const strided_plan plan =
      plan_strided(context.capability, a.cols, static_cast<int>(sizeof(typename Policy::value)),
                   !has_state && a.out[0].data != nullptr);
  const long long rows_of_block = kStridedThreads / plan.groups;
  const long long blocks = (a.rows + rows_of_block - 1) / rows_of_block;
  const dynamic_shared shared{plan.shared_bytes, strided_shared_limit(context.capability)};
  const auto run = [&](auto kernel) noexcept {
    return launch(context, kernel, blocks, kStridedThreads, shared, a);
  };
  constexpr int kMany = kStridedGroups;
  const bool few = plan.groups == 1;
  if (has_state) {
    return few ? run(kernels::rows_strided<Policy, 1, saved>)
               : run(kernels::rows_strided<Policy, kMany, saved>);
  }
  if (plan.on_chip) {
    return few ? run(kernels::rows_strided<Policy, 1, on_chip>)
               : run(kernels::rows_strided<Policy, kMany, on_chip>);
  }
  return few ? run(kernels::rows_strided<Policy, 1, two_reads>)
             : run(kernels::rows_strided<Policy, kMany, two_reads>);
}

// The scalar loss of no rows at all: 0, or NaN where a zero divisor is to give that (all bits set
// are a NaN). A normalizer on the device cannot be looked at: it counts as not 0.
template <class Options>
status write_empty_loss(const device_context& context, float* loss, const Options& o) noexcept {
  if (o.reduction == reduction::none) return {};
  const bool zero_divisor = o.normalizer.given()
                                ? !o.normalizer.on_device() && o.normalizer.value() == 0.0f
                                : o.reduction == reduction::mean;
  const bool nan = zero_divisor && o.empty == empty_batch::nan;
  return clear(context, loss, nan ? 0xff : 0, sizeof(float));
}

// How many partial sums the total of this many items needs room for.
constexpr std::int64_t partials_of(std::int64_t items) {
  constexpr std::int64_t kChunk = kernels::kRowsOfOneBlock;
  return items > kChunk ? (items - 1) / kChunk + 1 : 0;
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

// Likewise several sums over the same rows, each in a block of its own at last: `items.rows` rows
// each, with as much room for partial sums as each would need.
template <class Items, class Done>
status launch_totals(const device_context& context, Items items, int sums,
                     kernels::totals* partials, const Done& done) noexcept {
  constexpr long long kChunk = kernels::kRowsOfOneBlock;
  const long long several = partials_of(items.rows);
  items.stride = several == 0 ? items.rows : several * kChunk;
  if (several == 0) {
    return launch(context, kernels::total_kernel<Items, Done>, static_cast<long long>(sums),
                  kernels::kTotalThreads, 0, items, sums * items.stride, items.stride, done);
  }
  const kernels::store_total store{partials};
  const status s =
      launch(context, kernels::total_kernel<Items, kernels::store_total>, sums * several,
             kernels::kTotalThreads, 0, items, sums * items.stride, kChunk, store);
  if (!s.ok()) return s;
  return launch(context, kernels::total_kernel<kernels::sum_partials, Done>,
                static_cast<long long>(sums), kernels::kTotalThreads, 0,
                kernels::sum_partials{partials}, sums * several, several, done);
}

}  // namespace culoss::detail
