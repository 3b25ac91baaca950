// The softmax of a set of similarities as a kernel keeps it, about a shift: values and errors.
#pragma once

#include <vector>

#include "tests/harness/similarity_bounds.hpp"

namespace culoss_test {

struct set_bounds {
  double count = 0;
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0, log_sum = 0;  // of exp(l - max)
  double delta = 0;             // relative error of the sum
  double far = 0;               // how far above the maximum the shift may lie
  double mean = 0;              // of l - max, by the softmax ...
  double mean_error = 0;
  double plain = 0;  // ... and by 1 / count
  double plain_error = 0;

  // The set's members among `columns` similarities of a row; a shift is at most `highest`.
  template <class L, class E>
  set_bounds(const std::vector<std::int64_t>& members, std::int64_t columns, const L& l,
             const E& error, double highest, const similarity_arithmetic& a)
      : count(static_cast<double>(members.size())) {
    if (members.empty()) return;
    double least = 0, errors = 0;
    for (const std::int64_t k : members) max = std::max(max, l(k));
    if (a.shared_shift) far = std::min(90 * std::log(2.0), std::max(0.0, highest - max));
    for (const std::int64_t k : members) {
      const double z = l(k) - max;
      sum += std::exp(z);
      mean += std::exp(z) * z;
      plain += z / count;
      errors += error(k) / count;
      least = std::min(least, z);
    }
    mean /= sum;
    log_sum = std::log(sum);
    // Each merge of two states rounds the sum and multiplies it by an exponential. A row's part and
    // a column's are merged at the end.
    const double merges = static_cast<double>(columns) / a.slice + 24;
    const double way = (8 + merges) * a.u + merges * (a.exp_error + a.u);
    for (const std::int64_t k : members) {
      const double z = l(k) - max, p = std::exp(z) / sum;
      const double of_e = a.exp_error + way + 2 * a.u * (std::fabs(z) + far);
      delta += p * (of_e + error(k));
      mean_error += p * error(k) * (1 + std::fabs(z - mean)) +
                    p * 2 * of_e * (std::fabs(z) + std::fabs(mean) + 2 * far);
    }
    const double lost = a.shared_shift && far > 0 ? 0x1p-34 : 0;  // flushed before it was shared
    delta += count * a.flush / sum + lost;
    mean_error += 128 * lost + 4 * a.u * (std::fabs(mean) + 2 * far);
    // Sums of differences, and what a rising shift moves them by: each at most count * |least|.
    plain_error = errors + (count + 2 * merges) * a.u * -least;
  }

  double softmax(double l) const { return std::exp(l - max) / sum; }
  // Relative error of a member's softmax from a similarity that was computed again.
  double softmax_error(double l, double error, const similarity_arithmetic& a) const {
    return delta + error + a.exp_error + 2 * a.u * (std::fabs(l - max) + far) + 6 * a.u;
  }
};

// A row of positives P and others o, as host/reference/self_similarity.hpp has it: the loss is
// softplus(lse_o - lse_P) + (lse_P - mean_P l), and the second term is exactly 0 for one positive.
struct contrast_bounds {
  set_bounds positives, others;
  double q = 0, q_error = 0;  // of the others; the error is relative
  double loss = 0, loss_error = 0;
  double scale = 0, scale_error = 0;

  contrast_bounds(const set_bounds& of_positives, const set_bounds& of_others,
                  const similarity_arithmetic& a)
      : positives(of_positives), others(of_others) {
    if (!counts()) return;
    const set_bounds &s = positives, &o = others;
    const double u = a.u, tail = single() ? 0 : s.log_sum - s.plain;
    double tail_error = 0, mean = 0, mean_error = 0;  // the scale's gradient without the others
    if (!single()) {
      tail_error = s.delta + s.plain_error + a.library * s.log_sum +
                   4 * u * (std::fabs(s.log_sum) + std::fabs(s.plain));
      mean = s.mean - s.plain;
      mean_error = s.mean_error + s.plain_error + 4 * u * (std::fabs(s.mean) + std::fabs(s.plain));
    }
    loss = tail;
    loss_error = tail_error + u * tail;
    scale = mean;
    scale_error = mean_error;
    if (o.count == 0) return;
    const double above = s.max - o.max, d = above + s.log_sum - o.log_sum;
    const double d_error = s.delta + o.delta + 3 * u * (std::fabs(above) + o.far + s.far) +
                           (a.library + u) * (std::fabs(o.log_sum) + o.far + s.log_sum) +
                           2 * u * std::fabs(d);
    const double e = std::exp(-std::fabs(d)), p = (d >= 0 ? 1 : e) / (1 + e);
    q = (d >= 0 ? e : 1) / (1 + e);
    q_error = p * (d_error + a.library) + a.library + 4 * u;
    const double soft = std::max(-d, 0.0) + std::log1p(e);
    loss += soft;
    loss_error += q * d_error + (std::min(p, q) + std::log1p(e)) * a.library + u * (soft + loss) +
                  2 * a.flush;
    const double gap = o.mean - above - s.mean;
    scale += q * gap;
    scale_error +=
        q * (o.mean_error + s.mean_error + s.delta +
             4 * u * (std::fabs(o.mean) + std::fabs(above) + std::fabs(s.mean) + 2 * o.far)) +
        q * std::fabs(gap) * (q_error + 4 * u) + 4 * u * std::fabs(scale) + 2 * a.flush;
  }

  bool counts() const { return positives.count > 0; }
  bool single() const { return positives.count == 1; }

  // |dloss / dl| of a similarity l with this error, and its own error.
  struct part {
    double size, error;
  };
  part other(double l, double error, const similarity_arithmetic& a) const {
    const double p = q * others.softmax(l);
    return {p, p * (q_error + others.softmax_error(l, error, a)) + a.flush};
  }
  part positive(double l, double error, const similarity_arithmetic& a) const {
    if (single()) return {q, q * (q_error + 6 * a.u) + a.flush};
    const double share = 1 / positives.count, pi = positives.softmax(l);
    const double of_pi = pi * positives.softmax_error(l, error, a) + a.flush;
    return {std::fabs((pi - share) - q * pi),
            of_pi * (1 + q) + q * pi * (q_error + 2 * a.u) + 3 * a.u * (pi + share)};
  }
};

}  // namespace culoss_test
