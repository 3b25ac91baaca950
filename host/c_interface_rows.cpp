// The C interface of softmax, softmax focal, multi-class hinge, nll and label smoothing.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

static_assert(CULOSS_NLL_LOG_PROBABILITIES == static_cast<int>(nll_input::log_probabilities) &&
              CULOSS_NLL_PROBABILITIES == static_cast<int>(nll_input::probabilities));

static_assert(CULOSS_HINGE_SUM == static_cast<int>(hinge_form::sum) &&
              CULOSS_HINGE_MAX == static_cast<int>(hinge_form::max));

template <class F, is<culoss_softmax_options> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(temperature);
}

template <class F, is<culoss_softmax_focal_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(gamma);
  CULOSS_FIELD(alpha);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(temperature);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_softmax_focal_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(statistics);
  CULOSS_FIELD(argmax);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_nll_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(input);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(class_weights);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_nll_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_input);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_smooth_labels_options> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(smoothing);
  CULOSS_FIELD(ignore_index);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_multi_class_hinge_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(form);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(power);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(class_weights);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_multi_class_hinge_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_scores);
  CULOSS_FIELD(rows_counted);
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_softmax_options_init(culoss_softmax_options* options, uint64_t size) {
  return init<softmax_options>("softmax_options_init", options, size);
}

culoss_status culoss_softmax(const culoss_execution* execution, culoss_const_matrix logits,
                             culoss_matrix probabilities, const culoss_softmax_options* options) {
  return run("softmax", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto p = read.view_of<matrix<T>>("probabilities", probabilities);
               const auto how = read.options<softmax_options>(options);
               return read.ok() ? softmax(where, x, p, how) : read.wrong();
             });
}

culoss_status culoss_log_softmax(const culoss_execution* execution, culoss_const_matrix logits,
                                 culoss_matrix log_probabilities,
                                 const culoss_softmax_options* options) {
  return run("log_softmax", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto l = read.view_of<matrix<T>>("log_probabilities", log_probabilities);
               const auto how = read.options<softmax_options>(options);
               return read.ok() ? log_softmax(where, x, l, how) : read.wrong();
             });
}

culoss_status culoss_softmax_backward(const culoss_execution* execution,
                                      culoss_const_matrix probabilities,
                                      culoss_const_matrix grad_probabilities,
                                      culoss_matrix grad_logits,
                                      const culoss_softmax_options* options) {
  return run("softmax_backward", execution, "probabilities", probabilities.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto p = read.view_of<matrix<const T>>("probabilities", probabilities);
               const auto g =
                   read.view_of<matrix<const T>>("grad_probabilities", grad_probabilities);
               const auto dx = read.view_of<matrix<T>>("grad_logits", grad_logits);
               const auto how = read.options<softmax_options>(options);
               return read.ok() ? softmax_backward(where, p, g, dx, how) : read.wrong();
             });
}

culoss_status culoss_log_softmax_backward(const culoss_execution* execution,
                                          culoss_const_matrix log_probabilities,
                                          culoss_const_matrix grad_log_probabilities,
                                          culoss_matrix grad_logits,
                                          const culoss_softmax_options* options) {
  return run("log_softmax_backward", execution, "log_probabilities", log_probabilities.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto l = read.view_of<matrix<const T>>("log_probabilities", log_probabilities);
               const auto g =
                   read.view_of<matrix<const T>>("grad_log_probabilities", grad_log_probabilities);
               const auto dx = read.view_of<matrix<T>>("grad_logits", grad_logits);
               const auto how = read.options<softmax_options>(options);
               return read.ok() ? log_softmax_backward(where, l, g, dx, how) : read.wrong();
             });
}

culoss_status culoss_softmax_focal_options_init(culoss_softmax_focal_options* options,
                                                uint64_t size) {
  return init<softmax_focal_options>("softmax_focal_options_init", options, size);
}

uint64_t culoss_softmax_focal_workspace_bytes(int64_t rows, int64_t cols) {
  return softmax_focal_workspace_bytes(rows, cols);
}

culoss_status culoss_softmax_focal(const culoss_execution* execution, culoss_const_matrix logits,
                                   culoss_const_vector labels,
                                   const culoss_softmax_focal_outputs* outputs,
                                   const culoss_softmax_focal_options* options) {
  return run("softmax_focal", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               return with_layout<T>(logits, [&]<class Input, class Gradient>() -> status {
                 const auto x = read.view_of<Input>("logits", logits);
                 const auto t = read.view_of<label_view>("labels", labels);
                 const auto out = read.outputs<softmax_focal_outputs<T, Gradient>>(outputs);
                 const auto how = read.options<softmax_focal_options>(options);
                 return read.ok() ? softmax_focal(where, x, t, out, how) : read.wrong();
               });
             });
}

