// What the emulator's own tests share.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "planted.hpp"
#include "probe.hpp"

// Whether the kernels of this program were compiled with ASan.
extern "C" __attribute__((weak)) void __asan_poison_memory_region(const volatile void*,
                                                                  std::size_t);
inline bool under_asan() { return __asan_poison_memory_region != nullptr; }

#define EXPECT_CUDA(call) EXPECT_EQ(cudaSuccess, (call)) << simt::last_report()

template <typename T>
class buffer {
 public:
  explicit buffer(std::size_t n) : size_(n) {
    EXPECT_CUDA(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T)));
  }
  explicit buffer(const std::vector<T>& v) : buffer(v.size()) {
    EXPECT_CUDA(cudaMemcpy(data_, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  ~buffer() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> v(size_);
    EXPECT_CUDA(cudaMemcpy(v.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

// Leaves nothing behind for the next test, and checks that the test left nothing alive.
class emulator : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = simt::live().total();
    saved_ = simt::get_settings();
    simt::set_settings(simt::settings{});
  }
  void TearDown() override {
    simt::fail_call(0, 0);
    simt::reset_errors();
    cudaGetLastError();
    simt::set_settings(saved_);
    EXPECT_EQ(before_, simt::live().total());
  }

 private:
  std::size_t before_ = 0;
  simt::settings saved_;
};

inline constexpr simt::schedule kSchedules[] = {simt::schedule::in_order, simt::schedule::reversed,
                                                simt::schedule::random,
                                                simt::schedule::warp_priority};
