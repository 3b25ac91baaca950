// Turns the fuzzer's bytes into arguments: mostly the right ones, and now and then one that is
// wrong in some way. Bytes that are used up read as 0, which chooses what is right and plain.
//
// The same bytes give the same call in the memory of either execution space.
#pragma once

#include <algorithm>
#include <cstdint>
#include <culoss/core.hpp>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/fuzz/contents.hpp"
#include "tests/fuzz/memory.hpp"
#include "tests/harness/element.hpp"

namespace culoss_fuzz {

class source {
 public:
  source(const std::uint8_t* data, std::size_t size, memory& m)
      : next_(data), end_(data + size), memory_(m) {
    memory_.begin();
    rows_ = pick<std::int64_t>({2, 1, 3, 0, kMostRows});
    columns_ = pick<std::int64_t>({5, 1, 2, 3, 4, 8, 16, 17, 31, 32, 33, 40, 64, 65, kMostColumns});
    pitch_ = columns_ + byte() % (kMostPitch - kMostColumns);
    inner_ = 1 + byte() % (kMostPitch / columns_);
    if (odd()) rows_ = strange(rows_);
    if (odd()) columns_ = strange(columns_);
    const std::uint8_t kind = byte();
    contents_ = contents(kind, byte());
    contents_.set_classes(std::clamp<std::int64_t>(columns_, 1, kMostColumns));
  }

  // The shape that most arguments of the call have.
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  // As many rows as strided logits of this shape have, or matrices.
  template <class View>
  std::int64_t positions() const {
    if constexpr (requires(View v) { v.inner; }) {
      std::int64_t product = 0;
      return __builtin_mul_overflow(rows_, inner_, &product) ? rows_ : product;
    } else {
      return rows_;
    }
  }

  std::uint8_t byte() { return next_ == end_ ? std::uint8_t{0} : *next_++; }
  bool coin() { return byte() % 2 == 1; }
  template <class V, std::size_t kSize>
  V pick(const V (&choices)[kSize]) {
    return choices[byte() % kSize];
  }
  bool odd() { return byte() > 244; }

  template <class E>
  E enumerator(int count) {
    return odd() ? static_cast<E>(pick<int>({count, -1, std::numeric_limits<int>::min(), 1 << 30}))
                 : static_cast<E>(byte() % count);
  }
  // A number that mostly is the usual one.
  float number(float usual) { return byte() < 128 ? usual : any_number(); }
  std::int64_t integer(std::int64_t usual) { return odd() ? strange(usual) : usual; }
  culoss::scalar scalar(float usual) {
    const int kind = byte();
    if (kind < 96) return usual;
    if (kind < 160) return any_number();
    if (kind > 248) return {};
    return device_scalar();
  }
  culoss::scalar optional_scalar(float usual) {
    const int kind = byte();
    if (kind < 128) return {};
    if (kind < 160) return usual;
    if (kind < 192) return any_number();
    return device_scalar();
  }

