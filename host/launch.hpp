// How anything is launched: one grid, one call, its own error.
#pragma once

#include <cuda_runtime.h>
#include <culoss/core.hpp>

#include <utility>

#include "host/status.hpp"
#include "host/tuning.hpp"

namespace culoss::detail {

// The status of a call of the CUDA runtime. Looks only at that call's own return value: errors that
// the caller left behind are neither blamed on us nor cleared.
inline status checked(const char* function, const char* call, cudaError_t error) noexcept {
  if (error == cudaSuccess) return {};
  const bool memory = error == cudaErrorMemoryAllocation;
  return failure(memory ? status_code::out_of_memory : status_code::cuda_error, function,
                 "%s failed: %s (%s)", call, cudaGetErrorString(error), cudaGetErrorName(error));
}

// Where a call runs, once it is known to be possible there.
struct device_context {
  const char* function = "";
  cudaStream_t stream = nullptr;
  int capability = 0;  // 90 for 9.0
  culoss::row_kernels row_kernels = culoss::row_kernels::proven;
  int device = 0;
};

// Checks that the stream belongs to the current device.
inline status open(const char* function, const cuda& where, device_context& context) noexcept {
  int current = 0, owner = 0, major = 0, minor = 0;
  status s = checked(function, "cudaGetDevice", cudaGetDevice(&current));
  if (!s.ok()) return s;
  owner = current;  // as the default streams', which are no objects of their own
  const bool default_stream = where.stream == nullptr || where.stream == cudaStreamLegacy ||
                              where.stream == cudaStreamPerThread;
  if (!default_stream) {
    s = checked(function, "cudaStreamGetDevice", cudaStreamGetDevice(where.stream, &owner));
    if (!s.ok()) return s;
  }
  if (owner != current) {
    return failure(status_code::invalid_argument, function,
                   "stream belongs to device %d, but device %d is current", owner, current);
  }
  s = checked(function, "cudaDeviceGetAttribute",
              cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, current));
  if (!s.ok()) return s;
  s = checked(function, "cudaDeviceGetAttribute",
              cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, current));
  context = {function, where.stream, 10 * major + minor, where.row_kernels, current};
  return s;
}

// Blocks are counted in x, and in y beyond what x can count; kernels::block_index() undoes it.
inline dim3 grid_of(long long blocks) noexcept {
  constexpr long long kMost = (1ll << 31) - 1;
  if (blocks <= kMost) return {static_cast<unsigned>(blocks), 1, 1};
  constexpr long long kWide = 1ll << 30;
  return {static_cast<unsigned>(kWide), static_cast<unsigned>((blocks + kWide - 1) / kWide), 1};
}

// Dynamic shared memory of a block, and the most that any launch of the same kernel takes. The limit
// belongs to the kernel, not to the call: always the same one, so that calls from several threads
// cannot lower it for each other.
struct dynamic_shared {
  int bytes;
  int limit;

  constexpr dynamic_shared(int bytes, std::int64_t limit = 0) noexcept  // none needs no limit
      : bytes(bytes), limit(static_cast<int>(limit)) {}
};

inline cudaLaunchConfig_t config_of(const device_context& context, dim3 grid, int threads,
                                    const dynamic_shared& shared) noexcept {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared.bytes);
  config.stream = context.stream;
  return config;
}

template <class... Parameters>
status allow_shared(const device_context& context, void (*kernel)(Parameters...),
                    const dynamic_shared& shared) noexcept {
  if (shared.bytes == 0) return {};
  return checked(
      context.function, "cudaFuncSetAttribute",
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared.limit));
}

template <class... Parameters, class... Arguments>
status start(const device_context& context, void (*kernel)(Parameters...),
             const cudaLaunchConfig_t& config, Arguments&&... arguments) noexcept {
  return checked(context.function, "cudaLaunchKernelEx",
                 cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

template <class... Parameters, class... Arguments>
status launch(const device_context& context, void (*kernel)(Parameters...), dim3 grid, int threads,
              const dynamic_shared& shared, Arguments&&... arguments) noexcept {
  const status s = allow_shared(context, kernel, shared);
  if (!s.ok()) return s;
  return start(context, kernel, config_of(context, grid, threads, shared),
               std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
status launch(const device_context& context, void (*kernel)(Parameters...), long long blocks,
              int threads, const dynamic_shared& shared, Arguments&&... arguments) noexcept {
  return launch(context, kernel, grid_of(blocks), threads, shared,
                std::forward<Arguments>(arguments)...);
}

// Blocks of a cluster, as a launch's only attribute.
class cluster_size {
 public:
  explicit cluster_size(int blocks) noexcept {
    attribute_.id = cudaLaunchAttributeClusterDimension;
    attribute_.val.clusterDim = {static_cast<unsigned>(blocks), 1, 1};
  }
  void set(cudaLaunchConfig_t& config) noexcept {
    config.attrs = &attribute_;
    config.numAttrs = 1;
  }

 private:
  cudaLaunchAttribute attribute_{};
};

// How many clusters of these the device holds at once.
template <class... Parameters>
status resident_clusters(const device_context& context, void (*kernel)(Parameters...), int blocks,
                         int threads, const dynamic_shared& shared, int& clusters) noexcept {
  constexpr int kPortable = 8;  // more need to be allowed, which changes nothing for fewer
  status s = allow_shared(context, kernel, shared);
  if (s.ok() && blocks > kPortable) {
    s = checked(context.function, "cudaFuncSetAttribute",
                cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  }
  if (!s.ok()) return s;
  cluster_size size(blocks);
  cudaLaunchConfig_t config = config_of(context, grid_of(blocks), threads, shared);
  size.set(config);
  return checked(context.function, "cudaOccupancyMaxActiveClusters",
                 cudaOccupancyMaxActiveClusters(&clusters, kernel, &config));
}

// Of a kernel that resident_clusters was asked about.
template <class... Parameters, class... Arguments>
status launch_clusters(const device_context& context, void (*kernel)(Parameters...),
                       long long clusters, int blocks, int threads, const dynamic_shared& shared,
                       Arguments&&... arguments) noexcept {
  cluster_size size(blocks);
  cudaLaunchConfig_t config = config_of(context, grid_of(clusters * blocks), threads, shared);
  size.set(config);
  return start(context, kernel, config, std::forward<Arguments>(arguments)...);
}

}  // namespace culoss::detail
