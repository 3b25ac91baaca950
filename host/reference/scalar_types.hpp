// The element types in memory and the double they are computed in. half and bf16 are handled by
// their bits: they may be incomplete here, as no CUDA header is needed to build the reference.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <culoss/core.hpp>
#include <limits>
#include <type_traits>

namespace culoss::reference {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// An IEEE 754 binary interchange format of 16 bits: sign, exponent, mantissa.
template <int kExponentBits, int kMantissaBits>
struct small_float {
  static_assert(1 + kExponentBits + kMantissaBits == 16);
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr unsigned kInfinityBits = ((1U << kExponentBits) - 1) << kMantissaBits;

  static double decode(std::uint16_t bits) noexcept {
    const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
    const unsigned magnitude = bits & 0x7fffU;
    if (magnitude >= kInfinityBits) return sign * (magnitude > kInfinityBits ? kNan : kInfinity);
    const auto exponent = static_cast<int>(magnitude >> kMantissaBits);
    unsigned units = magnitude & ((1U << kMantissaBits) - 1);
    if (exponent > 0) units |= 1U << kMantissaBits;  // else subnormal: no hidden bit
    return sign * units * power_of_two(std::max(exponent, 1) - kBias - kMantissaBits);
  }

  // To nearest, ties to even, in one rounding.
  static std::uint16_t encode(double value) noexcept {
    const unsigned sign = std::signbit(value) ? 0x8000U : 0U;
    const double magnitude = std::fabs(value);
    if (std::isnan(value)) return pack(sign | kInfinityBits | (1U << (kMantissaBits - 1)));
    if (std::isinf(value)) return pack(sign | kInfinityBits);
    // Subnormals have the spacing of the smallest normal number.
    const int exponent = std::max(exponent_of(magnitude), 1 - kBias);
    const double units = std::nearbyint(magnitude * power_of_two(kMantissaBits - exponent));
    // A sum, not an or: the hidden bit, and a carry out of the mantissa, raise the exponent.
    const unsigned bits = (static_cast<unsigned>(exponent + kBias - 1) << kMantissaBits) +
                          static_cast<unsigned>(units);
    return pack(sign | std::min(bits, kInfinityBits));
  }

 private:
  static double power_of_two(int exponent) noexcept {
    return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
  }
  static int exponent_of(double positive) noexcept {
    return static_cast<int>(std::bit_cast<std::uint64_t>(positive) >> 52) - 1023;
  }
  static std::uint16_t pack(unsigned bits) noexcept { return static_cast<std::uint16_t>(bits); }
};

using half_format = small_float<5, 10>;
using bf16_format = small_float<8, 7>;

template <class T>
inline constexpr bool is_16_bit = std::is_same_v<T, half> || std::is_same_v<T, bf16>;
template <class T>
using format_of = std::conditional_t<std::is_same_v<T, half>, half_format, bf16_format>;

template <class T>
double load(const T* data, std::int64_t index) noexcept {
  if constexpr (is_16_bit<T>) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, reinterpret_cast<const char*>(data) + 2 * index, 2);
    return format_of<T>::decode(bits);
  } else {
    return static_cast<double>(data[index]);
  }
}

template <class T>
void store(T* data, std::int64_t index, double value) noexcept {
  if constexpr (is_16_bit<T>) {
    const std::uint16_t bits = format_of<T>::encode(value);
    std::memcpy(reinterpret_cast<char*>(data) + 2 * index, &bits, 2);
  } else {
    data[index] = static_cast<T>(value);
  }
}

// The "device" of a scalar is the host here.
inline float read(const scalar& s) noexcept { return s.on_device() ? *s.device() : s.value(); }

// A temperature that only the call could see, and that is not one, turns what it touches into NaN.
inline double read_temperature(const scalar& s) noexcept {
  const float value = read(s);
  return std::isnormal(value) && value > 0 ? static_cast<double>(value) : kNan;
}

}  // namespace culoss::reference
