// What a test may ask of the emulated device and tell it. Needs no CUDA header. The same object
// file links against the real CUDA runtime: present() is then false, setters do nothing and getters
// return defaults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

// The order in which the threads of a block, and the blocks of a grid, run.
enum class schedule { in_order, reversed, random, warp_priority };

// When the work of a stream runs: at once; only when the host waits for it; or when the seed says
// so.
enum class stream_mode { eager, lazy, seeded };

struct settings {
  schedule order = schedule::random;
  stream_mode streams = stream_mode::lazy;
  std::uint64_t seed = 1;
  // Sign and size of the error of the approximate intrinsics; 0: results are correctly rounded.
  std::uint64_t approximation_seed = 1;
  bool poison_shared = true;
  bool print_reports = true;  // to stderr, at once
  // What the device says of itself, by which a library chooses its kernels.
  int multiprocessors = 4;
  int capability = 90;
};

// What is alive and has to be given back.
struct resources {
  std::size_t allocations = 0, pinned = 0, streams = 0, events = 0, graphs = 0, graph_execs = 0,
              handles = 0;
  std::size_t total() const {
    return allocations + pinned + streams + events + graphs + graph_execs + handles;
  }
};

struct counters {
  std::uint64_t launches = 0, blocks = 0, threads = 0, switches = 0;
  std::uint64_t exponentials = 0;  // ex2.approx
};

namespace watch {

// Accesses to global memory. An atomic counts as one of `atomics` and in nothing else.
struct traffic {
  std::uint64_t bytes_loaded = 0, bytes_stored = 0;
  std::uint64_t loads = 0, stores = 0;      // instructions
  std::uint64_t loads16 = 0, stores16 = 0;  // of these, the ones of 16 bytes
  std::uint64_t atomics = 0;
  std::uint64_t bulk_loaded = 0, bulk_stored = 0;  // bytes of these, by bulk copies
};

struct launch_traffic {
  std::string kernel;
  traffic moved;
};

struct range_traffic {
  std::uint64_t bytes_loaded = 0, bytes_stored = 0;
};

}  // namespace watch

// How the functions below reach the emulator, if it is linked in.
struct probe_table {
  settings (*get_settings)();
  void (*set_settings)(const settings&);
  std::string (*last_report)();
  void (*reset_errors)();
  void (*fault)(int error);
  void (*fail_call)(std::uint64_t n, int error, bool lasting);
  std::uint64_t (*call_count)();
  std::string (*call_name)(std::uint64_t index);
  resources (*live)();
  counters (*count)();
  bool (*is_device_pointer)(const void*);
  std::vector<std::string> (*launched)();
};
struct watch_table {
  std::vector<watch::launch_traffic> (*launches)();
  void (*reset)();
  watch::range_traffic (*count_range)(const void*, std::size_t);
};

}  // namespace simt

extern "C" {
__attribute__((weak)) const simt::probe_table* simt_probe();
__attribute__((weak)) const simt::watch_table* simt_watch_probe();
}

namespace simt {

namespace detail {
inline const probe_table* probe() { return simt_probe != nullptr ? simt_probe() : nullptr; }
inline const watch_table* watch() {
  return simt_watch_probe != nullptr ? simt_watch_probe() : nullptr;
}
}  // namespace detail

// Whether the device is the emulated one.
inline bool present() { return detail::probe() != nullptr; }

inline settings get_settings() { return present() ? detail::probe()->get_settings() : settings{}; }
// Also restarts the random numbers: the same settings before the same calls give the same run.
inline void set_settings(const settings& s) {
  if (present()) detail::probe()->set_settings(s);
}

// Restores the settings at the end of the scope.
class scoped_settings {
 public:
  explicit scoped_settings(const settings& s) : saved_(get_settings()) { set_settings(s); }
  scoped_settings(const scoped_settings&) = delete;
  scoped_settings& operator=(const scoped_settings&) = delete;
  ~scoped_settings() { set_settings(saved_); }

 private:
  settings saved_;
};

// Why the last failing kernel, copy or guard check failed; empty if nothing has failed since
// reset_errors().
inline std::string last_report() {
  return present() ? detail::probe()->last_report() : std::string();
}
// Takes back the sticky error that a fault in a kernel leaves.
inline void reset_errors() {
  if (present()) detail::probe()->reset_errors();
}

// Leaves that sticky error, as if a kernel had faulted.
inline void fault(int error) {
  if (present()) detail::probe()->fault(error);
}

// The n-th runtime or cuBLAS call from now (1: the next) does nothing and returns `error` (a
// cudaError_t; cuBLAS calls return CUBLAS_STATUS_ALLOC_FAILED for cudaErrorMemoryAllocation, else
// CUBLAS_STATUS_INTERNAL_ERROR); if `lasting`, every later one too. 0 takes it back.
inline void fail_call(std::uint64_t n, int error, bool lasting = false) {
  if (present()) detail::probe()->fail_call(n, error, lasting);
}
// How many calls that can fail were made so far, and the name of one of the last 4096 of them.
inline std::uint64_t call_count() { return present() ? detail::probe()->call_count() : 0; }
inline std::string call_name(std::uint64_t index) {
  return present() ? detail::probe()->call_name(index) : std::string();
}

inline resources live() { return present() ? detail::probe()->live() : resources{}; }
inline counters count() { return present() ? detail::probe()->count() : counters{}; }
inline bool is_device_pointer(const void* p) {
  return present() && detail::probe()->is_device_pointer(p);
}
// Names of the kernels that ran, oldest first (the last 4096).
inline std::vector<std::string> launched() {
  return present() ? detail::probe()->launched() : std::vector<std::string>();
}

namespace watch {

// Whether the kernels were compiled for the memory watch: only then are there races to find and
// traffic to count.
inline bool present() { return detail::watch() != nullptr; }
// Forgets all traffic counted so far.
inline void reset() {
  if (present()) detail::watch()->reset();
}
// One entry for each kernel that ran since reset().
inline std::vector<launch_traffic> launches() {
  return present() ? detail::watch()->launches() : std::vector<launch_traffic>();
}
inline traffic total() {
  traffic t;
  for (const launch_traffic& l : launches()) {
    t.bytes_loaded += l.moved.bytes_loaded;
    t.bytes_stored += l.moved.bytes_stored;
    t.loads += l.moved.loads;
    t.stores += l.moved.stores;
    t.loads16 += l.moved.loads16;
    t.stores16 += l.moved.stores16;
    t.atomics += l.moved.atomics;
    t.bulk_loaded += l.moved.bulk_loaded;
    t.bulk_stored += l.moved.bulk_stored;
  }
  return t;
}
// Bytes that kernels moved in [p, p + bytes) of device memory since reset(). Exact while no byte
// was moved more than 16383 times.
inline range_traffic count_range(const void* p, std::size_t bytes) {
  return present() ? detail::watch()->count_range(p, bytes) : range_traffic{};
}

}  // namespace watch
}  // namespace simt
