// Widths that make the library choose each of its kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "host/tuning.hpp"
#include "tests/harness/element.hpp"

namespace culoss_test {

// One odd width for each kernel that rows of this type may run, inside its range; of the widest
// kernels, near the narrow end.
inline std::vector<std::int64_t> width_of_each_plan(element type, int streams = 1) {
  using culoss::detail::row_plan;
  const int bytes = format_of(type).bytes;
  constexpr int kCapability = 90;
  const auto plan = [&](std::int64_t cols) {
    return culoss::detail::plan_rows(kCapability, cols, bytes, streams, true, true);
  };
  const auto same = [](const row_plan& a, const row_plan& b) {
    return a.kernel == b.kernel && a.lanes == b.lanes && a.packs == b.packs &&
           a.threads == b.threads;
  };
  constexpr std::int64_t kWidest = 131072, kWide = 3000;
  std::vector<std::int64_t> widths;
  for (std::int64_t first = 1; first < kWidest;) {
    std::int64_t last = first;
    while (last < kWidest && same(plan(first), plan(last + 1))) ++last;
    widths.push_back((last < kWide ? (first + last) / 2 : first + 4) | 1);
    first = last + 1;
  }
  return widths;
}

}  // namespace culoss_test
