// What the CPU and the CUDA side of the divergences share: the check of the arguments.
#pragma once

#include <culoss/divergence.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

template <class Where, class T>
status check_entropy(const Where& where, const matrix<const T>& input,
                     const entropy_outputs<T>& outputs, const entropy_options& options) noexcept {
  validator v("entropy");
  v.check(where);
  v.check("input", input, role::in_place_input);
  v.positive("input.cols", input.cols);
  v.require(options.input == entropy_input::probabilities || options.input == entropy_input::logits,
            "input must be probabilities or logits");
  v.temperature("temperature", options.temperature);
  const bool cold = options.temperature.on_device() || options.temperature.value() != 1.0f;
  v.require(options.input == entropy_input::logits || !cold,
            "temperature is given, but probabilities have none");
  v.check_if_given("row_weights", options.row_weights, input.rows, "input.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              input.rows);
  v.empty(options.empty);
  v.row_loss("loss", outputs.loss, options.reduction, input.rows, "input.rows");
  v.gradient_if_given("grad_input", outputs.grad_input, "input", input);
  v.require(input.rows == 0 || !outputs.loss.empty() || !outputs.grad_input.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_kl_divergence(const Where& where, const matrix<const T>& p, const matrix<const T>& q,
                           const kl_divergence_outputs<T>& outputs,
                           const kl_divergence_options& options) noexcept {
  validator v("kl_divergence");
  const auto is_input = [](kl_input i) {
    return i == kl_input::probabilities || i == kl_input::log_probabilities;
  };
  v.check(where);
  v.check("p", p, role::in_place_input);
  v.positive("p.cols", p.cols);
  v.check("q", q, role::in_place_input);
  v.same_shape("q", q, "p", p);
  v.require(is_input(options.p_input), "p_input must be probabilities or log_probabilities");
  v.require(is_input(options.q_input), "q_input must be probabilities or log_probabilities");
  v.require(
      options.direction == kl_direction::forward || options.direction == kl_direction::reverse,
      "direction must be forward or reverse");
  v.check_if_given("row_weights", options.row_weights, p.rows, "p.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows,
              p.rows);
  v.empty(options.empty);
  v.row_loss("loss", outputs.loss, options.reduction, p.rows, "p.rows");
  v.gradient_if_given("grad_p", outputs.grad_p, "p", p);
  v.gradient_if_given("grad_q", outputs.grad_q, "q", q);
  v.require(
      p.rows == 0 || !outputs.loss.empty() || !outputs.grad_p.empty() || !outputs.grad_q.empty(),
      "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_distillation(const Where& where, const matrix<const T>& student,
                          const matrix<const T>& teacher, const distillation_outputs<T>& outputs,
                          const distillation_options& options) noexcept {
  validator v("distillation");
  const std::int64_t rows = student.rows;
  const auto direction = static_cast<int>(options.direction);
  v.check(where);
  v.check("student", student, role::in_place_input);
  v.positive("student.cols", student.cols);
  v.check("teacher", teacher, role::in_place_input);
  v.same_shape("teacher", teacher, "student", student);
  v.require(direction >= 0 && direction < 3,
            "direction must be forward, reverse or jensen_shannon");
  v.in_range("beta", options.beta, 0.0f, 1.0f);
  v.temperature("temperature", options.temperature);
  if (options.labels.data != nullptr || options.labels.size != 0) {
    v.check("labels", options.labels, rows, "student.rows");
  }
  v.check_if_given("row_weights", options.row_weights, rows, "student.rows", role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows, rows);
  v.empty(options.empty);
  v.row_loss("loss", outputs.loss, options.reduction, rows, "student.rows");
  v.gradient_if_given("grad_student", outputs.grad_student, "student", student);
  v.gradient_if_given("grad_teacher", outputs.grad_teacher, "teacher", teacher);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_student.empty() ||
                !outputs.grad_teacher.empty() || !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

// How much of the loss is KL(teacher || m), or which of the two it is.
inline float share_of_teacher(const distillation_options& options) noexcept {
  switch (options.direction) {
    case distillation_direction::forward:
      return 0.0f;
    case distillation_direction::reverse:
      return 1.0f;
    case distillation_direction::jensen_shannon:
      break;
  }
  return options.beta;
}

}  // namespace culoss::detail
