// Rows too wide for one block's ring, in parts that warps reduce by themselves: the same tree, and so
// the same bits, whether a row has a block of its own, the blocks of a cluster (row_ring.cuh) or a
// block for each part.
//
// Moves, per row of C elements of s bytes: C s read once; where there is a matrix to write C s
// written once and the inputs read a second time, by rows_by_parts where the row has one block, else
// by finish_parts, of a few rows from the second-level cache. About 16 KB a part, 16 bytes at
// most of a state for each.
//
//   rows_by_parts<Policy>    256 threads: a row, or of few rows a part of one, whose state it leaves
//   finish_parts<Policy>     of few rows, after that: merges a row's states; 256 threads a part write
//
// The tree: a thread folds the packs t, t + 256, ... of a part, four at a time, those of the last
// round one by one; the lanes of a warp are merged, the 8 warps of a part, the parts of a group, the
// groups, each in their order. The width decides how many there are of all of these.
//
// Predicted for an H200, not measured: one row of 262144 in 16 bits has 32 parts; a block of each
// takes about 1.3 us for its 16 KB, the second launch about as much, and a launch 2 us.
#pragma once

#include "kernels/row_on_chip.cuh"

namespace culoss::kernels {

using detail::kPartThreads;
using detail::kPartWarps;

// By kPartThreads threads, of which this is number `thread`: a warp's state of the packs
// [begin, end); load(k) has pack k, whose first column is column(k).
template <class Policy, class Load, class Column>
__device__ typename Policy::state add_part(const Policy& policy, int begin, int end, int thread,
                                           const Load& load, const Column& column) {
  using T = typename Policy::value;
  static_assert(Policy::kStreams == 1);
  constexpr int kBatch = detail::kBatch, kSize = pack<T>::kSize;
  typename Policy::state s = policy.identity();
  for (int k = begin + thread; k < end; k += kBatch * kPartThreads) {
    pack<T> p[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (k + b * kPartThreads < end) p[b] = load(k + b * kPartThreads);
    }
    if (k + (kBatch - 1) * kPartThreads < end) {
      float x[1][kBatch][kSize];
      int first[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        first[b] = column(k + b * kPartThreads);
        unpack(p[b], x[0][b]);
      }
      policy.add(s, x, first);
      continue;
    }
#pragma unroll
    for (int b = 0; b < kBatch - 1; ++b) {
      if (k + b * kPartThreads >= end) break;
      float x[1][1][kSize];
      const int first[1] = {column(k + b * kPartThreads)};
      unpack(p[b], x[0][0]);
      policy.add(s, x, first);
    }
  }
  return merge_lanes<32>(s, [&](const auto& x, const auto& y) { return policy.merge(x, y); });
}

// By the lanes of a warp: all parts of a row, group by group; lane 0 has the result.
template <class Policy>
__device__ typename Policy::state merge_parts(const Policy& policy,
                                              const typename Policy::state* parts,
                                              const detail::parts_plan& plan,
                                              typename Policy::state* groups) {
  const int lane = static_cast<int>(threadIdx.x) % 32, count = plan.parts / plan.of_group;
  if (lane < count) {
    const typename Policy::state s =
        merge_in_order(policy, parts + lane * plan.of_group, plan.of_group);
    groups[lane] = s;
  }
  __syncwarp();
  return lane == 0 ? merge_in_order(policy, groups, count) : policy.identity();
}

// The packs [begin, end) of a row's results, from its inputs.
template <class Policy>
__device__ void write_packs(const row_of<Policy>& r, const Policy& policy,
                            const typename Policy::coefficients& c, int begin, int end) {
  using T = typename Policy::value;
  constexpr int kBatch = detail::kBatch;
  const bool zero = policy.zero(c);
  for (int k = begin + static_cast<int>(threadIdx.x); k < end; k += kBatch * kPartThreads) {
    pack<T> p[kBatch][1];  // loads of a batch do not wait for its stores
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = k + b * kPartThreads;
      if (at < end && !zero) r.template load<cache::streaming>(at, p[b]);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = k + b * kPartThreads;
      if (at >= end) break;
      if (zero) {
        r.fill(0.0f, r.first.first_column(at));
      } else {
        r.store(policy, c, p[b], at);
      }
    }
  }
}

