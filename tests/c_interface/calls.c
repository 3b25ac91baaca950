#include "tests/c_interface/calls.h"

#include <string.h>

static culoss_status call_softmax(const struct c_call* c) {
  return culoss_softmax(c->where, c->in[0], c->out[0], c->options);
}
static culoss_status call_log_softmax(const struct c_call* c) {
  return culoss_log_softmax(c->where, c->in[0], c->out[0], c->options);
}
static culoss_status call_softmax_backward(const struct c_call* c) {
  return culoss_softmax_backward(c->where, c->in[0], c->in[1], c->out[0], c->options);
}
static culoss_status call_log_softmax_backward(const struct c_call* c) {
  return culoss_log_softmax_backward(c->where, c->in[0], c->in[1], c->out[0], c->options);
}
static culoss_status call_cross_entropy(const struct c_call* c) {
  return culoss_cross_entropy(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_cross_entropy_backward(const struct c_call* c) {
  return culoss_cross_entropy_backward(c->where, c->in[0], c->labels, c->statistics, c->out[0],
                                       c->options);
}
static culoss_status call_cross_entropy_soft(const struct c_call* c) {
  return culoss_cross_entropy_soft(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_cross_entropy_soft_backward(const struct c_call* c) {
  return culoss_cross_entropy_soft_backward(c->where, c->in[0], c->in[1], c->statistics, c->out[0],
                                            c->out[1], c->options);
}
static culoss_status call_merge_statistics(const struct c_call* c) {
  return culoss_merge_statistics(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_linear_cross_entropy(const struct c_call* c) {
  return culoss_linear_cross_entropy(c->where, c->in[0], c->in[1], c->bias, c->labels, c->outputs,
                                     c->options);
}
static culoss_status call_linear_cross_entropy_backward(const struct c_call* c) {
  return culoss_linear_cross_entropy_backward(c->where, c->in[0], c->in[1], c->bias, c->labels,
                                              c->statistics, c->outputs, c->options);
}
static culoss_status call_softmax_focal(const struct c_call* c) {
  return culoss_softmax_focal(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_softmax_focal_backward(const struct c_call* c) {
  return culoss_softmax_focal_backward(c->where, c->in[0], c->labels, c->statistics, c->out[0],
                                       c->options);
}
static culoss_status call_nll(const struct c_call* c) {
  return culoss_nll(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_smooth_labels(const struct c_call* c) {
  return culoss_smooth_labels(c->where, c->labels, c->out[0], c->options);
}
static culoss_status call_smooth_labels_soft(const struct c_call* c) {
  return culoss_smooth_labels_soft(c->where, c->in[0], c->out[0], c->options);
}
static culoss_status call_smooth_labels_backward(const struct c_call* c) {
  return culoss_smooth_labels_backward(c->where, c->in[0], c->out[0], c->options);
}
static culoss_status call_entropy(const struct c_call* c) {
  return culoss_entropy(c->where, c->in[0], c->outputs, c->options);
}
static culoss_status call_mse(const struct c_call* c) {
  return culoss_mse(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_mae(const struct c_call* c) {
  return culoss_mae(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_huber(const struct c_call* c) {
  return culoss_huber(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_smooth_l1(const struct c_call* c) {
  return culoss_smooth_l1(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_binary_cross_entropy(const struct c_call* c) {
  return culoss_binary_cross_entropy(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_binary_cross_entropy_probabilities(const struct c_call* c) {
  return culoss_binary_cross_entropy_probabilities(c->where, c->in[0], c->in[1], c->outputs,
                                                   c->options);
}
static culoss_status call_hinge(const struct c_call* c) {
  return culoss_hinge(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_soft_margin(const struct c_call* c) {
  return culoss_soft_margin(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_sigmoid_focal(const struct c_call* c) {
  return culoss_sigmoid_focal(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_hinge_labels(const struct c_call* c) {
  return culoss_hinge_labels(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_soft_margin_labels(const struct c_call* c) {
  return culoss_soft_margin_labels(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_sigmoid_focal_labels(const struct c_call* c) {
  return culoss_sigmoid_focal_labels(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_info_nce(const struct c_call* c) {
  return culoss_info_nce(c->where, c->in[0], c->in[1], c->in[2], c->in[3], c->outputs, c->options);
}
static culoss_status call_clip(const struct c_call* c) {
  return culoss_clip(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_siglip(const struct c_call* c) {
  return culoss_siglip(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_nt_xent(const struct c_call* c) {
  return culoss_nt_xent(c->where, c->in[0], c->outputs, c->options);
}
static culoss_status call_sup_con(const struct c_call* c) {
  return culoss_sup_con(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_mined_triplet(const struct c_call* c) {
  return culoss_mined_triplet(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_kl_divergence(const struct c_call* c) {
  return culoss_kl_divergence(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_distillation(const struct c_call* c) {
  return culoss_distillation(c->where, c->in[0], c->in[1], c->outputs, c->options);
}
static culoss_status call_multi_class_hinge(const struct c_call* c) {
  return culoss_multi_class_hinge(c->where, c->in[0], c->labels, c->outputs, c->options);
}
static culoss_status call_cosine_embedding(const struct c_call* c) {
  return culoss_cosine_embedding(c->where, c->in[0], c->in[1], c->labels, c->outputs, c->options);
}
static culoss_status call_contrastive(const struct c_call* c) {
  return culoss_contrastive(c->where, c->in[0], c->in[1], c->labels, c->outputs, c->options);
}
static culoss_status call_triplet(const struct c_call* c) {
  return culoss_triplet(c->where, c->in[0], c->in[1], c->in[2], c->outputs, c->options);
}

const struct c_loss c_losses[] = {
    {"cosine_embedding", call_cosine_embedding},
    {"contrastive", call_contrastive},
    {"triplet", call_triplet},
    {"distillation", call_distillation},
    {"multi_class_hinge", call_multi_class_hinge},
    {"kl_divergence", call_kl_divergence},
    {"softmax", call_softmax},
    {"log_softmax", call_log_softmax},
    {"softmax_backward", call_softmax_backward},
    {"log_softmax_backward", call_log_softmax_backward},
    {"cross_entropy", call_cross_entropy},
    {"cross_entropy_backward", call_cross_entropy_backward},
    {"cross_entropy_soft", call_cross_entropy_soft},
    {"cross_entropy_soft_backward", call_cross_entropy_soft_backward},
    {"merge_statistics", call_merge_statistics},
    {"linear_cross_entropy", call_linear_cross_entropy},
    {"linear_cross_entropy_backward", call_linear_cross_entropy_backward},
    {"softmax_focal", call_softmax_focal},
    {"softmax_focal_backward", call_softmax_focal_backward},
    {"nll", call_nll},
    {"smooth_labels", call_smooth_labels},
    {"smooth_labels_soft", call_smooth_labels_soft},
    {"smooth_labels_backward", call_smooth_labels_backward},
    {"entropy", call_entropy},
    {"mse", call_mse},
    {"mae", call_mae},
    {"huber", call_huber},
    {"smooth_l1", call_smooth_l1},
    {"binary_cross_entropy", call_binary_cross_entropy},
    {"binary_cross_entropy_probabilities", call_binary_cross_entropy_probabilities},
    {"hinge", call_hinge},
    {"soft_margin", call_soft_margin},
    {"sigmoid_focal", call_sigmoid_focal},
    {"hinge_labels", call_hinge_labels},
    {"soft_margin_labels", call_soft_margin_labels},
    {"sigmoid_focal_labels", call_sigmoid_focal_labels},
    {"info_nce", call_info_nce},
    {"clip", call_clip},
    {"siglip", call_siglip},
    {"nt_xent", call_nt_xent},
    {"sup_con", call_sup_con},
    {"mined_triplet", call_mined_triplet},
    {NULL, NULL}};

static culoss_status init_softmax(void* options, uint64_t size) {
  return culoss_softmax_options_init(options, size);
}
static culoss_status init_cross_entropy(void* options, uint64_t size) {
  return culoss_cross_entropy_options_init(options, size);
}
static culoss_status init_linear_cross_entropy(void* options, uint64_t size) {
  return culoss_linear_cross_entropy_options_init(options, size);
}
static culoss_status init_softmax_focal(void* options, uint64_t size) {
  return culoss_softmax_focal_options_init(options, size);
}
static culoss_status init_nll(void* options, uint64_t size) {
  return culoss_nll_options_init(options, size);
}
static culoss_status init_smooth_labels(void* options, uint64_t size) {
  return culoss_smooth_labels_options_init(options, size);
}
static culoss_status init_entropy(void* options, uint64_t size) {
  return culoss_entropy_options_init(options, size);
}
static culoss_status init_regression(void* options, uint64_t size) {
  return culoss_regression_options_init(options, size);
}
static culoss_status init_huber(void* options, uint64_t size) {
  return culoss_huber_options_init(options, size);
}
static culoss_status init_smooth_l1(void* options, uint64_t size) {
  return culoss_smooth_l1_options_init(options, size);
}
static culoss_status init_binary_cross_entropy(void* options, uint64_t size) {
  return culoss_binary_cross_entropy_options_init(options, size);
}
static culoss_status init_binary_cross_entropy_probabilities(void* options, uint64_t size) {
  return culoss_binary_cross_entropy_probabilities_options_init(options, size);
}
static culoss_status init_hinge(void* options, uint64_t size) {
  return culoss_hinge_options_init(options, size);
}
static culoss_status init_soft_margin(void* options, uint64_t size) {
  return culoss_soft_margin_options_init(options, size);
}
static culoss_status init_sigmoid_focal(void* options, uint64_t size) {
  return culoss_sigmoid_focal_options_init(options, size);
}
static culoss_status init_info_nce(void* options, uint64_t size) {
  return culoss_info_nce_options_init(options, size);
}
static culoss_status init_clip(void* options, uint64_t size) {
  return culoss_clip_options_init(options, size);
}
static culoss_status init_siglip(void* options, uint64_t size) {
  return culoss_siglip_options_init(options, size);
}
static culoss_status init_nt_xent(void* options, uint64_t size) {
  return culoss_nt_xent_options_init(options, size);
}
static culoss_status init_sup_con(void* options, uint64_t size) {
  return culoss_sup_con_options_init(options, size);
}
static culoss_status init_mined_triplet(void* options, uint64_t size) {
  return culoss_mined_triplet_options_init(options, size);
}
static culoss_status init_kl_divergence(void* options, uint64_t size) {
  return culoss_kl_divergence_options_init(options, size);
}
static culoss_status init_distillation(void* options, uint64_t size) {
  return culoss_distillation_options_init(options, size);
}
static culoss_status init_multi_class_hinge(void* options, uint64_t size) {
  return culoss_multi_class_hinge_options_init(options, size);
}
static culoss_status init_cosine_embedding(void* options, uint64_t size) {
  return culoss_cosine_embedding_options_init(options, size);
}
static culoss_status init_contrastive(void* options, uint64_t size) {
  return culoss_contrastive_options_init(options, size);
}
static culoss_status init_triplet(void* options, uint64_t size) {
  return culoss_triplet_options_init(options, size);
}

const struct c_init c_inits[] = {
    {"cosine_embedding", init_cosine_embedding},
    {"contrastive", init_contrastive},
    {"triplet", init_triplet},
    {"distillation", init_distillation},
    {"multi_class_hinge", init_multi_class_hinge},
    {"kl_divergence", init_kl_divergence},
    {"softmax", init_softmax},
    {"cross_entropy", init_cross_entropy},
    {"linear_cross_entropy", init_linear_cross_entropy},
    {"softmax_focal", init_softmax_focal},
    {"nll", init_nll},
    {"smooth_labels", init_smooth_labels},
    {"entropy", init_entropy},
    {"regression", init_regression},
    {"huber", init_huber},
    {"smooth_l1", init_smooth_l1},
    {"binary_cross_entropy", init_binary_cross_entropy},
    {"binary_cross_entropy_probabilities", init_binary_cross_entropy_probabilities},
    {"hinge", init_hinge},
    {"soft_margin", init_soft_margin},
    {"sigmoid_focal", init_sigmoid_focal},
    {"info_nce", init_info_nce},
    {"clip", init_clip},
    {"siglip", init_siglip},
    {"nt_xent", init_nt_xent},
    {"sup_con", init_sup_con},
    {"mined_triplet", init_mined_triplet},
    {NULL, NULL}};

static uint64_t bytes_cross_entropy(int64_t rows, int64_t cols) {
  return culoss_cross_entropy_workspace_bytes(rows, cols);
}
static uint64_t bytes_softmax_focal(int64_t rows, int64_t cols) {
  return culoss_softmax_focal_workspace_bytes(rows, cols);
}
static uint64_t bytes_nll(int64_t rows, int64_t cols) {
  return culoss_nll_workspace_bytes(rows, cols);
}
static uint64_t bytes_entropy(int64_t rows, int64_t cols) {
  return culoss_entropy_workspace_bytes(rows, cols);
}
static uint64_t bytes_regression(int64_t rows, int64_t cols) {
  return culoss_regression_workspace_bytes(rows, cols);
}
static uint64_t bytes_binary_cross_entropy(int64_t rows, int64_t cols) {
  return culoss_binary_cross_entropy_workspace_bytes(rows, cols);
}
static uint64_t bytes_margin(int64_t rows, int64_t cols) {
  return culoss_margin_workspace_bytes(rows, cols);
}
static uint64_t bytes_sigmoid_focal(int64_t rows, int64_t cols) {
  return culoss_sigmoid_focal_workspace_bytes(rows, cols);
}
static uint64_t bytes_kl_divergence(int64_t rows, int64_t cols) {
  return culoss_kl_divergence_workspace_bytes(rows, cols);
}
static uint64_t bytes_distillation(int64_t rows, int64_t cols) {
  return culoss_distillation_workspace_bytes(rows, cols);
}
static uint64_t bytes_multi_class_hinge(int64_t rows, int64_t cols) {
  return culoss_multi_class_hinge_workspace_bytes(rows, cols);
}
static uint64_t bytes_cosine_embedding(int64_t rows, int64_t cols) {
  return culoss_cosine_embedding_workspace_bytes(rows, cols);
}
static uint64_t bytes_contrastive(int64_t rows, int64_t cols) {
  return culoss_contrastive_workspace_bytes(rows, cols);
}
static uint64_t bytes_triplet(int64_t rows, int64_t cols) {
  return culoss_triplet_workspace_bytes(rows, cols);
}

const struct c_bytes c_bytes_of[] = {{"cosine_embedding", bytes_cosine_embedding},
                                     {"contrastive", bytes_contrastive},
                                     {"triplet", bytes_triplet},
                                     {"cross_entropy", bytes_cross_entropy},
                                     {"distillation", bytes_distillation},
                                     {"multi_class_hinge", bytes_multi_class_hinge},
                                     {"kl_divergence", bytes_kl_divergence},
                                     {"softmax_focal", bytes_softmax_focal},
                                     {"nll", bytes_nll},
                                     {"entropy", bytes_entropy},
                                     {"regression", bytes_regression},
                                     {"binary_cross_entropy", bytes_binary_cross_entropy},
                                     {"margin", bytes_margin},
                                     {"sigmoid_focal", bytes_sigmoid_focal},
                                     {NULL, NULL}};

static culoss_status plan_linear_cross_entropy(const void* shape, culoss_workspace* out) {
  return culoss_linear_cross_entropy_workspace(shape, out);
}
static culoss_status plan_info_nce(const void* shape, culoss_workspace* out) {
  return culoss_info_nce_workspace(shape, out);
}
static culoss_status plan_clip(const void* shape, culoss_workspace* out) {
  return culoss_clip_workspace(shape, out);
}
static culoss_status plan_siglip(const void* shape, culoss_workspace* out) {
  return culoss_siglip_workspace(shape, out);
}
static culoss_status plan_nt_xent(const void* shape, culoss_workspace* out) {
  return culoss_nt_xent_workspace(shape, out);
}
static culoss_status plan_sup_con(const void* shape, culoss_workspace* out) {
  return culoss_sup_con_workspace(shape, out);
}
static culoss_status plan_mined_triplet(const void* shape, culoss_workspace* out) {
  return culoss_mined_triplet_workspace(shape, out);
}

const struct c_plan c_plans[] = {{"linear_cross_entropy", plan_linear_cross_entropy},
                                 {"info_nce", plan_info_nce},
                                 {"clip", plan_clip},
                                 {"siglip", plan_siglip},
                                 {"nt_xent", plan_nt_xent},
                                 {"sup_con", plan_sup_con},
                                 {"mined_triplet", plan_mined_triplet},
                                 {NULL, NULL}};

int c_rest(char* message, size_t bytes) {
  const culoss_scalar value = culoss_value(2.5f);
  const float number = 1.0f;
  const culoss_scalar at = culoss_at(&number);
  culoss_softmax_options options;
  if (culoss_version() != CULOSS_VERSION) return __LINE__;
  if (value.kind != CULOSS_SCALAR_VALUE || value.value != 2.5f || value.device) return __LINE__;
  if (at.kind != CULOSS_SCALAR_DEVICE || at.device != &number) return __LINE__;
  if (culoss_softmax_options_init(&options, sizeof options) != CULOSS_SUCCESS) return __LINE__;
  if (strlen(culoss_last_message()) != 0) return __LINE__;
  if (options.size != sizeof options || options.temperature.value != 1.0f) return __LINE__;
  {
    const culoss_const_matrix in = {NULL, 0, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
    const culoss_matrix out = {NULL, 0, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
    if (culoss_softmax(NULL, in, out, NULL) != CULOSS_INVALID_ARGUMENT) return __LINE__;
    strncpy(message, culoss_last_message(), bytes - 1);
    message[bytes - 1] = 0;
  }
  culoss_cublas_destroy(NULL);
  return 0;
}

culoss_status c_read_faults(const culoss_execution* where, const culoss_fault_record* record,
                            culoss_faults* out) {
  return culoss_read_faults(where, record, out);
}
culoss_status c_cublas_create(culoss_cublas** made) { return culoss_cublas_create(made); }
culoss_status c_cublas_borrow(struct cublasContext* handle, void* memory, uint64_t bytes,
                              culoss_cublas** made) {
  return culoss_cublas_borrow(handle, memory, bytes, made);
}
void c_cublas_destroy(culoss_cublas* blas) { culoss_cublas_destroy(blas); }
