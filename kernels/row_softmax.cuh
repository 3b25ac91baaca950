// The skeleton of the row losses: reduce a row to a small state, turn the state into coefficients,
// write one element for each element read.
//
// Moves, per row of C elements of s bytes and for each input stream: C s read once; where there is
// a matrix to write, C s written once, and the inputs read a second time only by rows_by_block<..,
// false> (rows that do not fit on chip) and of rows in parts. One launch for all rows, but for these.
//
//   rows_by_lanes<Policy, L, P>      L lanes of a warp a row, at most P packs a lane, in registers
//   rows_by_lanes_in_turn<...>       likewise, the next row on its way meanwhile
//   rows_by_block<Policy, N, true>   N threads a row, the row's raw packs in shared memory
//   rows_by_block<Policy, N, false>  likewise, read again where it is written
//   rows_by_ring<Policy, N, C>       see row_ring.cuh
//   rows_by_copies<Policy, N>        see row_copies.cuh
//   rows_by_parts<Policy>            see row_parts.cuh
//   rows_elementwise<Policy>         no reduction: a warp for each kSpanPacks * 32 packs
//
// A Policy is built for one row by each thread that works on it, and has
//   arguments                   a plain struct with `stream<T> in[kStreams]`, rows, cols and
//                               `target<T> out[kOutputs]`, of which those that are null are not
//                               written
//   value, kStreams, kOutputs   element type; number of inputs and outputs, not more of these
//   result                      element type of the outputs, where it is not the inputs'
//   absent(i)                   what a column that is not there reads as in input i
//   skip(), fill()              whether the row is not to be read; what is written then
//   write_skipped()             the row's own outputs in that case, by one thread
//   state, identity(), add(), merge()   the reduction, in a tree fixed by width and alignment
//   coefficients, finish(state)         what every element needs to know of its row
//   write(state, coefficients)          the row's own outputs, by one thread
//   zero(coefficients)                  whether the row's gradient is 0 whatever its elements
//   kPipelined                  optional: true where the kernels that are pipelined are
//                               built, too
//   apply(coefficients, x, column)      replaces the elements x[i] by those of output i
// and may have a second reduction over the row, which knows the coefficients of the first; the row
// stays on chip for it, or is read once more:
//   second, second_identity(), add_second(), merge_second()    as of the first
//   finish(coefficients, second)        the coefficients with what it found
#pragma once

#include <cub/block/block_reduce.cuh>

#include "kernels/math.cuh"
#include "kernels/row_constants.hpp"
#include "kernels/vector_io.cuh"
#include "kernels/warp.cuh"
#include "kernels/whole_call.cuh"

namespace culoss::kernels {

using detail::kLaneThreads;

inline constexpr int kSpanPacks = 4;      // packs a lane of rows_elementwise handles
inline constexpr int kSpanThreads = 256;  // its block

template <class Policy>
struct result_type {
  using type = typename Policy::value;
};
template <class Policy>
requires requires { typename Policy::result; }
struct result_type<Policy> {
  using type = typename Policy::result;
};

template <class Policy>
concept reduces_twice = requires {
  typename Policy::second;
};

// Losses that the kernels which stay can reduce, too.
template <class Policy>
concept has_whole_calls = requires(const typename Policy::arguments& a) {
  requires Policy::kPipelined;
  a.whole.on;
};
template <class Policy>
using whole_exchange_of = std::conditional_t<has_whole_calls<Policy>, whole_exchange, char>;

template <class Policy, int kThreads, class Meet>
__device__ void begin_whole_call(const typename Policy::arguments& a, whole_exchange_of<Policy>& x,
                                 int thread, Meet&& meet) {
  if constexpr (has_whole_calls<Policy>) {
    if (a.whole.on) begin_call<kThreads>(a, x, thread, meet);
  }
}
template <class Policy, int kThreads, class Meet>
__device__ void end_whole_call(const typename Policy::arguments& a, whole_exchange_of<Policy>& x,
                               int thread, Meet&& meet) {
  if constexpr (has_whole_calls<Policy>) {
    if (a.whole.on) end_call<kThreads>(a, x, thread, meet);
  }
}

// The rows of one index: inputs, output, and which of them begin at the same place in their packs.
template <class Policy>
struct row_of {
  using T = typename Policy::value;
  static constexpr int kStreams = Policy::kStreams;
  static constexpr int kOutputs = Policy::kOutputs;
  static constexpr int kSize = pack<T>::kSize;
  using result_row = output_row<typename result_type<Policy>::type, kSize>;

