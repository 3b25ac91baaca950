// What each thread of a cluster knows of the others by way of barriers in shared memory: a time of
// every thread, up to which all that it did is over, and how far each channel of copies has come.
// Kept only where a kernel uses such barriers or copies; everything else follows from counts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "watch_async.hpp"

namespace simt::watch {

struct channel_state {
  unsigned number;
};

class known {
 public:
  void begin();
  std::uint32_t time_of(unsigned slot) const {
    return slot < clocks_.size() ? clocks_[slot].time_of(slot) : 0;
  }
  // Whether thread `now` knows that thread `then` is past its time.
  bool is_past(unsigned now, unsigned then, std::uint32_t time) const {
    return now < clocks_.size() && clocks_[now].time_of(then) > time;
  }
  bool is_over(unsigned now, const channel_state& c, std::uint32_t index) const {
    return now < clocks_.size() && clocks_[now].count_of(c.number) > index;
  }
  // Whether `now` knows of a proxy fence of `then` at that time or later.
  bool is_fenced(unsigned now, unsigned then, std::uint32_t time) const;

  const channel_state* state_of(const channel&);
  void met(const std::vector<unsigned>& slots);
  void released(unsigned slot, std::uintptr_t barrier);
  void phase_over(std::uintptr_t barrier, unsigned phase);
  void acquired(unsigned slot, std::uintptr_t barrier);
  void advanced(unsigned slot, const channel&, unsigned count);
  void fenced(unsigned slot);

 private:
  struct clock {
    std::vector<std::uint32_t> times, counts;  // by slot, by channel
    std::uint32_t time_of(unsigned slot) const { return slot < times.size() ? times[slot] : 0; }
    std::uint32_t count_of(unsigned c) const { return c < counts.size() ? counts[c] : 0; }
    void advance(std::vector<std::uint32_t>&, unsigned at, std::uint32_t to);
    void join(const clock&);
  };
  clock& of(unsigned slot);
  void tick(unsigned slot);

  std::vector<clock> clocks_;
  std::vector<std::vector<std::uint32_t>> fences_;  // of each thread, at which of its times
  std::map<std::pair<channel_kind, std::uintptr_t>, std::unique_ptr<channel_state>> channels_;
  struct gathered {
    clock arriving, over;
  };
  std::map<std::uintptr_t, gathered> barriers_;
  std::vector<std::unique_ptr<channel_state>> earlier_;  // of this launch: epochs refer to them
};

known& knowledge();

}  // namespace simt::watch
