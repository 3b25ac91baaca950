// Sizes that the kernels are built with and that the host plans with. Needs no CUDA header.
#pragma once

#if defined(__CUDACC__)
#define CULOSS_BOTH __host__ __device__
#else
#define CULOSS_BOTH
#endif

namespace culoss::detail {

inline constexpr int kPackBytes = 16;       // one load or store
inline constexpr int kStaticShared = 4096;  // bytes of shared memory beside the dynamic, at most

// Rows
inline constexpr int kBatch = 4;  // packs folded into a state with one rescale, over all streams
inline constexpr int kLaneThreads = 128;
inline constexpr int kMaxLanePacks = 9;  // packs a lane keeps in registers, at most
// Blocks of a multiprocessor that stay, by these packs: as many as there are registers for.
constexpr int lane_blocks(int packs) { return packs == 2 ? 8 : packs == 5 ? 5 : 4; }

// Rows by way of a ring in shared memory
inline constexpr int kRingSlots = 4;        // rows in it, at most
inline constexpr int kRingExchange = 1792;  // bytes of a block's shared memory beside it
inline constexpr int kMostRingBlocks = 16;  // that share a row
// Blocks of a multiprocessor, at most, by their threads: as many as there are registers for.
constexpr int ring_blocks(int threads) { return threads > 128 ? 2 : 6; }

// Rows by way of two places in shared memory
inline constexpr int kCopiesStatic = 1024;  // bytes of a block's shared memory beside them

// Calls on a few rows by one kernel
inline constexpr int kWholeRows = 4096;        // at most
inline constexpr int kMostWholeBlocks = 1024;  // of it

// Rows in parts
inline constexpr int kPartThreads = 256;  // that share a part
inline constexpr int kPartWarps = kPartThreads / 32;
inline constexpr int kPartPacks = kBatch * kPartThreads;  // about as many of a part
inline constexpr int kMostPartsOfGroup = 8;               // that are merged first
inline constexpr int kPartState = 16;                     // bytes of a state, at most
inline constexpr int kSplitRows = 512;                    // of a batch that is split, at most
struct parts_plan {
  int parts;     // of a row; 0: not such a row
  int of_group;  // parts that are merged first
  int packs;     // of a part
};

// Rows whose columns are not innermost
inline constexpr int kStridedThreads = 256;
inline constexpr int kStridedBatch = 8;        // columns folded into a state with one rescale
inline constexpr int kStridedGroups = 8;       // warps that share the columns of 32 rows
inline constexpr int kStridedFewColumns = 32;  // up to here one thread does a row
inline constexpr int kStridedStates = 8192;    // static bytes of its own, at most
// Four positions a thread: bytes of a block's states, and of these with its rows' coefficients.
CULOSS_BOTH constexpr int strided_states_by_four(int state_bytes) {
  return 4 * kStridedThreads * state_bytes;
}
CULOSS_BOTH constexpr int strided_shared_by_four(int groups, int state_bytes,
                                                 int coefficient_bytes) {
  return strided_states_by_four(state_bytes) + 4 * kStridedThreads / groups * coefficient_bytes;
}

// Negatives of a row's own
inline constexpr int kRowNegativeThreads = 512;       // of a block, at most
inline constexpr int kLeastRowNegativeThreads = 128;  // of a block
inline constexpr int kRowScores = 2048;               // of a row that are kept on chip, at most

// Elements
inline constexpr int kElementThreads = 256;
inline constexpr int kElementPacks = 4;                  // that a lane has in flight
inline constexpr long long kElementSegment = 1ll << 30;  // elements of a run, at most
inline constexpr long long kMostElementBlocks = 1 << 15;

// How a kernel walks over the elements of matrices of one shape.
struct element_walk {
  long long rows, cols;
  bool flat;  // no padding anywhere: one sequence of rows * cols elements, in segments
  long long spans_of_run;
  long long spans;
  long long chunk;  // spans of a block

  CULOSS_BOTH constexpr long long length(long long run) const {
    if (!flat) return cols;
    const long long rest = rows * cols - run * kElementSegment;
    return rest < kElementSegment ? rest : kElementSegment;
  }
  CULOSS_BOTH constexpr long long stride(long long ld) const { return flat ? kElementSegment : ld; }
  constexpr long long blocks() const { return (spans + chunk - 1) / chunk; }
};

constexpr element_walk walk_elements(long long rows, long long cols, bool flat, int element_bytes) {
  constexpr long long kSpan = 32 * kElementPacks, kWarps = kElementThreads / 32;
  const long long runs = flat ? (rows * cols + kElementSegment - 1) / kElementSegment : rows;
  element_walk w{rows, cols, flat, 1, 0, kWarps};
  // One pack more than fits, as a run need not begin at a multiple of 16 bytes.
  const long long packs = (w.length(0) * element_bytes + kPackBytes - 1) / kPackBytes + 1;
  w.spans_of_run = (packs + kSpan - 1) / kSpan;
  w.spans = runs * w.spans_of_run;
  const long long rounds =
      (w.spans + kWarps * kMostElementBlocks - 1) / (kWarps * kMostElementBlocks);
  w.chunk = kWarps * (rounds > 1 ? rounds : 1);
  return w;
}

}  // namespace culoss::detail
