// The C interface of the losses of two or three embeddings a row: embedding.hpp says what each does.
// See culoss.h.
#pragma once

#include <culoss/c/core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float margin;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_cosine_embedding_options;
CULOSS_API culoss_status
culoss_cosine_embedding_options_init(culoss_cosine_embedding_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float margin;
  float factor;
  culoss_empty_batch empty;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
} culoss_contrastive_options;
CULOSS_API culoss_status culoss_contrastive_options_init(culoss_contrastive_options* options,
                                                         uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_x1;
  culoss_matrix grad_x2;
  culoss_vector rows_counted;
} culoss_pair_outputs;

CULOSS_API uint64_t culoss_cosine_embedding_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_cosine_embedding(const culoss_execution* execution,
                                                 culoss_const_matrix x1, culoss_const_matrix x2,
                                                 culoss_const_vector labels,
                                                 const culoss_pair_outputs* outputs,
                                                 const culoss_cosine_embedding_options* options);
CULOSS_API uint64_t culoss_contrastive_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_contrastive(const culoss_execution* execution,
                                            culoss_const_matrix x1, culoss_const_matrix x2,
                                            culoss_const_vector labels,
                                            const culoss_pair_outputs* outputs,
                                            const culoss_contrastive_options* options);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_triplet_distance distance;
  float margin;
  int32_t swap;
  int32_t soft_margin;
  culoss_empty_batch empty;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
} culoss_triplet_options;
CULOSS_API culoss_status culoss_triplet_options_init(culoss_triplet_options* options,
                                                     uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_anchors;
  culoss_matrix grad_positives;
  culoss_matrix grad_negatives;
} culoss_triplet_outputs;

CULOSS_API uint64_t culoss_triplet_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_triplet(const culoss_execution* execution,
                                        culoss_const_matrix anchors, culoss_const_matrix positives,
                                        culoss_const_matrix negatives,
                                        const culoss_triplet_outputs* outputs,
                                        const culoss_triplet_options* options);

#ifdef __cplusplus
}
#endif
