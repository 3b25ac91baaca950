// A matrix product as cuBLAS defines it.
#pragma once

#include <library_types.h>

#include <cstddef>

namespace simt {

inline std::size_t size_of(cudaDataType t) { return t == CUDA_R_32F ? 4 : 2; }

struct matrix_view {
  const void* data;
  cudaDataType type;
  std::size_t ld;
  long long stride;
  bool transposed;
  const void* at(long long batch) const {
    return static_cast<const char*>(data) + batch * stride * static_cast<long long>(size_of(type));
  }
};

struct product {
  std::size_t m, n, k;
  matrix_view a, b, c;
  long long batches;
  const void *alpha, *beta;
  float host_alpha, host_beta;
  bool scalars_on_device, tf32;
  void* workspace;
  std::size_t workspace_bytes;
};

// Reads and writes device memory; what is wrong with it becomes a fault of the device.
void run_product(const product&);

}  // namespace simt
