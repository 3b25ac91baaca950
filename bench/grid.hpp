// The rows of the sweep: what is called, on which type and size, and the bytes it must move or the
// operations it must do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/device.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {

using culoss_test::element;

// One function over similarities. linear_cross_entropy: rows are hidden states, keys the classes'
// weights. info_nce: in the batch, and against the negatives where there are some; info_nce_queue:
// against the negatives alone. batch_hard: mined_triplet of a batch. nt_xent, sup_con: rows are all
// embeddings, cols as many.
enum class loss {
  info_nce,
  info_nce_queue,
  clip,
  batch_hard,
  nt_xent,
  sup_con,
  siglip,
  linear_cross_entropy,
};
struct row_loss;  // row_losses.hpp has the table of all others

enum class mode {
  forward,
  backward,  // from what a forward left
  fused,     // loss and gradient in one call
  in_place,  // likewise, the gradient over the input
  both,      // loss and the gradients of both inputs in one call
};

// cold: each call works on other memory than the last ones, so that nothing of it is in the cache.
enum class cache_state { cold, hot };

// The workspace of a loss over similarities: all that buys something, whatever the library makes of
// it; what it needs to run well where it is asked to compute them twice, or to keep exponentials in
// 16 bits; none, on the CPU.
enum class room { best, recompute, kept, none };

// Memory that all rows share. Numbers that nothing may write to, standard normal or uniform in
// [0, 1); outputs; a second output or a workspace.
enum region { kNormals, kOutput, kSecond, kUniforms, kRegions };
using region_bytes = std::array<std::size_t, kRegions>;

struct sweep_row {
  const row_loss* entry = nullptr;  // null: over similarities
  culoss::bench::loss loss = loss::info_nce;
  culoss::bench::mode mode = mode::fused;
  culoss_test::element type = element::float32;
  std::int64_t rows = 0, cols = 0;  // of the matrix; over similarities, numbers of queries and keys
  cache_state state = cache_state::hot;
  std::int64_t inner = 0;  // of strided logits: positions of an image; rows are positions
  std::int64_t negatives = 0, dimension = 0;
  culoss::bench::room room = room::none;

  // cross_entropy/fused/bf16/rows:8192/cols:128256/cold
  // info_nce_own/fused/bf16/rows:8192/negatives:64/dim:512/cold, where cols are negatives * dim
  // cross_entropy_strided/fused/bf16/n:8/cols:19/inner:262144/cold
  // clip/fused/bf16/batch:32768/negatives:0/dim:768/best
  std::string name() const;
  std::string loss_name() const;
  bool over_similarities() const { return entry == nullptr; }
  bool with_itself() const { return loss == loss::nt_xent || loss == loss::sup_con; }
  std::size_t matrix_bytes() const;
  // Of a row loss: bytes that any implementation must move, each input read once, each output
  // written once.
  std::size_t floor_bytes() const;
  // Distinct sets of buffers that the calls of a sample go through.
  int copies(const device_description& on) const;
  // The yardstick: what gives only losses reads, everything else also writes.
  transfer yardstick() const;
};

const char* name_of(loss value);
const char* name_of(mode value);
const char* name_of(cache_state value);
const char* name_of(room value);

enum class form { standard, full, smoke };  // smoke: every function once or twice, small

// In the order of importance, so that a limit of time cuts the least of it. Without what does not
// fit the device's memory; `left_out` counts that.
std::vector<sweep_row> grid(form wanted, const device_description& on, int* left_out);

// Memory for each of the regions, of the row that needs the most of it.
region_bytes regions_of(const std::vector<sweep_row>& rows, const device_description& on);

}  // namespace culoss::bench
