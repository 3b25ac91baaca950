// The options that the losses share: how rows are reduced, what multiplies and divides them, which
// labels they have.
#pragma once

#include <cmath>
#include <cstdint>
#include <culoss/core.hpp>
#include <string>

#include "tests/harness/bounds.hpp"
#include "tests/harness/comparator.hpp"
#include "tests/harness/problem.hpp"

namespace culoss_test {

// Where a number comes from.
enum class source { absent, value, device, rows };

struct row_choice {
  std::string name;
  culoss::reduction reduction = culoss::reduction::mean;
  bool class_weights = false;
  bool row_weights = false;
  float temperature = 1;
  source temperature_source = source::value;
  source upstream = source::value;
  float upstream_value = 1;
  source normalizer_source = source::absent;
  float normalizer = 1;
  bool labels = true;
  bool wide_labels = true;
  std::int64_t ignore_index = -100;
  culoss::empty_batch empty = culoss::empty_batch::zero;

  bool none() const { return reduction == culoss::reduction::none; }

  // The numbers of a call with these options. The fourth row is ignored, unless it is the only kind
  // of row there is.
  void complete(problem& p) const {
    p.temperature = temperature;
    p.upstream = upstream_value;
    p.normalizer = normalizer;
    if (!labels) return;
    for (std::size_t i = 3; i < p.labels.size(); i += 7) p.labels[i] = ignore_index;
  }
  // Other values of the scalars that a replayed call reads anew.
  void change_device_scalars(problem& p, float factor) const {
    if (temperature_source == source::device) p.temperature *= factor;
    if (upstream == source::device) p.upstream *= factor;
    if (normalizer_source == source::device) p.normalizer *= factor;
  }

  bool counts(const problem& p, std::size_t row) const {
    return !labels || p.labels[row] != ignore_index;
  }
  // Neither a class nor ignored.
  bool bad(const problem& p, std::size_t row) const {
    return counts(p, row) && labels && (p.labels[row] < 0 || p.labels[row] >= p.cols);
  }
  // What the sum of the rows is divided by, if a mean's own divisor is `own`.
  double divisor(const problem& p, double own) const {
    if (normalizer_source != source::absent) return p.normalizer;
    return reduction == culoss::reduction::mean ? own : 1;
  }
  double row_weight(const problem& p, std::size_t row) const {
    return row_weights ? p.row_weights[row] : 1;
  }
  // What a row's gradient is multiplied by, 0 where the divisor switches it off.
  double gradient_scale(const problem& p, std::size_t row, double divisor) const {
    if (divisor == 0) return 0;
    return (upstream == source::rows ? p.upstream_rows[row] : p.upstream) * row_weight(p, row) /
           divisor;
  }

  // The shared options for the CPU function in double.
  template <class Options>
  void set_reference(Options& o, const problem& p) const {
    o.reduction = reduction;
    if (row_weights) o.row_weights = {p.row_weights.data(), p.rows};
    if (normalizer_source != source::absent) o.normalizer = p.normalizer;
    if (upstream == source::rows) {
      o.upstream_rows = {p.upstream_rows.data(), p.rows};
    } else {
      o.upstream = p.upstream;
    }
    o.empty = empty;
    if constexpr (requires { o.ignore_index; }) o.ignore_index = ignore_index;
    if constexpr (requires { o.temperature; }) o.temperature = p.temperature;
    if constexpr (requires { o.class_weights; }) {
      if (class_weights) o.class_weights = {p.class_weights.data(), p.cols};
    }
  }
};

// Rows of an output that are 0 exactly, NaN or infinite are judged by their class; here a bound of
// 0. Everything that has none of its own begins like this.
inline expectation expect_exactly(const output& exact, std::int64_t cols, const format& of) {
  return {.name = exact.name,
          .cols = cols,
          .values = exact.values,
          .bounds = std::vector<double>(exact.values.size(), 0.0),
          .largest = of.largest()};
}
inline expectation expect_count(const output& exact) {
  return {.name = exact.name,
          .cols = 1,
          .values = exact.values,
          .bounds = std::vector<double>(exact.values.size(), 0.0)};
}

// The bound of a loss, from those of its rows or elements as they are before the divisor: each with
// one rounding; or their sum, which is added up in double, with a few roundings of the result.
class reduced_bound {
 public:
  reduced_bound(const row_choice& c, double divisor, const format& real, double u)
      : none_(c.none()), divisor_(divisor), real_(real), u_(u) {}

  void add(expectation& loss, std::size_t row, double bound) {
    if (none_) {
      loss.bounds[row] = bound + real_.rounding(loss.values[row]);
    } else {
      sum_ += bound;
    }
  }
  // `nothing`: no row counts, the loss is exact.
  void finish(expectation& loss, bool nothing) const {
    if (none_ || divisor_ == 0 || nothing) return;
    const double value = loss.values[0];
    loss.bounds[0] = sum_ / std::fabs(divisor_) + 4 * u_ * std::fabs(value) + real_.rounding(value);
  }

 private:
  bool none_;
  double divisor_;
  const format& real_;
  double u_;
  double sum_ = 0;
};

}  // namespace culoss_test
