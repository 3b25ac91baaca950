// Cross-entropy of a linear classifier on the CPU: the logits of a few rows at a time, row by row,
// their gradients from the reference of cross_entropy, and what those make of hidden states, weights
// and bias. A class's gradients are summed over the rows in order, whatever the threads.
#include "host/linear_cross_entropy.hpp"

#include "host/reference/embeddings.hpp"
#include "host/reference/labeled_outputs.hpp"

namespace culoss {
namespace {

using namespace reference;

// A linear classifier and what its rows are.
template <class T>
struct classifier {
  classifier(const matrix<const T>& h, const matrix<const T>& w, const vector<const real_of<T>>& b)
      : dimension(static_cast<std::size_t>(h.cols)) {
    append(hidden, h);
    append(weight, w);
    for (std::int64_t j = 0; j < b.size; ++j) bias.push_back(static_cast<double>(b.data[j]));
  }
  std::span<const double> hidden_of(std::size_t i) const {
    return std::span<const double>(hidden).subspan(i * dimension, dimension);
  }
  std::span<const double> weight_of(std::size_t j) const {
    return std::span<const double>(weight).subspan(j * dimension, dimension);
  }
  void logits(std::size_t i, std::span<double> x) const {
    for (std::size_t j = 0; j < x.size(); ++j) {
      x[j] = dot<double>(hidden_of(i), weight_of(j)) + (bias.empty() ? 0.0 : bias[j]);
    }
  }

