// Barriers and warp collectives: who waits for whom, what each gets, and what is said when it goes
// wrong.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "engine.hpp"
#include "watch_async.hpp"

namespace simt {
namespace {

bool same_place(where a, where b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

int as_int(std::uint64_t v) { return static_cast<int>(static_cast<unsigned>(v)); }

bool is_shuffle(op o) { return o >= op::shfl_idx && o <= op::shfl_xor; }

// One step of a reduction over the lanes; `first`: `all` holds nothing yet.
std::uint64_t fold(op o, std::uint64_t all, std::uint64_t value, unsigned lane, bool first) {
  const auto v = static_cast<unsigned>(value);
  const auto a = static_cast<unsigned>(all);
  switch (o) {
    case op::ballot:
      return all | (value & 1) << lane;
    case op::add_u32:
      return static_cast<unsigned>(a + v);
    case op::min_u32:
      return first ? v : std::min(a, v);
    case op::max_u32:
      return first ? v : std::max(a, v);
    case op::min_s32:
      return first ? v : static_cast<unsigned>(std::min(as_int(a), as_int(v)));
    case op::max_s32:
      return first ? v : static_cast<unsigned>(std::max(as_int(a), as_int(v)));
    case op::and_b32:
      return first ? v : a & v;
    case op::or_b32:
      return a | v;
    case op::xor_b32:
      return a ^ v;
    default:
      return all;
  }
}

// The lane that a shuffle reads.
unsigned source_lane(const thread_state& t) {
  const int self = static_cast<int>(t.lane);
  const int base = self & ~(t.width - 1);
  const int last = base + t.width - 1;
  int source = self;
  switch (t.waits_in) {
    case op::shfl_idx:
      source = base + (t.arg & (t.width - 1));
      break;
    case op::shfl_up:
      if (self - t.arg >= base) source = self - t.arg;
      break;
    case op::shfl_down:
      if (self + t.arg <= last) source = self + t.arg;
      break;
    default:
      if ((self ^ t.arg) <= last) source = self ^ t.arg;
  }
  return static_cast<unsigned>(source) & 31u;
}

}  // namespace

const char* name_of(op o) {
  static const char* const names[] = {"nothing",           "__syncwarp",        "__ballot_sync",
                                      "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync",
                                      "__shfl_xor_sync",   "__match_any_sync",  "__match_all_sync",
                                      "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync",
                                      "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync",
                                      "__reduce_or_sync",  "__reduce_xor_sync", "__syncthreads",
                                      "cluster barrier",   "wait for a phase",  "wait for copies"};
  return names[static_cast<int>(o)];
}

void engine::try_warp(warp_state& w, op o, unsigned mask) {
  const unsigned need = mask & w.alive;
  if ((w.waiting & need) != need) return;
  std::uint64_t all = 0;
  bool first = true;
  for (unsigned m = need; m != 0; m &= m - 1) {
    const unsigned l = static_cast<unsigned>(std::countr_zero(m));
    const thread_state& t = lane(w, l);
    if (t.waits_in != o || t.mask != mask) return;
    all = fold(o, all, t.value, l, first);
    first = false;
  }
  bool all_match = true;
  for (unsigned m = need; m != 0; m &= m - 1) {
    const unsigned l = static_cast<unsigned>(std::countr_zero(m));
    thread_state& t = lane(w, l);
    t.result = all;
    if (is_shuffle(o)) {
      // A value from a lane that does not take part is undefined: give something that shows.
      const unsigned source = source_lane(t);
      t.result = (need >> source & 1) != 0 ? lane(w, source).value : ~std::uint64_t{0};
    } else if (o == op::match_any || o == op::match_all) {
      t.result = 0;
      for (unsigned k = need; k != 0; k &= k - 1) {
        const unsigned other = static_cast<unsigned>(std::countr_zero(k));
        if (lane(w, other).value == t.value) t.result |= 1u << other;
      }
      all_match = all_match && t.result == need;
    }
  }
  // Only a full mask orders the lanes' memory accesses for the watch: it keeps one count a warp.
  const bool orders = o == op::sync_warp && (mask | ~w.alive) == kFullMask;
  if (orders) {
    ++w.syncs;
    told_of(lane(w, static_cast<unsigned>(std::countr_zero(need))), o);
  }
  for (unsigned m = need; m != 0; m &= m - 1) {
    thread_state& t = lane(w, static_cast<unsigned>(std::countr_zero(m)));
    if (o == op::match_all) t.result = all_match ? need : 0;
    if (orders) t.epoch = 0;
    wake(t);
  }
}

// The watch, of those who have met where `one_of` them waits.
void engine::told_of(const thread_state& one_of, op o) {
  if (!copies.in_use() || !watch::met) return;
  std::vector<unsigned> slots;
  for (const thread_state* t : threads_) {
    const bool near = o == op::cluster_barrier || t->block == one_of.block;
    if (near && t->now == status::waiting && t->waits_in == o &&
        (o != op::sync_warp || t->warp == one_of.warp)) {
      slots.push_back(t->slot);
    }
  }
  watch::met(slots);
}

std::uint64_t engine::collective(op o, unsigned mask, std::uint64_t value, int arg, int width,
                                 where at) {
  thread_state& t = *current;
  t.waits_in = o;
  t.mask = mask;
  t.value = value;
  t.arg = arg;
  t.width = width;
  t.at = at;
  t.now = status::waiting;
  warp_state& w = warps[t.warp];
  if ((mask >> t.lane & 1) == 0) {
    fail(fault_kind::launch_failure, "%s: the calling lane %u is not in its own mask, at %s:%u",
         name_of(o), t.lane, at.file, at.line);
  }
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fail(fault_kind::launch_failure, "%s: width %d is not a power of two up to 32, at %s:%u",
         name_of(o), width, at.file, at.line);
  }
  w.waiting |= 1u << t.lane;
  try_warp(w, o, mask);
  yield();
  return t.result;
}

void engine::try_block(block_state& b) {
  if (b.arrived != b.alive) return;
  const thread_state* first = nullptr;
  unsigned count = 0;
  for (unsigned i = b.first; i < b.first + b.threads; ++i) {
    const thread_state& t = *threads_[i];
    if (t.now != status::waiting || t.waits_in != op::block_barrier) continue;
    if (first == nullptr) first = &t;
    if (!same_place(first->at, t.at)) {
      fail(fault_kind::launch_failure,
           "divergent __syncthreads: threads of one block met at %s:%u and at %s:%u",
           first->at.file, first->at.line, t.at.file, t.at.line);
    }
    count += t.predicate;
  }
  const unsigned took_part = b.alive;
  b.arrived = 0;
  ++b.phase;
  told_of(*first, op::block_barrier);
  for (unsigned i = b.first; i < b.first + b.threads; ++i) {
    thread_state& t = *threads_[i];
    if (t.now != status::waiting || t.waits_in != op::block_barrier) continue;
    t.counted = {count, took_part};
    t.epoch = 0;
    wake(t);
  }
}

void engine::try_cluster() {
  if (cluster_arrived_ != live_) return;
  cluster_arrived_ = 0;
  ++cluster_phase;
  for (block_state& b : blocks) ++b.phase;
  told_of(*threads_.front(), op::cluster_barrier);
  for (thread_state* t : threads_) {
    if (t->now != status::waiting) continue;
    t->epoch = 0;
    wake(*t);
  }
}

votes engine::barrier(op o, bool predicate, where at) {
  thread_state& t = *current;
  block_state& b = blocks[t.block];
  t.waits_in = o;
  t.mask = kFullMask;
  t.predicate = predicate;
  t.at = at;
  t.now = status::waiting;
  warps[t.warp].waiting |= 1u << t.lane;
  if (o == op::block_barrier) {
    ++b.arrived;
    try_block(b);
  } else {
    ++cluster_arrived_;
    try_cluster();
  }
  yield();
  return t.counted;
}

// One line for each range of threads that do the same.
std::string engine::describe() const {
  std::string out;
  char line[512];
  for (std::size_t i = 0; i < threads_.size();) {
    const thread_state& a = *threads_[i];
    auto same = [&](const thread_state& b) {
      return a.block == b.block && a.now == b.now && (&a == current) == (&b == current) &&
             (a.now != status::waiting ||
              (a.waits_in == b.waits_in && a.mask == b.mask && same_place(a.at, b.at)));
    };
    std::size_t end = i + 1;
    while (end < threads_.size() && same(*threads_[end])) ++end;
    const block_state& block = blocks[a.block];
    const uint3 b = block.index;
    const int n = std::snprintf(line, sizeof line, "  block (%u,%u,%u) threads %zu-%zu: ", b.x, b.y,
                                b.z, i - block.first, end - 1 - block.first);
    char* rest = line + n;
    const std::size_t room = sizeof line - static_cast<std::size_t>(n);
    if (&a == current) {
      std::snprintf(rest, room, "running\n");
    } else if (a.now == status::waiting) {
      std::snprintf(rest, room, "in %s(mask %08x) at %s:%u\n", name_of(a.waits_in), a.mask,
                    a.at.file, a.at.line);
    } else {
      std::snprintf(rest, room, "%s\n", a.now == status::done ? "left" : "able to run");
    }
    out += line;
    i = end;
  }
  return out;
}

// ---- the interface of device code ---------------------------------------------------------

std::uint64_t warp_collective(op o, unsigned mask, std::uint64_t v, int arg, int width, where w) {
  return device_engine().collective(o, mask, v, arg, width, w);
}
votes block_barrier(bool p, where w) { return device_engine().barrier(op::block_barrier, p, w); }
void cluster_barrier(where w) { device_engine().barrier(op::cluster_barrier, false, w); }
void fence() {
  engine& e = device_engine();
  thread_state& t = *e.current;
  ++t.fences;
  t.fence_phase = e.blocks[t.block].phase;
  t.fence_syncs = e.warps[t.warp].syncs;
  t.epoch = 0;
}
void* dynamic_shared() {
  const engine& e = device_engine();
  return e.blocks[e.current->block].shared;
}
std::size_t dynamic_shared_size() { return device_engine().dynamic_shared; }
unsigned cluster_rank() { return device_engine().current->block; }
unsigned cluster_size() { return static_cast<unsigned>(device_engine().blocks.size()); }

void* map_shared_rank(const void* p, unsigned rank, where w) {
  engine& e = device_engine();
  const auto offset =
      static_cast<std::size_t>(static_cast<const char*>(p) - static_cast<char*>(dynamic_shared()));
  if (rank >= e.blocks.size())
    fault(fault_kind::illegal_address, "map_shared_rank: no such rank in the cluster", w);
  if (offset > e.dynamic_shared) {
    fault(fault_kind::illegal_address, "map_shared_rank: not an address in dynamic shared memory",
          w);
  }
  if (e.blocks[rank].alive == 0)
    fault(fault_kind::illegal_address, "map_shared_rank: that block has left", w);
  return e.blocks[rank].shared + offset;
}

void fault(fault_kind kind, const char* what, where w) {
  engine& e = device_engine();
  if (e.current == nullptr) {
    std::fprintf(stderr, "simt: %s at %s:%u, outside a kernel\n", what, w.file, w.line);
    std::abort();
  }
  e.fail(kind, "%s at %s:%u", what, w.file, w.line);
}

}  // namespace simt
