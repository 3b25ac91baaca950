// What calls of cross-entropy with labels make of the logits of a row, wherever those come from.
#pragma once

#include <span>
#include <vector>

#include "host/cross_entropy.hpp"
#include "host/reference/divergence.hpp"
#include "host/reference/labeled_rows.hpp"
#include "host/reference/shards.hpp"

namespace culoss::reference {

// The labels and options of one call.
struct labeled_call {
  labeled_call(const label_view& label_data, std::int64_t columns,
               const cross_entropy_options& options)
      : labels(label_data, options.classes > 0 ? options.classes : columns, options.ignore_index),
        row(options_of_row(options)),
        shared(options,
               labels.sum_of_weights([&](std::size_t t) { return row.weight_of_class(t); })),
        whole(detail::is_whole(options, columns)) {}
  row_labels labels;
  row_options row;
  batch shared;
  bool whole;

  // The gradient of row i by its logits, which are in x, in their place; of a row whose logits do
  // not matter, what fills it.
  void gradient(std::int64_t i, const row_statistics<double>& statistics,
                std::span<double> x) const noexcept {
    if (const auto fixed = shared.fixed_gradient(labels.kind(i))) {
      std::ranges::fill(x, *fixed);
      return;
    }
    cross_entropy_gradient_row(x, labels.target(i), statistics, row, shared.gradient_scale(i), x);
  }
};

template <class Real, class Outputs>
class labeled_outputs {
 public:
  labeled_outputs(const labeled_call& c, const Outputs& out)
      : c_(c),
        out_(out),
        losses_(static_cast<std::size_t>(c.labels.rows())),
        z_losses_(losses_.size()),
        argmax_(losses_.size()) {}

  // Row i; load(x) is called if its logits are wanted.
  template <class Load>
  row_statistics<double> row(std::int64_t i, std::span<double> x, const Load& load) {
    if (!c_.whole) return shard(i, x, load), row_statistics<double>{};
    const labeled_row row = read_row(i, c_.labels, c_.row, x, load);
    double loss = row.lse, z_loss = row.lse, entropy = row.lse;  // 0 or NaN without a label
    if (row.labeled) {
      const double weight = c_.shared.row_weight(i);
      z_loss = z_loss_row(row.lse, c_.row);
      if (!out_.loss.empty()) {
        const double ce = cross_entropy_row<double>(x, c_.labels.target(i), row.statistics, c_.row);
        loss = weighted(weight, ce + z_loss);
      }
      z_loss = weighted(weight, z_loss);
      if (!out_.entropy.empty()) {
        const auto cap = [&](double v) { return c_.row.capped(v); };
        entropy = entropy_of_logits<double>(x, c_.row.temperature, cap).value();
      }
    }
    if constexpr (requires { out_.shards; }) write_shard(i, x);
    put(i, row, loss, z_loss, entropy);
    return row.statistics;
  }
  // Row i, as the records of its shards have it; shard(s) is one of them.
  template <class Shard>
  void merged(std::int64_t i, std::int64_t shards, const Shard& shard) {
    labeled_row row;
    double loss = 0, z_loss = 0, entropy = 0;
    if (c_.labels.kind(i) == row_kind::labeled) {
      const std::size_t target = c_.labels.target(i);
      const merged_row m = merge_row(shards, target, c_.row, shard);
      row = {.labeled = true,
             .lse = log_sum_exp(m.statistics, c_.row),
             .statistics = m.statistics,
             .argmax = m.argmax};
      if (std::isnan(row.lse)) row.statistics = kNone;
      z_loss = z_loss_row(row.lse, c_.row);
      const double weight = c_.shared.row_weight(i);
      loss = weighted(weight, cross_entropy_of_merged(m, target, c_.row) + z_loss);
      z_loss = weighted(weight, z_loss);
      entropy = entropy_of_merged(m, c_.row);
    } else if (c_.labels.kind(i) == row_kind::bad_label) {
      row = {.lse = kNan, .statistics = kNone};
      loss = z_loss = entropy = kNan;
    }
    put(i, row, loss, z_loss, entropy);
  }

  void finish(fault_record* faults) const {
    c_.shared.write_loss(out_.loss, losses_);
    c_.shared.write_loss(out_.z_loss, z_losses_);
    write(out_.correct, 0, count_correct(c_.labels, argmax_));
    write(out_.rows_counted, 0, c_.labels.rows_counted());
    c_.labels.record_faults(faults);
  }

 private:
  static constexpr row_statistics<double> kNone = {kNan, kNan, kNan, kNan};

  void put(std::int64_t i, const labeled_row& row, double loss, double z_loss, double entropy) {
    const auto k = static_cast<std::size_t>(i);
    losses_[k] = loss;
    z_losses_[k] = z_loss;
    argmax_[k] = row.argmax;
    write(out_.lse, i, row.lse);
    write(out_.entropy, i, entropy);
    write(out_.argmax, i, row.argmax);
    if (!out_.statistics.empty()) out_.statistics.data[i] = rounded<Real>(row.statistics);
  }
  template <class Load>
  void shard(std::int64_t i, std::span<double> x, const Load& load) {
    if constexpr (requires { out_.shards; }) {
      if (out_.shards.empty()) return;
      if (c_.labels.kind(i) == row_kind::labeled) load(x);
      write_shard(i, x);
    }
  }
  void write_shard(std::int64_t i, std::span<const double> x) {
    if (out_.shards.empty()) return;
    const row_kind kind = c_.labels.kind(i);
    const Real none = kind == row_kind::ignored ? Real(0) : static_cast<Real>(kNan);
    out_.shards.data[i] =
        kind == row_kind::labeled
            ? shard_of_row<Real>(x, c_.labels.target(i), c_.row)
            : shard_statistics<Real>{none, none, none, none, none, none, none, -1};
  }

  const labeled_call& c_;
  const Outputs& out_;
  std::vector<double> losses_, z_losses_;
  std::vector<std::int64_t> argmax_;
};

}  // namespace culoss::reference
