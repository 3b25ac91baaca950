// What stands in the inputs: plain numbers, or NaN, infinities and numbers of every size as well.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <culoss/cross_entropy.hpp>
#include <limits>
#include <type_traits>

#include "tests/fuzz/memory.hpp"
#include "tests/harness/element.hpp"

namespace culoss_fuzz {

class contents {
 public:
  contents() = default;
  contents(std::uint8_t kind, std::uint8_t seed) : random_(seed + 1u) {
    if (kind >= 240) {  // nothing but a few strange ones
      first_ = kPlain, choices_ = kind - 239u;
    } else if (kind >= 128) {
      choices_ = kPlain + kind % kStrange + 1;
    }
  }
  // Labels and ids lie mostly below this.
  void set_classes(std::int64_t classes) { classes_ = classes; }

  template <class T>
  void fill(memory& m, std::uintptr_t address, std::int64_t elements) {
    using value = std::remove_const_t<T>;
    if constexpr (std::is_same_v<value, culoss::row_statistics<float>>) {
      fill<float>(m, address, 4 * elements);
    } else if constexpr (std::is_same_v<value, culoss::row_statistics<double>>) {
      fill<double>(m, address, 4 * elements);
    } else if constexpr (std::is_same_v<value, culoss::shard_statistics<float>>) {
      fill<float>(m, address, kRecordBytes<float> / 4 * elements);
    } else if constexpr (std::is_same_v<value, culoss::shard_statistics<double>>) {
      fill<double>(m, address, kRecordBytes<double> / 8 * elements);
    } else {
      for (std::int64_t i = 0; i < elements; ++i) {
        const auto v = next<value>();
        m.write(address + static_cast<std::uintptr_t>(i) * sizeof v, &v, sizeof v);
      }
    }
  }

 private:
  static constexpr std::uint32_t kPlain = 64, kStrange = 64;
  template <class Real>
  static constexpr std::int64_t kRecordBytes = sizeof(culoss::shard_statistics<Real>);

  template <class T>
  culoss_test::storage_of<T> next() {
    random_ = random_ * 1664525 + 1013904223;
    const std::uint32_t i = first_ + (random_ >> 16) % choices_;
    if constexpr (std::is_integral_v<T>) {
      using limits = std::numeric_limits<T>;
      const T strange[] = {static_cast<T>(-100),
                           static_cast<T>(-1),
                           static_cast<T>(classes_),
                           limits::min(),
                           limits::max(),
                           static_cast<T>((1LL << 32) + 5),
                           static_cast<T>(-(1LL << 32)),
                           0};
      return i < kPlain ? static_cast<T>(i % static_cast<std::uint64_t>(classes_)) : strange[i % 8];
    } else {
      static const auto numbers = palette<T>();
      return numbers[i];
    }
  }

  template <class T>
  static auto palette() {
    std::array<culoss_test::storage_of<T>, kPlain + kStrange> numbers;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double strange[] = {-kInfinity, kInfinity, std::nan(""), 0,   -0.0, 1e-45,
                              1e-38,      88,        -1e5,         1e5, 6e4,  1e30,
                              -3.4e38,    3.4e38,    1e-8,         -88};
    for (std::uint32_t i = 0; i < kPlain; ++i) {
      numbers[i] = culoss_test::encode<T>((static_cast<int>(i) - 24) / 8.0);
    }
    for (std::uint32_t i = 0; i < kStrange; ++i) {
      numbers[kPlain + i] = culoss_test::encode<T>(strange[i % std::size(strange)]);
    }
    return numbers;
  }

  std::uint32_t first_ = 0, choices_ = kPlain, random_ = 1;
  std::int64_t classes_ = 1;
};

}  // namespace culoss_fuzz
