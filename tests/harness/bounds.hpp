// How far a result may be from the exact one: bounds of each element's error, computed from the
// data beside the double reference. First order in u; Blanchard, Higham and Higham, "Accurately
// computing the log-sum-exp and softmax functions" (2021) for the method.
//
// With z_j = (x_j - m) / T <= 0 and e_j = exp(z_j), taken as 2^((x_j - m) c), c = log2(e) / T:
//   e_j      exp_error + exp_slope |z_j|   the function's own error; the roundings of the
//   difference,
//                                          of log2(e), of c and of the product, times the argument
//   its way into s = sum e_j               adds * u; each change of the running maximum multiplies
//   by
//                                          one more exponential: rescales * (exp_error + u). Their
//                                          arguments add up to z_j: no further slope.
//   s        delta = sum_j pi_j (error of e_j + its way) + flush, pi = e / s
//   log s    delta + log_error |log s| + saved |log s| where it was stored between two calls
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "host/tuning.hpp"
#include "tests/harness/element.hpp"
#include "tests/harness/space.hpp"

namespace culoss_test {

// The arithmetic under test.
struct arithmetic {
  double u;          // unit roundoff
  double exp_error;  // relative error of an exponential of a row's sum at 0 ...
  double exp_slope;  // ... and per unit of its argument
  double library;    // relative error of exp, log and log1p elsewhere
  double flush;      // an exponential below this may become 0
  double saved;      // relative error of a statistic that was stored
  double adds;       // on the longest path into a sum over the row
  double rescales;
  double weight_adds;  // on the path of a class weight, which are added one by one
  double smallest;     // subnormal of the type of the arithmetic
};

// Float; ex2.approx.ftz has a relative error of at most 2^-22 and flushes below 2^-126 (PTX ISA);
// expf, logf and log1pf 1 ulp = 2 u (CUDA C++ Programming Guide, mathematical functions).
inline arithmetic device_arithmetic(std::int64_t cols, element type, int streams) {
  const int bytes = format_of(type).bytes;
  constexpr int kAnyCapability = 90;  // the path depends on width and type alone
  const culoss::detail::row_plan plan =
      culoss::detail::plan_rows(kAnyCapability, cols, bytes, streams, false, true);
  const culoss::detail::path_length path = culoss::detail::longest_path(plan, cols, bytes);
  const std::int64_t of_a_thread =
      (cols + plan.lanes - 1) / plan.lanes + culoss::detail::kPackBytes / bytes;
  const double u = 0x1p-24;
  return {.u = u,
          .exp_error = 0x1p-22,
          .exp_slope = 4 * u,
          .library = 2 * u,
          .flush = 0x1p-126,
          .saved = u,
          .adds = static_cast<double>(path.adds),
          .rescales = static_cast<double>(path.rescales),
          .weight_adds = static_cast<double>(of_a_thread + path.rescales),
          .smallest = 0x1p-149};
}

// Double, plain loops; only statistics saved for a backward are of the caller's type.
inline arithmetic host_arithmetic(std::int64_t cols, element type) {
  const double u = 0x1p-53;
  return {.u = u,
          .exp_error = 2 * u,
          .exp_slope = 4 * u,
          .library = 2 * u,
          .flush = 0x1p-1022,
          .saved = type == element::float64 ? u : 0x1p-24,
          .adds = static_cast<double>(cols),
          .rescales = 0,
          .weight_adds = static_cast<double>(cols),
          .smallest = 0x1p-1074};
}

inline arithmetic arithmetic_of(space where, std::int64_t cols, element type, int streams) {
  return where == space::cpu ? host_arithmetic(cols, type) : device_arithmetic(cols, type, streams);
}

// The format in which losses and statistics come out.
inline const format& real_format(element type) {
  return format_of(type == element::float64 ? element::float64 : element::float32);
}

// A row's softmax over the columns other than `target` (-1: over all), with its errors.
class softmax_row {
 public:
  softmax_row(const double* x, std::int64_t cols, double temperature, std::int64_t target,
              const arithmetic& a)
      : x_(x), temperature_(temperature), a_(a) {
    for (std::int64_t j = 0; j < cols; ++j) {
      if (j != target) max_ = std::max(max_, x[j]);
    }
    if (!std::isfinite(max_)) return;
    const double way = a.adds * a.u + a.rescales * (a.exp_error + a.u);
    double weighted = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      if (j == target || x[j] == -kInfinity) continue;
      const double e = std::exp(z(j));
      sum_ += e;
      weighted += e * (a.exp_error + a.exp_slope * -z(j) + way);
    }
    delta_ = weighted / sum_ + static_cast<double>(cols) * a.flush / sum_;
  }

  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  bool empty() const { return !std::isfinite(max_); }
  double max() const { return max_; }
  double z(std::int64_t j) const { return (x_[j] - max_) / temperature_; }
  double log_sum() const { return std::log(sum_); }
  double delta() const { return delta_; }  // relative error of the sum
  double log_sum_error() const { return delta_ + (a_.library + a_.saved) * std::fabs(log_sum()); }
  double pi(std::int64_t j) const { return std::exp(z(j)) / sum_; }
  // Relative error of pi_j, as e_j / s or as exp(z_j - log s): the worse of the two.
  double pi_error(std::int64_t j) const {
    const double log_part = (a_.library + a_.saved + a_.exp_slope) * std::fabs(log_sum());
    return a_.exp_error + a_.exp_slope * std::fabs(z(j)) + log_part + delta_ + 8 * a_.u;
  }
  // Error of the shifted logit z_j itself: a difference, a product, a reciprocal, log2 and back.
  double z_error(double z) const { return 4 * a_.u * std::fabs(z); }

