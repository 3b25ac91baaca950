// The C interface of the losses over a batch of embeddings.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

static_assert(CULOSS_PLAN_FORWARD_ONLY == static_cast<int>(similarity_plan::forward_only) &&
              CULOSS_PLAN_ONE_VISIT == static_cast<int>(similarity_plan::one_visit) &&
              CULOSS_PLAN_RECOMPUTE == static_cast<int>(similarity_plan::recompute) &&
              CULOSS_PLAN_KEPT == static_cast<int>(similarity_plan::kept) &&
              CULOSS_PLAN_AUTOMATIC == static_cast<int>(similarity_plan::automatic));
static_assert(CULOSS_MINING_BATCH_HARD == static_cast<int>(mining_rule::batch_hard) &&
              CULOSS_MINING_SEMI_HARD == static_cast<int>(mining_rule::semi_hard) &&
              CULOSS_MINING_BATCH_ALL == static_cast<int>(mining_rule::batch_all));

template <class F, class C, class O>
void similarity_fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(normalize);
  CULOSS_FIELD(temperature);
  CULOSS_FIELD(log_scale);
  CULOSS_FIELD(accumulate);
  CULOSS_FIELD(allow_tf32);
}

template <class F, is<culoss_info_nce_options> C, class O>
void fields(F& f, C& c, O& o) {
  similarity_fields(f, c, o);
  CULOSS_FIELD(positive_offset);
  CULOSS_FIELD(in_batch);
  CULOSS_FIELD(query_ids);
  CULOSS_FIELD(key_ids);
  CULOSS_FIELD(negative_ids);
  CULOSS_FIELD(mask);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(plan);
}

template <class F, is<culoss_info_nce_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_queries);
  CULOSS_FIELD(grad_keys);
  CULOSS_FIELD(grad_negatives);
  CULOSS_FIELD(grad_row_negatives);
  CULOSS_FIELD(grad_scale);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_clip_options> C, class O>
void fields(F& f, C& c, O& o) {
  similarity_fields(f, c, o);
  CULOSS_FIELD(ids);
  CULOSS_FIELD(mask);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(plan);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_clip_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_images);
  CULOSS_FIELD(grad_texts);
  CULOSS_FIELD(grad_scale);
  CULOSS_FIELD(correct_images);
  CULOSS_FIELD(correct_texts);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_siglip_options> C, class O>
void fields(F& f, C& c, O& o) {
  similarity_fields(f, c, o);
  CULOSS_FIELD(bias);
  CULOSS_FIELD(positive_offset);
  CULOSS_FIELD(positives);
  CULOSS_FIELD(image_ids);
  CULOSS_FIELD(text_ids);
}

template <class F, is<culoss_siglip_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_images);
  CULOSS_FIELD(grad_texts);
  CULOSS_FIELD(grad_scale);
  CULOSS_FIELD(grad_bias);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_nt_xent_options> C, class O>
void fields(F& f, C& c, O& o) {
  similarity_fields(f, c, o);
  CULOSS_FIELD(ids);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_nt_xent_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_embeddings);
  CULOSS_FIELD(grad_scale);
  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_sup_con_options> C, class O>
void fields(F& f, C& c, O& o) {
  similarity_fields(f, c, o);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_sup_con_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_embeddings);
  CULOSS_FIELD(grad_scale);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_mined_triplet_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(rule);
  CULOSS_FIELD(distance);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(soft_margin);
  CULOSS_FIELD(ignore_index);
  CULOSS_FIELD(accumulate);
  CULOSS_FIELD(allow_tf32);
}

template <class F, is<culoss_mined_triplet_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_embeddings);
  CULOSS_FIELD(positives);
  CULOSS_FIELD(negatives);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_similarity_shape> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(queries);
  CULOSS_FIELD(keys);
  CULOSS_FIELD(negatives);
  CULOSS_FIELD(dimension);
  CULOSS_FIELD(row_negatives);
  f.element_bytes("type", c.type, o.element_bytes);
  CULOSS_FIELD(gradients);
  CULOSS_FIELD(negative_gradients);
  CULOSS_FIELD(plan);
}

template <class F, is<culoss_self_similarity_shape> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(rows);
  CULOSS_FIELD(dimension);
  f.element_bytes("type", c.type, o.element_bytes);
  CULOSS_FIELD(gradients);
}

template <class F, is<culoss_mined_triplet_shape> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(rows);
  CULOSS_FIELD(dimension);
  CULOSS_FIELD(rule);
  f.reserved("reserved", c.reserved);
}

