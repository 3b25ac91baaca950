// Scratch memory: one carver counts the bytes a call needs and hands them out, so that the two
// agree.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/launch.hpp"

namespace culoss::detail {

class carver {
 public:
  explicit carver(void* base) noexcept : base_(static_cast<char*>(base)) {}

  // n elements, 16-byte aligned. A null base only counts.
  template <class T>
  T* take(std::int64_t n) noexcept {
    used_ = (used_ + 15) / 16 * 16;
    T* const here = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += static_cast<std::size_t>(n) * sizeof(T);
    return here;
  }
  std::size_t used() const noexcept { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

// The caller's workspace, or memory of the stream's pool that goes back to it when the call is
// enqueued.
class scratch {
 public:
  scratch() noexcept = default;
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    if (own_ != nullptr) (void)cudaFreeAsync(own_, stream_);
  }

  status get(const device_context& context, const workspace& given, std::size_t bytes) noexcept {
    if (bytes == 0) return {};
    if (given.data != nullptr) {
      if (given.bytes < bytes) {
        return failure(status_code::workspace_too_small, context.function,
                       "workspace.bytes is %zu, must be at least %zu", given.bytes, bytes);
      }
      data_ = given.data;
      return {};
    }
    stream_ = context.stream;
    const status s =
        checked(context.function, "cudaMallocAsync", cudaMallocAsync(&own_, bytes, context.stream));
    data_ = own_;
    return s;
  }
  // Gives pool memory back now, so that a failure to do so is reported.
  status release(const device_context& context) noexcept {
    if (own_ == nullptr) return {};
    void* const gone = own_;
    own_ = nullptr;
    return checked(context.function, "cudaFreeAsync", cudaFreeAsync(gone, stream_));
  }
  void* data() const noexcept { return data_; }

 private:
  void* data_ = nullptr;
  void* own_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace culoss::detail
