// Cross-entropy with labels on the CPU. The arithmetic of a row is in cross_entropy.hpp beside this
// file.
#include "host/reference/cross_entropy.hpp"

#include "host/reference/labeled_outputs.hpp"

namespace culoss {
namespace {

using namespace reference;

// x holds the logits of row i, if it is labeled.
template <class Logits>
void write_gradient(const Logits& gradient, std::int64_t i, const labeled_call& c,
                    const row_statistics<double>& statistics, std::span<double> x) noexcept {
  c.gradient(i, statistics, x);
  store_row(gradient, i, x);
}

template <class ConstLogits, class T, class Logits>
status run(const cpu& where, const ConstLogits& logits, const label_view& labels,
           const cross_entropy_outputs<T, Logits>& out,
           const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy(where, logits, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy", [&] {
    const std::int64_t rows = detail::rows_of(logits), cols = detail::cols_of(logits);
    const labeled_call c(labels, cols, options);
    labeled_outputs<real_of<T>, cross_entropy_outputs<T, Logits>> outputs(c, out);
    for_each_row(where, rows, cols, [&](std::int64_t i, std::span<double> x) {
      const auto statistics =
          outputs.row(i, x, [&](std::span<double> to) { load_row(logits, i, to); });
      if (!out.grad_logits.empty()) write_gradient(out.grad_logits, i, c, statistics, x);
    });
    outputs.finish(where.faults);
  });
}

template <class ConstLogits, class T, class Logits>
status run_backward(const cpu& where, const ConstLogits& logits, const label_view& labels,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const cross_entropy_backward_outputs<T, Logits>& out,
                    const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy_backward", [&] {
    const std::int64_t rows = detail::rows_of(logits), cols = detail::cols_of(logits);
    const labeled_call c(labels, cols, options);
    for_each_row(where, rows, cols, [&](std::int64_t i, std::span<double> x) {
      if (c.labels.kind(i) == row_kind::labeled) load_row(logits, i, x);
      write_gradient(out.grad_logits, i, c, widened(statistics.data[i]), x);
    });
    c.labels.record_faults(where.faults);
  });
}

template <class Real>
status run_merge(const cpu& where, const matrix<const shard_statistics<Real>>& shards,
                 const label_view& labels, const merged_outputs<Real>& out,
                 const cross_entropy_options& options) noexcept {
  status s = detail::check_merge_statistics(where, shards, labels, out, options);
  if (!s.ok()) return s;
  return without_exceptions("merge_statistics", [&] {
    const labeled_call c(labels, options.classes, options);
    labeled_outputs<Real, merged_outputs<Real>> outputs(c, out);
    for_each_range(where, shards.cols, shards.rows, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        outputs.merged(i, shards.rows, [&](std::int64_t k) -> const shard_statistics<Real>& {
          return shards.data[k * shards.ld + i];
        });
      }
    });
    outputs.finish(where.faults);
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

status cross_entropy(const cpu& where, strided_logits<const float> logits, label_view labels,
                     const cross_entropy_outputs<float, strided_logits<float>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const half> logits, label_view labels,
                     const cross_entropy_outputs<half, strided_logits<half>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16, strided_logits<bf16>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status cross_entropy(const cpu& where, strided_logits<const double> logits, label_view labels,
                     const cross_entropy_outputs<double, strided_logits<double>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, labels, outputs, options);
}

status merge_statistics(const cpu& where, matrix<const shard_statistics<float>> shards,
                        label_view labels, const merged_outputs<float>& outputs,
                        const cross_entropy_options& options) noexcept {
  return run_merge(where, shards, labels, outputs, options);
}

status merge_statistics(const cpu& where, matrix<const shard_statistics<double>> shards,
                        label_view labels, const merged_outputs<double>& outputs,
                        const cross_entropy_options& options) noexcept {
  return run_merge(where, shards, labels, outputs, options);
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

status cross_entropy_backward(
    const cpu& where, strided_logits<const float> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<float, strided_logits<float>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const half> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<half, strided_logits<half>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const bf16> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cpu& where, strided_logits<const double> logits, label_view labels,
    vector<const row_statistics<double>> statistics,
    const cross_entropy_backward_outputs<double, strided_logits<double>>& outputs,
    const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
