// What a call of cross-entropy must return: the CPU function in double, and the bound of each
// element.
#pragma once

#include <array>
#include <culoss/cross_entropy.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/harness/bounds.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss_test {

// The order in which results and expectations are listed.
enum cross_entropy_output : std::size_t {
  kLossOutput,
  kGradientOutput,
  kLseOutput,
  kStatisticsOutput,  // four values a row
  kArgmaxOutput,
  kCorrectOutput,
  kRowsCountedOutput,
};

// What is promised of the statistics of a row that is NaN is that its backward is NaN; which of the
// numbers carries it is not. All become NaN here.
inline std::vector<double> canonical_statistics(std::vector<double> four) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i + 3 < four.size(); i += 4) {
    const double max = four[i], log_sum = four[i + 1], target = four[i + 2];
    const bool nan = std::isnan(max) || std::isnan(log_sum) || std::isnan(target) || max == kInf ||
                     target == kInf || (max == -kInf && target == -kInf);
    if (nan) std::fill_n(four.begin() + static_cast<std::ptrdiff_t>(i), 4, std::nan(""));
  }
  return four;
}

// Every output, from the CPU function on the same numbers in double.
inline std::vector<output> exact_cross_entropy(const cross_entropy_choice& c, const problem& p) {
  const auto rows = static_cast<std::size_t>(p.rows);
  const std::size_t losses = c.reduction == culoss::reduction::none ? rows : 1;
  std::vector<double> loss(losses), gradient(p.x.size()), lse(rows);
  std::vector<culoss::row_statistics<double>> statistics(rows);
  std::vector<std::int64_t> argmax(rows), counts(2);
  const auto size = [](const auto& v) { return static_cast<std::int64_t>(v.size()); };

  culoss::cross_entropy_options o;
  o.reduction = c.reduction;
  o.label_smoothing = c.smoothing;
  o.ignore_index = c.ignore_index;
  o.temperature = p.temperature;
  if (c.class_weights) o.class_weights = {p.class_weights.data(), p.cols};
  if (c.row_weights) o.row_weights = {p.row_weights.data(), p.rows};
  if (c.normalizer_source != source::absent) o.normalizer = p.normalizer;
  if (c.upstream == source::rows) {
    o.upstream_rows = {p.upstream_rows.data(), p.rows};
  } else {
    o.upstream = p.upstream;
  }
  o.empty = c.empty;
  // 32-bit labels are a test of the call, not of the reference.
  const culoss::vector<const std::int64_t> labels(p.labels.data(), p.rows);
  const culoss::status s = culoss::cross_entropy(
      culoss::cpu{.threads = 1}, culoss::matrix<const double>(p.x.data(), p.rows, p.cols), labels,
      {.loss = {loss.data(), size(loss)},
       .grad_logits = {gradient.data(), p.rows, p.cols},
       .lse = {lse.data(), p.rows},
       .statistics = {statistics.data(), p.rows},
       .argmax = {argmax.data(), p.rows},
       .correct = {&counts[0], 1},
       .rows_counted = {&counts[1], 1}},
      o);
  if (!s.ok()) throw std::runtime_error(s.message());
  std::vector<double> four;
  for (const culoss::row_statistics<double>& r : statistics) {
    four.insert(four.end(), {r.max, r.log_sum, r.target, r.weight});
  }
  return {{"loss", loss},
          {"grad_logits", gradient},
          {"lse", lse},
          {"statistics", four},
          {"argmax", {argmax.begin(), argmax.end()}},
          {"correct", {static_cast<double>(counts[0])}},
          {"rows_counted", {static_cast<double>(counts[1])}}};
}

