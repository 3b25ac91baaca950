// The cuBLAS calls that the library makes: their checks, and their place in the stream's order.
#include <cublas_v2.h>

#include <algorithm>
#include <set>

#include "gemm.hpp"
#include "runtime.hpp"

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics_mode = CUBLAS_ATOMICS_NOT_ALLOWED;
  void* workspace = nullptr;  // null: the library's own
  std::size_t workspace_bytes = 0;
};

namespace simt {
namespace {

std::set<cublasHandle_t>& handles() {
  static auto* s = new std::set<cublasHandle_t>;
  return *s;
}

template <typename F>
cublasStatus_t blas(const char* name, F body) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  if (const cudaError_t e = begin_call(name); e != cudaSuccess) {
    return e == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED
                                          : CUBLAS_STATUS_INTERNAL_ERROR;
  }
  return body();
}
template <typename F>
cublasStatus_t with_handle(const char* name, cublasHandle_t h, F body) {
  return blas(name,
              [&] { return handles().count(h) != 0 ? body() : CUBLAS_STATUS_NOT_INITIALIZED; });
}

bool supported(cudaDataType a, cudaDataType b, cudaDataType c, cublasComputeType_t compute) {
  if (a != b || (a != CUDA_R_32F && a != CUDA_R_16F && a != CUDA_R_16BF)) return false;
  if (c != CUDA_R_32F && c != a) return false;
  switch (compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return true;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return a == CUDA_R_32F;
    default:
      return false;
  }
}

cublasStatus_t gemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, long long m,
                    long long n, long long k, const void* alpha, const void* a, cudaDataType at,
                    long long lda, long long stride_a, const void* b, cudaDataType bt,
                    long long ldb, long long stride_b, const void* beta, void* c, cudaDataType ct,
                    long long ldc, long long stride_c, long long batches,
                    cublasComputeType_t compute) {
  const bool trans_a = ta != CUBLAS_OP_N, trans_b = tb != CUBLAS_OP_N;
  for (const cublasOperation_t t : {ta, tb}) {
    if (t != CUBLAS_OP_N && t != CUBLAS_OP_T && t != CUBLAS_OP_C)
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m < 0 || n < 0 || k < 0 || batches < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (lda < std::max(1LL, trans_a ? k : m) || ldb < std::max(1LL, trans_b ? n : k) ||
      ldc < std::max(1LL, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (!supported(at, bt, ct, compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m == 0 || n == 0 || batches == 0) return CUBLAS_STATUS_SUCCESS;
  const bool on_device = h->pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  const bool tf32 =
      at == CUDA_R_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC &&
      (compute == CUBLAS_COMPUTE_32F_FAST_TF32 || h->math_mode == CUBLAS_TF32_TENSOR_OP_MATH);
  product g{static_cast<std::size_t>(m),
            static_cast<std::size_t>(n),
            static_cast<std::size_t>(k),
            {a, at, static_cast<std::size_t>(lda), stride_a, trans_a},
            {b, bt, static_cast<std::size_t>(ldb), stride_b, trans_b},
            {c, ct, static_cast<std::size_t>(ldc), stride_c, false},
            batches,
            alpha,
            beta,
            on_device ? 0.0f : *static_cast<const float*>(alpha),
            on_device ? 0.0f : *static_cast<const float*>(beta),
            on_device,
            tf32,
            h->workspace,
            h->workspace_bytes};
  if (sticky_error() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const cudaError_t e = submit(h->stream, {cudaGraphNodeTypeKernel, [g] { run_product(g); }});
  return e == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace

std::size_t count_cublas_handles() { return handles().size(); }

}  // namespace simt

using simt::with_handle;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* h) {
  const cublasStatus_t s = simt::blas("cublasCreate_v2", [&] {
    if (h == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (simt::refuse_in_capture() != cudaSuccess)
      return CUBLAS_STATUS_NOT_INITIALIZED;  // it allocates
    *h = new cublasContext;
    simt::handles().insert(*h);
    return CUBLAS_STATUS_SUCCESS;
  });
  // What cuBLAS says of a lack of memory at creation.
  return s == CUBLAS_STATUS_ALLOC_FAILED ? CUBLAS_STATUS_NOT_INITIALIZED : s;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
  return with_handle("cublasDestroy_v2", h, [&] {
    simt::handles().erase(h);
    delete h;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s) {
  return with_handle("cublasSetStream_v2", h, [&] {
    h->stream = s;
    h->workspace = nullptr;  // documented: unconditionally back to the default workspace
    h->workspace_bytes = 0;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t h, cudaStream_t* s) {
  return with_handle("cublasGetStream_v2", h,
                     [&] { return *s = h->stream, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void* p, std::size_t bytes) {
  return with_handle("cublasSetWorkspace_v2", h, [&] {
    if (p != nullptr && reinterpret_cast<std::uintptr_t>(p) % 256 != 0)
      return CUBLAS_STATUS_INVALID_VALUE;
    if (p != nullptr && !simt::arena::contains(p)) return CUBLAS_STATUS_INVALID_VALUE;
    h->workspace = bytes != 0 ? p : nullptr;
    h->workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t mode) {
  return with_handle("cublasSetPointerMode_v2", h,
                     [&] { return h->pointer_mode = mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t* mode) {
  return with_handle("cublasGetPointerMode_v2", h,
                     [&] { return *mode = h->pointer_mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode) {
  return with_handle("cublasSetMathMode", h,
                     [&] { return h->math_mode = mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t h, cublasAtomicsMode_t mode) {
  return with_handle("cublasSetAtomicsMode", h,
                     [&] { return h->atomics_mode = mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasGetAtomicsMode(cublasHandle_t h, cublasAtomicsMode_t* mode) {
  return with_handle("cublasGetAtomicsMode", h,
                     [&] { return *mode = h->atomics_mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasGetMathMode(cublasHandle_t h, cublasMath_t* mode) {
  return with_handle("cublasGetMathMode", h,
                     [&] { return *mode = h->math_mode, CUBLAS_STATUS_SUCCESS; });
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusName(cublasStatus_t s) {
  switch (s) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "unknown cuBLAS status";
  }
}
const char* cublasGetStatusString(cublasStatus_t s) { return cublasGetStatusName(s); }

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                            int n, int k, const void* alpha, const void* a, cudaDataType at,
                            int lda, const void* b, cudaDataType bt, int ldb, const void* beta,
                            void* c, cudaDataType ct, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
  return with_handle("cublasGemmEx", h, [&] {
    return simt::gemm(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0,
                      1, compute);
  });
}
cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const void* alpha, const void* a, cudaDataType at, int lda, long long stride_a, const void* b,
    cudaDataType bt, int ldb, long long stride_b, const void* beta, void* c, cudaDataType ct,
    int ldc, long long stride_c, int batches, cublasComputeType_t compute, cublasGemmAlgo_t) {
  return with_handle("cublasGemmStridedBatchedEx", h, [&] {
    return simt::gemm(h, ta, tb, m, n, k, alpha, a, at, lda, stride_a, b, bt, ldb, stride_b, beta,
                      c, ct, ldc, stride_c, batches, compute);
  });
}
cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                              int n, int k, const float* alpha, const float* a, int lda,
                              const float* b, int ldb, const float* beta, float* c, int ldc) {
  return with_handle("cublasSgemm_v2", h, [&] {
    return simt::gemm(h, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, 0, b, CUDA_R_32F, ldb, 0, beta,
                      c, CUDA_R_32F, ldc, 0, 1, CUBLAS_COMPUTE_32F);
  });
}
}
