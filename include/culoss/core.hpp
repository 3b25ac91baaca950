// What every function of the library shares: status, views of memory, scalars, where to run.
// Needs no CUDA header; half and bf16 are the types of cuda_fp16.h and cuda_bf16.h, declared only.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

struct __half;
struct __nv_bfloat16;
struct CUstream_st;  // *cudaStream_t

#if defined(__GNUC__)
#define CULOSS_API __attribute__((visibility("default")))
#else
#define CULOSS_API
#endif

namespace culoss {

using half = ::__half;
using bf16 = ::__nv_bfloat16;

// The type of losses and statistics: float, or double for double inputs.
template <class T>
using real_of = std::conditional_t<std::is_same_v<T, double>, double, float>;

// After a failure that is not one of the arguments (out_of_memory, cuda_error, cublas_error) the
// outputs are unspecified; inputs are as they were, scratch memory is back in its pool, and the
// same call may be made again. A stream that was being captured has recorded a part of the call. An
// error that an earlier call of the caller's left behind is neither reported nor cleared.
enum class status_code : int {
  success = 0,
  invalid_argument = 1,     // nothing was launched, nothing written
  workspace_too_small = 2,  // likewise
  unsupported = 3,          // likewise: this build or device cannot do it; on `cuda` rows (in the
                            // similarity losses pitches) of more than 2^31 - 2^16 elements
  out_of_memory = 4,        // on a device, for the call that the message names
  cuda_error = 5,           // a call of the CUDA runtime failed; the message names it
  cublas_error = 6,         // likewise of cuBLAS
};

// What a call returns: a code, and a message that names the function, the argument and its value.
// Holds its text itself; copying allocates nothing.
class [[nodiscard]] status {
 public:
  status() noexcept = default;
  CULOSS_API status(status_code code, const char* message) noexcept;  // cuts an overlong message

  bool ok() const noexcept { return code_ == status_code::success; }  // nothing went wrong
  status_code code() const noexcept { return code_; }                 // what kind of failure it is
  const char* message() const noexcept { return message_; }           // empty after a success

 private:
  status_code code_ = status_code::success;
  char message_[252] = "";
};

// Views: they own nothing. Sizes and pitches count elements, in 64 bits, into which the bytes of a
// view must fit, too. An empty view as an output means "not wanted". Pointers need only the
// alignment of their element. Whether two views overlap is judged by all that lies between their
// first element and their last; of matrices with the same pitch in bytes the padding is left out,
// so that columns of one wider buffer can be told apart. With one row the pitch has only to be at
// least cols.
template <class T>
struct vector {
  T* data = nullptr;
  std::int64_t size = 0;

  constexpr vector() noexcept = default;
  constexpr vector(T* data, std::int64_t size) noexcept : data(data), size(size) {}
  template <class U>
  requires std::same_as<const U, T>
  constexpr vector(vector<U> v) noexcept : data(v.data), size(v.size) {}
  // Whether it is not given.
  constexpr bool empty() const noexcept { return data == nullptr && size == 0; }
};

// Row-major: element (i, j) is data[i * ld + j]. The ld - cols elements behind each row are
// padding, which is neither read nor written.
template <class T>
struct matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t ld = 0;

  constexpr matrix() noexcept = default;
  constexpr matrix(T* data, std::int64_t rows, std::int64_t cols) noexcept
      : matrix(data, rows, cols, cols) {}
  constexpr matrix(T* data, std::int64_t rows, std::int64_t cols, std::int64_t ld) noexcept
      : data(data), rows(rows), cols(cols), ld(ld) {}
  template <class U>
  requires std::same_as<const U, T>
  constexpr matrix(matrix<U> m) noexcept : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld) {}
  // Whether it is not given.
  constexpr bool empty() const noexcept { return data == nullptr && rows == 0 && cols == 0; }
};

// Logits whose classes are not innermost, as images [N, C, H, W] and sequences [N, C, L] have them:
// element (i, c, k) is data[(i * classes + c) * inner + k]. Dense. Its rows are the n * inner
// positions, in the order (i, k): labels, per-row losses and statistics stand in that order.
template <class T>
struct strided_logits {
  T* data = nullptr;
  std::int64_t n = 0;
  std::int64_t classes = 0;
  std::int64_t inner = 0;

  constexpr strided_logits() noexcept = default;
  constexpr strided_logits(T* data, std::int64_t n, std::int64_t classes,
                           std::int64_t inner) noexcept
      : data(data), n(n), classes(classes), inner(inner) {}
  template <class U>
  requires std::same_as<const U, T>
  constexpr strided_logits(strided_logits<U> s) noexcept
      : data(s.data), n(s.n), classes(s.classes), inner(s.inner) {}
  // Whether it is not given.
  constexpr bool empty() const noexcept {
    return data == nullptr && n == 0 && classes == 0 && inner == 0;
  }
};

// An output gradient, in the type of the inputs or, without a rounding to it, in float.
template <class T>
struct gradient_matrix {
  void* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t ld = 0;
  bool wide = false;  // float for half and bf16 inputs

  constexpr gradient_matrix() noexcept = default;
  constexpr gradient_matrix(matrix<T> m) noexcept
      : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld) {}
  constexpr gradient_matrix(matrix<float> m) noexcept
      requires(std::same_as<T, half> || std::same_as<T, bf16>)
      : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld), wide(true) {}
  // Whether it is not given.
  constexpr bool empty() const noexcept { return data == nullptr && rows == 0 && cols == 0; }
};

// Class labels, int32 or int64; compared at their own width (int64 2^32+5 is not class 5).
struct label_view {
  const void* data = nullptr;
  std::int64_t size = 0;
  bool wide = false;  // int64