  // Views of the memory. What is const is an input, with contents; the others hold no value.
  template <class T>
  culoss::matrix<T> matrix(std::int64_t rows, std::int64_t cols) {
    const std::uintptr_t own = place<T>();
    culoss::matrix<T> m(nullptr, integer(rows), integer(cols), pitch(cols));
    std::uintptr_t data = own;
    const int kind = byte();
    if (kind > 160 && !matrices_.empty()) {  // in the place of another one, or near it
      const auto [other, ld] = matrices_[byte() % matrices_.size()];
      data = shifted<T>(other, ld, cols);
      m.ld = odd() ? m.ld : ld;
    }
    matrices_.emplace_back(data, m.ld);
    m.data = pointer<T>(data);
    const std::int64_t elements = std::clamp<std::int64_t>(m.rows, 0, kMostRows) *
                                  std::clamp<std::int64_t>(m.ld, 0, kMostPitch);
    fill(m.data, elements);
    return m;
  }
  // A view of the shape that most have, positions() rows of columns().
  template <class View>
  View shaped() {
    return shaped(std::type_identity<View>{});
  }
  template <class View>
  View optional_shaped() {
    return coin() ? shaped<View>() : View{};
  }
  template <class T>
  culoss::matrix<T> optional_matrix(std::int64_t rows, std::int64_t cols) {
    return coin() ? matrix<T>(rows, cols) : culoss::matrix<T>{};
  }
  template <class T>
  culoss::vector<T> vector(std::int64_t size) {
    culoss::vector<T> v(pointer<T>(run_place<T>()), integer(size));
    fill(v.data, std::clamp<std::int64_t>(v.size, 0, kMostPitch));
    return v;
  }
  template <class T>
  culoss::vector<T> optional_vector(std::int64_t size) {
    return coin() ? vector<T>(size) : culoss::vector<T>{};
  }
  template <class Real>
  culoss::vector<Real> loss(culoss::reduction r, std::int64_t rows) {
    return byte() < 64 ? culoss::vector<Real>{}
                       : vector<Real>(r == culoss::reduction::none ? rows : 1);
  }
  // The options that all reductions have.
  template <class Options>
  void reduction(Options& o, std::int64_t rows) {
    o.reduction = enumerator<culoss::reduction>(3);
    o.empty = enumerator<culoss::empty_batch>(2);
    const bool none = o.reduction == culoss::reduction::none;
    if (none == odd()) o.normalizer = optional_scalar(3.0f);
    o.upstream = scalar(1.0f);
    if ((none && coin()) != odd()) o.upstream_rows = vector<const float>(rows);
    o.row_weights = optional_vector<const float>(rows);
  }
  culoss::label_view labels(std::int64_t size) {
    return coin() ? culoss::label_view(vector<const std::int64_t>(size))
                  : culoss::label_view(vector<const std::int32_t>(size));
  }

  // Where the call runs; `bytes` of scratch are enough for it.
  culoss::cpu cpu() {
    culoss::cpu where;
    where.threads = odd() ? -static_cast<int>(byte()) : byte() % 4;
    where.faults = fault_record();
    return where;
  }
  culoss::cuda cuda(std::size_t bytes) {
    culoss::cuda where;
    const bool strange_kernels = odd();  // as many bytes as above
    const int kernels = byte();
    where.row_kernels =
        static_cast<culoss::row_kernels>(strange_kernels ? kernels - 9 : kernels % 2);
    where.faults = fault_record();
    const int kind = byte();
    if (kind < 64) return where;
    const std::uintptr_t begin = memory_.take(kWorkspaceBytes);
    where.workspace = {reinterpret_cast<void*>(begin), bytes};
    if (kind > 160) where.workspace.bytes = bytes == 0 ? 0 : bytes - 1;
    if (kind > 192) where.workspace.bytes = std::size_t{byte()} * 16;
    if (kind > 224) where.workspace.bytes = bytes, where.workspace.data = pointer<char>(begin);
    if (kind > 240) {  // in the place of a view, or near it
      const std::uintptr_t near = runs_.empty() || (coin() && !matrices_.empty())
                                      ? matrices_[byte() % matrices_.size()].first
                                      : runs_[byte() % runs_.size()];
      where.workspace.data = pointer<char>(shifted<char>(near, 16, 16) / 16 * 16);
    }
    return where;
  }

