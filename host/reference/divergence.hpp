// Entropy of one row, divergence of two, and their gradients, from the textbook formulas of culoss/divergence.hpp. The
// values are templates on the scalar S (double, std::complex<double>); the gradients are written
// apart from them, so that a complex step checks them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

// -sum_j p_j log p_j
template <class S>
S entropy_of_probabilities(std::span<const S> p) noexcept {
  S h = 0;
  for (const S& p_j : p) {
    if (p_j != S(0)) h -= p_j * std::log(p_j);
  }
  return h;
}

// dp_j = scale * -(log p_j + 1), and 0 where p_j is. dp may be p.
inline void entropy_gradient_of_probabilities(std::span<const double> p, double scale,
                                              std::span<double> dp) noexcept {
  for (std::size_t j = 0; j < p.size(); ++j) {
    dp[j] = p[j] == 0 ? 0.0 : -scale * (std::log(p[j]) + 1);
  }
}

// Of softmax(y / T), y = cap(x): with z = sum_j e_j, e_j = exp((y_j - max y) / T), and
// B = sum_j e_j (y_j - max y) / T.
template <class S>
struct logit_entropy {
  real_part_of<S> max;
  S log_sum;        // log z
  S mean_exponent;  // B / z <= 0

  S value() const noexcept { return log_sum - mean_exponent; }
};

template <class S, class Cap = std::identity>
logit_entropy<S> entropy_of_logits(std::span<const S> x, double temperature,
                                   const Cap& cap = {}) noexcept {
  const std::size_t largest = index_of_largest(x);
  const S below = sum_below_largest(x, largest, temperature, cap);
  const real_part_of<S> max = std::real(cap(x[largest]));
  S b = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (is_minus_infinity(x[j])) continue;  // e_j is 0
    const S exponent = (cap(x[j]) - max) / temperature;
    b += std::exp(exponent) * exponent;
  }
  return {max, log1p(below), b / (S(1) + below)};
}

// dx_j = scale * -(p_j / T) (log p_j + H), log p_j + H = (x_j - max x) / T - B / z; 0 for a masked
// column. dx may be x.
inline void entropy_gradient_of_logits(std::span<const double> x, const logit_entropy<double>& row,
                                       double temperature, double scale,
                                       std::span<double> dx) noexcept {
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double exponent = (x[j] - row.max) / temperature;
    const double p = std::exp(exponent - row.log_sum);
    const double g = -weighted(p, exponent - row.mean_exponent) / temperature;
    dx[j] = scale * g;
  }
}

// A probability p_j and its logarithm, one of which is given.
template <class S>
struct probability {
  S value, log;
  bool by_log;

  probability(S given, bool is_log) noexcept
      : value(is_log ? std::exp(given) : given),
        log(is_log ? given : std::log(given)),
        by_log(is_log) {}
  // Whether it is 0: not what a double cannot tell from 0.
  bool zero() const noexcept { return by_log ? is_minus_infinity(log) : value == S(0); }
  bool valid() const noexcept {
    return by_log ? !std::isnan(std::real(log)) : std::real(value) >= 0;
  }
};

// p_j (log p_j - log q_j), with what it is made of.
template <class S>
struct kl_term {
  probability<S> p, q;

  S difference() const noexcept { return p.log - q.log; }
  S value() const noexcept {
    if (!p.valid() || !q.valid()) return std::numeric_limits<real_part_of<S>>::quiet_NaN();
    if (p.zero()) return 0;
    return std::isinf(std::real(difference())) ? difference() : p.value * difference();
  }
};

// By p_j as it is given, and by q_j.
inline double kl_derivative_by_p(const kl_term<double>& t) noexcept {
  if (!t.p.valid() || !t.q.valid()) return std::numeric_limits<double>::quiet_NaN();
  if (t.p.zero()) return 0;
  const double slope = t.difference() + 1;
  return t.p.by_log && !std::isinf(slope) ? t.p.value * slope : slope;
}
inline double kl_derivative_by_q(const kl_term<double>& t) noexcept {
  if (!t.p.valid() || !t.q.valid()) return std::numeric_limits<double>::quiet_NaN();
  if (t.p.zero()) return 0;
  if (t.q.by_log) return -t.p.value;
  return t.q.zero() ? -std::numeric_limits<double>::infinity() : -t.p.value / t.q.value;
}

