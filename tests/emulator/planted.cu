// Launches a planted kernel by name.
#include "planted.hpp"

#include <cuda_runtime.h>

#include "planted_table.hpp"

namespace planted {
namespace {

kernel find(const std::string& name, bool bug) {
  for (const table& t : {memory_kernels(), order_kernels(), async_kernels()}) {
    for (std::size_t i = 0; i < t.count; ++i) {
      if (name == t.entries[i].name) return bug ? t.entries[i].buggy : t.entries[i].healthy;
    }
  }
  return nullptr;
}

}  // namespace

cudaError_t run(const std::string& name, bool bug, float* p, int n, const launch_shape& shape) {
  const kernel k = find(name, bug);
  if (k == nullptr) return cudaErrorInvalidDeviceFunction;
  if (shape.allow_shared) {
    const cudaError_t error = cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shape.shared));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {shape.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared;
  config.stream = shape.stream;
  config.attrs = &attribute;
  config.numAttrs = shape.cluster == 1 ? 0 : 1;
  return cudaLaunchKernelEx(&config, k, p, n);
}

}  // namespace planted
