// State and rules that the parts of the emulated runtime share: one lock, errors, injected faults,
// streams, captures.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "arena.hpp"
#include "engine.hpp"

struct CUgraphNode_st {
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::function<void()> run;
  std::shared_ptr<simt::allocation> memory;  // what a memory node is about
  std::vector<std::shared_ptr<CUgraphNode_st>> after;
};

namespace simt {

using graph_node = std::shared_ptr<CUgraphNode_st>;

// A piece of work for a stream, or a node of the graph that the stream captures into.
struct operation {
  cudaGraphNodeType type;
  std::function<void()> run;
  std::shared_ptr<allocation> memory = nullptr;
};

struct capture {
  std::uint64_t id;
  CUgraph_st* graph;
  cudaStreamCaptureMode mode;
  CUstream_st* origin;
  std::thread::id owner;
  bool broken = false, ended = false;
};

}  // namespace simt

struct CUgraph_st {
  std::vector<simt::graph_node> nodes;
};
struct CUgraphExec_st {
  std::vector<simt::graph_node> nodes;
};

struct CUstream_st {
  struct item {
    std::function<void()> run;
    std::shared_ptr<CUstream_st> wait_on;  // instead: until that stream has completed that many
    std::uint64_t wait_for = 0;
    bool even_after_fault = false;
  };
  std::deque<item> queue;
  std::uint64_t submitted = 0, completed = 0;
  bool blocking = true;  // with respect to the legacy stream
  std::shared_ptr<simt::capture> capturing;
  std::vector<simt::graph_node> tails;  // what the next captured node depends on
};

struct CUevent_st {
  bool recorded = false, timing = true;
  std::shared_ptr<CUstream_st> stream;
  std::uint64_t at = 0;
  std::shared_ptr<std::uint64_t> time = std::make_shared<std::uint64_t>(0);
  std::shared_ptr<simt::capture> captured;
  std::vector<simt::graph_node> tails;
};

namespace simt {

std::recursive_mutex& api_lock();

enum class call_kind { normal, cleanup, query };

// Counts a call and says whether it is the one that a test wants to fail.
cudaError_t begin_call(const char* name);
cudaError_t sticky_error();
cudaError_t end_call(cudaError_t);
bool in_host_function();

// Every entry of the runtime: locked, counted, refused after a fault. What gives back is done all
// the same.
template <typename F>
cudaError_t api(const char* name, F body, call_kind kind = call_kind::normal) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  if (const cudaError_t injected = begin_call(name); injected != cudaSuccess)
    return end_call(injected);
  if (in_host_function()) return end_call(cudaErrorNotPermitted);
  if (kind == call_kind::query) return end_call(body());
  if (kind == call_kind::normal && sticky_error() != cudaSuccess) return end_call(sticky_error());
  const cudaError_t e = body();
  return end_call(e == cudaSuccess ? sticky_error() : e);
}

// The device has faulted: sticky until reset_errors().
void set_fault(cudaError_t, const std::string& report);
// Damaged guard zones become a fault.
void check_guards();

// stream_api.cpp
std::shared_ptr<CUstream_st> find_stream(cudaStream_t);  // null: no such stream
cudaError_t submit(cudaStream_t, operation);
cudaError_t synchronize(CUstream_st&);
void synchronize_all();
void push(CUstream_st&, CUstream_st::item);  // which may run some of it at once
void run_one(CUstream_st&);
void run_until(CUstream_st&, std::uint64_t completed);
random_bits& runtime_random();
void restart_random(std::uint64_t seed);
const std::vector<std::shared_ptr<CUstream_st>>& all_streams();
bool is_legacy(const CUstream_st&);
std::size_t count_streams();

// event_api.cpp
std::size_t count_events();

// capture_api.cpp
// For calls that a capture forbids, whatever stream they are about ("potentially unsafe").
cudaError_t refuse_in_capture();
// For calls that use the legacy stream, for synchronous ones, and for those that wait for the whole
// device.
cudaError_t refuse_legacy();
cudaError_t refuse_synchronous();
cudaError_t refuse_device_wait();
// Invalidates the capture; returns the error.
cudaError_t break_capture(capture&, cudaError_t);
cudaError_t capture_operation(CUstream_st&, operation);
void leave_capture(CUstream_st&);  // the stream goes; a capture that it began ends with it

// graph_api.cpp
void add_graph(CUgraph_st*);
std::size_t count_graphs();
std::size_t count_graph_execs();

// memory_api.cpp
bool is_pinned(const void*, std::size_t);
std::size_t count_pinned();

// launch_api.cpp
std::vector<std::string> launched_kernels();
void run_host_function(const std::function<void()>&);

// cublas.cpp
std::size_t count_cublas_handles();

}  // namespace simt
