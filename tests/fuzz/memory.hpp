// The memory that the views of a call point into: slots of one block, each as large as the largest
// legal view, so that whatever a fuzzer lets overlap, a call that is accepted has legal memory. The
// CPU's block and the device's hold the same bytes, at the same distance from their beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include "tests/fuzz/require.hpp"
#include "tests/harness/element.hpp"
#include "tests/harness/space.hpp"
#ifdef CULOSS_TESTS_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

extern "C" void __asan_poison_memory_region(const volatile void*, std::size_t);
extern "C" void __asan_unpoison_memory_region(const volatile void*, std::size_t);

namespace culoss_fuzz {

using culoss_test::space;

inline constexpr std::int64_t kMostRows = 5, kMostColumns = 70;
inline constexpr std::int64_t kMostPitch = 2 * kMostColumns + 16;
inline constexpr std::int64_t kMostShift = 1900;  // of a view in its slot, in bytes
inline constexpr std::int64_t kSlotBytes = 8192;
inline constexpr std::int64_t kWorkspaceBytes = std::int64_t{1} << 17;
inline constexpr std::int64_t kBytes = 40 * kSlotBytes + kWorkspaceBytes;
static_assert(kMostRows * kMostPitch * 8 + kMostShift + 8 <= kSlotBytes);

// Of an element; half and bf16 are declared only.
template <class T>
inline constexpr std::int64_t kSizeof = sizeof(culoss_test::storage_of<std::remove_const_t<T>>);
template <class T>
inline constexpr std::int64_t kAlignof = alignof(culoss_test::storage_of<std::remove_const_t<T>>);

// Rows of bytes that a view covers.
struct region {
  const char* name = "";
  std::uintptr_t begin = 0;
  std::int64_t rows = 0, row_bytes = 0, pitch = 0;
  bool output = false;

  bool empty() const { return rows == 0 || row_bytes == 0; }
  std::uintptr_t end() const {
    return begin + static_cast<std::uintptr_t>(empty() ? 0 : (rows - 1) * pitch + row_bytes);
  }
};

class memory {
 public:
  explicit memory(space where) : where_(where), image_(kBytes), after_(kBytes) {
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where == space::cuda) {
      require(cudaMalloc(&base_, kBytes) == cudaSuccess, "cudaMalloc");
      return;
    }
#endif
    base_ = ::operator new (kBytes, std::align_val_t{256});
  }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  // Forgets the slots that were handed out.
  void begin() { used_ = 0; }
  std::uintptr_t take(std::size_t bytes = kSlotBytes) {
    require(used_ + bytes <= kBytes, "a call has more views than there are slots");
    std::memcpy(image_.data() + used_, pattern() + used_, bytes);
    used_ += bytes;
    return base() + used_ - bytes;
  }
  std::uintptr_t base() const { return reinterpret_cast<std::uintptr_t>(base_); }
  std::uintptr_t end() const { return base() + used_; }
  bool holds(const region& r) const {
    return r.empty() || (r.begin >= base() && r.end() <= end() && r.begin < r.end());
  }

  // What the call will find there.
  void write(std::uintptr_t address, const void* value, std::size_t bytes) {
    const std::uintptr_t at = address - base();
    if (at < kBytes && bytes <= kBytes - at) std::memcpy(image_.data() + at, value, bytes);
  }
  void upload() const { copy(base_, image_.data(), true); }

  // From now on nothing else may be touched, but for what shares 8 bytes with these.
  void permit(const std::vector<region>& regions) const {
    __asan_poison_memory_region(base_, used_);
    for_each_row(regions, [](std::uintptr_t begin, std::size_t bytes, bool) {
      __asan_unpoison_memory_region(reinterpret_cast<const void*>(begin), bytes);
    });
  }
  void permit_all() const { __asan_unpoison_memory_region(base_, used_); }

  // Whether every byte is as it was uploaded, but for those of outputs.
  bool unchanged_but(const std::vector<region>& regions) {
    copy(after_.data(), base_, false);
    for_each_row(regions, [this](std::uintptr_t begin, std::size_t bytes, bool output) {
      const std::uintptr_t at = begin - base();
      if (output) std::memcpy(after_.data() + at, image_.data() + at, bytes);
    });
    return std::memcmp(after_.data(), image_.data(), used_) == 0;
  }

 private:
  // Bytes unlike their neighbors: what is copied to a wrong place shows.
  static const std::byte* pattern() {
    static const std::vector<std::byte> bytes = [] {
      std::vector<std::byte> all(kBytes);
      std::uint32_t state = 1;
      for (std::byte& b : all) {
        state = state * 1664525 + 1013904223;
        b = static_cast<std::byte>(state >> 24);
      }
      return all;
    }();
    return bytes.data();
  }
  template <class F>
  static void for_each_row(const std::vector<region>& regions, const F& f) {
    for (const region& r : regions) {
      for (std::int64_t i = 0; i < r.rows && r.row_bytes > 0; ++i) {
        f(r.begin + static_cast<std::uintptr_t>(i * r.pitch), static_cast<std::size_t>(r.row_bytes),
          r.output);
      }
    }
  }
  void copy(void* to, const void* from, bool up) const {
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where_ == space::cuda) {
      const cudaMemcpyKind kind = up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
      require(cudaMemcpy(to, from, used_, kind) == cudaSuccess, "cudaMemcpy");
      return;
    }
#endif
    (void)up;
    std::memcpy(to, from, used_);
  }

  [[maybe_unused]] space where_;  // always the CPU in a build without CUDA
  void* base_ = nullptr;
  std::size_t used_ = 0;
  std::vector<std::byte> image_, after_;
};

}  // namespace culoss_fuzz
