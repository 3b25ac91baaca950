// The C interface of the losses of elements: regression.hpp, binary.hpp, margin.hpp and focal.hpp
// (sigmoid_focal) say what each does. See culoss.h.
#pragma once

#include <culoss/c/core.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- regression ----

typedef int32_t culoss_weighted_mean;
enum { CULOSS_WEIGHTED_MEAN_ELEMENTS = 0, CULOSS_WEIGHTED_MEAN_WEIGHTS = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_weighted_mean mean_over;
  culoss_const_matrix weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_regression_options;
CULOSS_API culoss_status culoss_regression_options_init(culoss_regression_options* options,
                                                        uint64_t size);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float delta;
  culoss_const_matrix weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
  culoss_weighted_mean mean_over;
  culoss_empty_batch empty;
} culoss_huber_options;
CULOSS_API culoss_status culoss_huber_options_init(culoss_huber_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float beta;
  culoss_const_matrix weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
  culoss_weighted_mean mean_over;
  culoss_empty_batch empty;
} culoss_smooth_l1_options;
CULOSS_API culoss_status culoss_smooth_l1_options_init(culoss_smooth_l1_options* options,
                                                       uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_predictions;
  culoss_matrix grad_targets;
} culoss_regression_outputs;

CULOSS_API uint64_t culoss_regression_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_mse(const culoss_execution* execution,
                                    culoss_const_matrix predictions, culoss_const_matrix targets,
                                    const culoss_regression_outputs* outputs,
                                    const culoss_regression_options* options);
CULOSS_API culoss_status culoss_mae(const culoss_execution* execution,
                                    culoss_const_matrix predictions, culoss_const_matrix targets,
                                    const culoss_regression_outputs* outputs,
                                    const culoss_regression_options* options);
CULOSS_API culoss_status culoss_huber(const culoss_execution* execution,
                                      culoss_const_matrix predictions, culoss_const_matrix targets,
                                      const culoss_regression_outputs* outputs,
                                      const culoss_huber_options* options);
CULOSS_API culoss_status culoss_smooth_l1(const culoss_execution* execution,
                                          culoss_const_matrix predictions,
                                          culoss_const_matrix targets,
                                          const culoss_regression_outputs* outputs,
                                          const culoss_smooth_l1_options* options);

// ---- binary cross-entropy ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float label_smoothing;
  culoss_const_vector pos_weight;
  culoss_const_matrix weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_binary_cross_entropy_options;
CULOSS_API culoss_status culoss_binary_cross_entropy_options_init(
    culoss_binary_cross_entropy_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_logits;
  culoss_matrix grad_targets;
} culoss_binary_cross_entropy_outputs;

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_empty_batch empty;
  culoss_const_matrix weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
} culoss_binary_cross_entropy_probabilities_options;
CULOSS_API culoss_status culoss_binary_cross_entropy_probabilities_options_init(
    culoss_binary_cross_entropy_probabilities_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_probabilities;
  culoss_matrix grad_targets;
} culoss_binary_cross_entropy_probabilities_outputs;

// Of both.
CULOSS_API uint64_t culoss_binary_cross_entropy_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_binary_cross_entropy(
    const culoss_execution* execution, culoss_const_matrix logits, culoss_const_matrix targets,
    const culoss_binary_cross_entropy_outputs* outputs,
    const culoss_binary_cross_entropy_options* options);
CULOSS_API culoss_status culoss_binary_cross_entropy_probabilities(
    const culoss_execution* execution, culoss_const_matrix probabilities,
    culoss_const_matrix targets, const culoss_binary_cross_entropy_probabilities_outputs* outputs,
    const culoss_binary_cross_entropy_probabilities_options* options);

// ---- hinge, soft margin ----

// The `background` label C, one after the last class.
#define CULOSS_AFTER_LAST_CLASS INT64_MIN

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float margin;
  int32_t power;
  culoss_empty_batch empty;
  int64_t background;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
} culoss_hinge_options;
CULOSS_API culoss_status culoss_hinge_options_init(culoss_hinge_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_empty_batch empty;
  int64_t background;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_const_matrix upstream_elements;
} culoss_soft_margin_options;
CULOSS_API culoss_status culoss_soft_margin_options_init(culoss_soft_margin_options* options,
                                                         uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_scores;
} culoss_margin_outputs;

// Of both.
CULOSS_API uint64_t culoss_margin_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_hinge(const culoss_execution* execution, culoss_const_matrix scores,
                                      culoss_const_matrix targets,
                                      const culoss_margin_outputs* outputs,
                                      const culoss_hinge_options* options);
CULOSS_API culoss_status culoss_hinge_labels(const culoss_execution* execution,
                                             culoss_const_matrix scores, culoss_const_vector labels,
                                             const culoss_margin_outputs* outputs,
                                             const culoss_hinge_options* options);
CULOSS_API culoss_status culoss_soft_margin(const culoss_execution* execution,
                                            culoss_const_matrix scores, culoss_const_matrix targets,
                                            const culoss_margin_outputs* outputs,
                                            const culoss_soft_margin_options* options);
CULOSS_API culoss_status culoss_soft_margin_labels(const culoss_execution* execution,
                                                   culoss_const_matrix scores,
                                                   culoss_const_vector labels,
                                                   const culoss_margin_outputs* outputs,
                                                   const culoss_soft_margin_options* options);

// ---- sigmoid focal ----

typedef int32_t culoss_focal_mean;
enum { CULOSS_FOCAL_MEAN_ELEMENTS = 0, CULOSS_FOCAL_MEAN_POSITIVES = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float gamma;
  float alpha;
  culoss_focal_mean mean_over;
  int64_t background;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_sigmoid_focal_options;
CULOSS_API culoss_status culoss_sigmoid_focal_options_init(culoss_sigmoid_focal_options* options,
                                                           uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_logits;
  culoss_matrix grad_targets;
} culoss_sigmoid_focal_outputs;

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix losses;
  culoss_matrix grad_logits;
  culoss_vector positives;
} culoss_sigmoid_focal_label_outputs;

CULOSS_API uint64_t culoss_sigmoid_focal_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_sigmoid_focal(const culoss_execution* execution,
                                              culoss_const_matrix logits,
                                              culoss_const_matrix targets,
                                              const culoss_sigmoid_focal_outputs* outputs,
                                              const culoss_sigmoid_focal_options* options);
CULOSS_API culoss_status culoss_sigmoid_focal_labels(
    const culoss_execution* execution, culoss_const_matrix logits, culoss_const_vector labels,
    const culoss_sigmoid_focal_label_outputs* outputs, const culoss_sigmoid_focal_options* options);

#ifdef __cplusplus
}
#endif
