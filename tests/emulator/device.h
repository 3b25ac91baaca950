// Forced in front of every .cu file (-include) when a host compiler compiles it for the emulator:
// the part of CUDA C++ that NVIDIA's headers leave to nvcc. They allow these names to be defined
// beforehand; without that, __shared__ would become empty and an array in shared memory a local of
// each thread.
#pragma once

#define __host__
#define __device__
#define __global__
#define __constant__ const
#define __managed__
#define __grid_constant__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>  // before __noinline__ is a macro: it has an attribute of that name
#include <tuple>
#include <type_traits>
#include <utility>

#include "simt.hpp"

#ifndef __noinline__
#define __noinline__ __attribute__((noinline))
#endif
// What the device compiler may assume, the emulator checks.
#define __builtin_assume(condition)                                                           \
  ((condition) ? void()                                                                       \
               : simt::fault(simt::fault_kind::assertion, "__builtin_assume(" #condition ")", \
                             simt::where::current()))

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#include "device_math.h"
#include "device_memory.h"
#include "device_sync.h"

namespace simt {
cudaError_t launch(const cudaLaunchConfig_t*, const void* kernel, std::function<void()> body);

template <typename... P>
const void* address_of(void (*kernel)(P...)) {
  return reinterpret_cast<const void*>(kernel);
}
}  // namespace simt

// NVIDIA's host template of this name erases the types of the arguments; a constrained template is
// preferred to it.
template <typename... P, typename... A>
requires(sizeof...(P) == sizeof...(A)) cudaError_t
    cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... args) {
  return simt::launch(config, simt::address_of(kernel),
                      [kernel, bound = std::tuple<std::remove_cv_t<P>...>(
                                   std::forward<A>(args)...)] { std::apply(kernel, bound); });
}

// cuda_runtime.h has these overloads only under nvcc.
template <typename... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return ::cudaFuncSetAttribute(simt::address_of(kernel), attribute, value);
}
template <typename... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, void (*kernel)(P...)) {
  return ::cudaFuncGetAttributes(out, simt::address_of(kernel));
}
template <typename... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(P...),
                                                          int threads, std::size_t dynamic_shared) {
  return ::cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, simt::address_of(kernel), threads,
                                                         dynamic_shared);
}
template <typename... P>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, void (*kernel)(P...),
                                           const cudaLaunchConfig_t* config) {
  return ::cudaOccupancyMaxActiveClusters(clusters, simt::address_of(kernel), config);
}
