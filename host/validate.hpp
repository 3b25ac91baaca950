// The checks that every function makes on its arguments before anything is launched or written.
// The first failure wins; the message names function, argument and values.
#pragma once

#include <culoss/core.hpp>
#include <type_traits>

#include "host/status.hpp"

namespace culoss::detail {

// The bytes an argument covers: `rows` runs of `row_bytes`, `pitch` bytes apart.
struct region {
  const char* name = "";
  std::uintptr_t begin = 0;
  std::int64_t rows = 0, row_bytes = 0, pitch = 0;
  bool output = false;
  bool in_place = false;  // an output that may be one of the inputs marked likewise, exactly
};

bool overlap(const region& a, const region& b) noexcept;

enum class role {
  input,
  in_place_input,  // an output marked in_place_output may stand in the same place
  output,
  in_place_output,
};

class validator {
 public:
  explicit validator(const char* function) noexcept : function_(function) {}

  // Shape, pitch and pointer of a matrix. Remembers the bytes for the overlap check.
  template <class T>
  void check(const char* name, const matrix<T>& m, role r) noexcept {
    check_matrix(name, m.data, m.rows, m.cols, m.ld, sizeof_element<T>, alignof_element<T>, r);
  }
  template <class T, class U>
  void same_shape(const char* name, const matrix<T>& m, const char* other,
                  const matrix<U>& o) noexcept {
    equal(name, "rows", m.rows, other, "rows", o.rows);
    equal(name, "cols", m.cols, other, "cols", o.cols);
  }
  template <class T>
  void check(const char* name, const strided_logits<T>& s, role r) noexcept {
    check_strided(name, s.data, s.n, s.classes, s.inner, sizeof_element<T>, r);
  }
  template <class T, class U>
  void same_shape(const char* name, const strided_logits<T>& s, const char* other,
                  const strided_logits<U>& o) noexcept {
    equal(name, "n", s.n, other, "n", o.n);
    equal(name, "classes", s.classes, other, "classes", o.classes);
    equal(name, "inner", s.inner, other, "inner", o.inner);
  }
  // A vector that must hold `size` elements; `of` says where that number comes from.
  template <class T>
  void check(const char* name, const vector<T>& v, std::int64_t size, const char* of,
             role r) noexcept {
    check_vector(name, v.data, v.size, size, of, sizeof_element<T>, alignof_element<T>, r);
  }
  void check(const char* name, const label_view& v, std::int64_t size, const char* of) noexcept {
    check_vector(name, v.data, v.size, size, of, v.wide ? 8 : 4, v.wide ? 8 : 4, role::input);
  }
  // For optional arguments: nothing where the view is empty.
  template <class T>
  void check_if_given(const char* name, const vector<T>& v, std::int64_t size, const char* of,
                      role r) noexcept {
    if (!v.empty()) check(name, v, size, of, r);
  }
  void positive(const char* name, std::int64_t value) noexcept;
  void positive(const char* name, const char* field, std::int64_t value) noexcept;
  void in_range(const char* name, float value, float low, float high) noexcept;
  void not_negative(const char* name, float value) noexcept;  // and finite
  // Where the per-row or scalar loss goes.
  template <class Real>
  void row_loss(const char* name, const vector<Real>& loss, culoss::reduction r, std::int64_t rows,
                const char* of) noexcept {
    const bool none = r == culoss::reduction::none;
    check_if_given(name, loss, none ? rows : 1, none ? of : "reduction is mean or sum",
                   role::output);
  }
  // An output gradient that may stand in the place of an input.
  template <class Gradient, class Input>
  void gradient_if_given(const char* name, const Gradient& g, const char* of,
                         const Input& input) noexcept {
    if (g.empty()) return;
    check(name, g, role::in_place_output);
    same_shape(name, g, of, input);
  }
  // Not null where it is on the device; the device's value itself is never read here.
  void check(const char* name, const scalar& s) noexcept;
  void temperature(const char* name, const scalar& s) noexcept;
  void finite(const char* name, const scalar& s, float most) noexcept;
  // The shared options: how rows are reduced and what multiplies their gradient.
  void reduction(culoss::reduction r, const scalar& normalizer, const scalar& upstream,
                 const vector<const float>& upstream_rows, std::int64_t rows) noexcept;
  void empty(empty_batch e) noexcept;
  // Columns [offset, offset + cols) of so many classes; 0: they are all.
  void shard(std::int64_t offset, const char* name, std::int64_t cols,
             std::int64_t classes) noexcept;
  // Keys offset ... offset + rows - 1 exist.
  void positives(std::int64_t offset, std::int64_t rows, std::int64_t keys) noexcept;
  void equal(const char* name, const char* field, std::int64_t value, const char* other,
             const char* other_field, std::int64_t expected) noexcept;
  void equal(const char* name, const char* field, std::int64_t value, std::int64_t expected,
             const char* of) noexcept;
  // A multiple of another's size; of 0 only 0.
  void multiple(const char* name, const char* field, std::int64_t value, const char* other,
                const char* other_field, std::int64_t of) noexcept;
  void require(bool condition, const char* message) noexcept;
  void check(const cuda& where) noexcept;
  void check(const cpu& where) noexcept;

  // The verdict, after the check that no output overlaps anything else.
  status finish() noexcept;

 private:
  // half and bf16 may be incomplete here.
  template <class T>
  static constexpr std::int64_t sizeof_element = [] {
    using element = std::remove_const_t<T>;
    if constexpr (std::is_same_v<element, half> || std::is_same_v<element, bf16>) {
      return std::int64_t{2};
    } else {
      return static_cast<std::int64_t>(sizeof(element));
    }
  }();

  template <class T>
  static constexpr std::int64_t alignof_element = [] {
    if constexpr (sizeof_element<T> == 2) {
      return std::int64_t{2};
    } else {
      return static_cast<std::int64_t>(alignof(T));
    }
  }();

  void check_matrix(const char* name, const void* data, std::int64_t rows, std::int64_t cols,
                    std::int64_t ld, std::int64_t element, std::int64_t alignment, role r) noexcept;
  void check_strided(const char* name, const void* data, std::int64_t n, std::int64_t classes,
                     std::int64_t inner, std::int64_t element, role r) noexcept;
  void check_vector(const char* name, const void* data, std::int64_t size, std::int64_t expected,
                    const char* of, std::int64_t element, std::int64_t alignment, role r) noexcept;
  void aligned(const char* name, const void* data, std::int64_t to) noexcept;
  void remember(const char* name, const void* data, std::int64_t rows, std::int64_t row_bytes,
                std::int64_t pitch, role r) noexcept;
  bool failed() const noexcept { return !result_.ok(); }

  const char* function_;
  status result_;
  region regions_[32];
  int count_ = 0;
};

}  // namespace culoss::detail
