// Wide rows by way of a ring in shared memory: while the threads of a block work on one row, the
// next ones are being loaded and the ones before stored, by bulk copies that nobody waits for. Of
// rows that are too wide for it each block of a cluster has a segment.
//
// Moves, per row of C elements of s bytes: C s read once, C s written once; nothing of a row that
// is skipped. The 16-byte packs that lie inside a row move in bulk, wherever it begins and ends;
// the fewer than 16 bytes at each end element by element. Where the output does not begin at the
// same place in its 16 bytes as the input, it is stored in 16-byte accesses of its own packs.
//
//   rows_by_ring<Policy, N, false>  N threads and a warp that copies; a grid that stays: block b
//                                   has the rows b, b + blocks, ...
//   rows_by_ring<Policy, N, true>   likewise cluster by cluster; for each row the blocks send each
//                                   other one state, and meet only at the beginning and the end
//
// Without a cluster the tree of the reduction is that of rows_by_block<Policy, N>: the bits are the
// same. With one, a segment is a group of the parts of row_parts.cuh, of which each half of a block
// has every other one.
//
// Predicted for an H200, not measured. 16-bit rows of 64 KB, three to a block, one block of a
// multiprocessor: 128 KB through each multiprocessor at its share of 4.2 TB/s are 4.0 us, of which
// the threads compute about 3.2 us (two exponentials an element at 16 a clock, about 0.7 us for the
// finish by one thread): bound by the memory. Segments of 64 KB, as rows of 128256 columns have in
// clusters of 4, wait about 1 us more for their states, which the ring hides.
#pragma once

#include "kernels/async_copy.cuh"
#include "kernels/row_parts.cuh"

namespace culoss::kernels {

// What the warps of a block tell each other, and the blocks of a cluster.
template <class Policy, int kThreads, bool kCluster>
struct ring_exchange {
  static constexpr int kMostStates =
      kCluster ? detail::kMostPartsOfGroup * kPartWarps : kThreads / 32;
  barrier loaded[detail::kRingSlots];   // 2 arrivals: with the bulk copy, after the row's ends
  barrier written[detail::kRingSlots];  // a warp is done with the slot
  barrier reduced;                      // a warp's state is there
  barrier gathered[2];                  // a block's state is there, of every other row
  barrier finished;                     // the coefficients are there
  barrier met;                          // all but the warp that copies have come
  // Of a warp; where a cluster shares the row, of a warp and part.
  typename Policy::state states[kMostStates];
  typename Policy::state own;                                    // the block's
  typename Policy::state of_blocks[2][detail::kMostRingBlocks];  // of every other row
  typename Policy::coefficients coefficients;
  whole_exchange_of<Policy> whole;
  long long rows[detail::kRingSlots];
  int stores[detail::kRingSlots];  // whether the slot holds results
};

// Brings together all warps of a block but the one that copies; a new one after an even number of
// times.
struct meeting {
  barrier* met;
  int lane;
  int parity = 0;

  __device__ void operator()() {
    __syncwarp();
    if (lane == 0) arrive(met);
    wait(met, parity);
    parity ^= 1;
  }
};

// What a block has of a row. All but the first segment begin at a multiple of 16 bytes.
template <class Policy>
struct row_segment {
  using T = typename Policy::value;
  using result_row = typename row_of<Policy>::result_row;
  static constexpr int kSize = pack<T>::kSize;

  const typename Policy::arguments& a;
  long long row;
  int begin, end;  // columns

  __device__ input_row<T> in() const {
    return {a.in[0].data + row * a.in[0].ld + begin, end - begin};
  }
  __device__ result_row out() const {
    return {a.out[0].data + row * a.out[0].ld + begin, end - begin};
  }

  template <bool kCluster>
  __device__ static row_segment of(const typename Policy::arguments& a, long long row, int packs) {
    const int cols = static_cast<int>(a.cols);
    if constexpr (!kCluster) return {a, row, 0, cols};
    const int rank = cluster_rank();
    const int head = input_row<T>(a.in[0].data + row * a.in[0].ld, cols).head();
    const int begin = rank == 0 ? 0 : rank * packs * kSize - head;
    const int end = (rank + 1) * packs * kSize - head;
    return {a, row, begin, end < cols ? end : cols};
  }

  // The packs that move in bulk: all but those which the segment shares with something else.
  __device__ static int first_bulk(const input_row<T>& in) { return in.head() > 0 ? 1 : 0; }
  __device__ static int bulk_bytes(const input_row<T>& in) {
    return ((in.head() + in.cols()) / kSize - first_bulk(in)) * detail::kPackBytes;
  }