// `left`: where a part's state goes; null: a block has a whole row.
template <class Policy>
__global__ void __launch_bounds__(kPartThreads, 3)
    rows_by_parts(const __grid_constant__ typename Policy::arguments a,
                  const detail::parts_plan plan, typename Policy::state* left) {
  using state = typename Policy::state;
  __shared__ state groups[detail::kMostRingBlocks];
  __shared__ typename Policy::coefficients shared_coefficients;
  auto* const states = reinterpret_cast<state*>(dynamic_shared());  // of warps, part by part
  const bool split = left != nullptr;
  const int parts_of_block = split ? 1 : plan.parts, blocks_of_row = plan.parts / parts_of_block;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const long long row = block_index() / blocks_of_row;
  if (row >= a.rows) return;
  const int part = static_cast<int>(block_index() - row * blocks_of_row);
  const row_of<Policy> r(a, row);
  const Policy policy(a, row);
  if (policy.skip()) {
    if (split) return;
    if (thread == 0) policy.write_skipped();
    if (any(a.out)) r.fill_row(policy.fill(), thread, kPartThreads);
    return;
  }

  const int packs = r.first.packs();
#pragma unroll 1
  for (int q = 0; q < parts_of_block; ++q) {
    const int begin = (part + q) * plan.packs;
    const int end = begin + plan.packs < packs ? begin + plan.packs : packs;
    const state s = add_part(
        policy, begin, end, thread,
        [&](int k) { return r.first.template load<cache::level2>(k, Policy::absent(0)); },
        [&](int k) { return r.first.first_column(k); });
    if (lane == 0) states[q * kPartWarps + warp] = s;
  }
  __syncthreads();
  state of_part = policy.identity();
  if (thread < parts_of_block) {
    of_part = merge_in_order(policy, states + thread * kPartWarps, kPartWarps);
  }
  if (split) {
    if (thread == 0) left[row * plan.parts + part] = of_part;
    return;
  }
  __syncthreads();
  if (thread < parts_of_block) states[thread] = of_part;
  __syncthreads();
  if (warp == 0) {
    const state s = merge_parts(policy, states, plan, groups);
    if (lane == 0) {
      const typename Policy::coefficients c = policy.finish(s);
      shared_coefficients = c;
      policy.write(s, c);
    }
  }
  if (!any(a.out)) return;
  __syncthreads();
  write_packs(r, policy, shared_coefficients, 0, packs);
}

// As many blocks a row as it has parts, or one warp where there is no matrix to write.
template <class Policy>
__global__ void __launch_bounds__(kPartThreads, 4)
    finish_parts(const __grid_constant__ typename Policy::arguments a,
                 const detail::parts_plan plan, const typename Policy::state* left) {
  __shared__ typename Policy::state groups[detail::kMostRingBlocks];
  __shared__ typename Policy::coefficients shared_coefficients;
  const bool writes = any(a.out);
  const int blocks_of_row = writes ? plan.parts : 1;
  const int thread = static_cast<int>(threadIdx.x);
  const long long row = block_index() / blocks_of_row;
  if (row >= a.rows) return;
  const int part = static_cast<int>(block_index() - row * blocks_of_row);
  const row_of<Policy> r(a, row);
  const Policy policy(a, row);
  const int begin = part * plan.packs, packs = r.first.packs();
  const int end = begin + plan.packs < packs ? begin + plan.packs : packs;
  if (policy.skip()) {
    if (part == 0 && thread == 0) policy.write_skipped();
    if (!writes) return;
    for (int k = begin + thread; k < end; k += kPartThreads) {
      r.fill(policy.fill(), r.first.first_column(k));
    }
    return;
  }
  if (thread < 32) {
    const typename Policy::state s = merge_parts(policy, left + row * plan.parts, plan, groups);
    if (thread == 0) {
      const typename Policy::coefficients c = policy.finish(s);
      shared_coefficients = c;
      if (part == 0) policy.write(s, c);
    }
  }
  if (!writes) return;
  __syncthreads();
  write_packs(r, policy, shared_coefficients, begin, end);
}

}  // namespace culoss::kernels
