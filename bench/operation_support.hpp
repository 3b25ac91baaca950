// What the operations of the sweep share: addresses, calls on either device, the comparison of a
// row with its reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "bench/operation.hpp"
#include "tests/harness/bounds.hpp"
#include "tests/harness/comparator.hpp"

namespace culoss::bench {

inline void expect_ok(const status& s) {
  if (!s.ok()) throw std::runtime_error(s.message());
}

// Calls f(where) for the device's own kind; double runs on the CPU only.
template <class T, class F>
void call_on(const std::variant<cpu, cuda>& where, const F& f) {
  if constexpr (std::is_same_v<T, double>) {
    expect_ok(f(std::get<cpu>(where)));
  } else {
    expect_ok(std::visit(f, where));
  }
}

// Rows to check: the first, the last and some between, all where they are few or narrow.
inline std::vector<std::int64_t> sampled_rows(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kElements = std::int64_t{1} << 17;
  const std::int64_t count = std::min(rows, std::max<std::int64_t>(4, kElements / cols));
  std::vector<std::int64_t> sampled;
  for (std::int64_t i = 0; i < count; ++i) {
    sampled.push_back(count == 1 ? 0 : i * (rows - 1) / (count - 1));
  }
  return sampled;
}

// The buffers of one sweep row: set c of region r begins at c * stride elements.
template <class T>
class matrix_sets {
 public:
  using storage = culoss_test::storage_of<T>;

  matrix_sets(const sweep_row& row, data_pool& pool)
      : pool_(pool),
        rows_(row.rows),
        cols_(row.cols),
        stride_((row.rows * row.cols + kAlignment - 1) / kAlignment * kAlignment) {}

  matrix<T> set(int region, int copy) const {
    return {reinterpret_cast<T*>(storage_at(region, copy)), rows_, cols_};
  }
  void poison(int region, int copy) const {  // every element becomes a NaN
    pool_.on().fill(storage_at(region, copy), 0xff,
                    static_cast<std::size_t>(rows_ * cols_) * sizeof(storage));
  }
  // Row i of set 0, as doubles.
  std::vector<double> input_row(std::int64_t i) const {  // of region 0, without a download
    std::vector<double> values;
    for (std::int64_t j = 0; j < cols_; ++j) {
      values.push_back(pool_.value(static_cast<std::size_t>(i * cols_ + j)));
    }
    return values;
  }
  std::vector<double> download_row(int region, std::int64_t i) const {
    std::vector<storage> bits(static_cast<std::size_t>(cols_));
    pool_.on().download(bits.data(), storage_at(region, 0) + i * cols_,
                        bits.size() * sizeof(storage));
    std::vector<double> values;
    for (const storage b : bits) values.push_back(culoss_test::decode<T>(b));
    return values;
  }

 private:
  static constexpr std::int64_t kAlignment = 256 / sizeof(storage);
  storage* storage_at(int region, int copy) const {
    return static_cast<storage*>(pool_.region(region)) + copy * stride_;
  }

  data_pool& pool_;
  std::int64_t rows_, cols_, stride_;
};

// Collects the worst error over its bound.
class checker {
 public:
  void compare(const char* output, double actual, double expected, double bound) {
    const double ratio =
        culoss_test::error_ratio(actual, expected, bound, std::numeric_limits<double>::infinity());
    if (ratio > result_.worst || result_.where.empty()) {
      result_.worst = ratio;
      result_.where = output;
    }
  }
  void count_row() { ++result_.rows_checked; }
  void describe(std::string how) { result_.how = std::move(how); }
  const check_result& result() const { return result_; }

 private:
  check_result result_;
};

std::unique_ptr<operation> make_cross_entropy(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_similarity(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_softmax(const sweep_row& row, data_pool& pool);

}  // namespace culoss::bench
