// The sweep's results as a table, as they come, and as JSON.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "bench/sweep.hpp"

namespace culoss::bench {

struct run_description {
  device_description device;
  std::string form, commit, row_kernels, date;
  int left_out = 0;     // rows that do not fit the memory
  int out_of_time = 0;  // rows that the time did not suffice for
};

// Columns: median time of a call; half the distance of its quartiles; rate, by the bytes that must
// move; rate of a plain read or copy of as many bytes, and the share of it; the worst error over
// its bound; rows compared with the reference. Over similarities, the rate is by the operations of
// the plan, then by those without which it cannot be done; the limit is a plain matrix product; and
// memory is the workspace and the outputs.
std::string table_header(const sweep_row& row);
std::string table_line(const measurement& m);
void write_json(std::ostream& to, const run_description& run,
                const std::vector<measurement>& measurements);

}  // namespace culoss::bench
