#include "watch_known.hpp"

#include <algorithm>

namespace simt::watch {

known& knowledge() {
  static known k;
  return k;
}

void known::begin() {
  clocks_.clear();
  fences_.clear();
  barriers_.clear();
  for (auto& c : channels_) earlier_.push_back(std::move(c.second));
  channels_.clear();
}

void known::clock::advance(std::vector<std::uint32_t>& of, unsigned at, std::uint32_t to) {
  if (of.size() <= at) of.resize(at + 1, 0);
  of[at] = std::max(of[at], to);
}
void known::clock::join(const clock& other) {
  const auto larger = [](std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b) {
    if (a.size() < b.size()) a.resize(b.size(), 0);
    for (std::size_t i = 0; i < b.size(); ++i) a[i] = std::max(a[i], b[i]);
  };
  larger(times, other.times);
  larger(counts, other.counts);
}

known::clock& known::of(unsigned slot) {
  if (clocks_.size() <= slot) {
    clocks_.resize(device_engine().thread_count());
    fences_.resize(device_engine().thread_count());
  }
  return clocks_[slot];
}

// What the thread does from now on is later.
void known::tick(unsigned slot) {
  clock& c = of(slot);
  c.advance(c.times, slot, c.time_of(slot) + 1);
  device_engine().thread(slot).epoch = 0;
}

bool known::is_fenced(unsigned now, unsigned then, std::uint32_t time) const {
  if (then >= fences_.size()) return false;
  const std::vector<std::uint32_t>& all = fences_[then];
  const auto first = std::lower_bound(all.begin(), all.end(), time);
  return first != all.end() && is_past(now, then, *first);
}

const channel_state* known::state_of(const channel& c) {
  auto& state = channels_[{c.kind, c.key}];
  if (state == nullptr)
    state = std::make_unique<channel_state>(channel_state{static_cast<unsigned>(channels_.size())});
  return state.get();
}

void known::met(const std::vector<unsigned>& slots) {
  clock all;
  for (const unsigned s : slots) {
    tick(s);
    all.join(of(s));
  }
  for (const unsigned s : slots) of(s) = all;
}

void known::released(unsigned slot, std::uintptr_t barrier) {
  tick(slot);
  barriers_[barrier].arriving.join(of(slot));
}

void known::phase_over(std::uintptr_t barrier, unsigned phase) {
  gathered& g = barriers_[barrier];
  g.over = g.arriving;
  g.over.advance(g.over.counts, state_of({channel_kind::barrier, barrier})->number, phase + 1);
}

void known::acquired(unsigned slot, std::uintptr_t barrier) {
  const auto found = barriers_.find(barrier);
  if (found != barriers_.end()) of(slot).join(found->second.over);
}

void known::advanced(unsigned slot, const channel& c, unsigned count) {
  clock& own = of(slot);
  own.advance(own.counts, state_of(c)->number, count);
}

void known::fenced(unsigned slot) {
  of(slot);
  fences_[slot].push_back(time_of(slot));
  tick(slot);
}

}  // namespace simt::watch
