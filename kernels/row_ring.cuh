// Wide rows by way of a ring in shared memory: while the threads of a block work on one row, the
// next ones are being loaded and the ones before stored, by bulk copies that nobody waits for.
//
// Moves, per row of C elements of s bytes: C s read once, C s written once; nothing of a row that
// is skipped. The 16-byte packs that lie inside a row move in bulk, wherever it begins and ends;
// the fewer than 16 bytes at each end element by element. Where the output does not begin at the
// same place in its 16 bytes as the input, it is stored in 16-byte accesses of its own packs.
//
//   rows_by_ring<Policy, N>   N threads and a warp that copies; a grid that stays: block b has the
//                             rows b, b + blocks, ...
//
// The tree of the reduction is that of rows_by_block<Policy, N>: the bits are the same.
//
// Predicted for an H200, not measured: rows of 64 KB, two blocks a multiprocessor only up to 57 KB,
// so one of three slots; 128 KB a row through each multiprocessor at its share of 4.2 TB/s are about
// 4.0 us, of which the threads compute about 3.2 us (two exponentials an element at 16 a clock, the
// finish by one thread about 0.7 us): bound by the memory from 16-bit rows of 2049 columns on.
#pragma once

#include "kernels/async_copy.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

// What the warps of a block tell each other.
template <class Policy, int kThreads>
struct ring_exchange {
  barrier loaded[detail::kRingSlots];   // 2 arrivals: with the bulk copy, after the row's ends
  barrier written[detail::kRingSlots];  // a warp is done with the slot
  barrier reduced;                      // a warp's state is there
  barrier finished;                     // the coefficients are there
  typename Policy::state states[kThreads / 32];
  typename Policy::coefficients coefficients;
  long long rows[detail::kRingSlots];
  int stores[detail::kRingSlots];  // whether the slot holds results
};

// The packs of a row that move in bulk: all but those which it shares with something else.
struct bulk_packs {
  int first, count;

  template <class View>
  __device__ explicit bulk_packs(const View& row) {
    first = row.head() > 0 ? 1 : 0;
    count = (row.head() + row.cols()) / View::kSize - first;
  }
  __device__ int bytes() const { return count * detail::kPackBytes; }
};

// One warp: fills each slot as soon as its last row has been stored.
template <class Policy, int kThreads>
struct ring_copier {
  using T = typename Policy::value;
  static constexpr int kSize = pack<T>::kSize;

  const typename Policy::arguments& a;
  ring_exchange<Policy, kThreads>& x;
  uint4* ring;
  int slots, packs_of_slot;
  int lane;

  // The ends of the row, with what a column reads as that is not there.
  __device__ void load_ends(const input_row<T>& row, T* slot) const {
    const int last = row.packs() - 1;
    const int k = lane < kSize ? 0 : last;
    const int first = row.first_column(k);
    if (lane >= 2 * kSize || row.whole(first)) return;
    const int column = first + lane % kSize;
    const bool there = column >= 0 && column < row.cols();
    slot[k * kSize + lane % kSize] = there ? row.data()[column] : from_float<T>(Policy::absent(0));
  }

  __device__ void fill(int slot, long long row) const {
    const row_of<Policy> r(a, row);
    uint4* const to = ring + slot * packs_of_slot;
    if (lane == 0) {
      const bulk_packs bulk(r.first);
      arrive_expecting(&x.loaded[slot], bulk.bytes());
      load_bulk(to + bulk.first, r.first.data() + r.first.first_column(bulk.first), bulk.bytes(),
                &x.loaded[slot]);
      x.rows[slot] = row;
    }
    load_ends(r.first, reinterpret_cast<T*>(to));
    fence_proxy();  // before another row's bulk copy overwrites them
    __syncwarp();
    if (lane == 0) arrive(&x.loaded[slot]);
  }

  __device__ void drain(int slot, int parity) const {
    wait(&x.written[slot], parity);
    if (lane == 0 && x.stores[slot] != 0) {
      const row_of<Policy> r(a, x.rows[slot]);
      const bulk_packs bulk(r.first);
      store_bulk(a.out[0].data + x.rows[slot] * a.out[0].ld + r.first.first_column(bulk.first),
                 ring + slot * packs_of_slot + bulk.first, bulk.bytes());
      commit_stores();
      wait_stores_read<0>();
    }
    __syncwarp();
  }

