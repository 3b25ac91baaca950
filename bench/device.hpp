// Where the sweep runs: memory, calls and their timing, and the yardsticks, for the CPU and for a
// CUDA device. Errors are exceptions.
#pragma once

#include <cstddef>
#include <culoss/core.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/harness/element.hpp"

namespace culoss::bench {

struct device_description {
  bool cuda = false;
  std::string name;              // the GPU's or the CPU's
  std::string driver, runtime;   // versions, empty on the CPU
  std::size_t cache_bytes = 0;   // last level; working sets beyond five times it are cold
  std::size_t memory_bytes = 0;  // what the sweep may take
};

// How long to measure: seconds in all, and how many samples at least and at most.
struct effort {
  double seconds;
  int least, most;
};

enum class transfer { read, copy };

class device {
 public:
  // Enqueues the work of call number i of a sample.
  using work = std::function<void(int)>;

  explicit device(device_description description) : description_(std::move(description)) {}
  device(const device&) = delete;
  device& operator=(const device&) = delete;
  virtual ~device() = default;

  const device_description& description() const { return description_; }
  virtual std::variant<cpu, cuda> where() = 0;

  virtual void* allocate(std::size_t bytes) = 0;  // 256-byte aligned
  virtual void release(void* data) noexcept = 0;
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const void* from, std::size_t bytes) = 0;  // waits for the work
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill(void* to, unsigned char byte, std::size_t bytes) = 0;

  // Seconds a call: each sample is `calls` calls timed together, after a warm-up.
  virtual std::vector<double> time(const work& enqueue, int calls, const effort& effort) = 0;

  // A plain kernel that reads all of `from`, or copies it to `to`, in one of `yardstick_shapes()`
  // ways of dividing the work.
  virtual int yardstick_shapes() const = 0;
  virtual void yardstick(transfer kind, int shape, void* to, const void* from,
                         std::size_t bytes) = 0;

  // A plain matrix product, c[m, n] = a[m, k] b[n, k]^T.
  virtual void multiply(culoss_test::element type, std::int64_t m, std::int64_t n, std::int64_t k,
                        float* c, const void* a, const void* b) = 0;

 private:
  device_description description_;
};

std::unique_ptr<device> open_cpu();
// Null where there is no CUDA device, or no CUDA in the build.
std::unique_ptr<device> open_cuda(row_kernels);

// Device memory that is released at the end.
class buffer {
 public:
  buffer() = default;
  buffer(device& owner, std::size_t bytes)
      : owner_(&owner), bytes_(bytes), data_(bytes == 0 ? nullptr : owner.allocate(bytes)) {}
  buffer(buffer&& other) noexcept { swap(other); }
  buffer& operator=(buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~buffer() {
    if (data_ != nullptr) owner_->release(data_);
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void swap(buffer& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
  }
  device* owner_ = nullptr;
  std::size_t bytes_ = 0;
  void* data_ = nullptr;
};

}  // namespace culoss::bench
