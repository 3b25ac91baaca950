// The memory watch: happens-before of a grid of threads, and the traffic. See watch_hooks.cpp for
// how it is called.
//
// Each word of watched memory has a cell that remembers who last wrote it and the last two readers;
// a word of which parts are accessed has a cell for each byte instead. "Who" is an epoch: what one
// thread does between two synchronisations. The order of two epochs follows from counts of
// barriers, so that it costs nothing to keep.
#include "watch.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "arena.hpp"
#include "engine.hpp"
#include "watch_access.hpp"
#include "watch_async.hpp"
#include "watch_known.hpp"
#include "watch_order.hpp"

namespace simt::watch {
namespace {

// Values of a cell: never written; written before any launch; an epoch (even, or odd for an
// atomic); or see the bytes.
constexpr std::uint32_t kNever = 0, kHost = 1, kSplit = 0xffffffffu;
constexpr std::size_t kChunk = 64 * 1024;
constexpr unsigned kMessages = 8;

struct cell {
  std::uint32_t write = kNever, read[2] = {};
  std::uint16_t loaded = 0, stored = 0;  // bytes, since the last reset
};

struct shadow {
  cell* words = nullptr;
  cell* bytes = nullptr;
};

char* reserve(std::size_t n) {
  void* p =
      mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::perror("simt: cannot reserve the watch's memory"), std::abort();
  return static_cast<char*>(p);
}
shadow make_shadow(std::size_t bytes) {
  return {reinterpret_cast<cell*>(reserve(bytes / 4 * sizeof(cell))),
          reinterpret_cast<cell*>(reserve(bytes * sizeof(cell)))};
}

struct state {
  std::uintptr_t global_begin = reinterpret_cast<std::uintptr_t>(arena::base());
  std::size_t global_size = arena::reserved();
  std::uintptr_t dynamic_begin = reinterpret_cast<std::uintptr_t>(device_engine().shared_memory);
  std::size_t dynamic_size = kSharedStride * kMaxCluster;
  std::uintptr_t static_begin = reinterpret_cast<std::uintptr_t>(static_shared().begin);
  std::size_t static_size = static_cast<std::size_t>(static_shared().end - static_shared().begin);
  shadow global = make_shadow(global_size), dynamic = make_shadow(dynamic_size),
         statics = make_shadow(static_size + 64);
  char* touched = reserve(global_size / kChunk);  // chunks with traffic
  std::vector<std::size_t> touched_list;

