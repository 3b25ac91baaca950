#include "async_copies.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "arena.hpp"
#include "engine.hpp"
#include "watch_async.hpp"

namespace simt {
namespace {

constexpr std::uint64_t kBarrier = 0xb7f3a95d11c26e48u;  // what stands where a barrier is
constexpr unsigned kMostBytes = (1u << 20) - 1;          // that a barrier can expect
constexpr unsigned kMostArrivals = kMostBytes;
constexpr unsigned kPieces = 4;

std::uintptr_t address_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// Of the block of the current thread.
bool in_shared(const void* p, std::size_t bytes) {
  const engine& e = device_engine();
  const char* const own = e.blocks[e.current->block].shared;
  const auto* c = static_cast<const char*>(p);
  if (c >= own && c + bytes <= own + e.dynamic_shared) return true;
  const byte_span s = static_shared();
  return c >= s.begin && c + bytes <= s.end;
}
void set_poisoned(char* p, std::size_t bytes, bool poisoned) {
  if (poisoned && __asan_poison_memory_region) __asan_poison_memory_region(p, bytes);
  if (!poisoned && __asan_unpoison_memory_region) __asan_unpoison_memory_region(p, bytes);
}
watch::channel groups_of(watch::channel_kind kind, unsigned slot) { return {kind, slot}; }

}  // namespace

void async_copies::begin(random_bits random, schedule order) {
  // After a fault there may be some left.
  for (const auto& c : copies_) {
    if (c->kind != kind::bulk_store) set_poisoned(c->to, c->bytes, false);
  }
  copies_.clear();
  barriers_.clear();
  groups_.clear();
  views_.clear();
  if (in_use_ && watch::async_begin) watch::async_begin();
  in_use_ = false;
  fences_ = publications_ = 0;
  random_ = random;
  schedule_ = order;
}

// ---- barriers ------------------------------------------------------------------------------

void async_copies::init(std::uint64_t* p, unsigned arrivals, where w) {
  in_use_ = true;
  check_aligned(p, sizeof *p, w);
  if (!in_shared(p, sizeof *p))
    fault(fault_kind::illegal_address, "a barrier outside of shared memory", w);
  if (arrivals == 0 || arrivals > kMostArrivals)
    fault(fault_kind::launch_failure, "a barrier that counts no arrivals, or too many", w);
  if (barriers_.count(address_of(p)) != 0)
    fault(fault_kind::launch_failure, "a barrier that is set up twice", w);
  if (watch::barrier_access) watch::barrier_access(p, true);
  *p = kBarrier;
  barriers_[address_of(p)] = {arrivals, arrivals, 0, 0, publications_};
}

async_copies::barrier& async_copies::known(const std::uint64_t* p, const char* what, where w) {
  const auto found = barriers_.find(address_of(p));
  if (found == barriers_.end())
    device_engine().fail(fault_kind::launch_failure,
                         "%s: a barrier that was never set up, at %s:%u", what, w.file, w.line);
  if (watch::barrier_access) watch::barrier_access(p, false);
  if (*p != kBarrier)
    device_engine().fail(fault_kind::launch_failure,
                         "%s: a barrier that was written over, at %s:%u", what, w.file, w.line);
  return found->second;
}

void async_copies::arrive(std::uint64_t* p, unsigned expected_bytes, where w) {
  barrier& b = known(p, "arrive", w);
  if (b.pending == 0)
    fault(fault_kind::launch_failure, "arrive: more arrivals than the barrier counts", w);
  if (expected_bytes > kMostBytes)
    fault(fault_kind::launch_failure, "arrive: more bytes than a barrier can expect", w);
  if (watch::released) watch::released(address_of(p));
  --b.pending;
  b.bytes += expected_bytes;
  complete(address_of(p), b);
}

// Begins the next phase if this one is over.
void async_copies::complete(std::uintptr_t address, barrier& b) {
  if (b.pending != 0 || b.bytes != 0) return;
  for (const auto& c : copies_) {
    if (c->barrier == address && c->phase == b.phase && !c->read())
      fault(fault_kind::launch_failure,
            "a barrier's phase is over before a copy for it has landed: it expected fewer bytes, "
            "issued",
            c->at);
  }
  if (watch::phase_over) watch::phase_over(address, b.phase);
  ++b.phase;
  b.pending = b.arrivals;
  engine& e = device_engine();
  for (unsigned slot = 0; slot < e.thread_count(); ++slot) {
    thread_state& t = e.thread(slot);
    if (t.now == status::waiting && t.waits_in == op::phase && t.awaits.barrier == address &&
        t.awaits.phase < b.phase) {
      e.wake(t);
    }
  }
}

void async_copies::wait(std::uint64_t* p, unsigned parity, where w) {
  engine& e = device_engine();
  barrier& b = known(p, "wait", w);
  if ((b.phase & 1) == (parity & 1)) {
    thread_state& t = *e.current;
    t.awaits = {address_of(p), b.phase, false, false};
    e.suspend(op::phase, w);
    if (b.phase != t.awaits.phase + 1)
      fault(fault_kind::launch_failure,
            "wait: the next phase, too, was over before this thread went on", w);
  }
  if (watch::acquired) watch::acquired(address_of(p));
  remove_if([&](copy& c) {
    if (c.barrier != address_of(p) || c.phase >= b.phase) return false;
    deliver(c, w);
    return true;
  });
}

// ---- copies --------------------------------------------------------------------------------

void async_copies::check_copy(const char* what, const char* shared, const char* global,
                              unsigned bytes, unsigned aligned, where w) const {
  engine& e = device_engine();
  if (bytes == 0 || (address_of(shared) | address_of(global) | bytes) % aligned != 0)
    e.fail(fault_kind::misaligned_address, "%s: misaligned address or size at %s:%u", what, w.file,
           w.line);
  if (!in_shared(shared, bytes))
    e.fail(fault_kind::illegal_address, "%s: not shared memory of this block, at %s:%u", what,
           w.file, w.line);
  if (arena::contains(global) && arena::is_alive(global, bytes)) return;
  char place[160];
  std::snprintf(place, sizeof place, "%s", arena::describe(global).c_str());
  e.fail(fault_kind::illegal_address, "%s: outside of living device memory (%s) at %s:%u", what,
         place, w.file, w.line);
}

// Memory that a copy under way needs: its destination for anything, its source for a write.
void async_copies::check_reuse(const char* begin, std::size_t bytes, bool writes, where w) const {
  const auto meets = [&](const char* other, unsigned n) {
    return begin < other + n && other < begin + bytes;
  };
  for (const auto& c : copies_) {
    const bool into = c->kind != kind::bulk_store && meets(c->to, c->bytes);
    const bool out_of =
        writes && c->kind == kind::bulk_store && !c->awaited && meets(c->from, c->bytes);
    if (!into && !out_of) continue;
    device_engine().fail(
        fault_kind::launch_failure,
        "a copy of shared memory that another one, issued at %s:%u, may still %s, at %s:%u",
        c->at.file, c->at.line, into ? "write" : "read", w.file, w.line);
  }
}

async_copies::copy& async_copies::issue(kind k, char* to, const char* from, unsigned bytes,
                                        where w) {
  in_use_ = true;
  const thread_state& t = *device_engine().current;
  auto c = std::make_unique<copy>();
  *c = {k, to, from, bytes, t.block, t.slot, 0, 0, w, std::vector<char>(bytes), {}, false, false};
  const unsigned unit = 16, units = bytes / unit;
  const unsigned pieces = std::min(units, k == kind::element_load ? 1 : 1 + random_.below(kPieces));
  for (unsigned i = 0; i < pieces; ++i)
    c->pieces.push_back({units * i / pieces * unit, units * (i + 1) / pieces * unit});
  if (k != kind::bulk_store) {
    const std::vector<char> poison(bytes, '\xff');
    move(to, poison.data(), bytes);
    set_poisoned(to, bytes, true);
  }
  copies_.push_back(std::move(c));
  return *copies_.back();
}

void async_copies::bulk_load(char* shared, const char* global, unsigned bytes, std::uint64_t* p,
                             where w, const void* pc) {
  barrier& b = known(p, "bulk load", w);
  check_copy("bulk load", shared, global, bytes, 16, w);
  if (b.publications == publications_)
    fault(fault_kind::launch_failure, "bulk load: its barrier has not been made visible by a fence",
          w);
  check_reuse(shared, bytes, true, w);
  if (watch::copy_access) {
    const watch::channel way{watch::channel_kind::barrier, address_of(p)};
    watch::copy_access(global, bytes, false, true, way, b.phase, pc);
    watch::copy_access(shared, bytes, true, true, way, b.phase, pc);
  }
  copy& c = issue(kind::bulk_load, shared, global, bytes, w);
  c.barrier = address_of(p);
  c.phase = b.phase;
}

void async_copies::bulk_store(char* global, const char* shared, unsigned bytes, where w,
                              const void* pc) {
  check_copy("bulk store", shared, global, bytes, 16, w);
  check_reuse(shared, bytes, false, w);
  // Whatever has changed since the other proxy last saw it needs a fence since then.
  std::size_t seen = 0;
  for (const view& v : views_) {
    const char* from = std::max<const char*>(v.begin, shared);
    const char* to = std::min<const char*>(v.end(), shared + bytes);
    if (from >= to) continue;
    seen += static_cast<std::size_t>(to - from);
    if (v.fences == fences_ && std::memcmp(from, v.data.data() + (from - v.begin),
                                           static_cast<std::size_t>(to - from)) != 0)
      fault(fault_kind::launch_failure, "bulk store: of what was written without a proxy fence", w);
  }
  if (seen < bytes && fences_ == 0)
    fault(fault_kind::launch_failure, "bulk store: of what was written without a proxy fence", w);
  const unsigned slot = device_engine().current->slot, group = groups_[slot].bulk;
  if (watch::copy_access) {
    watch::copy_access(shared, bytes, false, true, groups_of(watch::channel_kind::bulk_read, slot),
                       group, pc);
    watch::copy_access(global, bytes, true, true, groups_of(watch::channel_kind::bulk_write, slot),
                       group, pc);
  }
  set_view(shared, bytes);
  issue(kind::bulk_store, global, shared, bytes, w).phase = group;
}

void async_copies::element_load(char* shared, const char* global, where w, const void* pc) {
  check_copy("cp.async", shared, global, 16, 16, w);
  check_reuse(shared, 16, true, w);
  const unsigned slot = device_engine().current->slot, group = groups_[slot].elements;
  if (watch::copy_access) {
    const watch::channel way = groups_of(watch::channel_kind::elements, slot);
    watch::copy_access(global, 16, false, false, way, group, pc);
    watch::copy_access(shared, 16, true, false, way, group, pc);
  }
  issue(kind::element_load, shared, global, 16, w).phase = group;
}

void async_copies::fence_proxy() {
  in_use_ = true;
  ++fences_;
  if (watch::proxy_fenced) watch::proxy_fenced();
}

void async_copies::commit(bool bulk) {
  groups& g = groups_[device_engine().current->slot];
  ++(bulk ? g.bulk : g.elements);
}

bool async_copies::is_done(const copy& c, bool read) const {
  return c.read() && (c.kind != kind::bulk_store || read || c.written);
}
bool async_copies::groups_done(unsigned thread, const awaited& a) const {
  return std::all_of(copies_.begin(), copies_.end(), [&](const auto& c) {
    const bool own =
        c->thread == thread && (c->kind == kind::bulk_store) == a.bulk && c->barrier == 0;
    return !own || c->phase >= a.phase || is_done(*c, a.read);
  });
}

void async_copies::wait_groups(bool bulk, unsigned groups_left, bool read, where w) {
  engine& e = device_engine();
  thread_state& t = *e.current;
  const groups g = groups_[t.slot];
  const unsigned committed = bulk ? g.bulk : g.elements;
  const unsigned count = committed > groups_left ? committed - groups_left : 0;
  t.awaits = {0, count, bulk, read};
  if (!groups_done(t.slot, t.awaits)) e.suspend(op::copies, w);
  if (watch::groups_over) {
    using enum watch::channel_kind;
    watch::groups_over(groups_of(bulk ? bulk_read : elements, t.slot), count);
    if (bulk && !read) watch::groups_over(groups_of(bulk_write, t.slot), count);
  }
  remove_if([&](copy& c) {
    if (c.thread != t.slot || (c.kind == kind::bulk_store) != bulk || c.barrier != 0 ||
        c.phase >= count)
      return false;
    c.awaited = true;
    if (c.kind == kind::element_load) deliver(c, w);
    return c.kind == kind::element_load || c.written;
  });
}

// The next piece of it.
void async_copies::land(copy& c) {
  if (!c.read()) {
    const std::size_t which = random_.below(static_cast<unsigned>(c.pieces.size()));
    const auto [begin, end] = c.pieces[which];
    c.pieces.erase(c.pieces.begin() + static_cast<std::ptrdiff_t>(which));
    move(c.data.data() + begin, c.from + begin, end - begin);
    if (c.barrier != 0) {
      barrier& b = barriers_.at(c.barrier);
      b.bytes -= end - begin;
      complete(c.barrier, b);
    }
  } else {
    move(c.to, c.data.data(), c.bytes);
    c.written = true;
  }
  if (c.barrier == 0) wake_waiters(c.thread);
}

void async_copies::wake_waiters(unsigned thread) {
  engine& e = device_engine();
  thread_state& t = e.thread(thread);
  if (t.now == status::waiting && t.waits_in == op::copies && groups_done(thread, t.awaits))
    e.wake(t);
}

// What a load brought appears.
void async_copies::deliver(copy& c, where w) {
  set_poisoned(c.to, c.bytes, false);
  for (unsigned i = 0; i < c.bytes; ++i) {
    if (c.to[i] == '\xff') continue;
    fault(fault_kind::launch_failure,
          "wait: shared memory was written while a copy into it was under way", w);
  }
  move(c.to, c.data.data(), c.bytes);
  set_view(c.to, c.bytes);
}

// The watch does not take it for an access of the current thread.
void async_copies::move(void* to, const void* from, std::size_t n) {
  moving_ = true;
  std::memcpy(to, from, n);
  moving_ = false;
}

void async_copies::set_view(const char* begin, std::size_t bytes) {
  moving_ = true;
  const char* end = begin + bytes;
  std::vector<view> rests;
  const auto part = [](const view& v, const char* from, const char* to) {
    return view{from,
                std::vector<char>(v.data.data() + (from - v.begin), v.data.data() + (to - v.begin)),
                v.fences};
  };
  for (const view& v : views_) {
    if (v.end() <= begin || v.begin >= end) continue;
    if (v.begin < begin) rests.push_back(part(v, v.begin, begin));
    if (v.end() > end) rests.push_back(part(v, end, v.end()));
  }
  std::erase_if(views_, [&](const view& v) { return v.begin < end && v.end() > begin; });
  views_.insert(views_.end(), rests.begin(), rests.end());
  views_.push_back({begin, std::vector<char>(begin, end), fences_});
  moving_ = false;
}

template <class F>
void async_copies::remove_if(F f) {
  for (std::size_t i = 0; i < copies_.size();) {
    if (!f(*copies_[i])) {
      ++i;
      continue;
    }
    std::swap(copies_[i], copies_.back());
    copies_.pop_back();
  }
}

// ---- when ----------------------------------------------------------------------------------

void async_copies::go_on() {
  if (copies_.empty() || schedule_ == schedule::in_order) return;
  if (schedule_ == schedule::reversed) {
    while (land_something()) {
    }
    return;
  }
  if (random_.below(4) == 0) land_something();
}

bool async_copies::land_something() {
  const std::size_t n = copies_.size();
  if (n == 0) return false;
  const std::size_t first =
      schedule_ == schedule::in_order ? 0 : random_.below(static_cast<unsigned>(n));
  for (std::size_t i = 0; i < n; ++i) {
    copy& c = *copies_[(first + i) % n];
    if (c.read() && (c.kind != kind::bulk_store || c.written)) continue;
    land(c);
    if (c.written && c.awaited) remove_if([&](const copy& o) { return &o == &c; });
    return true;
  }
  return false;
}

void async_copies::block_left(unsigned block) {
  for (const auto& c : copies_) {
    if (c->block != block || (c->kind == kind::bulk_store && c->awaited)) continue;
    fault(fault_kind::launch_failure,
          "a block leaves while a copy of its shared memory may be under way: no wait for the one "
          "issued",
          c->at);
  }
  while (
      std::any_of(copies_.begin(), copies_.end(), [&](const auto& c) { return c->block == block; }))
    land_something();
}

// ---- the interface of device code ----------------------------------------------------------

#define PC __builtin_return_address(0)

void init_barrier(std::uint64_t* p, unsigned n, where w) { device_engine().copies.init(p, n, w); }
void publish_barriers() { device_engine().copies.publish(); }
void arrive(std::uint64_t* p, unsigned bytes, where w) {
  device_engine().copies.arrive(p, bytes, w);
}
void wait(std::uint64_t* p, unsigned parity, where w) { device_engine().copies.wait(p, parity, w); }
void bulk_load(void* to, const void* from, unsigned bytes, std::uint64_t* p, where w) {
  device_engine().copies.bulk_load(static_cast<char*>(to), static_cast<const char*>(from), bytes, p,
                                   w, PC);
}
void bulk_store(void* to, const void* from, unsigned bytes, where w) {
  device_engine().copies.bulk_store(static_cast<char*>(to), static_cast<const char*>(from), bytes,
                                    w, PC);
}
void commit_bulk() { device_engine().copies.commit(true); }
void wait_bulk(unsigned left, bool read, where w) {
  device_engine().copies.wait_groups(true, left, read, w);
}
void fence_proxy() { device_engine().copies.fence_proxy(); }
void copy16(void* to, const void* from, where w) {
  device_engine().copies.element_load(static_cast<char*>(to), static_cast<const char*>(from), w,
                                      PC);
}
void commit_copies() { device_engine().copies.commit(false); }
void wait_copies(unsigned left, where w) {
  device_engine().copies.wait_groups(false, left, false, w);
}

}  // namespace simt
