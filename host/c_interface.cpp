// What the functions of the C interface share; versions, messages, handles and faults.
#include "host/c_interface.hpp"

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>

namespace culoss::c_interface {
namespace {

// One for each thread; needs neither construction nor destruction.
thread_local char last_message[sizeof(status)];

template <class A, class B>
constexpr bool equal(A a, B b) {
  return static_cast<int>(a) == static_cast<int>(b);
}
static_assert(equal(CULOSS_SUCCESS, status_code::success) &&
              equal(CULOSS_INVALID_ARGUMENT, status_code::invalid_argument) &&
              equal(CULOSS_WORKSPACE_TOO_SMALL, status_code::workspace_too_small) &&
              equal(CULOSS_UNSUPPORTED, status_code::unsupported) &&
              equal(CULOSS_OUT_OF_MEMORY, status_code::out_of_memory) &&
              equal(CULOSS_CUDA_ERROR, status_code::cuda_error) &&
              equal(CULOSS_CUBLAS_ERROR, status_code::cublas_error));
static_assert(equal(CULOSS_REDUCTION_NONE, reduction::none) &&
              equal(CULOSS_REDUCTION_MEAN, reduction::mean) &&
              equal(CULOSS_REDUCTION_SUM, reduction::sum));
static_assert(equal(CULOSS_EMPTY_ZERO, empty_batch::zero) &&
              equal(CULOSS_EMPTY_NAN, empty_batch::nan));
static_assert(sizeof(culoss_fault_record) == sizeof(fault_record));
static_assert(alignof(culoss_fault_record) == alignof(fault_record));
static_assert(faults::label_out_of_range == 1);

#define CULOSS_SAME_PLACE(c, cpp, field) (offsetof(c, field) == offsetof(cpp, field))
template <class C, class Real>
constexpr bool kSameRows = sizeof(C) == sizeof(row_statistics<Real>) &&
                           CULOSS_SAME_PLACE(C, row_statistics<Real>, log_sum) &&
                           CULOSS_SAME_PLACE(C, row_statistics<Real>, target) &&
                           CULOSS_SAME_PLACE(C, row_statistics<Real>, weight);
template <class C, class Real>
constexpr bool kSameShards = sizeof(C) == sizeof(shard_statistics<Real>) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, sum) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, target) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, weight) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, distance) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, spread) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, largest) &&
                             CULOSS_SAME_PLACE(C, shard_statistics<Real>, argmax);
static_assert(kSameRows<culoss_row_statistics_float32, float>);
static_assert(kSameRows<culoss_row_statistics_float64, double>);
static_assert(kSameShards<culoss_shard_statistics_float32, float>);
static_assert(kSameShards<culoss_shard_statistics_float64, double>);

// No struct that will ever be is larger; a size that was never set most often is.
constexpr std::uint64_t kLargestStruct = 4096;

const char* name_of(culoss_dtype type) {
  constexpr const char* kNames[] = {"no type",
                                    "float32",
                                    "float16",
                                    "bfloat16",
                                    "float64",
                                    "int32",
                                    "int64",
                                    "uint8",
                                    "row statistics of float32",
                                    "row statistics of float64",
                                    "shard statistics of float32",
                                    "shard statistics of float64"};
  constexpr culoss_dtype kCount = sizeof kNames / sizeof kNames[0];
  return type >= 0 && type < kCount ? kNames[type] : "unknown";
}

unsigned long long print(std::uint64_t n) { return n; }

status judge_size(const char* function, const char* name, std::uint64_t size,
                  std::uint64_t known) noexcept {
  if (size >= sizeof size && size % 8 == 0 && size <= kLargestStruct) return {};
  return detail::failure(status_code::invalid_argument, function,
                         "%s.size is %llu, must be that of the struct, here %llu", name,
                         print(size), print(known));
}

}  // namespace

culoss_status report(const status& s) noexcept {
  std::snprintf(last_message, sizeof last_message, "%s", s.message());
  return static_cast<culoss_status>(s.code());
}

