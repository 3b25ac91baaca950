// Triplets mined in the batch, on the CPU: for each anchor all distances, the choice among them as
// the rules say it, and the gradients of the triplets one after the other.
#include "host/reference/mined_triplet.hpp"

#include "host/mined_triplet.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

// The rows of a call.
struct mining_batch {
  const embeddings<double>& x;
  row_labels labels;
  std::int64_t ignore_index;
  const mined_triplet_options& options;
  bool finite;  // all that is not ignored

  std::size_t size() const noexcept { return x.size(); }
  std::int64_t label(std::size_t i) const noexcept {
    return labels.label(static_cast<std::int64_t>(i));
  }
  bool ignored(std::size_t i) const noexcept { return label(i) == ignore_index; }
  bool is_positive(std::size_t a, std::size_t p) const noexcept {
    return p != a && !ignored(a) && label(p) == label(a);
  }
  bool is_negative(std::size_t a, std::size_t n) const noexcept {
    return !ignored(a) && !ignored(n) && label(n) != label(a);
  }
  std::int64_t positives(std::size_t a) const noexcept {
    std::int64_t n = 0;
    for (std::size_t j = 0; j < size(); ++j) n += is_positive(a, j) ? 1 : 0;
    return n;
  }
  std::int64_t negatives(std::size_t a) const noexcept {
    std::int64_t n = 0;
    for (std::size_t j = 0; j < size(); ++j) n += is_negative(a, j) ? 1 : 0;
    return n;
  }
  double distance(std::size_t i, std::size_t j) const noexcept {
    return reference::distance(options.distance, x, i, j);
  }
  double margin() const noexcept { return static_cast<double>(options.margin); }
  double z(double to_positive, double to_negative) const noexcept {
    return to_positive - to_negative + margin();
  }
};

// What an anchor adds: its loss, how much of it counts, and the weights of its distances d(a, j).
struct anchor_result {
  double loss = 0;
  std::int64_t counts = 0;
  std::size_t positive = kNobody, negative = kNobody;
  std::vector<std::pair<std::size_t, double>> pulls;
};

// batch_hard and semi_hard.
anchor_result mine_one(const mining_batch& b, std::size_t a) {
  anchor_result r;
  double farthest = 0, nearest = 0;
  for (std::size_t p = 0; p < b.size(); ++p) {
    if (!b.is_positive(a, p)) continue;
    const double d = b.distance(a, p);
    if (r.positive != kNobody && !(d > farthest)) continue;
    r.positive = p;
    farthest = d;
  }
  if (r.positive == kNobody) return {};
  const bool semi_hard = b.options.rule == mining_rule::semi_hard;
  for (std::size_t n = 0; n < b.size(); ++n) {
    if (!b.is_negative(a, n)) continue;
    const double d = b.distance(a, n);
    if (semi_hard && !(d > farthest && d < farthest + b.margin())) continue;
    if (r.negative != kNobody && !(d < nearest)) continue;
    r.negative = n;
    nearest = d;
  }
  if (r.negative == kNobody) return {};
  const double z = b.z(farthest, nearest);
  const double slope = triplet_slope(b.options.soft_margin, z);
  r.loss = triplet_loss(b.options.soft_margin, z);
  r.counts = 1;
  r.pulls = {{r.positive, slope}, {r.negative, -slope}};
  return r;
}

anchor_result mine_all(const mining_batch& b, std::size_t a) {
  anchor_result r;
  std::vector<double> d(b.size()), pull(b.size());
  std::vector<bool> pulled(b.size());
  for (std::size_t j = 0; j < b.size(); ++j) d[j] = b.distance(a, j);
  for (std::size_t p = 0; p < b.size(); ++p) {
    if (!b.is_positive(a, p)) continue;
    for (std::size_t n = 0; n < b.size(); ++n) {
      if (!b.is_negative(a, n)) continue;
      const double z = b.z(d[p], d[n]);
      if (!b.options.soft_margin && !(z > 0)) continue;
      const double slope = triplet_slope(b.options.soft_margin, z);
      r.loss += triplet_loss(b.options.soft_margin, z);
      ++r.counts;
      pull[p] += slope;
      pull[n] -= slope;
      pulled[p] = pulled[n] = true;
    }
  }
  for (std::size_t j = 0; j < b.size(); ++j) {
    if (pulled[j]) r.pulls.emplace_back(j, pull[j]);
  }
  return r;
}