  launch_traffic now;
  std::vector<launch_traffic> launches;
  std::set<std::pair<const void*, const char*>> said;
  std::string messages, host_messages;
};
state& st() {
  static state* s = new state;
  return *s;
}

struct site {
  std::uintptr_t address;
  const char* space;
  const void* pc;
  std::uint32_t me;
  bool is_write;
  bool other_proxy = false;
};

void report(const char* what, const site& at, std::uint32_t other = 0) {
  state& s = st();
  if (s.said.size() >= kMessages || !s.said.insert({at.pc, what}).second) return;
  const auto* p = reinterpret_cast<const void*>(at.address);
  char text[512];
  std::snprintf(text, sizeof text, "%s: %s of %s memory%s by %s in %s (pc %p)", what,
                at.is_write ? "write" : "read", at.space,
                arena::contains(p) ? (" at " + arena::describe(p)).c_str() : "",
                order().who(at.me).c_str(), symbol_name(at.pc).c_str(), at.pc);
  s.messages += text;
  if (other != 0) s.messages += ", against " + order().who(other);
  s.messages += "\n";
}

// `unwritten_below`: smaller values mean "never written" here. Shared memory begins anew with each
// block.
void check(cell& c, const site& at, kind k, std::uint32_t unwritten_below) {
  const std::uint32_t me = at.me;
  if (k != kind::write && c.write < unwritten_below) report("read of memory never written", at);
  const auto races = [&](std::uint32_t other) {
    return other != me && other >= unwritten_below && !order().is_ordered(other, me);
  };
  if (races(c.write)) report("race", at, c.write);
  if (at.other_proxy && c.write >= unwritten_below && !order().is_fenced(c.write, me))
    report("missing proxy fence", at, c.write);
  if (k == kind::read) {
    if (c.read[0] != me) {
      c.read[1] = c.read[0];
      c.read[0] = me;
    }
    return;
  }
  for (const std::uint32_t r : c.read) {
    if (races(r)) report("race", at, r);
  }
  c.write = me;
  c.read[0] = c.read[1] = kNever;  // whoever comes after this write comes after them
}

void add(std::uint16_t& count, std::size_t n) {
  count = static_cast<std::uint16_t>(std::min<std::size_t>(count + n, 0xffff));
}
void count(cell& c, kind k, std::size_t n) {
  if (k == kind::read) add(c.loaded, n);
  if (k == kind::write) add(c.stored, n);
}

void split(cell& word, cell* bytes) {
  for (int i = 0; i < 4; ++i) {
    bytes[i] = word;
    bytes[i].loaded = word.loaded / 4;
    bytes[i].stored = word.stored / 4;
  }
  word.write = kSplit;
}

template <typename F>
void for_cells(const shadow& sh, std::size_t from, std::size_t to, F f) {
  while (from < to) {
    cell& word = sh.words[from / 4];
    if (from % 4 == 0 && to - from >= 4 && word.write != kSplit) {
      f(word, 4, from);
      from += 4;
      continue;
    }
    if (word.write != kSplit) split(word, sh.bytes + from / 4 * 4);
    for (const std::size_t end = std::min(to, from / 4 * 4 + 4); from < end; ++from)
      f(sh.bytes[from], 1, from);
  }
}

void watch_range(const shadow& sh, std::uintptr_t begin, std::size_t offset, std::size_t n, kind k,
                 site at, std::uint32_t unwritten_below, bool counted) {
  for_cells(sh, offset, offset + n, [&](cell& c, std::size_t bytes, std::size_t where) {
    at.address = begin + where;
    check(c, at, k, unwritten_below);
    if (counted) count(c, k, bytes);
  });
}

void count_traffic(std::size_t offset, std::size_t n, kind k, bool bulk) {
  state& s = st();
  traffic& t = s.now.moved;
  const std::size_t instructions = bulk ? 0 : (n + 15) / 16;
  switch (k) {
    case kind::read:
      t.bytes_loaded += n;
      t.loads += instructions;
      t.loads16 += bulk ? 0 : n / 16;
      t.bulk_loaded += bulk ? n : 0;
      break;
    case kind::write:
      t.bytes_stored += n;
      t.stores += instructions;
      t.stores16 += bulk ? 0 : n / 16;
      t.bulk_stored += bulk ? n : 0;
      break;
    case kind::atomic:
      ++t.atomics;
  }
  for (std::size_t chunk = offset / kChunk; chunk <= (offset + n - 1) / kChunk; ++chunk) {
    if (s.touched[chunk] != 0) continue;
    s.touched[chunk] = 1;
    s.touched_list.push_back(chunk);
  }
}

void access_from_host(std::uintptr_t a, const void* pc) {
  const auto* p = reinterpret_cast<const void*>(a);
  if (!arena::contains(p)) return;
  st().host_messages +=
      "the host touches device memory at " + arena::describe(p) + " in " + symbol_name(pc) + "\n";
}

}  // namespace

namespace {

// Of a thread, or of a copy that it issues, whose epoch is then given.
void access_by(thread_state& t, const void* p, std::size_t n, kind k, const void* pc,
               std::uint32_t copy = 0, bool other_proxy = false) {
  engine& e = device_engine();
  state& s = st();
  const auto a = reinterpret_cast<std::uintptr_t>(p);
  const std::uint32_t run = e.first_run + t.block;
  const auto at = [&](const char* space) {
    const std::uint32_t own = copy != 0 ? copy : order().epoch_of(t, run);
    return site{a, space, pc, own | (k == kind::atomic ? 1u : 0u), k != kind::read, other_proxy};
  };
  if (const std::size_t offset = a - s.global_begin; offset < s.global_size) {
    count_traffic(offset, n, k, copy != 0 && other_proxy);
    if (!arena::is_alive(p, n))
      return report("access outside of living device memory", at("global"));
    const site here = at("global");
    if (k == kind::atomic) order().synchronise(a, t, run);
    watch_range(s.global, s.global_begin, offset, n, k, here, kHost, true);
  } else if (const std::size_t offset = a - s.dynamic_begin; offset < s.dynamic_size) {
    const auto owner = static_cast<unsigned>(offset / kSharedStride);
    if (owner >= e.blocks.size() || offset % kSharedStride + n > e.dynamic_shared) {
      return report("access outside of dynamic shared memory", at("dynamic shared"));
    }
    if (owner != t.block) {
      if (e.blocks[owner].alive == 0) {
        return report("access to shared memory of a block that has left", at("dynamic shared"));
      }
      e.blocks[owner].remote_phase = e.cluster_phase + 1;
    }
    watch_range(s.dynamic, s.dynamic_begin, offset, n, k, at("dynamic shared"),
                order().cluster_base(), false);
  } else if (const std::size_t offset = a - s.static_begin; offset < s.static_size) {
    watch_range(s.statics, s.static_begin, offset, n, k, at("shared"), order().cluster_base(),
                false);
  }
  // Everything else is a thread's own stack, a parameter or a constant.
}

unsigned current_slot() { return device_engine().current->slot; }

}  // namespace

void access(const void* p, std::size_t n, kind k, const void* pc) {
  engine& e = device_engine();
  if (e.current == nullptr || !e.on_device_stack(__builtin_frame_address(0)))
    return access_from_host(reinterpret_cast<std::uintptr_t>(p), pc);
  access_by(*e.current, p, n, k, pc);
}

void copy_access(const void* p, std::size_t n, bool is_write, bool other_proxy, channel way,
                 unsigned index, const void* pc) {
  engine& e = device_engine();
  thread_state& t = *e.current;
  const std::uint32_t copy =
      order().copy_epoch(t, e.first_run + t.block, knowledge().state_of(way), index);
  access_by(t, p, n, is_write ? kind::write : kind::read, pc, copy, other_proxy);
}

// Whoever uses a barrier comes after its setup, however many have used it before.
void barrier_access(const void* p, bool is_init) {
  access_by(*device_engine().current, p, sizeof(std::uint64_t), is_init ? kind::write : kind::read,
            __builtin_return_address(0));
}

void async_begin() { knowledge().begin(); }
void met(const std::vector<unsigned>& slots) { knowledge().met(slots); }
void released(std::uintptr_t barrier) { knowledge().released(current_slot(), barrier); }
void phase_over(std::uintptr_t barrier, unsigned phase) { knowledge().phase_over(barrier, phase); }
void acquired(std::uintptr_t barrier) { knowledge().acquired(current_slot(), barrier); }
void groups_over(channel c, unsigned count) { knowledge().advanced(current_slot(), c, count); }
void proxy_fenced() { knowledge().fenced(current_slot()); }

void begin_launch(const std::string& kernel, unsigned cluster_blocks) {
  state& s = st();
  order().begin_launch(cluster_blocks);
  s.now = {kernel, {}};
  s.said.clear();
  s.messages.clear();
}

void begin_cluster(const uint3* blocks) { order().begin_cluster(blocks); }

std::string end_launch() {
  state& s = st();
  s.launches.push_back(s.now);
  return std::exchange(s.messages, {});
}

std::string take_host_errors() { return std::exchange(st().host_messages, {}); }

namespace {

void clear(const void* p, std::size_t n) {
  state& s = st();
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(p) - s.global_begin;
  cell* first = s.global.words + offset / 4;
  cell* last = s.global.words + (offset + n + 3) / 4;
  if (n < (std::size_t{1} << 18)) {
    std::fill(first, last, cell{});  // cells of bytes are set up anew when a word is split
    return;
  }
  const auto from = (reinterpret_cast<std::uintptr_t>(first) + 4095) / 4096 * 4096;
  const auto to = reinterpret_cast<std::uintptr_t>(last) / 4096 * 4096;
  std::fill(first, reinterpret_cast<cell*>(from), cell{});
  std::fill(reinterpret_cast<cell*>(to), last, cell{});
  madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

std::size_t offset_of(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) - st().global_begin;
}

}  // namespace

void allocated(const void* p, std::size_t n) { clear(p, n); }
void freed(const void* p, std::size_t n) { clear(p, n); }

void written(const void* p, std::size_t n) {
  for_cells(st().global, offset_of(p), offset_of(p) + n, [](cell& c, std::size_t, std::size_t) {
    c.write = kHost;
    c.read[0] = c.read[1] = kNever;
  });
}

void copied(const void* to, const void* from, std::size_t n) {
  for (std::size_t done = 0; done < n;) {
    const char* source = static_cast<const char*>(from) + done;
    const std::size_t good = first_unwritten(source, n - done);
    written(static_cast<const char*>(to) + done, good);
    done += good + 1;  // one byte at a time through what was never written
  }
}

std::size_t first_unwritten(const void* p, std::size_t n) {
  std::size_t first = n;
  for_cells(st().global, offset_of(p), offset_of(p) + n, [&](cell& c, std::size_t, std::size_t at) {
    if (c.write == kNever && first == n) first = at - offset_of(p);
  });
  return first;
}

namespace {

std::vector<launch_traffic> probe_launches() { return st().launches; }

void probe_reset() {
  state& s = st();
  s.launches.clear();
  for (const std::size_t chunk : s.touched_list) {
    s.touched[chunk] = 0;
    for_cells(s.global, chunk * kChunk, (chunk + 1) * kChunk,
              [](cell& c, std::size_t, std::size_t) { c.loaded = c.stored = 0; });
  }
  s.touched_list.clear();
}

range_traffic probe_count_range(const void* p, std::size_t n) {
  range_traffic t;
  if (!arena::contains(p) || n == 0) return t;
  const std::size_t from = offset_of(p);
  for (std::size_t at = from; at < from + n; ++at) {
    const cell& word = st().global.words[at / 4];
    const bool bytes = word.write == kSplit;
    const cell& c = bytes ? st().global.bytes[at] : word;
    t.bytes_loaded += bytes ? c.loaded : c.loaded / 4;
    t.bytes_stored += bytes ? c.stored : c.stored / 4;
  }
  return t;
}

}  // namespace
}  // namespace simt::watch

extern "C" const simt::watch_table* simt_watch_probe() {
  static constexpr simt::watch_table table = {simt::watch::probe_launches, simt::watch::probe_reset,
                                              simt::watch::probe_count_range};
  return &table;
}
