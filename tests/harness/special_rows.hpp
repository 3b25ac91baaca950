// Rows of logits with everything special that the public headers have a rule for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace culoss_test {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What the rules say of the row's loss and gradient.
enum class outcome {
  ignored,   // loss and gradient exactly +0
  zero,      // loss and gradient exactly 0
  finite,    // and gradient 0 in the masked columns
  infinite,  // loss +inf, gradient finite
  nan,
};

struct special_row {
  const char* what;
  outcome expected;
  std::function<void(double* x, std::int64_t cols, std::int64_t& label)> set;
};

inline void fill(double* x, std::int64_t begin, std::int64_t end, double value) {
  std::fill(x + begin, x + std::max(begin, end), value);
}

inline constexpr std::int64_t kIgnored = -100;

// Rows of at least 5 columns. The target is column 2 unless the row moves it.
inline std::vector<special_row> special_rows() {
  using x_t = double*;
  using n_t = std::int64_t;
  using t_t = std::int64_t&;
  std::vector<special_row> rows = {
      {"ordinary", outcome::finite, [](x_t, n_t, t_t) {}},
      {"ignored, and NaN", outcome::ignored,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n, kNan);
         t = kIgnored;
       }},
      {"every third column masked", outcome::finite,
       [](x_t x, n_t n, t_t) {
         for (n_t j = 0; j < n; j += 3) x[j] = -kInf;
       }},
      {"first half masked", outcome::finite,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n / 2, -kInf);
         t = n - 1;
       }},
      {"second half masked", outcome::finite,
       [](x_t x, n_t n, t_t) { fill(x, std::max(n / 2, n_t{3}), n, -kInf); }},
      {"all but the first two masked", outcome::finite,
       [](x_t x, n_t n, t_t t) {
         fill(x, 2, n, -kInf);
         t = 1;
       }},
      {"all but the last two masked", outcome::finite,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n - 2, -kInf);
         t = n - 2;
       }},
      {"target masked", outcome::infinite, [](x_t x, n_t, t_t t) { x[t] = -kInf; }},
      {"target and the first half masked", outcome::infinite,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n / 2, -kInf);
         t = 0;
       }},
      {"all but one masked, the target too", outcome::infinite,
       [](x_t x, n_t n, t_t) {
         fill(x, 0, n - 1, -kInf);
         x[n - 1] = 3;
       }},
      {"all but the target masked", outcome::zero,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n, -kInf);
         x[t] = -7;
       }},
      {"all masked", outcome::nan, [](x_t x, n_t n, t_t) { fill(x, 0, n, -kInf); }},
      {"NaN off the target", outcome::nan, [](x_t x, n_t n, t_t) { x[n - 1] = kNan; }},
      {"NaN at the target", outcome::nan, [](x_t x, n_t, t_t t) { x[t] = kNan; }},
      {"NaN among masked columns", outcome::nan,
       [](x_t x, n_t n, t_t) {
         fill(x, 0, n, -kInf);
         x[n / 2] = kNan;
       }},
      {"+inf off the target", outcome::nan, [](x_t x, n_t, t_t) { x[0] = kInf; }},
      {"+inf at the target", outcome::nan, [](x_t x, n_t, t_t t) { x[t] = kInf; }},
      {"+inf and a masked target", outcome::nan,
       [](x_t x, n_t n, t_t t) {
         x[n - 1] = kInf;
         x[t] = -kInf;
       }},
      {"only the target, +inf", outcome::nan,
       [](x_t x, n_t n, t_t t) {
         fill(x, 0, n, -kInf);
         x[t] = kInf;
       }},
      {"label -1", outcome::nan, [](x_t, n_t, t_t t) { t = -1; }},
      {"label C", outcome::nan, [](x_t, n_t n, t_t t) { t = n; }},
      {"label INT32_MIN", outcome::nan, [](x_t, n_t, t_t t) { t = INT32_MIN; }},
  };
  // The slice of a warp, for each size of a slice that begins at a multiple of itself; the rest of
  // the row is ordinary. And the other way round: only such a slice is not masked.
  for (const std::int64_t slice : {4, 8, 32, 128, 256, 512, 1024, 2048}) {
    rows.push_back({"a slice masked", outcome::finite, [slice](x_t x, n_t n, t_t t) {
                      const n_t begin = std::min(slice, n / 2);
                      fill(x, begin, std::min(begin + slice, n - 1), -kInf);
                      t = 0;
                    }});
    rows.push_back({"all but a slice masked", outcome::finite, [slice](x_t x, n_t n, t_t t) {
                      const n_t begin = std::min(slice, n / 2);
                      fill(x, 0, begin, -kInf);
                      fill(x, std::min(begin + slice, n), n, -kInf);
                      t = begin;
                      x[begin] = 1;
                    }});
  }
  return rows;
}

}  // namespace culoss_test
