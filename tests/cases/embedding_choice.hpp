// The losses of two or three embeddings, with the choices of their options, as one call.
#pragma once

#include <culoss/embedding.hpp>
#include <string>

#include "tests/harness/row_choice.hpp"

namespace culoss_test {

enum class embedding_function { cosine_embedding, contrastive, triplet };

struct embedding_choice : row_choice {
  explicit embedding_choice(embedding_function f) : function(f) {
    name = f == embedding_function::cosine_embedding ? "cosine_embedding"
           : f == embedding_function::contrastive    ? "contrastive"
                                                     : "triplet";
    margin = f == embedding_function::cosine_embedding ? 0.25f : 1.0f;
    labels = f != embedding_function::triplet;
  }

  embedding_function function;
  float margin;
  float factor = 1;
  culoss::triplet_distance distance = culoss::triplet_distance::euclidean;
  bool swap = false;
  bool soft_margin = false;

  int vectors() const { return labels ? 2 : 3; }
  std::int64_t unlike() const { return function == embedding_function::contrastive ? 0 : -1; }
  const char* vector_name(int k) const {
    static constexpr const char* kNames[] = {"x1", "x2", "anchors", "positives", "negatives"};
    return kNames[labels ? k : 2 + k];
  }
  const char* gradient_name(int k) const {
    static constexpr const char* kNames[] = {"grad_x1", "grad_x2", "grad_anchors", "grad_positives",
                                             "grad_negatives"};
    return kNames[labels ? k : 2 + k];
  }
};

// One of the three functions, with where its embeddings stand and where their gradients go.
template <class T>
struct embedding_views {
  culoss::matrix<const T> in[3];
  culoss::matrix<T> out[3];
  culoss::label_view labels;
  culoss::vector<culoss::real_of<T>> loss;
  culoss::vector<std::int64_t> rows_counted;
};
template <class T, class Where, class SetShared>
culoss::status call_embedding_loss(const embedding_choice& c, const Where& where,
                                   const embedding_views<T>& v, const SetShared& set_shared) {
  if (c.function == embedding_function::triplet) {
    culoss::triplet_options o;
    set_shared(o);
    o.distance = c.distance;
    o.margin = c.margin;
    o.swap = c.swap;
    o.soft_margin = c.soft_margin;
    return culoss::triplet(where, v.in[0], v.in[1], v.in[2],
                           culoss::triplet_outputs<T>{v.loss, v.out[0], v.out[1], v.out[2]}, o);
  }
  const culoss::pair_outputs<T> out{v.loss, v.out[0], v.out[1], v.rows_counted};
  if (c.function == embedding_function::contrastive) {
    culoss::contrastive_options o;
    set_shared(o);
    o.margin = c.margin;
    o.factor = c.factor;
    return culoss::contrastive(where, v.in[0], v.in[1], v.labels, out, o);
  }
  culoss::cosine_embedding_options o;
  set_shared(o);
  o.margin = c.margin;
  return culoss::cosine_embedding(where, v.in[0], v.in[1], v.labels, out, o);
}

inline std::size_t workspace_bytes_of(const embedding_choice& c, std::int64_t rows,
                                      std::int64_t cols) {
  switch (c.function) {
    case embedding_function::cosine_embedding:
      return culoss::cosine_embedding_workspace_bytes(rows, cols);
    case embedding_function::contrastive:
      return culoss::contrastive_workspace_bytes(rows, cols);
    default:
      return culoss::triplet_workspace_bytes(rows, cols);
  }
}

}  // namespace culoss_test
