#include "host/elements.hpp"
#include "host/nll.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/nll.cuh"
#include "kernels/policy/smooth_labels.cuh"

namespace culoss {
namespace {

using namespace detail;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* counted;  // the divisor's terms and the number of rows that count
  totals* partials;
};

std::size_t carve(void* base, std::int64_t rows, temporaries& t) noexcept {
  carver c(base);
  t.counted = c.take<totals>(1);
  t.partials = c.take<totals>(partials_of(rows));
  return c.used();
}

template <class T>
status run_nll(const cuda& where, const matrix<const T>& input, const label_view& labels,
               const nll_outputs<T>& out, const nll_options& options) noexcept {
  status s = check_nll(where, input, labels, out, options);
  device_context context;
  element_walk walk{};
  if (s.ok()) s = open("nll", where, context);
  if (s.ok() && !out.grad_input.empty()) s = plan_elements(context, walk, input, out.grad_input);
  if (!s.ok()) return s;
  if (input.rows == 0) {
    s = write_empty_loss(context, out.loss.data, options);
    return s.ok() ? clear(context, out.rows_counted.data, 0, sizeof(std::int64_t)) : s;
  }
  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, input.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), input.rows, t);

  kernels::nll_arguments<T> a{};
  a.in[0] = stream_of(input);
  a.out[0] = target_of(out.grad_input);
  a.all = labels_of(labels, options.ignore_index, input.cols, options.ignore_index);
  a.probabilities = options.input == nll_input::probabilities;
  a.class_weights = options.class_weights.data;
  a.scale = scale_of(options, 0.0, t.counted);
  if (counts_divisor(options) || !out.rows_counted.empty()) {
    s = launch_total(context, kernels::count_rows{a.all, a.class_weights}, input.rows, t.partials,
                     kernels::write_count{counts_divisor(options) ? t.counted : nullptr,
                                          reinterpret_cast<long long*>(out.rows_counted.data),
                                          nullptr, a.all, input.rows});
  }
  const bool none = options.reduction == reduction::none;
  if (s.ok() && (!out.loss.empty() || where.faults != nullptr)) {
    s = launch_total(context, kernels::nll_row<T>{a, none ? out.loss.data : nullptr, where.faults},
                     input.rows, t.partials,
                     kernels::write_labeled_loss{none ? nullptr : out.loss.data, nullptr,
                                                 a.scale.by, where.faults, a.all, input.rows});
  }
  if (s.ok() && !out.grad_input.empty()) {
    // Log-probabilities are not read: nothing but the output decides how it is best walked.
    if (!a.probabilities) a.in[0] = {out.grad_input.data, out.grad_input.ld};
    s = launch_elements<kernels::nll_gradient_policy<T>>(context, a, walk);
  }
  return s.ok() ? memory.release(context) : s;
}

template <class T>
status run_smooth_labels(const cuda& where, const label_view& labels, const matrix<T>& smoothed,
                         const smooth_labels_options& options) noexcept {
  status s = check_smooth_labels(where, labels, smoothed, options);
  device_context context;
  element_walk walk{};
  if (s.ok()) s = open("smooth_labels", where, context);
  if (s.ok()) s = plan_elements(context, walk, smoothed);
  if (!s.ok() || smoothed.rows == 0) return s;
  const kernels::labels all =
      labels_of(labels, options.ignore_index, smoothed.cols, options.ignore_index);
  kernels::smooth_labels_arguments<T> a{};
  a.in[0] = {smoothed.data, smoothed.ld};
  a.out[0] = target_of(smoothed);
  a.keep = 1.0f - options.smoothing;
  a.share = options.smoothing / static_cast<float>(smoothed.cols);
  a.all = all;
  s = launch_elements<kernels::smooth_labels_policy<T>>(context, a, walk);
  if (!s.ok() || where.faults == nullptr) return s;
  // Nothing is summed, so no scratch is needed.
  constexpr long long kChunk = kernels::kRowsOfOneBlock;
  const long long rows = smoothed.rows, blocks = (rows + kChunk - 1) / kChunk;
  s = launch(context, kernels::total_kernel<kernels::inspect_labels, kernels::drop_total>, blocks,
             kernels::kTotalThreads, 0, kernels::inspect_labels{all, where.faults}, rows, kChunk,
             kernels::drop_total{});
  if (!s.ok()) return s;
  return launch(context, kernels::total_kernel<kernels::no_item, kernels::write_labeled_loss>, 1,
                kernels::kTotalThreads, 0, kernels::no_item{}, 1ll, 1ll,
                kernels::write_labeled_loss{nullptr, nullptr, {}, where.faults, all, rows});
}

