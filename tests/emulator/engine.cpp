// Fibers and the choice of the next thread. Compiled without any sanitizer; ASan is told of the
// switches through weak symbols, so that one object file serves every build.
#include "engine.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <boost/context/preallocated.hpp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "watch.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {
namespace {

using boost::context::fiber;
constexpr std::size_t kGuard = 4096;

struct keep_stack {
  void deallocate(boost::context::stack_context&) noexcept {}
};

char* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::perror("simt: cannot reserve memory"), std::abort();
  return static_cast<char*>(p);
}

}  // namespace

engine& device_engine() {
  static engine* e = new engine;  // never destroyed: kernels may run from destructors of statics
  return *e;
}

engine::engine()
    : shared_memory(reserve(kSharedStride * kMaxCluster)),
      stacks_(reserve(kStack * kMaxBlockThreads * kMaxCluster)) {}

void engine::prepare(thread_state& t) {
  if (t.stack == nullptr) {
    t.stack = stacks_ + t.slot * kStack;
    mprotect(t.stack, kGuard, PROT_NONE);
  }
  if (__asan_unpoison_memory_region)
    __asan_unpoison_memory_region(t.stack + kGuard, kStack - kGuard);
  t.fake_stack = nullptr;
  boost::context::stack_context stack;
  // Stacks begin at different places of a page: else their upper ends would all compete for the
  // same cache lines.
  const std::size_t shift = t.slot * 9 % 64 * 64;
  stack.size = kStack - kGuard - shift;
  stack.sp = t.stack + kStack - shift;
  // Fibers live as long as the process and go from block to block: making one costs a hundred
  // switches.
  new (&t.context)
      fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack),
            keep_stack{}, [this, &t](fiber&& f) -> fiber {
              arrived_from(std::move(f));
              live(t);
            });
  t.started = true;
}

void engine::live(thread_state& t) {
  for (;;) {
    (*body_)();
    leave(t);
    yield();
  }
}

void engine::leave(thread_state& t) {
  t.now = status::done;
  --live_;
  warp_state& w = warps[t.warp];
  w.alive &= ~(1u << t.lane);
  block_state& b = blocks[t.block];
  --b.alive;
  if (b.alive == 0 && copies.in_use()) copies.block_left(t.block);
  if (b.alive == 0 && blocks.size() > 1) {
    // A block that leaves takes its shared memory with it.
    if (b.remote_phase == cluster_phase + 1) {
      fail(fault_kind::launch_failure,
           "a block of a cluster leaves while others may still use its shared memory: no cluster "
           "barrier after the "
           "last access");
    }
    if (dynamic_shared != 0) std::memset(b.shared, 0xff, dynamic_shared);
    if (__asan_poison_memory_region) __asan_poison_memory_region(b.shared, dynamic_shared);
  }
  // Those who wait only for this thread may go on: threads that have left do not take part.
  for (unsigned m = w.waiting; m != 0; m &= m - 1) {
    const thread_state& o = lane(w, static_cast<unsigned>(std::countr_zero(m)));
    if (o.now == status::waiting && o.waits_in < op::block_barrier) try_warp(w, o.waits_in, o.mask);
  }
  if (b.arrived != 0) try_block(b);
  if (cluster_arrived_ != 0) try_cluster();
}

void engine::arrived_from(fiber&& f) {
  if (__sanitizer_finish_switch_fiber) {
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(current ? current->fake_stack : host_fake_stack_, &bottom,
                                    &size);
    if (from_ == nullptr) {
      host_bottom_ = bottom;
      host_size_ = size;
    }
  }
  (from_ != nullptr ? from_->context : host_) = std::move(f);
}

// Goes from thread to thread directly; to the host (null) only when the cluster is done or has
// failed.
void engine::switch_to(thread_state* next) {
  thread_state* self = current;
  if (next == self) return;
  ++total.switches;
  current = next;
  if (next != nullptr) {
    threadIdx = next->index;
    blockIdx = blocks[next->block].index;
  }
  from_ = self;
  if (__sanitizer_start_switch_fiber) {
    __sanitizer_start_switch_fiber(self != nullptr ? &self->fake_stack : &host_fake_stack_,
                                   next != nullptr ? next->stack + kGuard : host_bottom_,
                                   next != nullptr ? kStack - kGuard : host_size_);
  }
  arrived_from(std::move(next != nullptr ? next->context : host_).resume());
}

