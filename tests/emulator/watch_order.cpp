#include "watch_order.hpp"

#include <cstdio>
#include <cstdlib>

#include "watch_known.hpp"

namespace simt::watch {
namespace {

bool same_warp(const epoch& a, const epoch& b) { return a.thread / 32 == b.thread / 32; }

}  // namespace

launch_order& order() {
  static launch_order o;
  return o;
}

void launch_order::begin_launch(unsigned cluster_blocks) {
  launch_base_ += 2 * static_cast<std::uint32_t>(epochs_.size());
  epochs_.clear();
  blocks_.clear();
  releases_.clear();
  acquired_.clear();
  cluster_blocks_ = cluster_blocks;
}

void launch_order::begin_cluster(const uint3* blocks) {
  cluster_base_ = launch_base_ + 2 * static_cast<std::uint32_t>(epochs_.size());
  blocks_.insert(blocks_.end(), blocks, blocks + cluster_blocks_);
}

std::uint32_t launch_order::epoch_of(thread_state& t, std::uint32_t run) {
  if (t.epoch != 0) return t.epoch;
  return t.epoch = copy_epoch(t, run, nullptr, 0);
}

std::uint32_t launch_order::copy_epoch(const thread_state& t, std::uint32_t run,
                                       const channel_state* by, std::uint32_t index) {
  const engine& e = device_engine();
  const std::uint32_t number = launch_base_ + 2 * static_cast<std::uint32_t>(epochs_.size());
  if (number > 0xf0000000u) {
    std::fprintf(stderr, "simt: the watch has run out of epochs\n");
    std::abort();
  }
  epochs_.push_back({run, t.linear, e.blocks[t.block].phase, e.warps[t.warp].syncs, e.cluster_phase,
                     t.fences, knowledge().time_of(t.slot), by, index});
  return number;
}

bool launch_order::is_fenced(std::uint32_t then, std::uint32_t now) const {
  if (then < launch_base_) return true;
  const epoch& a = epochs_[(then - launch_base_) / 2];
  const epoch& b = epochs_[(now - launch_base_) / 2];
  if (a.copied_by != nullptr || a.run / cluster_blocks_ != b.run / cluster_blocks_) return true;
  return knowledge().is_fenced(device_engine().current->slot, slot_of(a), a.time);
}

// Of an epoch of the cluster that runs now.
unsigned launch_order::slot_of(const epoch& a) {
  const engine& e = device_engine();
  return e.blocks[a.run - e.first_run].first + a.thread;
}

bool launch_order::is_ordered(std::uint32_t then, std::uint32_t now) const {
  if (then < launch_base_ || (then & now & 1) != 0) return true;
  const epoch& a = epochs_[(then - launch_base_) / 2];
  const epoch& b = epochs_[(now - launch_base_) / 2];
  const bool same_cluster = a.run / cluster_blocks_ == b.run / cluster_blocks_;
  const unsigned self = device_engine().current->slot;
  if (a.copied_by != nullptr)
    return same_cluster && knowledge().is_over(self, *a.copied_by, a.index);
  if (same_cluster && knowledge().is_past(self, slot_of(a), a.time)) return true;
  if (a.run == b.run) {
    return a.thread == b.thread || a.phase < b.phase || (same_warp(a, b) && a.syncs < b.syncs);
  }
  if (same_cluster && a.cluster_phase < b.cluster_phase) return true;
  return is_released(a, b.run, ~std::uint64_t{0}, 3);
}

// Whether what `a` did was released by an atomic that the block `run` has seen, if need be by way
// of other blocks.
bool launch_order::is_released(const epoch& a, std::uint32_t run, std::uint64_t until,
                               int depth) const {
  const auto it = acquired_.find(run);
  if (it == acquired_.end()) return false;
  for (const acquisition& q : it->second) {
    if (q.step > until) continue;
    const std::vector<release>& all = releases_.at(q.variable);
    for (std::size_t i = 0; i < q.count; ++i) {
      const epoch& r = all[i].upto;
      if (r.run == a.run) {
        // The fence covers the thread's own earlier accesses, and the others' before the last
        // barrier.
        if (a.thread == r.thread ? a.fences < r.fences
                                 : a.phase < r.phase || (same_warp(a, r) && a.syncs < r.syncs)) {
          return true;
        }
      } else if (depth > 0 && r.run != run && is_released(a, r.run, all[i].step, depth - 1)) {
        return true;
      }
    }
  }
  return false;
}

void launch_order::synchronise(std::uintptr_t variable, const thread_state& t, std::uint32_t run) {
  std::vector<release>& all = releases_[variable];
  ++steps_;
  if (!all.empty()) acquired_[run].push_back({variable, all.size(), steps_});
  if (t.fences != 0)
    all.push_back({{run, t.linear, t.fence_phase, t.fence_syncs, 0, t.fences}, steps_});
}

std::string launch_order::who(std::uint32_t number) const {
  const epoch& e = epochs_[(number - launch_base_) / 2];
  const uint3 b = blocks_[e.run];
  char text[96];
  std::snprintf(text, sizeof text, "%sthread %u of block (%u,%u,%u)",
                e.copied_by != nullptr ? "a copy of " : "", e.thread, b.x, b.y, b.z);
  return text;
}

}  // namespace simt::watch
