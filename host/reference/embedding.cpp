// Losses of embedding pairs on the CPU. The arithmetic of a row is in embedding.hpp beside this file.
#include "host/reference/embedding.hpp"

#include <array>
#include <vector>

#include "host/embedding.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;
using input = std::span<const double>;
using gradient = std::span<double>;

template <class T, std::size_t kVectors>
struct pair_views {
  std::array<matrix<const T>, kVectors> in;
  std::array<matrix<T>, kVectors> out;
  vector<real_of<T>> loss;
};

// row(i, x, scale, dx) gives the loss of row i and adds its gradients to dx. Without labels all rows
// count.
template <class T, std::size_t kVectors, class Options, class Row>
void run_rows(const cpu& where, const pair_views<T, kVectors>& views, const Options& options,
              const row_labels* labels, const Row& row) {
  const std::int64_t rows = views.in[0].rows, cols = views.in[0].cols;
  const batch b(options, static_cast<double>(labels != nullptr ? labels->rows_counted() : rows));
  std::vector<double> losses(static_cast<std::size_t>(rows));
  const auto width = static_cast<std::size_t>(cols);
  for_each_range(where, rows, cols, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> elements(kVectors * width), slopes(elements.size());
    std::array<gradient, kVectors> x, dx;
    std::array<input, kVectors> in;
    for (std::size_t v = 0; v < kVectors; ++v) {
      in[v] = x[v] = gradient(elements).subspan(v * width, width);
      dx[v] = gradient(slopes).subspan(v * width, width);
    }
    for (std::int64_t i = first; i < last; ++i) {
      const row_kind kind = labels != nullptr ? labels->kind(i) : row_kind::labeled;
      double& loss = losses[static_cast<std::size_t>(i)];
      if (kind == row_kind::bad_label) loss = kNan;
      if (kind == row_kind::labeled) {
        for (std::size_t v = 0; v < kVectors; ++v) load_row(views.in[v], i, x[v]);
        const bool finite =
            std::ranges::all_of(elements, [](double e) { return std::isfinite(e); });
        std::ranges::fill(slopes, finite ? 0.0 : kNan);
        const double value = finite ? row(i, in, b.gradient_scale(i), dx) : kNan;
        loss = weighted(b.row_weight(i), value);
      }
      const auto fixed = b.fixed_gradient(kind);
      for (std::size_t v = 0; v < kVectors; ++v) {
        if (views.out[v].empty()) continue;
        if (fixed) {
          fill_row(views.out[v], i, *fixed);
        } else {
          store_row(views.out[v], i, dx[v]);
        }
      }
    }
  });
  b.write_loss(views.loss, losses);
}

template <class T, class Options, class Row>
status run_pairs(const char* function, const cpu& where, const matrix<const T>& x1,
                 const matrix<const T>& x2, const row_labels& labels, const pair_outputs<T>& out,
                 const Options& options, const Row& row) noexcept {
  return without_exceptions(function, [&] {
    const pair_views<T, 2> views{{x1, x2}, {out.grad_x1, out.grad_x2}, out.loss};
    run_rows(where, views, options, &labels, row);
    write(out.rows_counted, 0, labels.rows_counted());
    labels.record_faults(where.faults);
  });
}

template <class T>
status run_cosine_embedding(const cpu& where, const matrix<const T>& x1, const matrix<const T>& x2,
                            const label_view& label_data, const pair_outputs<T>& out,
                            const cosine_embedding_options& options) noexcept {
  const status s = detail::check_cosine_embedding(where, x1, x2, label_data, out, options);
  if (!s.ok()) return s;
  const row_labels labels = row_labels::of_signs(label_data, options.ignore_index);
  const auto margin = static_cast<double>(options.margin);
  const auto row = [&](std::int64_t i, const auto& x, double scale, const auto& dx) {
    const bool alike = labels.label(i) == 1;
    add_cosine_embedding_gradient(x[0], x[1], alike, margin, scale, dx[0], dx[1]);
    return cosine_embedding_loss(x[0], x[1], alike, margin);
  };
  return run_pairs("cosine_embedding", where, x1, x2, labels, out, options, row);
}

