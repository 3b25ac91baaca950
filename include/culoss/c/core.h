// What every function of the C interface shares: status, views, scalars, where to run. culoss.h says
// how it is used.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CULOSS_API __attribute__((visibility("default")))
#else
#define CULOSS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// The version of this header, major * 1000000 + minor * 1000 + patch.
#define CULOSS_VERSION 1000
// The version of the library.
CULOSS_API int32_t culoss_version(void);

// culoss::status_code
typedef int32_t culoss_status;
enum {
  CULOSS_SUCCESS = 0,
  CULOSS_INVALID_ARGUMENT = 1,     // nothing was launched, nothing written
  CULOSS_WORKSPACE_TOO_SMALL = 2,  // likewise
  CULOSS_UNSUPPORTED = 3,          // likewise: this build or device cannot do it
  CULOSS_OUT_OF_MEMORY = 4,
  CULOSS_CUDA_ERROR = 5,
  CULOSS_CUBLAS_ERROR = 6
};

// What went wrong in this thread's last call that returned a status; never null.
CULOSS_API const char* culoss_last_message(void);

// The type of a view's elements. 0 is none, so that a forgotten one is refused.
typedef int32_t culoss_dtype;
enum {
  CULOSS_FLOAT32 = 1,
  CULOSS_FLOAT16 = 2,
  CULOSS_BFLOAT16 = 3,
  CULOSS_FLOAT64 = 4,  // on the CPU alone
  CULOSS_INT32 = 5,
  CULOSS_INT64 = 6,
  CULOSS_UINT8 = 7,
  CULOSS_ROW_STATISTICS_FLOAT32 = 8,  // the structs below
  CULOSS_ROW_STATISTICS_FLOAT64 = 9,
  CULOSS_SHARD_STATISTICS_FLOAT32 = 10,
  CULOSS_SHARD_STATISTICS_FLOAT64 = 11
};

// How the elements of a matrix lie.
typedef int32_t culoss_layout;
enum {
  CULOSS_LAYOUT_ROWS = 0,  // element (i, j) is data[i * ld + j]
  // culoss::strided_logits [n, classes, inner] with rows = n, cols = classes, ld = inner: element
  // (i, c, k) is data[(i * cols + c) * ld + k]. Of cross_entropy and softmax_focal with labels, and
  // their backward.
  CULOSS_LAYOUT_STRIDED = 1
};

// Views own nothing. Sizes and pitches count elements.
typedef struct {
  void* data;
  int64_t rows, cols, ld;
  culoss_dtype type;
  culoss_layout layout;
} culoss_matrix;

typedef struct {
  const void* data;
  int64_t rows, cols, ld;
  culoss_dtype type;
  culoss_layout layout;
} culoss_const_matrix;

typedef struct {
  void* data;
  int64_t size;
  culoss_dtype type;
  int32_t reserved;  // 0
} culoss_vector;

typedef struct {
  const void* data;
  int64_t size;
  culoss_dtype type;  // of labels CULOSS_INT32 or CULOSS_INT64
  int32_t reserved;   // 0
} culoss_const_vector;

// A number that is known now, or that stands in the memory of the execution space.
typedef int32_t culoss_scalar_kind;
enum { CULOSS_SCALAR_ABSENT = 0, CULOSS_SCALAR_VALUE = 1, CULOSS_SCALAR_DEVICE = 2 };
typedef struct {
  const float* device;
  float value;
  culoss_scalar_kind kind;
} culoss_scalar;

// A number that is known now.
static inline culoss_scalar culoss_value(float value) {
  culoss_scalar s = {NULL, 0.0f, CULOSS_SCALAR_VALUE};
  s.value = value;
  return s;
}
// One that stands in the memory of the execution space.
static inline culoss_scalar culoss_at(const float* device) {
  culoss_scalar s = {NULL, 0.0f, CULOSS_SCALAR_DEVICE};
  s.device = device;
  return s;
}

