// Cross-entropy on the CPU: which rows count, what divides, where the results go. The arithmetic of
// a row is in cross_entropy.hpp beside this file.
#include "host/reference/cross_entropy.hpp"

#include <algorithm>
#include <vector>

#include "host/cross_entropy.hpp"
#include "host/reference/parallel.hpp"

namespace culoss {
namespace {

using namespace reference;

enum class row_kind { counts, ignored, bad_label };

// The labels and options of one call, with the scalars that stood in memory read.
class batch {
 public:
  batch(const label_view& labels, std::int64_t classes, const cross_entropy_options& options)
      : labels_(labels), classes_(classes), options_(options) {
    row_ = {.temperature = read_temperature(options.temperature),
            .label_smoothing = static_cast<double>(options.label_smoothing),
            .class_weights = options.class_weights.data};
    divisor_ = find_divisor();
  }

  std::int64_t rows() const noexcept { return labels_.size; }
  const row_options& row() const noexcept { return row_; }
  double divisor() const noexcept { return divisor_; }
  double value_of_empty() const noexcept { return options_.empty == empty_batch::nan ? kNan : 0.0; }

  std::int64_t label(std::int64_t i) const noexcept {
    return labels_.wide ? static_cast<const std::int64_t*>(labels_.data)[i]
                        : std::int64_t{static_cast<const std::int32_t*>(labels_.data)[i]};
  }
  row_kind kind(std::int64_t i) const noexcept {
    const std::int64_t l = label(i);
    if (l == options_.ignore_index) return row_kind::ignored;
    return l >= 0 && l < classes_ ? row_kind::counts : row_kind::bad_label;
  }
  double row_weight(std::int64_t i) const noexcept {
    const auto& weights = options_.row_weights;
    return weights.empty() ? 1.0 : static_cast<double>(weights.data[i]);
  }
  double gradient_scale(std::int64_t i) const noexcept {
    const auto& upstream = options_.upstream_rows;
    const float u = upstream.empty() ? read(options_.upstream) : upstream.data[i];
    return static_cast<double>(u) * row_weight(i) / divisor_;
  }

 private:
  double find_divisor() const noexcept {
    if (options_.normalizer.given()) return static_cast<double>(read(options_.normalizer));
    if (options_.reduction != reduction::mean) return 1;
    double sum = 0;
    for (std::int64_t i = 0; i < rows(); ++i) {
      const row_kind k = kind(i);
      if (k == row_kind::counts) sum += row_.weight(static_cast<std::size_t>(label(i)));
      if (k == row_kind::bad_label) sum += 1;
    }
    return sum;
  }

