// One call of a loss with labels on the CPU, with everything that it returns. Rows are given as
// doubles that the type holds exactly, and come back as doubles.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <culoss/culoss.hpp>
#include <limits>
#include <type_traits>
#include <vector>

#include "tests/harness/element.hpp"

namespace culoss_test {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using rows_of_logits = std::vector<std::vector<double>>;

// A matrix of T in host memory; `padding` elements behind each row hold 7.
template <class T>
class host_matrix {
 public:
  host_matrix(std::int64_t rows, std::int64_t cols, std::int64_t padding = 0)
      : rows_(rows), cols_(cols), ld_(cols + padding) {
    data_.assign(static_cast<std::size_t>(rows * ld_ + 1), encode<T>(7));
  }
  host_matrix(const rows_of_logits& rows, std::int64_t cols, std::int64_t padding = 0)
      : host_matrix(static_cast<std::int64_t>(rows.size()), cols, padding) {
    for (std::int64_t i = 0; i < rows_; ++i) {
      for (std::int64_t j = 0; j < cols_; ++j) {
        data_[index(i, j)] =
            encode<T>(rows[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)]);
      }
    }
  }

  culoss::matrix<T> view() { return {reinterpret_cast<T*>(data_.data()), rows_, cols_, ld_}; }
  double at(std::int64_t i, std::int64_t j) const { return decode<T>(data_[index(i, j)]); }
  std::vector<double> row(std::int64_t i) const {
    std::vector<double> values;
    for (std::int64_t j = 0; j < cols_; ++j) values.push_back(at(i, j));
    return values;
  }
  const std::vector<storage_of<T>>& storage() const { return data_; }

 private:
  std::size_t index(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(i * ld_ + j);
  }
  std::int64_t rows_, cols_, ld_;
  std::vector<storage_of<T>> data_;
};

inline std::int64_t width(const rows_of_logits& logits) {
  return logits.empty() ? 3 : static_cast<std::int64_t>(logits.front().size());
}

// The separate backward must agree: to the bit where the statistics are doubles.
template <class T>
void expect_same_gradient(const host_matrix<T>& fused, const host_matrix<T>& separate,
                          std::int64_t rows, std::int64_t cols) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const double a = fused.at(i, j), b = separate.at(i, j);
      if (std::isnan(a) || std::isnan(b) || a == 0 || b == 0) {
        EXPECT_EQ(std::isnan(a), std::isnan(b)) << "row " << i << " column " << j;
      }
      if constexpr (std::is_same_v<T, double>) {
        EXPECT_TRUE(a == b || std::isnan(a)) << "row " << i << " column " << j;
      }
    }
  }
}

template <class T>
struct cross_entropy_call {
  using real = culoss::real_of<T>;

  template <class Label>
  cross_entropy_call(const rows_of_logits& logits, const std::vector<Label>& labels,
                     const culoss::cross_entropy_options& options = {}, culoss::cpu where = {})
      : cross_entropy_call(host_matrix<T>(logits, width(logits)), labels, width(logits), options,
                           where) {}

  template <class Label>
  cross_entropy_call(host_matrix<T> logits, const std::vector<Label>& labels, std::int64_t cols,
                     const culoss::cross_entropy_options& options, culoss::cpu where = {})
      : gradient(static_cast<std::int64_t>(labels.size()), cols), record() {
    const std::size_t rows = labels.size();
    const auto n = static_cast<std::int64_t>(rows);
    const bool none = options.reduction == culoss::reduction::none;
    loss.assign(none ? rows : 1, real{7});
    if (options.z_loss > 0) z_loss = loss;
    lse.assign(rows, real{7});
    entropy = lse;
    statistics.assign(rows, {7, 7, 7, 7});
    argmax.assign(rows, 7);
    where.faults = &record;
    const culoss::vector<const Label> label_view(labels.data(), n);
    culoss::cross_entropy_outputs<T> outputs = {.loss = {loss.data(), none ? n : 1},
                                                .grad_logits = gradient.view(),
                                                .lse = {lse.data(), n},
                                                .statistics = {statistics.data(), n},
                                                .argmax = {argmax.data(), n},
                                                .correct = {&correct, 1},
                                                .rows_counted = {&rows_counted, 1},
                                                .entropy = {entropy.data(), n}};
    if (options.z_loss > 0) outputs.z_loss = {z_loss.data(), none ? n : 1};
    status = culoss::cross_entropy(where, logits.view(), label_view, outputs, options);
    EXPECT_TRUE(status.ok()) << status.message();
    host_matrix<T> separate(n, cols);
    culoss::fault_record ignored = {};
    where.faults = &ignored;
    const auto saved = culoss::vector<const culoss::row_statistics<real>>(statistics.data(), n);
    const culoss::status backward = culoss::cross_entropy_backward(
        where, logits.view(), label_view, saved, {.grad_logits = separate.view()}, options);
    EXPECT_TRUE(backward.ok()) << backward.message();
    EXPECT_EQ(ignored.count, record.count);
    expect_same_gradient(gradient, separate, n, cols);
  }

  culoss::faults faults() const {
    culoss::faults decoded;
    EXPECT_TRUE(culoss::read_faults(culoss::cpu{}, &record, &decoded).ok());
    return decoded;
  }

  culoss::status status;
  std::vector<real> loss, lse, entropy, z_loss;  // z_loss: where the option is given
  host_matrix<T> gradient;
  std::vector<culoss::row_statistics<real>> statistics;
  std::vector<std::int64_t> argmax;
  std::int64_t correct = 7, rows_counted = 7;
  culoss::fault_record record;
};

}  // namespace culoss_test
