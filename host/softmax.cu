#include "kernels/policy/softmax.cuh"

#include "host/rows.hpp"
#include "host/softmax.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/softmax_backward.cuh"

namespace culoss {
namespace {

using namespace detail;

template <class T>
status forward(const char* function, const char* output_name, bool log, const cuda& where,
               const matrix<const T>& logits, const matrix<T>& output,
               const softmax_options& options) noexcept {
  status s = check_softmax(function, where, logits, output_name, output, options);
  device_context context;
  if (s.ok()) s = open(function, where, context);
  if (s.ok()) s = check_width(context, "logits.cols", logits.cols);
  if (!s.ok() || logits.rows == 0) return s;
  // The states of a few wide rows' parts: so little that nobody has to ask how much it is.
  scratch memory;
  const std::int64_t parts = plan_parts(logits.cols, sizeof(T)).parts;
  const bool split = context.row_kernels == row_kernels::pipelined && logits.rows <= kSplitRows;
  const auto bytes = static_cast<std::size_t>(split ? logits.rows * parts * kPartState : 0);
  s = memory.get(context, where.workspace.bytes >= bytes ? where.workspace : workspace{}, bytes);
  if (!s.ok()) return s;
  using policy = kernels::softmax_policy<T>;
  s = launch_rows<policy>(context,
                          {{stream_of(logits)},
                           {target_of(output)},
                           logits.rows,
                           logits.cols,
                           argument(options.temperature),
                           log},
                          {memory.data()});
  return s.ok() ? memory.release(context) : s;
}

template <class T>
status backward(const char* function, const char* input_name, const char* upstream_name, bool log,
                const cuda& where, const matrix<const T>& input, const matrix<const T>& upstream,
                const matrix<T>& grad_logits, const softmax_options& options) noexcept {
  status s = check_softmax_backward(function, where, input_name, input, upstream_name, upstream,
                                    grad_logits, options);
  device_context context;
  if (s.ok()) s = open(function, where, context);
  if (s.ok()) {
    s = check_width(context, log ? "log_probabilities.cols" : "probabilities.cols", input.cols);
  }
  if (!s.ok() || input.rows == 0) return s;
  using policy = kernels::softmax_backward_policy<T>;
  return launch_rows<policy>(context, {{stream_of(input), stream_of(upstream)},
                                       {target_of(grad_logits)},
                                       input.rows,
                                       input.cols,
                                       argument(options.temperature),
                                       log});
}

}  // namespace

status softmax(const cuda& where, matrix<const float> logits, matrix<float> probabilities,
               const softmax_options& options) noexcept {
  return forward("softmax", "probabilities", false, where, logits, probabilities, options);
}
status softmax(const cuda& where, matrix<const half> logits, matrix<half> probabilities,
               const softmax_options& options) noexcept {
  return forward("softmax", "probabilities", false, where, logits, probabilities, options);
}
status softmax(const cuda& where, matrix<const bf16> logits, matrix<bf16> probabilities,
               const softmax_options& options) noexcept {
  return forward("softmax", "probabilities", false, where, logits, probabilities, options);
}

status log_softmax(const cuda& where, matrix<const float> logits, matrix<float> log_probabilities,
                   const softmax_options& options) noexcept {
  return forward("log_softmax", "log_probabilities", true, where, logits, log_probabilities,
                 options);
}
status log_softmax(const cuda& where, matrix<const half> logits, matrix<half> log_probabilities,
                   const softmax_options& options) noexcept {
  return forward("log_softmax", "log_probabilities", true, where, logits, log_probabilities,
                 options);
}
status log_softmax(const cuda& where, matrix<const bf16> logits, matrix<bf16> log_probabilities,
                   const softmax_options& options) noexcept {
  return forward("log_softmax", "log_probabilities", true, where, logits, log_probabilities,
                 options);
}

status softmax_backward(const cuda& where, matrix<const float> probabilities,
                        matrix<const float> grad_probabilities, matrix<float> grad_logits,
                        const softmax_options& options) noexcept {
  return backward("softmax_backward", "probabilities", "grad_probabilities", false, where,
                  probabilities, grad_probabilities, grad_logits, options);
}
status softmax_backward(const cuda& where, matrix<const half> probabilities,
                        matrix<const half> grad_probabilities, matrix<half> grad_logits,
                        const softmax_options& options) noexcept {
  return backward("softmax_backward", "probabilities", "grad_probabilities", false, where,
                  probabilities, grad_probabilities, grad_logits, options);
}
status softmax_backward(const cuda& where, matrix<const bf16> probabilities,
                        matrix<const bf16> grad_probabilities, matrix<bf16> grad_logits,
                        const softmax_options& options) noexcept {
  return backward("softmax_backward", "probabilities", "grad_probabilities", false, where,
                  probabilities, grad_probabilities, grad_logits, options);
}

status log_softmax_backward(const cuda& where, matrix<const float> log_probabilities,
                            matrix<const float> grad_log_probabilities, matrix<float> grad_logits,
                            const softmax_options& options) noexcept {
  return backward("log_softmax_backward", "log_probabilities", "grad_log_probabilities", true,
                  where, log_probabilities, grad_log_probabilities, grad_logits, options);
}
status log_softmax_backward(const cuda& where, matrix<const half> log_probabilities,
                            matrix<const half> grad_log_probabilities, matrix<half> grad_logits,
                            const softmax_options& options) noexcept {
  return backward("log_softmax_backward", "log_probabilities", "grad_log_probabilities", true,
                  where, log_probabilities, grad_log_probabilities, grad_logits, options);
}
status log_softmax_backward(const cuda& where, matrix<const bf16> log_probabilities,
                            matrix<const bf16> grad_log_probabilities, matrix<bf16> grad_logits,
                            const softmax_options& options) noexcept {
  return backward("log_softmax_backward", "log_probabilities", "grad_log_probabilities", true,
                  where, log_probabilities, grad_log_probabilities, grad_logits, options);
}

}  // namespace culoss
