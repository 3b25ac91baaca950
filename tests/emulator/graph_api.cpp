// Graphs and their replay.
#include <algorithm>
#include <set>

#include "runtime.hpp"

namespace simt {
namespace {

struct graph_state {
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> execs;
};
graph_state& state() {
  static auto* s = new graph_state;
  return *s;
}

// In an order that the edges allow and the schedule chooses.
void run_nodes(const std::vector<graph_node>& nodes) {
  std::vector<graph_node> open = nodes;
  std::set<const CUgraphNode_st*> finished;
  const schedule order = current_settings().order;
  while (!open.empty()) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < open.size(); ++i) {
      const auto& after = open[i]->after;
      if (std::all_of(after.begin(), after.end(),
                      [&](const auto& n) { return finished.count(n.get()) != 0; })) {
        ready.push_back(i);
      }
    }
    std::size_t at = ready.front();
    if (order == schedule::reversed) at = ready.back();
    if (order == schedule::random || order == schedule::warp_priority) {
      at = ready[runtime_random().below(static_cast<unsigned>(ready.size()))];
    }
    const graph_node n = open[at];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
    const bool memory_node =
        n->type == cudaGraphNodeTypeMemAlloc || n->type == cudaGraphNodeTypeMemFree;
    if (n->run && (memory_node || sticky_error() == cudaSuccess)) n->run();
    finished.insert(n.get());
  }
}

// Memory that the graph makes and leaves to the host.
std::vector<allocation*> left_alive(const CUgraphExec_st& exec) {
  std::vector<allocation*> out;
  for (const graph_node& n : exec.nodes) {
    if (n->type == cudaGraphNodeTypeMemAlloc && !n->memory->freed_in_graph)
      out.push_back(n->memory.get());
  }
  return out;
}

cudaError_t launch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (state().execs.count(exec) == 0) return cudaErrorInvalidValue;
  const std::vector<allocation*> made = left_alive(*exec);
  for (const allocation* a : made) {
    if (a->owned) return cudaErrorInvalidValue;  // the last launch's memory was not freed yet
  }
  // The nodes are kept by the queue: a graph may be destroyed while it runs.
  const cudaError_t e =
      submit(stream, {cudaGraphNodeTypeGraph, [nodes = exec->nodes] { run_nodes(nodes); }});
  if (e != cudaSuccess) return e;
  for (allocation* a : made) arena::own(*a);
  return cudaSuccess;
}

}  // namespace

void add_graph(CUgraph_st* graph) { state().graphs.insert(graph); }
std::size_t count_graphs() { return state().graphs.size(); }
std::size_t count_graph_execs() { return state().execs.size(); }

}  // namespace simt

using simt::api;
using simt::call_kind;

extern "C" {

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api(
      "cudaGraphDestroy",
      [&] {
        if (simt::state().graphs.erase(graph) == 0) return cudaErrorInvalidValue;
        delete graph;
        return cudaSuccess;
      },
      call_kind::cleanup);
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return api("cudaGraphGetNodes", [&] {
    if (simt::state().graphs.count(graph) == 0 || count == nullptr) return cudaErrorInvalidValue;
    if (nodes == nullptr) {
      *count = graph->nodes.size();
      return cudaSuccess;
    }
    for (std::size_t i = 0; i < *count; ++i) {
      nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
    }
    *count = std::min(*count, graph->nodes.size());
    return cudaSuccess;
  });
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return api("cudaGraphNodeGetType", [&] {
    if (node == nullptr || type == nullptr) return cudaErrorInvalidValue;
    *type = node->type;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api("cudaGraphInstantiate", [&] {
    if (exec == nullptr || simt::state().graphs.count(graph) == 0) return cudaErrorInvalidValue;
    *exec = new CUgraphExec_st{graph->nodes};
    simt::state().execs.insert(*exec);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(exec, graph, flags);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return api("cudaGraphUpload", [&] {
    return simt::state().execs.count(exec) != 0 ? cudaSuccess : cudaErrorInvalidValue;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) {
  return api("cudaGraphLaunch", [&] { return simt::launch(exec, s); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return api(
      "cudaGraphExecDestroy",
      [&] {
        if (simt::state().execs.erase(exec) == 0) return cudaErrorInvalidValue;
        delete exec;
        return cudaSuccess;
      },
      call_kind::cleanup);
}
cudaError_t cudaDeviceGraphMemTrim(int) {
  return api("cudaDeviceGraphMemTrim", [&] { return cudaSuccess; });
}
}
