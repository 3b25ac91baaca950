// Capture and replay.
#include <cublas_v2.h>

#include <functional>

#include "self_test.hpp"

namespace {

class graphs : public emulator {
 protected:
  void SetUp() override {
    emulator::SetUp();
    EXPECT_CUDA(cudaStreamCreateWithFlags(&s_, cudaStreamNonBlocking));
    EXPECT_CUDA(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking));
    EXPECT_CUDA(cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming));
    EXPECT_CUDA(cudaEventCreateWithFlags(&join_, cudaEventDisableTiming));
  }
  void TearDown() override {
    EXPECT_CUDA(cudaEventDestroy(fork_));
    EXPECT_CUDA(cudaEventDestroy(join_));
    EXPECT_CUDA(cudaStreamDestroy(s_));
    EXPECT_CUDA(cudaStreamDestroy(other_));
    emulator::TearDown();
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    EXPECT_CUDA(cudaStreamBeginCapture(s_, mode));
  }
  cudaGraphExec_t end() {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    EXPECT_CUDA(cudaStreamEndCapture(s_, &graph));
    EXPECT_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    EXPECT_CUDA(cudaGraphDestroy(graph));
    return exec;
  }
  void expect_broken() {
    cudaStreamCaptureStatus status;
    EXPECT_CUDA(cudaStreamIsCapturing(s_, &status));
    EXPECT_EQ(cudaStreamCaptureStatusInvalidated, status);
    cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(1);
    EXPECT_EQ(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(s_, &graph));
    EXPECT_EQ(nullptr, graph);
    EXPECT_CUDA(cudaStreamIsCapturing(s_, &status));
    EXPECT_EQ(cudaStreamCaptureStatusNone, status);
  }
  cudaStream_t s_ = nullptr, other_ = nullptr;
  cudaEvent_t fork_ = nullptr, join_ = nullptr;
};

TEST_F(graphs, replay_uses_the_values_of_its_time) {
  const buffer<float> p(std::vector<float>(64, 0.0f)), q(64);
  begin();
  cudaStreamCaptureStatus status;
  unsigned long long id = 0;
  EXPECT_CUDA(cudaStreamGetCaptureInfo(s_, &status, &id, nullptr, nullptr, nullptr, nullptr));
  EXPECT_EQ(cudaStreamCaptureStatusActive, status);
  EXPECT_NE(0u, id);
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
  EXPECT_CUDA(cudaMemcpyAsync(q.data(), p.data(), 256, cudaMemcpyDeviceToDevice, s_));
  EXPECT_CUDA(cudaMemsetAsync(p.data() + 32, 0, 128, s_));
  const cudaGraphExec_t exec = end();
  EXPECT_EQ(0.0f, p.host()[0]) << "nothing runs during a capture";
  EXPECT_CUDA(cudaMemsetAsync(p.data(), 0, 256, s_));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    EXPECT_CUDA(cudaStreamSynchronize(s_));
    EXPECT_EQ(static_cast<float>(i), q.host()[0]);
    EXPECT_EQ(0.0f, p.host()[40]);
  }
  EXPECT_CUDA(cudaGraphLaunch(exec, s_));
  EXPECT_CUDA(cudaGraphExecDestroy(exec));  // it still runs
  EXPECT_CUDA(cudaStreamSynchronize(s_));
  EXPECT_EQ(4.0f, q.host()[0]);
}

TEST_F(graphs, nodes_are_listed) {
  const buffer<float> p(64);
  begin();
  EXPECT_CUDA(cudaMemsetAsync(p.data(), 0, 256, s_));
  EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
  cudaGraph_t graph = nullptr;
  EXPECT_CUDA(cudaStreamEndCapture(s_, &graph));
  std::size_t count = 0;
  EXPECT_CUDA(cudaGraphGetNodes(graph, nullptr, &count));
  ASSERT_EQ(2u, count);
  cudaGraphNode_t nodes[2];
  EXPECT_CUDA(cudaGraphGetNodes(graph, nodes, &count));
  cudaGraphNodeType type;
  EXPECT_CUDA(cudaGraphNodeGetType(nodes[0], &type));
  EXPECT_EQ(cudaGraphNodeTypeMemset, type);
  EXPECT_CUDA(cudaGraphNodeGetType(nodes[1], &type));
  EXPECT_EQ(cudaGraphNodeTypeKernel, type);
  EXPECT_EQ(1u, simt::live().graphs);
  EXPECT_CUDA(cudaGraphDestroy(graph));
}

