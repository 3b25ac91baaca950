// The C interface of cross_entropy.hpp and linear_cross_entropy.hpp, which say what each function
// does. See culoss.h.
#pragma once

#include <culoss/c/core.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- cross-entropy ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float label_smoothing;
  int64_t ignore_index;
  culoss_scalar temperature;
  float softcap;
  float z_loss;
  culoss_const_vector class_weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int64_t class_offset;
  int64_t classes;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_cross_entropy_options;
CULOSS_API culoss_status culoss_cross_entropy_options_init(culoss_cross_entropy_options* options,
                                                           uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_logits;  // with the layout of the logits
  culoss_vector lse;
  culoss_vector statistics;  // CULOSS_ROW_STATISTICS_...
  culoss_vector argmax;
  culoss_vector correct;
  culoss_vector rows_counted;
  culoss_vector z_loss;
  culoss_vector entropy;
  culoss_vector shards;  // CULOSS_SHARD_STATISTICS_...
} culoss_cross_entropy_outputs;

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_logits;
  culoss_matrix grad_targets;
  culoss_vector lse;
  culoss_vector statistics;
  culoss_vector argmax;
  culoss_vector z_loss;
  culoss_vector entropy;
} culoss_cross_entropy_soft_outputs;

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_vector lse;
  culoss_vector statistics;
  culoss_vector argmax;
  culoss_vector correct;
  culoss_vector rows_counted;
  culoss_vector z_loss;
  culoss_vector entropy;
} culoss_merged_outputs;

CULOSS_API uint64_t culoss_cross_entropy_workspace_bytes(int64_t rows, int64_t cols);

// Logits as rows, or CULOSS_LAYOUT_STRIDED.
CULOSS_API culoss_status culoss_cross_entropy(const culoss_execution* execution,
                                              culoss_const_matrix logits,
                                              culoss_const_vector labels,
                                              const culoss_cross_entropy_outputs* outputs,
                                              const culoss_cross_entropy_options* options);
CULOSS_API culoss_status culoss_cross_entropy_backward(const culoss_execution* execution,
                                                       culoss_const_matrix logits,
                                                       culoss_const_vector labels,
                                                       culoss_const_vector statistics,
                                                       culoss_matrix grad_logits,
                                                       const culoss_cross_entropy_options* options);
// Against target probabilities.
CULOSS_API culoss_status culoss_cross_entropy_soft(const culoss_execution* execution,
                                                   culoss_const_matrix logits,
                                                   culoss_const_matrix targets,
                                                   const culoss_cross_entropy_soft_outputs* outputs,
                                                   const culoss_cross_entropy_options* options);
CULOSS_API culoss_status culoss_cross_entropy_soft_backward(
    const culoss_execution* execution, culoss_const_matrix logits, culoss_const_matrix targets,
    culoss_const_vector statistics, culoss_matrix grad_logits, culoss_matrix grad_targets,
    const culoss_cross_entropy_options* options);
// shards: a matrix [shards, rows] of CULOSS_SHARD_STATISTICS_...
CULOSS_API culoss_status culoss_merge_statistics(const culoss_execution* execution,
                                                 culoss_const_matrix shards,
                                                 culoss_const_vector labels,
                                                 const culoss_merged_outputs* outputs,
                                                 const culoss_cross_entropy_options* options);

// ---- cross-entropy of a linear classifier ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float label_smoothing;
  int64_t ignore_index;
  culoss_scalar temperature;
  float softcap;
  float z_loss;
  culoss_const_vector class_weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  int64_t class_offset;
  int64_t classes;
  culoss_empty_batch empty;
  int32_t accumulate;  // 0 or 1, as all flags
  int32_t allow_tf32;
  int32_t reserved;  // 0
} culoss_linear_cross_entropy_options;
CULOSS_API culoss_status culoss_linear_cross_entropy_options_init(
    culoss_linear_cross_entropy_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_hidden;  // in the type of the inputs or float, as every gradient of embeddings
  culoss_matrix grad_weight;
  culoss_vector grad_bias;
  culoss_vector lse;
  culoss_vector statistics;
  culoss_vector argmax;
  culoss_vector correct;
  culoss_vector rows_counted;
  culoss_vector z_loss;
  culoss_vector entropy;
  culoss_vector shards;
} culoss_linear_cross_entropy_outputs;

typedef struct {
  uint64_t size;
  culoss_matrix grad_hidden;
  culoss_matrix grad_weight;
  culoss_vector grad_bias;
} culoss_linear_cross_entropy_backward_outputs;

typedef struct {
  uint64_t size;
  int64_t rows, classes, dimension;
  culoss_dtype type;  // of hidden states and weights
  int32_t hidden_gradient;
  int32_t weight_gradient;
  int32_t bias_gradient;
} culoss_linear_cross_entropy_shape;
CULOSS_API culoss_status culoss_linear_cross_entropy_workspace(
    const culoss_linear_cross_entropy_shape* shape, culoss_workspace* out);

// A bias of zeros in the struct: none.
CULOSS_API culoss_status culoss_linear_cross_entropy(
    const culoss_execution* execution, culoss_const_matrix hidden, culoss_const_matrix weight,
    culoss_const_vector bias, culoss_const_vector labels,
    const culoss_linear_cross_entropy_outputs* outputs,
    const culoss_linear_cross_entropy_options* options);
CULOSS_API culoss_status culoss_linear_cross_entropy_backward(
    const culoss_execution* execution, culoss_const_matrix hidden, culoss_const_matrix weight,
    culoss_const_vector bias, culoss_const_vector labels, culoss_const_vector statistics,
    const culoss_linear_cross_entropy_backward_outputs* outputs,
    const culoss_linear_cross_entropy_options* options);

#ifdef __cplusplus
}
#endif