  input_row<T> first;
  const typename Policy::arguments& a;
  long long row;

  __device__ row_of(const typename Policy::arguments& a, long long row)
      : first(a.in[0].data + row * a.in[0].ld, static_cast<int>(a.cols)), a(a), row(row) {}

  __device__ input_row<T> input(int i) const {
    return {a.in[i].data + row * a.in[i].ld, static_cast<int>(a.cols)};
  }
  __device__ result_row output(int i) const {
    return {a.out[i].data + row * a.out[i].ld, static_cast<int>(a.cols)};
  }

  template <cache kCache>
  __device__ void load(int k, pack<T> (&p)[kStreams]) const {
    p[0] = first.template load<kCache>(k, Policy::absent(0));
#pragma unroll
    for (int i = 1; i < kStreams; ++i) {
      const input_row<T> in = input(i);
      p[i] = in.template load_columns<kCache>(first.first_column(k), Policy::absent(i),
                                              in.head() == first.head());
    }
  }
  __device__ static void absent(pack<T> (&p)[kStreams]) {
#pragma unroll
    for (int i = 0; i < kStreams; ++i) {
      float x[kSize];
#pragma unroll
      for (int e = 0; e < kSize; ++e) x[e] = Policy::absent(i);
      p[i] = repack<T>(x);
    }
  }

  // The batch of packs k, k + stride, ... : into the state, or to a reduction.
  template <int kPacks>
  __device__ void add(const Policy& policy, typename Policy::state& s,
                      const pack<T> (&p)[kPacks][kStreams], int k, int stride) const {
    add(p, k, stride, [&](auto& x, const auto& column) { policy.add(s, x, column); });
  }
  template <int kPacks, class Add>
  __device__ void add(const pack<T> (&p)[kPacks][kStreams], int k, int stride,
                      const Add& add_them) const {
    float x[kStreams][kPacks][kSize];
    int column[kPacks];
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      column[b] = first.first_column(k + b * stride);
#pragma unroll
      for (int i = 0; i < kStreams; ++i) unpack(p[b][i], x[i][b]);
    }
    add_them(x, column);
  }

  __device__ void store(const Policy& policy, const typename Policy::coefficients& c,
                        const pack<T> (&p)[kStreams], int k) const {
    float x[kStreams][kSize];
#pragma unroll
    for (int i = 0; i < kStreams; ++i) unpack(p[i], x[i]);
    const int column = first.first_column(k);
    policy.apply(c, x, column);
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) put(i, column, x[i]);
  }

  __device__ void fill(float value, int column) const {
    float x[kSize];
#pragma unroll
    for (int e = 0; e < kSize; ++e) x[e] = value;
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) put(i, column, x);
  }
  __device__ void put(int i, int column, const float (&x)[kSize]) const {
    if (a.out[i].data == nullptr) return;
    const result_row out = output(i);
    out.store_columns(column, x, out.head() == first.head());
  }
  // The whole output rows, by `threads` threads of which this is number `thread`.
  __device__ void fill_row(float value, int thread, int threads) const {
    for (int k = thread; k < first.packs(); k += threads) fill(value, first.first_column(k));
  }
};

// What one of kLanes lanes has of a row: raw packs in registers.
template <class Policy, int kLanes, int kPacks>
struct lane_packs {
  using T = typename Policy::value;
  static constexpr int kBatchPacks = detail::kBatch / Policy::kStreams;

  pack<T> p[kPacks][Policy::kStreams];