culoss_status culoss_softmax_focal_backward(const culoss_execution* execution,
                                            culoss_const_matrix logits, culoss_const_vector labels,
                                            culoss_const_vector statistics,
                                            culoss_matrix grad_logits,
                                            const culoss_softmax_focal_options* options) {
  return run("softmax_focal_backward", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               return with_layout<T>(logits, [&]<class Input, class Gradient>() -> status {
                 using rows = vector<const row_statistics<real_of<T>>>;
                 const auto x = read.view_of<Input>("logits", logits);
                 const auto t = read.view_of<label_view>("labels", labels);
                 const auto s = read.view_of<rows>("statistics", statistics);
                 const softmax_focal_backward_outputs<T, Gradient> out = {
                     .grad_logits = read.view_of<Gradient>("grad_logits", grad_logits)};
                 const auto how = read.options<softmax_focal_options>(options);
                 return read.ok() ? softmax_focal_backward(where, x, t, s, out, how) : read.wrong();
               });
             });
}

culoss_status culoss_nll_options_init(culoss_nll_options* options, uint64_t size) {
  return init<nll_options>("nll_options_init", options, size);
}

uint64_t culoss_nll_workspace_bytes(int64_t rows, int64_t cols) {
  return nll_workspace_bytes(rows, cols);
}

culoss_status culoss_nll(const culoss_execution* execution, culoss_const_matrix input,
                         culoss_const_vector labels, const culoss_nll_outputs* outputs,
                         const culoss_nll_options* options) {
  return run("nll", execution, "input", input.type, [&]<class T>(reader& read, const auto& where) {
    const auto a = read.view_of<matrix<const T>>("input", input);
    const auto t = read.view_of<label_view>("labels", labels);
    const auto out = read.outputs<nll_outputs<T>>(outputs);
    const auto how = read.options<nll_options>(options);
    return read.ok() ? nll(where, a, t, out, how) : read.wrong();
  });
}

culoss_status culoss_smooth_labels_options_init(culoss_smooth_labels_options* options,
                                                uint64_t size) {
  return init<smooth_labels_options>("smooth_labels_options_init", options, size);
}

culoss_status culoss_smooth_labels(const culoss_execution* execution, culoss_const_vector labels,
                                   culoss_matrix smoothed,
                                   const culoss_smooth_labels_options* options) {
  return run("smooth_labels", execution, "smoothed", smoothed.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.view_of<matrix<T>>("smoothed", smoothed);
               const auto how = read.options<smooth_labels_options>(options);
               return read.ok() ? smooth_labels(where, t, out, how) : read.wrong();
             });
}

culoss_status culoss_smooth_labels_soft(const culoss_execution* execution,
                                        culoss_const_matrix targets, culoss_matrix smoothed,
                                        const culoss_smooth_labels_options* options) {
  return run("smooth_labels_soft", execution, "targets", targets.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto q = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.view_of<matrix<T>>("smoothed", smoothed);
               const auto how = read.options<smooth_labels_options>(options);
               return read.ok() ? smooth_labels(where, q, out, how) : read.wrong();
             });
}

culoss_status culoss_smooth_labels_backward(const culoss_execution* execution,
                                            culoss_const_matrix grad_smoothed,
                                            culoss_matrix grad_targets,
                                            const culoss_smooth_labels_options* options) {
  return run("smooth_labels_backward", execution, "grad_smoothed", grad_smoothed.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto g = read.view_of<matrix<const T>>("grad_smoothed", grad_smoothed);
               const auto dq = read.view_of<matrix<T>>("grad_targets", grad_targets);
               const auto how = read.options<smooth_labels_options>(options);
               return read.ok() ? smooth_labels_backward(where, g, dq, how) : read.wrong();
             });
}

culoss_status culoss_multi_class_hinge_options_init(culoss_multi_class_hinge_options* options,
                                                    uint64_t size) {
  return init<multi_class_hinge_options>("multi_class_hinge_options_init", options, size);
}

uint64_t culoss_multi_class_hinge_workspace_bytes(int64_t rows, int64_t cols) {
  return multi_class_hinge_workspace_bytes(rows, cols);
}

culoss_status culoss_multi_class_hinge(const culoss_execution* execution,
                                       culoss_const_matrix scores, culoss_const_vector labels,
                                       const culoss_multi_class_hinge_outputs* outputs,
                                       const culoss_multi_class_hinge_options* options) {
  return run("multi_class_hinge", execution, "scores", scores.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("scores", scores);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<multi_class_hinge_outputs<T>>(outputs);
               const auto how = read.options<multi_class_hinge_options>(options);
               return read.ok() ? multi_class_hinge(where, x, t, out, how) : read.wrong();
             });
}

}  // extern "C"
