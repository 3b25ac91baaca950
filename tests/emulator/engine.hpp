// Runs the threads of a block, or of the blocks of a cluster, as fibers on one OS thread.
#pragma once

#include <vector_types.h>

#include <array>
#include <boost/context/fiber.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "async_copies.hpp"
#include "probe.hpp"
#include "simt.hpp"

namespace simt {

inline constexpr unsigned kMaxCluster = 16;
inline constexpr unsigned kMaxBlockThreads = 1024;
inline constexpr std::size_t kMaxDynamicShared = 227 * 1024;
inline constexpr std::size_t kSharedStride =
    256 * 1024;  // from one block's dynamic shared memory to the next one's
inline constexpr std::size_t kStack = 256 * 1024;

struct geometry {
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, cluster[3] = {1, 1, 1};
  std::size_t dynamic_shared = 0;
  unsigned block_threads() const { return block[0] * block[1] * block[2]; }
  unsigned cluster_blocks() const { return cluster[0] * cluster[1] * cluster[2]; }
};

enum class status : std::uint8_t { ready, waiting, done };

struct thread_state {
  boost::context::fiber context;
  char* stack = nullptr;
  void* fake_stack = nullptr;
  uint3 index{};
  unsigned slot = 0, block = 0, warp = 0, lane = 0, linear = 0;
  status now = status::ready;
  bool started = false, predicate = false;
  op waits_in = op::none;
  unsigned mask = 0;
  int arg = 0, width = 0;
  std::uint64_t value = 0, result = 0;
  votes counted{};
  awaited awaits{};
  where at;
  std::uint32_t fences = 0, fence_phase = 0,
                fence_syncs = 0;  // how many, and when the last one was
  std::uint32_t epoch =
      0;  // the watch's name for what this thread does until it next synchronises; 0: none yet
};

struct warp_state {
  unsigned first = 0, ready = 0, waiting = 0, alive = 0, rank = 0;
  std::uint32_t syncs = 0;
};

struct block_state {
  uint3 index{};
  unsigned first = 0, threads = 0, alive = 0, arrived = 0;
  std::uint32_t phase = 0;  // barriers passed
  std::uint32_t remote_phase =
      0;  // 1 + the cluster phase in which another block last touched our shared memory
  char* shared = nullptr;
};

class engine {
 public:
  engine();

  // Runs one cluster (mostly: one block) to its end. `first_run` is the number of its first block
  // in this launch.
  fault_kind run(const geometry&, const uint3* indices, unsigned first_run,
                 const std::function<void()>& body, random_bits);

  std::uint64_t collective(op, unsigned mask, std::uint64_t value, int arg, int width, where);
  votes barrier(op, bool predicate, where);
  // Until wake(): what the current thread awaits stands in its state.
  void suspend(op, where);
  void wake(thread_state&);
  thread_state& thread(unsigned slot) { return *threads_[slot]; }
  unsigned thread_count() const { return static_cast<unsigned>(threads_.size()); }
  // Takes text and numbers as printf does: the fiber is never resumed, so that a string on its
  // stack would leak.
  [[noreturn]] [[gnu::format(printf, 3, 4)]] void fail(fault_kind, const char* format, ...);
  bool on_device_stack(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - stacks_) <
           kStack * kMaxBlockThreads * kMaxCluster;
  }

  thread_state* current = nullptr;
  std::vector<block_state> blocks;
  std::vector<warp_state> warps;
  unsigned warps_per_block = 0;
  unsigned first_run = 0;
  std::uint32_t cluster_phase = 0;
  std::size_t dynamic_shared = 0;
  char* shared_memory = nullptr;  // kMaxCluster times kSharedStride
  std::string report;
  counters total{};
  async_copies copies;

 private:
  void prepare(thread_state&);
  [[noreturn]] void live(thread_state&);
  void leave(thread_state&);
  void switch_to(thread_state* next);
  void arrived_from(boost::context::fiber&&);
  void yield();
  thread_state* pick();
  void set_up_block(unsigned block, const geometry&, uint3 index);
  void set_up_ranks();
  void swap_ranks(unsigned a, unsigned b);
  void try_warp(warp_state&, op, unsigned mask);
  void try_block(block_state&);
  void try_cluster();
  void told_of(const thread_state& one_of, op);
  thread_state& lane(const warp_state& w, unsigned l) { return *threads_[w.first + l]; }
  std::string describe() const;

  char* stacks_ = nullptr;
  std::vector<thread_state*> pool_, threads_;
  boost::context::fiber host_;
  thread_state* from_ = nullptr;
  void* host_fake_stack_ = nullptr;
  const void* host_bottom_ = nullptr;
  std::size_t host_size_ = 0;
  const std::function<void()>* body_ = nullptr;
  unsigned live_ = 0, cluster_arrived_ = 0;
  // A warp's rank is its place in the order of choice. Bit r is set while the warp of rank r has a
  // thread to run.
  std::array<std::uint64_t, kMaxCluster * kMaxBlockThreads / kWarpSize / 64> ready_ranks_{};
  std::vector<unsigned> warp_of_rank_;
  unsigned rank_words_ = 0;
  random_bits random_{0};
  schedule schedule_ = schedule::random;
  fault_kind fault_ = fault_kind::none;
};

engine& device_engine();
settings& current_settings();
const char* name_of(op);

// grid.cpp
struct launch_result {
  fault_kind fault = fault_kind::none;
  std::string report;
};
launch_result run_grid(const geometry&, const std::function<void()>& body, const void* kernel);

// The static __shared__ variables of all kernels, gathered by shared_memory.ld (grid.cpp).
struct byte_span {
  char* begin;
  char* end;
};
byte_span static_shared();

// symbols.cpp
std::string symbol_name(const void* address);

}  // namespace simt

extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void**, const void*, std::size_t);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void*, std::size_t);
__attribute__((weak)) void __asan_poison_memory_region(const volatile void*, std::size_t);
__attribute__((weak)) void __asan_set_error_report_callback(void (*)(const char*));
}