anchor_result mine(const mining_batch& b, std::size_t a) {
  const bool all = b.options.rule == mining_rule::batch_all;
  if (b.finite) return all ? mine_all(b, a) : mine_one(b, a);
  anchor_result r;
  const std::int64_t triplets = b.positives(a) * b.negatives(a);
  r.counts = all ? triplets : std::min<std::int64_t>(1, triplets);
  r.loss = triplets > 0 ? kNan : 0;
  return r;
}

template <class T>
bool all_finite(const matrix<const T>& x, const row_labels& labels, std::int64_t ignore_index) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (labels.label(i) == ignore_index) continue;
    for (std::int64_t d = 0; d < x.cols; ++d) {
      if (!std::isfinite(load(x.data, i * x.ld + d))) return false;
    }
  }
  return true;
}

template <class T>
status run_mined_triplet(const cpu& where, const matrix<const T>& rows, const label_view& labels,
                         const mined_triplet_outputs<T>& out,
                         const mined_triplet_options& options) noexcept {
  status checked = detail::check_mined_triplet(where, rows, labels, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("mined_triplet", [&] {
    const auto x = load_embeddings<T>(rows, {}, options.distance == triplet_distance::cosine);
    const row_labels all(labels, 0, options.ignore_index);
    const mining_batch b{x, all, options.ignore_index, options,
                         all_finite(rows, all, options.ignore_index)};
    std::vector<anchor_result> results(b.size());
    for_each_range(
        where, rows.rows, rows.rows * rows.cols, [&](std::int64_t first, std::int64_t last) {
          for (auto a = static_cast<std::size_t>(first); a < static_cast<std::size_t>(last); ++a) {
            results[a] = mine(b, a);
          }
        });

    std::int64_t counted = 0;
    for (const anchor_result& r : results) counted += r.counts;
    const batch of(options, static_cast<double>(counted));
    std::vector<double> losses;
    for (std::size_t a = 0; a < b.size(); ++a) {
      const auto i = static_cast<std::int64_t>(a);
      const anchor_result& r = results[a];
      losses.push_back(weighted(of.row_weight(i), r.loss));
      const bool chosen = r.positive != kNobody;
      write(out.positives, i, chosen ? static_cast<std::int64_t>(r.positive) : -1);
      write(out.negatives, i, chosen ? static_cast<std::int64_t>(r.negative) : -1);
    }
    of.write_loss(out.loss, losses);
    write(out.rows_counted, 0, counted);
    if (out.grad_embeddings.empty()) return;

    const std::size_t dimension = x.dimension();
    std::vector<double> dx(b.size() * dimension);
    const auto row_of = [&](std::size_t i) {
      return std::span(dx).subspan(i * dimension, dimension);
    };
    for (std::size_t a = 0; a < b.size(); ++a) {
      const double by = of.divides_by_zero() ? of.value_of_empty()
                                             : of.gradient_scale(static_cast<std::int64_t>(a));
      for (const auto& [j, pull] : results[a].pulls) {
        const double d = b.distance(a, j), weight = pull * by;
        add_distance_gradient(options.distance, x, a, j, d, weight, row_of(a));
        add_distance_gradient(options.distance, x, j, a, d, weight, row_of(j));
      }
    }
    const bool nan =
        !b.finite && counted > 0 && !(of.divides_by_zero() && of.value_of_empty() == 0);
    for (std::size_t i = 0; i < b.size(); ++i) {
      const std::span<double> row = row_of(i);
      if (nan && !b.ignored(i)) std::ranges::fill(row, kNan);
      write_row(out.grad_embeddings, static_cast<std::int64_t>(i), row, options.accumulate);
    }
  });
}

}  // namespace

status mined_triplet(const cpu& where, matrix<const float> embeddings, label_view labels,
                     const mined_triplet_outputs<float>& outputs,
                     const mined_triplet_options& options) noexcept {
  return run_mined_triplet(where, embeddings, labels, outputs, options);
}

status mined_triplet(const cpu& where, matrix<const half> embeddings, label_view labels,
                     const mined_triplet_outputs<half>& outputs,
                     const mined_triplet_options& options) noexcept {
  return run_mined_triplet(where, embeddings, labels, outputs, options);
}

status mined_triplet(const cpu& where, matrix<const bf16> embeddings, label_view labels,
                     const mined_triplet_outputs<bf16>& outputs,
                     const mined_triplet_options& options) noexcept {
  return run_mined_triplet(where, embeddings, labels, outputs, options);
}

status mined_triplet(const cpu& where, matrix<const double> embeddings, label_view labels,
                     const mined_triplet_outputs<double>& outputs,
                     const mined_triplet_options& options) noexcept {
  return run_mined_triplet(where, embeddings, labels, outputs, options);
}

}  // namespace culoss
