// The C interface of the losses of rows but for cross-entropy: softmax.hpp, focal.hpp
// (softmax_focal), nll.hpp, divergence.hpp and margin.hpp (multi_class_hinge) say what each does. See
// culoss.h.
#pragma once

#include <culoss/c/core.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- softmax ----

typedef struct {
  uint64_t size;
  culoss_scalar temperature;
} culoss_softmax_options;
CULOSS_API culoss_status culoss_softmax_options_init(culoss_softmax_options* options,
                                                     uint64_t size);

CULOSS_API culoss_status culoss_softmax(const culoss_execution* execution,
                                        culoss_const_matrix logits, culoss_matrix probabilities,
                                        const culoss_softmax_options* options);
CULOSS_API culoss_status culoss_log_softmax(const culoss_execution* execution,
                                            culoss_const_matrix logits,
                                            culoss_matrix log_probabilities,
                                            const culoss_softmax_options* options);
CULOSS_API culoss_status culoss_softmax_backward(const culoss_execution* execution,
                                                 culoss_const_matrix probabilities,
                                                 culoss_const_matrix grad_probabilities,
                                                 culoss_matrix grad_logits,
                                                 const culoss_softmax_options* options);
CULOSS_API culoss_status culoss_log_softmax_backward(const culoss_execution* execution,
                                                     culoss_const_matrix log_probabilities,
                                                     culoss_const_matrix grad_log_probabilities,
                                                     culoss_matrix grad_logits,
                                                     const culoss_softmax_options* options);

// ---- softmax focal ----

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  float gamma;
  culoss_const_vector alpha;
  int64_t ignore_index;
  culoss_scalar temperature;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_softmax_focal_options;
CULOSS_API culoss_status culoss_softmax_focal_options_init(culoss_softmax_focal_options* options,
                                                           uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_logits;  // with the layout of the logits
  culoss_vector statistics;
  culoss_vector argmax;
  culoss_vector correct;
  culoss_vector rows_counted;
} culoss_softmax_focal_outputs;

CULOSS_API uint64_t culoss_softmax_focal_workspace_bytes(int64_t rows, int64_t cols);

// Logits as rows, or CULOSS_LAYOUT_STRIDED.
CULOSS_API culoss_status culoss_softmax_focal(const culoss_execution* execution,
                                              culoss_const_matrix logits,
                                              culoss_const_vector labels,
                                              const culoss_softmax_focal_outputs* outputs,
                                              const culoss_softmax_focal_options* options);
CULOSS_API culoss_status culoss_softmax_focal_backward(const culoss_execution* execution,
                                                       culoss_const_matrix logits,
                                                       culoss_const_vector labels,
                                                       culoss_const_vector statistics,
                                                       culoss_matrix grad_logits,
                                                       const culoss_softmax_focal_options* options);

// ---- negative log-likelihood, label smoothing ----

typedef int32_t culoss_nll_input;
enum { CULOSS_NLL_LOG_PROBABILITIES = 0, CULOSS_NLL_PROBABILITIES = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_nll_input input;
  int64_t ignore_index;
  culoss_const_vector class_weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t reserved;  // 0
} culoss_nll_options;
CULOSS_API culoss_status culoss_nll_options_init(culoss_nll_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_input;
  culoss_vector rows_counted;
} culoss_nll_outputs;

CULOSS_API uint64_t culoss_nll_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_nll(const culoss_execution* execution, culoss_const_matrix input,
                                    culoss_const_vector labels, const culoss_nll_outputs* outputs,
                                    const culoss_nll_options* options);

typedef struct {
  uint64_t size;
  int64_t ignore_index;
  float smoothing;
  int32_t reserved;  // 0
} culoss_smooth_labels_options;
CULOSS_API culoss_status culoss_smooth_labels_options_init(culoss_smooth_labels_options* options,
                                                           uint64_t size);

CULOSS_API culoss_status culoss_smooth_labels(const culoss_execution* execution,
                                              culoss_const_vector labels, culoss_matrix smoothed,
                                              const culoss_smooth_labels_options* options);
CULOSS_API culoss_status culoss_smooth_labels_soft(const culoss_execution* execution,
                                                   culoss_const_matrix targets,
                                                   culoss_matrix smoothed,
                                                   const culoss_smooth_labels_options* options);
