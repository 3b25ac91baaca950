// Kernel launches and what may be asked of and set for a kernel.
#include <deque>
#include <map>

#include "runtime.hpp"

namespace simt {
namespace {

constexpr unsigned kPortableCluster = 8;
constexpr std::size_t kDefaultDynamicShared = 48 * 1024;
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr int kBlocksPerMultiprocessor = 32;
constexpr std::size_t kSharedPerMultiprocessor = 228 * 1024, kSharedReserved = 1024;

struct kernel_attributes {
  std::size_t max_dynamic_shared = kDefaultDynamicShared;
  bool any_cluster_size = false;
};
std::map<const void*, kernel_attributes>& attributes() {
  static auto* m = new std::map<const void*, kernel_attributes>;
  return *m;
}
std::deque<const void*>& log() {
  static auto* d = new std::deque<const void*>;
  return *d;
}

int blocks_per_multiprocessor(int threads, std::size_t dynamic_shared) {
  if (threads <= 0) return 0;
  const int rounded = (threads + 31) / 32 * 32;
  const int by_threads = kThreadsPerMultiprocessor / rounded;
  const int by_shared =
      static_cast<int>(kSharedPerMultiprocessor / (dynamic_shared + kSharedReserved));
  return std::min({kBlocksPerMultiprocessor, by_threads, by_shared});
}

cudaError_t check_launch(const geometry& g, const kernel_attributes& k, bool cooperative) {
  for (int i = 0; i < 3; ++i) {
    if (g.grid[i] == 0 || g.block[i] == 0 || g.cluster[i] == 0)
      return cudaErrorInvalidConfiguration;
  }
  if (g.block[0] > 1024 || g.block[1] > 1024 || g.block[2] > 64)
    return cudaErrorInvalidConfiguration;
  if (static_cast<std::uint64_t>(g.block[0]) * g.block[1] * g.block[2] > kMaxBlockThreads) {
    return cudaErrorInvalidConfiguration;
  }
  if (g.grid[0] > 0x7fffffffu || g.grid[1] > 65535 || g.grid[2] > 65535)
    return cudaErrorInvalidConfiguration;
  if (g.cluster_blocks() > (k.any_cluster_size ? kMaxCluster : kPortableCluster))
    return cudaErrorInvalidClusterSize;
  for (int i = 0; i < 3; ++i) {
    if (g.grid[i] % g.cluster[i] != 0) return cudaErrorInvalidConfiguration;
  }
  if (g.dynamic_shared > k.max_dynamic_shared) return cudaErrorInvalidValue;
  if (cooperative) {
    const std::uint64_t blocks = std::uint64_t{g.grid[0]} * g.grid[1] * g.grid[2];
    const int room =
        current_settings().multiprocessors *
        blocks_per_multiprocessor(static_cast<int>(g.block_threads()), g.dynamic_shared);
    if (blocks > static_cast<std::uint64_t>(room)) return cudaErrorCooperativeLaunchTooLarge;
  }
  return cudaSuccess;
}

cudaError_t error_of(fault_kind f) {
  switch (f) {
    case fault_kind::none:
      return cudaSuccess;
    case fault_kind::illegal_address:
      return cudaErrorIllegalAddress;
    case fault_kind::misaligned_address:
      return cudaErrorMisalignedAddress;
    case fault_kind::assertion:
      return cudaErrorAssert;
    default:
      return cudaErrorLaunchFailure;
  }
}

void run_kernel(const geometry& g, const void* kernel, const std::function<void()>& body) {
  log().push_back(kernel);
  if (log().size() > 4096) log().pop_front();
  const launch_result r = run_grid(g, body, kernel);
  if (r.fault != fault_kind::none) set_fault(error_of(r.fault), r.report);
  const std::string damage = arena::check_guards();
  if (!damage.empty()) set_fault(cudaErrorIllegalAddress, symbol_name(kernel) + ": " + damage);
}

}  // namespace

std::vector<std::string> launched_kernels() {
  std::vector<std::string> names;
  for (const void* k : log()) names.push_back(symbol_name(k));
  return names;
}

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> body) {
  return api("cudaLaunchKernelExC", [&] {
    if (config == nullptr) return cudaErrorInvalidValue;
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    geometry g{{config->gridDim.x, config->gridDim.y, config->gridDim.z},
               {config->blockDim.x, config->blockDim.y, config->blockDim.z},
               {1, 1, 1},
               config->dynamicSmemBytes};
    bool cooperative = false;
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      const cudaLaunchAttribute& a = config->attrs[i];
      switch (a.id) {
        case cudaLaunchAttributeClusterDimension:
          g.cluster[0] = a.val.clusterDim.x;
          g.cluster[1] = a.val.clusterDim.y;
          g.cluster[2] = a.val.clusterDim.z;
          break;
        case cudaLaunchAttributeCooperative:
          cooperative = a.val.cooperative != 0;
          break;
        case cudaLaunchAttributeIgnore:
        case cudaLaunchAttributePriority:
        case cudaLaunchAttributeProgrammaticStreamSerialization:
        case cudaLaunchAttributeClusterSchedulingPolicyPreference:
        case cudaLaunchAttributeMemSyncDomain:
        case cudaLaunchAttributeAccessPolicyWindow:
          break;
        default:
          return cudaErrorNotSupported;
      }
    }
    if (const cudaError_t e = check_launch(g, attributes()[kernel], cooperative); e != cudaSuccess)
      return e;
    return submit(config->stream, {cudaGraphNodeTypeKernel, [g, kernel, body = std::move(body)] {
                                     run_kernel(g, kernel, body);
                                   }});
  });
}

}  // namespace simt

