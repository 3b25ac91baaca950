// Arrays of the execution space with their element type, filled from doubles and read as doubles.
#pragma once

#include <cstdint>
#include <culoss/core.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/harness/memory.hpp"

namespace culoss_test {

// Element (i, j) stands at i * (cols + padding) + j, the first one `offset` elements behind a
// 256-byte boundary.
template <class T>
class array {
 public:
  array() = default;
  array(space where, std::int64_t rows, std::int64_t cols, std::int64_t padding,
        std::int64_t offset)
      : rows_(rows),
        cols_(cols),
        ld_(cols + padding),
        memory_(where, {.rows = static_cast<std::size_t>(rows),
                        .row_bytes = static_cast<std::size_t>(cols) * kBytes,
                        .pitch = static_cast<std::size_t>(cols + padding) * kBytes,
                        .offset = static_cast<std::size_t>(offset) * kBytes}) {}
  // A vector: one row, so that nothing stands between its elements.
  array(space where, std::int64_t size, std::int64_t offset) : array(where, 1, size, 0, offset) {}

  T* data() const { return static_cast<T*>(memory_.data()); }
  culoss::matrix<T> as_matrix() const { return {data(), rows_, cols_, ld_}; }
  culoss::vector<T> as_vector() const { return {data(), cols_}; }
  std::size_t span_bytes() const { return memory_.span_bytes(); }
  std::int64_t size() const { return rows_ * cols_; }  // without padding
  bool given() const { return memory_.data() != nullptr; }

  void poison() {
    if (given()) memory_.poison();
  }
  template <class Number>
  void write(const std::vector<Number>& numbers) {
    std::vector<storage> encoded;
    encoded.reserve(numbers.size());
    for (const Number n : numbers) {
      if constexpr (std::is_integral_v<T>) {
        encoded.push_back(static_cast<T>(n));
      } else {
        encoded.push_back(encode<T>(static_cast<double>(n)));
      }
    }
    memory_.write(encoded.data());
  }
  // Appends what went wrong outside the elements to `damage`.
  std::vector<double> read(const char* name, std::string& damage) const {
    std::vector<storage> encoded(static_cast<std::size_t>(rows_ * cols_));
    report(name, memory_.read(encoded.data(), false), damage);
    std::vector<double> numbers;
    numbers.reserve(encoded.size());
    for (const storage n : encoded) {
      if constexpr (std::is_integral_v<T>) {
        numbers.push_back(static_cast<double>(n));
      } else {
        numbers.push_back(decode<T>(n));
      }
    }
    return numbers;
  }
  void check_unchanged(const char* name, std::string& damage) const {
    if (given()) report(name, memory_.read(nullptr, true), damage);
  }

 private:
  using storage = storage_of<T>;
  static constexpr std::size_t kBytes = sizeof(storage);

  static void report(const char* name, const std::string& what, std::string& damage) {
    if (!what.empty()) damage += std::string(damage.empty() ? "" : "; ") + name + ": " + what;
  }

  std::int64_t rows_ = 0, cols_ = 0, ld_ = 0;
  buffer memory_;
};

}  // namespace culoss_test