  constexpr label_view() noexcept = default;
  constexpr label_view(vector<const std::int32_t> v) noexcept : data(v.data), size(v.size) {}
  constexpr label_view(vector<std::int32_t> v) noexcept : data(v.data), size(v.size) {}
  constexpr label_view(vector<const std::int64_t> v) noexcept
      : data(v.data), size(v.size), wide(true) {}
  constexpr label_view(vector<std::int64_t> v) noexcept : data(v.data), size(v.size), wide(true) {}
};

// A number that the caller knows now, or that stands in the memory of the execution space (device
// memory for `cuda`) when the kernels run: a learned temperature, an upstream gradient, a token
// count over all ranks. Replayed graphs read the pointer anew.
class scalar {
 public:
  constexpr scalar() noexcept = default;  // not given
  constexpr scalar(float value) noexcept : value_(value), kind_(kind::value) {}
  constexpr scalar(double value) noexcept : scalar(static_cast<float>(value)) {}
  constexpr scalar(std::integral auto value) noexcept : scalar(static_cast<float>(value)) {}
  constexpr scalar(const float* device) noexcept : device_(device), kind_(kind::device) {}

  constexpr bool given() const noexcept { return kind_ != kind::absent; }  // whether there is one
  constexpr bool on_device() const noexcept { return kind_ == kind::device; }  // read on the device
  constexpr float value() const noexcept { return value_; }                    // if it is known
  constexpr const float* device() const noexcept { return device_; }           // if it is not

 private:
  enum class kind : std::uint8_t { absent, value, device };
  float value_ = 0;
  const float* device_ = nullptr;
  kind kind_ = kind::absent;
};

// none: one value a row. sum: their sum. mean: the sum over the divisor that each loss documents.
// Scalars are summed in a fixed order: two runs give the same bits.
enum class reduction : int { none, mean, sum };

// What an exactly zero divisor gives (an empty or all-ignored batch, or a normalizer of 0).
enum class empty_batch : int {
  zero,  // loss 0, gradient 0
  nan,   // loss NaN, gradient NaN in the rows that count, as PyTorch
};

// Bad device data found by the kernels: a label that is neither a class nor ignored. The row's loss
// and gradient become NaN; the caller who gives a record learns how many and where. 32 bytes of
// zeros are a clean record (cudaMemsetAsync); it collects over calls until it is cleared again, and
// is filled without floating-point atomics and without any synchronization. `read_faults` decodes
// it.
struct fault_record {
  std::uint64_t count;
  std::uint64_t
      inverted_first_row;  // ~row, so that zero means none and atomicMax keeps the smallest
  std::int64_t label;
  std::uint32_t flags;
  std::uint32_t reserved;
};

struct faults {
  static constexpr std::uint32_t label_out_of_range = 1;
  std::uint32_t flags = 0;      // which kinds were met
  std::uint64_t count = 0;      // rows, over all calls since the record was cleared
  std::int64_t first_row = -1;  // the smallest row index among them
  std::int64_t label = 0;       // what stood there in the latest call that met it
};

// Scratch memory of the execution space.
struct workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

class cublas;  // cublas.hpp

// Which kernels work on rows of logits, where there are several.
enum class row_kernels : int {
  // Those that have passed the library's tests on devices of the architecture.
  proven,
  // The next rows are loaded while one is computed, by blocks that stay: rows of up to 4 KB into
  // registers; rows of more than that which are written, through shared memory, where two of them fit
  // (on Hopper to 112 KB, on sm_80 to 79, on sm_86 and 89 to 47), each element read and written once.
  // These get the same bits as from the others. Rows of more than 112 KB and up to 1.7 MB are reduced
  // in a tree of their own, with the same bits whoever works on them: on Hopper the blocks of a
  // cluster, which keep the row; else one block, or of up to 512 rows one for every 16 KB or so,
  // which read it again where it is written. Of up to 4096 rows that are kept on chip one kernel also
  // counts the divisor and sums the losses. Strided logits that fit on chip or are not written are
  // taken four positions a thread, with the same bits. For
  // softmax, log_softmax, cross_entropy and softmax_focal of one type, without smoothing, softcap,
  // arg-max, accuracy and entropy; all else runs as `proven`. Has run on the emulated device only,
  // and is not measured.
  pipelined,
};

// Run on the CPU, from the textbook formula in double: the reference. Pointers are host pointers.
// Rows run on `threads` threads (0: all cores); results do not depend on their number.
struct cpu {
  int threads = 0;
  fault_record* faults = nullptr;
};

// Run on the current CUDA device, in order on `stream`; the call returns before the work is done.
// The stream must belong to the current device. `workspace` is device memory, 16-byte aligned, as
// large as the function's `..._workspace_bytes` says; without one, scratch is taken from the
// stream's memory pool and returned to it (slower; a memory node where the stream is being
// captured). The library synchronizes nothing, allocates nothing else and can be captured into a
// CUDA graph.
struct cuda {
  CUstream_st* stream = nullptr;
  culoss::workspace workspace = {};
  fault_record* faults = nullptr;  // device memory, 8-byte aligned
  cublas* blas = nullptr;          // for the losses that need a matrix product; no other reads it
  culoss::row_kernels row_kernels = culoss::row_kernels::proven;
};

// Decodes a record. On `cuda` it waits for the stream: the one function here that synchronizes.
// Errors: invalid_argument for a null pointer; cuda_error.
CULOSS_API status read_faults(const cuda& where, const fault_record* record, faults* out) noexcept;
CULOSS_API status read_faults(const cpu& where, const fault_record* record, faults* out) noexcept;

}  // namespace culoss