using simt::api;

extern "C" {

// For callers that know no kernel: those of the library are launched with their types, by device.h.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) {
  return api("cudaLaunchKernelExC", [] { return cudaErrorInvalidDeviceFunction; });
}
cudaError_t cudaFuncSetAttribute(const void* f, cudaFuncAttribute a, int value) {
  return api("cudaFuncSetAttribute", [&] {
    if (f == nullptr) return cudaErrorInvalidDeviceFunction;
    if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) {
      if (value < 0 || static_cast<std::size_t>(value) > simt::kMaxDynamicShared)
        return cudaErrorInvalidValue;
      simt::attributes()[f].max_dynamic_shared = static_cast<std::size_t>(value);
    } else if (a == cudaFuncAttributeNonPortableClusterSizeAllowed) {
      simt::attributes()[f].any_cluster_size = value != 0;
    } else if (a != cudaFuncAttributePreferredSharedMemoryCarveout) {
      return cudaErrorInvalidValue;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void* f) {
  return api("cudaFuncGetAttributes", [&] {
    if (out == nullptr || f == nullptr) return cudaErrorInvalidValue;
    *out = {};
    out->maxThreadsPerBlock = simt::kMaxBlockThreads;
    out->numRegs = 32;
    out->binaryVersion = out->ptxVersion = 90;
    out->maxDynamicSharedSizeBytes = static_cast<int>(simt::attributes()[f].max_dynamic_shared);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* f, int threads,
                                                          std::size_t dynamic_shared) {
  return api("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (blocks == nullptr || f == nullptr || threads <= 0) return cudaErrorInvalidValue;
    *blocks = threads > static_cast<int>(simt::kMaxBlockThreads)
                  ? 0
                  : simt::blocks_per_multiprocessor(threads, dynamic_shared);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* f,
                                                                   int threads,
                                                                   std::size_t dynamic_shared,
                                                                   unsigned) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, f, threads, dynamic_shared);
}
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* f,
                                           const cudaLaunchConfig_t* c) {
  return api("cudaOccupancyMaxActiveClusters", [&] {
    if (clusters == nullptr || f == nullptr || c == nullptr) return cudaErrorInvalidValue;
    int size = 1;
    for (unsigned i = 0; i < c->numAttrs; ++i) {
      const auto& d = c->attrs[i].val.clusterDim;
      if (c->attrs[i].id == cudaLaunchAttributeClusterDimension)
        size = static_cast<int>(d.x * d.y * d.z);
    }
    const int threads = static_cast<int>(c->blockDim.x * c->blockDim.y * c->blockDim.z);
    *clusters = simt::current_settings().multiprocessors *
                simt::blocks_per_multiprocessor(threads, c->dynamicSmemBytes) / size;
    return cudaSuccess;
  });
}
}