  __device__ void run() const {
    int slot = 0, parity = 0, filled = 0;  // filled: slots that hold a row
    const auto next = [&] {
      if (++slot < slots) return;
      slot = 0;
      parity ^= 1;
    };
    const long long blocks = gridDim.x;
    for (long long group = blockIdx.x; group < a.rows; group += 32 * blocks) {
      const long long mine = group + lane * blocks;
      const bool wanted = mine < a.rows && !Policy(a, mine).skip();
      for (unsigned rows = __ballot_sync(kAllLanes, wanted); rows != 0; rows &= rows - 1) {
        if (filled == slots) {
          drain(slot, parity ^ 1);
        } else {
          ++filled;
        }
        fill(slot, group + (__ffs(static_cast<int>(rows)) - 1) * blocks);
        next();
      }
    }
    // The rows that are left, the oldest first.
    if (filled == slots) {
      parity ^= 1;
    } else {
      slot = 0;
    }
    for (int i = 0; i < filled; ++i) {
      drain(slot, parity);
      next();
    }
  }
};

template <class Policy, int kThreads>
__global__ void __launch_bounds__(kThreads + 32, detail::ring_blocks(kThreads))
    rows_by_ring(const __grid_constant__ typename Policy::arguments a, int slots,
                 int packs_of_slot) {
  using T = typename Policy::value;
  static_assert(Policy::kStreams == 1 && Policy::kOutputs == 1);
  constexpr int kBatch = detail::kBatch, kWarps = kThreads / 32;
  __shared__ ring_exchange<Policy, kThreads> x;
  static_assert(sizeof x <= detail::kRingStatic);
  uint4* const ring = dynamic_shared();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;

  if (thread == 0) {
    for (int i = 0; i < slots; ++i) {
      init_barrier(&x.loaded[i], 2);
      init_barrier(&x.written[i], kWarps);
    }
    init_barrier(&x.reduced, kWarps);
    init_barrier(&x.finished, 1);
    publish_barriers();
  }
  __syncthreads();
  if (warp == kWarps) {
    ring_copier<Policy, kThreads>{a, x, ring, slots, packs_of_slot, lane}.run();
    return;
  }

  int slot = 0, parity = 0, turn = 0;
  for (long long row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const row_of<Policy> r(a, row);
    const Policy policy(a, row);
    if (policy.skip()) {
      if (thread == 0) policy.write_skipped();
      r.fill_row(policy.fill(), thread, kThreads);
      continue;
    }
    uint4* const chip = ring + slot * packs_of_slot;
    const int packs = r.first.packs();
    wait(&x.loaded[slot], parity);

    typename Policy::state s = policy.identity();
    for (int k = thread; k < packs; k += kBatch * kThreads) {
      pack<T> p[kBatch][1];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        if (k + b * kThreads < packs) {
          p[b][0].raw = chip[k + b * kThreads];
        } else {
          row_of<Policy>::absent(p[b]);
        }
      }
      r.add(policy, s, p, k, kThreads);
    }
    const auto merge = [&](const auto& y, const auto& z) { return policy.merge(y, z); };
    s = merge_lanes<32>(s, merge);
    if (lane == 0) {
      x.states[warp] = s;
      arrive(&x.reduced);
    }
    if (warp == 0) {
      wait(&x.reduced, turn);
      if (lane == 0) {
        s = x.states[0];
#pragma unroll 1
        for (int w = 1; w < kWarps; ++w) s = policy.merge(s, x.states[w]);
        const typename Policy::coefficients mine = policy.finish(s);
        x.coefficients = mine;
        arrive(&x.finished);
        policy.write(s, mine);  // while the others go on
      }
    }
    wait(&x.finished, turn);
    turn ^= 1;

    const typename Policy::coefficients c = x.coefficients;
    const bool zero = policy.zero(c);
    const typename row_of<Policy>::result_row out = r.output(0);
    const bool in_place = out.head() == r.first.head();
    if (thread == 0) x.stores[slot] = in_place && !zero ? 1 : 0;
    if (zero) {
      r.fill_row(0.0f, thread, kThreads);
    } else if (in_place) {
      for (int k = thread; k < packs; k += kThreads) {
        float y[1][pack<T>::kSize];
        unpack(pack<T>{chip[k]}, y[0]);
        const int column = r.first.first_column(k);
        policy.apply(c, y, column);
        if (out.whole(column)) {
          chip[k] = repack<T>(y[0]).raw;
        } else {
          out.store_columns(column, y[0], true);
        }
      }
    } else {
      const T* const elements = reinterpret_cast<const T*>(chip) + r.first.head();
      for (int k = thread; k < out.packs(); k += kThreads) {
        const int column = out.first_column(k);
        float y[1][pack<T>::kSize];
#pragma unroll
        for (int e = 0; e < pack<T>::kSize; ++e) {
          const int j = column + e;
          y[0][e] = j >= 0 && j < out.cols() ? to_float(elements[j]) : Policy::absent(0);
        }
        policy.apply(c, y, column);
        out.store_columns(column, y[0], true);
      }
    }
    fence_proxy();
    __syncwarp();
    if (lane == 0) arrive(&x.written[slot]);
    if (++slot == slots) {
      slot = 0;
      parity ^= 1;
    }
  }
}

}  // namespace culoss::kernels
