// The element types as the tests handle them: values are doubles that the type represents exactly,
// storage is what the library's pointers point to. Converts by bit arithmetic of its own, so that
// it checks the conversions of the library and needs no CUDA header.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <culoss/core.hpp>
#include <limits>
#include <type_traits>
#include <vector>

namespace culoss_test {

enum class element { float32, float16, bfloat16, float64 };

inline constexpr element kDeviceElements[] = {element::float32, element::float16,
                                              element::bfloat16};
inline constexpr element kHostElements[] = {element::float32, element::float16, element::bfloat16,
                                            element::float64};

// A binary floating-point format: significand bits with the hidden one, and exponents (of 1.xxx).
struct format {
  const char* name;
  int bytes;
  int precision;
  int min_exponent;
  int max_exponent;

  // Half the distance of 1 and its neighbor: relative error of one rounding.
  double unit_roundoff() const { return std::ldexp(1.0, -precision); }
  double smallest_subnormal() const { return std::ldexp(1.0, min_exponent - precision + 1); }
  double largest() const { return std::ldexp(2.0 - std::ldexp(1.0, 1 - precision), max_exponent); }
  // Error of one rounding to this format of a value of this size.
  double rounding(double value) const {
    return unit_roundoff() * std::fabs(value) + 0.5 * smallest_subnormal();
  }
};

inline constexpr format kFormats[] = {{"float", 4, 24, -126, 127},
                                      {"half", 2, 11, -14, 15},
                                      {"bf16", 2, 8, -126, 127},
                                      {"double", 8, 53, -1022, 1023}};

inline const format& format_of(element e) { return kFormats[static_cast<int>(e)]; }

// To the nearest value of the format, ties to even; too large becomes infinite.
inline double round_to(const format& f, double x) {
  if (x == 0 || !std::isfinite(x) || f.precision == 53) return x;
  const int exponent = std::max(std::ilogb(x), f.min_exponent);
  const int unit = exponent - f.precision + 1;
  const double y = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
  return std::fabs(y) > f.largest() ? std::copysign(std::numeric_limits<double>::infinity(), x) : y;
}
inline double round_to(element e, double x) { return round_to(format_of(e), x); }

template <class T>
inline constexpr element element_of = std::is_same_v<T, float>          ? element::float32
                                      : std::is_same_v<T, culoss::half> ? element::float16
                                      : std::is_same_v<T, culoss::bf16> ? element::bfloat16
                                                                        : element::float64;

template <class T>
using storage_of =
    std::conditional_t<std::is_same_v<T, culoss::half> || std::is_same_v<T, culoss::bf16>,
                       std::uint16_t, T>;

template <class T>
storage_of<T> encode(double x) {
  if constexpr (std::is_same_v<T, culoss::bf16>) {
    if (std::isnan(x)) return 0x7fc0;
    const float rounded = static_cast<float>(round_to(element::bfloat16, x));
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded) >> 16);
  } else if constexpr (std::is_same_v<T, culoss::half>) {
    const std::uint32_t sign = std::signbit(x) ? 0x8000u : 0u;
    if (std::isnan(x)) return static_cast<std::uint16_t>(sign | 0x7e00u);
    const double y = std::fabs(round_to(element::float16, x));
    if (std::isinf(y)) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (y < 0x1p-14) return static_cast<std::uint16_t>(sign | static_cast<unsigned>(y * 0x1p24));
    const int exponent = std::ilogb(y);
    const double fraction = std::ldexp(y, 10 - exponent) - 1024;
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 15) << 10 |
                                      static_cast<unsigned>(fraction));
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
double decode(storage_of<T> bits) {
  if constexpr (std::is_same_v<T, culoss::bf16>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  } else if constexpr (std::is_same_v<T, culoss::half>) {
    const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    if (exponent == 31) {
      return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                           : sign * std::numeric_limits<double>::infinity();
    }
    if (exponent == 0) return sign * std::ldexp(fraction, -24);
    return sign * std::ldexp(1024 + fraction, exponent - 25);
  } else {
    return bits;
  }
}

// Calls f(T{tag}) with the C++ type of an element: f takes a std::type_identity<T>.
template <class F>
decltype(auto) with_type(element e, F&& f) {
  switch (e) {
    case element::float16:
      return f(std::type_identity<culoss::half>{});
    case element::bfloat16:
      return f(std::type_identity<culoss::bf16>{});
    case element::float64:
      return f(std::type_identity<double>{});
    default:
      return f(std::type_identity<float>{});
  }
}

}  // namespace culoss_test