thread_state* engine::pick() {
  std::uint64_t bits = 0;
  const bool any_lane = schedule_ == schedule::random || schedule_ == schedule::warp_priority;
  if (any_lane) bits = random_();
  unsigned word = 0;
  unsigned rank = 0;
  if (schedule_ == schedule::random) {
    word = rank_words_ == 1 ? 0 : static_cast<unsigned>(bits >> 32) % rank_words_;
    for (unsigned tried = 0; ready_ranks_[word] == 0; word = (word + 1) % rank_words_) {
      if (++tried == rank_words_) return nullptr;
    }
    const int turn = static_cast<int>(bits & 63);
    rank =
        static_cast<unsigned>(std::countr_zero(std::rotr(ready_ranks_[word], turn)) + turn) & 63u;
  } else {
    while (ready_ranks_[word] == 0) {
      if (++word == rank_words_) return nullptr;
    }
    rank = static_cast<unsigned>(std::countr_zero(ready_ranks_[word]));
  }
  rank += word * 64;
  warp_state& w = warps[warp_of_rank_[rank]];
  unsigned l = 0;
  if (any_lane) {
    const int turn = static_cast<int>(bits >> 8 & 31);
    l = static_cast<unsigned>(std::countr_zero(std::rotr(w.ready, turn)) + turn) & 31u;
  } else {
    l = static_cast<unsigned>(schedule_ == schedule::in_order ? std::countr_zero(w.ready)
                                                              : 31 - std::countl_zero(w.ready));
  }
  w.ready &= ~(1u << l);
  if (w.ready == 0) ready_ranks_[word] &= ~(std::uint64_t{1} << (rank & 63));
  // Now and then another warp becomes the one that always goes first.
  if (schedule_ == schedule::warp_priority && (bits >> 16 & 255) == 0) {
    swap_ranks(rank, static_cast<unsigned>(bits >> 32) % static_cast<unsigned>(warps.size()));
  }
  thread_state& t = lane(w, l);
  t.waits_in = op::none;
  return &t;
}

void engine::swap_ranks(unsigned a, unsigned b) {
  std::swap(warp_of_rank_[a], warp_of_rank_[b]);
  for (const unsigned r : {a, b}) {
    warp_state& w = warps[warp_of_rank_[r]];
    w.rank = r;
    const std::uint64_t bit = std::uint64_t{1} << (r & 63);
    ready_ranks_[r / 64] = w.ready != 0 ? ready_ranks_[r / 64] | bit : ready_ranks_[r / 64] & ~bit;
  }
}

void engine::wake(thread_state& t) {
  t.now = status::ready;
  warp_state& w = warps[t.warp];
  w.waiting &= ~(1u << t.lane);
  w.ready |= 1u << t.lane;
  ready_ranks_[w.rank / 64] |= std::uint64_t{1} << (w.rank & 63);
}

// The current thread cannot go on.
void engine::yield() {
  if (copies.in_use()) copies.go_on();
  thread_state* next = pick();
  while (next == nullptr && live_ > 0 && copies.land_something()) next = pick();
  if (next == nullptr && live_ > 0 && fault_ == fault_kind::none) {
    fault_ = fault_kind::launch_failure;
    report = "deadlock: no thread of the block can go on\n" + describe();
  }
  switch_to(next);
}

void engine::suspend(op o, where at) {
  thread_state& t = *current;
  t.waits_in = o;
  t.mask = kFullMask;
  t.at = at;
  t.now = status::waiting;
  warps[t.warp].waiting |= 1u << t.lane;
  yield();
}

void engine::fail(fault_kind kind, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fault_ = kind;
  report = text;
  report += "\n" + describe();
  current->now = status::waiting;  // for ever: its fiber must not be used again
  switch_to(nullptr);
  std::abort();  // not reached
}

