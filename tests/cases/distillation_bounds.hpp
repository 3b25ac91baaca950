// How far distillation may be from the exact one.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/harness/softmax_bounds.hpp"

namespace culoss_test {

// Error bounds of one row of finite loss, as kernels/policy/distillation.cuh computes it: p and q
// are softmaxes, d = log p - log q is a difference of shifted logits less that of the logarithms of
// the two sums. First order in u, but where d is no larger than its own error.
class distillation_bounds {
 public:
  distillation_bounds(const double* x, const double* y, std::int64_t cols, double temperature,
                      double share, bool on_chip, const arithmetic& a)
      : x_(x),
        y_(y),
        t_(temperature),
        share_(share),
        a_(a),
        p_(x, cols, temperature, -1, a),
        q_(y, cols, temperature, -1, a) {
    if (p_.empty() || q_.empty()) return;
    ratio_ = p_.log_sum() - q_.log_sum();
    ratio_error_ = p_.log_sum_error() + q_.log_sum_error() + a.u * std::fabs(ratio_);
    std::array<double, 2> sizes{};
    double wide = 0, mean = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      const column e = column_of(j);
      if (e.nothing) continue;
      if (mixture()) {
        const auto parts = parts_of(e);
        for (const std::size_t k : {0u, 1u}) {
          kl_[k] += parts[k].excess;
          kl_error_[k] += parts[k].excess_error + 256 * a.flush;
          sizes[k] += parts[k].excess;
        }
        continue;
      }
      const double direct = (e.q - e.p) + (e.p == 0 ? 0 : e.p * e.d), term = std::fabs(direct);
      kl_[0] += e.p == 0 ? 0 : e.p * e.d;
      sizes[0] += term;
      double error = 0;
      if (e.size < 0.51) {  // by the series
        error = std::fabs(e.q - e.p) * e.d_error + (e.p + e.q) * e.d_error * e.d_error +
                term * (e.p_relative + 16 * a.u);
      }
      if (e.size > 0.49) {
        error = std::fmax(error, e.p_error * (1 + e.finite_size()) + e.q_error + e.p * e.d_error +
                                     3 * a.u * (e.p + e.q + e.p * e.finite_size()));
      }
      kl_error_[0] += error + 256 * a.flush;
      if (e.p == 0) continue;
      // In one pass: each e_j ((x_j - m) - (y_j - n)) with its error; every rise of a maximum moves
      // the sum so far.
      const double far = std::fabs(p_.z(j)) + std::fabs(q_.z(j));
      const double way = a.batch_adds * a.u + a.rescales * (a.exp_error + 4 * a.u);
      wide += e.p * (far * (2 * e.p_relative + 2 * way + 8 * a.u) + e.d_error);
      mean += e.p * (e.d + ratio_);
    }
    for (const std::size_t k : {0u, 1u}) kl_error_[k] += (a.adds + 4) * a.u * sizes[k];
    if (!on_chip && !mixture()) {
      kl_error_[0] = wide + std::fabs(mean) * (p_.delta() + 6 * a.u) + ratio_error_ +
                     a.u * (std::fabs(mean) + std::fabs(ratio_)) +
                     256 * static_cast<double>(cols) * a.flush;
    }
  }

  // Before weight and T^2.
  double loss() const {
    if (!mixture()) return kl_error_[0] + 2 * a_.u * kl_[0];
    return share_ * (kl_error_[0] + 4 * a_.u * kl_[0]) +
           (1 - share_) * (kl_error_[1] + 4 * a_.u * kl_[1]);
  }
  // By x_j and y_j, before scale / T.
  double by_p(std::int64_t j) const {
    const column e = column_of(j);
    if (e.p_masked) return 0;
    if (mixture()) return share_ * of_part(e.p, e.p_error, parts_of(e)[0], 0);
    const double value = e.d - kl_[0];
    return e.p_error * std::fabs(value) +
           e.p * (e.d_error + kl_error_[0] + 4 * a_.u * (std::fabs(e.d) + kl_[0])) +
           2 * a_.flush * (std::fabs(e.d) + kl_[0]);
  }
  double by_q(std::int64_t j) const {
    const column e = column_of(j);
    if (!mixture()) return e.p_error + e.q_error + 4 * a_.u * std::fabs(e.q - e.p);
    if (e.q_masked) return 0;
    return (1 - share_) * of_part(e.q, e.q_error, parts_of(e)[1], 1);
  }

 private:
  struct column {
    bool p_masked, q_masked, nothing;
    double p = 0, q = 0, d = 0, size = 0, d_error = 0;
    double p_relative = 0, q_relative = 0, p_error = 0, q_error = 0;
    double finite_size() const { return p == 0 ? 0 : size; }
  };
  // log(p / m) and p log(p / m) + m - p.
  struct part {
    double log = 0, log_error = 0, excess = 0, excess_error = 0;
  };

