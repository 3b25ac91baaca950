// What the losses over similarities share on the CPU: their scalars, and a side's gradient, whose
// similarities are computed again, so that nothing of size N M is ever stored.
#pragma once

#include <algorithm>
#include <vector>

#include "host/reference/batch.hpp"
#include "host/reference/embeddings.hpp"
#include "host/reference/parallel.hpp"

namespace culoss::reference {

// The options of one call, with the scalars that stood in memory read.
class similarity_batch : public batch {
 public:
  template <class Options>
  similarity_batch(std::int64_t rows, const Options& options)
      : similarity_batch(rows, options, static_cast<double>(rows)) {}
  // A mean divides by `of_mean`.
  template <class Options>
  similarity_batch(std::int64_t rows, const Options& options, double of_mean)
      : batch(options, of_mean), rows_(rows), learns_temperature_(options.temperature.given()) {
    if (learns_temperature_) temperature_ = read_temperature(options.temperature);
    if (options.log_scale.given()) {
      const float value = read(options.log_scale);
      scale_ = std::isfinite(value) ? std::exp(static_cast<double>(value)) : kNan;
    } else {
      scale_ = 1 / temperature_;
    }
  }

  double scale() const noexcept { return scale_; }
  // Of the scalar that was given by log(scale).
  double scalar_gradient(double log_scale_gradient) const noexcept {
    return learns_temperature_ ? -log_scale_gradient / temperature_ : log_scale_gradient;
  }
  // The divisor is 0, or there is nothing to divide: what stands in the gradients then.
  bool empty() const noexcept { return rows_ == 0 || divides_by_zero(); }
  double gradient_of_empty() const noexcept { return rows_ == 0 ? 0.0 : value_of_empty(); }

  // loss(i) is not yet weighted.
  template <class Real, class Loss>
  void write_loss_of(const vector<Real>& out, const Loss& loss) const {
    std::vector<double> losses(static_cast<std::size_t>(rows_));
    for (std::int64_t i = 0; i < rows_; ++i) {
      const auto k = static_cast<std::size_t>(i);
      losses[k] = weighted(row_weight(i), loss(k));
    }
    write_loss(out, losses);
  }

 private:
  std::int64_t rows_;
  bool learns_temperature_;
  double temperature_ = 1, scale_ = 1;
};

// The gradient of x[first], x[first + 1], ..., one for each row of `out`. dl(a, b) is the gradient
// of the similarity of x_a and y(a, b), of which there are `others`; `nan` makes all of it NaN.
template <class T, class Others, class LogitGradient>
void write_gradient(const cpu& where, const gradient_matrix<T>& out, const embeddings<double>& x,
                    std::size_t first, std::size_t others, const Others& y, double scale, bool nan,
                    bool accumulate, const LogitGradient& dl) {
  if (out.empty()) return;
  for_each_range(where, out.rows, static_cast<std::int64_t>(others * x.dimension()),
                 [&](std::int64_t begin, std::int64_t end) {
                   std::vector<double> v(x.dimension());
                   for (std::int64_t row = begin; row < end; ++row) {
                     const std::size_t a = first + static_cast<std::size_t>(row);
                     std::ranges::fill(v, nan ? kNan : 0.0);
                     for (std::size_t b = 0; b < others; ++b) {
                       const double g = dl(a, b);
                       if (g == 0) continue;  // a column that is masked may hold anything
                       const std::span<const double> other = y(a, b);
                       for (std::size_t d = 0; d < v.size(); ++d) v[d] += g * other[d];
                     }
                     embedding_gradient(x, a, scale, v);
                     write_row(out, row, v, accumulate);
                   }
                 });
}

template <class T, class LogitGradient>
void write_gradient(const cpu& where, const gradient_matrix<T>& out, const embeddings<double>& x,
                    std::size_t first, const embeddings<double>& y, double scale, bool nan,
                    bool accumulate, const LogitGradient& dl) {
  write_gradient(
      where, out, x, first, y.size(), [&](std::size_t, std::size_t b) { return y[b]; }, scale, nan,
      accumulate, dl);
}

}  // namespace culoss::reference
