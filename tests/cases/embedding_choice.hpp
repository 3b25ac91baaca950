// The losses of two or three embeddings, with the choices of their options, as one call.
#pragma once

#include <culoss/embedding.hpp>
#include <string>

#include "tests/harness/row_choice.hpp"
#include "tests/harness/views.hpp"

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

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    if (function == embedding_function::triplet) {
      culoss::triplet_options o;
      set_shared(o);
      o.distance = distance;
      o.margin = margin;
      o.swap = swap;
      o.soft_margin = soft_margin;
      return culoss::triplet(where, v.in[0], v.in[1], v.in[2],
                             culoss::triplet_outputs<T>{v.loss, v.out[0], v.out[1], v.out[2]}, o);
    }
    const culoss::pair_outputs<T> out{v.loss, v.out[0], v.out[1], v.counted};
    if (function == embedding_function::contrastive) {
      culoss::contrastive_options o;
      set_shared(o);
      o.margin = margin;
      o.factor = factor;
      return culoss::contrastive(where, v.in[0], v.in[1], v.labels, out, o);
    }
    culoss::cosine_embedding_options o;
    set_shared(o);
    o.margin = margin;
    return culoss::cosine_embedding(where, v.in[0], v.in[1], v.labels, out, o);
  }
  std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) const {
    switch (function) {
      case embedding_function::cosine_embedding:
        return culoss::cosine_embedding_workspace_bytes(rows, cols);
      case embedding_function::contrastive:
        return culoss::contrastive_workspace_bytes(rows, cols);
      default:
        return culoss::triplet_workspace_bytes(rows, cols);
    }
  }
};

}  // namespace culoss_test