  std::vector<double> hidden, weight, bias;
  std::size_t dimension;
};

// Calls row(i, x) for all rows, x having room for the logits of row i, in whose place it leaves
// their gradients if any are wanted; then adds up what those make.
template <class T, class Outputs, class Row>
void run_rows(const cpu& where, const classifier<T>& c, std::int64_t rows, std::int64_t cols,
              const labeled_call& call, const Outputs& out, bool accumulate, const Row& row) {
  constexpr std::int64_t kRows = 64;
  const auto classes = static_cast<std::size_t>(cols);
  const bool gradients = detail::wants_gradients(out);
  const auto of_a_row = static_cast<std::int64_t>(classes * c.dimension);
  std::vector<double> dx(gradients ? static_cast<std::size_t>(std::min(kRows, rows)) * classes : 0);
  std::vector<double> dw(out.grad_weight.empty() ? 0 : c.weight.size());
  std::vector<double> db(out.grad_bias.empty() ? 0 : classes);
  for (std::int64_t begin = 0; begin < rows; begin += kRows) {
    const std::int64_t count = std::min(kRows, rows - begin);
    for_each_range(where, count, of_a_row, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> x(classes), dh(c.dimension);
      for (std::int64_t k = first; k < last; ++k) {
        row(begin + k, std::span<double>(x));
        if (!gradients) continue;
        std::ranges::copy(x, dx.begin() + k * cols);
        if (out.grad_hidden.empty()) continue;
        // Nothing flows into rows that do not count, whatever the weights are.
        const auto fixed = call.shared.fixed_gradient(call.labels.kind(begin + k));
        std::ranges::fill(dh, fixed.value_or(0.0));
        for (std::size_t j = 0; j < classes && !fixed; ++j) {
          for (std::size_t d = 0; d < dh.size(); ++d) dh[d] += x[j] * c.weight_of(j)[d];
        }
        write_row(out.grad_hidden, begin + k, dh, accumulate);
      }
    });
    if (dw.empty() && db.empty()) continue;
    for_each_range(where, cols, static_cast<std::int64_t>(c.dimension) * count,
                   [&](std::int64_t first, std::int64_t last) {
                     for (std::int64_t k = 0; k < count; ++k) {
                       const std::int64_t i = begin + k;
                       const auto fixed = call.shared.fixed_gradient(call.labels.kind(i));
                       if (fixed && *fixed == 0) continue;
                       const auto h = c.hidden_of(static_cast<std::size_t>(i));
                       for (auto j = static_cast<std::size_t>(first);
                            j < static_cast<std::size_t>(last); ++j) {
                         const double g = dx[static_cast<std::size_t>(k) * classes + j];
                         if (!db.empty()) db[j] += g;
                         for (std::size_t d = 0; d < h.size() && !dw.empty(); ++d) {
                           dw[j * c.dimension + d] += g * h[d];
                         }
                       }
                     }
                   });
  }
  for (std::int64_t j = 0; j < cols && !dw.empty(); ++j) {
    write_row(
        out.grad_weight, j,
        std::span<const double>(dw).subspan(static_cast<std::size_t>(j) * c.dimension, c.dimension),
        accumulate);
  }
  if (!db.empty()) write_row(out.grad_bias.data, db, accumulate);
}

template <class T>
status run(const cpu& where, const matrix<const T>& hidden, const matrix<const T>& weight,
           const vector<const real_of<T>>& bias, const label_view& labels,
           const linear_cross_entropy_outputs<T>& out,
           const linear_cross_entropy_options& options) noexcept {
  status s = detail::check_linear_cross_entropy(where, hidden, weight, bias, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions("linear_cross_entropy", [&] {
    const labeled_call c(labels, weight.rows, detail::row_options_of(options));
    const classifier<T> head(hidden, weight, bias);
    labeled_outputs<real_of<T>, linear_cross_entropy_outputs<T>> outputs(c, out);
    const bool gradients = detail::wants_gradients(out);
    run_rows(where, head, hidden.rows, weight.rows, c, out, options.accumulate,
             [&](std::int64_t i, std::span<double> x) {
               const auto statistics = outputs.row(i, x, [&](std::span<double> to) {
                 head.logits(static_cast<std::size_t>(i), to);
               });
               if (gradients) c.gradient(i, statistics, x);
             });
    outputs.finish(where.faults);
  });
}

template <class T>
status run_backward(const cpu& where, const matrix<const T>& hidden, const matrix<const T>& weight,
                    const vector<const real_of<T>>& bias, const label_view& labels,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const linear_cross_entropy_backward_outputs<T>& out,
                    const linear_cross_entropy_options& options) noexcept {
  status s = detail::check_linear_cross_entropy_backward(where, hidden, weight, bias, labels,
                                                         statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions("linear_cross_entropy_backward", [&] {
    const labeled_call c(labels, weight.rows, detail::row_options_of(options));
    const classifier<T> head(hidden, weight, bias);
    run_rows(where, head, hidden.rows, weight.rows, c, out, options.accumulate,
             [&](std::int64_t i, std::span<double> x) {
               if (c.labels.kind(i) == row_kind::labeled) {
                 head.logits(static_cast<std::size_t>(i), x);
               }
               c.gradient(i, widened(statistics.data[i]), x);
             });
    c.labels.record_faults(where.faults);
  });
}

}  // namespace

status linear_cross_entropy(const cpu& where, matrix<const float> hidden,
                            matrix<const float> weight, vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<float>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return run(where, hidden, weight, bias, labels, outputs, options);
}
status linear_cross_entropy(const cpu& where, matrix<const half> hidden, matrix<const half> weight,
                            vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<half>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return run(where, hidden, weight, bias, labels, outputs, options);
}
status linear_cross_entropy(const cpu& where, matrix<const bf16> hidden, matrix<const bf16> weight,
                            vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<bf16>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return run(where, hidden, weight, bias, labels, outputs, options);
}
status linear_cross_entropy(const cpu& where, matrix<const double> hidden,
                            matrix<const double> weight, vector<const double> bias,
                            label_view labels, const linear_cross_entropy_outputs<double>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return run(where, hidden, weight, bias, labels, outputs, options);
}

status linear_cross_entropy_backward(const cpu& where, matrix<const float> hidden,
                                     matrix<const float> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<float>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return run_backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}
status linear_cross_entropy_backward(const cpu& where, matrix<const half> hidden,
                                     matrix<const half> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<half>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return run_backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}
status linear_cross_entropy_backward(const cpu& where, matrix<const bf16> hidden,
                                     matrix<const bf16> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<bf16>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return run_backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}
status linear_cross_entropy_backward(const cpu& where, matrix<const double> hidden,
                                     matrix<const double> weight, vector<const double> bias,
                                     label_view labels,
                                     vector<const row_statistics<double>> statistics,
                                     const linear_cross_entropy_backward_outputs<double>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return run_backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}

}  // namespace culoss
