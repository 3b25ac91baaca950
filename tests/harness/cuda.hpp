// Owners of what the tests of streams and graphs need of the CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/harness/memory.hpp"

namespace culoss_test {

class stream {
 public:
  // Not ordered with the default stream.
  stream() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags");
  }
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  ~stream() { (void)cudaStreamDestroy(stream_); }

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// What `enqueue` puts on the stream, recorded instead of run.
class graph {
 public:
  template <class Enqueue>
  graph(cudaStream_t s, const Enqueue& enqueue) {
    check_cuda(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    enqueue();
    check_cuda(cudaStreamEndCapture(s, &graph_), "cudaStreamEndCapture");
    check_cuda(cudaGraphInstantiate(&executable_, graph_, 0), "cudaGraphInstantiate");
  }
  graph(graph&& o) noexcept
      : graph_(std::exchange(o.graph_, nullptr)),
        executable_(std::exchange(o.executable_, nullptr)) {}
  graph& operator=(graph&&) = delete;
  ~graph() {
    if (executable_ != nullptr) (void)cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }

  void replay(cudaStream_t s) const {
    check_cuda(cudaGraphLaunch(executable_, s), "cudaGraphLaunch");
  }
  std::ptrdiff_t count(cudaGraphNodeType type) const {
    std::size_t size = 0;
    check_cuda(cudaGraphGetNodes(graph_, nullptr, &size), "cudaGraphGetNodes");
    std::vector<cudaGraphNode_t> nodes(size);
    if (size != 0) check_cuda(cudaGraphGetNodes(graph_, nodes.data(), &size), "cudaGraphGetNodes");
    return std::count_if(nodes.begin(), nodes.end(), [&](cudaGraphNode_t n) {
      cudaGraphNodeType t = cudaGraphNodeTypeEmpty;
      check_cuda(cudaGraphNodeGetType(n, &t), "cudaGraphNodeGetType");
      return t == type;
    });
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace culoss_test
