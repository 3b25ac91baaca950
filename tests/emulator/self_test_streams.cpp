// Streams, events, copies, injected faults, resources, threads.
#include <cublas_v2.h>

#include <thread>

#include "self_test.hpp"

namespace {

class streams : public emulator {
 protected:
  void SetUp() override {
    emulator::SetUp();
    for (cudaStream_t& s : s_) EXPECT_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  }
  void TearDown() override {
    for (cudaStream_t s : s_) EXPECT_CUDA(cudaStreamDestroy(s));
    emulator::TearDown();
  }
  cudaStream_t s_[2] = {};
};

void set_mode(simt::stream_mode mode, std::uint64_t seed = 1) {
  simt::settings s;
  s.streams = mode;
  s.seed = seed;
  simt::set_settings(s);
}

TEST_F(streams, run_late) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  for (const auto mode : {simt::stream_mode::eager, simt::stream_mode::lazy}) {
    set_mode(mode);
    const std::uint64_t before = simt::count().launches;
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
    EXPECT_EQ(before + (mode == simt::stream_mode::eager ? 1 : 0), simt::count().launches);
    EXPECT_CUDA(cudaStreamSynchronize(s_[1]));
    EXPECT_EQ(before + (mode == simt::stream_mode::eager ? 1 : 0), simt::count().launches);
    EXPECT_CUDA(cudaStreamSynchronize(s_[0]));
    EXPECT_EQ(before + 1, simt::count().launches);
  }
  EXPECT_EQ(2.0f, p.host()[0]);
}

TEST_F(streams, copy_on_the_wrong_stream_reads_old_values) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  std::vector<float> h(64);
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
  EXPECT_CUDA(cudaMemcpyAsync(h.data(), p.data(), 256, cudaMemcpyDeviceToHost, s_[1]));
  EXPECT_CUDA(cudaStreamSynchronize(s_[1]));
  EXPECT_EQ(0.0f, h[0]);
  EXPECT_CUDA(cudaMemcpyAsync(h.data(), p.data(), 256, cudaMemcpyDeviceToHost, s_[0]));
  EXPECT_CUDA(cudaStreamSynchronize(s_[0]));
  EXPECT_EQ(1.0f, h[0]);
}

TEST_F(streams, seeded_runs_differ) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  int old_values = 0, new_values = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    set_mode(simt::stream_mode::seeded, seed);
    EXPECT_CUDA(cudaMemset(p.data(), 0, 256));
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
    float h = -1;
    EXPECT_CUDA(cudaMemcpyAsync(&h, p.data(), 4, cudaMemcpyDeviceToHost, s_[1]));
    EXPECT_CUDA(cudaDeviceSynchronize());
    (h == 0.0f ? old_values : new_values) += 1;
  }
  EXPECT_GT(old_values, 0);
  EXPECT_GT(new_values, 0);
}

TEST_F(streams, events_order_them) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  cudaEvent_t e;
  EXPECT_CUDA(cudaEventCreate(&e));
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
  EXPECT_CUDA(cudaEventRecord(e, s_[0]));
  EXPECT_EQ(cudaErrorNotReady, cudaEventQuery(e));
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));  // after the event: not waited for
  EXPECT_CUDA(cudaStreamWaitEvent(s_[1], e, 0));
  std::vector<float> h(64);
  EXPECT_CUDA(cudaMemcpyAsync(h.data(), p.data(), 256, cudaMemcpyDeviceToHost, s_[1]));
  EXPECT_CUDA(cudaStreamSynchronize(s_[1]));
  EXPECT_EQ(1.0f, h[0]);
  EXPECT_CUDA(cudaEventSynchronize(e));
  EXPECT_CUDA(cudaEventQuery(e));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_CUDA(cudaEventDestroy(e));
}

TEST_F(streams, legacy_stream_waits_for_blocking_ones_only) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  cudaStream_t blocking;
  EXPECT_CUDA(cudaStreamCreate(&blocking));
  EXPECT_CUDA(planted::add_one(p.data(), 64, blocking));
  EXPECT_EQ(1.0f, p.host()[0]);
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
  EXPECT_EQ(1.0f, p.host()[0]);
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(2.0f, p.host()[0]);
  EXPECT_CUDA(cudaStreamDestroy(blocking));
}

