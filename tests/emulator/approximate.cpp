// Approximate intrinsics: the exact value plus an error of the documented size. Sign and size are a
// pure function of (approximation seed, function, argument): neither the schedule nor the order of
// calls changes a bit of the result.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine.hpp"

namespace simt {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMinNormal = std::numeric_limits<float>::min();
const double kAbs21_41 = std::exp2(-21.41), kAbs21_19 = std::exp2(-21.19);

enum class function : std::uint64_t {
  ex2 = 1,
  lg2,
  rcp,
  tanh,
  exp,
  log,
  log2,
  pow,
  sin,
  cos,
  rsqrt,
  divide
};

// In [-1, 1], and in half of the cases one of the ends.
double error_fraction(function f, float x, float y = 0.0f) {
  const std::uint64_t seed = current_settings().approximation_seed;
  if (seed == 0) return 0.0;
  const std::uint64_t arguments =
      std::uint64_t{std::bit_cast<std::uint32_t>(y)} << 32 | std::bit_cast<std::uint32_t>(x);
  random_bits r{(seed + 64 * static_cast<std::uint64_t>(f)) * 0xd1342543de82ef95u ^
                arguments * 0xaf251af3b0f025b5u};
  const std::uint64_t bits = r();
  if ((bits & 3) < 2) return (bits & 3) == 0 ? 1.0 : -1.0;
  return static_cast<double>(bits >> 11) * 0x1p-52 - 1.0;
}

// The float next to exact + fraction * bound that keeps within the bound.
float within(double exact, double bound, double fraction) {
  auto r = static_cast<float>(exact + fraction * bound);
  while (std::abs(static_cast<double>(r) - exact) > bound) {
    const float nearer = std::nextafter(r, static_cast<float>(exact));
    if (nearer == r) break;
    r = nearer;
  }
  return r;
}

// Of the float at that place: 2^(exponent - 23), put together from the bits since this is called
// for every logit.
double ulp(double exact) {
  if (std::abs(exact) < kMinNormal) return 0x1p-149;
  const std::uint64_t exponent = std::bit_cast<std::uint64_t>(exact) >> 52 & 0x7ff;
  return std::bit_cast<double>((exponent - 23) << 52);
}

float flush(float x) { return std::abs(x) < kMinNormal ? std::copysign(0.0f, x) : x; }

float logarithm(function f, float x, double exact, double absolute, double ulps) {
  if (std::isnan(x) || x < 0.0f) return kNan;
  if (x == 0.0f) return -kInf;
  if (x == kInf) return kInf;
  const bool near_one = x >= 0.5f && x <= 2.0f;
  return within(exact, near_one ? absolute : ulps * ulp(exact), error_fraction(f, x));
}

}  // namespace

// PTX: largest relative error 2^-22.
float ex2_approx_ftz(float x) {
  ++device_engine().total.exponentials;
  if (std::isnan(x)) return kNan;
  x = flush(x);
  if (x == 0.0f) return 1.0f;
  if (x == kInf || x == -kInf) return x > 0.0f ? kInf : 0.0f;
  const double exact = std::exp2(static_cast<double>(x));
  return flush(within(exact, exact * 0x1p-22, error_fraction(function::ex2, x)));
}

// PTX: largest absolute error 2^-22 in (0.5, 2), relative error 2^-22 elsewhere.
float lg2_approx_ftz(float x) {
  if (std::isnan(x)) return kNan;
  x = flush(x);
  if (x == 0.0f) return -kInf;
  if (x < 0.0f) return kNan;
  if (x == kInf) return kInf;
  const double exact = std::log2(static_cast<double>(x));
  const double bound = x > 0.5f && x < 2.0f ? 0x1p-22 : std::abs(exact) * 0x1p-22;
  return flush(within(exact, bound, error_fraction(function::lg2, x)));
}

// PTX: 1 ulp.
float rcp_approx_ftz(float x) {
  if (std::isnan(x)) return kNan;
  x = flush(x);
  if (x == 0.0f || std::isinf(x)) return 1.0f / x;
  const double exact = 1.0 / static_cast<double>(x);
  return flush(within(exact, ulp(exact), error_fraction(function::rcp, x)));
}

// PTX: largest relative error 2^-11; subnormal numbers are supported.
float tanh_approx(float x) {
  if (std::isnan(x)) return kNan;
  if (x == 0.0f) return x;
  if (std::isinf(x)) return std::copysign(1.0f, x);
  const double exact = std::tanh(static_cast<double>(x));
  return within(exact, std::abs(exact) * 0x1p-11, error_fraction(function::tanh, x));
}

// Programming Guide: 2 ulp.
float approximate_rsqrt(float x) {
  if (std::isnan(x) || x < 0.0f) return kNan;
  if (x == 0.0f) return std::copysign(kInf, x);
  if (x == kInf) return 0.0f;
  const double exact = 1.0 / std::sqrt(static_cast<double>(x));
  return within(exact, 2 * ulp(exact), error_fraction(function::rsqrt, x));
}

// Programming Guide: 2 ulp for |y| in [2^-126, 2^126]; 0 beyond that (NaN if x is infinite).
float approximate_divide(float x, float y) {
  const float size = std::abs(y);
  if (std::isnan(x) || std::isnan(y)) return kNan;
  if (size > 0x1p126f && size < kInf)
    return std::isinf(x) ? kNan : std::copysign(0.0f, x) * std::copysign(1.0f, y);
  if (size < kMinNormal || size == kInf || x == 0.0f || std::isinf(x)) return x / y;
  const double exact = static_cast<double>(x) / static_cast<double>(y);
  return within(exact, 2 * ulp(exact), error_fraction(function::divide, x, y));
}

}  // namespace simt

// Errors of the Programming Guide's table of intrinsic functions.
extern "C" {
using simt::function;

float __expf(float x) {
  if (std::isnan(x)) return simt::kNan;
  if (x == 0.0f) return 1.0f;
  if (std::isinf(x)) return x > 0.0f ? simt::kInf : 0.0f;
  const double exact = std::exp(static_cast<double>(x));
  if (exact < 0x1p-150) return 0.0f;
  if (exact > 0x1p129) return simt::kInf;
  const double ulps = 2 + static_cast<int>(std::abs(1.173 * static_cast<double>(x)));
  return std::max(
      0.0f, simt::within(exact, ulps * simt::ulp(exact), simt::error_fraction(function::exp, x)));
}
float __logf(float x) {
  return simt::logarithm(function::log, x, std::log(static_cast<double>(x)), simt::kAbs21_41, 3);
}
float __log2f(float x) {
  return simt::logarithm(function::log2, x, std::log2(static_cast<double>(x)), 0x1p-22, 2);
}
float __powf(float x, float y) {  // "derived from its implementation as exp2f(y * __log2f(x))"
  return std::exp2(y * __log2f(x));
}
// The documented bounds hold in [-pi, pi]; beyond, "larger": the same bound times |x| / pi here.
float __sinf(float x) {
  const double bound = simt::kAbs21_41 * std::max(1.0, std::abs(static_cast<double>(x)) / M_PI);
  return simt::within(std::sin(static_cast<double>(x)), bound,
                      simt::error_fraction(function::sin, x));
}
float __cosf(float x) {
  const double bound = simt::kAbs21_19 * std::max(1.0, std::abs(static_cast<double>(x)) / M_PI);
  return simt::within(std::cos(static_cast<double>(x)), bound,
                      simt::error_fraction(function::cos, x));
}
}