  // Of a row with this many packs, 0 where it is not to be read.
  __device__ void load(const row_of<Policy>& r, int packs, int lane) {
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      const int k = lane + b * kLanes;
      if (k < packs) {
        r.template load<cache::streaming>(k, p[b]);
      } else {
        row_of<Policy>::absent(p[b]);
      }
    }
  }

  // All lanes of a warp take part in its shuffles, whatever their rows.
  __device__ void work(const row_of<Policy>& r, const Policy& policy, bool exists, bool skipped,
                       int lane) const {
    const int packs = skipped ? 0 : r.first.packs();
    typename Policy::state s = policy.identity();
    add(r, packs, lane, [&](auto& x, const auto& column) { policy.add(s, x, column); });
    s = merge_lanes<kLanes>(s, [&](const auto& x, const auto& y) { return policy.merge(x, y); });
    typename Policy::coefficients c;
    if constexpr (reduces_twice<Policy>) {
      c = policy.finish(s);
      typename Policy::second found = policy.second_identity();
      add(r, packs, lane,
          [&](auto& x, const auto& column) { policy.add_second(found, c, x, column); });
      found = merge_lanes<kLanes>(
          found, [&](const auto& x, const auto& y) { return policy.merge_second(x, y); });
      c = policy.finish(c, found);
    }
    if (!exists) return;
    if (skipped) {
      if (lane == 0) policy.write_skipped();
      if (any(r.a.out)) r.fill_row(policy.fill(), lane, kLanes);
      return;
    }
    if constexpr (!reduces_twice<Policy>) c = policy.finish(s);
    if (lane == 0) policy.write(s, c);
    if (!any(r.a.out)) return;
    if (policy.zero(c)) {
      r.fill_row(0.0f, lane, kLanes);
      return;
    }
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      if (lane + b * kLanes < packs) r.store(policy, c, p[b], lane + b * kLanes);
    }
  }

 private:
  template <class Add>
  __device__ void add(const row_of<Policy>& r, int packs, int lane, const Add& add_them) const {
#pragma unroll
    for (int b = 0; b < kPacks; b += kBatchPacks) {
      if (b > 0 && b * kLanes >= packs) break;
      constexpr int kLast = kPacks % kBatchPacks == 0 ? kBatchPacks : kPacks % kBatchPacks;
      if (b + kBatchPacks <= kPacks) {
        add_batch<kBatchPacks>(r, b, lane, add_them);
      } else {
        add_batch<kLast>(r, b, lane, add_them);
      }
    }
  }
  template <int kCount, class Add>
  __device__ void add_batch(const row_of<Policy>& r, int b, int lane, const Add& add_them) const {
    pack<T> batch[kCount][Policy::kStreams];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int j = 0; j < Policy::kStreams; ++j) batch[i][j] = p[(b + i) % kPacks][j];
    }
    r.add(batch, lane + b * kLanes, kLanes, add_them);
  }
};

// Each kernel states how many of its blocks a multiprocessor should hold: where it does not, ptxas
// looks for an occupancy of its own and spills a few registers to reach it.
template <class Policy, int kLanes, int kPacks>
__global__ void __launch_bounds__(kLaneThreads, Policy::kStreams > 1 ? 2 : 3)
    rows_by_lanes(const __grid_constant__ typename Policy::arguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const long long row = block_index() * (kLaneThreads / kLanes) + threadIdx.x / kLanes;
  const bool exists = row < a.rows;
  const row_of<Policy> r(a, exists ? row : 0);
  const Policy policy(a, r.row);
  const bool skipped = !exists || policy.skip();
  lane_packs<Policy, kLanes, kPacks> packs;
  packs.load(r, skipped ? 0 : r.first.packs(), lane);
  packs.work(r, policy, exists, skipped, lane);
}