 private:
  const double* x_;
  double temperature_;
  arithmetic a_;
  double max_ = -kInfinity;
  double sum_ = 0;
  double delta_ = 0;
};

// Softmax and log-softmax, element j: one rounding to the output's format comes on top.
inline double softmax_bound(const softmax_row& row, std::int64_t j, const arithmetic& a) {
  return row.pi(j) * row.pi_error(j) + 2 * a.flush;
}
inline double log_softmax_bound(const softmax_row& row, std::int64_t j, const arithmetic& a) {
  const double value = row.z(j) - row.log_sum();
  return row.z_error(row.z(j)) + row.log_sum_error() + a.u * std::fabs(value);
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

// What the loss of a row, with target t, is made of (see cross_entropy.hpp for the formula):
//   d = z_t - log s, s over the other columns;  p_t = 1 / (1 + exp(-d)),  q = 1 - p_t
//   -log p_t = log(1 + exp(-d)), whose derivative is -q: relatively exact for confident rows too
//   lse - m / T = log s + log(1 + exp(d))
struct target_row {
  softmax_row others;
  double d = std::numeric_limits<double>::infinity();
  double d_error = 0;
  double p = 1, q = 0;
  double p_error = 0, q_error = 0;                // relative
  double loss = 0, loss_error = 0;                // -log p_t
  double lse_shifted = 0, lse_shifted_error = 0;  // lse - m / T

  target_row(const double* x, std::int64_t cols, double temperature, std::int64_t target,
             const arithmetic& a)
      : others(x, cols, temperature, target, a) {
    const double infinity = softmax_row::kInfinity;
    if (others.empty()) return;
    d = x[target] == -infinity ? -infinity : others.z(target) - others.log_sum();
    const double e = std::exp(-std::fabs(d));
    p = (d >= 0 ? 1 : e) / (1 + e);
    q = (d >= 0 ? e : 1) / (1 + e);
    loss = std::max(-d, 0.0) + std::log1p(e);
    lse_shifted = others.log_sum() + std::max(d, 0.0) + std::log1p(e);
    lse_shifted_error = others.log_sum_error() + a.u * std::fabs(lse_shifted);
    if (std::isinf(d)) return;
    d_error = others.z_error(others.z(target)) + others.log_sum_error() + a.u * std::fabs(d);
    // exp(-|d|) errs by `library`; the sigmoid is then a sum and a quotient.
    p_error = q * (d_error + a.library) + a.library + 4 * a.u;
    q_error = p * (d_error + a.library) + a.library + 4 * a.u;
    const double softplus = std::min(p, q) * a.library + a.library * std::log1p(e);
    loss_error = q * d_error + softplus + a.u * loss + 2 * a.flush;
    lse_shifted_error += p * d_error + softplus + a.u * (lse_shifted - others.log_sum());
  }
};

// The factors of one row of cross-entropy.
struct cross_entropy_factors {
  double smoothing = 0;
  double temperature = 1;
  const float* class_weights = nullptr;  // null: 1
  double row_weight = 1;
  double gradient_scale = 1;  // upstream * row_weight / (T D)

  double weight(std::int64_t j) const { return class_weights == nullptr ? 1 : class_weights[j]; }
};

// Error bounds of one counted row, its target's column in range and its loss not NaN.
class cross_entropy_row {
 public:
  cross_entropy_row(const double* x, std::int64_t cols, std::int64_t target,
                    const cross_entropy_factors& f, const arithmetic& a)
      : row_(x, cols, f.temperature, target, a), f_(f), a_(a), x_(x), target_(target) {
    hard_ = (1 - f.smoothing) * f.weight(target);
    soft_ = f.smoothing / static_cast<double>(cols);
    for (std::int64_t j = 0; j < cols; ++j) {
      if (x[j] == -softmax_row::kInfinity) continue;
      weights_ += std::fabs(f.weight(j));
      if (!row_.others.empty()) distances_ += std::fabs(f.weight(j) * row_.others.z(j));
    }
  }

  // loss = row_weight [hard (-log p_t) + soft sum_j w_j (lse - y_j)]. The sum is kept as
  // W (lse - m) + sum_j w_j (m - y_j), whose terms do not cancel; every change of m multiplies the
  // weights seen.
  double loss() const {
    const double sums = (a_.weight_adds + 2 * a_.rescales) * a_.u;
    const double lse = std::fabs(row_.lse_shifted);
    const double smooth = weights_ * row_.lse_shifted_error + (sums + 4 * a_.u) * weights_ * lse +
                          (sums + 6 * a_.u) * distances_;
    const double size = hard_part() + soft_ * (weights_ * lse + distances_);
    const double error =
        (hard_ == 0 ? 0 : hard_ * row_.loss_error) + soft_ * smooth + 4 * a_.u * size;
    return std::fabs(f_.row_weight) * error;
  }

  // Off the target: (hard + soft W) p_j - soft w_j, p_j = q pi_j. At it: -hard q + soft (W p_t -
  // w_t).
  double gradient(std::int64_t j) const {
    const double w = std::fabs(f_.weight(j));
    const double sums = a_.weight_adds * a_.u + a_.saved;
    const double scale = std::fabs(f_.gradient_scale);
    const double slack = scale * 2 * (hard_ + soft_ * weights_) * a_.flush + 4 * a_.smallest;
    if (j == target_) {
      const double p = row_.p;
      return scale *
                 (hard_ * row_.q * (row_.q_error + 8 * a_.u) +
                  soft_ * weights_ * p * (row_.p_error + sums + 8 * a_.u) + 8 * a_.u * soft_ * w) +
             slack;
    }
    if (row_.others.empty() || x_[j] == -softmax_row::kInfinity) return 0;
    const double p = row_.q * row_.others.pi(j);
    const double p_error = row_.q_error + row_.others.pi_error(j);
    return scale * ((hard_ + soft_ * weights_) * p * (p_error + 8 * a_.u) +
                    soft_ * weights_ * p * sums + 8 * a_.u * soft_ * w) +
           slack;
  }

  double lse() const {
    const double shift =
        row_.others.empty() ? x_[target_] / f_.temperature : row_.others.max() / f_.temperature;
    const double value = row_.others.empty() ? shift : shift + row_.lse_shifted;
    return row_.lse_shifted_error + a_.u * (3 * std::fabs(shift) + std::fabs(value));
  }
  double log_sum() const { return row_.others.empty() ? 0 : row_.others.log_sum_error(); }
  double weight_sum() const { return ((a_.weight_adds + 2) * a_.u + a_.saved) * weights_; }

 private:
  double hard_part() const { return std::isinf(row_.loss) || hard_ == 0 ? 0 : hard_ * row_.loss; }

  target_row row_;
  cross_entropy_factors f_;
  arithmetic a_;
  const double* x_;
  std::int64_t target_;
  double hard_ = 0, soft_ = 0;
  double weights_ = 0;    // W, over the columns that are not masked
  double distances_ = 0;  // sum_j w_j |x_j - m| / T
};

}  // namespace culoss_test
