#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <culoss/culoss.hpp>

namespace {

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  std::exit(1);
}

template <class T>
T* device_array(std::int64_t size, cudaStream_t stream) {
  void* data = nullptr;
  check(cudaMalloc(&data, static_cast<std::size_t>(size) * sizeof(T)));
  check(cudaMemsetAsync(data, 0, static_cast<std::size_t>(size) * sizeof(T), stream));
  return static_cast<T*>(data);
}

}  // namespace

int main() {
  constexpr std::int64_t kRows = 256, kClasses = 1000;
  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream));
  float* logits = device_array<float>(kRows * kClasses, stream);  // all zero: the loss is log 1000
  float* grad = device_array<float>(kRows * kClasses, stream);
  std::int64_t* labels = device_array<std::int64_t>(kRows, stream);
  float* loss = device_array<float>(1, stream);
  const std::size_t bytes = culoss::cross_entropy_workspace_bytes(kRows, kClasses);
  char* scratch = device_array<char>(static_cast<std::int64_t>(bytes), stream);

  // Returns at once; the stream does the work.
  const culoss::cuda gpu{.stream = stream, .workspace = {scratch, bytes}};
  const culoss::status s = culoss::cross_entropy(
      gpu, culoss::matrix<const float>(logits, kRows, kClasses), culoss::vector(labels, kRows),
      {.loss = {loss, 1}, .grad_logits = {grad, kRows, kClasses}}, {.ignore_index = -100});
  if (!s.ok()) {
    std::fprintf(stderr, "%s\n", s.message());
    return 1;
  }

  float host_loss = 0;
  check(cudaMemcpyAsync(&host_loss, loss, sizeof loss[0], cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  std::printf("loss %.6f\n", host_loss);
  check(cudaFree(logits));
  check(cudaFree(grad));
  check(cudaFree(labels));
  check(cudaFree(loss));
  check(cudaFree(scratch));
  check(cudaStreamDestroy(stream));
}
