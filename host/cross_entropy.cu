#include "host/cross_entropy.hpp"

#include <algorithm>

#include "host/labeled_rows.hpp"

namespace culoss {
namespace {

using namespace detail;

template <class T, class Logits, class View>
status forward(const cuda& where, const Logits& logits, const label_view& labels,
               const cross_entropy_outputs<T, View>& out,
               const cross_entropy_options& options) noexcept {
  const status s = check_cross_entropy(where, logits, labels, out, options);
  if (!s.ok()) return s;
  labeled_rows<T> call;
  call.function = "cross_entropy";
  call.set(logits, out.grad_logits);
  call.labels = labels;
  call.options = options;
  call.set_outputs(out);
  return run_labeled_rows(where, call);
}

template <class T, class Logits, class View>
status backward(const cuda& where, const Logits& logits, const label_view& labels,
                const vector<const row_statistics<float>>& statistics,
                const cross_entropy_backward_outputs<T, View>& out,
                const cross_entropy_options& options) noexcept {
  const status s = check_cross_entropy_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  labeled_rows<T> call;
  call.function = "cross_entropy_backward";
  call.set(logits, out.grad_logits);
  call.labels = labels;
  call.options = options;
  call.saved = statistics.data;
  return run_labeled_rows(where, call);
}

}  // namespace

std::size_t cross_entropy_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return std::max(labeled_rows_workspace_bytes(rows, cols),
                  cross_entropy_targets_workspace_bytes(rows));
}

status cross_entropy(const cuda& where, matrix<const float> logits, label_view labels,
                     const cross_entropy_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const half> logits, label_view labels,
                     const cross_entropy_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}

status cross_entropy(const cuda& where, strided_logits<const float> logits, label_view labels,
                     const cross_entropy_outputs<float, strided_logits<float>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, strided_logits<const half> logits, label_view labels,
                     const cross_entropy_outputs<half, strided_logits<half>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, strided_logits<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16, strided_logits<bf16>>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}

status merge_statistics(const cuda& where, matrix<const shard_statistics<float>> shards,
                        label_view labels, const merged_outputs<float>& outputs,
                        const cross_entropy_options& options) noexcept {
  const status s = check_merge_statistics(where, shards, labels, outputs, options);
  if (!s.ok()) return s;
  labeled_call call;
  call.function = "merge_statistics";
  call.rows = shards.cols;
  call.cols = options.classes;
  call.labels = labels;
  call.options = options;
  call.set_outputs(outputs);
  return run_merged_rows(where, call, shards);
}

status cross_entropy_backward(const cuda& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}

status cross_entropy_backward(
    const cuda& where, strided_logits<const float> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<float, strided_logits<float>>& outputs,
    const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(
    const cuda& where, strided_logits<const half> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<half, strided_logits<half>>& outputs,
    const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(
    const cuda& where, strided_logits<const bf16> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const cross_entropy_backward_outputs<bf16, strided_logits<bf16>>& outputs,
    const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
