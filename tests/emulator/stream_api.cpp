// Streams. Work waits in queues until the host waits for it, or the seed lets it run.
#include <algorithm>

#include "runtime.hpp"

namespace simt {
namespace {

struct stream_state {
  std::vector<std::shared_ptr<CUstream_st>> streams;    // [0]: legacy, [1]: per thread
  std::vector<std::shared_ptr<CUstream_st>> destroyed;  // with work left to do
  random_bits random{1};
  stream_state() : streams{std::make_shared<CUstream_st>(), std::make_shared<CUstream_st>()} {
    random.state = current_settings().seed;
  }
};
stream_state& state() {
  static auto* s = new stream_state;
  return *s;
}

}  // namespace

void run_one(CUstream_st& s) {
  CUstream_st::item item = std::move(s.queue.front());
  s.queue.pop_front();
  if (item.wait_on != nullptr) {
    run_until(*item.wait_on, item.wait_for);
  } else if (item.even_after_fault || sticky_error() == cudaSuccess) {
    item.run();
  }
  ++s.completed;
}

void run_until(CUstream_st& s, std::uint64_t completed) {
  while (s.completed < completed && !s.queue.empty()) run_one(s);
}

namespace {

// In seeded mode other streams run ahead, by as much as the seed says.
void run_some() {
  if (current_settings().streams != stream_mode::seeded) return;
  stream_state& st = state();
  while (st.random.below(3) != 0) {
    CUstream_st& s = *st.streams[st.random.below(static_cast<unsigned>(st.streams.size()))];
    if (!s.queue.empty()) run_one(s);
  }
}

void append(CUstream_st& s, CUstream_st::item item) {
  s.queue.push_back(std::move(item));
  ++s.submitted;
}

void wait_for(CUstream_st& s, const std::shared_ptr<CUstream_st>& other) {
  if (other->completed < other->submitted) append(s, {nullptr, other, other->submitted});
}

// The legacy stream waits for every blocking stream, and they for it.
void order_with_legacy(CUstream_st& s) {
  const auto& streams = state().streams;
  if (!is_legacy(s)) {
    if (s.blocking) wait_for(s, streams[0]);
    return;
  }
  for (const auto& other : streams) {
    if (other != streams[0] && other->blocking) wait_for(s, other);
  }
  for (const auto& other : state().destroyed) {
    if (other->blocking) wait_for(s, other);
  }
}

cudaError_t create_stream(cudaStream_t* out, unsigned flags) {
  if (out == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  if (const cudaError_t e = refuse_in_capture(); e != cudaSuccess) return e;
  auto s = std::make_shared<CUstream_st>();
  s->blocking = flags != cudaStreamNonBlocking;
  *out = s.get();
  state().streams.push_back(std::move(s));
  return cudaSuccess;
}

}  // namespace

const std::vector<std::shared_ptr<CUstream_st>>& all_streams() { return state().streams; }
bool is_legacy(const CUstream_st& s) { return &s == state().streams[0].get(); }
std::size_t count_streams() { return state().streams.size() - 2; }
random_bits& runtime_random() { return state().random; }
void restart_random(std::uint64_t seed) { state().random.state = seed; }

std::shared_ptr<CUstream_st> find_stream(cudaStream_t h) {
  const auto& streams = state().streams;
  if (h == nullptr || h == cudaStreamLegacy) return streams[0];
  if (h == cudaStreamPerThread) return streams[1];
  const auto it =
      std::find_if(streams.begin(), streams.end(), [h](const auto& s) { return s.get() == h; });
  return it != streams.end() ? *it : nullptr;
}

void push(CUstream_st& s, CUstream_st::item item) {
  order_with_legacy(s);
  append(s, std::move(item));
  if (current_settings().streams == stream_mode::eager) run_until(s, s.submitted);
  run_some();
}

cudaError_t submit(cudaStream_t stream, operation o) {
  const auto s = find_stream(stream);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  if (s->capturing) return capture_operation(*s, std::move(o));
  if (is_legacy(*s)) {
    if (const cudaError_t e = refuse_legacy(); e != cudaSuccess) return e;
  }
  const bool memory_node =
      o.type == cudaGraphNodeTypeMemAlloc || o.type == cudaGraphNodeTypeMemFree;
  push(*s, {[run = std::move(o.run), memory = std::move(o.memory)] { run(); }, nullptr, 0,
            memory_node});
  return cudaSuccess;
}

cudaError_t synchronize(CUstream_st& s) {
  run_some();
  run_until(s, s.submitted);
  check_guards();
  return sticky_error();
}

void synchronize_all() {
  stream_state& st = state();
  for (std::size_t i = 0; i < st.streams.size(); ++i)
    run_until(*st.streams[i], st.streams[i]->submitted);
  for (const auto& s : st.destroyed) run_until(*s, s->submitted);
  st.destroyed.clear();
  check_guards();
}

}  // namespace simt

using simt::api;
using simt::call_kind;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* s) {
  return api("cudaStreamCreate", [&] { return simt::create_stream(s, cudaStreamDefault); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  return api("cudaStreamCreateWithFlags", [&] { return simt::create_stream(s, flags); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned flags, int) {
  return api("cudaStreamCreateWithPriority", [&] { return simt::create_stream(s, flags); });
}
cudaError_t cudaStreamDestroy(cudaStream_t h) {
  return api(
      "cudaStreamDestroy",
      [&] {
        const auto s = simt::find_stream(h);
        auto& st = simt::state();
        if (s == nullptr || s == st.streams[0] || s == st.streams[1])
          return cudaErrorInvalidResourceHandle;
        if (s->capturing) simt::leave_capture(*s);
        std::erase(st.streams, s);
        if (!s->queue.empty()) st.destroyed.push_back(s);
        return cudaSuccess;
      },
      call_kind::cleanup);
}
cudaError_t cudaStreamSynchronize(cudaStream_t h) {
  return api("cudaStreamSynchronize", [&] {
    const auto s = simt::find_stream(h);
    if (s == nullptr) return cudaErrorInvalidResourceHandle;
    if (s->capturing) return simt::break_capture(*s->capturing, cudaErrorStreamCaptureUnsupported);
    if (simt::is_legacy(*s)) {
      if (const cudaError_t e = simt::refuse_legacy(); e != cudaSuccess) return e;
    }
    return simt::synchronize(*s);
  });
}
cudaError_t cudaStreamQuery(cudaStream_t h) {
  return api("cudaStreamQuery", [&] {
    const auto s = simt::find_stream(h);
    if (s == nullptr) return cudaErrorInvalidResourceHandle;
    if (s->capturing) return simt::break_capture(*s->capturing, cudaErrorStreamCaptureUnsupported);
    if (s->queue.empty()) return cudaSuccess;
    simt::run_one(*s);  // who asks often enough sees it done
    return cudaErrorNotReady;
  });
}
cudaError_t cudaStreamGetDevice(cudaStream_t h, int* device) {
  return api("cudaStreamGetDevice", [&] {
    if (simt::find_stream(h) == nullptr) return cudaErrorInvalidResourceHandle;
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = 0;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetFlags(cudaStream_t h, unsigned* flags) {
  return api("cudaStreamGetFlags", [&] {
    const auto s = simt::find_stream(h);
    if (s == nullptr) return cudaErrorInvalidResourceHandle;
    *flags = s->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", [&] {
    if (const cudaError_t e = simt::refuse_device_wait(); e != cudaSuccess) return e;
    simt::synchronize_all();
    return simt::sticky_error();
  });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void* data) {
  return api("cudaLaunchHostFunc", [&] {
    return simt::submit(
        s, {cudaGraphNodeTypeHost, [f, data] { simt::run_host_function([&] { f(data); }); }});
  });
}
}
