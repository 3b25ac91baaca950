// A program against the installed library: values that are known exactly, and what the CUDA side
// of this build says.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <culoss/culoss.hpp>

int main() {
  // Two rows of four equal logits: p = 1/4 exactly, the loss is log 4.
  const float logits[8] = {};
  const std::int32_t labels[2] = {0, 3};
  float loss[2] = {}, grad[8] = {};
  const culoss::matrix<const float> x(logits, 2, 4);
  const culoss::cross_entropy_outputs<float> outputs = {.loss = {loss, 2},
                                                        .grad_logits = {grad, 2, 4}};
  const culoss::cross_entropy_options options = {.reduction = culoss::reduction::none};
  const culoss::vector<const std::int32_t> targets(labels, 2);

  const culoss::status cpu = culoss::cross_entropy(culoss::cpu{}, x, targets, outputs, options);
  if (!cpu.ok()) {
    std::printf("cpu: %s\n", cpu.message());
    return 1;
  }
  const float expected_grad[8] = {-0.75f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, -0.75f};
  bool equal = loss[0] == std::log(4.0f) && loss[1] == std::log(4.0f);
  for (int i = 0; i < 8; ++i) equal = equal && grad[i] == expected_grad[i];
  if (!equal) {
    std::printf("cpu: wrong values, loss %.9g\n", loss[0]);
    return 1;
  }

  // A size that cannot be right never gets as far as a device.
  const culoss::status cuda =
      culoss::cross_entropy(culoss::cuda{}, {logits, -2, 4}, targets, outputs, options);
  std::printf("cpu: as expected\ncuda: %s\n", cuda.message());
  const culoss::status_code without =
      WITH_CUDA ? culoss::status_code::invalid_argument : culoss::status_code::unsupported;
  return cuda.code() == without ? 0 : 1;
}