void engine::set_up_block(unsigned block, const geometry& g, uint3 index) {
  const unsigned threads = g.block_threads();
  block_state& b = blocks[block];
  b = {index, block * threads, threads, threads, 0, 0, 0, shared_memory + block * kSharedStride};
  if (dynamic_shared != 0) {
    if (__asan_poison_memory_region) {
      const std::size_t whole = (dynamic_shared + 7) / 8 * 8;
      __asan_poison_memory_region(b.shared + whole,
                                  std::min<std::size_t>(kSharedStride - whole, 4096));
      __asan_unpoison_memory_region(b.shared, dynamic_shared);
    }
    if (current_settings().poison_shared) std::memset(b.shared, 0xff, dynamic_shared);
  } else if (__asan_poison_memory_region) {
    __asan_poison_memory_region(b.shared, 4096);
  }
  uint3 i{0, 0, 0};
  for (unsigned n = 0; n < threads; ++n) {
    thread_state& t = *threads_[b.first + n];
    t.index = i;
    t.block = block;
    t.warp = block * warps_per_block + n / kWarpSize;
    t.lane = n % kWarpSize;
    t.linear = n;
    t.now = status::ready;
    t.waits_in = op::none;
    t.fences = t.epoch = 0;
    if (!t.started) prepare(t);
    warp_state& w = warps[t.warp];
    if (t.lane == 0) w.first = b.first + n;
    w.ready |= 1u << t.lane;
    w.alive |= 1u << t.lane;
    if (++i.x == g.block[0]) {
      i.x = 0;
      if (++i.y == g.block[1]) i.y = 0, ++i.z;
    }
  }
}

void engine::set_up_ranks() {
  const auto n = static_cast<unsigned>(warps.size());
  rank_words_ = (n + 63) / 64;
  warp_of_rank_.resize(n);
  std::iota(warp_of_rank_.begin(), warp_of_rank_.end(), 0u);
  if (schedule_ == schedule::reversed) std::reverse(warp_of_rank_.begin(), warp_of_rank_.end());
  if (schedule_ == schedule::warp_priority) {
    for (unsigned i = n; i > 1; --i)
      std::swap(warp_of_rank_[i - 1], warp_of_rank_[random_.below(i)]);
  }
  ready_ranks_.fill(0);
  for (unsigned r = 0; r < n; ++r) {
    warps[warp_of_rank_[r]].rank = r;
    ready_ranks_[r / 64] |= std::uint64_t{1} << (r & 63);
  }
}

fault_kind engine::run(const geometry& g, const uint3* indices, unsigned run,
                       const std::function<void()>& body, random_bits random) {
  const unsigned count = g.cluster_blocks();
  const unsigned all = g.block_threads() * count;
  body_ = &body;
  random_ = random;
  schedule_ = current_settings().order;
  fault_ = fault_kind::none;
  first_run = run;
  dynamic_shared = g.dynamic_shared;
  cluster_arrived_ = 0;
  cluster_phase = 0;
  live_ = all;
  copies.begin(random_bits{random.state ^ 0x5851f42d4c957f2du}, schedule_);
  warps_per_block = (g.block_threads() + kWarpSize - 1) / kWarpSize;
  while (pool_.size() < all) {
    pool_.push_back(new thread_state);
    pool_.back()->slot = static_cast<unsigned>(pool_.size() - 1);
  }
  threads_.assign(pool_.begin(), pool_.begin() + all);
  blocks.resize(count);
  warps.assign(warps_per_block * count, {});
  for (unsigned b = 0; b < count; ++b) set_up_block(b, g, indices[b]);
  set_up_ranks();
  blockDim = dim3(g.block[0], g.block[1], g.block[2]);
  gridDim = dim3(g.grid[0], g.grid[1], g.grid[2]);
  total.blocks += count;
  total.threads += all;
  switch_to(pick());
  if (fault_ != fault_kind::none) {
    for (thread_state* t : threads_) {
      if (t->now == status::done) continue;
      new (&t->context) fiber();  // abandoned, not unwound
      t->started = false;
    }
  }
  return fault_;
}

}  // namespace simt