TEST_F(streams, pageable_sources_are_read_at_once_and_pinned_ones_late) {
  const buffer<float> p(2);
  float* pinned = nullptr;
  EXPECT_CUDA(cudaMallocHost(reinterpret_cast<void**>(&pinned), 4));
  float pageable = 1.0f;
  *pinned = 1.0f;
  EXPECT_CUDA(cudaMemcpyAsync(p.data(), &pageable, 4, cudaMemcpyHostToDevice, s_[0]));
  EXPECT_CUDA(cudaMemcpyAsync(p.data() + 1, pinned, 4, cudaMemcpyHostToDevice, s_[0]));
  pageable = 2.0f;
  *pinned = 2.0f;  // a mistake: the stream may still read it
  EXPECT_CUDA(cudaStreamSynchronize(s_[0]));
  EXPECT_EQ(1.0f, p.host()[0]);
  EXPECT_EQ(2.0f, p.host()[1]);
  EXPECT_CUDA(cudaFreeHost(pinned));
}

TEST_F(streams, host_memory_is_written_late) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_[0]));
  float h = -1;
  EXPECT_CUDA(cudaMemcpyAsync(&h, p.data(), 4, cudaMemcpyDeviceToHost, s_[0]));
  EXPECT_EQ(-1.0f, h);
  EXPECT_CUDA(cudaStreamSynchronize(s_[0]));
  EXPECT_EQ(1.0f, h);
}

TEST_F(streams, stream_may_be_destroyed_before_it_has_run) {
  const buffer<float> p(std::vector<float>(64, 0.0f));
  cudaStream_t s;
  EXPECT_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  EXPECT_CUDA(planted::add_one(p.data(), 64, s));
  EXPECT_CUDA(cudaStreamDestroy(s));
  EXPECT_EQ(cudaErrorInvalidResourceHandle, planted::add_one(p.data(), 64, s));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(1.0f, p.host()[0]);
}

TEST_F(emulator, bad_calls_fail) {
  const buffer<float> p(512);
  void* q = nullptr;
  EXPECT_EQ(cudaErrorMemoryAllocation, cudaMalloc(&q, std::size_t{1} << 40));
  EXPECT_EQ(cudaErrorInvalidValue, cudaFree(p.data() + 1));
  float h[4] = {};
  EXPECT_EQ(cudaErrorInvalidValue, cudaMemcpy(h, h, 16, cudaMemcpyDeviceToHost));
  EXPECT_EQ(cudaErrorInvalidValue, cudaMemcpy(p.data() + 510, h, 16, cudaMemcpyHostToDevice));
  EXPECT_EQ(cudaErrorInvalidValue, cudaMemset(p.data(), 0, 2049));
  planted::launch_shape none;
  none.blocks = 0;
  EXPECT_EQ(cudaErrorInvalidConfiguration, planted::run("fill", false, p.data(), 512, none));
  planted::launch_shape shared;
  shared.shared = 60 * 1024;
  EXPECT_EQ(cudaErrorInvalidValue, planted::run("fill", false, p.data(), 512, shared));
  shared.allow_shared = true;
  EXPECT_CUDA(planted::run("fill", false, p.data(), 512, shared));
  shared.shared = 228 * 1024;
  EXPECT_EQ(cudaErrorInvalidValue, planted::run("fill", false, p.data(), 512, shared));
  planted::launch_shape cluster;
  cluster.cluster = 3;
  EXPECT_EQ(cudaErrorInvalidConfiguration, planted::run("fill", false, p.data(), 512, cluster));
  cluster.cluster = cluster.blocks = 16;
  EXPECT_EQ(cudaErrorInvalidClusterSize, planted::run("fill", false, p.data(), 512, cluster));
  cudaDeviceProp prop;
  EXPECT_EQ(cudaErrorInvalidDevice, cudaGetDeviceProperties(&prop, 1));
  EXPECT_STREQ("cudaErrorInvalidValue", cudaGetErrorName(cudaErrorInvalidValue));
  EXPECT_STREQ("invalid argument", cudaGetErrorString(cudaErrorInvalidValue));
}

