// Wide rows on devices that copy into shared memory without its threads, but not in bulk (sm_80 to
// 89, and all after 90): while a block works on one row the next one is on its way.
//
// Moves, per row of C elements of s bytes: C s read once, C s written once; nothing of a row that is
// skipped. The 16-byte packs that lie inside a row are copied by cp.async, the fewer than 16 bytes at
// each end element by element, which wait in registers until the row before is done. Results that
// begin elsewhere in their 16 bytes than the inputs are stored in 16-byte accesses of their own packs.
//
//   rows_by_copies<Policy, N>    N threads; a grid that stays: block b has the rows b, b + blocks, ...
//
// A thread reduces the packs that it copied itself, or that its warp wrote, and copies the next row
// over them behind its own last reads: no barrier but those of the reduction, whose tree is that of
// rows_by_block<Policy, N>, so that the bits are the same.
#pragma once

#include "kernels/async_copy.cuh"
#include "kernels/row_on_chip.cuh"

namespace culoss::kernels {

// One element of a pack that its row shares with something else, on its way to a slot. Each lane of
// the warps that have such a pack has one.
template <class T>
struct end_element {
  T value{};
  int at = -1;  // of the slot; less than 0: none

  __device__ void load(const input_row<T>& in, float absent, int warp, int lane, int threads) {
    const int k = lane < 16 ? 0 : in.packs() - 1, e = lane % 16, first = in.first_column(k);
    if (k % threads / 32 != warp || e >= pack<T>::kSize || in.whole(first)) return;
    const int column = first + e;
    value = column >= 0 && column < in.cols() ? in.data()[column] : from_float<T>(absent);
    at = k * pack<T>::kSize + e;
  }
  __device__ void store(uint4* slot) const {
    if (at >= 0) reinterpret_cast<T*>(slot)[at] = value;
    __syncwarp();
  }
};

template <class Policy, int kThreads>
__global__ void __launch_bounds__(kThreads, detail::ring_blocks(kThreads))
    rows_by_copies(const __grid_constant__ typename Policy::arguments a, int packs_of_slot) {
  using T = typename Policy::value;
  static_assert(Policy::kStreams == 1 && Policy::kOutputs == 1);
  __shared__ typename Policy::state states[kThreads / 32];
  __shared__ typename Policy::coefficients shared_coefficients;
  __shared__ whole_exchange_of<Policy> exchange;
  static_assert(sizeof states + sizeof shared_coefficients + sizeof exchange <=
                detail::kCopiesStatic);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const auto load = [&](long long row, uint4* slot) {
    end_element<T> end;
    if (row < a.rows && !Policy(a, row).skip()) {
      const input_row<T> in = row_of<Policy>(a, row).first;
      const int packs = in.packs();
      for (int k = thread; k < packs; k += kThreads) {
        const int column = in.first_column(k);
        if (in.whole(column)) copy16_async(slot + k, in.data() + column);
      }
      end.load(in, Policy::absent(0), warp, lane, kThreads);
    }
    commit_copies();
    return end;
  };

  uint4* chip = dynamic_shared();
  uint4* next = chip + packs_of_slot;
  load(blockIdx.x, chip).store(chip);
  const auto meet = [] { __syncthreads(); };
  begin_whole_call<Policy, kThreads>(a, exchange, thread, meet);
  for (long long row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const end_element<T> end = load(row + gridDim.x, next);
    const row_of<Policy> r(a, row);
    const Policy policy(a, row);
    if (policy.skip()) {
      if (thread == 0) policy.write_skipped();
      r.fill_row(policy.fill(), thread, kThreads);
    } else {
      wait_copies<1>();
      const typename Policy::state s = add_row<kThreads>(policy, chip, r.first, thread);
      if (lane == 0) states[warp] = s;
      __syncthreads();
      if (thread == 0) {
        const typename Policy::state all = merge_in_order(policy, states, kThreads / 32);
        const typename Policy::coefficients mine = policy.finish(all);
        shared_coefficients = mine;
        policy.write(all, mine);
      }
      __syncthreads();
      const typename Policy::coefficients c = shared_coefficients;
      const auto out = r.output(0);
      if (policy.zero(c)) {
        r.fill_row(0.0f, thread, kThreads);
      } else if (out.head() != r.first.head()) {
        store_by_own_packs<kThreads>(policy, c, chip, r.first, out, 0, thread);
        __syncthreads();  // of elements that others copied, and will overwrite
      } else {
        for (int k = thread; k < r.first.packs(); k += kThreads) {
          const pack<T> p[1] = {{chip[k]}};
          r.store(policy, c, p, k);
        }
      }
    }
    end.store(next);
    uint4* const done = chip;
    chip = next;
    next = done;
  }
  end_whole_call<Policy, kThreads>(a, exchange, thread, meet);
}

}  // namespace culoss::kernels
