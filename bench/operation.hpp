// A row of the sweep, ready to be called, and checked against the CPU reference.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/data_pool.hpp"
#include "bench/grid.hpp"

namespace culoss::bench {

struct check_result {
  double worst = 0;  // error over its bound; infinite for a NaN where a number belongs
  std::int64_t rows_checked = 0;
  std::string where;  // which output was the worst
  std::string how;    // what was compared, where it is not all of the sampled rows' outputs
  bool ok() const { return worst <= 1; }
};

class operation {
 public:
  virtual ~operation() = default;
  // Enqueues the call that is timed, on set `copy` of the buffers. Throws where it fails.
  virtual void call(int copy) = 0;
  // Calls once into poisoned outputs and compares sampled rows of them with the reference.
  virtual check_result check() = 0;
};

std::unique_ptr<operation> make_operation(const sweep_row& row, data_pool& pool);

}  // namespace culoss::bench