TEST_F(emulator, pointers_are_known) {
  const buffer<float> p(4);
  cudaPointerAttributes a;
  EXPECT_CUDA(cudaPointerGetAttributes(&a, p.data()));
  EXPECT_EQ(cudaMemoryTypeDevice, a.type);
  EXPECT_CUDA(cudaPointerGetAttributes(&a, &a));
  EXPECT_EQ(cudaMemoryTypeUnregistered, a.type);
  EXPECT_TRUE(simt::is_device_pointer(p.data()));
  EXPECT_FALSE(simt::is_device_pointer(&a));
}

TEST_F(emulator, injected_faults) {
  for (std::uint64_t n = 1; n <= 3; ++n) {
    simt::fail_call(n, cudaErrorMemoryAllocation);
    const std::uint64_t first = simt::call_count();
    void* p = nullptr;
    cudaStream_t s = nullptr;
    const cudaError_t results[] = {cudaMalloc(&p, 16), cudaStreamCreate(&s),
                                   cudaMemset(p, 0, p ? 16 : 0)};
    for (std::uint64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(i + 1 == n ? cudaErrorMemoryAllocation : cudaSuccess, results[i]) << i;
    }
    EXPECT_EQ("cudaMalloc", simt::call_name(first));
    EXPECT_EQ("cudaStreamCreate", simt::call_name(first + 1));
    EXPECT_EQ(cudaErrorMemoryAllocation, cudaGetLastError());
    EXPECT_EQ(cudaSuccess, cudaGetLastError());
    cudaFree(p);
    if (s != nullptr) EXPECT_CUDA(cudaStreamDestroy(s));
  }
  cublasHandle_t h = nullptr;
  simt::fail_call(1, cudaErrorMemoryAllocation);
  EXPECT_EQ(CUBLAS_STATUS_NOT_INITIALIZED, cublasCreate(&h));  // what cuBLAS says there
}

TEST_F(emulator, resources_are_counted) {
  const simt::resources before = simt::live();
  void *p = nullptr, *pinned = nullptr;
  cudaStream_t s;
  cudaEvent_t e;
  cublasHandle_t h;
  EXPECT_CUDA(cudaMalloc(&p, 16));
  EXPECT_CUDA(cudaMallocHost(&pinned, 16));
  EXPECT_CUDA(cudaStreamCreate(&s));
  EXPECT_CUDA(cudaEventCreate(&e));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasCreate(&h));
  const simt::resources now = simt::live();
  EXPECT_EQ(before.allocations + 1, now.allocations);
  EXPECT_EQ(before.pinned + 1, now.pinned);
  EXPECT_EQ(before.streams + 1, now.streams);
  EXPECT_EQ(before.events + 1, now.events);
  EXPECT_EQ(before.handles + 1, now.handles);
  EXPECT_CUDA(cudaFree(p));
  EXPECT_CUDA(cudaFreeHost(pinned));
  EXPECT_CUDA(cudaStreamDestroy(s));
  EXPECT_CUDA(cudaEventDestroy(e));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasDestroy(h));
  EXPECT_EQ(before.total(), simt::live().total());
}

TEST_F(emulator, threads_may_call_at_once) {
  auto work = [](float value) {
    cudaStream_t s;
    EXPECT_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    for (int i = 0; i < 20; ++i) {
      float* p = nullptr;
      std::vector<float> v(300, value);
      EXPECT_CUDA(cudaMallocAsync(reinterpret_cast<void**>(&p), 1200, s));
      EXPECT_CUDA(cudaMemcpyAsync(p, v.data(), 1200, cudaMemcpyHostToDevice, s));
      for (int k = 0; k < 5; ++k) EXPECT_CUDA(planted::add_one(p, 300, s));
      EXPECT_CUDA(cudaMemcpyAsync(v.data(), p, 1200, cudaMemcpyDeviceToHost, s));
      EXPECT_CUDA(cudaFreeAsync(p, s));
      EXPECT_CUDA(cudaStreamSynchronize(s));
      EXPECT_EQ(value + 5, v[299]);
    }
    EXPECT_CUDA(cudaStreamDestroy(s));
  };
  std::thread a(work, 1.0f), b(work, 100.0f);
  a.join();
  b.join();
}

}  // namespace
