// Allocation.
#include <cstdlib>
#include <cstring>
#include <map>

#include "runtime.hpp"

namespace simt {
namespace {

std::map<char*, std::size_t>& pinned() {
  static auto* m = new std::map<char*, std::size_t>;
  return *m;
}
cudaError_t allocate_now(void** p, std::size_t size, const char* call) {
  if (p == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t e = refuse_in_capture(); e != cudaSuccess) return e;
  *p = nullptr;
  if (size == 0) return cudaSuccess;
  allocation* a = arena::allocate(size, call);
  if (a == nullptr) return cudaErrorMemoryAllocation;
  arena::make_alive(*a);
  *p = a->begin;
  return cudaSuccess;
}

cudaError_t allocate_pinned(void** p, std::size_t size) {
  if (p == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t e = refuse_in_capture(); e != cudaSuccess) return e;
  *p = nullptr;
  if (size == 0) return cudaSuccess;
  if (posix_memalign(p, 256, size) != 0) return cudaErrorMemoryAllocation;
  std::memset(*p, 0xff, std::min(size, std::size_t{1} << 28));
  pinned()[static_cast<char*>(*p)] = size;
  return cudaSuccess;
}

// A block lives for as long as the host, a stream's queue or a graph refers to it. The host's share
// of stream-ordered memory is kept here; memory of a graph belongs to its nodes.
std::map<allocation*, std::shared_ptr<allocation>>& host_shares() {
  static auto* m = new std::map<allocation*, std::shared_ptr<allocation>>;
  return *m;
}
std::map<allocation*, std::weak_ptr<allocation>>& graph_memory() {
  static auto* m = new std::map<allocation*, std::weak_ptr<allocation>>;
  return *m;
}
std::shared_ptr<allocation> shared(allocation* a) {
  return {a, [](allocation* p) {
            graph_memory().erase(p);
            arena::release(p);
          }};
}
std::shared_ptr<allocation> share_of(allocation* a) {
  if (a->of_graph) return graph_memory()[a].lock();
  const auto it = host_shares().find(a);
  return it != host_shares().end() ? it->second : shared(a);
}

cudaError_t allocate_async(void** p, std::size_t size, cudaStream_t stream) {
  const auto s = find_stream(stream);
  if (p == nullptr) return cudaErrorInvalidValue;
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  *p = nullptr;
  if (size == 0) return cudaSuccess;
  allocation* a =
      arena::allocate(size, s->capturing ? "cudaMallocAsync in a graph" : "cudaMallocAsync");
  if (a == nullptr) return cudaErrorMemoryAllocation;
  a->of_graph = s->capturing != nullptr;
  const auto memory = shared(a);
  const cudaError_t e =
      submit(stream, {cudaGraphNodeTypeMemAlloc, [a] { arena::make_alive(*a); }, memory});
  if (e != cudaSuccess) {
    arena::disown(*a);
    return e;
  }
  if (a->of_graph) {
    arena::disown(*a);  // the host owns nothing until the graph is launched
    graph_memory()[a] = memory;
  } else {
    host_shares()[a] = memory;
  }
  *p = a->begin;
  return cudaSuccess;
}

cudaError_t free_async(void* p, cudaStream_t stream) {
  const auto s = find_stream(stream);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  if (p == nullptr) return cudaSuccess;
  allocation* a = arena::find(p);
  if (a == nullptr || a->begin != p) return cudaErrorInvalidValue;
  if (s->capturing) {
    // Only memory that a graph has made can be freed by a graph, and once.
    if (!a->of_graph || a->freed_in_graph) return cudaErrorInvalidValue;
    a->freed_in_graph = true;
    return submit(stream, {cudaGraphNodeTypeMemFree, [a] { arena::make_dead(*a); }, share_of(a)});
  }
  if (!a->owned) return cudaErrorInvalidValue;
  const auto memory = share_of(a);
  const cudaError_t e =
      submit(stream, {cudaGraphNodeTypeMemFree, [a] { arena::make_dead(*a); }, memory});
  if (e != cudaSuccess) return e;
  arena::disown(*a);
  host_shares().erase(a);
  return cudaSuccess;
}

cudaError_t free_now(void* p) {
  if (const cudaError_t e = refuse_in_capture(); e != cudaSuccess) return e;
  if (p == nullptr) return cudaSuccess;
  synchronize_all();
  allocation* a = arena::find(p);
  if (a == nullptr || a->begin != p || !a->owned) return cudaErrorInvalidValue;
  arena::disown(*a);
  const auto memory = share_of(a);
  host_shares().erase(a);
  arena::make_dead(*a);
  check_guards();
  return cudaSuccess;
}

}  // namespace

bool is_pinned(const void* p, std::size_t n) {
  const char* c = static_cast<const char*>(p);
  auto it = pinned().upper_bound(const_cast<char*>(c));
  if (it == pinned().begin()) return false;
  --it;
  return c + n <= it->first + it->second;
}

std::size_t count_pinned() { return pinned().size(); }

}  // namespace simt

using simt::api;
using simt::call_kind;

extern "C" {

cudaError_t cudaMalloc(void** p, std::size_t n) {
  return api("cudaMalloc", [&] { return simt::allocate_now(p, n, "cudaMalloc"); });
}
cudaError_t cudaMallocAsync(void** p, std::size_t n, cudaStream_t s) {
  return api("cudaMallocAsync", [&] { return simt::allocate_async(p, n, s); });
}
cudaError_t cudaFree(void* p) {
  return api(
      "cudaFree", [&] { return simt::free_now(p); }, call_kind::cleanup);
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t s) {
  return api(
      "cudaFreeAsync", [&] { return simt::free_async(p, s); }, call_kind::cleanup);
}
cudaError_t cudaMallocHost(void** p, std::size_t n) {
  return api("cudaMallocHost", [&] { return simt::allocate_pinned(p, n); });
}
cudaError_t cudaHostAlloc(void** p, std::size_t n, unsigned) {
  return api("cudaHostAlloc", [&] { return simt::allocate_pinned(p, n); });
}
cudaError_t cudaFreeHost(void* p) {
  return api(
      "cudaFreeHost",
      [&] {
        if (const cudaError_t e = simt::refuse_in_capture(); e != cudaSuccess) return e;
        if (p == nullptr) return cudaSuccess;
        simt::synchronize_all();
        if (simt::pinned().erase(static_cast<char*>(p)) == 0) return cudaErrorInvalidValue;
        std::free(p);
        return cudaSuccess;
      },
      call_kind::cleanup);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return api("cudaMemGetInfo", [&] {
    *total = simt::arena::kTotal;
    *free = *total - simt::arena::bytes_owned();
    return cudaSuccess;
  });
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* p) {
  return api("cudaPointerGetAttributes", [&] {
    if (out == nullptr) return cudaErrorInvalidValue;
    *out = {};
    out->device = -2;
    if (simt::arena::contains(p) && simt::arena::find(p) != nullptr) {
      out->type = cudaMemoryTypeDevice;
      out->device = 0;
      out->devicePointer = const_cast<void*>(p);
    } else if (simt::is_pinned(p, 1)) {
      out->type = cudaMemoryTypeHost;
      out->device = 0;
      out->devicePointer = out->hostPointer = const_cast<void*>(p);
    }
    return cudaSuccess;
  });
}
}
