// Matrices and strided logits alike: how many rows and classes they have.
#pragma once

#include <cstdint>
#include <culoss/core.hpp>

namespace culoss_fuzz {

template <class T>
std::int64_t rows_of(const culoss::matrix<T>& m) {
  return m.rows;
}
// No shape at all where the number does not fit.
template <class T>
std::int64_t rows_of(const culoss::strided_logits<T>& s) {
  std::int64_t rows = 0;
  return __builtin_mul_overflow(s.n, s.inner, &rows) ? -1 : rows;
}

template <class T>
std::int64_t classes_of(const culoss::matrix<T>& m) {
  return m.cols;
}
template <class T>
std::int64_t classes_of(const culoss::strided_logits<T>& s) {
  return s.classes;
}

template <class T, class U>
bool same_shape(const culoss::matrix<T>& a, const culoss::matrix<U>& b) {
  return a.rows == b.rows && a.cols == b.cols;
}
template <class T, class U>
bool same_shape(const culoss::strided_logits<T>& a, const culoss::strided_logits<U>& b) {
  return a.n == b.n && a.classes == b.classes && a.inner == b.inner;
}

}  // namespace culoss_fuzz