template <class T>
status run_smooth_labels(const char* function, const cuda& where, const char* input_name,
                         const matrix<const T>& input, const char* output_name,
                         const matrix<T>& output, bool forward,
                         const smooth_labels_options& options) noexcept {
  status s = check_smooth_labels(function, where, input_name, input, output_name, output, options);
  device_context context;
  element_walk walk{};
  if (s.ok()) s = open(function, where, context);
  if (s.ok()) s = plan_elements(context, walk, input, output);
  if (!s.ok() || input.rows == 0) return s;
  kernels::smooth_labels_arguments<T> a{};
  a.in[0] = stream_of(input);
  a.out[0] = target_of(output);
  a.keep = 1.0f - options.smoothing;
  a.share = forward ? options.smoothing / static_cast<float>(input.cols) : 0.0f;
  return launch_elements<kernels::smooth_labels_policy<T>>(context, a, walk);
}

}  // namespace

std::size_t nll_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status nll(const cuda& where, matrix<const float> input, label_view labels,
           const nll_outputs<float>& outputs, const nll_options& options) noexcept {
  return run_nll(where, input, labels, outputs, options);
}
status nll(const cuda& where, matrix<const half> input, label_view labels,
           const nll_outputs<half>& outputs, const nll_options& options) noexcept {
  return run_nll(where, input, labels, outputs, options);
}
status nll(const cuda& where, matrix<const bf16> input, label_view labels,
           const nll_outputs<bf16>& outputs, const nll_options& options) noexcept {
  return run_nll(where, input, labels, outputs, options);
}

status smooth_labels(const cuda& where, label_view labels, matrix<float> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels(where, labels, smoothed, options);
}
status smooth_labels(const cuda& where, label_view labels, matrix<half> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels(where, labels, smoothed, options);
}
status smooth_labels(const cuda& where, label_view labels, matrix<bf16> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels(where, labels, smoothed, options);
}

status smooth_labels(const cuda& where, matrix<const float> targets, matrix<float> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels", where, "targets", targets, "smoothed", smoothed, true,
                           options);
}
status smooth_labels(const cuda& where, matrix<const half> targets, matrix<half> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels", where, "targets", targets, "smoothed", smoothed, true,
                           options);
}
status smooth_labels(const cuda& where, matrix<const bf16> targets, matrix<bf16> smoothed,
                     const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels", where, "targets", targets, "smoothed", smoothed, true,
                           options);
}

status smooth_labels_backward(const cuda& where, matrix<const float> grad_smoothed,
                              matrix<float> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels_backward", where, "grad_smoothed", grad_smoothed,
                           "grad_targets", grad_targets, false, options);
}
status smooth_labels_backward(const cuda& where, matrix<const half> grad_smoothed,
                              matrix<half> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels_backward", where, "grad_smoothed", grad_smoothed,
                           "grad_targets", grad_targets, false, options);
}
status smooth_labels_backward(const cuda& where, matrix<const bf16> grad_smoothed,
                              matrix<bf16> grad_targets,
                              const smooth_labels_options& options) noexcept {
  return run_smooth_labels("smooth_labels_backward", where, "grad_smoothed", grad_smoothed,
                           "grad_targets", grad_targets, false, options);
}

}  // namespace culoss
