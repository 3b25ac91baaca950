// The C interface of the losses over a batch of embeddings: info_nce.hpp (info_nce, clip), siglip.hpp,
// self_similarity.hpp (nt_xent, sup_con) and mined_triplet.hpp say what each does. See culoss.h.
#pragma once

#include <culoss/c/core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint64_t size;
  int64_t queries, keys, negatives, dimension;
  int64_t row_negatives;
  culoss_dtype type;  // of the embeddings
  int32_t gradients;
  int32_t negative_gradients;
  culoss_similarity_plan plan;
} culoss_similarity_shape;

// ---- InfoNCE ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  int32_t normalize;
  culoss_scalar temperature;
  culoss_scalar log_scale;
  int64_t positive_offset;
  int32_t in_batch;
  float margin;
  culoss_const_vector query_ids;  // CULOSS_INT64, as all ids
  culoss_const_vector key_ids;
  culoss_const_vector negative_ids;
  culoss_const_matrix mask;  // CULOSS_UINT8
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int32_t accumulate;
  int32_t allow_tf32;
  culoss_similarity_plan plan;
  culoss_empty_batch empty;
} culoss_info_nce_options;
CULOSS_API culoss_status culoss_info_nce_options_init(culoss_info_nce_options* options,
                                                      uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix
      grad_queries;  // in the type of the inputs or float, as every gradient of embeddings
  culoss_matrix grad_keys;
  culoss_matrix grad_negatives;
  culoss_matrix grad_row_negatives;
  culoss_vector grad_scale;
  culoss_vector correct;
  culoss_vector rows_counted;
} culoss_info_nce_outputs;

CULOSS_API culoss_status culoss_info_nce_workspace(const culoss_similarity_shape* shape,
                                                   culoss_workspace* out);
// Negatives of zeros in the struct: none.
CULOSS_API culoss_status culoss_info_nce(const culoss_execution* execution,
                                         culoss_const_matrix queries, culoss_const_matrix keys,
                                         culoss_const_matrix negatives,
                                         culoss_const_matrix row_negatives,
                                         const culoss_info_nce_outputs* outputs,
                                         const culoss_info_nce_options* options);

// ---- CLIP ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  int32_t normalize;
  culoss_scalar temperature;
  culoss_scalar log_scale;
  culoss_const_vector ids;
  culoss_const_matrix mask;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  float margin;
  int32_t accumulate;
  int32_t allow_tf32;
  culoss_similarity_plan plan;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_clip_options;
CULOSS_API culoss_status culoss_clip_options_init(culoss_clip_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_images;
  culoss_matrix grad_texts;
  culoss_vector grad_scale;
  culoss_vector correct_images;
  culoss_vector correct_texts;
  culoss_vector rows_counted;
} culoss_clip_outputs;

CULOSS_API culoss_status culoss_clip_workspace(const culoss_similarity_shape* shape,
                                               culoss_workspace* out);
CULOSS_API culoss_status culoss_clip(const culoss_execution* execution, culoss_const_matrix images,
                                     culoss_const_matrix texts, const culoss_clip_outputs* outputs,
                                     const culoss_clip_options* options);

// ---- SigLIP ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  int32_t normalize;
  culoss_scalar temperature;
  culoss_scalar log_scale;
  culoss_scalar bias;
  int64_t positive_offset;
  culoss_const_vector image_ids;
  culoss_const_vector text_ids;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int32_t positives;
  int32_t accumulate;
  int32_t allow_tf32;
  culoss_empty_batch empty;
} culoss_siglip_options;
CULOSS_API culoss_status culoss_siglip_options_init(culoss_siglip_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_images;
  culoss_matrix grad_texts;
  culoss_vector grad_scale;
  culoss_vector grad_bias;
  culoss_vector correct;
  culoss_vector rows_counted;
} culoss_siglip_outputs;

CULOSS_API culoss_status culoss_siglip_workspace(const culoss_similarity_shape* shape,
                                                 culoss_workspace* out);
CULOSS_API culoss_status culoss_siglip(const culoss_execution* execution,
                                       culoss_const_matrix images, culoss_const_matrix texts,
                                       const culoss_siglip_outputs* outputs,
                                       const culoss_siglip_options* options);

// ---- NT-Xent, supervised contrastive ----

typedef struct {
  uint64_t size;
  int64_t rows, dimension;
  culoss_dtype type;  // of the embeddings
  int32_t gradients;
} culoss_self_similarity_shape;

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  int32_t normalize;
  culoss_scalar temperature;
  culoss_scalar log_scale;
  culoss_const_vector ids;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int32_t accumulate;
  int32_t allow_tf32;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_nt_xent_options;
CULOSS_API culoss_status culoss_nt_xent_options_init(culoss_nt_xent_options* options,
                                                     uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_embeddings;
  culoss_vector grad_scale;
  culoss_vector correct;
  culoss_vector rows_counted;
} culoss_nt_xent_outputs;

CULOSS_API culoss_status culoss_nt_xent_workspace(const culoss_self_similarity_shape* shape,
                                                  culoss_workspace* out);
CULOSS_API culoss_status culoss_nt_xent(const culoss_execution* execution,
                                        culoss_const_matrix embeddings,
                                        const culoss_nt_xent_outputs* outputs,
                                        const culoss_nt_xent_options* options);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  int32_t normalize;
  culoss_scalar temperature;
  culoss_scalar log_scale;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int32_t accumulate;
  int32_t allow_tf32;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_sup_con_options;
CULOSS_API culoss_status culoss_sup_con_options_init(culoss_sup_con_options* options,
                                                     uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_embeddings;
  culoss_vector grad_scale;
  culoss_vector rows_counted;
} culoss_sup_con_outputs;

CULOSS_API culoss_status culoss_sup_con_workspace(const culoss_self_similarity_shape* shape,
                                                  culoss_workspace* out);
CULOSS_API culoss_status culoss_sup_con(const culoss_execution* execution,
                                        culoss_const_matrix embeddings, culoss_const_vector labels,
                                        const culoss_sup_con_outputs* outputs,
                                        const culoss_sup_con_options* options);

// ---- triplets mined in the batch ----

typedef int32_t culoss_mining_rule;
enum { CULOSS_MINING_BATCH_HARD = 0, CULOSS_MINING_SEMI_HARD = 1, CULOSS_MINING_BATCH_ALL = 2 };

typedef struct {
  uint64_t size;
  culoss_mining_rule rule;
  culoss_triplet_distance distance;
  float margin;
  int32_t soft_margin;
  culoss_reduction reduction;
  culoss_empty_batch empty;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int32_t accumulate;
  int32_t allow_tf32;
} culoss_mined_triplet_options;
CULOSS_API culoss_status culoss_mined_triplet_options_init(culoss_mined_triplet_options* options,
                                                           uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_embeddings;
  culoss_vector positives;
  culoss_vector negatives;
  culoss_vector rows_counted;
} culoss_mined_triplet_outputs;

typedef struct {
  uint64_t size;
  int64_t rows, dimension;
  culoss_mining_rule rule;
  int32_t reserved;  // 0
} culoss_mined_triplet_shape;
CULOSS_API culoss_status culoss_mined_triplet_workspace(const culoss_mined_triplet_shape* shape,
                                                        culoss_workspace* out);
CULOSS_API culoss_status culoss_mined_triplet(const culoss_execution* execution,
                                              culoss_const_matrix embeddings,
                                              culoss_const_vector labels,
                                              const culoss_mined_triplet_outputs* outputs,
                                              const culoss_mined_triplet_options* options);

#ifdef __cplusplus
}
#endif
