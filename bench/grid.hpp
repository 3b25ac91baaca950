// The rows of the sweep: what is called, on which type and size, and the bytes it must move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/device.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {

using culoss_test::element;

enum class loss { cross_entropy, softmax, log_softmax };
enum class mode { forward, backward, fused };  // fused: loss and gradient in one call

// cold: each call works on other memory than the last ones, so that nothing of it is in the cache.
enum class cache_state { cold, hot };

struct sweep_row {
  culoss::bench::loss loss = loss::cross_entropy;
  culoss::bench::mode mode = mode::fused;
  culoss_test::element type = element::float32;
  std::int64_t rows = 0, cols = 0;
  cache_state state = cache_state::hot;

  std::string name() const;  // cross_entropy/fused/bf16/rows:8192/cols:128256/cold
  std::size_t matrix_bytes() const;
  // Bytes that any implementation must move: each input read once, each output written once.
  std::size_t floor_bytes() const;
  // Distinct sets of buffers that the calls of a sample go through.
  int copies(const device_description& on) const;
  // The yardstick: a forward of cross-entropy only reads, everything else also writes.
  transfer yardstick() const;
};

const char* name_of(loss value);
const char* name_of(mode value);
const char* name_of(cache_state value);

enum class form { standard, full };

// In the order of importance, so that a limit of time cuts the least of it. Without what does not
// fit the device's memory; `left_out` counts that.
std::vector<sweep_row> grid(form wanted, const device_description& on, int* left_out);

// Memory for each of the matrices, kRegions at most, of the largest row.
inline constexpr std::size_t kRegions = 3;
std::size_t matrix_region_bytes(const std::vector<sweep_row>& rows, const device_description& on);

}  // namespace culoss::bench
