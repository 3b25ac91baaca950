// Rows of which each shard of the classes knows a part, from the formulas of
// culoss/cross_entropy.hpp: the record that a shard leaves, and what the records of all shards say
// of the row. Templates on the scalar, as cross_entropy.hpp.
#pragma once

#include <span>

#include "host/reference/cross_entropy.hpp"

namespace culoss::reference {

// Whether the target is one of the row's columns.
inline bool holds_target(std::size_t columns, std::size_t target,
                         const row_options& options) noexcept {
  return target >= options.first_class && target - options.first_class < columns;
}

template <class Real>
shard_statistics<Real> shard_of_row(std::span<const double> x, std::size_t target,
                                    const row_options& options) noexcept {
  const bool here = holds_target(x.size(), target, options);
  double max = -kInfinity, sum = 0, weight = 0, distance = 0, spread = 0;
  const auto others = [&](const auto& visit) {
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (!options.is_target(j, target) && !is_minus_infinity(x[j])) visit(j);
    }
  };
  others([&](std::size_t j) { max = std::max(max, options.capped(x[j])); });
  others([&](std::size_t j) {
    const double z = (options.capped(x[j]) - max) / options.temperature, e = std::exp(z);
    sum += e;
    if (e != 0) spread += e * z / std::log(2.0);
    if (options.label_smoothing > 0) {
      weight += options.weight(j);
      distance += options.weight(j) * (options.capped(x[j]) - max);
    }
  });
  const std::size_t largest = index_of_largest<double>(x);
  double own = kInfinity;
  if (here) own = x[target - options.first_class];
  if (here && own == kInfinity) own = kNan;
  const auto real = [](double v) { return static_cast<Real>(v); };
  return {real(max),        real(sum),
          real(own),        real(weight),
          real(distance),   real(spread),
          real(x[largest]), static_cast<std::int64_t>(options.first_class + largest)};
}

// A whole row, as its shards' records have it.
struct merged_row {
  row_statistics<double> statistics = {};
  double distance = 0;  // of the others, about the largest
  double spread = 0;    // B = sum_j e_j log e_j of the others
  double others_weight = 0;
  std::int64_t argmax = 0;
};

// shard(s) is the s-th record.
template <class Shard>
merged_row merge_row(std::int64_t shards, std::size_t target, const row_options& options,
                     const Shard& shard) noexcept {
  merged_row row;
  double max = -kInfinity, largest = -kInfinity, sum = 0, own = kNan;
  int holders = 0;
  for (std::int64_t s = 0; s < shards; ++s) max = std::max(max, double{shard(s).max});
  for (std::int64_t s = 0; s < shards; ++s) {
    const auto& r = shard(s);
    const bool better = double{r.largest} > largest ||
                        (std::isnan(double{r.largest}) && !std::isnan(largest)) ||
                        (double{r.largest} == largest && r.argmax < row.argmax);
    if (s == 0 || better) {
      largest = r.largest;
      row.argmax = r.argmax;
    }
    if (r.target != static_cast<decltype(r.target)>(kInfinity)) {
      own = r.target;
      ++holders;
    }
    if (r.sum == 0) continue;  // nothing but masked columns, and perhaps the target
    const double fall = (double{r.max} - max) / options.temperature, shrink = std::exp(fall);
    sum += r.sum * shrink;
    row.spread += shrink == 0 ? 0 : shrink * (r.spread * std::log(2.0) + fall * r.sum);
    row.others_weight += r.weight;
    row.distance += r.distance + (double{r.max} - max) * r.weight;
  }
  if (holders != 1) own = kNan;
  double weight = row.others_weight;
  if (options.label_smoothing > 0 && own != -kInfinity) weight += options.weight_of_class(target);
  row.statistics = {max, std::log(sum), own, weight};
  return row;
}

// -(1 - s) w_t log p_t - (s / C) sum_j w_j log p_j, with
//   sum_{j != t} -w_j log p_j = sum_j w_j (lse - m / T) - sum_j w_j (y_j - m) / T
inline double cross_entropy_of_merged(const merged_row& row, std::size_t target,
                                      const row_options& options) noexcept {
  const double s = options.label_smoothing, weight = options.weight_of_class(target);
  const double d = log_odds(row.statistics, options), of_target = softplus(-d);
  const double loss = weighted((1 - s) * weight, of_target);
  if (s == 0) return loss;
  double smooth = 0;
  if (row.statistics.log_sum != -kInfinity) {
    smooth = row.others_weight * (row.statistics.log_sum + softplus(d)) -
             row.distance / options.temperature;
  }
  if (row.statistics.target != -kInfinity) smooth += weighted(weight, of_target);
  return loss + s / static_cast<double>(options.classes) * smooth;
}

// p_t (-log p_t) + (1 - p_t) (-log(1 - p_t) + H of the others), H = log z - B / z
inline double entropy_of_merged(const merged_row& row, const row_options& options) noexcept {
  const double d = log_odds(row.statistics, options);
  if (std::isnan(d)) return kNan;
  if (row.statistics.log_sum == -kInfinity) return 0;
  const double p = sigmoid(d), q = sigmoid(-d);
  const double of_others = row.statistics.log_sum - row.spread / std::exp(row.statistics.log_sum);
  return (p == 0 ? 0 : p * softplus(-d)) + (q == 0 ? 0 : q * (softplus(d) + of_others));
}

}  // namespace culoss::reference
