// The C interface of cross_entropy and linear_cross_entropy.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

template <class F, is<culoss_cross_entropy_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(label_smoothing);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(temperature);
  CULOSS_FIELD(softcap);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(class_weights);
  CULOSS_FIELD(class_offset);
  CULOSS_FIELD(classes);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_merged_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(lse);
  CULOSS_FIELD(statistics);
  CULOSS_FIELD(argmax);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(entropy);
}

template <class F, is<culoss_cross_entropy_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(lse);
  CULOSS_FIELD(statistics);
  CULOSS_FIELD(argmax);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(entropy);
  CULOSS_FIELD(shards);
}

template <class F, is<culoss_cross_entropy_soft_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_logits);
  CULOSS_FIELD(grad_targets);
  CULOSS_FIELD(lse);
  CULOSS_FIELD(statistics);
  CULOSS_FIELD(argmax);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(entropy);
}

template <class F, is<culoss_linear_cross_entropy_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(label_smoothing);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(temperature);
  CULOSS_FIELD(softcap);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(class_weights);
  CULOSS_FIELD(class_offset);
  CULOSS_FIELD(classes);
  CULOSS_FIELD(accumulate);
  CULOSS_FIELD(allow_tf32);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_linear_cross_entropy_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_hidden);
  CULOSS_FIELD(grad_weight);
  CULOSS_FIELD(grad_bias);
  CULOSS_FIELD(lse);
  CULOSS_FIELD(statistics);
  CULOSS_FIELD(argmax);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(entropy);
  CULOSS_FIELD(shards);
}

template <class F, is<culoss_linear_cross_entropy_backward_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(grad_hidden);
  CULOSS_FIELD(grad_weight);
  CULOSS_FIELD(grad_bias);
}

template <class F, is<culoss_linear_cross_entropy_shape> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(rows);
  CULOSS_FIELD(classes);
  CULOSS_FIELD(dimension);
  f.element_bytes("type", c.type, o.element_bytes);
  CULOSS_FIELD(hidden_gradient);
  CULOSS_FIELD(weight_gradient);
  CULOSS_FIELD(bias_gradient);
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_cross_entropy_options_init(culoss_cross_entropy_options* options,
                                                uint64_t size) {
  return init<cross_entropy_options>("cross_entropy_options_init", options, size);
}

uint64_t culoss_cross_entropy_workspace_bytes(int64_t rows, int64_t cols) {
  return cross_entropy_workspace_bytes(rows, cols);
}

culoss_status culoss_cross_entropy(const culoss_execution* execution, culoss_const_matrix logits,
                                   culoss_const_vector labels,
                                   const culoss_cross_entropy_outputs* outputs,
                                   const culoss_cross_entropy_options* options) {
  return run("cross_entropy", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               return with_layout<T>(logits, [&]<class Input, class Gradient>() -> status {
                 const auto x = read.view_of<Input>("logits", logits);
                 const auto t = read.view_of<label_view>("labels", labels);
                 const auto out = read.outputs<cross_entropy_outputs<T, Gradient>>(outputs);
                 const auto how = read.options<cross_entropy_options>(options);
                 return read.ok() ? cross_entropy(where, x, t, out, how) : read.wrong();
               });
             });
}

culoss_status culoss_cross_entropy_backward(const culoss_execution* execution,
                                            culoss_const_matrix logits, culoss_const_vector labels,
                                            culoss_const_vector statistics,
                                            culoss_matrix grad_logits,
                                            const culoss_cross_entropy_options* options) {
  return run("cross_entropy_backward", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               return with_layout<T>(logits, [&]<class Input, class Gradient>() -> status {
                 using rows = vector<const row_statistics<real_of<T>>>;
                 const auto x = read.view_of<Input>("logits", logits);
                 const auto t = read.view_of<label_view>("labels", labels);
                 const auto s = read.view_of<rows>("statistics", statistics);
                 const cross_entropy_backward_outputs<T, Gradient> out = {
                     .grad_logits = read.view_of<Gradient>("grad_logits", grad_logits)};
                 const auto how = read.options<cross_entropy_options>(options);
                 return read.ok() ? cross_entropy_backward(where, x, t, s, out, how) : read.wrong();
               });
             });
}

culoss_status culoss_cross_entropy_soft(const culoss_execution* execution,
                                        culoss_const_matrix logits, culoss_const_matrix targets,
                                        const culoss_cross_entropy_soft_outputs* outputs,
                                        const culoss_cross_entropy_options* options) {
  return run("cross_entropy_soft", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto q = read.view_of<matrix<const T>>("targets", targets);
               const auto out = read.outputs<cross_entropy_soft_outputs<T>>(outputs);
               const auto how = read.options<cross_entropy_options>(options);
               return read.ok() ? cross_entropy(where, x, q, out, how) : read.wrong();
             });
}

