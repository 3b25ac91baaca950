// Which calls are legal, in the words of the public headers: an opinion of its own, which shares
// nothing with the checks in host/. Every fault is collected, so that the library may find them in
// any order, and every view is remembered, so that what a call touched can be told.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <culoss/core.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/memory.hpp"
#include "tests/fuzz/shape.hpp"

namespace culoss_fuzz {

enum class access { read, write };

inline bool spans_meet(const region& a, const region& b) {
  return !a.empty() && !b.empty() && a.begin < b.end() && b.begin < a.end();
}
// Two views overlap where a byte is in both; from the first element to the last all of it counts,
// but of two matrices with the same distance between their rows only the elements do.
inline bool overlap(const region& a, const region& b) {
  if (!spans_meet(a, b)) return false;
  if (a.pitch != b.pitch || a.rows == 1 || b.rows == 1) return true;
  for (std::int64_t i = 0; i < a.rows; ++i) {
    const std::uintptr_t row = a.begin + static_cast<std::uintptr_t>(i * a.pitch);
    for (std::int64_t j = 0; j < b.rows; ++j) {
      const std::uintptr_t other = b.begin + static_cast<std::uintptr_t>(j * b.pitch);
      if (row < other + static_cast<std::uintptr_t>(b.row_bytes) &&
          other < row + static_cast<std::uintptr_t>(a.row_bytes)) {
        return true;
      }
    }
  }
  return false;
}

class predicate {
 public:
  explicit predicate(std::string function) : function_(std::move(function)) {}

  // One argument and what is asked of it.
  void require(bool holds, const char* argument) {
    if (!holds) faults_.emplace_back(argument);
  }
  // A view that is there: its sizes, its pointer.
  template <class T>
  void view(const char* name, const culoss::matrix<T>& m, access a) {
    rows(name, m.data, m.rows, m.cols, m.ld, kSizeof<T>, kAlignof<T>, a);
  }
  template <class T>
  void view(const char* name, const culoss::strided_logits<T>& s, access a) {
    std::int64_t elements = 0;
    const bool countable = !__builtin_mul_overflow(s.n, s.classes, &elements) &&
                           !__builtin_mul_overflow(elements, s.inner, &elements);
    const bool shape = s.n >= 0 && s.classes >= 0 && s.inner >= 0 && countable;
    require(shape, name);
    wide_ = wide_ || std::max(s.classes, s.inner) > kMostWide;
    if (shape) run(name, s.data, elements, elements, kSizeof<T>, kAlignof<T>, a);
  }
  // One of this shape.
  template <class View, class Like>
  void view(const char* name, const View& v, const Like& like, access a) {
    view(name, v, a);
    require(same_shape(v, like), name);
  }
  // One that may be left out.
  template <class View, class Like>
  requires(!std::integral<Like>) void optional(const char* name, const View& v, const Like& like) {
    if (!v.empty()) view(name, v, like, access::write);
  }
  // A number of columns that a device counts in 32 bits.
  void counted(std::int64_t columns) { wide_ = wide_ || columns > kMostWide; }
  // Rows that may not be empty.
  template <class View>
  void rows_to_read(const char* name, const View& v) {
    view(name, v, access::read);
    require(classes_of(v) > 0, name);
  }
  template <class T>
  void vector(const char* name, const culoss::vector<T>& v, std::int64_t size, access a) {
    run(name, v.data, v.size, size, kSizeof<T>, kAlignof<T>, a);
  }
  template <class T>
  void optional(const char* name, const culoss::vector<T>& v, std::int64_t size) {
    if (!v.empty()) vector(name, v, size, std::is_const_v<T> ? access::read : access::write);
  }
  void labels(const char* name, const culoss::label_view& v, std::int64_t size) {
    run(name, v.data, v.size, size, v.wide ? 8 : 4, v.wide ? 8 : 4, access::read);
  }

  // A scalar that may be absent.
  void scalar(const char* name, const culoss::scalar& s) {
    if (s.on_device()) run(name, s.device(), 1, 1, 4, 4, access::read);
  }
  void temperature(const char* name, const culoss::scalar& s) {
    require(s.given() && (s.on_device() || (std::isnormal(s.value()) && s.value() > 0)), name);
    scalar(name, s);
  }
  template <class Options>
  void reduction(const Options& o, std::int64_t rows) {
    const bool none = o.reduction == culoss::reduction::none;
    one_of("reduction", o.reduction, 3);
    one_of("empty", o.empty, 2);
    scalar("normalizer", o.normalizer);
    require(!none || !o.normalizer.given(), "normalizer");
    scalar("upstream", o.upstream);
    require(o.upstream.given(), "upstream");
    optional("upstream_rows", o.upstream_rows, rows);
    require(none || o.upstream_rows.empty(), "upstream_rows");
    optional("row_weights", o.row_weights, rows);
  }
  // A loss that the reduction shapes.
  template <class T>
  void loss(const char* name, const culoss::vector<T>& v, culoss::reduction r, std::int64_t rows) {
    optional(name, v, r == culoss::reduction::none ? rows : 1);
  }
  template <class E>
  void one_of(const char* name, E e, int enumerators) {
    require(static_cast<int>(e) >= 0 && static_cast<int>(e) < enumerators, name);
  }
  // At least one of the outputs is wanted, unless there is no row to compute it of.
  template <class... Views>
  void some_output(std::int64_t rows, const Views&... outputs) {
    require(rows == 0 || (!outputs.empty() || ...), "output");
  }
  // This output may be this input, exactly.
  void in_place(const char* output, const char* input) { in_place_.emplace_back(output, input); }

