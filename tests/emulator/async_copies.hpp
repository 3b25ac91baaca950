// Copies that run beside the threads, and the barriers in shared memory that count them.
//
// A copy lands in pieces, each at a moment that the schedule chooses: as late as anything can wait
// for it (in_order), at once (reversed), or in between. What it brings into shared memory appears
// there only when a thread has waited for it: until then its destination is poison, and whoever
// writes there is found out. A bulk store reads shared memory when its pieces land, and what no
// proxy fence stands behind is an error, as is any reuse of memory that a copy may still need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "probe.hpp"
#include "simt.hpp"

namespace simt {

// splitmix64
struct random_bits {
  std::uint64_t state;
  std::uint64_t operator()() {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  unsigned below(unsigned n) { return static_cast<unsigned>(((*this)() >> 32) * n >> 32); }
};

// What a suspended thread waits for.
struct awaited {
  std::uintptr_t barrier;
  unsigned phase;   // of the barrier, or of its own groups the first that it need not wait for
  bool bulk, read;  // whose groups, and whether it is enough that they have been read
};

class async_copies {
 public:
  void begin(random_bits, schedule);  // of a cluster
  bool in_use() const { return in_use_; }
  bool is_moving() const { return moving_; }  // memory, on its own account
  void go_on();                               // now that a thread has been suspended
  bool land_something();  // now that no thread can go on; false: there is nothing
  void block_left(unsigned block);

  void init(std::uint64_t*, unsigned arrivals, where);
  void publish() { in_use_ = true, ++publications_; }
  void arrive(std::uint64_t*, unsigned expected_bytes, where);
  void wait(std::uint64_t*, unsigned parity, where);
  void bulk_load(char* shared, const char* global, unsigned bytes, std::uint64_t*, where,
                 const void* pc);
  void bulk_store(char* global, const char* shared, unsigned bytes, where, const void* pc);
  void element_load(char* shared, const char* global, where, const void* pc);
  void commit(bool bulk);
  void wait_groups(bool bulk, unsigned groups_left, bool read, where);
  void fence_proxy();

 private:
  enum class kind { bulk_load, bulk_store, element_load };
  struct copy {
    async_copies::kind kind;
    char* to;
    const char* from;
    unsigned bytes;
    unsigned block, thread;  // that issued it
    std::uintptr_t barrier;
    unsigned phase;  // of the barrier, or the group
    where at;
    std::vector<char> data;                             // what has been read
    std::vector<std::pair<unsigned, unsigned>> pieces;  // that have not
    bool written = false, awaited = false;              // a store
    bool read() const { return pieces.empty(); }
  };
  struct barrier {
    unsigned arrivals, pending, phase;
    std::int64_t bytes;  // expected less landed
    unsigned publications;
  };
  struct groups {
    unsigned bulk = 0, elements = 0;  // committed
  };
  // What the other proxy knows to stand in shared memory.
  struct view {
    const char* begin;
    std::vector<char> data;
    unsigned fences;
    const char* end() const { return begin + data.size(); }
  };

  barrier& known(const std::uint64_t*, const char* what, where);
  void check_copy(const char* what, const char* shared, const char* global, unsigned bytes,
                  unsigned aligned, where) const;
  void check_reuse(const char* begin, std::size_t bytes, bool writes, where) const;
  copy& issue(kind, char* to, const char* from, unsigned bytes, where);
  void land(copy&);
  void deliver(copy&, where);
  void complete(std::uintptr_t address, barrier&);
  bool is_done(const copy&, bool read) const;
  bool groups_done(unsigned thread, const awaited&) const;
  void wake_waiters(unsigned thread);
  template <class F>
  void remove_if(F);
  void set_view(const char* begin, std::size_t bytes);
  void move(void* to, const void* from, std::size_t);

  bool in_use_ = false;
  volatile bool moving_ = false;  // seen by the hook of memcpy, which compilers do not expect
  random_bits random_{0};
  schedule schedule_ = schedule::random;
  std::vector<std::unique_ptr<copy>> copies_;
  std::map<std::uintptr_t, barrier> barriers_;
  std::map<unsigned, groups> groups_;
  std::deque<view> views_;
  unsigned fences_ = 0, publications_ = 0;
};

}  // namespace simt