// Likewise by blocks that stay, each with a sequence of rows of its own: while a warp works on its
// row the next one is being loaded, so that of a row of 512 bytes or more that much is always on its
// way, whatever the shuffles wait for. The labels of a sequence lie together.
template <class Policy, int kLanes, int kPacks>
__global__ void __launch_bounds__(kLaneThreads, detail::lane_blocks(kPacks))
    rows_by_lanes_in_turn(const __grid_constant__ typename Policy::arguments a,
                          long long rows_of_block) {
  __shared__ whole_exchange_of<Policy> exchange;
  constexpr int kStep = kLaneThreads / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int of_block = static_cast<int>(threadIdx.x) / kLanes;
  const int of_warp = static_cast<int>(threadIdx.x) % 32 / kLanes;
  const long long begin = block_index() * rows_of_block;
  const long long end = begin + rows_of_block < a.rows ? begin + rows_of_block : a.rows;
  const auto load = [&](auto& packs, long long row) {
    const bool exists = row < end;
    const row_of<Policy> r(a, exists ? row : 0);
    const bool skipped = !exists || Policy(a, r.row).skip();
    packs.load(r, skipped ? 0 : r.first.packs(), lane);
  };
  long long row = begin + of_block;
  lane_packs<Policy, kLanes, kPacks> packs;
  load(packs, row);
  const int thread = static_cast<int>(threadIdx.x);
  const auto meet = [] { __syncthreads(); };
  begin_whole_call<Policy, kLaneThreads>(a, exchange, thread, meet);
  for (; row - of_warp < end; row += kStep) {  // alike for all lanes of a warp
    lane_packs<Policy, kLanes, kPacks> next;
    load(next, row + kStep);
    const bool exists = row < end;
    const row_of<Policy> r(a, exists ? row : 0);
    const Policy policy(a, r.row);
    packs.work(r, policy, exists, !exists || policy.skip(), lane);
    packs = next;
  }
  end_whole_call<Policy, kLaneThreads>(a, exchange, thread, meet);
}