culoss_workspace with_plans(const similarity_workspace& s) {
  culoss_workspace w{};
  w.least = s.least;
  w.best = s.best;
  w.least_plan = static_cast<culoss_similarity_plan>(s.least_plan);
  w.best_plan = static_cast<culoss_similarity_plan>(s.best_plan);
  return w;
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_info_nce_options_init(culoss_info_nce_options* options, uint64_t size) {
  return init<info_nce_options>("info_nce_options_init", options, size);
}
culoss_status culoss_clip_options_init(culoss_clip_options* options, uint64_t size) {
  return init<clip_options>("clip_options_init", options, size);
}
culoss_status culoss_siglip_options_init(culoss_siglip_options* options, uint64_t size) {
  return init<siglip_options>("siglip_options_init", options, size);
}
culoss_status culoss_nt_xent_options_init(culoss_nt_xent_options* options, uint64_t size) {
  return init<nt_xent_options>("nt_xent_options_init", options, size);
}
culoss_status culoss_sup_con_options_init(culoss_sup_con_options* options, uint64_t size) {
  return init<sup_con_options>("sup_con_options_init", options, size);
}
culoss_status culoss_mined_triplet_options_init(culoss_mined_triplet_options* options,
                                                uint64_t size) {
  return init<mined_triplet_options>("mined_triplet_options_init", options, size);
}

culoss_status culoss_info_nce_workspace(const culoss_similarity_shape* shape,
                                        culoss_workspace* out) {
  return plan<similarity_shape>("info_nce_workspace", shape, out, [](const similarity_shape& s) {
    return with_plans(info_nce_workspace(s));
  });
}
culoss_status culoss_clip_workspace(const culoss_similarity_shape* shape, culoss_workspace* out) {
  return plan<similarity_shape>("clip_workspace", shape, out, [](const similarity_shape& s) {
    return with_plans(clip_workspace(s));
  });
}
culoss_status culoss_siglip_workspace(const culoss_similarity_shape* shape, culoss_workspace* out) {
  return plan<similarity_shape>("siglip_workspace", shape, out, [](const similarity_shape& s) {
    return with_plans(siglip_workspace(s));
  });
}
culoss_status culoss_nt_xent_workspace(const culoss_self_similarity_shape* shape,
                                       culoss_workspace* out) {
  return plan<self_similarity_shape>(
      "nt_xent_workspace", shape, out,
      [](const self_similarity_shape& s) { return with_plans(nt_xent_workspace(s)); });
}
culoss_status culoss_sup_con_workspace(const culoss_self_similarity_shape* shape,
                                       culoss_workspace* out) {
  return plan<self_similarity_shape>(
      "sup_con_workspace", shape, out,
      [](const self_similarity_shape& s) { return with_plans(sup_con_workspace(s)); });
}
culoss_status culoss_mined_triplet_workspace(const culoss_mined_triplet_shape* shape,
                                             culoss_workspace* out) {
  return plan<mined_triplet_shape>("mined_triplet_workspace", shape, out,
                                   [](const mined_triplet_shape& s) {
                                     const auto bytes = mined_triplet_workspace(s);
                                     culoss_workspace w{};
                                     w.least = bytes.least;
                                     w.best = bytes.best;
                                     return w;
                                   });
}

culoss_status culoss_info_nce(const culoss_execution* execution, culoss_const_matrix queries,
                              culoss_const_matrix keys, culoss_const_matrix negatives,
                              culoss_const_matrix row_negatives,
                              const culoss_info_nce_outputs* outputs,
                              const culoss_info_nce_options* options) {
  return run("info_nce", execution, "queries", queries.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto q = read.view_of<matrix<const T>>("queries", queries);
               const auto k = read.view_of<matrix<const T>>("keys", keys);
               const auto n = read.view_of<matrix<const T>>("negatives", negatives);
               const auto r = read.view_of<matrix<const T>>("row_negatives", row_negatives);
               const auto out = read.outputs<info_nce_outputs<T>>(outputs);
               const auto how = read.options<info_nce_options>(options);
               return read.ok() ? info_nce(where, q, k, n, r, out, how) : read.wrong();
             });
}

culoss_status culoss_clip(const culoss_execution* execution, culoss_const_matrix images,
                          culoss_const_matrix texts, const culoss_clip_outputs* outputs,
                          const culoss_clip_options* options) {
  return run("clip", execution, "images", images.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("images", images);
               const auto y = read.view_of<matrix<const T>>("texts", texts);
               const auto out = read.outputs<clip_outputs<T>>(outputs);
               const auto how = read.options<clip_options>(options);
               return read.ok() ? clip(where, x, y, out, how) : read.wrong();
             });
}

culoss_status culoss_siglip(const culoss_execution* execution, culoss_const_matrix images,
                            culoss_const_matrix texts, const culoss_siglip_outputs* outputs,
                            const culoss_siglip_options* options) {
  return run("siglip", execution, "images", images.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("images", images);
               const auto y = read.view_of<matrix<const T>>("texts", texts);
               const auto out = read.outputs<siglip_outputs<T>>(outputs);
               const auto how = read.options<siglip_options>(options);
               return read.ok() ? siglip(where, x, y, out, how) : read.wrong();
             });
}

culoss_status culoss_nt_xent(const culoss_execution* execution, culoss_const_matrix embeddings,
                             const culoss_nt_xent_outputs* outputs,
                             const culoss_nt_xent_options* options) {
  return run("nt_xent", execution, "embeddings", embeddings.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto z = read.view_of<matrix<const T>>("embeddings", embeddings);
               const auto out = read.outputs<nt_xent_outputs<T>>(outputs);
               const auto how = read.options<nt_xent_options>(options);
               return read.ok() ? nt_xent(where, z, out, how) : read.wrong();
             });
}

culoss_status culoss_sup_con(const culoss_execution* execution, culoss_const_matrix embeddings,
                             culoss_const_vector labels, const culoss_sup_con_outputs* outputs,
                             const culoss_sup_con_options* options) {
  return run("sup_con", execution, "embeddings", embeddings.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto z = read.view_of<matrix<const T>>("embeddings", embeddings);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<sup_con_outputs<T>>(outputs);
               const auto how = read.options<sup_con_options>(options);
               return read.ok() ? sup_con(where, z, t, out, how) : read.wrong();
             });
}

culoss_status culoss_mined_triplet(const culoss_execution* execution,
                                   culoss_const_matrix embeddings, culoss_const_vector labels,
                                   const culoss_mined_triplet_outputs* outputs,
                                   const culoss_mined_triplet_options* options) {
  return run("mined_triplet", execution, "embeddings", embeddings.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto x = read.view_of<matrix<const T>>("embeddings", embeddings);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<mined_triplet_outputs<T>>(outputs);
               const auto how = read.options<mined_triplet_options>(options);
               return read.ok() ? mined_triplet(where, x, t, out, how) : read.wrong();
             });
}

}  // extern "C"
