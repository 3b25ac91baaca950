#include "arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>
#include <unordered_map>
#include <vector>

#include "engine.hpp"
#include "watch.hpp"

namespace simt::arena {
namespace {

constexpr std::size_t kPage = 256;  // every allocation begins at a multiple of it
constexpr std::size_t kQuarantine = std::size_t{4}
                                    << 20;  // bytes of small freed blocks kept back and checked
constexpr std::size_t kRecent = 128;        // of them, those that are looked at each time
constexpr std::size_t kLarge = std::size_t{1}
                               << 20;  // from here on freed memory becomes inaccessible
constexpr std::size_t kSparse = std::size_t{256} << 20;  // from here on only the ends are poisoned
constexpr std::size_t kSparseEnd = std::size_t{16} << 20;
constexpr std::size_t kPoisonAhead = std::size_t{1} << 20;
constexpr std::uint16_t kCanary = 0xfffb;  // NaN in every floating-point type, and not the poison

struct state {
  char* base = nullptr;
  std::size_t reserved = 0;
  char* next = nullptr;
  std::uint32_t* pages = nullptr;  // page -> 1 + index of its allocation
  std::vector<allocation*> all;
  std::vector<std::uint32_t> free_indices;
  std::set<allocation*> living;
  std::set<allocation*> dead_checked;  // dead, small, and poisoned; not in the quarantine
  std::deque<allocation*> quarantine, large_quarantine;
  std::size_t quarantined = 0, large_quarantined = 0;
  std::unordered_map<std::size_t, std::vector<char*>> free_blocks;  // by span
  std::size_t owned = 0, owned_bytes = 0;
  std::uint64_t made = 0;
  std::string damage;
  state();
};

void report_to_asan(const char* text) {
  // "==1==ERROR: AddressSanitizer: use-after-poison on address 0x..." says nothing about device
  // memory by itself.
  const char* at = std::strstr(text, "on address 0x");
  if (at == nullptr) return;
  const auto address = std::strtoull(at + std::strlen("on address "), nullptr, 16);
  const std::string what = describe(reinterpret_cast<const void*>(address));
  if (!what.empty()) std::fprintf(stderr, "simt: %s\n", what.c_str());
}

state::state() {
  for (std::size_t bytes = std::size_t{1} << 39; base == nullptr && bytes >= std::size_t{1} << 32;
       bytes /= 2) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    base = next = static_cast<char*>(p);
    reserved = bytes;
  }
  void* p = mmap(nullptr, reserved / kPage * sizeof *pages, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == nullptr || p == MAP_FAILED)
    std::perror("simt: cannot reserve device memory"), std::abort();
  pages = static_cast<std::uint32_t*>(p);
  if (__asan_set_error_report_callback) __asan_set_error_report_callback(report_to_asan);
}

state& memory() {
  static state* s = new state;  // outlives every static of the program
  return *s;
}

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

void asan_poison(const void* p, std::size_t n) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(p, n);
}

char* block_of(const allocation& a) { return a.begin - kGuard; }

void fill_canary(char* from, char* to) {
  for (char* p = from; p != to; ++p)
    *p = static_cast<char>(kCanary >> (reinterpret_cast<std::uintptr_t>(p) % 2 * 8));
}
// The first byte that is not as filled, or null. By words: most of what runs here is this. Not by
// memcmp, which the address sanitizer would follow into the zones.
char* find_damage(char* from, char* to) {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  constexpr std::uint64_t kFilled = kCanary * std::uint64_t{0x0001000100010001};
  const auto address = [](const char* p) { return reinterpret_cast<std::uintptr_t>(p); };
  for (char* p = from; p < to; ++p) {
    while (address(p) % kWord == 0 && p + kWord <= to) {
      std::uint64_t word = 0;
      std::memcpy(&word, p, kWord);
      if (word != kFilled) break;
      p += kWord;
    }
    if (p == to) break;
    if (*p != static_cast<char>(kCanary >> (address(p) % 2 * 8))) return p;
  }
  return nullptr;
}

void poison(char* p, std::size_t n) {
  if (n <= kSparse) {
    std::memset(p, 0xff, n);
  } else {
    std::memset(p, 0xff, kSparseEnd);
    std::memset(p + n - kSparseEnd, 0xff, kSparseEnd);
  }
}