// culoss::row_statistics and culoss::shard_statistics
typedef struct {
  float max, log_sum, target, weight;
} culoss_row_statistics_float32;
typedef struct {
  double max, log_sum, target, weight;
} culoss_row_statistics_float64;
typedef struct {
  float max, sum, target, weight, distance, spread, largest, reserved;
  int64_t argmax;
} culoss_shard_statistics_float32;
typedef struct {
  double max, sum, target, weight, distance, spread, largest;
  int64_t argmax;
} culoss_shard_statistics_float64;

// culoss::fault_record: zeros are a clean one.
typedef struct {
  uint64_t words[4];
} culoss_fault_record;

// A cuBLAS handle and its pinned workspace: cublas.hpp.
typedef struct culoss_cublas culoss_cublas;
struct cublasContext;  // *cublasHandle_t
struct CUstream_st;    // *cudaStream_t

typedef int32_t culoss_device;
enum { CULOSS_CPU = 1, CULOSS_CUDA = 2 };

// Where to run: culoss::cpu reads `threads` and `faults`, culoss::cuda all but `threads`; its
// row_kernels are the proven ones.
typedef struct {
  uint64_t size;
  culoss_device device;
  int32_t threads;  // 0: all cores
  struct CUstream_st* stream;
  void* workspace;  // on the device, 16-byte aligned
  uint64_t workspace_bytes;
  culoss_fault_record* faults;  // in the memory of the execution space
  culoss_cublas* blas;
} culoss_execution;

// Makes a handle for the current device (synchronizes). *made is null after a failure.
CULOSS_API culoss_status culoss_cublas_create(culoss_cublas** made);
// Makes one that borrows the caller's, with device memory for its workspace or null. Likewise.
CULOSS_API culoss_status culoss_cublas_borrow(struct cublasContext* handle, void* workspace,
                                              uint64_t workspace_bytes, culoss_cublas** made);
// Null does nothing. The work that uses it must be done.
CULOSS_API void culoss_cublas_destroy(culoss_cublas* blas);

// culoss::faults
typedef struct {
  uint64_t size;
  uint64_t count;
  int64_t first_row, label;
  uint64_t flags;  // 1: a label out of range
} culoss_faults;
// Decodes a record; on CULOSS_CUDA it waits for the stream.
CULOSS_API culoss_status culoss_read_faults(const culoss_execution* execution,
                                            const culoss_fault_record* record, culoss_faults* out);

typedef int32_t culoss_reduction;
enum { CULOSS_REDUCTION_NONE = 0, CULOSS_REDUCTION_MEAN = 1, CULOSS_REDUCTION_SUM = 2 };

// What a divisor of 0 gives.
typedef int32_t culoss_empty_batch;
enum { CULOSS_EMPTY_ZERO = 0, CULOSS_EMPTY_NAN = 1 };

typedef int32_t culoss_similarity_plan;
enum {
  CULOSS_PLAN_FORWARD_ONLY = 0,
  CULOSS_PLAN_ONE_VISIT = 1,
  CULOSS_PLAN_RECOMPUTE = 2,
  CULOSS_PLAN_KEPT = 3,
  CULOSS_PLAN_AUTOMATIC = 4
};

// Of embeddings.
typedef int32_t culoss_triplet_distance;
enum {
  CULOSS_DISTANCE_EUCLIDEAN = 0,
  CULOSS_DISTANCE_SQUARED_EUCLIDEAN = 1,
  CULOSS_DISTANCE_COSINE = 2
};

// What a call on CULOSS_CUDA can use: fewer bytes than `least` is CULOSS_WORKSPACE_TOO_SMALL, more
// than `best` buys nothing. What a loss does not have (plans of the losses over similarities, rows
// at a time of linear_cross_entropy) is 0. All of it is 0 in a build without CUDA.
typedef struct {
  uint64_t size;
  uint64_t least, best;
  int64_t least_rows, best_rows;
  culoss_similarity_plan least_plan, best_plan;
} culoss_workspace;

#ifdef __cplusplus
}
#endif