TEST_F(graphs, fork_and_join) {
  const buffer<float> p(std::vector<float>(128, 0.0f));
  for (const bool joined : {true, false}) {
    begin();
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
    EXPECT_CUDA(cudaEventRecord(fork_, s_));
    EXPECT_CUDA(cudaStreamWaitEvent(other_, fork_, 0));
    EXPECT_CUDA(planted::add_one(p.data(), 128, other_));
    EXPECT_CUDA(cudaEventRecord(join_, other_));
    if (!joined) {
      cudaGraph_t graph;
      EXPECT_EQ(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(s_, &graph));
      EXPECT_EQ(cudaErrorCapturedEvent, cudaEventSynchronize(join_));
      break;
    }
    EXPECT_CUDA(cudaStreamWaitEvent(s_, join_, 0));
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
    cudaGraph_t graph;
    EXPECT_EQ(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(other_, &graph));
    expect_broken();
    begin();
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
    EXPECT_CUDA(cudaEventRecord(fork_, s_));
    EXPECT_CUDA(cudaStreamWaitEvent(other_, fork_, 0));
    EXPECT_CUDA(planted::add_one(p.data(), 128, other_));
    EXPECT_CUDA(cudaEventRecord(join_, other_));
    EXPECT_CUDA(cudaStreamWaitEvent(s_, join_, 0));
    EXPECT_CUDA(planted::add_one(p.data(), 64, s_));
    const cudaGraphExec_t exec = end();
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    EXPECT_CUDA(cudaStreamSynchronize(s_));
    EXPECT_EQ(3.0f, p.host()[0]);
    EXPECT_EQ(1.0f, p.host()[127]);
    EXPECT_CUDA(cudaGraphExecDestroy(exec));
  }
}

TEST_F(graphs, calls_that_a_capture_forbids) {
  void* p = nullptr;
  float h = 0;
  const buffer<float> q(64);
  struct call {
    const char* name;
    cudaError_t want;
    std::function<cudaError_t()> run;
  };
  cudaStream_t blocking;
  EXPECT_CUDA(cudaStreamCreate(&blocking));
  const call calls[] = {
      {"cudaMalloc", cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&p, 16); }},
      {"cudaFree", cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(q.data()); }},
      {"cudaMallocHost", cudaErrorStreamCaptureUnsupported, [&] { return cudaMallocHost(&p, 16); }},
      {"cudaStreamSynchronize", cudaErrorStreamCaptureUnsupported,
       [&] { return cudaStreamSynchronize(s_); }},
      {"cudaStreamQuery", cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(s_); }},
      {"cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported,
       [&] { return cudaDeviceSynchronize(); }},
      {"cudaMemcpy", cudaErrorStreamCaptureUnsupported,
       [&] { return cudaMemcpy(&h, q.data(), 4, cudaMemcpyDeviceToHost); }},
      {"captured event", cudaErrorCapturedEvent,
       [&] {
         EXPECT_CUDA(cudaEventRecord(fork_, s_));
         return cudaEventQuery(fork_);
       }},
      {"uncaptured event", cudaErrorStreamCaptureIsolation,
       [&] {
         EXPECT_CUDA(cudaEventRecord(fork_, other_));
         return cudaStreamWaitEvent(s_, fork_, 0);
       }},
  };
  for (const call& c : calls) {
    begin();
    EXPECT_EQ(c.want, c.run()) << c.name;
    EXPECT_EQ(cudaErrorStreamCaptureInvalidated, planted::add_one(q.data(), 64, s_)) << c.name;
    expect_broken();
  }
  // A relaxed capture forbids less.
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_CUDA(cudaMalloc(&p, 16));
  EXPECT_CUDA(cudaFree(p));
  EXPECT_CUDA(cudaGraphExecDestroy(end()));
  // The legacy stream must not be used while a blocking stream captures.
  EXPECT_CUDA(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  EXPECT_EQ(cudaErrorStreamCaptureImplicit, planted::add_one(q.data(), 64, nullptr));
  cudaGraph_t graph;
  EXPECT_EQ(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(blocking, &graph));
  EXPECT_EQ(cudaErrorStreamCaptureUnsupported,
            cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal));
  EXPECT_EQ(cudaErrorIllegalState, cudaStreamEndCapture(blocking, &graph));
  EXPECT_CUDA(cudaStreamDestroy(blocking));
}

TEST_F(graphs, a_capture_ends_with_its_stream) {
  cudaStream_t s;
  EXPECT_CUDA(cudaStreamCreate(&s));
  EXPECT_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  EXPECT_CUDA(cudaStreamDestroy(s));
  const buffer<float> allowed_again(1);
}

