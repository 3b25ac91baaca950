// The memory that all rows of the sweep share, and the random numbers in it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "bench/grid.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {

class data_pool {
 public:
  data_pool(device& on, std::size_t region_bytes) : on_(on), region_bytes_(region_bytes) {}

  // Region 0 holds standard normal numbers of this type from now on; nothing may write there.
  void hold(culoss_test::element type);
  // Element `index` of region 0.
  double value(std::size_t index) const { return period_[index % period_.size()]; }
  // Elements first, first + 1, ...
  void read(std::size_t first, std::span<double> out) const;

  void* region(int i);  // allocated when it is first asked for
  device& on() const { return on_; }

 private:
  device& on_;
  std::size_t region_bytes_;
  buffer regions_[kRegions];
  bool filled_ = false;
  culoss_test::element type_{};
  std::vector<double> period_;
};

}  // namespace culoss::bench