std::string name_of(const allocation& a) {
  return "allocation " + std::to_string(a.number) + " (" + std::to_string(a.size) + " bytes, " +
         a.made_by + ")";
}

void check_zone(const allocation& a, char* from, char* to) {
  char* at = find_damage(from, to);
  if (at == nullptr) return;
  memory().damage += "write outside of " + name_of(a) + ": " +
                     (at < a.begin ? std::to_string(a.begin - at) + " bytes before its begin"
                                   : "offset " + std::to_string(at - a.begin)) +
                     "\n";
  fill_canary(from, to);  // so that it is said once
}
void check_zones(const allocation& a) {
  check_zone(a, block_of(a), a.begin);
  check_zone(a, a.begin + a.size, block_of(a) + a.span);
}

void check_dead(const allocation& a) {
  if (__asan_poison_memory_region) return;  // has reported it already, and would report us
  const auto* bytes = reinterpret_cast<const unsigned char*>(a.begin);
  if (a.size == 0 || (bytes[0] == 0xff && std::memcmp(bytes, bytes + 1, a.size - 1) == 0)) return;
  const auto at =
      std::find_if(bytes, bytes + a.size, [](unsigned char b) { return b != 0xff; }) - bytes;
  memory().damage += "write to freed " + name_of(a) + " at offset " + std::to_string(at) + "\n";
  std::memset(a.begin, 0xff, a.size);
}

// Of the whole pages of a large allocation. Without access a use faults, and the memory goes back
// to the system.
void protect(const allocation& a, int access) {
  const auto from = round_up(reinterpret_cast<std::uintptr_t>(a.begin), 4096);
  const auto to = (reinterpret_cast<std::uintptr_t>(a.begin) + a.size) / 4096 * 4096;
  if (access == PROT_NONE) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  mprotect(reinterpret_cast<void*>(from), to - from, access);
}

void set_pages(const allocation& a, std::uint32_t value) {
  state& m = memory();
  const auto first = static_cast<std::size_t>(block_of(a) - m.base) / kPage;
  std::fill_n(m.pages + first, a.span / kPage, value);
}

// The block may be reused from now on.
void recycle(allocation* a) {
  state& m = memory();
  if (a->size < kLarge) check_dead(*a);
  const auto first = static_cast<std::size_t>(block_of(*a) - m.base) / kPage;
  const std::uint32_t index = m.pages[first];
  set_pages(*a, 0);
  m.free_blocks[a->span].push_back(block_of(*a));
  m.free_indices.push_back(index);
  m.all[index - 1] = nullptr;
  delete a;
}

// Freed blocks wait for a while before they are reused, so that a use of them shows.
void keep_back(std::deque<allocation*>& queue, std::size_t& bytes, std::size_t limit,
               allocation* a) {
  queue.push_back(a);
  bytes += a->span;
  while (bytes > limit) {
    bytes -= queue.front()->span;
    recycle(queue.front());
    queue.pop_front();
  }
}

}  // namespace

char* base() { return memory().base; }
std::size_t reserved() { return memory().reserved; }

allocation* allocate(std::size_t size, const char* made_by) {
  state& m = memory();
  if (size > kTotal || m.owned_bytes + size > kTotal) return nullptr;
  auto* a = new allocation;
  a->size = size;
  a->span = kGuard + round_up(size + 64, kPage) + kGuard;
  a->number = ++m.made;
  a->made_by = made_by;
  std::vector<char*>& reusable = m.free_blocks[a->span];
  char* block = nullptr;
  if (!reusable.empty()) {
    block = reusable.back();
    reusable.pop_back();
  } else {
    if (a->span + kPoisonAhead > m.reserved - static_cast<std::size_t>(m.next - m.base)) {
      delete a;
      return nullptr;
    }
    block = m.next;
    m.next += a->span;
    asan_poison(m.next, kPoisonAhead);
  }
  a->begin = block + kGuard;
  std::uint32_t index = 0;
  if (!m.free_indices.empty()) {
    index = m.free_indices.back();
    m.free_indices.pop_back();
    m.all[index - 1] = a;
  } else {
    m.all.push_back(a);
    index = static_cast<std::uint32_t>(m.all.size());
  }
  set_pages(*a, index);
  asan_poison(block, std::min(a->span, kSparse));
  ++m.owned;
  m.owned_bytes += size;
  return a;
}

