// half and bf16 in the CPU functions: every bit pattern, every rounding boundary.
#include "host/reference/scalar_types.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using culoss::reference::bf16_format;
using culoss::reference::half_format;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The positive finite values in the order of their bits, by counting upwards in units of the last
// place, which double at every power of two above the smallest normal number.
std::vector<double> ladder(int mantissa_bits, int smallest_exponent, unsigned infinity_bits) {
  std::vector<double> values;
  double value = 0, step = std::ldexp(1.0, smallest_exponent - mantissa_bits);
  for (unsigned bits = 0; bits < infinity_bits; ++bits, value += step) {
    if (bits >= 2U << mantissa_bits && bits % (1U << mantissa_bits) == 0) step *= 2;
    values.push_back(value);
  }
  return values;
}

template <class Format>
void check_decoding(const std::vector<double>& values) {
  for (unsigned bits = 0; bits < 0x8000; ++bits) {
    const double positive = Format::decode(static_cast<std::uint16_t>(bits));
    const double negative = Format::decode(static_cast<std::uint16_t>(bits | 0x8000));
    if (bits < values.size()) {
      ASSERT_EQ(positive, values[bits]) << bits;
      ASSERT_EQ(negative, -values[bits]) << bits;
      ASSERT_EQ(std::signbit(negative), true) << bits;
    } else if (bits == values.size()) {
      ASSERT_EQ(positive, kInfinity);
      ASSERT_EQ(negative, -kInfinity);
    } else {
      ASSERT_TRUE(std::isnan(positive) && std::isnan(negative)) << bits;
    }
  }
}

template <class Format>
void check_round_trip() {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double value = Format::decode(static_cast<std::uint16_t>(bits));
    const unsigned back = Format::encode(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(Format::decode(static_cast<std::uint16_t>(back)))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

// Between any two neighbors: the middle goes to the even one, everything else to the nearer one.
template <class Format>
void check_rounding(const std::vector<double>& values) {
  for (unsigned bits = 0; bits < values.size(); ++bits) {
    const bool last = bits + 1 == values.size();
    // What would follow the largest finite value stands for infinity.
    const double below = values[bits];
    const double above = last ? below + (below - values[bits - 1]) : values[bits + 1];
    const double middle = below + (above - below) / 2;
    const unsigned even = bits % 2 == 0 ? bits : bits + 1;
    const auto expect = [](double value, unsigned expected) {
      ASSERT_EQ(Format::encode(value), expected) << value;
      ASSERT_EQ(Format::encode(-value), expected | 0x8000U) << -value;
    };
    expect(middle, even);
    expect(std::nextafter(middle, 0.0), bits);
    expect(std::nextafter(middle, kInfinity), bits + 1);
    expect(std::nextafter(above, 0.0), bits + 1);
    if (::testing::Test::HasFatalFailure()) return;
  }
  const auto infinity_bits = static_cast<std::uint16_t>(values.size());
  for (const double huge : {1e30 * values.back(), std::numeric_limits<double>::max(), kInfinity}) {
    EXPECT_EQ(Format::encode(huge), infinity_bits) << huge;
    EXPECT_EQ(Format::encode(-huge), infinity_bits | 0x8000U) << huge;
  }
  for (const double tiny : {std::numeric_limits<double>::denorm_min(), 1e-300, values[1] / 2}) {
    EXPECT_EQ(Format::encode(tiny), 0) << tiny;
    EXPECT_EQ(Format::encode(-tiny), 0x8000) << tiny;
  }
}

TEST(ScalarTypes, HalfIsDecodedExactly) { check_decoding<half_format>(ladder(10, -14, 0x7c00)); }
TEST(ScalarTypes, Bf16IsDecodedExactly) { check_decoding<bf16_format>(ladder(7, -126, 0x7f80)); }

TEST(ScalarTypes, Bf16IsTheUpperHalfOfAFloat) {
  for (unsigned bits = 0; bits < 0x7f80; ++bits) {
    ASSERT_EQ(bf16_format::decode(static_cast<std::uint16_t>(bits)),
              static_cast<double>(std::bit_cast<float>(bits << 16)));
  }
}

TEST(ScalarTypes, EveryPatternSurvivesTheRoundTrip) {
  check_round_trip<half_format>();
  check_round_trip<bf16_format>();
}

TEST(ScalarTypes, HalfRoundsToNearestEven) { check_rounding<half_format>(ladder(10, -14, 0x7c00)); }
TEST(ScalarTypes, Bf16RoundsToNearestEven) { check_rounding<bf16_format>(ladder(7, -126, 0x7f80)); }

// Through float, 1 + 2^-11 + 2^-40 would first become the middle of two halves and then fall to the
// even one.
TEST(ScalarTypes, RoundsOnlyOnce) {
  EXPECT_EQ(half_format::encode(1 + 0x1p-11 + 0x1p-40), 0x3c01);
  EXPECT_EQ(bf16_format::encode(1 + 0x1p-8 + 0x1p-40), 0x3f81);
}

TEST(ScalarTypes, LoadsAndStoresByIndex) {
  std::uint16_t memory[3] = {0x3c00, 0x4000, 0xffff};
  auto* data = reinterpret_cast<culoss::half*>(memory);
  EXPECT_EQ(culoss::reference::load<culoss::half>(data, 1), 2.0);
  culoss::reference::store(data, 1, -0.5);
  EXPECT_EQ(memory[0], 0x3c00);
  EXPECT_EQ(memory[1], 0xb800);
  EXPECT_EQ(memory[2], 0xffff);
}

}  // namespace
