// The sweep on a CUDA device. A sample is a captured graph of calls, replayed; samples are queued
// one after another with an event between each two and no synchronization before the last.
//
// The yardstick reads (or reads and writes) every byte once in 16-byte accesses with streaming
// hints. One thread has `unroll` independent loads in flight; a block's accesses are contiguous.
// The other yardstick is cuBLAS' product, by a handle of its own.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <culoss/cublas.hpp>
#include <stdexcept>

#include "bench/device.hpp"

namespace culoss::bench {
namespace {

constexpr int kBlock = 256;

// All loads before the first use of one.
template <int unroll>
__device__ void load(uint4 (&value)[unroll], const uint4* from, std::int64_t first,
                     std::int64_t words) {
  if (first + (unroll - 1) * kBlock < words) {
#pragma unroll
    for (int i = 0; i < unroll; ++i) value[i] = __ldcs(from + first + i * kBlock);
  } else {
#pragma unroll
    for (int i = 0; i < unroll; ++i) {
      const std::int64_t at = first + i * kBlock;
      value[i] = at < words ? __ldcs(from + at) : uint4{};
    }
  }
}

template <int unroll>
__global__ void __launch_bounds__(kBlock)
    read_kernel(const uint4* __restrict__ from, std::int64_t words, uint4* never) {
  const std::int64_t first = std::int64_t{blockIdx.x} * (kBlock * unroll) + threadIdx.x;
  uint4 value[unroll];
  load(value, from, first, words);
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < unroll; ++i) bits |= value[i].x & value[i].y & value[i].z & value[i].w;
  // Keeps the loads; `never` is null.
  if (bits == 0xffffffffu && never != nullptr) never[first] = value[0];
}

template <int unroll>
__global__ void __launch_bounds__(kBlock)
    copy_kernel(const uint4* __restrict__ from, uint4* __restrict__ to, std::int64_t words) {
  const std::int64_t first = std::int64_t{blockIdx.x} * (kBlock * unroll) + threadIdx.x;
  uint4 value[unroll];
  load(value, from, first, words);
#pragma unroll
  for (int i = 0; i < unroll; ++i) {
    const std::int64_t at = first + i * kBlock;
    if (at < words) __stcs(to + at, value[i]);
  }
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

void check(cublasStatus_t error, const char* what) {
  if (error == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(std::string(what) + ": " + cublasGetStatusName(error));
}

// cuBLAS for the yardstick, on a workspace of its own, so that it can be captured.
class yardstick_blas {
 public:
  explicit yardstick_blas(cudaStream_t stream) {
    check(cublasCreate(&handle_), "cublasCreate");
    check(cudaMalloc(&workspace_, kWorkspaceBytes), "cudaMalloc");
    check(cublasSetStream(handle_, stream), "cublasSetStream");
    check(cublasSetWorkspace(handle_, workspace_, kWorkspaceBytes), "cublasSetWorkspace");
  }
  yardstick_blas(const yardstick_blas&) = delete;
  yardstick_blas& operator=(const yardstick_blas&) = delete;
  ~yardstick_blas() {
    static_cast<void>(cublasDestroy(handle_));
    static_cast<void>(cudaFree(workspace_));
  }

  // In cuBLAS' column-major terms a row-major matrix is its transpose.
  void multiply(cudaDataType_t type, int m, int n, int k, float* c, const void* a,
                const void* b) const {
    const float one = 1, zero = 0;
    check(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, b, type, k, a, type, k,
                       &zero, c, CUDA_R_32F, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
  }

 private:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

device_description describe() {
  int index = 0, driver = 0, runtime = 0, cache = 0;
  std::size_t free = 0, total = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&index), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  check(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, index), "cudaDeviceGetAttribute");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  device_description d;
  d.cuda = true;
  d.name = properties.name;
  d.driver = version_text(driver);
  d.runtime = version_text(runtime);
  d.cache_bytes = static_cast<std::size_t>(cache);
  d.memory_bytes = free / 20 * 17;
  return d;
}

class cuda_device final : public device {
 public:
  explicit cuda_device(culoss::row_kernels rows) : device(describe()), row_kernels_(rows) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    const status s = blas_.create();
    if (!s.ok()) throw std::runtime_error(s.message());
    yardstick_blas_ = std::make_unique<yardstick_blas>(stream_);
  }
  ~cuda_device() override {
    yardstick_blas_.reset();
    static_cast<void>(cudaStreamDestroy(stream_));
  }

  std::variant<cpu, cuda> where() override {
    return cuda{.stream = stream_, .blas = &blas_, .row_kernels = row_kernels_};
  }

  void* allocate(std::size_t bytes) override {
    void* data = nullptr;
    check(cudaMalloc(&data, bytes), "cudaMalloc");
    return data;
  }
  void release(void* data) noexcept override { static_cast<void>(cudaFree(data)); }
  void upload(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyHostToDevice);
    wait();
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyDeviceToHost);
    wait();
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    check(cudaMemsetAsync(to, byte, bytes, stream_), "cudaMemsetAsync");
  }