// KL(p | q) of two rows of logarithms of probabilities.
template <class S>
S kl_of_logarithms(std::span<const S> log_p, std::span<const S> log_q) noexcept {
  S sum = 0;
  for (std::size_t j = 0; j < log_p.size(); ++j) {
    const kl_term<S> term{{log_p[j], true}, {log_q[j], true}};
    sum += term.value();
  }
  return sum;
}

// log(b p + (1 - b) q) of logarithms, which may both be of what is no number.
template <class S>
S log_of_mixture(S log_p, S log_q, double b) noexcept {
  const S x = std::log(b) + log_p, y = std::log1p(-b) + log_q;
  const bool first = std::real(x) > std::real(y);
  const S larger = first ? x : y, smaller = first ? y : x;
  if (is_minus_infinity(larger)) return larger;
  return larger + log1p(std::exp(smaller - larger));
}

// What stands between logits and the loss of a row: log p of the teacher, log q of the student, and
// log m of what each is compared with.
template <class S>
struct distilled_row {
  std::vector<S> log_p, log_q, log_m;  // log_m: of Jensen-Shannon
  S kl_p = 0, kl_q = 0;                // KL(p | .), KL(q | .), as far as the direction has them

  // share: 0 is KL(p | q), 1 is KL(q | p).
  distilled_row(std::span<const S> student, std::span<const S> teacher, double temperature,
                double share)
      : log_p(teacher.size()), log_q(student.size()) {
    log_softmax_row<S>(teacher, temperature, log_p);
    log_softmax_row<S>(student, temperature, log_q);
    const std::span<const S> p(log_p), q(log_q);
    if (share == 0) {
      kl_p = kl_of_logarithms(p, q);
    } else if (share == 1) {
      kl_q = kl_of_logarithms(q, p);
    } else {
      for (std::size_t j = 0; j < p.size(); ++j) {
        log_m.push_back(log_of_mixture(p[j], q[j], share));
      }
      kl_p = kl_of_logarithms(p, std::span<const S>(log_m));
      kl_q = kl_of_logarithms(q, std::span<const S>(log_m));
    }
  }
  S value(double share) const noexcept {
    if (share == 0) return kl_p;
    return share == 1 ? kl_q : share * kl_p + (1 - share) * kl_q;
  }
};

// Of KL(p | q) by the logits of p: (p_j / T) (log p_j - log q_j - KL). Where KL is infinite, so is
// the gradient, of the sign of its limit.
inline double kl_gradient_by_first(double log_p, double log_q, double kl,
                                   double temperature) noexcept {
  if (std::isinf(log_p)) return 0;
  if (std::isinf(kl)) return std::isinf(log_q) ? kl : -kl;
  return std::exp(log_p) * (log_p - log_q - kl) / temperature;
}
// By those of q: (q_j - p_j) / T.
inline double kl_gradient_by_second(double log_p, double log_q, double temperature) noexcept {
  return (std::exp(log_q) - std::exp(log_p)) / temperature;
}

// Into `of_student` and `of_teacher`, times `scale`.
inline void distillation_gradient(const distilled_row<double>& row, double temperature,
                                  double share, double scale, std::span<double> of_student,
                                  std::span<double> of_teacher) noexcept {
  const double t = temperature;
  const bool nan = std::isnan(row.value(share));
  for (std::size_t j = 0; j < of_student.size(); ++j) {
    const double p = row.log_p[j], q = row.log_q[j];
    double student = 0, teacher = 0;
    if (share == 0) {
      teacher = kl_gradient_by_first(p, q, row.kl_p, t);
      student = kl_gradient_by_second(p, q, t);
    } else if (share == 1) {
      student = kl_gradient_by_first(q, p, row.kl_q, t);
      teacher = kl_gradient_by_second(q, p, t);
    } else {
      teacher = share * kl_gradient_by_first(p, row.log_m[j], row.kl_p, t);
      student = (1 - share) * kl_gradient_by_first(q, row.log_m[j], row.kl_q, t);
    }
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    of_student[j] = nan ? kNone : weighted(scale, student);
    of_teacher[j] = nan ? kNone : weighted(scale, teacher);
  }
}

}  // namespace culoss::reference
