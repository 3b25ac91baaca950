// Entropy and divergences on the CPU. The arithmetic of a row is in divergence.hpp beside this file.
#include "host/reference/divergence.hpp"

#include <vector>

#include "host/divergence.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

template <class T>
status run(const cpu& where, const matrix<const T>& input, const entropy_outputs<T>& out,
           const entropy_options& options) noexcept {
  status s = detail::check_entropy(where, input, out, options);
  if (!s.ok()) return s;
  return without_exceptions("entropy", [&] {
    const double temperature = read_temperature(options.temperature);
    const batch b(
        options, static_cast<double>(options.mean_elements ? input.rows * input.cols : input.rows));
    std::vector<double> losses(static_cast<std::size_t>(input.rows));
    for_each_row(where, input.rows, input.cols, [&](std::int64_t i, std::span<double> x) {
      load_row(input, i, x);
      const double scale = b.gradient_scale(i);
      double h = 0;
      if (options.input == entropy_input::probabilities) {
        h = entropy_of_probabilities<double>(x);
        entropy_gradient_of_probabilities(x, scale, x);
      } else {
        const auto row = entropy_of_logits<double>(x, temperature);
        h = row.value();
        entropy_gradient_of_logits(x, row, temperature, scale, x);
      }
      losses[static_cast<std::size_t>(i)] = weighted(b.row_weight(i), h);
      if (out.grad_input.empty()) return;
      if (const auto fixed = b.fixed_gradient()) return fill_row(out.grad_input, i, *fixed);
      store_row(out.grad_input, i, x);
    });
    b.write_loss(out.loss, losses);
  });
}

template <class T>
status run(const cpu& where, const matrix<const T>& p, const matrix<const T>& q,
           const kl_divergence_outputs<T>& out, const kl_divergence_options& options) noexcept {
  status s = detail::check_kl_divergence(where, p, q, out, options);
  if (!s.ok()) return s;
  return without_exceptions("kl_divergence", [&] {
    const bool p_is_log = options.p_input == kl_input::log_probabilities;
    const bool q_is_log = options.q_input == kl_input::log_probabilities;
    const bool reverse = options.direction == kl_direction::reverse;
    const batch b(options, static_cast<double>(options.mean_elements ? p.rows * p.cols : p.rows));
    std::vector<double> losses(static_cast<std::size_t>(p.rows));
    for_each_row_pair(where, p.rows, p.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> y) {
                        load_row(p, i, x);
                        load_row(q, i, y);
                        const double scale = b.gradient_scale(i);
                        double sum = 0;
                        for (std::size_t j = 0; j < x.size(); ++j) {
                          const probability<double> of_p(x[j], p_is_log), of_q(y[j], q_is_log);
                          const kl_term<double> term =
                              reverse ? kl_term<double>{of_q, of_p} : kl_term<double>{of_p, of_q};
                          sum += term.value();
                          const double first = weighted(scale, kl_derivative_by_p(term));
                          const double second = weighted(scale, kl_derivative_by_q(term));
                          x[j] = reverse ? second : first;
                          y[j] = reverse ? first : second;
                        }
                        losses[static_cast<std::size_t>(i)] = weighted(b.row_weight(i), sum);
                        if (const auto fixed = b.fixed_gradient()) {
                          std::ranges::fill(x, *fixed);
                          std::ranges::fill(y, *fixed);
                        }
                        if (!out.grad_p.empty()) store_row(out.grad_p, i, x);
                        if (!out.grad_q.empty()) store_row(out.grad_q, i, y);
                      });
    b.write_loss(out.loss, losses);
  });
}

template <class T>
status run(const cpu& where, const matrix<const T>& student, const matrix<const T>& teacher,
           const distillation_outputs<T>& out, const distillation_options& options) noexcept {
  status s = detail::check_distillation(where, student, teacher, out, options);
  if (!s.ok()) return s;
  return without_exceptions("distillation", [&] {
    const double temperature = read_temperature(options.temperature);
    const auto share = static_cast<double>(detail::share_of_teacher(options));
    const double factor = options.temperature_squared ? temperature * temperature : 1;
    const row_labels labels(options.labels, student.cols, options.ignore_index);
    const bool labeled = options.labels.data != nullptr;
    const std::int64_t counted = labeled ? labels.rows_counted() : student.rows;
    const batch b(options, static_cast<double>(counted));
    std::vector<double> losses(static_cast<std::size_t>(student.rows));
    for_each_row_pair(where, student.rows, student.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> y) {
                        const row_kind kind = labeled ? labels.kind(i) : row_kind::labeled;
                        if (kind == row_kind::bad_label) losses[static_cast<std::size_t>(i)] = kNan;
                        if (kind == row_kind::labeled) {
                          load_row(student, i, x);
                          load_row(teacher, i, y);
                          const distilled_row<double> row(x, y, temperature, share);
                          losses[static_cast<std::size_t>(i)] =
                              weighted(b.row_weight(i), factor * row.value(share));
                          distillation_gradient(row, temperature, share,
                                                factor * b.gradient_scale(i), x, y);
                        }
                        if (const auto fixed = b.fixed_gradient(kind)) {
                          std::ranges::fill(x, *fixed);
                          std::ranges::fill(y, *fixed);
                        }
                        if (!out.grad_student.empty()) store_row(out.grad_student, i, x);
                        if (!out.grad_teacher.empty()) store_row(out.grad_teacher, i, y);
                      });
    b.write_loss(out.loss, losses);
    write(out.rows_counted, 0, counted);
    labels.record_faults(where.faults);
  });
}

}  // namespace

status entropy(const cpu& where, matrix<const float> input, const entropy_outputs<float>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const half> input, const entropy_outputs<half>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const bf16> input, const entropy_outputs<bf16>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const double> input, const entropy_outputs<double>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status kl_divergence(const cpu& where, matrix<const float> p, matrix<const float> q,
                     const kl_divergence_outputs<float>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run(where, p, q, outputs, options);
}

status kl_divergence(const cpu& where, matrix<const half> p, matrix<const half> q,
                     const kl_divergence_outputs<half>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run(where, p, q, outputs, options);
}

status kl_divergence(const cpu& where, matrix<const bf16> p, matrix<const bf16> q,
                     const kl_divergence_outputs<bf16>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run(where, p, q, outputs, options);
}

status kl_divergence(const cpu& where, matrix<const double> p, matrix<const double> q,
                     const kl_divergence_outputs<double>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run(where, p, q, outputs, options);
}

status distillation(const cpu& where, matrix<const float> student, matrix<const float> teacher,
                    const distillation_outputs<float>& outputs,
                    const distillation_options& options) noexcept {
  return run(where, student, teacher, outputs, options);
}

status distillation(const cpu& where, matrix<const half> student, matrix<const half> teacher,
                    const distillation_outputs<half>& outputs,
                    const distillation_options& options) noexcept {
  return run(where, student, teacher, outputs, options);
}

status distillation(const cpu& where, matrix<const bf16> student, matrix<const bf16> teacher,
                    const distillation_outputs<bf16>& outputs,
                    const distillation_options& options) noexcept {
  return run(where, student, teacher, outputs, options);
}

status distillation(const cpu& where, matrix<const double> student, matrix<const double> teacher,
                    const distillation_outputs<double>& outputs,
                    const distillation_options& options) noexcept {
  return run(where, student, teacher, outputs, options);
}

}  // namespace culoss
