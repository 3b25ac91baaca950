// Rows of logits in memory, whichever dimension is innermost, and outputs that may not be wanted.
#pragma once

#include <span>

#include "host/reference/scalar_types.hpp"

namespace culoss::reference {

// Element j of a row is data[first + j * stride].
struct row_place {
  std::int64_t first, stride, size;
};

template <class T>
row_place place_of(const matrix<T>& m, std::int64_t row) noexcept {
  return {row * m.ld, 1, m.cols};
}

template <class T>
row_place place_of(const strided_logits<T>& s, std::int64_t row) noexcept {
  return {row / s.inner * s.classes * s.inner + row % s.inner, s.inner, s.classes};
}

template <class View>
void load_row(const View& v, std::int64_t row, std::span<double> to) noexcept {
  const row_place at = place_of(v, row);
  for (std::int64_t j = 0; j < at.size; ++j) {
    to[static_cast<std::size_t>(j)] = load(v.data, at.first + j * at.stride);
  }
}

template <class View>
void store_row(const View& v, std::int64_t row, std::span<const double> from) noexcept {
  const row_place at = place_of(v, row);
  for (std::int64_t j = 0; j < at.size; ++j) {
    store(v.data, at.first + j * at.stride, from[static_cast<std::size_t>(j)]);
  }
}

template <class View>
void fill_row(const View& v, std::int64_t row, double value) noexcept {
  const row_place at = place_of(v, row);
  for (std::int64_t j = 0; j < at.size; ++j) store(v.data, at.first + j * at.stride, value);
}

// Nothing where the output is not wanted.
template <class T, class Value>
void write(const vector<T>& out, std::int64_t i, const Value& value) noexcept {
  if (!out.empty()) out.data[i] = static_cast<T>(value);
}

}  // namespace culoss::reference