 private:
  template <class T>
  culoss::matrix<T> shaped(std::type_identity<culoss::matrix<T>>) {
    return matrix<T>(rows_, columns_);
  }
  template <class T>
  culoss::strided_logits<T> shaped(std::type_identity<culoss::strided_logits<T>>) {
    // The place of a matrix, so that both can be in each other's.
    const culoss::matrix<T> m = matrix<T>(kMostRows, kMostPitch);
    return {m.data, integer(rows_), integer(columns_), integer(inner_)};
  }
  // Sizes around the right one, and those that do not fit anything.
  std::int64_t strange(std::int64_t right) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    const std::int64_t choices[] = {std::max(right, -kMost) - 1,
                                    0,
                                    1,
                                    -1,
                                    std::min(right, kMost - 1) + 1,
                                    right / 2,
                                    -(right / 2),
                                    kMost,
                                    -kMost,
                                    -kMost - 1,
                                    1LL << 31,
                                    1LL << 32,
                                    1LL << 59,
                                    1LL << 60,
                                    1LL << 61,
                                    1LL << 62,
                                    byte()};
    return pick(choices);
  }
  float any_number() {
    using limits = std::numeric_limits<float>;
    return pick<float>({0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 2.0f, 1e-3f, 88.0f, 89.0f, 1e30f, -1e30f,
                        limits::min(), limits::denorm_min(), limits::max(), limits::lowest(),
                        limits::infinity(), -limits::infinity(), limits::quiet_NaN()});
  }
  culoss::scalar device_scalar() {
    const culoss::vector<const float> v = vector<const float>(1);
    return v.data;
  }
  // Clean ones mostly; the others hold anything.
  culoss::fault_record* fault_record() {
    const std::uint8_t kind = byte();
    if (kind < 128) return nullptr;
    const std::uintptr_t address = run_place<culoss::fault_record>();
    const culoss::fault_record clean{};
    if (kind < 240) memory_.write(address, &clean, sizeof clean);
    return pointer<culoss::fault_record>(address);
  }

  std::int64_t pitch(std::int64_t cols) {
    if (odd()) return strange(cols);
    return coin() || pitch_ < cols ? cols : pitch_;
  }
  // A slot of its own for a view, and where in it the view begins: aligned to 16 bytes or not.
  template <class T>
  std::uintptr_t place() {
    const std::uintptr_t slot = memory_.take();
    return slot + byte() % 16 * kSizeof<T>;
  }
  template <class T>
  std::uintptr_t run_place() {
    std::uintptr_t data = place<std::remove_const_t<T>>();
    if (byte() > 224 && !runs_.empty()) data = shifted<T>(runs_[byte() % runs_.size()], 1, 1);
    if (odd() && !matrices_.empty()) {
      const auto [other, ld] = matrices_[byte() % matrices_.size()];
      data = shifted<T>(other, ld, columns_);
    }
    runs_.push_back(data);
    return data;
  }
  // A place near another: the same, the next element, row or column, or within an element.
  template <class T>
  std::uintptr_t shifted(std::uintptr_t from, std::int64_t ld, std::int64_t cols) {
    const std::uint64_t size = kSizeof<T>;
    const std::uint64_t any = byte();
    const std::uint64_t choices[] = {0,
                                     0,
                                     0,
                                     size,
                                     static_cast<std::uint64_t>(cols) * size,
                                     static_cast<std::uint64_t>(ld) * size,
                                     any * size,
                                     any};
    const std::uint64_t shift = pick(choices) % kMostShift;
    // The last slot stays free behind it.
    return std::min<std::uintptr_t>(from + shift, memory_.end() - kSlotBytes + kMostShift);
  }
  template <class T>
  T* pointer(std::uintptr_t address) {
    if (odd()) return coin() ? nullptr : reinterpret_cast<T*>(address + byte() % 8);
    return reinterpret_cast<T*>(address);
  }

  template <class T>
  void fill(T* data, std::int64_t elements) {
    if constexpr (std::is_const_v<T>) {
      if (data != nullptr) {
        contents_.fill<T>(memory_, reinterpret_cast<std::uintptr_t>(data), elements);
      }
    }
  }

  const std::uint8_t *next_, *end_;
  memory& memory_;
  contents contents_;
  std::int64_t rows_ = 0, columns_ = 0, pitch_ = 0, inner_ = 1;
  std::vector<std::pair<std::uintptr_t, std::int64_t>> matrices_;
  std::vector<std::uintptr_t> runs_;
};

}  // namespace culoss_fuzz
