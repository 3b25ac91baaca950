// What one call of a loss of rows keeps between its launches: counting, the rows, their sum.
#pragma once

#include "host/rows.hpp"
#include "host/workspace.hpp"

namespace culoss::detail {

struct row_memory {
  kernels::totals* counted;  // the number of rows that count
  kernels::totals* partials;
  float* row_loss;  // under mean and sum

  std::size_t carve(void* base, std::int64_t rows) noexcept {
    carver c(base);
    counted = c.take<kernels::totals>(1);
    partials = c.take<kernels::totals>(partials_of(rows));
    row_loss = c.take<float>(rows);
    return c.used();
  }
};

inline std::size_t row_memory_bytes(std::int64_t rows) noexcept {
  return rows > 0 ? row_memory{}.carve(nullptr, rows) : 0;
}

}  // namespace culoss::detail
