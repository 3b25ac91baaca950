// Rows on all cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <culoss/core.hpp>
#include <new>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include "host/status.hpp"

namespace culoss::reference {

// Runs body(first, last) over a partition of the rows into contiguous ranges, one a thread. A body
// writes only what belongs to its rows, so the partition does not show in the result. Throws
// std::bad_alloc where a body did.
template <class Body>
void for_each_range(const cpu& where, std::int64_t rows, std::int64_t elements_per_row,
                    const Body& body) {
  if (rows == 0) return;  // of any width, for which there need not be memory
  constexpr std::int64_t kElementsWorthAThread = 1 << 14;  // about as long as its start takes
  const auto cores = static_cast<std::int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  const std::int64_t wanted = where.threads > 0 ? where.threads : cores;
  const std::int64_t rows_worth_a_thread = std::max<std::int64_t>(
      1, kElementsWorthAThread / std::max<std::int64_t>(1, elements_per_row));
  const std::int64_t ranges =
      std::clamp<std::int64_t>(rows / rows_worth_a_thread, 1, std::max<std::int64_t>(1, wanted));

  std::atomic<bool> out_of_memory = false;
  const auto run = [&](std::int64_t range) noexcept {
    // rows / ranges first: rows * range may pass 64 bits.
    const std::int64_t share = rows / ranges, rest = rows % ranges;
    const std::int64_t first = range * share + std::min(range, rest);
    try {
      body(first, first + share + (range < rest ? 1 : 0));
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  };

  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranges - 1));
  for (std::int64_t range = 1; range < ranges; ++range) {
    try {
      threads.emplace_back(run, range);
    } catch (const std::system_error&) {  // no further thread to be had
      run(range);
    }
  }
  run(0);
  for (std::thread& thread : threads) thread.join();
  if (out_of_memory) throw std::bad_alloc();
}

// Calls body(i, x) for each row, with room for its elements in x.
template <class Body>
void for_each_row(const cpu& where, std::int64_t rows, std::int64_t cols, const Body& body) {
  for_each_range(where, rows, cols, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> x(static_cast<std::size_t>(cols));
    for (std::int64_t i = first; i < last; ++i) body(i, std::span<double>(x));
  });
}

// The same with room for two rows.
template <class Body>
void for_each_row_pair(const cpu& where, std::int64_t rows, std::int64_t cols, const Body& body) {
  for_each_range(where, rows, cols, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> x(static_cast<std::size_t>(cols)), y(x.size());
    for (std::int64_t i = first; i < last; ++i) {
      body(i, std::span<double>(x), std::span<double>(y));
    }
  });
}

// The public functions are noexcept; the one thing that can fail in here is memory.
template <class Body>
status without_exceptions(const char* function, const Body& body) noexcept {
  try {
    body();
  } catch (const std::bad_alloc&) {
    return detail::failure(status_code::out_of_memory, function,
                           "no memory for a row in double precision");
  }
  return {};
}

}  // namespace culoss::reference
