// Memory of the execution space under test, with everything around the elements poisoned: what is
// written outside them shows, what is read outside them is NaN.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/element.hpp"
#include "tests/harness/space.hpp"
#ifdef CULOSS_TESTS_WITH_CUDA
#include <cuda_runtime_api.h>

#include "tests/emulator/probe.hpp"
#endif

namespace culoss_test {

#ifdef CULOSS_TESTS_WITH_CUDA
inline void check_cuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
  }
}
#endif

// Whether `cuda` has a device, real or emulated.
inline bool cuda_device_present() {
#ifdef CULOSS_TESTS_WITH_CUDA
  static const bool present = [] {
    int count = 0;
    const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
    if (!found) (void)cudaGetLastError();
    return found;
  }();
  return present;
#else
  return false;
#endif
}

// For the first line of a test that needs a device, of GoogleTest: skips it where there is none, or
// fails where the caller demands one.
#define CULOSS_NEEDS_CUDA()                                                  \
  do {                                                                       \
    if (!culoss_test::cuda_device_present()) {                               \
      const char* required = std::getenv("CULOSS_REQUIRE_GPU");              \
      if (required != nullptr && required == std::string("1")) {             \
        FAIL() << "CULOSS_REQUIRE_GPU is set, but no CUDA device was found"; \
      }                                                                      \
      GTEST_SKIP() << "no CUDA device";                                      \
    }                                                                        \
  } while (false)

// What a stream was given is done, and it reports no error.
inline void synchronize(space where, void* stream = nullptr) {
#ifdef CULOSS_TESTS_WITH_CUDA
  if (where == space::cuda) {
    check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
  }
#else
  (void)where, (void)stream;
#endif
}

// Rows of bytes, `pitch` apart, the first `offset` bytes behind a 256-byte boundary.
struct layout {
  std::size_t rows = 1;
  std::size_t row_bytes = 0;
  std::size_t pitch = 0;
  std::size_t offset = 0;
};

// An allocation that holds one array. A host image of all its bytes says what must still stand
// there.
class buffer {
 public:
  buffer() = default;
  buffer(space where, const layout& l) : where_(where), layout_(l) {
    // A device that watches its own memory reports what lies outside an allocation, so the array
    // ends where the allocation does; elsewhere a zone of poison stands behind it.
    const std::size_t used = l.rows == 0 ? 0 : (l.rows - 1) * l.pitch + l.row_bytes;
    const std::size_t bytes = l.offset + used + (watched() ? 0 : kGuard);
    image_.assign(std::max<std::size_t>(bytes, 1), kPoison);
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where == space::cuda) {
      check_cuda(cudaMalloc(&base_, image_.size()), "cudaMalloc");
      upload();
      return;
    }
#endif
    base_ = ::operator new (image_.size(), std::align_val_t{256});
    upload();
  }
  buffer(buffer&& o) noexcept { swap(o); }
  buffer& operator=(buffer&& o) noexcept {
    swap(o);
    return *this;
  }
  ~buffer() {
    if (base_ == nullptr) return;
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where_ == space::cuda) {
      (void)cudaFree(base_);
      return;
    }
#endif
    ::operator delete (base_, std::align_val_t{256});
  }

  void* data() const {
    return base_ == nullptr ? nullptr : static_cast<std::byte*>(base_) + layout_.offset;
  }
  std::size_t span_bytes() const {  // from the first element to the last, padding included
    return layout_.rows == 0 ? 0 : (layout_.rows - 1) * layout_.pitch + layout_.row_bytes;
  }

  // Fills every byte with poison.
  void poison() {
    std::fill(image_.begin(), image_.end(), kPoison);
    upload();
  }
  // Writes the rows, which stand densely in `source`.
  void write(const void* source) {
    std::fill(image_.begin(), image_.end(), kPoison);
    for (std::size_t r = 0; r < layout_.rows && layout_.row_bytes != 0; ++r) {
      std::memcpy(image_.data() + layout_.offset + r * layout_.pitch,
                  static_cast<const std::byte*>(source) + r * layout_.row_bytes, layout_.row_bytes);
    }
    upload();
  }
  // Reads the rows densely into `target` (null: only checks) and reports what was written that
  // should not have been: bytes outside the rows, and of an input (`unchanged`) any byte.
  std::string read(void* target, bool unchanged) const {
    std::vector<std::byte> now(image_.size());
    download(now.data());
    for (std::size_t r = 0; r < layout_.rows && layout_.row_bytes != 0; ++r) {
      std::byte* row = now.data() + layout_.offset + r * layout_.pitch;
      const std::byte* before = image_.data() + layout_.offset + r * layout_.pitch;
      if (target != nullptr) {
        std::memcpy(static_cast<std::byte*>(target) + r * layout_.row_bytes, row,
                    layout_.row_bytes);
      }
      if (!unchanged) std::memcpy(row, before, layout_.row_bytes);
    }
    const auto [a, b] = std::mismatch(now.begin(), now.end(), image_.begin());
    if (a == now.end()) return {};
    return "byte " +
           std::to_string((a - now.begin()) - static_cast<std::ptrdiff_t>(layout_.offset)) +
           " from the first element was changed";
  }

 private:
  static constexpr std::byte kPoison{0xff};
  static constexpr std::size_t kGuard = 256;

  bool watched() const {
#ifdef CULOSS_TESTS_WITH_CUDA
    return where_ == space::cuda && simt::present();
#else
    return false;
#endif
  }
  void upload() {
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where_ == space::cuda) {
      check_cuda(cudaMemcpy(base_, image_.data(), image_.size(), cudaMemcpyHostToDevice),
                 "cudaMemcpy to the device");
      return;
    }
#endif
    std::memcpy(base_, image_.data(), image_.size());
  }
  void download(std::byte* target) const {
#ifdef CULOSS_TESTS_WITH_CUDA
    if (where_ == space::cuda) {
      check_cuda(cudaMemcpy(target, base_, image_.size(), cudaMemcpyDeviceToHost),
                 "cudaMemcpy from the device");
      return;
    }
#endif
    std::memcpy(target, base_, image_.size());
  }
  void swap(buffer& o) noexcept {
    std::swap(where_, o.where_);
    std::swap(layout_, o.layout_);
    std::swap(base_, o.base_);
    std::swap(image_, o.image_);
  }

  space where_ = space::cpu;
  layout layout_;
  void* base_ = nullptr;
  std::vector<std::byte> image_;
};

}  // namespace culoss_test
