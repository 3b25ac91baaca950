// Matrix products by cuBLAS, on row-major matrices.
#pragma once

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <culoss/cublas.hpp>

#include "host/launch.hpp"

namespace culoss::detail {

inline status check_blas(const char* function, const cuda& where) noexcept {
  if (where.blas != nullptr && where.blas->handle() != nullptr) return {};
  return failure(status_code::invalid_argument, function, "blas is %s",
                 where.blas == nullptr ? "null" : "empty: create() or borrow() comes first");
}

inline status checked(const char* function, const char* call, cublasStatus_t error) noexcept {
  if (error == CUBLAS_STATUS_SUCCESS) return {};
  const bool memory = error == CUBLAS_STATUS_ALLOC_FAILED;
  return failure(memory ? status_code::out_of_memory : status_code::cublas_error, function,
                 "%s failed: %s", call, cublasGetStatusName(error));
}

template <class T>
constexpr cudaDataType_t data_type = std::is_same_v<T, float>    ? CUDA_R_32F
                                     : std::is_same_v<T, __half> ? CUDA_R_16F
                                                                 : CUDA_R_16BF;

// A row-major operand: element (i, j) at data[i * ld + j].
template <class T>
struct operand {
  const T* data;
  long long ld;
};

class gemm {
 public:
  // Sets the handle up for this call. Setting the stream resets the workspace: in this order.
  status open(const device_context& context, const cublas& blas, bool allow_tf32) noexcept {
    context_ = &context;
    handle_ = blas.handle();
    compute_float_ = allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const char* const f = context.function;
    status s = checked(f, "cublasSetStream", cublasSetStream(handle_, context.stream));
    const workspace pinned = blas.pinned();
    if (s.ok() && pinned.data != nullptr) {
      s = checked(f, "cublasSetWorkspace", cublasSetWorkspace(handle_, pinned.data, pinned.bytes));
    }
    if (s.ok()) {
      s = checked(f, "cublasSetPointerMode",
                  cublasSetPointerMode(handle_, CUBLAS_POINTER_MODE_HOST));
    }
    if (s.ok()) {
      s = checked(f, "cublasSetAtomicsMode",
                  cublasSetAtomicsMode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED));
    }
    // Float stays float, and sums of 16-bit products are not rounded to 16 bits on the way.
    constexpr auto kMode = static_cast<cublasMath_t>(
        CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    if (s.ok()) s = checked(f, "cublasSetMathMode", cublasSetMathMode(handle_, kMode));
    return s;
  }

  // c[m, n] = a[m, k] b[n, k]^T + beta c
  template <class T>
  status a_bt(int m, int n, int k, operand<T> a, operand<T> b, float* c, long long ld,
              float beta = 0.0f) const noexcept {
    return run<T>(CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, b, a, beta, c, ld);
  }
  // c[m, n] = a[m, k] b[k, n] + beta c
  template <class T>
  status a_b(int m, int n, int k, operand<T> a, operand<T> b, float beta, float* c,
             long long ld) const noexcept {
    return run<T>(CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, b, a, beta, c, ld);
  }
  // c[m, n] = a[k, m]^T b[k, n] + beta c
  template <class T>
  status at_b(int m, int n, int k, operand<T> a, operand<T> b, float beta, float* c,
              long long ld) const noexcept {
    return run<T>(CUBLAS_OP_N, CUBLAS_OP_T, n, m, k, b, a, beta, c, ld);
  }

 private:
  // In cuBLAS' column-major terms, where a row-major matrix is its transpose.
  template <class T>
  status run(cublasOperation_t of_a, cublasOperation_t of_b, int m, int n, int k, operand<T> a,
             operand<T> b, float beta, float* c, long long ld) const noexcept {
    const float one = 1.0f;
    constexpr auto kType = data_type<T>;
    const auto compute = std::is_same_v<T, float> ? compute_float_ : CUBLAS_COMPUTE_32F;
    return checked(
        context_->function, "cublasGemmEx",
        cublasGemmEx(handle_, of_a, of_b, m, n, k, &one, a.data, kType, static_cast<int>(a.ld),
                     b.data, kType, static_cast<int>(b.ld), &beta, c, CUDA_R_32F,
                     static_cast<int>(ld), compute, CUBLAS_GEMM_DEFAULT));
  }

  const device_context* context_ = nullptr;
  cublasHandle_t handle_ = nullptr;
  cublasComputeType_t compute_float_ = CUBLAS_COMPUTE_32F;
};

}  // namespace culoss::detail