void make_alive(allocation& a) {
  state& m = memory();
  if (a.alive) return;
  if (m.dead_checked.erase(&a) != 0) check_dead(a);
  if (a.size >= kLarge) protect(a, PROT_READ | PROT_WRITE);
  a.alive = true;
  m.living.insert(&a);
  fill_canary(block_of(a), a.begin);
  fill_canary(a.begin + a.size, block_of(a) + a.span);
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(a.begin, a.size);
  poison(a.begin, a.size);
  if (watch::allocated) watch::allocated(a.begin, a.size);
}

void make_dead(allocation& a) {
  state& m = memory();
  if (!a.alive) return;
  check_zones(a);
  a.alive = false;
  m.living.erase(&a);
  if (watch::freed) watch::freed(a.begin, a.size);
  if (a.size >= kLarge) {
    protect(a, PROT_NONE);
  } else {
    poison(a.begin, a.size);
    m.dead_checked.insert(&a);
  }
  asan_poison(a.begin, std::min(a.size, kSparse));
}

void release(allocation* a) {
  state& m = memory();
  // Memory of a graph that never ran has not been poisoned yet.
  if (a->size < kLarge && !a->alive && !m.dead_checked.contains(a)) make_alive(*a);
  make_dead(*a);
  if (a->size < kLarge) {
    m.dead_checked.erase(a);
    keep_back(m.quarantine, m.quarantined, kQuarantine, a);
  } else {
    keep_back(m.large_quarantine, m.large_quarantined, m.reserved / 4, a);
  }
}

allocation* find(const void* p) {
  state& m = memory();
  if (!contains(p)) return nullptr;
  const std::uint32_t index =
      m.pages[static_cast<std::size_t>(static_cast<const char*>(p) - m.base) / kPage];
  return index == 0 ? nullptr : m.all[index - 1];
}

namespace {
bool within(const allocation* a, const void* p, std::size_t n) {
  const char* c = static_cast<const char*>(p);
  return a != nullptr && c >= a->begin && c <= a->begin + a->size &&
         n <= static_cast<std::size_t>(a->begin + a->size - c);
}
}  // namespace

bool owns(const void* p, std::size_t n) {
  const allocation* a = find(p);
  return within(a, p, n) && a->owned;
}
bool is_alive(const void* p, std::size_t n) {
  const allocation* a = find(p);
  return within(a, p, n) && a->alive;
}

void disown(allocation& a) {
  if (!a.owned) return;
  a.owned = false;
  --memory().owned;
  memory().owned_bytes -= a.size;
}
void own(allocation& a) {
  if (a.owned) return;
  a.owned = true;
  ++memory().owned;
  memory().owned_bytes += a.size;
}

std::size_t count_owned() { return memory().owned; }
std::size_t bytes_owned() { return memory().owned_bytes; }

std::string check_guards() {
  state& m = memory();
  for (const allocation* a : m.living) check_zones(*a);
  for (const allocation* a : m.dead_checked) check_dead(*a);
  // What was freed long ago is looked at again when it is reused.
  const std::size_t recent = std::min(kRecent, m.quarantine.size());
  std::for_each(m.quarantine.end() - static_cast<std::ptrdiff_t>(recent), m.quarantine.end(),
                [](const allocation* a) { check_dead(*a); });
  return std::exchange(m.damage, {});
}

std::string describe(const void* p) {
  if (!contains(p)) return {};
  const allocation* a = find(p);
  if (a == nullptr) return "an address of device memory that no allocation is near";
  const auto offset = static_cast<const char*>(p) - a->begin;
  std::string place = offset < 0 ? std::to_string(-offset) + " bytes before "
                                 : "offset " + std::to_string(offset) + " of ";
  return place + (a->alive ? "" : a->of_graph ? "not now living " : "freed ") + name_of(*a);
}

}  // namespace simt::arena
