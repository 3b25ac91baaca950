// The rows of the sweep: what is called, on which type and size, and the bytes it must move or the
// operations it must do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/device.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {

using culoss_test::element;

// info_nce: in the batch, and against the negatives where there are some; info_nce_queue: against
// the negatives alone.
enum class loss { cross_entropy, softmax, log_softmax, info_nce, info_nce_queue, clip };
enum class mode { forward, backward, fused };  // fused: loss and gradient in one call

// cold: each call works on other memory than the last ones, so that nothing of it is in the cache.
enum class cache_state { cold, hot };

// The workspace of a loss over similarities: all that buys something; what computing them twice
// needs to run well, where that is less; none, on the CPU.
enum class room { best, recompute, none };

struct sweep_row {
  culoss::bench::loss loss = loss::cross_entropy;
  culoss::bench::mode mode = mode::fused;
  culoss_test::element type = element::float32;
  std::int64_t rows = 0, cols = 0;  // of the matrix; over similarities, numbers of queries and keys
  cache_state state = cache_state::hot;
  std::int64_t negatives = 0, dimension = 0;
  culoss::bench::room room = room::none;

  // cross_entropy/fused/bf16/rows:8192/cols:128256/cold
  // clip/fused/bf16/batch:32768/negatives:0/dim:768/best
  std::string name() const;
  bool over_similarities() const { return loss >= loss::info_nce; }
  std::size_t matrix_bytes() const;
  // Of a row loss: bytes that any implementation must move, each input read once, each output
  // written once.
  std::size_t floor_bytes() const;
  // Distinct sets of buffers that the calls of a sample go through.
  int copies(const device_description& on) const;
  // The yardstick: a forward of cross-entropy only reads, everything else also writes.
  transfer yardstick() const;
};

const char* name_of(loss value);
const char* name_of(mode value);
const char* name_of(cache_state value);
const char* name_of(room value);

enum class form { standard, full };

// In the order of importance, so that a limit of time cuts the least of it. Without what does not
// fit the device's memory; `left_out` counts that.
std::vector<sweep_row> grid(form wanted, const device_description& on, int* left_out);

// Memory for each of the matrices, kRegions at most, of the largest row.
inline constexpr std::size_t kRegions = 3;
std::size_t matrix_region_bytes(const std::vector<sweep_row>& rows, const device_description& on);

}  // namespace culoss::bench
