// Kernels are compiled with -fsanitize=thread, which calls these functions at every access, and
// linked with them instead of with the thread sanitizer's runtime.
#include <cstddef>
#include <cstdint>

#include "engine.hpp"
#include "watch_access.hpp"

using simt::watch::access;
using simt::watch::kind;

#define PC __builtin_return_address(0)

namespace {

// Of a function of the C library; the emulator's own calls and those of the host do not count.
void access_by_library(const void* p, std::size_t n, kind k, const void* pc) {
  const simt::engine& e = simt::device_engine();
  if (n == 0 || e.current == nullptr || !e.on_device_stack(__builtin_frame_address(0))) return;
  if (e.current->now == simt::status::ready && !e.copies.is_moving()) access(p, n, k, pc);
}

}  // namespace

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, std::size_t n) { access(p, n, kind::read, PC); }
void __tsan_write_range(void* p, std::size_t n) { access(p, n, kind::write, PC); }

#define ACCESSES(n)                                                          \
  void __tsan_read##n(void* p) { access(p, n, kind::read, PC); }             \
  void __tsan_write##n(void* p) { access(p, n, kind::write, PC); }           \
  void __tsan_unaligned_read##n(void* p) { access(p, n, kind::read, PC); }   \
  void __tsan_unaligned_write##n(void* p) { access(p, n, kind::write, PC); } \
  void __tsan_volatile_read##n(void* p) { access(p, n, kind::read, PC); }    \
  void __tsan_volatile_write##n(void* p) { access(p, n, kind::write, PC); }  \
  void __tsan_read_write##n(void* p) {                                       \
    access(p, n, kind::read, PC);                                            \
    access(p, n, kind::write, PC);                                           \
  }                                                                          \
  void __tsan_unaligned_read_write##n(void* p) { __tsan_read_write##n(p); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

// A load by itself is not told: it begins the loop of an update, whose exchange is.
#define ATOMICS(bits, T)                                                                           \
  T __tsan_atomic##bits##_load(const volatile T* p, int) { return *p; }                            \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                                      \
    access(const_cast<T*>(p), sizeof(T), kind::atomic, PC);                                        \
    *p = v;                                                                                        \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int, int) {   \
    access(const_cast<T*>(p), sizeof(T), kind::atomic, PC);                                        \
    const bool same = *p == *expected;                                                             \
    if (same) *p = v;                                                                              \
    if (!same) *expected = *p;                                                                     \
    return same;                                                                                   \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* expected, T v, int a, int b) { \
    return __tsan_atomic##bits##_compare_exchange_strong(p, expected, v, a, b);                    \
  }                                                                                                \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T expected, T v, int, int) {         \
    access(const_cast<T*>(p), sizeof(T), kind::atomic, PC);                                        \
    const T old = *p;                                                                              \
    if (old == expected) *p = v;                                                                   \
    return old;                                                                                    \
  }                                                                                                \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                      \
    access(const_cast<T*>(p), sizeof(T), kind::atomic, PC);                                        \
    const T old = *p;                                                                              \
    *p = v;                                                                                        \
    return old;                                                                                    \
  }
ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

// The linker sends calls of memcpy, memmove and memset here (--wrap).
void* __real_memcpy(void*, const void*, std::size_t);
void* __real_memmove(void*, const void*, std::size_t);
void* __real_memset(void*, int, std::size_t);
void* __wrap_memcpy(void* to, const void* from, std::size_t n) {
  access_by_library(from, n, kind::read, PC);
  access_by_library(to, n, kind::write, PC);
  return __real_memcpy(to, from, n);
}
void* __wrap_memmove(void* to, const void* from, std::size_t n) {
  access_by_library(from, n, kind::read, PC);
  access_by_library(to, n, kind::write, PC);
  return __real_memmove(to, from, n);
}
void* __wrap_memset(void* to, int value, std::size_t n) {
  access_by_library(to, n, kind::write, PC);
  return __real_memset(to, value, n);
}
}
