// Copies and memsets.
#include <cstring>

#include "runtime.hpp"
#include "watch.hpp"

namespace simt {
namespace {

struct copy_plan {
  void* to;
  const void* from;
  std::size_t to_pitch, from_pitch, width, rows;
};

void run_copy(const copy_plan& c) {
  for (std::size_t r = 0; r < c.rows; ++r) {
    char* to = static_cast<char*>(c.to) + r * c.to_pitch;
    const char* from = static_cast<const char*>(c.from) + r * c.from_pitch;
    for (const void* end : {static_cast<const void*>(to), static_cast<const void*>(from)}) {
      if (arena::contains(end) && !arena::is_alive(end, c.width)) {
        return set_fault(cudaErrorIllegalAddress, "copy to or from " + arena::describe(end) + "\n");
      }
    }
    std::memmove(to, from, c.width);
    if (!arena::contains(to)) continue;
    if (arena::contains(from)) {
      if (watch::copied) watch::copied(to, from, c.width);
    } else if (watch::written) {
      watch::written(to, c.width);
    }
  }
}

cudaError_t check_end(const void* p, const copy_plan& c, std::size_t pitch, bool must_be_device,
                      bool must_be_host) {
  const std::size_t bytes = (c.rows - 1) * pitch + c.width;
  const bool device = arena::contains(p);
  if (p == nullptr || (must_be_device && !device) || (must_be_host && device))
    return cudaErrorInvalidValue;
  const allocation* a = device ? arena::find(p) : nullptr;
  // Memory of a graph is the host's concern only while it lives.
  const bool of_graph = a != nullptr && a->of_graph;
  return device && !of_graph && !arena::owns(p, bytes) ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t copy(copy_plan c, cudaMemcpyKind kind, cudaStream_t stream, bool async) {
  if (!async) {
    if (const cudaError_t e = refuse_synchronous(); e != cudaSuccess) return e;
  }
  const auto s = find_stream(stream);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  if (c.width == 0 || c.rows == 0) return cudaSuccess;
  if (c.rows > 1 && (c.to_pitch < c.width || c.from_pitch < c.width))
    return cudaErrorInvalidPitchValue;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool any = kind == cudaMemcpyDefault;
  cudaError_t e = check_end(c.to, c, c.to_pitch, to_device, !to_device && !any);
  if (e == cudaSuccess) e = check_end(c.from, c, c.from_pitch, from_device, !from_device && !any);
  if (e != cudaSuccess) return e;
  const std::size_t from_bytes = (c.rows - 1) * c.from_pitch + c.width;
  const bool pageable_from = !arena::contains(c.from) && !is_pinned(c.from, from_bytes);
  if (s->capturing) return submit(stream, {cudaGraphNodeTypeMemcpy, [c] { run_copy(c); }});
  if (pageable_from && async) {
    // The driver has read a pageable source before the call returns.
    const char* from = static_cast<const char*>(c.from);
    const auto staged = std::make_shared<std::vector<char>>(from, from + from_bytes);
    c.from = staged->data();
    e = submit(stream, {cudaGraphNodeTypeMemcpy, [c, staged] { run_copy(c); }});
  } else {
    e = submit(stream, {cudaGraphNodeTypeMemcpy, [c] { run_copy(c); }});
  }
  // A pageable target may have been written by then, or not.
  if (e == cudaSuccess && !async) e = synchronize(*s);
  return e;
}

cudaError_t fill(void* p, std::size_t pitch, int value, std::size_t width, std::size_t rows,
                 cudaStream_t stream) {
  if (find_stream(stream) == nullptr) return cudaErrorInvalidResourceHandle;
  if (width == 0 || rows == 0) return cudaSuccess;
  const copy_plan c{p, p, pitch, pitch, width, rows};
  if (const cudaError_t e = check_end(p, c, pitch, true, false); e != cudaSuccess) return e;
  return submit(stream, {cudaGraphNodeTypeMemset, [=] {
                           for (std::size_t r = 0; r < rows; ++r) {
                             char* row = static_cast<char*>(p) + r * pitch;
                             if (!arena::is_alive(row, width)) {
                               return set_fault(cudaErrorIllegalAddress,
                                                "memset of " + arena::describe(row) + "\n");
                             }
                             std::memset(row, value, width);
                             if (watch::written) watch::written(row, width);
                           }
                         }});
}

}  // namespace
}  // namespace simt

using simt::api;

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t n, cudaMemcpyKind kind) {
  return api("cudaMemcpy", [&] {
    return simt::copy({to, from, n, n, n, 1}, kind, nullptr, false);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind kind,
                            cudaStream_t s) {
  return api("cudaMemcpyAsync", [&] { return simt::copy({to, from, n, n, n, 1}, kind, s, true); });
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t rows, cudaMemcpyKind kind) {
  return api("cudaMemcpy2D", [&] {
    return simt::copy({to, from, to_pitch, from_pitch, width, rows}, kind, nullptr, false);
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t rows,
                              cudaMemcpyKind kind, cudaStream_t s) {
  return api("cudaMemcpy2DAsync", [&] {
    return simt::copy({to, from, to_pitch, from_pitch, width, rows}, kind, s, true);
  });
}
cudaError_t cudaMemsetAsync(void* p, int value, std::size_t n, cudaStream_t s) {
  return api("cudaMemsetAsync", [&] { return simt::fill(p, n, value, n, 1, s); });
}
cudaError_t cudaMemset(void* p, int value, std::size_t n) {
  return api("cudaMemset", [&] {
    if (const cudaError_t e = simt::refuse_synchronous(); e != cudaSuccess) return e;
    return simt::fill(p, n, value, n, 1, nullptr);
  });
}
cudaError_t cudaMemset2DAsync(void* p, std::size_t pitch, int value, std::size_t width,
                              std::size_t rows, cudaStream_t s) {
  return api("cudaMemset2DAsync", [&] { return simt::fill(p, pitch, value, width, rows, s); });
}
}
