// What the operations of the sweep share: calls on either device, the comparison of a number with
// its reference.
#pragma once

#include <limits>
#include <stdexcept>
#include <utility>

#include "bench/operation.hpp"
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

std::unique_ptr<operation> make_row_operation(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_own_negatives(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_similarity(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_linear(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_mining(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_self_similarity(const sweep_row& row, data_pool& pool);
std::unique_ptr<operation> make_siglip(const sweep_row& row, data_pool& pool);

}  // namespace culoss::bench
