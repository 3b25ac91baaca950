#include <cstdint>
#include <cstdio>
#include <culoss/culoss.hpp>

int main() {
  const float logits[2][3] = {{2.0f, 1.0f, -1.0f}, {0.0f, 3.0f, 1.0f}};
  const std::int64_t labels[2] = {0, 1};
  float loss = 0, grad[2][3];

  const culoss::status s = culoss::cross_entropy(
      culoss::cpu{}, culoss::matrix(&logits[0][0], 2, 3), culoss::vector(labels, 2),
      {.loss = {&loss, 1}, .grad_logits = {&grad[0][0], 2, 3}}, {.label_smoothing = 0.1f});
  if (!s.ok()) {
    std::fprintf(stderr, "%s\n", s.message());
    return 1;
  }
  std::printf("loss %.6f, gradient of the first row %.6f %.6f %.6f\n", loss, grad[0][0], grad[0][1],
              grad[0][2]);
}