culoss_status culoss_cross_entropy_soft_backward(
    const culoss_execution* execution, culoss_const_matrix logits, culoss_const_matrix targets,
    culoss_const_vector statistics, culoss_matrix grad_logits, culoss_matrix grad_targets,
    const culoss_cross_entropy_options* options) {
  return run("cross_entropy_soft_backward", execution, "logits", logits.type,
             [&]<class T>(reader& read, const auto& where) {
               using rows = vector<const row_statistics<real_of<T>>>;
               const auto x = read.view_of<matrix<const T>>("logits", logits);
               const auto q = read.view_of<matrix<const T>>("targets", targets);
               const auto s = read.view_of<rows>("statistics", statistics);
               const cross_entropy_soft_backward_outputs<T> out = {
                   .grad_logits = read.view_of<matrix<T>>("grad_logits", grad_logits),
                   .grad_targets = read.view_of<matrix<T>>("grad_targets", grad_targets)};
               const auto how = read.options<cross_entropy_options>(options);
               return read.ok() ? cross_entropy_backward(where, x, q, s, out, how) : read.wrong();
             });
}

culoss_status culoss_merge_statistics(const culoss_execution* execution, culoss_const_matrix shards,
                                      culoss_const_vector labels,
                                      const culoss_merged_outputs* outputs,
                                      const culoss_cross_entropy_options* options) {
  const bool wide = shards.type == CULOSS_SHARD_STATISTICS_FLOAT64;
  return run("merge_statistics", execution, "shards", wide ? CULOSS_FLOAT64 : CULOSS_FLOAT32,
             [&]<class T>(reader& read, const auto& where) {
               using real = real_of<T>;
               const auto s = read.view_of<matrix<const shard_statistics<real>>>("shards", shards);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<merged_outputs<real>>(outputs);
               const auto how = read.options<cross_entropy_options>(options);
               return read.ok() ? merge_statistics(where, s, t, out, how) : read.wrong();
             });
}

culoss_status culoss_linear_cross_entropy_options_init(culoss_linear_cross_entropy_options* options,
                                                       uint64_t size) {
  return init<linear_cross_entropy_options>("linear_cross_entropy_options_init", options, size);
}

culoss_status culoss_linear_cross_entropy_workspace(const culoss_linear_cross_entropy_shape* shape,
                                                    culoss_workspace* out) {
  return plan<linear_cross_entropy_shape>(
      "linear_cross_entropy_workspace", shape, out, [](const linear_cross_entropy_shape& s) {
        const linear_cross_entropy_plan p = linear_cross_entropy_workspace(s);
        culoss_workspace w{};
        w.least = p.least;
        w.best = p.best;
        w.least_rows = p.least_rows;
        w.best_rows = p.best_rows;
        return w;
      });
}

culoss_status culoss_linear_cross_entropy(const culoss_execution* execution,
                                          culoss_const_matrix hidden, culoss_const_matrix weight,
                                          culoss_const_vector bias, culoss_const_vector labels,
                                          const culoss_linear_cross_entropy_outputs* outputs,
                                          const culoss_linear_cross_entropy_options* options) {
  return run("linear_cross_entropy", execution, "hidden", hidden.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto h = read.view_of<matrix<const T>>("hidden", hidden);
               const auto w = read.view_of<matrix<const T>>("weight", weight);
               const auto b = read.view_of<vector<const real_of<T>>>("bias", bias);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<linear_cross_entropy_outputs<T>>(outputs);
               const auto how = read.options<linear_cross_entropy_options>(options);
               return read.ok() ? linear_cross_entropy(where, h, w, b, t, out, how) : read.wrong();
             });
}

culoss_status culoss_linear_cross_entropy_backward(
    const culoss_execution* execution, culoss_const_matrix hidden, culoss_const_matrix weight,
    culoss_const_vector bias, culoss_const_vector labels, culoss_const_vector statistics,
    const culoss_linear_cross_entropy_backward_outputs* outputs,
    const culoss_linear_cross_entropy_options* options) {
  return run("linear_cross_entropy_backward", execution, "hidden", hidden.type,
             [&]<class T>(reader& read, const auto& where) {
               using rows = vector<const row_statistics<real_of<T>>>;
               const auto h = read.view_of<matrix<const T>>("hidden", hidden);
               const auto w = read.view_of<matrix<const T>>("weight", weight);
               const auto b = read.view_of<vector<const real_of<T>>>("bias", bias);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto s = read.view_of<rows>("statistics", statistics);
               const auto out = read.outputs<linear_cross_entropy_backward_outputs<T>>(outputs);
               const auto how = read.options<linear_cross_entropy_options>(options);
               return read.ok() ? linear_cross_entropy_backward(where, h, w, b, t, s, out, how)
                                : read.wrong();
             });
}

}  // extern "C"
