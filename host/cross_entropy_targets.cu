#include "host/cross_entropy.hpp"
#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/cross_entropy_targets.cuh"

namespace culoss {
namespace {

using namespace detail;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* partials;
  float* row_loss;    // under mean and sum
  float* row_z_loss;  // likewise
};

std::size_t carve(void* base, std::int64_t rows, temporaries& t) noexcept {
  carver c(base);
  t.partials = c.take<totals>(partials_of(rows));
  t.row_loss = c.take<float>(rows);
  t.row_z_loss = c.take<float>(rows);
  return c.used();
}

template <class T>
kernels::cross_entropy_targets_arguments<T> arguments_of(
    const matrix<const T>& logits, const matrix<const T>& targets, const matrix<T>& grad_logits,
    const matrix<T>& grad_targets, const cross_entropy_options& options) noexcept {
  kernels::cross_entropy_targets_arguments<T> a{};
  a.in[0] = stream_of(logits);
  a.in[1] = stream_of(targets);
  a.out[0] = target_of(grad_logits);
  a.out[1] = target_of(grad_targets);
  a.rows = logits.rows;
  a.cols = logits.cols;
  a.class_weights = options.class_weights.data;
  a.smoothing = options.label_smoothing;
  a.z_loss = options.z_loss;
  a.cap = cap_of(options.softcap);
  a.temperature = argument(options.temperature);
  a.scale = scale_of(options, static_cast<double>(logits.rows));
  return a;
}

template <class T>
status forward(const cuda& where, const matrix<const T>& logits, const matrix<const T>& targets,
               const cross_entropy_soft_outputs<T>& out,
               const cross_entropy_options& options) noexcept {
  status s = check_cross_entropy(where, logits, targets, out, options);
  device_context context;
  if (s.ok()) s = open("cross_entropy", where, context);
  if (s.ok()) s = check_width(context, "logits.cols", logits.cols);
  if (!s.ok()) return s;
  if (logits.rows == 0) {
    s = write_empty_loss(context, out.loss.data, options);
    return s.ok() ? write_empty_loss(context, out.z_loss.data, options) : s;
  }
  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, logits.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), logits.rows, t);

  auto a = arguments_of(logits, targets, out.grad_logits, out.grad_targets, options);
  const bool none = options.reduction == reduction::none;
  if (!out.loss.empty()) a.row_loss = none ? out.loss.data : t.row_loss;
  if (!out.z_loss.empty()) a.row_z_loss = none ? out.z_loss.data : t.row_z_loss;
  a.lse = out.lse.data;
  a.entropy = out.entropy.data;
  a.statistics = out.statistics.data;
  a.argmax = reinterpret_cast<long long*>(out.argmax.data);
  const bool full = a.cap.cap > 0.0f || a.entropy != nullptr || a.argmax != nullptr;
  s = full ? launch_rows<kernels::cross_entropy_targets_policy<T, true>>(context, a)
           : launch_rows<kernels::cross_entropy_targets_policy<T, false>>(context, a);
  const auto sum = [&](float* losses, float* loss) noexcept {
    return launch_total(context, kernels::sum_losses{losses}, a.rows, t.partials,
                        kernels::write_loss{loss, a.scale.by});
  };
  if (s.ok() && !none && a.row_loss != nullptr) s = sum(a.row_loss, out.loss.data);
  if (s.ok() && !none && a.row_z_loss != nullptr) s = sum(a.row_z_loss, out.z_loss.data);
  if (!s.ok()) return s;
  return memory.release(context);
}

template <class T>
status backward(const cuda& where, const matrix<const T>& logits, const matrix<const T>& targets,
                const vector<const row_statistics<float>>& statistics,
                const cross_entropy_soft_backward_outputs<T>& out,
                const cross_entropy_options& options) noexcept {
  status s = check_cross_entropy_backward(where, logits, targets, statistics, out, options);
  device_context context;
  if (s.ok()) s = open("cross_entropy_backward", where, context);
  if (s.ok()) s = check_width(context, "logits.cols", logits.cols);
  if (!s.ok() || logits.rows == 0) return s;
  auto a = arguments_of(logits, targets, out.grad_logits, out.grad_targets, options);
  a.saved = statistics.data;
  const bool full = a.cap.cap > 0.0f;
  return full ? launch_elementwise<kernels::cross_entropy_targets_policy<T, true>>(context, a)
              : launch_elementwise<kernels::cross_entropy_targets_policy<T, false>>(context, a);
}

}  // namespace

std::size_t detail::cross_entropy_targets_workspace_bytes(std::int64_t rows) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status cross_entropy(const cuda& where, matrix<const float> logits, matrix<const float> targets,
                     const cross_entropy_soft_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, targets, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const half> logits, matrix<const half> targets,
                     const cross_entropy_soft_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, targets, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const cross_entropy_soft_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, targets, outputs, options);
}

status cross_entropy_backward(const cuda& where, matrix<const float> logits,
                              matrix<const float> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, targets, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const half> logits,
                              matrix<const half> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, targets, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const bf16> logits,
                              matrix<const bf16> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, targets, statistics, outputs, options);
}

}  // namespace culoss
