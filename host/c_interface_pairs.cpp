// The C interface of the losses of two or three embeddings a row.
#include "host/c_interface.hpp"

namespace culoss::c_interface {

static_assert(CULOSS_DISTANCE_EUCLIDEAN == static_cast<int>(triplet_distance::euclidean) &&
              CULOSS_DISTANCE_SQUARED_EUCLIDEAN ==
                  static_cast<int>(triplet_distance::squared_euclidean) &&
              CULOSS_DISTANCE_COSINE == static_cast<int>(triplet_distance::cosine));

template <class F, is<culoss_cosine_embedding_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(ignore_index);
  f.reserved("reserved", c.reserved);
}

template <class F, is<culoss_contrastive_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(factor);
  CULOSS_FIELD(ignore_index);
}

template <class F, is<culoss_pair_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_x1);
  CULOSS_FIELD(grad_x2);
  CULOSS_FIELD(rows_counted);
}

template <class F, is<culoss_triplet_options> C, class O>
void fields(F& f, C& c, O& o) {
  shared_fields(f, c, o);
  CULOSS_FIELD(distance);
  CULOSS_FIELD(margin);
  CULOSS_FIELD(swap);
  CULOSS_FIELD(soft_margin);
}

template <class F, is<culoss_triplet_outputs> C, class O>
void fields(F& f, C& c, O& o) {
  CULOSS_FIELD(loss);
  CULOSS_FIELD(grad_anchors);
  CULOSS_FIELD(grad_positives);
  CULOSS_FIELD(grad_negatives);
}

}  // namespace culoss::c_interface

using namespace culoss;
using namespace culoss::c_interface;

extern "C" {

culoss_status culoss_cosine_embedding_options_init(culoss_cosine_embedding_options* options,
                                                   uint64_t size) {
  return init<cosine_embedding_options>("cosine_embedding_options_init", options, size);
}

culoss_status culoss_contrastive_options_init(culoss_contrastive_options* options, uint64_t size) {
  return init<contrastive_options>("contrastive_options_init", options, size);
}

culoss_status culoss_triplet_options_init(culoss_triplet_options* options, uint64_t size) {
  return init<triplet_options>("triplet_options_init", options, size);
}

uint64_t culoss_cosine_embedding_workspace_bytes(int64_t rows, int64_t cols) {
  return cosine_embedding_workspace_bytes(rows, cols);
}

uint64_t culoss_contrastive_workspace_bytes(int64_t rows, int64_t cols) {
  return contrastive_workspace_bytes(rows, cols);
}

uint64_t culoss_triplet_workspace_bytes(int64_t rows, int64_t cols) {
  return triplet_workspace_bytes(rows, cols);
}

culoss_status culoss_cosine_embedding(const culoss_execution* execution, culoss_const_matrix x1,
                                      culoss_const_matrix x2, culoss_const_vector labels,
                                      const culoss_pair_outputs* outputs,
                                      const culoss_cosine_embedding_options* options) {
  return run("cosine_embedding", execution, "x1", x1.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto a = read.view_of<matrix<const T>>("x1", x1);
               const auto b = read.view_of<matrix<const T>>("x2", x2);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<pair_outputs<T>>(outputs);
               const auto how = read.options<cosine_embedding_options>(options);
               return read.ok() ? cosine_embedding(where, a, b, t, out, how) : read.wrong();
             });
}

culoss_status culoss_contrastive(const culoss_execution* execution, culoss_const_matrix x1,
                                 culoss_const_matrix x2, culoss_const_vector labels,
                                 const culoss_pair_outputs* outputs,
                                 const culoss_contrastive_options* options) {
  return run("contrastive", execution, "x1", x1.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto a = read.view_of<matrix<const T>>("x1", x1);
               const auto b = read.view_of<matrix<const T>>("x2", x2);
               const auto t = read.view_of<label_view>("labels", labels);
               const auto out = read.outputs<pair_outputs<T>>(outputs);
               const auto how = read.options<contrastive_options>(options);
               return read.ok() ? contrastive(where, a, b, t, out, how) : read.wrong();
             });
}

culoss_status culoss_triplet(const culoss_execution* execution, culoss_const_matrix anchors,
                             culoss_const_matrix positives, culoss_const_matrix negatives,
                             const culoss_triplet_outputs* outputs,
                             const culoss_triplet_options* options) {
  return run("triplet", execution, "anchors", anchors.type,
             [&]<class T>(reader& read, const auto& where) {
               const auto a = read.view_of<matrix<const T>>("anchors", anchors);
               const auto p = read.view_of<matrix<const T>>("positives", positives);
               const auto n = read.view_of<matrix<const T>>("negatives", negatives);
               const auto out = read.outputs<triplet_outputs<T>>(outputs);
               const auto how = read.options<triplet_options>(options);
               return read.ok() ? triplet(where, a, p, n, out, how) : read.wrong();
             });
}

}  // extern "C"
