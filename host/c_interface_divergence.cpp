// The C interface of entropy, Kullback-Leibler divergence and distillation.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

static_assert(CULOSS_ENTROPY_PROBABILITIES == static_cast<int>(entropy_input::probabilities) &&
              CULOSS_ENTROPY_LOGITS == static_cast<int>(entropy_input::logits));
static_assert(CULOSS_KL_PROBABILITIES == static_cast<int>(kl_input::probabilities) &&
              CULOSS_KL_LOG_PROBABILITIES == static_cast<int>(kl_input::log_probabilities));
static_assert(CULOSS_KL_FORWARD == static_cast<int>(kl_direction::forward) &&
              CULOSS_KL_REVERSE == static_cast<int>(kl_direction::reverse));
static_assert(CULOSS_DISTILLATION_FORWARD == static_cast<int>(distillation_direction::forward) &&
              CULOSS_DISTILLATION_REVERSE == static_cast<int>(distillation_direction::reverse) &&
              CULOSS_DISTILLATION_JENSEN_SHANNON ==
                  static_cast<int>(distillation_direction::jensen_shannon));

template <class F, is<culoss_entropy_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(input);
  CULOSS_FIELD(temperature);
  CULOSS_FIELD(mean_elements);
}

template <class F, is<culoss_entropy_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_input);
}

template <class F, is<culoss_kl_divergence_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(p_input);
  CULOSS_FIELD(q_input);
  CULOSS_FIELD(direction);
  CULOSS_FIELD(mean_elements);
}

template <class F, is<culoss_kl_divergence_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_p);
  CULOSS_FIELD(grad_q);
}

template <class F, is<culoss_distillation_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(direction);
  CULOSS_FIELD(beta);
  CULOSS_FIELD(temperature);
  CULOSS_FIELD(temperature_squared);
  CULOSS_FIELD(labels);
  CULOSS_FIELD(ignore_index);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_distillation_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_student);
  CULOSS_FIELD(grad_teacher);
  CULOSS_FIELD(rows_counted);
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_entropy_options_init(culoss_entropy_options* options, uint64_t size) {
  return init<entropy_options>("entropy_options_init", options, size);
}

uint64_t culoss_entropy_workspace_bytes(int64_t rows, int64_t cols) {
  return entropy_workspace_bytes(rows, cols);
}

culoss_status culoss_entropy(const culoss_execution* execution, culoss_const_matrix input,
                             const culoss_entropy_outputs* outputs,
                             const culoss_entropy_options* options) {
  return run("entropy", execution, "input", input.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("input", input);
               const auto out = read.outputs<entropy_outputs<T>>(outputs);
               const auto how = read.options<entropy_options>(options);
               return read.ok() ? entropy(where, x, out, how) : read.wrong();
             });
}

culoss_status culoss_kl_divergence_options_init(culoss_kl_divergence_options* options,
                                                uint64_t size) {
  return init<kl_divergence_options>("kl_divergence_options_init", options, size);
}

uint64_t culoss_kl_divergence_workspace_bytes(int64_t rows, int64_t cols) {
  return kl_divergence_workspace_bytes(rows, cols);
}

culoss_status culoss_kl_divergence(const culoss_execution* execution, culoss_const_matrix p,
                                   culoss_const_matrix q,
                                   const culoss_kl_divergence_outputs* outputs,
                                   const culoss_kl_divergence_options* options) {
  return run("kl_divergence", execution, "p", p.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto a = read.view_of<matrix<const T>>("p", p);
               const auto b = read.view_of<matrix<const T>>("q", q);
               const auto out = read.outputs<kl_divergence_outputs<T>>(outputs);
               const auto how = read.options<kl_divergence_options>(options);
               return read.ok() ? kl_divergence(where, a, b, out, how) : read.wrong();
             });
}

culoss_status culoss_distillation_options_init(culoss_distillation_options* options,
                                               uint64_t size) {
  return init<distillation_options>("distillation_options_init", options, size);
}

uint64_t culoss_distillation_workspace_bytes(int64_t rows, int64_t cols) {
  return distillation_workspace_bytes(rows, cols);
}

culoss_status culoss_distillation(const culoss_execution* execution, culoss_const_matrix student,
                                  culoss_const_matrix teacher,
                                  const culoss_distillation_outputs* outputs,
                                  const culoss_distillation_options* options) {
  return run("distillation", execution, "student", student.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("student", student);
               const auto y = read.view_of<matrix<const T>>("teacher", teacher);
               const auto out = read.outputs<distillation_outputs<T>>(outputs);
               const auto how = read.options<distillation_options>(options);
               return read.ok() ? distillation(where, x, y, out, how) : read.wrong();
             });
}

}  // extern "C"