TEST_F(graphs, memory_nodes) {
  const buffer<float> out(64);
  float* scratch = nullptr;
  begin();
  EXPECT_CUDA(cudaMallocAsync(reinterpret_cast<void**>(&scratch), 256, s_));
  EXPECT_CUDA(cudaMemsetAsync(scratch, 0, 128, s_));
  EXPECT_CUDA(planted::add_one(scratch, 32, s_));
  EXPECT_CUDA(cudaMemcpyAsync(out.data(), scratch, 256, cudaMemcpyDeviceToDevice, s_));
  EXPECT_CUDA(cudaFreeAsync(scratch, s_));
  EXPECT_EQ(cudaErrorInvalidValue, cudaFreeAsync(scratch, s_));
  const cudaGraphExec_t exec = end();
  for (int i = 0; i < 3; ++i) {
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    EXPECT_CUDA(cudaStreamSynchronize(s_));
    const std::vector<float> v = out.host();
    EXPECT_EQ(1.0f, v[31]);
    EXPECT_NE(v[32], v[32]) << "poisoned anew in each replay";
    EXPECT_CUDA(cudaMemsetAsync(out.data(), 0, 256, s_));
  }
  EXPECT_EQ(cudaErrorInvalidValue, cudaFreeAsync(scratch, s_));
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
}

TEST_F(graphs, memory_of_a_graph_lives_only_in_its_replay) {
  float* scratch = nullptr;
  begin();
  EXPECT_CUDA(cudaMallocAsync(reinterpret_cast<void**>(&scratch), 256, s_));
  EXPECT_CUDA(planted::run("fill", false, scratch, 64, {.blocks = 1, .stream = s_}));
  EXPECT_CUDA(cudaFreeAsync(scratch, s_));
  const cudaGraphExec_t exec = end();
  auto use = [&] {
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    EXPECT_CUDA(planted::run("fill", false, scratch, 64, {.blocks = 1, .stream = s_}));
    return cudaStreamSynchronize(s_);
  };
  if (under_asan()) {
    EXPECT_DEATH(use(), "use-after-poison");
  } else {
    EXPECT_NE(cudaSuccess, use());
  }
  simt::reset_errors();
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
}

TEST_F(graphs, memory_that_a_graph_leaves) {
  float* made = nullptr;
  begin();
  EXPECT_CUDA(cudaMallocAsync(reinterpret_cast<void**>(&made), 256, s_));
  EXPECT_CUDA(planted::run("fill", false, made, 64, {.blocks = 1, .stream = s_}));
  const cudaGraphExec_t exec = end();
  for (int i = 0; i < 2; ++i) {
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    EXPECT_EQ(cudaErrorInvalidValue, cudaGraphLaunch(exec, s_)) << "not freed yet";
    float h = 0;
    EXPECT_CUDA(cudaMemcpyAsync(&h, made, 4, cudaMemcpyDeviceToHost, s_));
    EXPECT_CUDA(cudaStreamSynchronize(s_));
    EXPECT_EQ(3.0f, h);
    EXPECT_CUDA(cudaFreeAsync(made, s_));
  }
  EXPECT_CUDA(cudaStreamSynchronize(s_));
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
}

TEST_F(graphs, memory_freed_while_a_graph_uses_it) {
  float* p = nullptr;
  EXPECT_CUDA(cudaMalloc(reinterpret_cast<void**>(&p), 256));
  begin();
  EXPECT_CUDA(planted::run("fill", false, p, 64, {.blocks = 1, .stream = s_}));
  const cudaGraphExec_t exec = end();
  EXPECT_CUDA(cudaFree(p));
  auto use = [&] {
    EXPECT_CUDA(cudaGraphLaunch(exec, s_));
    return cudaStreamSynchronize(s_);
  };
  if (under_asan()) {
    EXPECT_DEATH(use(), "use-after-poison");
  } else {
    EXPECT_NE(cudaSuccess, use());
  }
  simt::reset_errors();
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
}

TEST_F(graphs, cublas_is_captured) {
  const buffer<float> a(std::vector<float>{2}), b(std::vector<float>{3}), c(1);
  cublasHandle_t h;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasCreate(&h));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetStream(h, s_));
  begin();
  const float one = 1, zero = 0;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(),
                                               1, b.data(), 1, &zero, c.data(), 1));
  const cudaGraphExec_t exec = end();
  const float four = 4;
  EXPECT_CUDA(cudaMemcpy(a.data(), &four, 4, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaGraphLaunch(exec, s_));
  EXPECT_CUDA(cudaStreamSynchronize(s_));
  EXPECT_EQ(12.0f, c.host()[0]);
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasDestroy(h));
}

}  // namespace