CULOSS_API culoss_status culoss_smooth_labels_backward(const culoss_execution* execution,
                                                       culoss_const_matrix grad_smoothed,
                                                       culoss_matrix grad_targets,
                                                       const culoss_smooth_labels_options* options);

// ---- entropy ----

typedef int32_t culoss_entropy_input;
enum { CULOSS_ENTROPY_PROBABILITIES = 0, CULOSS_ENTROPY_LOGITS = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_entropy_input input;
  culoss_scalar temperature;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t mean_elements;
} culoss_entropy_options;
CULOSS_API culoss_status culoss_entropy_options_init(culoss_entropy_options* options,
                                                     uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_input;
} culoss_entropy_outputs;

CULOSS_API uint64_t culoss_entropy_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_entropy(const culoss_execution* execution,
                                        culoss_const_matrix input,
                                        const culoss_entropy_outputs* outputs,
                                        const culoss_entropy_options* options);

// ---- Kullback-Leibler divergence ----

typedef int32_t culoss_kl_input;
enum { CULOSS_KL_PROBABILITIES = 0, CULOSS_KL_LOG_PROBABILITIES = 1 };
typedef int32_t culoss_kl_direction;
enum { CULOSS_KL_FORWARD = 0, CULOSS_KL_REVERSE = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_kl_input p_input;
  culoss_kl_input q_input;
  culoss_kl_direction direction;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  int32_t mean_elements;
} culoss_kl_divergence_options;
CULOSS_API culoss_status culoss_kl_divergence_options_init(culoss_kl_divergence_options* options,
                                                           uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_p;
  culoss_matrix grad_q;
} culoss_kl_divergence_outputs;

CULOSS_API uint64_t culoss_kl_divergence_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_kl_divergence(const culoss_execution* execution,
                                              culoss_const_matrix p, culoss_const_matrix q,
                                              const culoss_kl_divergence_outputs* outputs,
                                              const culoss_kl_divergence_options* options);

// ---- distillation ----

typedef int32_t culoss_distillation_direction;
enum {
  CULOSS_DISTILLATION_FORWARD = 0,
  CULOSS_DISTILLATION_REVERSE = 1,
  CULOSS_DISTILLATION_JENSEN_SHANNON = 2
};

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_distillation_direction direction;
  culoss_scalar temperature;
  culoss_const_vector labels;
  int64_t ignore_index;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  float beta;
  int32_t temperature_squared;
  int32_t reserved;  // 0
} culoss_distillation_options;
CULOSS_API culoss_status culoss_distillation_options_init(culoss_distillation_options* options,
                                                          uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_student;
  culoss_matrix grad_teacher;
  culoss_vector rows_counted;
} culoss_distillation_outputs;

CULOSS_API uint64_t culoss_distillation_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_distillation(const culoss_execution* execution,
                                             culoss_const_matrix student,
                                             culoss_const_matrix teacher,
                                             const culoss_distillation_outputs* outputs,
                                             const culoss_distillation_options* options);

// ---- multi-class hinge ----

typedef int32_t culoss_hinge_form;
enum { CULOSS_HINGE_SUM = 0, CULOSS_HINGE_MAX = 1 };

typedef struct {
  uint64_t size;
  culoss_reduction reduction;
  culoss_hinge_form form;
  int64_t ignore_index;
  culoss_const_vector class_weights;
  culoss_const_vector row_weights;
  culoss_scalar normalizer;
  culoss_scalar upstream;
  culoss_const_vector upstream_rows;
  culoss_empty_batch empty;
  float margin;
  int32_t power;
  int32_t reserved;  // 0
} culoss_multi_class_hinge_options;
CULOSS_API culoss_status
culoss_multi_class_hinge_options_init(culoss_multi_class_hinge_options* options, uint64_t size);

typedef struct {
  uint64_t size;
  culoss_vector loss;
  culoss_matrix grad_scores;
  culoss_vector rows_counted;
} culoss_multi_class_hinge_outputs;

CULOSS_API uint64_t culoss_multi_class_hinge_workspace_bytes(int64_t rows, int64_t cols);
CULOSS_API culoss_status culoss_multi_class_hinge(const culoss_execution* execution,
                                                  culoss_const_matrix scores,
                                                  culoss_const_vector labels,
                                                  const culoss_multi_class_hinge_outputs* outputs,
                                                  const culoss_multi_class_hinge_options* options);

#ifdef __cplusplus
}
#endif