  __device__ void fill(float value, int thread, int threads) const {
    float x[kSize];
#pragma unroll
    for (int e = 0; e < kSize; ++e) x[e] = value;
    const result_row to = out();
    for (int k = thread; k < to.packs(); k += threads) {
      to.store_columns(to.first_column(k), x, true);
    }
  }
};

// One warp: fills each slot as soon as its last row has been stored.
template <class Policy, int kThreads, bool kCluster>
struct ring_copier {
  using T = typename Policy::value;
  using segment = row_segment<Policy>;
  static constexpr int kSize = pack<T>::kSize;

  const typename Policy::arguments& a;
  ring_exchange<Policy, kThreads, kCluster>& x;
  uint4* ring;
  int slots, packs_of_slot;
  int lane;

  __device__ segment of(long long row) const {
    return segment::template of<kCluster>(a, row, packs_of_slot);
  }

  // The ends of the row, with what a column reads as that is not there.
  __device__ void load_ends(const input_row<T>& row, T* slot) const {
    const int k = lane < kSize ? 0 : row.packs() - 1;
    const int first = row.first_column(k);
    if (lane >= 2 * kSize || row.whole(first)) return;
    const int column = first + lane % kSize;
    const bool there = column >= 0 && column < row.cols();
    slot[k * kSize + lane % kSize] = there ? row.data()[column] : from_float<T>(Policy::absent(0));
  }

  __device__ void fill(int slot, long long row) const {
    const input_row<T> in = of(row).in();
    uint4* const to = ring + slot * packs_of_slot;
    if (lane == 0) {
      const int first = segment::first_bulk(in), bytes = segment::bulk_bytes(in);
      arrive_expecting(&x.loaded[slot], bytes);
      load_bulk(to + first, in.data() + in.first_column(first), bytes, &x.loaded[slot]);
      x.rows[slot] = row;
    }
    load_ends(in, reinterpret_cast<T*>(to));
    fence_proxy();  // before another row's bulk copy overwrites them
    __syncwarp();
    if (lane == 0) arrive(&x.loaded[slot]);
  }

  __device__ void drain(int slot, int parity) const {
    wait(&x.written[slot], parity);
    if (lane == 0 && x.stores[slot] != 0) {
      const segment s = of(x.rows[slot]);
      const input_row<T> in = s.in();
      const int first = segment::first_bulk(in);
      store_bulk(s.out().data() + in.first_column(first), ring + slot * packs_of_slot + first,
                 segment::bulk_bytes(in));
      commit_stores();
      wait_stores_read<0>();
    }
    __syncwarp();
  }

