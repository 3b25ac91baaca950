// How far the results of a loss over similarities may be from the exact ones: bounds of each
// element's error, from the data. First order in u, as in bounds.hpp.
//
//   l_ij       a product of D terms: 2 D u sum_d |q_id k_jd| (tensor cores truncate), times scale
//              and norms, and the roundings of those factors: 9 u |l_ij|
//   a softmax  the errors of l pass through it; those of exponentials and sums as in bounds.hpp
//   G_ij       dl_ij / (|q_i| |k_j|): the errors of p, and the one rounding to the type of the tile
//   dq_i       sum_j G_ij k_j: each |k_j| times the error of G_ij, and 2 n u for the product's sum;
//              the projection of `normalize` passes them on; one rounding to the output's type
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/harness/element.hpp"
#include "tests/harness/space.hpp"

namespace culoss_test {

struct similarity_arithmetic {
  double u;
  double exp_error;   // ex2.approx.ftz: 2^-22
  double library;     // expf, logf, log1pf
  double flush;       // an exponential below this may become 0
  double tile;        // rounding of G, relative ...
  double tile_least;  // ... and absolute, of the largest |G| of its row's and column's norms
  double slice;       // columns of the longest run that one thread reduces
  bool shared_shift;  // columns share the rows' exponentials
  double kept = 0;    // of a gradient from kept exponentials but the positive's: their rounding ...
  double lost = 0;    // ... and what of p may be lost to their range, of 1 - p_t
};

// What the plan `kept` adds: E is rounded to 11 bits for half, to 9 for bf16, and multiplied by a
// second exponential, whose argument may lie as far above 0 as E's own lies below. What is rounded to
// 0 lies that many bits below its row's maximum, or so many below its column's.
inline similarity_arithmetic with_kept(similarity_arithmetic a, element type, bool column) {
  const bool half = type == element::float16;
  const double range = half ? 62 : 126, negligible = half ? 38 : 60;
  a.kept = (half ? 0x1p-11 : 0x1p-9) + a.exp_error + 2 * a.u * (1 + 2 * range * std::log(2.0));
  a.lost = std::exp2(-(column ? negligible : range));
  return a;
}

inline similarity_arithmetic similarity_arithmetic_of(space where, element type) {
  if (where == space::cpu) return {0x1p-53, 0x1p-52, 0x1p-52, 0x1p-1022, 0, 0, 1, false};
  const format& f = format_of(type);
  // A half tile is lifted by 2^14, so that its smallest subnormal is 2^-38 of the largest.
  const double least = f.smallest_subnormal() / (type == element::float16 ? 0x1p14 : 1);
  return {0x1p-24, 0x1p-22, 0x1p-23, 0x1p-126, f.unit_roundoff(), least, 256, true};
}

// One row's softmax of the others and its target, or a column's: values and errors.
struct side_bounds {
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  double loss = 0, loss_error = 0;
  double scale = 0, scale_error = 0;  // sum_j p_j l_j - l_t
  double q = 0, q_error = 0;          // 1 - p_t; the error is relative
  double delta = 0;                   // relative error of the sum
  double far = 0;                     // how far above the maximum the shift may lie
  bool ambiguous = false;             // whether the target is the largest is within the errors

  // l(k), error(k) of the k-th, absent(k) where it does not take part; the target's apart, whose
  // similarity stands `margin` above its l.
  template <class L, class E, class Absent>
  side_bounds(std::int64_t count, std::int64_t target, const L& l, const E& error,
              const Absent& absent, double highest, const similarity_arithmetic& a,
              double margin = 0) {
    const auto others = [&](const auto& visit) {
      for (std::int64_t k = 0; k < count; ++k) {
        if (k != target && !absent(k)) visit(k);
      }
    };
    others([&](std::int64_t k) { max = std::max(max, l(k)); });
    if (std::isinf(max)) return;  // none: loss 0, gradient 0
    if (a.shared_shift) far = std::min(90 * std::log(2.0), highest - max);
    // Each merge of two states rounds the sum and multiplies it by an exponential.
    const double merges = static_cast<double>(count) / a.slice + 16;
    const double way = (8 + merges) * a.u + merges * (a.exp_error + a.u);
    double mean = 0, spread = 0, through_sum = 0;
    others([&](std::int64_t k) { sum += std::exp(l(k) - max); });
    others([&](std::int64_t k) { mean += pi(l(k)) * (l(k) - max); });
    others([&](std::int64_t k) {
      const double z = l(k) - max, p = pi(l(k));
      const double of_e = a.exp_error + way + 2 * a.u * (std::fabs(z) + far);
      delta += p * (of_e + error(k));
      through_sum += p * error(k) * (1 + std::fabs(z - mean));
      spread += p * 2 * of_e * (std::fabs(z) + std::fabs(mean) + 2 * far);
      ambiguous = ambiguous || std::fabs(l(k) - l(target) - margin) <= error(k) + error(target);
    });
    const double lost = a.shared_shift && far > 0 ? 0x1p-34 : 0;  // flushed before they were shared
    delta += static_cast<double>(count) * a.flush / sum + lost;
    const double above = l(target) - max, log_sum = std::log(sum), d = above - log_sum;
    const double d_error = error(target) + delta + 3 * a.u * (std::fabs(above) + far) +
                           (a.library + a.u) * (std::fabs(log_sum) + far) + a.u * std::fabs(d);
    const double e = std::exp(-std::fabs(d)), p = (d >= 0 ? 1 : e) / (1 + e);
    q = (d >= 0 ? e : 1) / (1 + e);
    q_error = p * (d_error + a.library) + a.library + 4 * a.u;
    loss = std::max(-d, 0.0) + std::log1p(e);
    loss_error =
        q * d_error + (std::min(p, q) + std::log1p(e)) * a.library + a.u * loss + 2 * a.flush;
    scale = q * (mean - above);
    scale_error = q * (through_sum + spread + 128 * lost + error(target) +
                       4 * a.u * (std::fabs(mean) + std::fabs(above) + 2 * far)) +
                  std::fabs(scale) * (q_error + 4 * a.u) + 2 * a.flush;
  }