  void where(const culoss::cpu& w) {
    require(w.threads >= 0, "threads");
    faults_record(w.faults);
  }
  void where(const culoss::cuda& w) {
    const auto bytes = static_cast<std::int64_t>(w.workspace.bytes);
    if (w.workspace.data != nullptr || bytes > 0) {
      run("workspace", w.workspace.data, bytes, bytes, 1, 16, access::write);
    }
    one_of("row_kernels", w.row_kernels, 2);
    faults_record(w.faults);
  }

  // The last step: whether views overlap that may not. Without memory behind all views nothing can
  // be said of that, and such a call may only be made where another fault is known.
  bool judge(const memory& m) {
    const bool held = std::ranges::all_of(regions_, [&](const region& r) { return m.holds(r); });
    if (!held && accepts()) return false;
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        const region &a = regions_[i], &b = regions_[j];
        if ((!a.output && !b.output) || same(a, b)) continue;
        if (held ? !overlap(a, b) : !spans_meet(a, b)) continue;
        faults_.emplace_back(a.name);
        faults_.emplace_back(b.name);
      }
    }
    return true;
  }

  const std::string& function() const { return function_; }
  const std::vector<region>& regions() const { return regions_; }
  bool accepts() const { return faults_.empty(); }
  // Whether a device may find a row, or the pitch of a matrix product, too wide.
  bool wide() const { return wide_; }
  bool is_named(std::string_view message) const { return message.starts_with(function_ + ": "); }
  // Whether the message is the function's and names an argument at fault.
  bool explains(std::string_view message) const {
    if (!is_named(message)) return false;
    message.remove_prefix(function_.size() + 1);
    for (const std::string& name : faults_) {
      for (std::size_t at = message.find(name); at != message.npos;
           at = message.find(name, at + 1)) {
        const std::size_t after = at + name.size();
        if (!is_letter(message[at - 1]) &&
            (after == message.size() || !is_letter(message[after]))) {
          return true;
        }
      }
    }
    return false;
  }
  std::string listed_faults() const {
    std::string text;
    for (const std::string& name : faults_) text += (text.empty() ? "" : ", ") + name;
    return text.empty() ? "none" : text;
  }

 private:
  static constexpr std::int64_t kMostWide = (std::int64_t{1} << 31) - (1 << 16);

  static bool is_letter(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  bool same(const region& a, const region& b) const {
    if (a.begin != b.begin || a.rows != b.rows || a.row_bytes != b.row_bytes ||
        (a.pitch != b.pitch && a.rows != 1)) {
      return false;
    }
    for (const auto& [output, input] : in_place_) {
      if ((a.name == output && b.name == input) || (b.name == output && a.name == input)) {
        return true;
      }
    }
    return false;
  }
  void faults_record(const culoss::fault_record* f) {
    if (f != nullptr)
      run("faults", f, 1, 1, sizeof *f, alignof(culoss::fault_record), access::write);
  }
  void rows(const char* name, const void* data, std::int64_t rows, std::int64_t cols,
            std::int64_t ld, std::int64_t element, std::int64_t alignment, access a) {
    // Bytes are counted in 64 bits.
    std::int64_t bytes = 0;
    const bool countable = !__builtin_mul_overflow(rows, ld, &bytes) &&
                           !__builtin_mul_overflow(bytes, element, &bytes);
    const bool shape = rows >= 0 && cols >= 0 && ld >= cols && countable;
    require(shape, name);
    wide_ = wide_ || std::max(cols, ld) > kMostWide;
    require(data != nullptr || rows <= 0 || cols <= 0, name);
    require(reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(alignment) == 0,
            name);
    if (shape && rows > 0) {
      regions_.push_back({name, reinterpret_cast<std::uintptr_t>(data), rows, cols * element,
                          ld * element, a == access::write});
    }
  }
  void run(const char* name, const void* data, std::int64_t size, std::int64_t expected,
           std::int64_t element, std::int64_t alignment, access a) {
    require(size == expected && size >= 0 && size <= INT64_MAX / element, name);
    require(data != nullptr || size <= 0, name);
    require(reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(alignment) == 0,
            name);
    if (size > 0 && size <= INT64_MAX / element) {
      regions_.push_back({name, reinterpret_cast<std::uintptr_t>(data), 1, size * element,
                          size * element, a == access::write});
    }
  }

  std::string function_;
  std::vector<std::string> faults_;
  bool wide_ = false;
  std::vector<region> regions_;
  std::vector<std::pair<std::string, std::string>> in_place_;
};

}  // namespace culoss_fuzz
