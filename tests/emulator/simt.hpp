// What code on a device thread may ask of the emulator: the interface below the device headers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

enum class op : std::uint8_t {
  none,
  sync_warp,
  ballot,
  shfl_idx,
  shfl_up,
  shfl_down,
  shfl_xor,
  match_any,
  match_all,
  add_u32,
  min_u32,
  max_u32,
  min_s32,
  max_s32,
  and_b32,
  or_b32,
  xor_b32,
  block_barrier,
  cluster_barrier,
  phase,  // of a barrier in shared memory
  copies  // of its own
};

// A line of a kernel. std::source_location is missing from clang 14 with libstdc++ (it needs
// consteval).
struct where {
  const char* file = "";
  unsigned line = 0;
  static constexpr where current(const char* f = __builtin_FILE(), unsigned l = __builtin_LINE()) {
    return {f, l};
  }
};

enum class fault_kind : std::uint8_t {
  none,
  launch_failure,
  illegal_address,
  misaligned_address,
  assertion
};

struct votes {
  unsigned count, threads;
};

std::uint64_t warp_collective(op, unsigned mask, std::uint64_t value, int arg, int width, where);
votes block_barrier(bool predicate, where);
void cluster_barrier(where = where::current());
void fence();
void* dynamic_shared();
std::size_t dynamic_shared_size();
unsigned cluster_rank();
unsigned cluster_size();
void* map_shared_rank(const void*, unsigned rank, where = where::current());
[[noreturn]] void fault(fault_kind, const char* what, where);

// Asynchronous copies, and the barriers in shared memory that count them (async_copies.hpp).
void init_barrier(std::uint64_t*, unsigned arrivals, where = where::current());
void publish_barriers();
void arrive(std::uint64_t*, unsigned expected_bytes, where = where::current());
void wait(std::uint64_t*, unsigned parity, where = where::current());
void bulk_load(void* shared, const void* global, unsigned bytes, std::uint64_t*,
               where = where::current());
void bulk_store(void* global, const void* shared, unsigned bytes, where = where::current());
void commit_bulk();
void wait_bulk(unsigned groups_left, bool read_only, where = where::current());
void fence_proxy();
void copy16(void* shared, const void* global, where = where::current());
void commit_copies();
void wait_copies(unsigned groups_left, where = where::current());

// Vector accesses fault on a device when they are not aligned; on the CPU they mostly work.
inline void check_aligned(const void* p, std::size_t to, where w = where::current()) {
  if (reinterpret_cast<std::uintptr_t>(p) % to != 0)
    fault(fault_kind::misaligned_address, "misaligned address", w);
}

// Approximate instructions, with the largest error that is documented for them (approximate.cpp).
float ex2_approx_ftz(float);
float lg2_approx_ftz(float);
float rcp_approx_ftz(float);
float tanh_approx(float);
float approximate_rsqrt(float);
float approximate_divide(float, float);

}  // namespace simt
