#include <culoss/cublas.hpp>

#include "host/gemm.hpp"

namespace culoss {

using detail::checked;

cublas::~cublas() { release(); }

void cublas::release() noexcept {
  if (owned_) {
    (void)cublasDestroy(handle_);
    (void)cudaFree(pinned_.data);
  }
  handle_ = nullptr;
  pinned_ = {};
  owned_ = false;
}

status cublas::create() noexcept {
  constexpr const char* kFunction = "cublas::create";
  release();
  int device = 0, major = 0;
  status s = checked(kFunction, "cudaGetDevice", cudaGetDevice(&device));
  if (!s.ok()) return s;
  s = checked(kFunction, "cudaDeviceGetAttribute",
              cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  if (!s.ok()) return s;
  const std::size_t bytes = std::size_t{major >= 9 ? 32u : 4u} << 20;
  void* memory = nullptr;
  s = checked(kFunction, "cudaMalloc", cudaMalloc(&memory, bytes));
  if (!s.ok()) return s;
  cublasHandle_t handle = nullptr;
  const cublasStatus_t created = cublasCreate(&handle);
  if (created != CUBLAS_STATUS_SUCCESS) {
    (void)cudaFree(memory);
    // What cuBLAS says where the device has no memory left for a handle.
    const bool no_memory = created == CUBLAS_STATUS_NOT_INITIALIZED;
    return checked(kFunction, "cublasCreate", no_memory ? CUBLAS_STATUS_ALLOC_FAILED : created);
  }
  handle_ = handle;
  pinned_ = {memory, bytes};
  owned_ = true;
  return {};
}

status cublas::borrow(cublasContext* handle, workspace pinned) noexcept {
  constexpr const char* kFunction = "cublas::borrow";
  constexpr auto kInvalid = status_code::invalid_argument;
  if (handle == nullptr) return detail::failure(kInvalid, kFunction, "handle is null");
  if (pinned.data == nullptr && pinned.bytes > 0) {
    return detail::failure(kInvalid, kFunction, "pinned.data is null, but pinned.bytes is %zu",
                           pinned.bytes);
  }
  if (reinterpret_cast<std::uintptr_t>(pinned.data) % 256 != 0) {
    return detail::failure(kInvalid, kFunction,
                           "pinned.data is %p, must be a multiple of 256 bytes", pinned.data);
  }
  release();
  handle_ = handle;
  pinned_ = pinned;
  return {};
}

}  // namespace culoss