  label_view labels_;
  std::int64_t classes_;
  const cross_entropy_options& options_;
  row_options row_;
  double divisor_ = 1;
};

void record_faults(fault_record* record, const batch& b) noexcept {
  if (record == nullptr) return;
  for (std::int64_t i = 0; i < b.rows(); ++i) {
    if (b.kind(i) != row_kind::bad_label) continue;
    record->flags |= faults::label_out_of_range;
    ++record->count;
    const std::uint64_t inverted_row = ~static_cast<std::uint64_t>(i);
    if (inverted_row >= record->inverted_first_row) {
      record->inverted_first_row = inverted_row;
      record->label = b.label(i);
    }
  }
}

// The gradient of row i, whose logits are in x, or of a row whose logits do not matter.
template <class T>
void write_gradient(const matrix<T>& gradient, std::int64_t i, const batch& b,
                    const row_statistics<double>& statistics, std::span<double> x) noexcept {
  const row_kind kind = b.kind(i);
  if (kind == row_kind::ignored) return fill_row(gradient, i, 0.0);
  if (b.divisor() == 0) return fill_row(gradient, i, b.value_of_empty());
  if (kind == row_kind::bad_label) return fill_row(gradient, i, kNan);
  cross_entropy_gradient_row(x, static_cast<std::size_t>(b.label(i)), statistics, b.row(),
                             b.gradient_scale(i), x);
  store_row(gradient, i, x);
}

// What the scalar outputs need of a row.
struct row_result {
  double loss = 0;
  bool correct = false;
};

template <class T>
row_result run_row(const matrix<const T>& logits, std::int64_t i, const batch& b,
                   const cross_entropy_outputs<T>& out, std::span<double> x) noexcept {
  using Real = real_of<T>;
  const row_kind kind = b.kind(i);
  const double unknown = kind == row_kind::bad_label ? kNan : 0.0;
  double ce = unknown, lse = unknown;
  row_statistics<double> statistics = {unknown, unknown, unknown, unknown};
  std::int64_t argmax = -1;
  if (kind == row_kind::counts) {
    load_row(logits, i, x);
    const auto target = static_cast<std::size_t>(b.label(i));
    statistics = statistics_of_row<double>(x, target, b.row());
    lse = log_sum_exp(statistics, b.row().temperature);
    // Nothing of a row that has no softmax is a number, whichever column it is due to.
    if (std::isnan(lse)) statistics = {kNan, kNan, kNan, kNan};
    argmax = static_cast<std::int64_t>(index_of_largest<double>(x));
    if (!out.loss.empty()) ce = cross_entropy_row<double>(x, target, statistics, b.row());
  }
  if (!out.lse.empty()) out.lse.data[i] = static_cast<Real>(lse);
  if (!out.statistics.empty()) {
    out.statistics.data[i] = {
        static_cast<Real>(statistics.max), static_cast<Real>(statistics.log_sum),
        static_cast<Real>(statistics.target), static_cast<Real>(statistics.weight)};
  }
  if (!out.argmax.empty()) out.argmax.data[i] = argmax;
  if (!out.grad_logits.empty()) write_gradient(out.grad_logits, i, b, statistics, x);
  return {.loss = kind == row_kind::ignored ? 0.0 : weighted(b.row_weight(i), ce),
          .correct = kind == row_kind::counts && argmax == b.label(i)};
}

template <class T>
void write_scalars(const batch& b, const std::vector<row_result>& results, bool reduce,
                   const cross_entropy_outputs<T>& out) noexcept {
  double sum = 0;
  std::int64_t correct = 0, counted = 0;
  for (std::int64_t i = 0; i < b.rows(); ++i) {
    const row_result& result = results[static_cast<std::size_t>(i)];
    sum += result.loss;
    correct += result.correct ? 1 : 0;
    counted += b.kind(i) == row_kind::ignored ? 0 : 1;
    if (!reduce && !out.loss.empty()) out.loss.data[i] = static_cast<real_of<T>>(result.loss);
  }
  if (reduce && !out.loss.empty()) {
    const double loss = b.divisor() == 0 ? b.value_of_empty() : sum / b.divisor();
    *out.loss.data = static_cast<real_of<T>>(loss);
  }
  if (!out.correct.empty()) *out.correct.data = correct;
  if (!out.rows_counted.empty()) *out.rows_counted.data = counted;
}

template <class T>
status run(const cpu& where, const matrix<const T>& logits, const label_view& labels,
           const cross_entropy_outputs<T>& out, const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy(where, logits, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions([&] {
    const batch b(labels, logits.cols, options);
    std::vector<row_result> results(static_cast<std::size_t>(logits.rows));
    for_each_range(where, logits.rows, logits.cols, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> x(static_cast<std::size_t>(logits.cols));
      for (std::int64_t i = first; i < last; ++i) {
        results[static_cast<std::size_t>(i)] = run_row(logits, i, b, out, x);
      }
    });
    write_scalars(b, results, options.reduction != reduction::none, out);
    record_faults(where.faults, b);
  });
}

template <class T>
status run_backward(const cpu& where, const matrix<const T>& logits, const label_view& labels,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const cross_entropy_backward_outputs<T>& out,
                    const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions([&] {
    const batch b(labels, logits.cols, options);
    for_each_range(where, logits.rows, logits.cols, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> x(static_cast<std::size_t>(logits.cols));
      for (std::int64_t i = first; i < last; ++i) {
        if (b.kind(i) == row_kind::counts) load_row(logits, i, x);
        const auto& saved = statistics.data[i];
        write_gradient(out.grad_logits, i, b,
                       {saved.max, saved.log_sum, saved.target, saved.weight}, x);
      }
    });
    record_faults(where.faults, b);
  });
}

}  // namespace

status cross_entropy(const cpu& where, matrix<const float> logits, label_view labels,
                     const cross_entropy_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const half> logits, label_view labels,
                     const cross_entropy_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const double> logits, label_view labels,
                     const cross_entropy_outputs<double>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const double> logits, label_view labels,
                              vector<const row_statistics<double>> statistics,
                              const cross_entropy_backward_outputs<double>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
