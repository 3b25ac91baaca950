// Rows of embeddings: how the similarities see them, their gradients, and their way in and out.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <culoss/core.hpp>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

// sum_d a_d b_d. Several sums side by side, as one alone would wait for each of its additions.
template <class S>
S dot(std::span<const S> a, std::span<const S> b) noexcept {
  constexpr std::size_t kSums = 8;
  std::array<S, kSums> sums = {};
  std::size_t d = 0;
  for (; d + kSums <= a.size(); d += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += a[d + k] * b[d + k];
  }
  for (; d < a.size(); ++d) sums[d % kSums] += a[d] * b[d];
  S sum = 0;
  for (const S& s : sums) sum += s;
  return sum;
}

// The rows x_i of a matrix as the similarities see them: x_i / |x_i| with `normalize`, where a zero
// vector stays zero. A vector that is not finite is NaN throughout, so that all its similarities
// are: a product with an infinity alone could also be -inf, which means masked.
template <class S>
class embeddings {
 public:
  embeddings(std::vector<S> values, std::size_t dimension, bool normalize)
      : values_(std::move(values)), dimension_(dimension), normalized_(normalize) {
    inverse_norms_.assign(size(), S(1));
    for (std::size_t i = 0; i < size(); ++i) prepare({&values_[i * dimension], dimension}, i);
  }

  std::size_t size() const noexcept { return values_.size() / dimension_; }
  std::size_t dimension() const noexcept { return dimension_; }
  bool normalized() const noexcept { return normalized_; }
  bool all_finite() const noexcept { return all_finite_; }
  std::span<const S> operator[](std::size_t i) const noexcept {
    return {&values_[i * dimension_], dimension_};
  }
  // 1 / |x_i|, 0 for a zero vector, and 1 where nothing is normalized.
  S inverse_norm(std::size_t i) const noexcept { return inverse_norms_[i]; }

 private:
  void prepare(std::span<S> x, std::size_t i) noexcept {
    real_part_of<S> largest = 0;
    bool finite = true;
    for (const S& v : x) {
      finite = finite && std::isfinite(std::real(v));
      largest = std::max(largest, std::abs(std::real(v)));
    }
    if (!finite) {
      std::ranges::fill(x, S(std::numeric_limits<real_part_of<S>>::quiet_NaN()));
      all_finite_ = false;
    }
    if (!normalized_) return;
    inverse_norms_[i] = S(0);
    if (finite && largest == 0) return;
    for (S& v : x) v /= largest;  // now no square overflows, and not all of them underflow
    const S norm = std::sqrt(dot<S>(x, x));
    for (S& v : x) v /= norm;
    inverse_norms_[i] = S(1) / norm / largest;
  }

  std::vector<S> values_;
  std::vector<S> inverse_norms_;
  std::size_t dimension_;
  bool normalized_;
  bool all_finite_ = true;
};

// dx_i from V = sum_j dl_ij y_j, the gradient by the vector that stands in the similarities:
// scale V, or scale (V - <V, x> x) / |x_i| with x = x_i / |x_i|.
inline void embedding_gradient(const embeddings<double>& x, std::size_t i, double scale,
                               std::span<double> v) noexcept {
  const double along = x.normalized() ? dot<double>(v, x[i]) : 0.0;
  for (std::size_t d = 0; d < v.size(); ++d) {
    const double across = x.normalized() ? v[d] - along * x[i][d] : v[d];
    v[d] = scale * x.inverse_norm(i) * across;
  }
}

template <class T>
void append(std::vector<double>& to, const matrix<const T>& m) {
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t d = 0; d < m.cols; ++d) to.push_back(load(m.data, i * m.ld + d));
  }
}

// The rows of m, then those of `more`.
template <class T>
embeddings<double> load_embeddings(const matrix<const T>& m, const matrix<const T>& more,
                                   bool normalize) {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>((m.rows + more.rows) * m.cols));
  append(values, m);
  append(values, more);
  return {std::move(values), static_cast<std::size_t>(m.cols), normalize};
}

template <class U>
void write_row(U* to, std::span<const double> from, bool accumulate) noexcept {
  for (std::size_t d = 0; d < from.size(); ++d) {
    const auto index = static_cast<std::int64_t>(d);
    store(to, index, accumulate ? load(to, index) + from[d] : from[d]);
  }
}

template <class T>
void write_row(const gradient_matrix<T>& m, std::int64_t row, std::span<const double> from,
               bool accumulate) noexcept {
  if (m.wide) {
    write_row(static_cast<float*>(m.data) + row * m.ld, from, accumulate);
  } else if constexpr (is_16_bit<T>) {  // may be incomplete: no arithmetic on its pointers
    write_row(reinterpret_cast<T*>(static_cast<std::uint16_t*>(m.data) + row * m.ld), from, false);
  } else {
    write_row(static_cast<T*>(m.data) + row * m.ld, from, accumulate);
  }
}

template <class T>
void fill_gradient(const gradient_matrix<T>& out, double value, bool accumulate) {
  if (out.rows == 0) return;  // of any width, for which there need not be memory
  const std::vector<double> row(static_cast<std::size_t>(out.cols), value);
  for (std::int64_t i = 0; i < out.rows; ++i) write_row(out, i, row, accumulate);
}

}  // namespace culoss::reference
