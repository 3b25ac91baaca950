// Matrix products on the CPU: products of 16-bit values and of TF32 are exact in float, sums are
// floats.
#include "gemm.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "runtime.hpp"
#include "watch.hpp"

namespace simt {
namespace {

float read(const void* p, cudaDataType t, std::size_t i) {
  switch (t) {
    case CUDA_R_16BF:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
    case CUDA_R_16F:
      return __half2float(static_cast<const __half*>(p)[i]);
    default:
      return static_cast<const float*>(p)[i];
  }
}
void write(void* p, cudaDataType t, std::size_t i, float v) {
  switch (t) {
    case CUDA_R_16BF:
      static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16_rn(v);
      break;
    case CUDA_R_16F:
      static_cast<__half*>(p)[i] = __float2half_rn(v);
      break;
    default:
      static_cast<float*>(p)[i] = v;
  }
}

// TF32 keeps ten bits of the fraction.
float to_tf32(float v) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffffe000u);
}

bool check_memory(const char* what, const void* p, std::size_t rows, std::size_t cols,
                  const matrix_view& v, bool is_read) {
  if (rows == 0 || cols == 0) return true;
  const std::size_t element = size_of(v.type);
  if (!arena::is_alive(p, ((cols - 1) * v.ld + rows) * element)) {
    set_fault(cudaErrorIllegalAddress, std::string("cuBLAS: matrix ") + what +
                                           " is not in device memory: " + arena::describe(p) +
                                           "\n");
    return false;
  }
  if (!is_read || !watch::first_unwritten) return true;
  for (std::size_t j = 0; j < cols; ++j) {
    const char* column = static_cast<const char*>(p) + j * v.ld * element;
    const std::size_t at = watch::first_unwritten(column, rows * element);
    if (at == rows * element) continue;
    set_fault(cudaErrorLaunchFailure, std::string("cuBLAS: matrix ") + what +
                                          " was never written: " + arena::describe(column + at) +
                                          "\n");
    return false;
  }
  return true;
}

// op(X) as floats: `inner` contiguous values for each of `outer`.
std::vector<float> unpack(const void* p, const matrix_view& v, std::size_t outer, std::size_t inner,
                          bool contiguous, bool tf32) {
  std::vector<float> out(outer * inner);
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t i = 0; i < inner; ++i) {
      const float x = read(p, v.type, contiguous ? o * v.ld + i : i * v.ld + o);
      out[o * inner + i] = tf32 ? to_tf32(x) : x;
    }
  }
  return out;
}

void run_one(const product& g, long long batch, float alpha, float beta) {
  const void *pa = g.a.at(batch), *pb = g.b.at(batch);
  void* pc = const_cast<void*>(g.c.at(batch));
  const bool reads = alpha != 0.0f && g.k != 0;
  if (reads &&
      !check_memory("A", pa, g.a.transposed ? g.k : g.m, g.a.transposed ? g.m : g.k, g.a, true))
    return;
  if (reads &&
      !check_memory("B", pb, g.b.transposed ? g.n : g.k, g.b.transposed ? g.k : g.n, g.b, true))
    return;
  if (!check_memory("C", pc, g.m, g.n, g.c, beta != 0.0f)) return;
  std::vector<float> a, b;
  if (reads) {
    a = unpack(pa, g.a, g.k, g.m, !g.a.transposed, g.tf32);  // row l: column l of op(A)
    b = unpack(pb, g.b, g.n, g.k, !g.b.transposed, g.tf32);  // row j: column j of op(B)
  }
  std::vector<float> column(g.m);
  for (std::size_t j = 0; j < g.n; ++j) {
    std::fill(column.begin(), column.end(), 0.0f);
    for (std::size_t l = 0; reads && l < g.k; ++l) {
      const float x = b[j * g.k + l];
      const float* row = a.data() + l * g.m;
      for (std::size_t i = 0; i < g.m; ++i) column[i] += row[i] * x;
    }
    for (std::size_t i = 0; i < g.m; ++i) {
      const std::size_t at = i + j * g.c.ld;
      float value = reads ? alpha * column[i] : 0.0f;
      if (beta != 0.0f) value += beta * read(pc, g.c.type, at);  // else C need not hold numbers
      write(pc, g.c.type, at, value);
    }
    const std::size_t element = size_of(g.c.type);
    if (watch::written && g.m != 0)
      watch::written(static_cast<char*>(pc) + j * g.c.ld * element, g.m * element);
  }
}

}  // namespace

void run_product(const product& g) {
  float alpha = g.host_alpha, beta = g.host_beta;
  if (g.scalars_on_device) {
    for (const void* p : {g.alpha, g.beta}) {
      if (!arena::is_alive(p, sizeof(float)) ||
          (watch::first_unwritten && watch::first_unwritten(p, sizeof(float)) != sizeof(float))) {
        return set_fault(cudaErrorIllegalAddress,
                         "cuBLAS: a scalar is not in device memory or was never written: " +
                             arena::describe(p) + "\n");
      }
    }
    std::memcpy(&alpha, g.alpha, sizeof alpha);
    std::memcpy(&beta, g.beta, sizeof beta);
  }
  if (g.workspace != nullptr) {
    if (!arena::is_alive(g.workspace, g.workspace_bytes)) {
      return set_fault(cudaErrorIllegalAddress, "cuBLAS: the workspace is not in device memory: " +
                                                    arena::describe(g.workspace) + "\n");
    }
    // Whatever was in the workspace is lost.
    const std::size_t bytes = std::min<std::size_t>(g.workspace_bytes, 4096);
    std::memset(g.workspace, 0xff, bytes);
    std::memset(static_cast<char*>(g.workspace) + g.workspace_bytes - bytes, 0xff, bytes);
  }
  for (long long b = 0; b < g.batches && sticky_error() == cudaSuccess; ++b)
    run_one(g, b, alpha, beta);
}

}  // namespace simt