template <class Policy, int kThreads, bool kOnChip>
__global__ void __launch_bounds__(kThreads, 512 / kThreads)
    rows_by_block(const __grid_constant__ typename Policy::arguments a) {
  using T = typename Policy::value;
  using block_reduce = cub::BlockReduce<typename Policy::state, kThreads>;
  __shared__ typename block_reduce::TempStorage scratch;
  __shared__ typename Policy::coefficients shared_coefficients;
#ifdef __CUDACC__  // the emulated device's stand-in for cub keeps a state for each thread
  static_assert(sizeof scratch + sizeof shared_coefficients <= detail::kStaticShared);
#endif
  constexpr int kBatchPacks = detail::kBatch / Policy::kStreams;
  constexpr cache kFirstRead = kOnChip ? cache::streaming : cache::level2;
  uint4* const chip = dynamic_shared();

  const long long row = block_index();
  if (row >= a.rows) return;
  const int thread = static_cast<int>(threadIdx.x);
  const row_of<Policy> r(a, row);
  const Policy policy(a, row);
  if (policy.skip()) {
    if (thread == 0) policy.write_skipped();
    if (any(a.out)) r.fill_row(policy.fill(), thread, kThreads);
    return;
  }

  const int packs = r.first.packs();
  typename Policy::state s = policy.identity();
  for (int k = thread; k < packs; k += kBatchPacks * kThreads) {
    pack<T> p[kBatchPacks][Policy::kStreams];
#pragma unroll
    for (int b = 0; b < kBatchPacks; ++b) {
      const int at = k + b * kThreads;
      if (at < packs) {
        r.template load<kFirstRead>(at, p[b]);
      } else {
        row_of<Policy>::absent(p[b]);
      }
    }
    if constexpr (kOnChip) {  // each thread reads back only what it wrote: no barrier
#pragma unroll
      for (int b = 0; b < kBatchPacks; ++b) {
        const int at = k + b * kThreads;
        if (at >= packs) break;
#pragma unroll
        for (int i = 0; i < Policy::kStreams; ++i) chip[i * packs + at] = p[b][i].raw;
      }
    }
    r.add(policy, s, p, k, kThreads);
  }
  const auto merge = [&](const auto& x, const auto& y) { return policy.merge(x, y); };
  s = block_reduce(scratch).Reduce(s, merge);
  typename Policy::coefficients mine;
  if (thread == 0) {
    mine = policy.finish(s);
    shared_coefficients = mine;
  }
  if constexpr (reduces_twice<Policy>) {
    using second = typename Policy::second;
    using second_reduce = cub::BlockReduce<second, kThreads>;
    __shared__ typename second_reduce::TempStorage second_scratch;
#ifdef __CUDACC__
    static_assert(sizeof scratch + sizeof second_scratch + sizeof shared_coefficients <=
                  detail::kStaticShared);
#endif
    __syncthreads();
    const typename Policy::coefficients c = shared_coefficients;
    second found = policy.second_identity();
    for (int k = thread; k < packs; k += kBatchPacks * kThreads) {
      pack<T> p[kBatchPacks][Policy::kStreams];
#pragma unroll
      for (int b = 0; b < kBatchPacks; ++b) {
        const int at = k + b * kThreads;
        if (at >= packs) {
          row_of<Policy>::absent(p[b]);
        } else if constexpr (kOnChip) {
#pragma unroll
          for (int i = 0; i < Policy::kStreams; ++i) p[b][i].raw = chip[i * packs + at];
        } else {
          r.template load<cache::level2>(at, p[b]);
        }
      }
      r.add(p, k, kThreads,
            [&](auto& x, const auto& column) { policy.add_second(found, c, x, column); });
    }
    found = second_reduce(second_scratch).Reduce(found, [&](const auto& x, const auto& y) {
      return policy.merge_second(x, y);
    });
    if (thread == 0) {  // all others have read what stood there
      mine = policy.finish(mine, found);
      shared_coefficients = mine;
    }
  }
  if (any(a.out)) __syncthreads();
  if (thread == 0) policy.write(s, mine);  // while the others go on
  if (!any(a.out)) return;
  const typename Policy::coefficients c = shared_coefficients;
  if (policy.zero(c)) {
    r.fill_row(0.0f, thread, kThreads);
    return;
  }
  for (int k = thread; k < packs; k += kBatchPacks * kThreads) {
    pack<T> p[kBatchPacks][Policy::kStreams];  // loads of a batch do not wait for its stores
#pragma unroll
    for (int b = 0; b < kBatchPacks; ++b) {
      const int at = k + b * kThreads;
      if (at >= packs) break;
      if constexpr (kOnChip) {
#pragma unroll
        for (int i = 0; i < Policy::kStreams; ++i) p[b][i].raw = chip[i * packs + at];
      } else {
        r.template load<cache::streaming>(at, p[b]);
      }
    }
#pragma unroll
    for (int b = 0; b < kBatchPacks; ++b) {
      const int at = k + b * kThreads;
      if (at < packs) r.store(policy, c, p[b], at);
    }
  }
}

// Where the state is known already: coefficients from what an earlier call left.
template <class Policy>
__global__ void __launch_bounds__(kSpanThreads, 2)
    rows_elementwise(const __grid_constant__ typename Policy::arguments a, long long spans_of_row) {
  using T = typename Policy::value;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const long long span = block_index() * (kSpanThreads / 32) + threadIdx.x / 32;
  const long long row = span / spans_of_row;
  if (row >= a.rows) return;
  const row_of<Policy> r(a, row);
  const Policy policy(a, row);
  const int begin = static_cast<int>(span - row * spans_of_row) * (32 * kSpanPacks) + lane;
  const bool skipped = policy.skip();
  const int packs = r.first.packs();

  pack<T> p[kSpanPacks][Policy::kStreams];
#pragma unroll
  for (int b = 0; b < kSpanPacks; ++b) {
    if (begin + b * 32 < packs && !skipped) r.template load<cache::streaming>(begin + b * 32, p[b]);
  }
  if (skipped && begin == 0) policy.write_skipped();
  const typename Policy::coefficients c = policy.finish();
  const bool constant = skipped || policy.zero(c);
#pragma unroll
  for (int b = 0; b < kSpanPacks; ++b) {
    const int k = begin + b * 32;
    if (k >= packs) continue;
    if (constant) {
      r.fill(skipped ? policy.fill() : 0.0f, r.first.first_column(k));
    } else {
      r.store(policy, c, p[b], k);
    }
  }
}

}  // namespace culoss::kernels
