// Which kernel a row loss runs, as data. A plan depends on the device's capability, the width, the
// type and the alignment alone, never on the number of rows: a row's bits do not depend on its
// neighbours.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "kernels/row_constants.hpp"

namespace culoss::detail {

enum class row_kernel {
  lanes,      // 8 or 32 lanes of a warp own a row and keep it in registers
  on_chip,    // a block owns a row and keeps it in shared memory
  two_reads,  // a block owns a row; it is read again to be written
};

struct row_plan {
  row_kernel kernel;
  int lanes;         // threads that share a row
  int packs;         // lanes: packs of each stream that a lane has room for
  int threads;       // of a block
  int shared_bytes;  // dynamic shared memory of a block
};

// Dynamic shared memory that a block may have beside the kernels' static needs.
constexpr std::int64_t shared_limit(int capability) {
  constexpr std::int64_t kStatic = kStaticShared;
  switch (capability) {
    case 80:
    case 87:
      return 163 * 1024 - kStatic;
    case 90:
    case 100:
    case 103:
    case 110:
      return 227 * 1024 - kStatic;
    case 75:
      return 64 * 1024 - kStatic;
    default:
      return (capability > 80 ? 99 : 48) * 1024 - kStatic;
  }
}

// Packs that hold a row. One more where it does not begin at a multiple of 16 bytes.
constexpr std::int64_t packs_of(std::int64_t cols, int element_bytes, bool aligned) {
  return (cols * element_bytes + kPackBytes - 1) / kPackBytes + (aligned ? 0 : 1);
}

// streams: inputs that are reduced and needed again; writes: whether there is a second phase at
// all.
constexpr row_plan plan_rows(int capability, std::int64_t cols, int element_bytes, int streams,
                             bool aligned, bool writes) {
  const std::int64_t packs = packs_of(cols, element_bytes, true);
  const std::int64_t room = packs_of(cols, element_bytes, aligned);
  // Rows of up to 128 bytes: several a warp. Up to 4 KB: a warp each, all of it in registers.
  if (packs <= 8) return {row_kernel::lanes, 8, 2, kLaneThreads, 0};
  if (packs <= 32 * (kMaxLanePacks - 1)) {
    // Room changes no bits: packs that are not there are the identity of the reduction.
    const int capacity = room <= 64 ? 2 : room <= 160 ? 5 : kMaxLanePacks;
    return {row_kernel::lanes, 32, capacity, kLaneThreads, 0};
  }
  // Up to 16 KB a small block, so that many rows are in flight on a multiprocessor.
  const int threads = packs <= 1024 ? 128 : 512;
  const std::int64_t bytes = packs_of(cols, element_bytes, false) * kPackBytes * streams;
  if (writes && bytes <= shared_limit(capability)) {
    return {row_kernel::on_chip, threads, 0, threads, static_cast<int>(bytes)};
  }
  return {row_kernel::two_reads, threads, 0, threads, 0};
}

// Rows of more than 4 KB that are written, on Hopper: through a ring of at least two in shared
// memory, or of segments of them where a cluster shares each row.
struct ring_plan {
  int threads;        // of a block, without the warp that copies
  int slots;          // 0: the row is too wide, or too narrow
  int packs_of_slot;  // of a row, or a segment
  int blocks;         // of a multiprocessor
  int cluster;        // blocks that share a row
  int parts;          // of a block, where a cluster shares a row
  int shared_bytes;   // dynamic shared memory of a block
};
constexpr std::int64_t kRingSharedLimit = 227 * 1024;  // of a block
constexpr ring_plan plan_ring(int capability, std::int64_t cols, int element_bytes) {
  constexpr std::int64_t kOfMultiprocessor = 228 * 1024, kReserved = 1024;  // of each block
  const std::int64_t packs = packs_of(cols, element_bytes, true);
  const std::int64_t room = packs_of(cols, element_bytes, false);
  if (capability != 90 || packs <= 32 * (kMaxLanePacks - 1)) return {};
  const auto plan = [](int threads, int blocks, int cluster, int parts,
                       std::int64_t packs_of_slot) {
    const std::int64_t share = kOfMultiprocessor / blocks - kReserved;
    const std::int64_t most = share < kRingSharedLimit ? share : kRingSharedLimit;
    const std::int64_t bytes = packs_of_slot * kPackBytes;
    const std::int64_t slots = (most - kRingExchange) / bytes;
    if (slots < 2) return ring_plan{};
    const int used = slots < kRingSlots ? static_cast<int>(slots) : kRingSlots;
    return ring_plan{threads,
                     used,
                     static_cast<int>(packs_of_slot),
                     blocks,
                     cluster,
                     parts,
                     static_cast<int>(kRingExchange + used * bytes)};
  };
  const int threads = packs <= 1024 ? 128 : 512;
  // As many blocks as have room for two rows each: what one computes hides where others wait.
  for (int blocks = ring_blocks(threads); blocks > 0; --blocks) {
    const ring_plan p = plan(threads, blocks, 1, 0, room);
    if (p.slots > 0) return p;
  }
  for (int cluster = 2; cluster <= kMostRingBlocks; cluster *= 2) {
    // An even number of parts, of which the two halves of a block have as many each.
    const std::int64_t segment = (room + cluster - 1) / cluster;
    const std::int64_t pairs = (segment + kPartPacks) / (2 * kPartPacks);
    const int parts = pairs > 1 ? 2 * static_cast<int>(pairs) : 2;
    const ring_plan p = plan(threads, 1, cluster, parts, (segment + parts - 1) / parts * parts);
    if (p.slots > 0 && parts <= kMostPartsOfGroup) return p;
  }
  return {};
}

// Rows of more than 4 KB that are written, where there is cp.async and no ring: two of them in
// shared memory.
struct copies_plan {
  int threads;  // of a block; 0: the row is too wide, or too narrow
  int blocks;   // of a multiprocessor
  int packs_of_slot;
  int shared_bytes;  // dynamic shared memory of a block
};
constexpr copies_plan plan_copies(int capability, std::int64_t cols, int element_bytes) {
  constexpr int kReserved = 1024;  // of each block
  const std::int64_t packs = packs_of(cols, element_bytes, true);
  const std::int64_t room = packs_of(cols, element_bytes, false);
  if (capability < 80 || capability == 90 || packs <= 32 * (kMaxLanePacks - 1)) return {};
  const std::int64_t bytes = 2 * room * kPackBytes;
  if (bytes > shared_limit(capability)) return {};
  const int threads = packs <= 1024 ? 128 : 512;
  const std::int64_t of_multiprocessor = shared_limit(capability) + kStaticShared + kReserved;
  const std::int64_t fit = of_multiprocessor / (bytes + kCopiesStatic + kReserved);
  const int most = ring_blocks(threads);
  return {threads, fit < most ? static_cast<int>(fit) : most, static_cast<int>(room),
          static_cast<int>(bytes)};
}

// Rows that are wider than one block's ring, of up to 1.7 MB, whoever works on them: parts, merged
// in groups.
constexpr parts_plan plan_parts(std::int64_t cols, int element_bytes) {
  const ring_plan ring = plan_ring(90, cols, element_bytes);
  if (ring.cluster <= 1) return {};
  return {ring.cluster * ring.parts, ring.parts, ring.packs_of_slot / ring.parts};
}
// Room for the states of the parts of a batch of so few rows that each of these has a block of its
// own; of a larger one for as many, so that it never falls with rows or columns.
constexpr std::int64_t part_state_bytes(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kLeast = 28000, kMost = 1 << 20;  // columns in parts
  if (cols <= kLeast) return 0;
  const std::int64_t most = packs_of(cols < kMost ? cols : kMost, 4, false) / (kPartPacks / 2) + 1;
  return (rows < kSplitRows ? rows : kSplitRows) * most * kPartState;
}

// Rows that are written and that a block owns whatever their width.
struct block_plan {
  int threads;
  bool on_chip;
  int shared_bytes;
};
constexpr block_plan plan_block(int capability, std::int64_t cols, int element_bytes) {
  const std::int64_t bytes = packs_of(cols, element_bytes, false) * kPackBytes;
  const int threads = packs_of(cols, element_bytes, true) <= 1024 ? 128 : 512;
  const bool fits = bytes <= shared_limit(capability);
  return {threads, fits, fits ? static_cast<int>(bytes) : 0};
}

// Rows whose columns are not innermost.
struct strided_plan {
  int groups;        // warps that share a row's columns
  bool on_chip;      // the block's elements are read once, whatever is written
  int shared_bytes;  // dynamic shared memory of a block
};
// Dynamic shared memory of a block, at most: two blocks a multiprocessor, whose states are static.
constexpr std::int64_t strided_shared_limit(int capability) {
  constexpr std::int64_t kMost = 96 * 1024;
  const std::int64_t room = shared_limit(capability) - kStridedStates;
  return room < kMost ? room : kMost;
}
constexpr strided_plan plan_strided(int capability, std::int64_t cols, int element_bytes,
                                    bool writes) {
  const int groups = cols <= kStridedFewColumns ? 1 : kStridedGroups;
  const std::int64_t bytes = cols * (kStridedThreads / groups) * element_bytes;
  const bool fits = writes && bytes <= strided_shared_limit(capability);
  return {groups, fits, fits ? static_cast<int>(bytes) : 0};
}

// Likewise four positions a thread.
constexpr strided_plan plan_strided_by_four(int capability, std::int64_t cols, int element_bytes,
                                            int state_bytes, int coefficient_bytes, bool writes) {
  const int groups = plan_strided(capability, cols, element_bytes, writes).groups;
  const int states = strided_shared_by_four(groups, state_bytes, coefficient_bytes);
  const std::int64_t bytes = states + cols * (4 * kStridedThreads / groups) * element_bytes;
  const bool fits = writes && bytes <= shared_limit(capability);
  return {groups, fits, fits ? static_cast<int>(bytes) : states};
}

// Rows with negatives of their own, `count` of `dimension` elements each.
struct row_negatives_plan {
  bool on_chip;         // the negatives are read once
  bool scores_on_chip;  // of them all; does not depend on the device, as it decides the workspace
  int team;             // threads of a row
  int group;            // lanes that share a dot product
  int across;           // threads that share a negative's columns
  int packs;
  int threads;                       // of a block
  int sums, scores;                  // where a team's parts of the shared memory begin
  int shared_of_team, shared_bytes;  // of a block
};
constexpr bool row_scores_on_chip(std::int64_t count) { return count <= kRowScores; }
constexpr row_negatives_plan plan_row_negatives(int capability, std::int64_t count,
                                                std::int64_t dimension, int element_bytes,
                                                bool writes) {
  const auto power_of_two = [](std::int64_t n, int most) {
    int p = 1;
    while (p < n && p < most) p *= 2;
    return p;
  };
  const std::int64_t packs = packs_of(dimension, element_bytes, true);
  // In float arithmetic there is no overflow, and no rounding where it matters.
  const double bytes = static_cast<double>(count) * static_cast<double>(packs) * kPackBytes;
  // A team has about four packs a thread: enough loads in flight, and rows that fit many to a
  // multiprocessor.
  row_negatives_plan p{};
  p.team = bytes <= 2048    ? 32
           : bytes <= 8192  ? 64
           : bytes <= 16384 ? 128
           : bytes <= 65536 ? 256
                            : 512;
  p.group = power_of_two(packs, 32);
  p.across = power_of_two(packs, p.team);
  p.packs = static_cast<int>(packs);
  p.threads = p.team > kLeastRowNegativeThreads ? p.team : kLeastRowNegativeThreads;
  p.scores_on_chip = row_scores_on_chip(count);
  const int teams = p.threads / p.team, parts = p.team / p.across;
  const int of_sums = writes && parts > 1 ? p.team * kPackBytes / element_bytes * 4 : 0;
  const int of_scores = p.scores_on_chip ? static_cast<int>(count + 1) / 2 * kPackBytes : 0;
  const double of_copy = bytes + static_cast<double>(packs) * kPackBytes;  // and the query
  const double room = static_cast<double>(shared_limit(capability));
  p.on_chip = writes && (of_copy + of_sums + of_scores) * teams <= room;
  p.sums = p.on_chip ? static_cast<int>(of_copy) : 0;
  p.scores = p.sums + of_sums;
  p.shared_of_team = p.scores + of_scores;
  p.shared_bytes = p.shared_of_team * teams;
  return p;
}

// Blocks, and so partial sums, of any call on matrices of this shape.
constexpr std::int64_t most_element_blocks(std::int64_t rows, std::int64_t cols) noexcept {
  // Wider elements are not always the ones with more blocks: these take more spans each beyond a
  // number of them.
  std::int64_t most = 0;
  for (const int element_bytes : {2, 4}) {
    for (const bool flat : {true, false}) {
      const std::int64_t blocks = walk_elements(rows, cols, flat, element_bytes).blocks();
      most = blocks > most ? blocks : most;
    }
  }
  return most;
}

// Roundings that one element's exponential meets on its way into the row's sum, for error bounds.
struct path_length {
  int adds;
  int rescales;
};
constexpr path_length longest_path(const row_plan& plan, std::int64_t cols, int element_bytes,
                                   int streams = 1) {
  const int batch = kBatch / streams;
  const std::int64_t packs = packs_of(cols, element_bytes, false);
  const std::int64_t of_a_thread = (packs + plan.lanes - 1) / plan.lanes;
  const int batches = static_cast<int>((of_a_thread + batch - 1) / batch);
  const int in_a_batch = kPackBytes / element_bytes + batch;
  // Shuffles halve a warp; the warps of a block are merged one after the other.
  const int merges = plan.lanes == 8 ? 3 : 5 + (plan.lanes / 32 - 1);
  return {in_a_batch + batches + merges, batches + merges};
}

constexpr path_length longest_strided_path(const strided_plan& plan, std::int64_t cols) {
  const std::int64_t of_a_thread = (cols + plan.groups - 1) / plan.groups;
  const int batches = static_cast<int>((of_a_thread + kStridedBatch - 1) / kStridedBatch);
  const int merges = plan.groups - 1;
  return {kStridedBatch + 1 + batches + merges, batches + merges};
}

}  // namespace culoss::detail