  bool mixture() const { return share_ > 0 && share_ < 1; }
  column column_of(std::int64_t j) const {
    constexpr double kInfinity = softmax_row::kInfinity;
    column e{.p_masked = x_[j] == -kInfinity, .q_masked = y_[j] == -kInfinity, .nothing = false};
    e.nothing = e.p_masked && e.q_masked;
    if (!e.p_masked) {
      e.p = p_.pi(j);
      e.p_relative = p_.pi_error(j);
      e.p_error = e.p * e.p_relative + 2 * a_.flush;
    }
    if (!e.q_masked) {
      e.q = q_.pi(j);
      e.q_relative = q_.pi_error(j);
      e.q_error = e.q * e.q_relative + 2 * a_.flush;
    }
    if (e.nothing) return e;
    if (e.p_masked || e.q_masked) {
      e.d = e.p_masked ? -kInfinity : kInfinity;
      e.size = kInfinity;
      return e;
    }
    const double shifted = p_.z(j) - q_.z(j);
    e.d = shifted - ratio_;
    e.size = std::fabs(e.d);
    e.d_error = a_.u * (std::fabs(p_.z(j)) + std::fabs(q_.z(j)) + 5 * std::fabs(shifted) + e.size) +
                ratio_error_;
    return e;
  }
  std::array<part, 2> parts_of(const column& e) const {
    const double m = share_ * e.p + (1 - share_) * e.q;
    const double m_error = share_ * e.p_error + (1 - share_) * e.q_error + 3 * a_.u * m;
    double fall_error = 0;  // of q - p
    if (e.size < 0.51) {
      fall_error = e.q * e.d_error + std::fabs(e.q - e.p) * (e.p_relative + 16 * a_.u);
    }
    if (!(e.size < 0.49)) {
      fall_error = std::fmax(fall_error, e.p_error + e.q_error + a_.u * std::fabs(e.q - e.p));
    }
    return {
        part_of(e.p, e.p_error, (1 - share_) * (e.q - e.p), (1 - share_) * fall_error, m, m_error),
        part_of(e.q, e.q_error, share_ * (e.p - e.q), share_ * fall_error, m, m_error)};
  }
  part part_of(double p, double p_error, double rise, double rise_error, double m,
               double m_error) const {
    rise_error += 3 * a_.u * std::fabs(rise);
    if (p < 1e-300) return {0, 0, rise, rise_error};  // of less, rise / p may overflow
    const double relative = p_error / p, y = rise / p;
    part r{.log = -std::log1p(y), .excess = rise - p * std::log1p(y)};
    if (std::fabs(y) < 0.5) r.excess = p * excess_of(y);
    const double y_error = rise_error / p + std::fabs(y) * (relative + 4 * a_.u);
    if (std::fabs(y) < 0.26) {
      r.log_error = y_error / (1 + y) + 16 * a_.u * std::fabs(r.log);
      r.excess_error = p * (std::fabs(y / (1 + y)) * y_error + y_error * y_error) +
                       r.excess * (relative + 24 * a_.u);
    }
    if (std::fabs(y) > 0.24) {
      const double log = std::fabs(r.log);
      const double log_error = m_error / m + relative + a_.library * log + 4 * a_.u;
      r.log_error = std::fmax(r.log_error, log_error);
      r.excess_error = std::fmax(r.excess_error, rise_error + p_error * log + p * log_error +
                                                     3 * a_.u * (std::fabs(rise) + p * log));
    }
    // Numbers that may be flushed count as nothing.
    if (p < 1e6 * a_.flush) r.excess_error += 256 * a_.flush;
    return r;
  }
  // y - log(1 + y), in double as the reference has it not to compute.
  static double excess_of(double y) {
    double term = y * y, sum = 0;
    for (int n = 2; n < 80; ++n) {
      sum += (n % 2 == 0 ? 1 : -1) * term / n;
      term *= y;
    }
    return sum;
  }
  double of_part(double p, double p_error, const part& r, std::size_t k) const {
    const double size = std::fabs(r.log) + kl_[k];
    return p_error * std::fabs(r.log - kl_[k]) +
           p * (r.log_error + kl_error_[k] + 6 * a_.u * size) + 256 * a_.flush;
  }

  const double *x_, *y_;
  double t_, share_;
  arithmetic a_;
  softmax_row p_, q_;
  double ratio_ = 0, ratio_error_ = 0;
  std::array<double, 2> kl_{}, kl_error_{};
};

}  // namespace culoss_test
