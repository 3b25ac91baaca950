// Capture of streams into graphs, and what a capture forbids.
#include <algorithm>
#include <set>

#include "runtime.hpp"

namespace simt {
namespace {

struct capture_state {
  std::vector<std::shared_ptr<capture>> under_way;
  std::uint64_t next_id = 1;
};
capture_state& state() {
  static auto* s = new capture_state;
  return *s;
}
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

bool has_blocking_stream(const std::shared_ptr<capture>& c) {
  const auto& all = all_streams();
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& s) { return s->capturing == c && s->blocking; });
}

// Whether every node leads to the end of the stream that began the capture.
bool is_joined(const capture& c) {
  std::set<const CUgraphNode_st*> reached;
  std::vector<graph_node> open = c.origin->tails;
  while (!open.empty()) {
    const graph_node n = open.back();
    open.pop_back();
    if (!reached.insert(n.get()).second) continue;
    open.insert(open.end(), n->after.begin(), n->after.end());
  }
  return reached.size() == c.graph->nodes.size();
}

void detach(const std::shared_ptr<capture>& c) {
  for (const auto& s : all_streams()) {
    if (s->capturing != c) continue;
    s->capturing.reset();
    s->tails.clear();
  }
  c->ended = true;
  std::erase(state().under_way, c);
}

cudaError_t begin(cudaStream_t h, cudaStreamCaptureMode mode) {
  const auto s = find_stream(h);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed)
    return cudaErrorInvalidValue;
  if (is_legacy(*s)) return cudaErrorStreamCaptureUnsupported;
  if (s->capturing) return cudaErrorIllegalState;
  auto* graph = new CUgraph_st;
  s->capturing = std::make_shared<capture>(
      capture{state().next_id++, graph, mode, s.get(), std::this_thread::get_id()});
  s->tails.clear();
  state().under_way.push_back(s->capturing);
  return cudaSuccess;
}

cudaError_t end(cudaStream_t h, cudaGraph_t* out) {
  const auto s = find_stream(h);
  if (out != nullptr) *out = nullptr;
  if (s == nullptr || out == nullptr)
    return s == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorInvalidValue;
  if (!s->capturing) return cudaErrorIllegalState;
  const std::shared_ptr<capture> c = s->capturing;
  if (c->origin != s.get()) return break_capture(*c, cudaErrorStreamCaptureUnmatched);
  if (c->mode != cudaStreamCaptureModeRelaxed && c->owner != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  cudaError_t result = cudaSuccess;
  if (c->broken) {
    result = cudaErrorStreamCaptureInvalidated;
  } else if (!is_joined(*c)) {
    result = cudaErrorStreamCaptureUnjoined;
  }
  detach(c);
  if (result == cudaSuccess) {
    add_graph(c->graph);
    *out = c->graph;
  } else {
    delete c->graph;
  }
  return result;
}

cudaStreamCaptureStatus status_of(const CUstream_st& s) {
  if (!s.capturing) return cudaStreamCaptureStatusNone;
  return s.capturing->broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
}

}  // namespace

cudaError_t break_capture(capture& c, cudaError_t e) {
  c.broken = true;
  return e;
}

cudaError_t refuse_in_capture() {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t result = cudaSuccess;
  for (const auto& c : state().under_way) {
    const bool mine =
        c->owner == std::this_thread::get_id() && c->mode != cudaStreamCaptureModeRelaxed;
    const bool anyones =
        c->mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal;
    if (mine || anyones) result = break_capture(*c, cudaErrorStreamCaptureUnsupported);
  }
  return result;
}

cudaError_t refuse_legacy() {
  cudaError_t result = cudaSuccess;
  for (const auto& c : state().under_way) {
    if (has_blocking_stream(c)) result = break_capture(*c, cudaErrorStreamCaptureImplicit);
  }
  return result;
}

cudaError_t refuse_synchronous() {
  const cudaError_t e = refuse_legacy();
  return e != cudaSuccess ? e : refuse_in_capture();
}

cudaError_t refuse_device_wait() {
  cudaError_t result = cudaSuccess;
  for (const auto& c : state().under_way)
    result = break_capture(*c, cudaErrorStreamCaptureUnsupported);
  return result;
}

void leave_capture(CUstream_st& s) {
  const std::shared_ptr<capture> c = s.capturing;
  c->broken = true;
  if (c->origin == &s) {
    detach(c);
    delete c->graph;
  }
  s.capturing.reset();
  s.tails.clear();
}

cudaError_t capture_operation(CUstream_st& s, operation o) {
  if (s.capturing->broken) return cudaErrorStreamCaptureInvalidated;
  auto n = std::make_shared<CUgraphNode_st>();
  n->type = o.type;
  n->run = std::move(o.run);
  n->memory = std::move(o.memory);
  n->after = s.tails;
  s.tails = {n};
  s.capturing->graph->nodes.push_back(std::move(n));
  return cudaSuccess;
}

}  // namespace simt

using simt::api;
using simt::call_kind;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  return api("cudaStreamBeginCapture", [&] { return simt::begin(s, mode); });
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  return api(
      "cudaStreamEndCapture", [&] { return simt::end(s, graph); }, call_kind::cleanup);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t h, cudaStreamCaptureStatus* status) {
  return api("cudaStreamIsCapturing", [&] {
    const auto s = simt::find_stream(h);
    if (s == nullptr) return cudaErrorInvalidResourceHandle;
    if (simt::is_legacy(*s)) {
      for (const auto& c : simt::state().under_way) {
        if (simt::has_blocking_stream(c)) return cudaErrorStreamCaptureImplicit;
      }
    }
    *status = simt::status_of(*s);
    return cudaSuccess;
  });
}
#if CUDART_VERSION >= 13000
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t h, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, std::size_t* count) {
  if (edges != nullptr) *edges = nullptr;
#else
cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t h, cudaStreamCaptureStatus* status,
                                        unsigned long long* id, cudaGraph_t* graph,
                                        const cudaGraphNode_t** dependencies, std::size_t* count) {
#endif
  return api("cudaStreamGetCaptureInfo", [&] {
    const auto s = simt::find_stream(h);
    if (s == nullptr) return cudaErrorInvalidResourceHandle;
    *status = simt::status_of(*s);
    if (*status != cudaStreamCaptureStatusActive) return cudaSuccess;
    if (id != nullptr) *id = s->capturing->id;
    if (graph != nullptr) *graph = s->capturing->graph;
    // Valid until the stream's next call, as documented.
    static thread_local std::vector<cudaGraphNode_t> tails;
    tails.clear();
    for (const auto& n : s->tails) tails.push_back(n.get());
    if (dependencies != nullptr) *dependencies = tails.data();
    if (count != nullptr) *count = tails.size();
    return cudaSuccess;
  });
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return api("cudaThreadExchangeStreamCaptureMode", [&] {
    std::swap(*mode, simt::thread_mode);
    return cudaSuccess;
  });
}
}
