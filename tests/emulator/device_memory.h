// Loads and stores with cache hints, and atomics.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simt.hpp"

namespace simt {

// A type that one instruction moves, so that a 16-byte access is one access for whoever counts
// them.
template <std::size_t n>
struct word;
template <>
struct word<1> {
  using type = std::uint8_t;
};
template <>
struct word<2> {
  using type = std::uint16_t;
};
template <>
struct word<4> {
  using type = std::uint32_t;
};
template <>
struct word<8> {
  using type = std::uint64_t;
};
template <>
struct word<16> {
  using type = unsigned __attribute__((vector_size(16)));
};
template <typename T>
using word_of [[gnu::may_alias]] = typename word<sizeof(T)>::type;

template <typename T>
T load(const T* p, where w) {
  check_aligned(p, sizeof(T), w);
  const typename word<sizeof(T)>::type bits = *reinterpret_cast<const word_of<T>*>(p);
  T v;
  __builtin_memcpy(static_cast<void*>(&v), &bits, sizeof v);
  return v;
}
template <typename T>
void store(T* p, const T& v, where w) {
  check_aligned(p, sizeof(T), w);
  typename word<sizeof(T)>::type bits;
  __builtin_memcpy(&bits, &v, sizeof v);
  *reinterpret_cast<word_of<T>*>(p) = bits;
}

// Relaxed, as on the device: order comes from fences.
template <typename T, typename F>
T update(T* p, F f, where w) {
  using bits_type = typename word<sizeof(T)>::type;
  check_aligned(p, sizeof(T), w);
  auto* at = reinterpret_cast<bits_type*>(p);
  bits_type before = __atomic_load_n(at, __ATOMIC_RELAXED);
  for (;;) {
    T old;
    __builtin_memcpy(static_cast<void*>(&old), &before, sizeof old);
    const T now = f(old);
    bits_type after;
    __builtin_memcpy(&after, &now, sizeof after);
    if (__atomic_compare_exchange_n(at, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return old;
  }
}

}  // namespace simt

#define SIMT_LOAD(name)                                        \
  template <typename T>                                        \
  T name(const T* p, simt::where w = simt::where::current()) { \
    return simt::load(p, w);                                   \
  }
#define SIMT_STORE(name)                                                               \
  template <typename T>                                                                \
  void name(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) { \
    simt::store(p, v, w);                                                              \
  }
SIMT_LOAD(__ldg)
SIMT_LOAD(__ldca)
SIMT_LOAD(__ldcg)
SIMT_LOAD(__ldcs)
SIMT_LOAD(__ldlu)
SIMT_LOAD(__ldcv)
SIMT_STORE(__stcg)
SIMT_STORE(__stcs)
SIMT_STORE(__stwb)
SIMT_STORE(__stwt)
#undef SIMT_LOAD
#undef SIMT_STORE

template <typename T>
T atomicAdd(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return static_cast<T>(old + v); }, w);
}
template <std::integral T>
T atomicSub(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return static_cast<T>(old - v); }, w);
}
template <std::integral T>
T atomicMax(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return std::max(old, v); }, w);
}
template <std::integral T>
T atomicMin(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return std::min(old, v); }, w);
}
template <std::integral T>
T atomicAnd(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return static_cast<T>(old & v); }, w);
}
template <std::integral T>
T atomicOr(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return static_cast<T>(old | v); }, w);
}
template <std::integral T>
T atomicXor(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T old) { return static_cast<T>(old ^ v); }, w);
}
template <typename T>
T atomicExch(T* p, std::type_identity_t<T> v, simt::where w = simt::where::current()) {
  return simt::update(
      p, [v](T) { return v; }, w);
}
template <std::integral T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v,
            simt::where w = simt::where::current()) {
  return simt::update(
      p, [=](T old) { return old == expected ? v : old; }, w);
}
inline unsigned atomicInc(unsigned* p, unsigned limit, simt::where w = simt::where::current()) {
  return simt::update(
      p, [limit](unsigned old) { return old >= limit ? 0u : old + 1; }, w);
}
inline unsigned atomicDec(unsigned* p, unsigned limit, simt::where w = simt::where::current()) {
  return simt::update(
      p, [limit](unsigned old) { return old == 0 || old > limit ? limit : old - 1; }, w);
}
