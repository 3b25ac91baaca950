// Events: places in the queues of streams, or in captures.
#include <algorithm>

#include "runtime.hpp"

namespace simt {
namespace {

struct event_state {
  std::vector<cudaEvent_t> all;
  std::uint64_t clock = 0;
};
event_state& state() {
  static auto* s = new event_state;
  return *s;
}

bool exists(cudaEvent_t e) {
  return std::find(state().all.begin(), state().all.end(), e) != state().all.end();
}

cudaError_t record(cudaEvent_t e, cudaStream_t stream) {
  const auto s = find_stream(stream);
  if (!exists(e) || s == nullptr) return cudaErrorInvalidResourceHandle;
  if (s->capturing) {
    if (s->capturing->broken) return cudaErrorStreamCaptureInvalidated;
    e->captured = s->capturing;
    e->tails = s->tails;
    return cudaSuccess;
  }
  if (is_legacy(*s)) {
    if (const cudaError_t error = refuse_legacy(); error != cudaSuccess) return error;
  }
  e->captured.reset();
  e->tails.clear();
  e->time = std::make_shared<std::uint64_t>(0);
  push(*s, {[time = e->time] { *time = ++state().clock; }, nullptr, 0, true});
  e->recorded = true;
  e->stream = s;
  e->at = s->submitted;
  return cudaSuccess;
}

cudaError_t wait_event(cudaStream_t stream, cudaEvent_t e) {
  const auto s = find_stream(stream);
  if (!exists(e) || s == nullptr) return cudaErrorInvalidResourceHandle;
  if (e->captured != nullptr) {
    capture& c = *e->captured;
    if (c.ended) return cudaErrorCapturedEvent;
    if (c.broken) return cudaErrorStreamCaptureInvalidated;
    if (is_legacy(*s)) return break_capture(c, cudaErrorStreamCaptureImplicit);
    if (s->capturing == nullptr) {
      s->capturing = e->captured;  // the stream joins the capture
      s->tails = e->tails;
      return cudaSuccess;
    }
    if (s->capturing != e->captured) {
      break_capture(*s->capturing, cudaErrorStreamCaptureMerge);
      return break_capture(c, cudaErrorStreamCaptureMerge);
    }
    for (const graph_node& n : e->tails) {
      if (std::find(s->tails.begin(), s->tails.end(), n) == s->tails.end()) s->tails.push_back(n);
    }
    return cudaSuccess;
  }
  if (!e->recorded) return cudaSuccess;
  if (s->capturing) return break_capture(*s->capturing, cudaErrorStreamCaptureIsolation);
  push(*s, {nullptr, e->stream, e->at});
  return cudaSuccess;
}

bool is_done(const CUevent_st& e) { return !e.recorded || e.stream->completed >= e.at; }

cudaError_t refuse_captured_event(const CUevent_st& e) {
  if (e.captured == nullptr) return cudaSuccess;
  if (!e.captured->ended) break_capture(*e.captured, cudaErrorCapturedEvent);
  return cudaErrorCapturedEvent;
}

}  // namespace

std::size_t count_events() { return state().all.size(); }

}  // namespace simt

using simt::api;
using simt::call_kind;

extern "C" {

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  return api("cudaStreamWaitEvent", [&] { return simt::wait_event(s, e); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned flags) {
  return api("cudaEventCreateWithFlags", [&] {
    if (e == nullptr) return cudaErrorInvalidValue;
    *e = new CUevent_st;
    (*e)->timing = (flags & cudaEventDisableTiming) == 0;
    simt::state().all.push_back(*e);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* e) {
  return cudaEventCreateWithFlags(e, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  return api(
      "cudaEventDestroy",
      [&] {
        if (std::erase(simt::state().all, e) == 0) return cudaErrorInvalidResourceHandle;
        delete e;
        return cudaSuccess;
      },
      call_kind::cleanup);
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  return api("cudaEventRecord", [&] { return simt::record(e, s); });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) {
  return api("cudaEventRecordWithFlags", [&] { return simt::record(e, s); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  return api("cudaEventSynchronize", [&] {
    if (!simt::exists(e)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = simt::refuse_captured_event(*e); error != cudaSuccess)
      return error;
    if (!simt::is_done(*e)) simt::run_until(*e->stream, e->at);
    simt::check_guards();
    return simt::sticky_error();
  });
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  return api("cudaEventQuery", [&] {
    if (!simt::exists(e)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = simt::refuse_captured_event(*e); error != cudaSuccess)
      return error;
    if (simt::is_done(*e)) return cudaSuccess;
    simt::run_one(*e->stream);
    return cudaErrorNotReady;
  });
}
// Emulated time: a microsecond for each event that was reached.
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  return api("cudaEventElapsedTime", [&] {
    if (!simt::exists(from) || !simt::exists(to)) return cudaErrorInvalidResourceHandle;
    if (!from->timing || !to->timing || !from->recorded || !to->recorded)
      return cudaErrorInvalidResourceHandle;
    if (!simt::is_done(*from) || !simt::is_done(*to)) return cudaErrorNotReady;
    *ms = 1e-3f * (static_cast<float>(*to->time) - static_cast<float>(*from->time));
    return cudaSuccess;
  });
}
}