  double pi(double l) const { return std::exp(l - max) / sum; }
  double p(double l) const { return q * pi(l); }
  // Error of p_j from a similarity that was computed again, or from an exponential that was kept.
  double p_error(double l, double error, const similarity_arithmetic& a) const {
    return p(l) * (q_error + delta + error + a.exp_error + 2 * a.u * (std::fabs(l - max) + far) +
                   6 * a.u + a.kept) +
           a.flush + q * a.lost;
  }
};

// The rows x of a matrix [count, dimension], their norms' inverses (1 where nothing is normalized).
struct embedding_rows {
  const double* x;
  std::int64_t count, dimension;
  std::vector<double> inverse_norms;
  bool normalized;
  double largest = 1;  // not below any inverse norm, within a factor of two

  embedding_rows(const std::vector<double>& values, std::int64_t n, std::int64_t d, bool normalize)
      : x(values.data()),
        count(n),
        dimension(d),
        inverse_norms(static_cast<std::size_t>(n), 1.0),
        normalized(normalize) {
    if (!normalize) return;
    largest = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < d; ++k) sum += row(i)[k] * row(i)[k];
      const double r = sum == 0 ? 0 : 1 / std::sqrt(sum);
      inverse_norms[static_cast<std::size_t>(i)] = r;
      largest = std::max(largest, 2 * r);
    }
  }
  const double* row(std::int64_t i) const { return x + i * dimension; }
  double r(std::int64_t i) const { return inverse_norms[static_cast<std::size_t>(i)]; }
};

// S and the error of each of its elements.
struct similarity_matrix {
  std::int64_t rows, cols;
  std::vector<double> l, error;

  // Behind the columns of k those of each row's own.
  similarity_matrix(const embedding_rows& q, const embedding_rows& k, double scale,
                    const similarity_arithmetic& a, const embedding_rows* own = nullptr)
      : rows(q.count),
        cols(k.count + (own != nullptr && rows > 0 ? own->count / rows : 0)),
        l(static_cast<std::size_t>(rows * cols)),
        error(l.size()) {
    const std::int64_t dimension = q.dimension, shared = k.count;
    std::vector<double> transposed(static_cast<std::size_t>(shared * dimension));
    for (std::int64_t j = 0; j < shared; ++j) {
      for (std::int64_t d = 0; d < dimension; ++d) {
        transposed[static_cast<std::size_t>(d * shared + j)] = k.row(j)[d];
      }
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      double *const s = l.data() + i * cols, *const size = error.data() + i * cols;
      for (std::int64_t d = 0; d < dimension; ++d) {
        const double x = q.row(i)[d];
        const double* const y = transposed.data() + d * shared;
        for (std::int64_t j = 0; j < shared; ++j) s[j] += x * y[j];
        for (std::int64_t j = 0; j < shared; ++j) size[j] += std::fabs(x * y[j]);
      }
      for (std::int64_t j = shared; j < cols; ++j) {
        const double* const y = own->row(i * (cols - shared) + j - shared);
        for (std::int64_t d = 0; d < dimension; ++d) {
          s[j] += q.row(i)[d] * y[d];
          size[j] += std::fabs(q.row(i)[d] * y[d]);
        }
      }
      for (std::int64_t j = 0; j < cols; ++j) {
        const double r = j < shared ? k.r(j) : own->r(i * (cols - shared) + j - shared);
        const double by = scale * q.r(i) * r;
        s[j] *= by;
        size[j] = 2 * static_cast<double>(dimension) * a.u * size[j] * std::fabs(by) +
                  9 * a.u * std::fabs(s[j]);
      }
    }
  }
  std::size_t at(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(i * cols + j);
  }
};

// Error of dx = scale (U - <U, x> x / |x|^2), from the error of each element of U; without the
// rounding to the output.
inline void project_error(const embedding_rows& x, double scale, std::vector<double>& error) {
  for (std::int64_t i = 0; i < x.count; ++i) {
    double* const e = error.data() + i * x.dimension;
    double along = 0;
    const double r = x.normalized ? x.r(i) : 0;
    for (std::int64_t d = 0; d < x.dimension; ++d) along += e[d] * std::fabs(x.row(i)[d]);
    for (std::int64_t d = 0; d < x.dimension; ++d) {
      e[d] = std::fabs(scale) * (e[d] + along * r * r * std::fabs(x.row(i)[d]));
    }
  }
}

}  // namespace culoss_test
