// Calls that must be refused: memory in which nothing may change, and the message that says why.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <culoss/core.hpp>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/harness/arrays.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {

using culoss::status_code;

inline constexpr std::int64_t kRows = 4, kCols = 5, kPadding = 3, kLd = kCols + kPadding;
inline constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

template <class T>
T* moved(T* p, std::ptrdiff_t bytes) {
  using byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<byte*>(p) + bytes);
}

inline std::string misaligned(const char* name, const void* p, int to) {
  char text[128];
  std::snprintf(text, sizeof text, "%s.data is %p, must be a multiple of %d bytes", name, p, to);
  return text;
}

// The memory of a call with everything given, and what a mistake did to it.
template <class Where, class T>
class memory {
 public:
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  memory() {
    x.write(std::vector<double>(static_cast<std::size_t>(kRows * kCols), 0.5));
    g.write(std::vector<double>(static_cast<std::size_t>(kRows * kCols), 0.25));
    labels.write(std::vector<int>(static_cast<std::size_t>(kRows), 1));
    ones.write(std::vector<float>(64, 1.0f));
  }

  std::string changes() const {
    std::string text;
    synchronize(kSpace);
    x.check_unchanged("x", text);
    g.check_unchanged("g", text);
    out.check_unchanged("out", text);
    labels.check_unchanged("labels", text);
    ones.check_unchanged("ones", text);
    reals.check_unchanged("reals", text);
    counts.check_unchanged("counts", text);
    scratch.check_unchanged("scratch", text);
    return text;
  }
  culoss::row_statistics<real>* statistics() const {
    return reinterpret_cast<culoss::row_statistics<real>*>(reals.data() + 32);
  }

  array<T> x{kSpace, kRows, kCols, kPadding, 0}, g{kSpace, kRows, kCols, kPadding, 0},
      out{kSpace, kRows, kCols, kPadding, 0};
  array<std::int64_t> labels{kSpace, kRows, 0};
  array<float> ones{kSpace, 64, 0};
  array<real> reals{kSpace, 64, 0};  // loss, lse, statistics
  array<std::int64_t> counts{kSpace, 64, 0};
  array<std::int64_t> scratch{kSpace, 256, 0};
};

// Launches of an emulated device; of a real one nothing is known.
inline std::uint64_t launches() { return simt::count().launches; }

// A call that must be refused with this message.
template <class Memory, class Call>
void expect_refused(const Memory& m, const Call& call, const std::string& message,
                    status_code code = status_code::invalid_argument) {
  const std::uint64_t before = launches();
  const culoss::status s = call();
  EXPECT_EQ(s.message(), message);
  EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
  EXPECT_EQ(launches(), before) << message;
  EXPECT_EQ(m.changes(), "") << message;
}

// Runs f<Where, T>() for the types of the execution space.
template <class F>
void for_each_type(space where, const F& f) {
  const auto on = [&]<class Where>(std::type_identity<Where> w) {
    f(w, std::type_identity<float>{});
    f(w, std::type_identity<culoss::half>{});
    f(w, std::type_identity<culoss::bf16>{});
  };
  if (where == space::cpu) {
    on(std::type_identity<culoss::cpu>{});
    f(std::type_identity<culoss::cpu>{}, std::type_identity<double>{});
  } else {
    on(std::type_identity<culoss::cuda>{});
  }
}

}  // namespace culoss_test