// The bounds beside those values. Scalars: the rows' bounds added up, as the rows are summed in
// double, and a few roundings of the result.
inline std::vector<expectation> bound_cross_entropy(const cross_entropy_choice& c, const problem& p,
                                                    space where) {
  std::vector<output> exact = exact_cross_entropy(c, p);
  exact[kStatisticsOutput].values = canonical_statistics(exact[kStatisticsOutput].values);
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e;
  for (const output& o : exact) {
    const std::size_t rows = static_cast<std::size_t>(p.rows);
    const bool whole = rows == 0 || o.values.size() % rows != 0;
    const std::size_t cols = whole ? 1 : std::max<std::size_t>(1, o.values.size() / rows);
    const bool integer = o.name == "argmax" || o.name == "correct" || o.name == "rows_counted";
    e.push_back({.name = o.name,
                 .cols = static_cast<std::int64_t>(cols),
                 .values = o.values,
                 .bounds = std::vector<double>(o.values.size(), 0.0)});
    if (!integer) e.back().largest = (o.name == "grad_logits" ? type : real).largest();
  }

  const bool none = c.reduction == culoss::reduction::none;
  double divisor = 0;
  for (const std::int64_t label : p.labels) {
    if (label == c.ignore_index) continue;
    const bool weighted = c.class_weights && label >= 0 && label < p.cols;
    divisor += weighted ? p.class_weights[static_cast<std::size_t>(label)] : 1.0f;
  }
  if (c.normalizer_source != source::absent) divisor = p.normalizer;
  if (none || (c.reduction == culoss::reduction::sum && c.normalizer_source == source::absent)) {
    divisor = 1;
  }

  double row_bounds = 0;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const std::int64_t label = p.labels[row];
    const bool bad = label < 0 || label >= p.cols;
    // Of what is NaN, nothing but that is demanded; an ignored row is 0 exactly.
    if (label == c.ignore_index || bad || std::isnan(exact[kLseOutput].values[row])) continue;
    const double row_weight = c.row_weights ? p.row_weights[row] : 1;
    const double upstream = c.upstream == source::rows ? p.upstream_rows[row] : p.upstream;
    const cross_entropy_factors factors{
        .smoothing = c.smoothing,
        .temperature = p.temperature,
        .class_weights = c.class_weights ? p.class_weights.data() : nullptr,
        .row_weight = row_weight,
        .gradient_scale = divisor == 0 ? 0 : upstream * row_weight / (p.temperature * divisor)};
    const cross_entropy_row bounds(p.row(i), p.cols, label, factors, a);
    const double loss = bounds.loss() / (none ? 1 : std::fabs(divisor));
    row_bounds += loss;
    if (none) e[kLossOutput].bounds[row] = loss + real.rounding(exact[kLossOutput].values[row]);
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const double value = exact[kGradientOutput].values[k];
      e[kGradientOutput].bounds[k] =
          divisor == 0 ? 0 : bounds.gradient(j) + (value == 0 ? 0 : type.rounding(value));
    }
    e[kLseOutput].bounds[row] = bounds.lse() + real.rounding(exact[kLseOutput].values[row]);
    const double* statistics = &exact[kStatisticsOutput].values[4 * row];
    double* statistics_bounds = &e[kStatisticsOutput].bounds[4 * row];
    statistics_bounds[1] = bounds.log_sum() + real.rounding(statistics[1]);
    statistics_bounds[3] =
        statistics[3] == 0 ? 0 : bounds.weight_sum() + real.rounding(statistics[3]);
  }
  if (!none && divisor != 0) {
    const double value = exact[kLossOutput].values[0];
    const bool nothing = p.rows == 0 || exact[kRowsCountedOutput].values[0] == 0;
    e[kLossOutput].bounds[0] =
        nothing ? 0 : row_bounds + 4 * a.u * std::fabs(value) + real.rounding(value);
  }
  return e;
}

// The outputs that a mode asks for, with their bounds.
inline std::vector<expectation> expect_cross_entropy(const cross_entropy_choice& c,
                                                     const problem& p, const execution& how) {
  std::vector<expectation> all = bound_cross_entropy(c, p, how.where);
  if (how.mode == mode::gradient || how.mode == mode::backward) return {all[kGradientOutput]};
  std::vector<expectation> wanted = {all[kLossOutput]};
  if (how.mode != mode::forward) wanted.push_back(all[kGradientOutput]);
  if (c.more_outputs) wanted.push_back(all[kLseOutput]);
  wanted.push_back(all[kStatisticsOutput]);
  if (c.more_outputs) {
    wanted.insert(wanted.end(), {all[kArgmaxOutput], all[kCorrectOutput], all[kRowsCountedOutput]});
  }
  return wanted;
}

}  // namespace culoss_test
