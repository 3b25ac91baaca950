// A matrix of which the rows alone are in memory: however far they lie apart, it takes a few pages.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/harness/element.hpp"

namespace culoss_test {

// Between the rows there is no memory at all, so that going wrong crashes. Every page begins in the
// same way, so that the alignment of a row does not depend on the pitch.
template <class T>
class sparse_rows {
 public:
  sparse_rows(std::int64_t rows, std::int64_t cols, std::int64_t ld)
      : rows_(rows), cols_(cols), ld_(ld) {
    const std::int64_t element = sizeof(storage_of<T>);
    const auto bytes = static_cast<std::size_t>(rows * ld * element);
    void* const all =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) throw std::runtime_error("mmap failed");
    data_ = static_cast<storage_of<T>*>(all);
    bytes_ = bytes;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto begin = reinterpret_cast<std::uintptr_t>(data_ + i * ld);
      const auto end = reinterpret_cast<std::uintptr_t>(data_ + i * ld + cols);
      const std::uintptr_t first = begin / page * page;
      auto* const pages = reinterpret_cast<char*>(data_ + i * ld) - (begin - first);
      if (mprotect(pages, end - first, PROT_READ | PROT_WRITE) != 0) {
        throw std::runtime_error("mprotect failed");
      }
    }
  }
  sparse_rows(std::int64_t rows, std::int64_t cols, std::int64_t ld, std::int64_t seed)
      : sparse_rows(rows, cols, ld) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const auto number = static_cast<double>((i * 31 + j * 17 + seed * 7) % 53);
        data_[i * ld + j] = encode<T>(number / 16 - 1);
      }
    }
  }
  sparse_rows(const sparse_rows&) = delete;
  sparse_rows& operator=(const sparse_rows&) = delete;
  ~sparse_rows() { (void)munmap(data_, bytes_); }

  storage_of<T>* data() const { return data_; }
  operator culoss::matrix<T>() const { return {reinterpret_cast<T*>(data_), rows_, cols_, ld_}; }
  operator culoss::matrix<const T>() const { return culoss::matrix<T>(*this); }

  void append_to(std::vector<double>& values) const {
    for (std::int64_t i = 0; i < rows_; ++i) {
      for (std::int64_t j = 0; j < cols_; ++j) values.push_back(decode<T>(data_[i * ld_ + j]));
    }
  }

 private:
  std::int64_t rows_, cols_, ld_;
  storage_of<T>* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace culoss_test
