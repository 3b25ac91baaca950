#include "host/validate.hpp"

#include <cmath>
#include <limits>

namespace culoss::detail {
namespace {

constexpr auto kInvalid = status_code::invalid_argument;
long long print(std::int64_t value) { return static_cast<long long>(value); }

std::uintptr_t end_of(const region& r) {
  return r.begin + static_cast<std::uintptr_t>((r.rows - 1) * r.pitch + r.row_bytes);
}
bool same(const region& a, const region& b) {
  return a.begin == b.begin && a.rows == b.rows && a.row_bytes == b.row_bytes &&
         (a.pitch == b.pitch || a.rows == 1);
}

}  // namespace

bool overlap(const region& a, const region& b) noexcept {
  if (a.rows == 0 || b.rows == 0 || a.row_bytes == 0 || b.row_bytes == 0) return false;
  if (end_of(a) <= b.begin || end_of(b) <= a.begin) return false;
  if (a.pitch != b.pitch || a.rows == 1 || b.rows == 1) return true;
  // Equal pitches: columns of one wider buffer overlap only where their column ranges do.
  const region& low = a.begin <= b.begin ? a : b;
  const region& high = a.begin <= b.begin ? b : a;
  const auto offset =
      static_cast<std::int64_t>((high.begin - low.begin) % static_cast<std::uintptr_t>(low.pitch));
  return offset < low.row_bytes || offset + high.row_bytes > low.pitch;
}

void validator::check_matrix(const char* name, const void* data, std::int64_t rows,
                             std::int64_t cols, std::int64_t ld, std::int64_t element,
                             std::int64_t alignment, role r) noexcept {
  if (failed()) return;
  if (rows < 0) {
    result_ =
        failure(kInvalid, function_, "%s.rows is %lld, must not be negative", name, print(rows));
  } else if (cols < 0) {
    result_ =
        failure(kInvalid, function_, "%s.cols is %lld, must not be negative", name, print(cols));
  } else if (ld < cols) {
    result_ = failure(kInvalid, function_, "%s.ld is %lld, must be at least cols (%lld)", name,
                      print(ld), print(cols));
  }
  std::int64_t bytes = 0;
  if (!failed() && (__builtin_mul_overflow(rows, ld, &bytes) ||
                    __builtin_mul_overflow(bytes, element, &bytes))) {
    result_ = failure(kInvalid, function_, "%s.rows (%lld) times %s.ld (%lld) does not fit 64 bits",
                      name, print(rows), name, print(ld));
  }
  if (!failed() && data == nullptr && rows > 0 && cols > 0) {
    result_ = failure(kInvalid, function_, "%s.data is null, but %s is %lld x %lld", name, name,
                      print(rows), print(cols));
  }
  aligned(name, data, alignment);
  if (!failed() && rows > 0) remember(name, data, rows, cols * element, ld * element, r);
}

void validator::check_strided(const char* name, const void* data, std::int64_t n,
                              std::int64_t classes, std::int64_t inner, std::int64_t element,
                              role r) noexcept {
  const struct {
    const char* field;
    std::int64_t value;
  } sizes[] = {{"n", n}, {"classes", classes}, {"inner", inner}};
  std::int64_t bytes = element;
  for (const auto& size : sizes) {
    if (failed()) return;
    if (size.value < 0) {
      result_ = failure(kInvalid, function_, "%s.%s is %lld, must not be negative", name,
                        size.field, print(size.value));
    }
  }
  if (failed()) return;
  for (const auto& size : sizes) {
    if (__builtin_mul_overflow(bytes, size.value, &bytes)) {
      result_ = failure(kInvalid, function_, "%s: %lld x %lld x %lld does not fit 64 bits", name,
                        print(n), print(classes), print(inner));
      return;
    }
  }
  if (data == nullptr && bytes > 0) {
    result_ = failure(kInvalid, function_, "%s.data is null, but %s is %lld x %lld x %lld", name,
                      name, print(n), print(classes), print(inner));
  }
  aligned(name, data, element);
  remember(name, data, 1, bytes, bytes, r);
}

void validator::check_vector(const char* name, const void* data, std::int64_t size,
                             std::int64_t expected, const char* of, std::int64_t element,
                             std::int64_t alignment, role r) noexcept {
  if (failed()) return;
  if (size != expected) {
    result_ = failure(kInvalid, function_, "%s.size is %lld, must be %lld (%s)", name, print(size),
                      print(expected), of);
  } else if (data == nullptr && size > 0) {
    result_ = failure(kInvalid, function_, "%s.data is null, but %s.size is %lld", name, name,
                      print(size));
  }
  std::int64_t bytes = 0;
  if (!failed() && __builtin_mul_overflow(size, element, &bytes)) {
    result_ = failure(kInvalid, function_, "%s.size (%lld) times %lld bytes does not fit 64 bits",
                      name, print(size), print(element));
  }
  aligned(name, data, alignment);
  remember(name, data, 1, bytes, bytes, r);
}

void validator::equal(const char* name, const char* field, std::int64_t value, const char* other,
                      const char* other_field, std::int64_t expected) noexcept {
  if (failed() || value == expected) return;
  result_ = failure(kInvalid, function_, "%s.%s is %lld, must be %lld (%s.%s)", name, field,
                    print(value), print(expected), other, other_field);
}

void validator::equal(const char* name, const char* field, std::int64_t value,
                      std::int64_t expected, const char* of) noexcept {
  if (value == expected || failed()) return;
  result_ = failure(kInvalid, function_, "%s.%s is %lld, must be %lld (%s)", name, field,
                    print(value), print(expected), of);
}

void validator::multiple(const char* name, const char* field, std::int64_t value, const char* other,
                         const char* other_field, std::int64_t of) noexcept {
  if (failed() || value == 0 || (of > 0 && value % of == 0)) return;
  result_ = failure(kInvalid, function_, "%s.%s is %lld, must be a multiple of %lld (%s.%s)", name,
                    field, print(value), print(of), other, other_field);
}

void validator::aligned(const char* name, const void* data, std::int64_t to) noexcept {
  if (failed() || reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(to) == 0) {
    return;
  }
  result_ = failure(kInvalid, function_, "%s.data is %p, must be a multiple of %lld bytes", name,
                    data, print(to));
}

void validator::positive(const char* name, std::int64_t value) noexcept {
  if (failed() || value > 0) return;
  result_ = failure(kInvalid, function_, "%s is %lld, must be positive", name, print(value));
}

void validator::positive(const char* name, const char* field, std::int64_t value) noexcept {
  if (failed() || value > 0) return;
  result_ =
      failure(kInvalid, function_, "%s.%s is %lld, must be positive", name, field, print(value));
}

void validator::in_range(const char* name, float value, float low, float high) noexcept {
  if (failed() || (value >= low && value <= high)) return;
  result_ =
      failure(kInvalid, function_, "%s is %g, must be in [%g, %g]", name,
              static_cast<double>(value), static_cast<double>(low), static_cast<double>(high));
}

void validator::not_negative(const char* name, float value) noexcept {
  if (failed() || (std::isfinite(value) && value >= 0)) return;
  result_ = failure(kInvalid, function_, "%s is %g, must be finite and not negative", name,
                    static_cast<double>(value));
}

void validator::check(const char* name, const scalar& s) noexcept {
  if (failed() || !s.on_device()) return;
  if (s.device() == nullptr) {
    result_ = failure(kInvalid, function_, "%s was given as a null pointer", name);
  }
  aligned(name, s.device(), alignof(float));
  remember(name, s.device(), 1, sizeof(float), sizeof(float), role::input);
}

void validator::temperature(const char* name, const scalar& s) noexcept {
  if (failed()) return;
  if (!s.given()) {
    result_ = failure(kInvalid, function_, "%s is not given", name);
  } else if (!s.on_device() && !(std::isnormal(s.value()) && s.value() > 0)) {
    result_ = failure(kInvalid, function_, "%s is %g, must be positive, finite and not subnormal",
                      name, static_cast<double>(s.value()));
  }
  check(name, s);
}

void validator::finite(const char* name, const scalar& s, float most) noexcept {
  if (!failed() && !s.on_device() && !std::isfinite(s.value())) {
    result_ = failure(kInvalid, function_, "%s is %g, must be finite", name,
                      static_cast<double>(s.value()));
  } else if (!failed() && !s.on_device() && s.value() > most) {
    result_ = failure(kInvalid, function_, "%s is %g, must be at most %g", name,
                      static_cast<double>(s.value()), static_cast<double>(most));
  }
  check(name, s);
}

void validator::reduction(culoss::reduction r, const scalar& normalizer, const scalar& upstream,
                          const vector<const float>& upstream_rows, std::int64_t rows) noexcept {
  const bool none = r == culoss::reduction::none;
  require(none || r == culoss::reduction::mean || r == culoss::reduction::sum,
          "reduction must be none, mean or sum");
  check("normalizer", normalizer);
  require(!none || !normalizer.given(),
          "normalizer is given, but reduction none divides by nothing");
  check("upstream", upstream);
  require(upstream.given(), "upstream is not given");
  check_if_given("upstream_rows", upstream_rows, rows, "one for each row", role::input);
  require(none || upstream_rows.empty(),
          "upstream_rows is given, but reductions mean and sum take a scalar upstream");
}

void validator::empty(empty_batch e) noexcept {
  require(e == empty_batch::zero || e == empty_batch::nan, "empty must be zero or nan");
}

void validator::shard(std::int64_t offset, const char* name, std::int64_t cols,
                      std::int64_t classes) noexcept {
  if (failed()) return;
  if (classes < 0) {
    result_ = failure(kInvalid, function_, "classes is %lld, must not be negative", print(classes));
  } else if (classes == 0 && offset != 0) {
    result_ = failure(kInvalid, function_, "class_offset is %lld, but classes is not given",
                      print(offset));
  } else if (classes > 0 && (offset < 0 || offset > classes || cols > classes - offset)) {
    result_ = failure(kInvalid, function_,
                      "class_offset is %lld: %lld classes (%s) from there must lie among %lld",
                      print(offset), print(cols), name, print(classes));
  }
}

void validator::positives(std::int64_t offset, std::int64_t rows, std::int64_t keys) noexcept {
  if (failed() || (offset >= 0 && offset <= keys && rows <= keys - offset)) return;
  result_ = failure(kInvalid, function_,
                    "positive_offset is %lld: the positives of %lld rows must lie among %lld keys",
                    print(offset), print(rows), print(keys));
}

void validator::require(bool condition, const char* message) noexcept {
  if (failed() || condition) return;
  result_ = failure(kInvalid, function_, "%s", message);
}

void validator::check(const cuda& where) noexcept {
  require(where.row_kernels == row_kernels::proven || where.row_kernels == row_kernels::pipelined,
          "row_kernels must be proven or pipelined");
  if (failed()) return;
  if (where.workspace.data == nullptr && where.workspace.bytes > 0) {
    result_ = failure(kInvalid, function_, "workspace.data is null, but workspace.bytes is %zu",
                      where.workspace.bytes);
  }
  if (where.workspace.data != nullptr) {
    aligned("workspace", where.workspace.data, 16);
    remember("workspace", where.workspace.data, 1, static_cast<std::int64_t>(where.workspace.bytes),
             static_cast<std::int64_t>(where.workspace.bytes), role::output);
  }
  if (where.faults != nullptr) {
    aligned("faults", where.faults, alignof(fault_record));
    remember("faults", where.faults, 1, sizeof(fault_record), sizeof(fault_record), role::output);
  }
}

void validator::check(const cpu& where) noexcept {
  if (failed()) return;
  if (where.threads < 0) {
    result_ =
        failure(kInvalid, function_, "cpu.threads is %d, must not be negative", where.threads);
  }
  if (where.faults != nullptr) {
    aligned("faults", where.faults, alignof(fault_record));
    remember("faults", where.faults, 1, sizeof(fault_record), sizeof(fault_record), role::output);
  }
}

void validator::remember(const char* name, const void* data, std::int64_t rows,
                         std::int64_t row_bytes, std::int64_t pitch, role r) noexcept {
  if (failed() || data == nullptr) return;
  constexpr int kRoom = static_cast<int>(sizeof regions_ / sizeof regions_[0]);
  if (count_ == kRoom) {
    result_ = failure(kInvalid, function_, "%s: more than %d buffers to check", name, kRoom);
    return;
  }
  regions_[count_++] = {name,
                        reinterpret_cast<std::uintptr_t>(data),
                        rows,
                        row_bytes,
                        pitch,
                        r == role::output || r == role::in_place_output,
                        r == role::in_place_input || r == role::in_place_output};
}

status validator::finish() noexcept {
  for (int i = 0; i < count_ && !failed(); ++i) {
    for (int j = 0; j < i && !failed(); ++j) {
      const region &a = regions_[i], &b = regions_[j];
      if (!a.output && !b.output) continue;
      const bool permitted = a.in_place && b.in_place && a.output != b.output && same(a, b);
      if (permitted || !overlap(a, b)) continue;
      result_ = failure(kInvalid, function_, "%s overlaps %s", a.name, b.name);
    }
  }
  return result_;
}

}  // namespace culoss::detail