culoss_status fill(const char* function, const char* name, void* to, std::uint64_t size,
                   const void* from, std::uint64_t known) noexcept {
  if (to == nullptr) {
    return report(detail::failure(status_code::invalid_argument, function, "%s is null", name));
  }
  const status s = judge_size(function, name, size, known);
  if (!s.ok()) return report(s);
  std::memset(to, 0, size);
  std::memcpy(to, from, size < known ? size : known);
  std::memcpy(to, &size, sizeof size);
  return report({});
}

template <class Make>
static culoss_status make_cublas(const char* function, culoss_cublas** made,
                                 const Make& make) noexcept {
  if (made == nullptr) {
    return report(detail::failure(status_code::invalid_argument, function, "made is null"));
  }
  *made = nullptr;
  auto* const blas = new (std::nothrow) culoss_cublas;
  if (blas == nullptr) {
    return report(detail::failure(status_code::out_of_memory, function, "no memory for a handle"));
  }
  const status s = make(blas->blas);
  if (s.ok()) {
    *made = blas;
  } else {
    delete blas;
  }
  return report(s);
}

void reader::refuse(status_code code, const char* format, ...) noexcept {
  if (!ok()) return;
  char text[sizeof(status)];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  wrong_ = detail::failure(code, function_, "%s", text);
}

void reader::copy(const char* name, const void* given, void* to, std::uint64_t known) noexcept {
  if (given == nullptr || !ok()) return;
  std::uint64_t size = 0;
  std::memcpy(&size, given, sizeof size);
  wrong_ = judge_size(function_, name, size, known);
  for (std::uint64_t i = known; ok() && i < size; ++i) {
    if (static_cast<const unsigned char*>(given)[i] == 0) continue;
    refuse(status_code::invalid_argument,
           "%s.size is %llu, but this version knows %llu bytes, and byte %llu is not 0", name,
           print(size), print(known), print(i));
  }
  if (ok()) std::memcpy(to, given, size < known ? size : known);
}

void reader::check_vector(const char* name, const void* data, std::int64_t size, culoss_dtype type,
                          std::int32_t reserved, culoss_dtype expected) noexcept {
  if (data == nullptr && size == 0) return;
  if (type != expected) {
    refuse(status_code::invalid_argument, "%s.type is %d (%s), must be %d (%s)", name, type,
           name_of(type), expected, name_of(expected));
  }
  if (reserved != 0) {
    refuse(status_code::invalid_argument, "%s.reserved is %d, must be 0", name, reserved);
  }
}

void reader::check_matrix(const char* name, const culoss_const_matrix& m, culoss_dtype expected,
                          culoss_layout layout) noexcept {
  if (m.data == nullptr && m.rows == 0 && m.cols == 0) return;
  check_vector(name, m.data, 1, m.type, 0, expected);
  if (m.layout != layout) {
    refuse(status_code::invalid_argument, "%s.layout is %d, must be %d (%s)", name, m.layout,
           layout, layout == CULOSS_LAYOUT_ROWS ? "rows" : "strided, as the logits are");
  }
}

void reader::operator()(const char* name, const culoss_const_vector& c, label_view& o) noexcept {
  if (c.type == CULOSS_INT32 || c.type == CULOSS_INT64 || (c.data == nullptr && c.size == 0)) {
    check_vector(name, c.data, c.size, c.type, c.reserved, c.type);
  } else {
    refuse(status_code::invalid_argument, "%s.type is %d (%s), must be %d (int32) or %d (int64)",
           name, c.type, name_of(c.type), CULOSS_INT32, CULOSS_INT64);
  }
  o.data = c.data;
  o.size = c.size;
  o.wide = c.type == CULOSS_INT64;
}

void reader::operator()(const char* name, const culoss_scalar& c, scalar& o) noexcept {
  switch (c.kind) {
    case CULOSS_SCALAR_ABSENT:
      o = scalar();
      break;
    case CULOSS_SCALAR_VALUE:
      o = scalar(c.value);
      break;
    case CULOSS_SCALAR_DEVICE:
      o = scalar(c.device);
      break;
    default:
      refuse(status_code::invalid_argument, "%s.kind is %d, must be 0, 1 or 2", name, c.kind);
  }
}

