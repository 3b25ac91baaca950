// Elementwise losses on the CPU: element by element, whatever the formula.
//
// A Formula has, of an element x with target t in column j,
//   loss(x, t, j)        a template on the scalar, so that a complex step through it checks
//   by_input(x, t, j), by_target(x, t, j)   its derivatives, which are written apart from it
// and `negative`, the target that a label gives the columns of the other classes.
#pragma once

#include <vector>

#include "host/element_call.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss::reference {

// Of an element, where there is such a matrix.
inline double factor(const matrix<const float>& m, std::int64_t i, std::size_t j) noexcept {
  return m.empty() ? 1.0 : static_cast<double>(m.data[i * m.ld + static_cast<std::int64_t>(j)]);
}

// What a mean divides by: elements that count, rows of a class, or the sum of the weights.
template <class T, class Options>
double divisor_of_mean(const detail::element_views<T>& e, const row_labels& labels,
                       const Options& o) noexcept {
  const std::int64_t rows = e.input.rows, cols = e.input.cols;
  if (e.labeled) {
    bool positives = false;
    if constexpr (requires { o.mean_over == focal_mean::positives; }) {
      positives = o.mean_over == focal_mean::positives;
    }
    return static_cast<double>(positives ? labels.count(row_kind::labeled)
                                         : labels.rows_counted() * cols);
  }
  if (!detail::sums_weights(o)) return static_cast<double>(rows * cols);
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const double of_row = o.row_weights.empty() ? 1.0 : static_cast<double>(o.row_weights.data[i]);
    for (std::size_t j = 0; j < static_cast<std::size_t>(cols); ++j) {
      sum += of_row * factor(detail::weights_of(o), i, j);
    }
  }
  return sum;
}

// A checked call.
template <class T, class Formula, class Options>
status run_elements(const cpu& where, const char* function, const detail::element_views<T>& e,
                    const Formula& formula, const Options& o) noexcept {
  return without_exceptions(function, [&] {
    row_labels labels({}, 0, 0);
    if constexpr (requires { o.background; }) {
      labels = row_labels(e.labels, e.input.cols, o.ignore_index,
                          detail::background_of(o, e.input.cols));
    }
    const batch b(o, divisor_of_mean(e, labels, o));
    const matrix<const float> weights = detail::weights_of(o),
                              upstream = detail::upstream_elements_of(o);
    const std::int64_t rows = e.input.cols == 0 ? 0 : e.input.rows;  // that have an element
    std::vector<double> sums(static_cast<std::size_t>(rows));

    // x and t become the gradients. Returns the sum of the losses.
    const auto run_row = [&](std::int64_t i, std::span<double> x, std::span<double> t) {
      std::vector<double> losses(x.size());
      double sum = 0;
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double x_j = x[j], t_j = t[j], weight = factor(weights, i, j);
        losses[j] = weighted(b.row_weight(i) * weight, formula.loss(x_j, t_j, j));
        sum += losses[j];
        if (const auto fixed = b.fixed_gradient()) {
          x[j] = t[j] = *fixed;
          continue;
        }
        const double scale = weight * (upstream.empty() ? b.gradient_scale(i)
                                                        : b.row_weight(i) * factor(upstream, i, j));
        x[j] = weighted(scale, formula.by_input(x_j, t_j, j));
        if (!e.grad_targets.empty()) t[j] = weighted(scale, formula.by_target(x_j, t_j, j));
      }
      if (!e.losses.empty()) store_row(e.losses, i, losses);
      return sum;
    };

    for_each_row_pair(where, rows, e.input.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> t) {
                        double& sum = sums[static_cast<std::size_t>(i)];
                        const row_kind kind = e.labeled ? labels.kind(i) : row_kind::labeled;
                        if (kind == row_kind::ignored || kind == row_kind::bad_label) {
                          sum = kind == row_kind::ignored ? 0.0 : kNan;
                          if (!e.losses.empty()) fill_row(e.losses, i, sum);
                          if (!e.grad_input.empty())
                            fill_row(e.grad_input, i, *b.fixed_gradient(kind));
                          return;
                        }
                        load_row(e.input, i, x);
                        if (e.labeled) {
                          std::ranges::fill(t, formula.negative);
                          if (kind == row_kind::labeled) t[labels.target(i)] = 1;
                        } else {
                          load_row(e.targets, i, t);
                        }
                        sum = run_row(i, x, t);
                        if (!e.grad_input.empty()) store_row(e.grad_input, i, x);
                        if (!e.grad_targets.empty()) store_row(e.grad_targets, i, t);
                      });
    b.write_loss(e.loss, sums);
    if (e.labeled) {
      write(e.positives, 0, labels.count(row_kind::labeled));
      labels.record_faults(where.faults);
    }
  });
}

}  // namespace culoss::reference
