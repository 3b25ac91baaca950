// What asynchronous copies tell the watch: null where it is not linked in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine.hpp"

namespace simt::watch {

// What becomes known all at once: the copies of a barrier, or of a thread's groups.
enum class channel_kind : std::uint8_t { barrier, bulk_read, bulk_write, elements };
struct channel {
  channel_kind kind;
  std::uintptr_t key;  // the barrier's address, or the thread's slot
};

#define SIMT_WEAK __attribute__((weak))
SIMT_WEAK void async_begin();  // a cluster begins
// Of two sides of a copy one, as it is issued: its place in the channel is `index`.
SIMT_WEAK void copy_access(const void*, std::size_t, bool is_write, bool other_proxy, channel,
                           unsigned index, const void* pc);
SIMT_WEAK void barrier_access(const void*, bool is_init);
// All of them have met.
SIMT_WEAK void met(const std::vector<unsigned>& slots);
SIMT_WEAK void released(std::uintptr_t barrier);  // the current thread arrives
SIMT_WEAK void phase_over(std::uintptr_t barrier, unsigned phase);
SIMT_WEAK void acquired(std::uintptr_t barrier);      // the current thread has waited
SIMT_WEAK void groups_over(channel, unsigned count);  // likewise, for its first `count` groups
SIMT_WEAK void proxy_fenced();                        // by the current thread
#undef SIMT_WEAK

}  // namespace simt::watch
