// What the rows of one call share: which of them count, what divides and what multiplies them.
#pragma once

#include <optional>
#include <span>

#include "host/reference/scalar_types.hpp"
#include "host/reference/softmax.hpp"

namespace culoss::reference {

enum class row_kind { labeled, background, ignored, bad_label };

class row_labels {
 public:
  row_labels(const label_view& labels, std::int64_t classes, std::int64_t ignore_index,
             std::optional<std::int64_t> background = {}) noexcept
      : labels_(labels), classes_(classes), ignore_index_(ignore_index), background_(background) {}
  // +1 and -1.
  static row_labels of_signs(const label_view& labels, std::int64_t ignore_index) noexcept {
    row_labels signs(labels, 2, ignore_index);
    signs.signs_ = true;
    return signs;
  }

  std::int64_t rows() const noexcept { return labels_.size; }
  std::int64_t label(std::int64_t i) const noexcept {
    return labels_.wide ? static_cast<const std::int64_t*>(labels_.data)[i]
                        : std::int64_t{static_cast<const std::int32_t*>(labels_.data)[i]};
  }
  row_kind kind(std::int64_t i) const noexcept {
    const std::int64_t l = label(i);
    if (l == ignore_index_) return row_kind::ignored;
    if (l == background_) return row_kind::background;
    const bool known = signs_ ? l == 1 || l == -1 : l >= 0 && l < classes_;
    return known ? row_kind::labeled : row_kind::bad_label;
  }
  // The column of a labeled row.
  std::size_t target(std::int64_t i) const noexcept { return static_cast<std::size_t>(label(i)); }

  std::int64_t count(row_kind of) const noexcept {
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < rows(); ++i) n += kind(i) == of ? 1 : 0;
    return n;
  }
  std::int64_t rows_counted() const noexcept { return rows() - count(row_kind::ignored); }

  // Of the rows that count; a bad label has weight 1.
  template <class Weight>
  double sum_of_weights(const Weight& weight) const noexcept {
    double sum = 0;
    for (std::int64_t i = 0; i < rows(); ++i) {
      const row_kind k = kind(i);
      if (k == row_kind::labeled) sum += weight(target(i));
      if (k == row_kind::bad_label) sum += 1;
    }
    return sum;
  }

  void record_faults(fault_record* record) const noexcept {
    if (record == nullptr) return;
    for (std::int64_t i = 0; i < rows(); ++i) {
      if (kind(i) != row_kind::bad_label) continue;
      record->flags |= faults::label_out_of_range;
      ++record->count;
      const std::uint64_t inverted_row = ~static_cast<std::uint64_t>(i);
      if (inverted_row >= record->inverted_first_row) {
        record->inverted_first_row = inverted_row;
        record->label = label(i);
      }
    }
  }

 private:
  label_view labels_;
  std::int64_t classes_, ignore_index_;
  std::optional<std::int64_t> background_;
  bool signs_ = false;
};

// The options that all losses of rows have, with the scalars that stood in memory read.
class batch {
 public:
  // `of_mean` is what a mean divides by where the caller gave no normalizer.
  template <class Options>
  batch(const Options& options, double of_mean) noexcept
      : row_weights_(options.row_weights.data),
        upstream_rows_(options.upstream_rows.data),
        upstream_(static_cast<double>(read(options.upstream))),
        reduces_(options.reduction != reduction::none),
        value_of_empty_(options.empty == empty_batch::nan ? kNan : 0.0) {
    if (options.normalizer.given()) {
      divisor_ = static_cast<double>(read(options.normalizer));
    } else if (options.reduction == reduction::mean) {
      divisor_ = of_mean;
    }
  }

  bool divides_by_zero() const noexcept { return divisor_ == 0; }
  double value_of_empty() const noexcept { return value_of_empty_; }
  double row_weight(std::int64_t i) const noexcept {
    return row_weights_ == nullptr ? 1.0 : static_cast<double>(row_weights_[i]);
  }
  // upstream row_weight_i / divisor
  double gradient_scale(std::int64_t i) const noexcept {
    const double upstream =
        upstream_rows_ == nullptr ? upstream_ : static_cast<double>(upstream_rows_[i]);
    return upstream * row_weight(i) / divisor_;
  }
  double reduced(double sum) const noexcept {
    return divides_by_zero() ? value_of_empty_ : sum / divisor_;
  }

  // What fills a gradient row that needs no formula; nothing for one that does.
  std::optional<double> fixed_gradient() const noexcept {
    return divides_by_zero() ? std::optional(value_of_empty_) : std::nullopt;
  }
  std::optional<double> fixed_gradient(row_kind kind) const noexcept {
    if (kind == row_kind::ignored) return 0.0;
    if (divides_by_zero()) return value_of_empty_;
    if (kind == row_kind::bad_label) return kNan;
    return {};
  }

  // Where the per-row or scalar loss goes; losses[i] is row i's, times its weight.
  template <class Real>
  void write_loss(const vector<Real>& out, std::span<const double> losses) const noexcept {
    if (out.empty()) return;
    double sum = 0;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      sum += losses[i];
      if (!reduces_) out.data[i] = static_cast<Real>(losses[i]);
    }
    if (reduces_) *out.data = static_cast<Real>(reduced(sum));
  }

 private:
  const float* row_weights_;
  const float* upstream_rows_;
  double upstream_;
  bool reduces_;
  double value_of_empty_;
  double divisor_ = 1;
};

}  // namespace culoss::reference
