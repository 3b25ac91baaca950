// The C interface of the losses of elements.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

static_assert(CULOSS_WEIGHTED_MEAN_ELEMENTS == static_cast<int>(weighted_mean::elements) &&
              CULOSS_WEIGHTED_MEAN_WEIGHTS == static_cast<int>(weighted_mean::weights));
static_assert(CULOSS_FOCAL_MEAN_ELEMENTS == static_cast<int>(focal_mean::elements) &&
              CULOSS_FOCAL_MEAN_POSITIVES == static_cast<int>(focal_mean::positives));
static_assert(CULOSS_AFTER_LAST_CLASS == hinge_options::kAfterLastClass &&
              CULOSS_AFTER_LAST_CLASS == sigmoid_focal_options::kAfterLastClass);

template <class F, class C, class O>
void weighted_fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(weights);
  CULOSS_FIELD(upstream_elements);
}

template <class F, is<culoss_regression_options> C, class O>
void fields(F& f, C& c, O& o) {
  weighted_fields(f, c, o);
  CULOSS_FIELD(mean_over);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_huber_options> C, class O>
void fields(F& f, C& c, O& o) {
  weighted_fields(f, c, o);
  CULOSS_FIELD(mean_over);
  CULOSS_FIELD(delta);
}

template <class F, is<culoss_smooth_l1_options> C, class O>
void fields(F& f, C& c, O& o) {
  weighted_fields(f, c, o);
  CULOSS_FIELD(mean_over);
  CULOSS_FIELD(beta);
}

template <class F, is<culoss_regression_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_predictions);
  CULOSS_FIELD(grad_targets);
}

template <class F, is<culoss_binary_cross_entropy_options> C, class O>
void fields(F& f, C& c, O& o) {
  weighted_fields(f, c, o);
  CULOSS_FIELD(pos_weight);
  CULOSS_FIELD(label_smoothing);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_binary_cross_entropy_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(grad_targets);
}

template <class F, is<culoss_binary_cross_entropy_probabilities_options> C, class O>
void fields(F& f, C& c, O& o) {
  weighted_fields(f, c, o);
}

template <class F, is<culoss_binary_cross_entropy_probabilities_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_probabilities);
  CULOSS_FIELD(grad_targets);
}

template <class F, is<culoss_hinge_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(power);
  CULOSS_FIELD(background);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(upstream_elements);
}

template <class F, is<culoss_soft_margin_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(background);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(upstream_elements);
}

template <class F, is<culoss_margin_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_scores);
}

template <class F, is<culoss_sigmoid_focal_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(gamma);
  CULOSS_FIELD(alpha);
  CULOSS_FIELD(mean_over);
  CULOSS_FIELD(background);
  CULOSS_FIELD(ignore_index);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_sigmoid_focal_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(grad_targets);
}

template <class F, is<culoss_sigmoid_focal_label_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(losses);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(positives);
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_regression_options_init(culoss_regression_options* options, uint64_t size) {
  return init<regression_options>("regression_options_init", options, size);
}
culoss_status culoss_huber_options_init(culoss_huber_options* options, uint64_t size) {
  return init<huber_options>("huber_options_init", options, size);
}
culoss_status culoss_smooth_l1_options_init(culoss_smooth_l1_options* options, uint64_t size) {
  return init<smooth_l1_options>("smooth_l1_options_init", options, size);
}
culoss_status culoss_binary_cross_entropy_options_init(culoss_binary_cross_entropy_options* options,
                                                       uint64_t size) {
  return init<binary_cross_entropy_options>("binary_cross_entropy_options_init", options, size);
}
culoss_status culoss_binary_cross_entropy_probabilities_options_init(
    culoss_binary_cross_entropy_probabilities_options* options, uint64_t size) {
  return init<binary_cross_entropy_probabilities_options>(
      "binary_cross_entropy_probabilities_options_init", options, size);
}
culoss_status culoss_hinge_options_init(culoss_hinge_options* options, uint64_t size) {
  return init<hinge_options>("hinge_options_init", options, size);
}
culoss_status culoss_soft_margin_options_init(culoss_soft_margin_options* options, uint64_t size) {
  return init<soft_margin_options>("soft_margin_options_init", options, size);
}
culoss_status culoss_sigmoid_focal_options_init(culoss_sigmoid_focal_options* options,
                                                uint64_t size) {
  return init<sigmoid_focal_options>("sigmoid_focal_options_init", options, size);
}

uint64_t culoss_regression_workspace_bytes(int64_t rows, int64_t cols) {
  return regression_workspace_bytes(rows, cols);
}
uint64_t culoss_binary_cross_entropy_workspace_bytes(int64_t rows, int64_t cols) {
  return binary_cross_entropy_workspace_bytes(rows, cols);
}
uint64_t culoss_margin_workspace_bytes(int64_t rows, int64_t cols) {
  return margin_workspace_bytes(rows, cols);
}
uint64_t culoss_sigmoid_focal_workspace_bytes(int64_t rows, int64_t cols) {
  return sigmoid_focal_workspace_bytes(rows, cols);
}

