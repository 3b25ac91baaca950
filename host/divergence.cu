#include "host/divergence.hpp"

#include "host/row_call.hpp"
#include "kernels/policy/distillation.cuh"
#include "kernels/policy/entropy.cuh"
#include "kernels/policy/kl_divergence.cuh"

namespace culoss {
namespace {

using namespace detail;

template <class T>
status run_entropy(const cuda& where, const matrix<const T>& input, const entropy_outputs<T>& out,
                   const entropy_options& options) noexcept {
  status s = check_entropy(where, input, out, options);
  device_context context;
  if (s.ok()) s = open("entropy", where, context);
  if (s.ok()) s = check_width(context, "input.cols", input.cols);
  if (!s.ok()) return s;
  kernels::entropy_arguments<T> a{};
  a.in[0] = stream_of(input);
  a.out[0] = target_of(out.grad_input);
  a.rows = input.rows;
  a.cols = input.cols;
  a.temperature = argument(options.temperature);
  return run_rows(
      where, context, a, out.loss.data, nullptr, options, [&](const auto& rows) noexcept {
        return options.input == entropy_input::logits
                   ? launch_rows<kernels::entropy_of_logits_policy<T>>(context, rows)
                   : launch_rows<kernels::entropy_of_probabilities_policy<T>>(context, rows);
      });
}

template <class T>
status run_kl_divergence(const cuda& where, const matrix<const T>& p, const matrix<const T>& q,
                         const kl_divergence_outputs<T>& out,
                         const kl_divergence_options& options) noexcept {
  status s = check_kl_divergence(where, p, q, out, options);
  device_context context;
  if (s.ok()) s = open("kl_divergence", where, context);
  if (s.ok()) s = check_width(context, "p.cols", p.cols);
  if (!s.ok()) return s;
  // The kernel knows one direction.
  const int of_p = options.direction == kl_direction::reverse ? 1 : 0, of_q = 1 - of_p;
  kernels::kl_divergence_arguments<T> a{};
  a.in[of_p] = stream_of(p);
  a.in[of_q] = stream_of(q);
  a.out[of_p] = target_of(out.grad_p);
  a.out[of_q] = target_of(out.grad_q);
  a.rows = p.rows;
  a.cols = p.cols;
  a.logarithms[of_p] = options.p_input == kl_input::log_probabilities;
  a.logarithms[of_q] = options.q_input == kl_input::log_probabilities;
  return run_rows(where, context, a, out.loss.data, nullptr, options,
                  [&](const auto& rows) noexcept {
                    return launch_rows<kernels::kl_divergence_policy<T>>(context, rows);
                  });
}

template <class T>
status run_distillation(const cuda& where, const matrix<const T>& student,
                        const matrix<const T>& teacher, const distillation_outputs<T>& out,
                        const distillation_options& options) noexcept {
  status s = check_distillation(where, student, teacher, out, options);
  device_context context;
  if (s.ok()) s = open("distillation", where, context);
  if (s.ok()) s = check_width(context, "student.cols", student.cols);
  if (!s.ok()) return s;
  // The kernels know KL(p | q), and of Jensen-Shannon p as the teacher.
  const float share = share_of_teacher(options);
  const bool mixture = share > 0.0f && share < 1.0f;
  const int of_teacher = share == 1.0f ? 1 : 0, of_student = 1 - of_teacher;
  kernels::distillation_arguments<T> a{};
  a.in[of_student] = stream_of(student);
  a.in[of_teacher] = stream_of(teacher);
  a.out[of_student] = target_of(out.grad_student);
  a.out[of_teacher] = target_of(out.grad_teacher);
  a.rows = student.rows;
  a.cols = student.cols;
  a.beta = share;
  a.temperature_squared = options.temperature_squared;
  a.temperature = argument(options.temperature);
  a.all = labels_of(options.labels, options.ignore_index, student.cols, options.ignore_index);
  return run_rows(where, context, a, out.loss.data, out.rows_counted.data, options,
                  [&](const auto& rows) noexcept {
                    return mixture
                               ? launch_rows<kernels::distillation_policy<T, true>>(context, rows)
                               : launch_rows<kernels::distillation_policy<T, false>,
                                             kernels::wide_distillation_policy<T>>(context, rows);
                  });
}

}  // namespace

std::size_t entropy_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}

status entropy(const cuda& where, matrix<const float> input, const entropy_outputs<float>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const half> input, const entropy_outputs<half>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const bf16> input, const entropy_outputs<bf16>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}

std::size_t kl_divergence_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}

status kl_divergence(const cuda& where, matrix<const float> p, matrix<const float> q,
                     const kl_divergence_outputs<float>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}
status kl_divergence(const cuda& where, matrix<const half> p, matrix<const half> q,
                     const kl_divergence_outputs<half>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}
status kl_divergence(const cuda& where, matrix<const bf16> p, matrix<const bf16> q,
                     const kl_divergence_outputs<bf16>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}

std::size_t distillation_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}

status distillation(const cuda& where, matrix<const float> student, matrix<const float> teacher,
                    const distillation_outputs<float>& outputs,
                    const distillation_options& options) noexcept {
  return run_distillation(where, student, teacher, outputs, options);
}
status distillation(const cuda& where, matrix<const half> student, matrix<const half> teacher,
                    const distillation_outputs<half>& outputs,
                    const distillation_options& options) noexcept {
  return run_distillation(where, student, teacher, outputs, options);
}
status distillation(const cuda& where, matrix<const bf16> student, matrix<const bf16> teacher,
                    const distillation_outputs<bf16>& outputs,
                    const distillation_options& options) noexcept {
  return run_distillation(where, student, teacher, outputs, options);
}

}  // namespace culoss
