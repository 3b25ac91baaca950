// What the emulated device is, and the names of errors.
#include <cstring>

#include "runtime.hpp"

namespace {

constexpr int kDevices = 1;

struct named_error {
  cudaError_t code;
  const char* name;
  const char* text;
};
#define ERROR(code, text) \
  { code, #code, text }
constexpr named_error kErrors[] = {
    ERROR(cudaSuccess, "no error"),
    ERROR(cudaErrorInvalidValue, "invalid argument"),
    ERROR(cudaErrorMemoryAllocation, "out of memory"),
    ERROR(cudaErrorInitializationError, "initialization error"),
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    ERROR(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR(cudaErrorNoKernelImageForDevice,
          "no kernel image is available for execution on the device"),
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR(cudaErrorNotReady, "device not ready"),
    ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    ERROR(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    ERROR(cudaErrorAssert, "device-side assert triggered"),
    ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    ERROR(cudaErrorNotPermitted, "operation not permitted"),
    ERROR(cudaErrorNotSupported, "operation not supported"),
    ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR(cudaErrorStreamCaptureInvalidated,
          "operation failed due to a previous error during capture"),
    ERROR(cudaErrorStreamCaptureMerge,
          "operation would result in a merge of separate capture sequences"),
    ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR(cudaErrorStreamCaptureIsolation,
          "dependency created on uncaptured work in another stream"),
    ERROR(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR(cudaErrorCapturedEvent,
          "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(cudaErrorStreamCaptureWrongThread,
          "attempt to terminate a thread-local capture sequence from another thread"),
    ERROR(cudaErrorInvalidClusterSize, "cluster size too large, or not allowed"),
    ERROR(cudaErrorUnknown, "unknown error"),
};
#undef ERROR

const named_error* find(cudaError_t e) {
  for (const named_error& n : kErrors) {
    if (n.code == e) return &n;
  }
  return nullptr;
}

// -1: no such attribute here.
int attribute(cudaDeviceAttr a) {
  switch (a) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMultiProcessorCount:
      return simt::current_settings().multiprocessors;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return 2048;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return 48 * 1024;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return 227 * 1024;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return 228 * 1024;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1024;
    case cudaDevAttrComputeCapabilityMajor:
      return simt::current_settings().capability / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return simt::current_settings().capability % 10;
    case cudaDevAttrL2CacheSize:
      return 50 * 1024 * 1024;
    case cudaDevAttrTotalConstantMemory:
      return 64 * 1024;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      return 1000000;
    case cudaDevAttrGlobalMemoryBusWidth:
      return 5120;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrClusterLaunch:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrAsyncEngineCount:
      return 1;
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrIntegrated:
      return 0;
    default:
      return -1;
  }
}

}  // namespace

using simt::api;
using simt::call_kind;

extern "C" {

const char* cudaGetErrorName(cudaError_t e) {
  return find(e) != nullptr ? find(e)->name : "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t e) {
  return find(e) != nullptr ? find(e)->text : "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* n) {
  return api(
      "cudaGetDeviceCount", [&] { return *n = kDevices, cudaSuccess; }, call_kind::query);
}
cudaError_t cudaGetDevice(int* device) {
  return api(
      "cudaGetDevice", [&] { return *device = 0, cudaSuccess; }, call_kind::query);
}
cudaError_t cudaSetDevice(int device) {
  return api(
      "cudaSetDevice", [&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; },
      call_kind::query);
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr a, int device) {
  return api(
      "cudaDeviceGetAttribute",
      [&] {
        if (device != 0) return cudaErrorInvalidDevice;
        if (value == nullptr || attribute(a) < 0) return cudaErrorInvalidValue;
        *value = attribute(a);
        return cudaSuccess;
      },
      call_kind::query);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  return api(
      "cudaGetDeviceProperties",
      [&] {
        if (device != 0) return cudaErrorInvalidDevice;
        if (p == nullptr) return cudaErrorInvalidValue;
        *p = {};
        std::strcpy(p->name, "emulated device");
        p->major = attribute(cudaDevAttrComputeCapabilityMajor);
        p->minor = attribute(cudaDevAttrComputeCapabilityMinor);
        p->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
        p->warpSize = 32;
        p->maxThreadsPerBlock = 1024;
        p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
        p->maxThreadsDim[2] = 64;
        p->maxGridSize[0] = 0x7fffffff;
        p->maxGridSize[1] = p->maxGridSize[2] = 65535;
        p->maxThreadsPerMultiProcessor = 2048;
        p->maxBlocksPerMultiProcessor = 32;
        p->regsPerBlock = p->regsPerMultiprocessor = 65536;
        p->sharedMemPerBlock = 48 * 1024;
        p->sharedMemPerBlockOptin = 227 * 1024;
        p->sharedMemPerMultiprocessor = 228 * 1024;
        p->reservedSharedMemPerBlock = 1024;
        p->l2CacheSize = attribute(cudaDevAttrL2CacheSize);
        p->totalGlobalMem = simt::arena::kTotal;
        p->totalConstMem = 64 * 1024;
        p->memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth);
        p->unifiedAddressing = p->cooperativeLaunch = p->concurrentKernels =
            p->memoryPoolsSupported = 1;
        p->asyncEngineCount = 1;
        return cudaSuccess;
      },
      call_kind::query);
}
cudaError_t cudaRuntimeGetVersion(int* v) {
  return api(
      "cudaRuntimeGetVersion", [&] { return *v = CUDART_VERSION, cudaSuccess; }, call_kind::query);
}
cudaError_t cudaDriverGetVersion(int* v) {
  return api(
      "cudaDriverGetVersion", [&] { return *v = CUDART_VERSION, cudaSuccess; }, call_kind::query);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api("cudaDeviceGetStreamPriorityRange",
             [&] { return *least = *greatest = 0, cudaSuccess; });
}
}
