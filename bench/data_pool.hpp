// The memory that all rows of the sweep share, and the random numbers in it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "bench/grid.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {

class data_pool {
 public:
  data_pool(device& on, const region_bytes& bytes) : on_(on), bytes_(bytes) {}

  // kNormals or kUniforms hold random numbers of this type from now on; nothing may write there.
  void hold(bench::region which, culoss_test::element type);
  // Element `index` of such a region.
  double value(bench::region which, std::size_t index) const {
    const std::vector<double>& period = numbers_[which].period;
    return period[index % period.size()];
  }
  // Normal numbers first, first + 1, ...
  void read(std::size_t first, std::span<double> out) const;

  void* region(int i);  // allocated when it is first asked for
  device& on() const { return on_; }

 private:
  struct numbers {
    std::optional<culoss_test::element> type;
    std::vector<double> period;
  };

  device& on_;
  region_bytes bytes_;
  buffer regions_[kRegions];
  numbers numbers_[kRegions];
};

}  // namespace culoss::bench
