// Rows of logits with a label each, on the CPU: what cross_entropy and softmax_focal report alike.
#pragma once

#include <vector>

#include "host/reference/batch.hpp"
#include "host/reference/cross_entropy.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss::reference {

// A row without a class has zeros, a bad label NaN.
struct labeled_row {
  bool labeled = false;
  double lse = 0;
  row_statistics<double> statistics = {};
  std::int64_t argmax = -1;
};

// Row i, which load(x) reads into x if it is labeled.
template <class Load>
labeled_row read_row(std::int64_t i, const row_labels& labels, const row_options& options,
                     std::span<double> x, const Load& load) noexcept {
  constexpr row_statistics<double> kNone = {kNan, kNan, kNan, kNan};
  const row_kind kind = labels.kind(i);
  if (kind == row_kind::ignored) return {};
  if (kind == row_kind::bad_label) return {.lse = kNan, .statistics = kNone};
  load(x);
  labeled_row row = {.labeled = true};
  row.statistics = statistics_of_row<double>(x, labels.target(i), options);
  row.lse = log_sum_exp(row.statistics, options);
  // Nothing of a row that has no softmax is a number, whichever column it is due to.
  if (std::isnan(row.lse)) row.statistics = kNone;
  row.argmax = static_cast<std::int64_t>(index_of_largest<double>(x));
  return row;
}
template <class Logits>
labeled_row read_row(const Logits& logits, std::int64_t i, const row_labels& labels,
                     const row_options& options, std::span<double> x) noexcept {
  return read_row(i, labels, options, x, [&](std::span<double> to) { load_row(logits, i, to); });
}

template <class Real>
row_statistics<Real> rounded(const row_statistics<double>& s) noexcept {
  return {static_cast<Real>(s.max), static_cast<Real>(s.log_sum), static_cast<Real>(s.target),
          static_cast<Real>(s.weight)};
}
template <class Real>
row_statistics<double> widened(const row_statistics<Real>& s) noexcept {
  return {s.max, s.log_sum, s.target, s.weight};
}

inline std::int64_t count_correct(const row_labels& labels,
                                  const std::vector<std::int64_t>& argmax) noexcept {
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < labels.rows(); ++i) {
    const bool hit = labels.label(i) == argmax[static_cast<std::size_t>(i)];
    correct += hit && labels.kind(i) == row_kind::labeled ? 1 : 0;
  }
  return correct;
}

}  // namespace culoss::reference
