// The arithmetic under test, as the error bounds need it: unit roundoffs, the documented errors of
// the functions that it uses, the length of its sums.
#pragma once

#include <cmath>
#include <cstdint>

#include "host/tuning.hpp"
#include "tests/harness/element.hpp"
#include "tests/harness/space.hpp"

namespace culoss_test {

struct arithmetic {
  double u;          // unit roundoff
  double exp_error;  // relative error of an exponential of a row's sum at 0 ...
  double exp_slope;  // ... and per unit of its argument
  double library;    // relative error of exp, log and log1p elsewhere
  double flush;      // an exponential below this may become 0
  double saved;      // relative error of a statistic that was stored
  double adds;       // on the longest path into a sum over the row
  double rescales;
  double weight_adds;  // on the path of what is added one by one to a thread's sum
  double batch_adds;   // ... of what is added one by one to the sum of a batch
  double smallest;     // subnormal of the type of the arithmetic
  double cap;          // relative error of a capped logit ...
  double cap_slope;    // ... and of the slope of the cap, per 1 + |x / c| / 2

  // Of the slope of a cap c at x.
  double cap_slope_error(double x, double c) const {
    return std::isinf(x) ? 0 : cap_slope * (1 + 0.5 * std::fabs(x) / c);
  }
};

// How the rows of a call lie in memory.
enum class view { matrix, strided };

// Float; ex2.approx.ftz has a relative error of at most 2^-22 and flushes below 2^-126 (PTX ISA);
// expf, logf and log1pf 1 ulp = 2 u (CUDA C++ Programming Guide, mathematical functions); of the
// softcap, kernels/math.cuh.
inline arithmetic device_arithmetic(std::int64_t cols, element type, int streams,
                                    view v = view::matrix) {
  const int bytes = format_of(type).bytes;
  constexpr int kAnyCapability = 90;  // the path depends on width and type alone
  constexpr double kU = 0x1p-24;
  arithmetic a{.u = kU,
               .exp_error = 0x1p-22,
               .exp_slope = 4 * kU,
               .library = 2 * kU,
               .flush = 0x1p-126,
               .saved = kU,
               .adds = 0,
               .rescales = 0,
               .weight_adds = 0,
               .batch_adds = 0,
               .smallest = 0x1p-149,
               .cap = 0x1p-20,
               .cap_slope = 0x1p-20};
  std::int64_t of_a_thread = 0;
  int in_a_batch = 0;
  culoss::detail::path_length path{};
  if (v == view::strided) {
    const culoss::detail::strided_plan plan =
        culoss::detail::plan_strided(kAnyCapability, cols, bytes, true);
    path = culoss::detail::longest_strided_path(plan, cols);
    of_a_thread = (cols + plan.groups - 1) / plan.groups;
    in_a_batch = culoss::detail::kStridedBatch;
  } else {
    const culoss::detail::row_plan plan =
        culoss::detail::plan_rows(kAnyCapability, cols, bytes, streams, false, true);
    path = culoss::detail::longest_path(plan, cols, bytes, streams);
    const int size = culoss::detail::kPackBytes / bytes;
    of_a_thread = (cols + plan.lanes - 1) / plan.lanes + size;
    in_a_batch = culoss::detail::kBatch / streams * size;
  }
  a.adds = path.adds;
  a.rescales = path.rescales;
  a.weight_adds = static_cast<double>(of_a_thread + path.rescales);
  a.batch_adds = in_a_batch + path.rescales;
  return a;
}

// Double, plain loops; only statistics saved for a backward are of the caller's type.
inline arithmetic host_arithmetic(std::int64_t cols, element type) {
  constexpr double kU = 0x1p-53;
  const auto adds = static_cast<double>(cols);
  return {.u = kU,
          .exp_error = 2 * kU,
          .exp_slope = 4 * kU,
          .library = 2 * kU,
          .flush = 0x1p-1022,
          .saved = type == element::float64 ? kU : 0x1p-24,
          .adds = adds,
          .rescales = 0,
          .weight_adds = adds,
          .batch_adds = adds,
          .smallest = 0x1p-1074,
          .cap = 8 * kU,
          .cap_slope = 16 * kU};
}

inline arithmetic arithmetic_of(space where, std::int64_t cols, element type, int streams,
                                view v = view::matrix) {
  return where == space::cpu ? host_arithmetic(cols, type)
                             : device_arithmetic(cols, type, streams, v);
}

// The format in which losses and statistics come out.
inline const format& real_format(element type) {
  return format_of(type == element::float64 ? element::float64 : element::float32);
}

}  // namespace culoss_test
