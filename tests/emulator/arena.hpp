// Device memory: one reserved range of addresses, so that a device pointer is known by its value,
// in which every allocation lies between guard zones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

struct allocation {
  char* begin = nullptr;
  std::size_t size = 0;
  std::size_t span = 0;  // with its guard zones
  std::uint64_t number = 0;
  const char* made_by = "";
  bool owned = true;   // as the host sees it, in the order of calls
  bool alive = false;  // as kernels see it, in the order of streams
  // What graphs need: memory made during a capture has an address for good, and lives only while a
  // replay says so.
  bool of_graph = false;
  bool freed_in_graph = false;
};

namespace arena {

inline constexpr std::size_t kGuard = 256;
inline constexpr std::size_t kTotal = std::size_t{80} << 30;  // what the emulated device has

char* base();
std::size_t reserved();
inline bool contains(const void* p) {
  return static_cast<std::size_t>(static_cast<const char*>(p) - base()) < reserved();
}

// Null if the device's memory is exhausted.
allocation* allocate(std::size_t size, const char* made_by);
void make_alive(allocation&);  // poisoned: NaN in every type
void make_dead(allocation&);
void release(allocation*);  // dead, and not reused at once
void own(allocation&);
void disown(allocation&);

// The allocation that an address belongs to, dead or alive, or null.
allocation* find(const void*);
// Whether all bytes lie in one allocation that the host owns.
bool owns(const void*, std::size_t);
// Whether all bytes lie in one allocation that is alive.
bool is_alive(const void*, std::size_t);
std::size_t count_owned();
std::size_t bytes_owned();

// Guard zones that were written, and dead memory that was written, since the last call.
std::string check_guards();
std::string describe(const void*);

}  // namespace arena
}  // namespace simt