template <class T>
status run_contrastive(const cpu& where, const matrix<const T>& x1, const matrix<const T>& x2,
                       const label_view& label_data, const pair_outputs<T>& out,
                       const contrastive_options& options) noexcept {
  const status s = detail::check_contrastive(where, x1, x2, label_data, out, options);
  if (!s.ok()) return s;
  const row_labels labels(label_data, 2, options.ignore_index);
  const auto margin = static_cast<double>(options.margin);
  const auto factor = static_cast<double>(options.factor);
  const auto row = [&](std::int64_t i, const auto& x, double scale, const auto& dx) {
    const bool alike = labels.label(i) == 1;
    add_contrastive_gradient(x[0], x[1], alike, margin, factor, scale, dx[0], dx[1]);
    return contrastive_loss(x[0], x[1], alike, margin, factor);
  };
  return run_pairs("contrastive", where, x1, x2, labels, out, options, row);
}

template <class T>
status run_triplet(const cpu& where, const matrix<const T>& a, const matrix<const T>& p,
                   const matrix<const T>& n, const triplet_outputs<T>& out,
                   const triplet_options& options) noexcept {
  const status s = detail::check_triplet(where, a, p, n, out, options);
  if (!s.ok()) return s;
  const auto row = [&](std::int64_t, const auto& x, double scale, const auto& dx) {
    add_triplet_gradient(options, x[0], x[1], x[2], scale, dx[0], dx[1], dx[2]);
    return triplet_loss(options, x[0], x[1], x[2]);
  };
  return without_exceptions("triplet", [&] {
    const pair_views<T, 3> views{
        {a, p, n}, {out.grad_anchors, out.grad_positives, out.grad_negatives}, out.loss};
    run_rows(where, views, options, nullptr, row);
  });
}

}  // namespace

status cosine_embedding(const cpu& where, matrix<const float> x1, matrix<const float> x2,
                        label_view labels, const pair_outputs<float>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}
status cosine_embedding(const cpu& where, matrix<const half> x1, matrix<const half> x2,
                        label_view labels, const pair_outputs<half>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}
status cosine_embedding(const cpu& where, matrix<const bf16> x1, matrix<const bf16> x2,
                        label_view labels, const pair_outputs<bf16>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}
status cosine_embedding(const cpu& where, matrix<const double> x1, matrix<const double> x2,
                        label_view labels, const pair_outputs<double>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}

status contrastive(const cpu& where, matrix<const float> x1, matrix<const float> x2,
                   label_view labels, const pair_outputs<float>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}
status contrastive(const cpu& where, matrix<const half> x1, matrix<const half> x2,
                   label_view labels, const pair_outputs<half>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}
status contrastive(const cpu& where, matrix<const bf16> x1, matrix<const bf16> x2,
                   label_view labels, const pair_outputs<bf16>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}
status contrastive(const cpu& where, matrix<const double> x1, matrix<const double> x2,
                   label_view labels, const pair_outputs<double>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}

status triplet(const cpu& where, matrix<const float> anchors, matrix<const float> positives,
               matrix<const float> negatives, const triplet_outputs<float>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}
status triplet(const cpu& where, matrix<const half> anchors, matrix<const half> positives,
               matrix<const half> negatives, const triplet_outputs<half>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}
status triplet(const cpu& where, matrix<const bf16> anchors, matrix<const bf16> positives,
               matrix<const bf16> negatives, const triplet_outputs<bf16>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}
status triplet(const cpu& where, matrix<const double> anchors, matrix<const double> positives,
               matrix<const double> negatives, const triplet_outputs<double>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}

}  // namespace culoss