culoss_status culoss_mse(const culoss_execution* execution, culoss_const_matrix predictions,
                         culoss_const_matrix targets, const culoss_regression_outputs* outputs,
                         const culoss_regression_options* options) {
  return run("mse", execution, "predictions", predictions.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("predictions", predictions);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<regression_outputs<T>>(outputs);
               const auto how = read.options<regression_options>(options);
               return read.ok() ? mse(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_mae(const culoss_execution* execution, culoss_const_matrix predictions,
                         culoss_const_matrix targets, const culoss_regression_outputs* outputs,
                         const culoss_regression_options* options) {
  return run("mae", execution, "predictions", predictions.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("predictions", predictions);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<regression_outputs<T>>(outputs);
               const auto how = read.options<regression_options>(options);
               return read.ok() ? mae(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_huber(const culoss_execution* execution, culoss_const_matrix predictions,
                           culoss_const_matrix targets, const culoss_regression_outputs* outputs,
                           const culoss_huber_options* options) {
  return run("huber", execution, "predictions", predictions.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("predictions", predictions);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<regression_outputs<T>>(outputs);
               const auto how = read.options<huber_options>(options);
               return read.ok() ? huber(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_smooth_l1(const culoss_execution* execution, culoss_const_matrix predictions,
                               culoss_const_matrix targets,
                               const culoss_regression_outputs* outputs,
                               const culoss_smooth_l1_options* options) {
  return run("smooth_l1", execution, "predictions", predictions.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("predictions", predictions);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<regression_outputs<T>>(outputs);
               const auto how = read.options<smooth_l1_options>(options);
               return read.ok() ? smooth_l1(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_binary_cross_entropy(const culoss_execution* execution,
                                          culoss_const_matrix logits, culoss_const_matrix targets,
                                          const culoss_binary_cross_entropy_outputs* outputs,
                                          const culoss_binary_cross_entropy_options* options) {
  return run("binary_cross_entropy", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<binary_cross_entropy_outputs<T>>(outputs);
               const auto how = read.options<binary_cross_entropy_options>(options);
               return read.ok() ? binary_cross_entropy(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_binary_cross_entropy_probabilities(
    const culoss_execution* execution, culoss_const_matrix probabilities,
    culoss_const_matrix targets, const culoss_binary_cross_entropy_probabilities_outputs* outputs,
    const culoss_binary_cross_entropy_probabilities_options* options) {
  return run(
      "binary_cross_entropy_probabilities", execution, "probabilities", probabilities.type,
      [&]<class T>(reader& read, const auto& where) {
        const auto p = read.view_of<matrix<const T>>("probabilities", probabilities);
        const auto t = read.view_of<matrix<const T>>("targets", targets);
        const auto out = read.outputs<binary_cross_entropy_probabilities_outputs<T>>(outputs);
        const auto how = read.options<binary_cross_entropy_probabilities_options>(options);
        return read.ok() ? binary_cross_entropy_probabilities(where, p, t, out, how) : read.wrong();
      });
}

culoss_status culoss_hinge(const culoss_execution* execution, culoss_const_matrix scores,
                           culoss_const_matrix targets, const culoss_margin_outputs* outputs,
                           const culoss_hinge_options* options) {
  return run("hinge", execution, "scores", scores.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("scores", scores);
               const auto y = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<margin_outputs<T>>(outputs);
               const auto how = read.options<hinge_options>(options);
               return read.ok() ? hinge(where, x, y, out, how) : read.wrong();
             });
}

culoss_status culoss_hinge_labels(const culoss_execution* execution, culoss_const_matrix scores,
                                  culoss_const_vector labels, const culoss_margin_outputs* outputs,
                                  const culoss_hinge_options* options) {
  return run("hinge_labels", execution, "scores", scores.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("scores", scores);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<margin_outputs<T>>(outputs);
               const auto how = read.options<hinge_options>(options);
               return read.ok() ? hinge(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_soft_margin(const culoss_execution* execution, culoss_const_matrix scores,
                                 culoss_const_matrix targets, const culoss_margin_outputs* outputs,
                                 const culoss_soft_margin_options* options) {
  return run("soft_margin", execution, "scores", scores.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("scores", scores);
               const auto y = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<margin_outputs<T>>(outputs);
               const auto how = read.options<soft_margin_options>(options);
               return read.ok() ? soft_margin(where, x, y, out, how) : read.wrong();
             });
}

culoss_status culoss_soft_margin_labels(const culoss_execution* execution,
                                        culoss_const_matrix scores, culoss_const_vector labels,
                                        const culoss_margin_outputs* outputs,
                                        const culoss_soft_margin_options* options) {
  return run("soft_margin_labels", execution, "scores", scores.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("scores", scores);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<margin_outputs<T>>(outputs);
               const auto how = read.options<soft_margin_options>(options);
               return read.ok() ? soft_margin(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_sigmoid_focal(const culoss_execution* execution, culoss_const_matrix logits,
                                   culoss_const_matrix targets,
                                   const culoss_sigmoid_focal_outputs* outputs,
                                   const culoss_sigmoid_focal_options* options) {
  return run("sigmoid_focal", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto t = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<sigmoid_focal_outputs<T>>(outputs);
               const auto how = read.options<sigmoid_focal_options>(options);
               return read.ok() ? sigmoid_focal(where, x, t, out, how) : read.wrong();
             });
}

culoss_status culoss_sigmoid_focal_labels(const culoss_execution* execution,
                                          culoss_const_matrix logits, culoss_const_vector labels,
                                          const culoss_sigmoid_focal_label_outputs* outputs,
                                          const culoss_sigmoid_focal_options* options) {
  return run("sigmoid_focal_labels", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<sigmoid_focal_label_outputs<T>>(outputs);
               const auto how = read.options<sigmoid_focal_options>(options);
               return read.ok() ? sigmoid_focal(where, x, t, out, how) : read.wrong();
             });
}

}  // extern "C"
