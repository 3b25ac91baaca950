// Runs a grid: its blocks in an order that the schedule chooses, each with poisoned shared memory.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "engine.hpp"
#include "watch.hpp"

extern "C" {
__attribute__((weak)) extern char simt_shared_begin[], simt_shared_end[];
}

namespace simt {
namespace {

constexpr std::size_t kChunk = 256;
constexpr std::uint64_t kPoison = ~std::uint64_t{0};

// Which chunks of the static shared memory of all kernels one kernel has ever written. Only these
// need new poison before each block: poisoning the variables of a hundred other kernels would cost
// more than running the block.
std::vector<bool>& touched_chunks(const void* kernel) {
  static std::map<const void*, std::vector<bool>> all;
  return all[kernel];
}

// Word by word and volatile, because ASan's guards lie in between.
bool poison(char* from, char* to) {
  bool was_touched = false;
  for (auto* p = reinterpret_cast<volatile std::uint64_t*>(from);
       p != reinterpret_cast<volatile std::uint64_t*>(to); ++p) {
    if (*p != kPoison) {
      was_touched = true;
      *p = kPoison;
    }
  }
  return was_touched;
}

// Poisons everything and takes down what had been written. True if anything was.
bool poison_all(std::vector<bool>* touched) {
  const byte_span s = static_shared();
  const auto chunks = static_cast<std::size_t>(s.end - s.begin) / kChunk;
  bool any = false;
  if (touched != nullptr) touched->resize(chunks);
  for (std::size_t i = 0; i < chunks; ++i) {
    if (!poison(s.begin + i * kChunk, s.begin + (i + 1) * kChunk)) continue;
    any = true;
    if (touched != nullptr) (*touched)[i] = true;
  }
  return any;
}

void poison_touched(const std::vector<bool>& touched) {
  const byte_span s = static_shared();
  for (std::size_t i = 0; i < touched.size(); ++i) {
    if (touched[i]) poison(s.begin + i * kChunk, s.begin + (i + 1) * kChunk);
  }
}

// The first block of each cluster.
std::vector<uint3> cluster_order(const geometry& g, random_bits& random) {
  std::vector<uint3> order;
  for (unsigned z = 0; z < g.grid[2]; z += g.cluster[2]) {
    for (unsigned y = 0; y < g.grid[1]; y += g.cluster[1]) {
      for (unsigned x = 0; x < g.grid[0]; x += g.cluster[0]) order.push_back({x, y, z});
    }
  }
  if (current_settings().order == schedule::reversed) {
    std::reverse(order.begin(), order.end());
  } else if (current_settings().order != schedule::in_order) {
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[random.below(static_cast<unsigned>(i))]);
    }
  }
  return order;
}

}  // namespace

byte_span static_shared() {
  if (simt_shared_begin == nullptr) return {nullptr, nullptr};
  return {simt_shared_begin, simt_shared_end};
}

launch_result run_grid(const geometry& g, const std::function<void()>& body, const void* kernel) {
  engine& e = device_engine();
  ++e.total.launches;
  random_bits random{current_settings().seed * 0x2545f4914f6cdd1du + e.total.launches};
  const std::vector<uint3> order = cluster_order(g, random);
  const bool poisons = current_settings().poison_shared;
  std::vector<bool>& touched = touched_chunks(kernel);
  static bool begun = false;
  if (poisons && !begun) poison_all(nullptr);
  begun = begun || poisons;
  if (watch::begin_launch) watch::begin_launch(symbol_name(kernel), g.cluster_blocks());
  launch_result result;
  std::vector<uint3> group;
  unsigned run = 0;
  for (const uint3 at : order) {
    group.clear();
    for (unsigned z = 0; z < g.cluster[2]; ++z) {
      for (unsigned y = 0; y < g.cluster[1]; ++y) {
        for (unsigned x = 0; x < g.cluster[0]; ++x) group.push_back({at.x + x, at.y + y, at.z + z});
      }
    }
    if (poisons) poison_touched(touched);
    if (watch::begin_cluster) watch::begin_cluster(group.data());
    result.fault = e.run(g, group.data(), run, body, random_bits{random()});
    if (result.fault != fault_kind::none) {
      result.report = e.report;
      break;
    }
    run += g.cluster_blocks();
    // The first block teaches what the kernel writes, so that the second one does not find the
    // first one's values.
    if (poisons && run == g.cluster_blocks() && order.size() > 1) poison_all(&touched);
  }
  bool wrote_static = false;
  if (poisons) {
    poison_all(&touched);
    wrote_static = std::find(touched.begin(), touched.end(), true) != touched.end();
  }
  if (result.fault == fault_kind::none && g.cluster_blocks() > 1 && wrote_static) {
    result = {fault_kind::launch_failure,
              "a kernel launched in clusters uses static __shared__ variables; only dynamic shared "
              "memory is kept apart "
              "for the blocks of a cluster\n"};
  }
  if (watch::end_launch) {
    const std::string messages = watch::end_launch();
    if (!messages.empty() && result.fault == fault_kind::none)
      result.fault = fault_kind::launch_failure;
    result.report += messages;
  }
  if (result.fault != fault_kind::none) result.report = symbol_name(kernel) + ": " + result.report;
  return result;
}

}  // namespace simt
