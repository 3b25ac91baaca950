// An owner of what the tests need of cuBLAS.
#pragma once

#include <cublas_v2.h>

#include <stdexcept>

namespace culoss_test {

// A handle of the caller's own.
class callers_handle {
 public:
  callers_handle() {
    if (cublasCreate(&handle_) != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cublasCreate");
  }
  callers_handle(const callers_handle&) = delete;
  callers_handle& operator=(const callers_handle&) = delete;
  ~callers_handle() { (void)cublasDestroy(handle_); }
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

}  // namespace culoss_test
