#include "host/focal.hpp"

#include "host/labeled_rows.hpp"

namespace culoss {
namespace {

using namespace detail;

// A focal loss of a row is its cross-entropy with a factor; alpha stands where the class weights
// do, but not in the divisor.
template <class T, class Logits, class View>
labeled_rows<T> call_of(const char* function, const Logits& logits, const label_view& labels,
                        const View& grad_logits, const softmax_focal_options& options) noexcept {
  labeled_rows<T> call;
  call.function = function;
  call.set(logits, grad_logits);
  call.labels = labels;
  call.options.reduction = options.reduction;
  call.options.ignore_index = options.ignore_index;
  call.options.temperature = options.temperature;
  call.options.class_weights = options.alpha;
  call.options.row_weights = options.row_weights;
  call.options.normalizer = options.normalizer;
  call.options.upstream = options.upstream;
  call.options.upstream_rows = options.upstream_rows;
  call.options.empty = options.empty;
  call.gamma = options.gamma;
  call.weighted_mean = false;
  return call;
}

template <class T, class Logits, class View>
status forward(const cuda& where, const Logits& logits, const label_view& labels,
               const softmax_focal_outputs<T, View>& out,
               const softmax_focal_options& options) noexcept {
  const status s = check_softmax_focal(where, logits, labels, out, options);
  if (!s.ok()) return s;
  auto call = call_of<T>("softmax_focal", logits, labels, out.grad_logits, options);
  call.loss = out.loss.data;
  call.statistics = out.statistics.data;
  call.argmax = out.argmax.data;
  call.correct = out.correct.data;
  call.rows_counted = out.rows_counted.data;
  return run_labeled_rows(where, call);
}

template <class T, class Logits, class View>
status backward(const cuda& where, const Logits& logits, const label_view& labels,
                const vector<const row_statistics<float>>& statistics,
                const softmax_focal_backward_outputs<T, View>& out,
                const softmax_focal_options& options) noexcept {
  const status s = check_softmax_focal_backward(where, logits, labels, statistics, out, options);
  if (!s.ok()) return s;
  auto call = call_of<T>("softmax_focal_backward", logits, labels, out.grad_logits, options);
  call.saved = statistics.data;
  return run_labeled_rows(where, call);
}

}  // namespace

std::size_t softmax_focal_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  return labeled_rows_workspace_bytes(rows, cols);
}

status softmax_focal(const cuda& where, matrix<const float> logits, label_view labels,
                     const softmax_focal_outputs<float>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status softmax_focal(const cuda& where, matrix<const half> logits, label_view labels,
                     const softmax_focal_outputs<half>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status softmax_focal(const cuda& where, matrix<const bf16> logits, label_view labels,
                     const softmax_focal_outputs<bf16>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}

status softmax_focal(const cuda& where, strided_logits<const float> logits, label_view labels,
                     const softmax_focal_outputs<float, strided_logits<float>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status softmax_focal(const cuda& where, strided_logits<const half> logits, label_view labels,
                     const softmax_focal_outputs<half, strided_logits<half>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status softmax_focal(const cuda& where, strided_logits<const bf16> logits, label_view labels,
                     const softmax_focal_outputs<bf16, strided_logits<bf16>>& outputs,
                     const softmax_focal_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}

status softmax_focal_backward(const cuda& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<float>& outputs,
                              const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status softmax_focal_backward(const cuda& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<half>& outputs,
                              const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status softmax_focal_backward(const cuda& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const softmax_focal_backward_outputs<bf16>& outputs,
                              const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}

status softmax_focal_backward(
    const cuda& where, strided_logits<const float> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<float, strided_logits<float>>& outputs,
    const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status softmax_focal_backward(
    const cuda& where, strided_logits<const half> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<half, strided_logits<half>>& outputs,
    const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status softmax_focal_backward(
    const cuda& where, strided_logits<const bf16> logits, label_view labels,
    vector<const row_statistics<float>> statistics,
    const softmax_focal_backward_outputs<bf16, strided_logits<bf16>>& outputs,
    const softmax_focal_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
