// What a call of cross-entropy must return: the CPU function in double, and the bound of each
// element.
#pragma once

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
  kZLossOutput,
  kEntropyOutput,
};

template <class Statistics>
std::vector<double> flat_statistics(const std::vector<Statistics>& rows) {
  std::vector<double> four;
  for (const Statistics& r : rows) {
    four.insert(four.end(), {r.max, r.log_sum, r.target, r.weight});
  }
  return four;
}

// Every output, from the CPU function on the same numbers in double. How the logits lie in memory
// and the width of labels are tests of the call, not of the reference.
inline std::vector<output> exact_cross_entropy(const cross_entropy_choice& c, const problem& p) {
  const auto rows = static_cast<std::size_t>(p.rows);
  const std::size_t losses = c.none() ? rows : 1;
  std::vector<double> loss(losses), gradient(p.x.size()), lse(rows), z_loss(losses), entropy(rows);
  std::vector<culoss::row_statistics<double>> statistics(rows);
  std::vector<std::int64_t> argmax(rows), counts(2);
  const auto size = [](const auto& v) { return static_cast<std::int64_t>(v.size()); };

  const culoss::vector<const std::int64_t> labels(p.labels.data(), p.rows);
  culoss::cross_entropy_outputs<double> outputs{.loss = {loss.data(), size(loss)},
                                                .grad_logits = {gradient.data(), p.rows, p.cols},
                                                .lse = {lse.data(), p.rows},
                                                .statistics = {statistics.data(), p.rows},
                                                .argmax = {argmax.data(), p.rows},
                                                .correct = {&counts[0], 1},
                                                .rows_counted = {&counts[1], 1},
                                                .z_loss = {},
                                                .entropy = {entropy.data(), p.rows}};
  if (c.z_loss != 0) outputs.z_loss = {z_loss.data(), size(z_loss)};
  const culoss::status s = culoss::cross_entropy(
      culoss::cpu{.threads = 1}, culoss::matrix<const double>(p.x.data(), p.rows, p.cols), labels,
      outputs, c.reference_options(p));
  if (!s.ok()) throw std::runtime_error(s.message());
  return {{"loss", loss},
          {"grad_logits", gradient},
          {"lse", lse},
          {"statistics", flat_statistics(statistics)},
          {"argmax", {argmax.begin(), argmax.end()}},
          {"correct", {static_cast<double>(counts[0])}},
          {"rows_counted", {static_cast<double>(counts[1])}},
          {"z_loss", z_loss},
          {"entropy", entropy}};
}

// The sum of the class weights of the rows that count; a bad label counts 1.
inline double counted_weight(const row_choice& c, const problem& p) {
  double sum = 0;
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    if (!c.counts(p, i)) continue;
    const bool weighted = c.class_weights && !c.bad(p, i);
    sum += weighted ? p.class_weights[static_cast<std::size_t>(p.labels[i])] : 1.0f;
  }
  return sum;
}

// The bounds of a row's statistics.
template <class Row>
void bound_statistics(const Row& bounds, expectation& statistics, std::size_t row,
                      const format& real) {
  const double* value = &statistics.values[4 * row];
  double* bound = &statistics.bounds[4 * row];
  bound[0] = bounds.max() == 0 ? 0 : bounds.max() + real.rounding(value[0]);
  bound[1] = bounds.log_sum() + real.rounding(value[1]);
  if constexpr (requires { bounds.target_error(); }) {
    bound[2] = bounds.target_error() == 0 ? 0 : bounds.target_error() + real.rounding(value[2]);
  }
  bound[3] =
      value[3] == 0 && bounds.weight_sum() == 0 ? 0 : bounds.weight_sum() + real.rounding(value[3]);
}

// The bounds beside those values, where the logits have these errors (null: none).
inline std::vector<expectation> bound_cross_entropy(const cross_entropy_choice& c, const problem& p,
                                                    const arithmetic& a,
                                                    const std::vector<double>* errors = nullptr) {
  const std::vector<output> exact = exact_cross_entropy(c, p);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e;
  for (const output& o : exact) {
    const bool integer = o.name == "argmax" || o.name == "correct" || o.name == "rows_counted";
    const std::int64_t cols = o.name == "grad_logits" ? p.cols : o.name == "statistics" ? 4 : 1;
    e.push_back(integer ? expect_count(o)
                        : expect_exactly(o, cols, o.name == "grad_logits" ? type : real));
  }

  const double divisor = c.divisor(p, counted_weight(c, p));
  reduced_bound loss(c, divisor, real, a.u), z_loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    // Of what is NaN, nothing but that is demanded; an ignored row is 0 exactly.
    if (!c.counts(p, row) || c.bad(p, row) || std::isnan(exact[kLseOutput].values[row])) continue;
    const cross_entropy_row bounds(p.row(i), p.cols, p.labels[row], c.factors(p, row, divisor), a,
                                   errors == nullptr ? nullptr : errors->data() + i * p.cols);
    loss.add(e[kLossOutput], row, bounds.loss());
    z_loss.add(e[kZLossOutput], row, bounds.z_loss());
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const double value = exact[kGradientOutput].values[k];
      e[kGradientOutput].bounds[k] =
          divisor == 0 ? 0 : bounds.gradient(j) + (value == 0 ? 0 : type.rounding(value));
    }
    e[kLseOutput].bounds[row] = bounds.lse() + real.rounding(exact[kLseOutput].values[row]);
    bound_statistics(bounds, e[kStatisticsOutput], row, real);
    if (c.smoothing == 0) e[kStatisticsOutput].bounds[4 * row + 3] = 0;
    const double entropy = bounds.entropy();
    e[kEntropyOutput].bounds[row] =
        entropy == 0 ? 0 : entropy + real.rounding(exact[kEntropyOutput].values[row]);
  }
  const bool nothing = p.rows == 0 || exact[kRowsCountedOutput].values[0] == 0;
  loss.finish(e[kLossOutput], nothing);
  z_loss.finish(e[kZLossOutput], nothing);
  return e;
}
inline std::vector<expectation> bound_cross_entropy(const cross_entropy_choice& c, const problem& p,
                                                    space where) {
  return bound_cross_entropy(c, p,
                             arithmetic_of(where, p.cols, p.type, 1, view_of(c.inner, p.rows)));
}

// Whether a mode asks for that output.
inline bool cross_entropy_returns(const cross_entropy_choice& c, std::size_t output, mode m) {
  switch (output) {
    case kGradientOutput:
      return returns_gradient(m);
    case kLossOutput:
    case kStatisticsOutput:
      return returns_values(m);
    case kZLossOutput:
      return returns_values(m) && c.z_loss_output;
    case kEntropyOutput:
      return returns_values(m) && c.entropy;
    case kRowsCountedOutput:
      return returns_values(m) && (c.more_outputs || c.rows_counted);
    default:
      return returns_values(m) && c.more_outputs;
  }
}

}  // namespace culoss_test
