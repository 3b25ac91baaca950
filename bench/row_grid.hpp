// The rows of the sweep over losses of rows and elements: their functions and sizes.
#pragma once

#include <vector>

#include "bench/grid.hpp"

namespace culoss::bench {

// In the order of importance; some more than once.
std::vector<sweep_row> row_loss_rows(form wanted, const device_description& on);

}  // namespace culoss::bench
