// A call on a few rows by one kernel: before its rows each block counts all labels by itself, after
// them the last block to end sums the losses that all have left.
//
// Moves, beyond the rows: each label, and its class's weight where that counts, once a block, from
// the second-level cache but for the first; 16 bytes a block; each row's loss once. What it saves are
// two launches, for which it clears four bytes, and that the rows wait for the count: their first
// loads are issued before it.
#pragma once

#include "kernels/labels.cuh"
#include "kernels/warp.cuh"

namespace culoss::kernels {

// Null pointers: not wanted.
struct whole_call {
  bool on;                  // else the call is made of several launches
  totals* counted;          // of each block: what a mean divides by
  long long* rows_counted;  // of the call
  const float* weights;     // of the classes, where they count in the divisor
  unsigned* ended;          // blocks, 0 before; null: nothing is left to do after the rows
  float* loss;
  float* z_loss;
};

// In a block's shared memory.
struct whole_exchange {
  static constexpr int kWarps = kTotalThreads / 32;
  totals of_warps[kWarps];
  int last;
};

// In what follows meet() brings the kThreads threads together; begin_call does so an even number of
// times, after which a barrier's parity is what it was before.

// The sum that total_kernel makes of so few items, in its order, as of kTotalThreads threads. Thread
// 0 has it.
template <int kThreads, class Item, class Meet>
__device__ totals total_of_block(const Item& item, long long items, whole_exchange& x, int thread,
                                 Meet&& meet) {
  const int lane = thread % 32;
  for (int w = thread / 32; w < whole_exchange::kWarps; w += kThreads / 32) {
    totals t{0.0, 0};
    for (long long i = w * 32 + lane; i < items; i += kTotalThreads) t = add_totals{}(t, item(i));
    t = merge_lanes<32>(t, add_totals{});
    if (lane == 0) x.of_warps[w] = t;
  }
  meet();
  totals all{0.0, 0};
  if (thread == 0) {
    all = x.of_warps[0];
#pragma unroll 1
    for (int w = 1; w < whole_exchange::kWarps; ++w) all = add_totals{}(all, x.of_warps[w]);
  }
  return all;
}

template <int kThreads, class Arguments, class Meet>
__device__ void begin_call(const Arguments& a, whole_exchange& x, int thread, Meet&& meet) {
  const whole_call& call = a.whole;
  const bool reports = call.rows_counted != nullptr && block_index() == 0;
  if (call.counted == nullptr && !reports) return;
  const totals t =
      total_of_block<kThreads>(count_rows{a.all, call.weights}, a.rows, x, thread, meet);
  if (thread == 0) {
    if (call.counted != nullptr) call.counted[block_index()] = t;
    if (reports) *call.rows_counted = t.count;
  }
  meet();
}

template <int kThreads, class Arguments, class Meet>
__device__ void end_call(const Arguments& a, whole_exchange& x, int thread, Meet&& meet) {
  const whole_call& call = a.whole;
  if (call.ended == nullptr) return;
  meet();  // all that the block leaves is written
  if (thread == 0) {
    __threadfence();
    x.last = atomicAdd(call.ended, 1u) == gridDim.x - 1 ? 1 : 0;
    __threadfence();
  }
  meet();
  if (x.last == 0) return;
  if (call.loss != nullptr) {
    const totals t = total_of_block<kThreads>(sum_losses{a.row_loss}, a.rows, x, thread, meet);
    if (thread == 0) *call.loss = a.scale.by.loss(t.sum);
    meet();
  }
  if (call.z_loss != nullptr) {
    const totals t = total_of_block<kThreads>(sum_losses{a.row_z_loss}, a.rows, x, thread, meet);
    if (thread == 0) *call.z_loss = a.scale.by.loss(t.sum);
  }
  if (thread == 0) report_first_label(a.faults, a.all, a.rows);
}

}  // namespace culoss::kernels
