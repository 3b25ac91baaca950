// Small kernels with one bug each and their healthy twins, and a few healthy ones.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace planted {

struct launch_shape {
  unsigned blocks = 8, threads = 64;
  std::size_t shared = 0;
  unsigned cluster = 1;
  cudaStream_t stream = nullptr;
  bool allow_shared = false;  // set the attribute for much dynamic shared memory
};

// Runs void(float*, int) by name, with its bug or without.
cudaError_t run(const std::string& name, bool bug, float* p, int n, const launch_shape& = {});

// healthy.cu
cudaError_t row_lse(const float* x, float* lse, int rows, int cols, bool use_cub,
                    cudaStream_t = nullptr);
cudaError_t copy16(const float* from, float* to, int n,
                   cudaStream_t = nullptr);  // 16 bytes at a time
cudaError_t copy_half(const void* from, void* to, int n,
                      cudaStream_t = nullptr);                  // 2 bytes at a time
cudaError_t copy_by_call(const float* from, float* to, int n);  // one thread calls memcpy
cudaError_t apply(int function, const float* x, const float* y, float* out, int n);
cudaError_t add_one(float* p, int n, cudaStream_t = nullptr);
cudaError_t collectives(int* out);             // 64 results, see healthy.cu
void touch_on_the_host(float* device_memory);  // which is a mistake
cudaError_t atomics(unsigned long long* wide, float* sum, int* extremes);

}  // namespace planted