  // The rows first, first + stride, ...
  __device__ void run(int begin, int stride) const {
    int slot = 0, parity = 0, filled = 0;  // filled: slots that hold a row
    const auto next = [&] {
      if (++slot < slots) return;
      slot = 0;
      parity ^= 1;
    };
    for (long long group = begin; group < a.rows; group += 32ll * stride) {
      const long long mine = group + static_cast<long long>(lane) * stride;
      const bool wanted = mine < a.rows && !Policy(a, mine).skip();
      for (unsigned rows = __ballot_sync(kAllLanes, wanted); rows != 0; rows &= rows - 1) {
        if (filled == slots) {
          drain(slot, parity ^ 1);
        } else {
          ++filled;
        }
        fill(slot, group + (__ffs(static_cast<int>(rows)) - 1ll) * stride);
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

// By the first warp, once all have left their states: the row's coefficients, for all; the row's
// own outputs.
template <class Policy, int kThreads, bool kCluster>
__device__ void finish_row(const Policy& policy, ring_exchange<Policy, kThreads, kCluster>& x,
                           int step, int parts) {
  const int turn = step & 1;
  const int lane = static_cast<int>(threadIdx.x);
  typename Policy::state s;
  wait(&x.reduced, turn);
  if constexpr (kCluster) {
    const int blocks = cluster_size(), rank = cluster_rank();
    if (lane < parts) s = merge_in_order(policy, x.states + lane * kPartWarps, kPartWarps);
    __syncwarp();
    if (lane < parts) x.states[lane] = s;
    __syncwarp();
    if (lane == 0) {
      s = merge_in_order(policy, x.states, parts);
      x.own = s;
    }
    __syncwarp();
    if (lane < blocks) {
      *of_block(&x.of_blocks[turn][rank], lane) = x.own;
      arrive_at_block(&x.gathered[turn], lane);
    }
    if (lane == 0) {
      wait_for_blocks(&x.gathered[turn], step >> 1 & 1);
      s = merge_in_order(policy, x.of_blocks[turn], blocks);
    }
  } else if (lane == 0) {
    s = merge_in_order(policy, x.states, kThreads / 32);
  }
  if (lane != 0) return;
  const typename Policy::coefficients mine = policy.finish(s);
  x.coefficients = mine;
  arrive(&x.finished);
  if (!kCluster || cluster_rank() == 0) policy.write(s, mine);  // while the others go on
}

template <class Policy, int kThreads, bool kCluster>
__global__ void __launch_bounds__(kThreads + 32, kCluster ? 1 : detail::ring_blocks(kThreads))
    rows_by_ring(const __grid_constant__ typename Policy::arguments a, int slots, int packs_of_slot,
                 int parts) {
  using T = typename Policy::value;
  static_assert(Policy::kStreams == 1 && Policy::kOutputs == 1);
  constexpr int kWarps = kThreads / 32, kSize = pack<T>::kSize;
  auto& x = *reinterpret_cast<ring_exchange<Policy, kThreads, kCluster>*>(dynamic_shared());
  static_assert(sizeof x <= detail::kRingExchange);
  uint4* const ring = dynamic_shared() + detail::kRingExchange / detail::kPackBytes;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int blocks_of_row = kCluster ? cluster_size() : 1;
  const int begin = static_cast<int>(blockIdx.x) / blocks_of_row;
  const int stride = static_cast<int>(gridDim.x) / blocks_of_row;

  if (thread == 0) {
    for (int i = 0; i < slots; ++i) {
      init_barrier(&x.loaded[i], 2);
      init_barrier(&x.written[i], kWarps);
    }
    init_barrier(&x.reduced, kWarps);
    init_barrier(&x.finished, 1);
    init_barrier(&x.met, kWarps);
    if (kCluster) {
      init_barrier(&x.gathered[0], blocks_of_row);
      init_barrier(&x.gathered[1], blocks_of_row);
    }
    publish_barriers();
  }
  if constexpr (kCluster) {
    sync_cluster();
  } else {
    __syncthreads();
  }
  if (warp == kWarps) {
    ring_copier<Policy, kThreads, kCluster>{a, x, ring, slots, packs_of_slot, lane}.run(begin,
                                                                                        stride);
    // The block stays until all threads of the cluster have ended: they send it their states.
    if constexpr (kCluster) sync_cluster();
    return;
  }
  begin_whole_call<Policy, kThreads>(a, x.whole, thread, meeting{&x.met, lane});
  int slot = 0, parity = 0, step = 0;  // step: rows that were read
  for (long long row = begin; row < a.rows; row += stride) {
    const auto segment = row_segment<Policy>::template of<kCluster>(a, row, packs_of_slot);
    const input_row<T> in = segment.in();
    const Policy policy(a, row);
    if (policy.skip()) {
      if (thread == 0 && segment.begin == 0) policy.write_skipped();
      segment.fill(policy.fill(), thread, kThreads);
      continue;
    }
    uint4* const chip = ring + slot * packs_of_slot;
    const int packs = in.packs();
    wait(&x.loaded[slot], parity);

    if constexpr (kCluster) {
      const int packs_of_part = packs_of_slot / parts;
#pragma unroll 1
      for (int q = warp / kPartWarps; q < parts; q += kWarps / kPartWarps) {
        const int first = q * packs_of_part, end = first + packs_of_part;
        const typename Policy::state s = add_part(
            policy, first, end < packs ? end : packs, thread % kPartThreads,
            [&](int k) { return pack<T>{chip[k]}; },
            [&](int k) { return segment.begin + in.first_column(k); });
        if (lane == 0) x.states[q * kPartWarps + warp % kPartWarps] = s;
      }
    } else {
      const typename Policy::state s = add_row<kThreads>(policy, chip, in, thread);
      if (lane == 0) x.states[warp] = s;
    }
    if constexpr (kCluster) __syncwarp();  // others write where this warp's lanes have read
    if (lane == 0) arrive(&x.reduced);
    if (warp == 0) finish_row<Policy, kThreads, kCluster>(policy, x, step, parts);
    wait(&x.finished, step & 1);
    ++step;

    const typename Policy::coefficients c = x.coefficients;
    const auto out = segment.out();
    const bool zero = policy.zero(c), in_place = out.head() == in.head();
    if (thread == 0) x.stores[slot] = in_place && !zero ? 1 : 0;
    if (zero) {
      segment.fill(0.0f, thread, kThreads);
    } else if (in_place) {
      for (int k = thread; k < packs; k += kThreads) {
        float y[1][kSize];
        unpack(pack<T>{chip[k]}, y[0]);
        const int column = in.first_column(k);
        policy.apply(c, y, segment.begin + column);
        if (out.whole(column)) {
          chip[k] = repack<T>(y[0]).raw;
        } else {
          out.store_columns(column, y[0], true);
        }
      }
    } else {
      store_by_own_packs<kThreads>(policy, c, chip, in, out, segment.begin, thread);
    }
    fence_proxy();
    __syncwarp();
    if (lane == 0) arrive(&x.written[slot]);
    if (++slot == slots) {
      slot = 0;
      parity ^= 1;
    }
  }
  end_whole_call<Policy, kThreads>(a, x.whole, thread, meeting{&x.met, lane});
}

}  // namespace culoss::kernels