void reader::operator()(const char* name, std::int32_t c, bool& o) noexcept {
  if (c != 0 && c != 1) {
    refuse(status_code::invalid_argument, "%s is %d, must be 0 or 1", name, c);
  }
  o = c == 1;
}

void reader::reserved(const char* name, std::int32_t c) noexcept {
  if (c != 0) refuse(status_code::invalid_argument, "%s is %d, must be 0", name, c);
}

void reader::element_bytes(const char* name, culoss_dtype c, int& o) noexcept {
  if (c != CULOSS_FLOAT32 && c != CULOSS_FLOAT16 && c != CULOSS_BFLOAT16) {
    refuse(status_code::invalid_argument, "%s is %d (%s), must be float32, float16 or bfloat16",
           name, c, name_of(c));
  }
  o = c == CULOSS_FLOAT32 ? 4 : 2;
}

reader::place reader::where(const culoss_execution* given) noexcept {
  if (given == nullptr) refuse(status_code::invalid_argument, "execution is null");
  const culoss_execution e = known("execution", given, culoss_execution{});
  if (e.device != CULOSS_CPU && e.device != CULOSS_CUDA) {
    refuse(status_code::invalid_argument, "execution.device is %d, must be %d (CPU) or %d (CUDA)",
           e.device, CULOSS_CPU, CULOSS_CUDA);
  }
  auto* const record = reinterpret_cast<fault_record*>(e.faults);
  return {.device = e.device,
          .cpu = {.threads = e.threads, .faults = record},
          .cuda = {.stream = e.stream,
                   .workspace = {e.workspace, e.workspace_bytes},
                   .faults = record,
                   .blas = e.blas == nullptr ? nullptr : &e.blas->blas}};
}

void reader::refuse_type(const char* argument, culoss_dtype type, culoss_device device) noexcept {
  if (type == CULOSS_FLOAT64) {
    refuse(status_code::unsupported, "%s is of float64, which only the CPU takes", argument);
  }
  refuse(status_code::invalid_argument, "%s.type is %d (%s), must be float32, float16%s", argument,
         type, name_of(type), device == CULOSS_CPU ? ", bfloat16 or float64" : " or bfloat16");
}

}  // namespace culoss::c_interface

using culoss::c_interface::reader;
using culoss::c_interface::report;

extern "C" {

int32_t culoss_version(void) { return CULOSS_VERSION; }

const char* culoss_last_message(void) { return culoss::c_interface::last_message; }

culoss_status culoss_cublas_create(culoss_cublas** made) {
  return culoss::c_interface::make_cublas("cublas_create", made,
                                          [](culoss::cublas& blas) { return blas.create(); });
}

culoss_status culoss_cublas_borrow(cublasContext* handle, void* workspace, uint64_t workspace_bytes,
                                   culoss_cublas** made) {
  return culoss::c_interface::make_cublas("cublas_borrow", made, [=](culoss::cublas& blas) {
    return blas.borrow(handle, {workspace, workspace_bytes});
  });
}

void culoss_cublas_destroy(culoss_cublas* blas) { delete blas; }

culoss_status culoss_read_faults(const culoss_execution* execution,
                                 const culoss_fault_record* record, culoss_faults* out) {
  reader read("read_faults");
  const reader::place p = read.where(execution);
  if (!read.ok()) return report(read.wrong());
  const auto* const r = reinterpret_cast<const culoss::fault_record*>(record);
  culoss::faults f;
  const culoss::status s = p.device == CULOSS_CPU ? culoss::read_faults(p.cpu, r, &f)
                                                  : culoss::read_faults(p.cuda, r, &f);
  if (!s.ok()) return report(s);
  return culoss::c_interface::give("read_faults", out,
                                   {sizeof *out, f.count, f.first_row, f.label, f.flags});
}

}  // extern "C"
