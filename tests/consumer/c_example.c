#include <culoss/culoss.h>
#include <stdio.h>

int main(void) {
  const float logits[2][3] = {{2.0f, 1.0f, -1.0f}, {0.0f, 3.0f, 1.0f}};
  const int64_t labels[2] = {0, 1};
  float loss = 0, grad[2][3];

  culoss_execution where = {.size = sizeof where, .device = CULOSS_CPU};
  culoss_const_matrix x = {logits, 2, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
  culoss_const_vector t = {.data = labels, .size = 2, .type = CULOSS_INT64};
  culoss_cross_entropy_outputs out = {.size = sizeof out};
  out.loss = (culoss_vector){.data = &loss, .size = 1, .type = CULOSS_FLOAT32};
  out.grad_logits = (culoss_matrix){grad, 2, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
  culoss_cross_entropy_options how;
  culoss_cross_entropy_options_init(&how, sizeof how);
  how.label_smoothing = 0.1f;

  if (culoss_cross_entropy(&where, x, t, &out, &how) != CULOSS_SUCCESS) {
    fprintf(stderr, "%s\n", culoss_last_message());
    return 1;
  }
  printf("loss %.6f, gradient of the first row %.6f %.6f %.6f\n", loss, grad[0][0], grad[0][1],
         grad[0][2]);
  return 0;
}
