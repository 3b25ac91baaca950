// How far softmax, its logarithm and its entropy may be from the exact ones: bounds of each
// element's error, computed from the data beside the double reference. First order in u; Blanchard,
// Higham and Higham, "Accurately computing the log-sum-exp and softmax functions" (2021) for the
// method.
//
// With z_j = (x_j - m) / T <= 0 and e_j = exp(z_j), taken as 2^((x_j - m) c), c = log2(e) / T:
//   x_j      exact, or off by `input` |x_j| where it is a capped logit; m then likewise, and by
//            saved |m| where it was stored; or off by an error of its own, m then by the largest
//            of these; z_j by both over T, and e_j by as much relatively
//   e_j      exp_error + exp_slope |z_j|: the function's own error; the roundings of the
//            difference, of log2(e), of c and of the product, times the argument
//   its way into s = sum e_j: adds * u; each change of the running maximum multiplies by one more
//            exponential: rescales * (exp_error + u). Their arguments add up to z_j: no further
//            slope.
//   s        delta = sum_j pi_j (error of e_j + its way) + flush, pi = e / s
//   log s    delta + log_error |log s| + saved |log s| where it was stored between two calls
//   B = sum_j e_j z_j, of the entropy log s - B / s: the same, and the error of z_j; a change of the
//            maximum adds terms of one sign
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/harness/arithmetic.hpp"

namespace culoss_test {

// A row's softmax over the columns other than `target` (-1: over all), with its errors.
class softmax_row {
 public:
  softmax_row(const double* x, std::int64_t cols, double temperature, std::int64_t target,
              const arithmetic& a, double input = 0, const double* errors = nullptr)
      : x_(x),
        errors_(errors),
        temperature_(temperature),
        a_(a),
        input_(input),
        max_input_(input == 0 ? 0 : input + a.saved) {
    for (std::int64_t j = 0; j < cols; ++j) {
      if (j == target) continue;
      max_ = std::max(max_, x[j]);
      if (errors != nullptr) largest_error_ = std::max(largest_error_, errors[j]);
    }
    if (!std::isfinite(max_)) return;
    const double way = a.adds * a.u + a.rescales * (a.exp_error + a.u);
    const double spread_way = a.batch_adds * a.u + a.rescales * (a.exp_error + 3 * a.u);
    double weighted = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      if (j == target || x[j] == -kInfinity) continue;
      const double e = std::exp(z(j)), error = a.exp_error + a.exp_slope * -z(j) + moved(j);
      sum_ += e;
      weighted += e * (error + way);
      spread_ += e * -z(j);
      spread_error_ += e * (-z(j) * (error + spread_way + 4 * a.u) + z_error(j));
    }
    const double lost = static_cast<double>(cols) * a.flush / sum_;
    delta_ = weighted / sum_ + lost;
    spread_ /= sum_;
    spread_error_ = spread_error_ / sum_ + spread_ * (delta_ + 4 * a.u) + 128 * lost;
  }

  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  bool empty() const { return !std::isfinite(max_); }
  double max() const { return max_; }
  double max_error() const { return max_input_ * std::fabs(max_) + largest_error_; }
  double z(std::int64_t j) const { return (x_[j] - max_) / temperature_; }
  double log_sum() const { return std::log(sum_); }
  double delta() const { return delta_; }  // relative error of the sum
  double log_sum_error() const { return delta_ + (a_.library + a_.saved) * std::fabs(log_sum()); }
  double pi(std::int64_t j) const { return std::exp(z(j)) / sum_; }
  // Relative error of pi_j, as e_j / s or as exp(z_j - log s): the worse of the two.
  double pi_error(std::int64_t j) const {
    const double log_part = (a_.library + a_.saved + a_.exp_slope) * std::fabs(log_sum());
    return a_.exp_error + a_.exp_slope * std::fabs(z(j)) + moved(j) + log_part + delta_ + 8 * a_.u;
  }
  // Error of the shifted logit z_j itself: a difference, a product, a reciprocal, log2 and back.
  double z_error(std::int64_t j) const { return 4 * a_.u * std::fabs(z(j)) + moved(j); }
  // -B / s and the entropy of these columns: terms that are not negative.
  double spread() const { return spread_; }
  double spread_error() const { return spread_error_; }
  double entropy() const { return log_sum() + spread_; }
  double entropy_error() const { return log_sum_error() + spread_error_ + a_.u * entropy(); }

 private:
  double moved(std::int64_t j) const {
    if (input_ == 0 && errors_ == nullptr) return 0;
    const double own = errors_ == nullptr ? 0 : errors_[j];
    return (input_ * std::fabs(x_[j]) + own + max_error()) / temperature_;
  }

  const double* x_;
  const double* errors_;
  double largest_error_ = 0;
  double temperature_;
  arithmetic a_;
  double input_, max_input_;
  double max_ = -kInfinity;
  double sum_ = 0;
  double delta_ = 0;
  double spread_ = 0, spread_error_ = 0;
};

// Softmax and log-softmax, element j: one rounding to the output's format comes on top.
inline double softmax_bound(const softmax_row& row, std::int64_t j, const arithmetic& a) {
  return row.pi(j) * row.pi_error(j) + 2 * a.flush;
}
inline double log_softmax_bound(const softmax_row& row, std::int64_t j, const arithmetic& a) {
  const double value = row.z(j) - row.log_sum();
  return row.z_error(j) + row.log_sum_error() + a.u * std::fabs(value);
}

// Backward of softmax, p_j (g_j - <g, p>) / T. The dot product of C terms carries (adds + 2) u of
// the sum of their sizes.
inline double softmax_backward_bound(double p, double g, double dot, double absolute_dot,
                                     double temperature, const arithmetic& a) {
  const double inner = (a.adds + 2) * a.u * absolute_dot + a.u * std::fabs(g - dot);
  return std::fabs(p) / temperature * (inner + 4 * a.u * std::fabs(g - dot)) + 4 * a.smallest;
}
// Backward of log-softmax, (g_j - exp(l_j) sum g) / T.
inline double log_softmax_backward_bound(double l, double g, double sum, double absolute_sum,
                                         double temperature, const arithmetic& a) {
  const double p = std::exp(l);
  const double term = p * std::fabs(sum) * (a.exp_error + a.exp_slope * std::fabs(l) + a.u) +
                      p * a.adds * a.u * absolute_sum + a.flush * std::fabs(sum);
  return (term + 4 * a.u * (std::fabs(g) + p * std::fabs(sum))) / temperature + 4 * a.smallest;
}

// Gradient of the entropy by logit j, scale * pi_j (z_j + (-B / s)): a difference.
inline double entropy_gradient_bound(const softmax_row& row, std::int64_t j, double scale,
                                     const arithmetic& a) {
  const double z = std::fabs(row.z(j)), value = row.z(j) + row.spread();
  const double inner = row.z_error(j) + row.spread_error() + 3 * a.u * (z + row.spread());
  return std::fabs(scale) * (row.pi(j) * (inner + std::fabs(value) * (row.pi_error(j) + 6 * a.u)) +
                             2 * a.flush * (z + row.spread())) +
         4 * a.smallest;
}

// Logits as a softcap c leaves them (0: none), exact, with the slope of the cap.
inline double capped(double x, double c) {
  return c == 0 || std::isinf(x) ? x : c * std::tanh(x / c);
}
inline double cap_slope(double x, double c) {
  if (c == 0 || std::isinf(x)) return 1;
  const double e = std::exp(-2 * std::fabs(x) / c);
  return 4 * e / ((1 + e) * (1 + e));
}

}  // namespace culoss_test
