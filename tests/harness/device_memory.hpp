// Device memory without an image on the host, for what is too large to have one.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/harness/memory.hpp"

namespace culoss_test {

class device_memory {
 public:
  explicit device_memory(std::size_t bytes) {
    check_cuda(cudaMalloc(&data_, std::max<std::size_t>(bytes, 1)), "cudaMalloc");
    check_cuda(cudaMemset(data_, 0, bytes), "cudaMemset");
  }
  device_memory(const device_memory&) = delete;
  device_memory& operator=(const device_memory&) = delete;
  ~device_memory() { (void)cudaFree(data_); }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

template <class T>
std::vector<T> download(const T* from, std::int64_t count) {
  std::vector<T> v(static_cast<std::size_t>(count));
  check_cuda(cudaMemcpy(v.data(), from, v.size() * sizeof(T), cudaMemcpyDeviceToHost),
             "cudaMemcpy from the device");
  return v;
}
template <class T>
void upload(T* to, const std::vector<T>& from) {
  check_cuda(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice),
             "cudaMemcpy to the device");
}

// Whether the device has this much memory left, and a little.
inline bool device_has(std::int64_t bytes) {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  constexpr std::int64_t kSlack = std::int64_t{1} << 28;
  return bytes + kSlack <= static_cast<std::int64_t>(free);
}

}  // namespace culoss_test