  std::vector<double> time(const work& enqueue, int calls, const effort& effort) override {
    const graph captured(stream_, enqueue, calls);
    const double warm_up = sample(captured, 2, calls).back();
    const int count = static_cast<int>(std::clamp(effort.seconds / std::max(warm_up * calls, 1e-9),
                                                  static_cast<double>(effort.least),
                                                  static_cast<double>(effort.most)));
    return sample(captured, count, calls);
  }

  int yardstick_shapes() const override { return 4; }
  void yardstick(transfer kind, int shape, void* to, const void* from, std::size_t bytes) override {
    switch (shape) {
      case 0:
        return run_yardstick<1>(kind, to, from, bytes);
      case 1:
        return run_yardstick<2>(kind, to, from, bytes);
      case 2:
        return run_yardstick<4>(kind, to, from, bytes);
      default:
        return run_yardstick<8>(kind, to, from, bytes);
    }
  }

  void multiply(culoss_test::element type, std::int64_t m, std::int64_t n, std::int64_t k, float* c,
                const void* a, const void* b) override {
    const cudaDataType_t of = type == culoss_test::element::float16    ? CUDA_R_16F
                              : type == culoss_test::element::bfloat16 ? CUDA_R_16BF
                                                                       : CUDA_R_32F;
    yardstick_blas_->multiply(of, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), c,
                              a, b);
  }

 private:
  class graph {
   public:
    graph(cudaStream_t stream, const work& enqueue, int calls) {
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin of capture");
      cudaGraph_t captured = nullptr;
      try {
        for (int i = 0; i < calls; ++i) enqueue(i);
      } catch (...) {
        if (cudaStreamEndCapture(stream, &captured) == cudaSuccess && captured != nullptr) {
          static_cast<void>(cudaGraphDestroy(captured));
        }
        throw;
      }
      check(cudaStreamEndCapture(stream, &captured), "end of capture");
      const cudaError_t error = cudaGraphInstantiate(&executable_, captured, 0);
      static_cast<void>(cudaGraphDestroy(captured));
      check(error, "cudaGraphInstantiate");
    }
    graph(const graph&) = delete;
    graph& operator=(const graph&) = delete;
    ~graph() { static_cast<void>(cudaGraphExecDestroy(executable_)); }
    void launch(cudaStream_t stream) const {
      check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch");
    }

   private:
    cudaGraphExec_t executable_ = nullptr;
  };

  class event {
   public:
    event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    ~event() { static_cast<void>(cudaEventDestroy(event_)); }
    cudaEvent_t get() const { return event_; }

   private:
    cudaEvent_t event_ = nullptr;
  };

  std::vector<double> sample(const graph& captured, int count, int calls) {
    const std::vector<event> events(static_cast<std::size_t>(count) + 1);
    check(cudaEventRecord(events[0].get(), stream_), "cudaEventRecord");
    for (std::size_t i = 1; i < events.size(); ++i) {
      captured.launch(stream_);
      check(cudaEventRecord(events[i].get(), stream_), "cudaEventRecord");
    }
    wait();
    std::vector<double> seconds;
    for (std::size_t i = 1; i < events.size(); ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events[i - 1].get(), events[i].get()),
            "cudaEventElapsedTime");
      seconds.push_back(double{milliseconds} * 1e-3 / calls);
    }
    return seconds;
  }

  template <int unroll>
  void run_yardstick(transfer kind, void* to, const void* from, std::size_t bytes) {
    const auto words = static_cast<std::int64_t>(bytes / sizeof(uint4));
    constexpr std::int64_t chunk = kBlock * unroll;
    cudaLaunchConfig_t config{};
    config.gridDim =
        dim3(static_cast<unsigned>(std::max<std::int64_t>(1, (words + chunk - 1) / chunk)));
    config.blockDim = dim3(kBlock);
    config.stream = stream_;
    const auto* source = static_cast<const uint4*>(from);
    auto* target = static_cast<uint4*>(to);
    check(kind == transfer::copy
              ? cudaLaunchKernelEx(&config, copy_kernel<unroll>, source, target, words)
              : cudaLaunchKernelEx(&config, read_kernel<unroll>, source, words,
                                   static_cast<uint4*>(nullptr)),
          "the yardstick's launch");
  }

  void move(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "cudaMemcpyAsync");
  }
  void wait() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

  culoss::row_kernels row_kernels_;
  cudaStream_t stream_ = nullptr;
  cublas blas_;
  std::unique_ptr<yardstick_blas> yardstick_blas_;
};

}  // namespace

std::unique_ptr<device> open_cuda(row_kernels rows) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return nullptr;
  return std::make_unique<cuda_device>(rows);
}

}  // namespace culoss::bench
