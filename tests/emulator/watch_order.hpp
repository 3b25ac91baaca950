// Happens-before of the threads of a grid.
#pragma once

#include <vector_types.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine.hpp"

namespace simt::watch {

struct channel_state;

// What one thread does between two synchronisations, by the counts of what its block, warp, cluster
// and itself have passed. Cells refer to it by a number that grows from launch to launch; odd
// numbers are for atomics. Of a copy that runs beside its thread: the channel in which its end
// becomes known, and its place there.
struct epoch {
  std::uint32_t run, thread, phase, syncs, cluster_phase, fences;
  std::uint32_t time = 0;  // of its thread, see watch_known.hpp
  const channel_state* copied_by = nullptr;
  std::uint32_t index = 0;
};

class launch_order {
 public:
  void begin_launch(unsigned cluster_blocks);
  void begin_cluster(const uint3* blocks);

  std::uint32_t epoch_of(thread_state&, std::uint32_t run);
  // Of a copy that the thread issues.
  std::uint32_t copy_epoch(const thread_state&, std::uint32_t run, const channel_state*,
                           std::uint32_t index);
  // Whether the current thread knows that the writer has put a proxy fence behind what it wrote.
  bool is_fenced(std::uint32_t then, std::uint32_t now) const;
  // Whether what the first epoch did is over for the second one, or both are atomics.
  bool is_ordered(std::uint32_t then, std::uint32_t now) const;
  // An atomic after a fence releases what the fence covers; any atomic acquires what was released
  // before it.
  void synchronise(std::uintptr_t variable, const thread_state&, std::uint32_t run);

  // Numbers below it are of earlier clusters: their shared memory is gone.
  std::uint32_t cluster_base() const { return cluster_base_; }
  std::string who(std::uint32_t epoch) const;

 private:
  struct release {
    epoch upto;
    std::uint64_t step;
  };
  struct acquisition {
    std::uintptr_t variable;
    std::size_t count;  // of its releases
    std::uint64_t step;
  };
  static unsigned slot_of(const epoch&);
  bool is_released(const epoch&, std::uint32_t run, std::uint64_t until, int depth) const;

  static constexpr std::uint32_t kFirst = 4;  // smaller values mean something else in a cell
  std::uint32_t launch_base_ = kFirst, cluster_base_ = kFirst;
  std::vector<epoch> epochs_;  // of this launch
  std::vector<uint3> blocks_;  // of this launch, by run number
  unsigned cluster_blocks_ = 1;
  std::unordered_map<std::uintptr_t, std::vector<release>> releases_;
  std::unordered_map<std::uint32_t, std::vector<acquisition>> acquired_;
  std::uint64_t steps_ = 0;
};

launch_order& order();

}  // namespace simt::watch
