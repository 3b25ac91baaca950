// How many rows' logits a call of linear_cross_entropy has at a time, by its shape and the bytes
// that it may use. Host arithmetic alone.
#pragma once

#include <algorithm>
#include <cstdint>

namespace culoss::detail {

// Enough rows that each pass over the float gradient of the weights, 8 bytes an element, is short
// beside the product that it belongs to, 2 operations an element and row; and fewer logits than
// take this many bytes.
inline constexpr std::int64_t kMostChunkBytes = std::int64_t{2} << 30;
inline constexpr std::int64_t kChunkStep = 128;     // rows of cuBLAS' tiles
inline constexpr std::int64_t kSmallChunkStep = 8;  // below that many
inline constexpr std::int64_t kLeastChunk = 8;

constexpr std::int64_t ceil_to(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

// Chunks of about equal size, not more of them than with chunks of `most` rows.
constexpr std::int64_t balanced_chunk(std::int64_t rows, std::int64_t most) {
  if (rows <= most) return rows;
  const std::int64_t chunks = (rows + most - 1) / most, even = (rows + chunks - 1) / chunks;
  return std::min(most, ceil_to(even, most >= kChunkStep ? kChunkStep : kSmallChunkStep));
}

constexpr std::int64_t best_chunk(std::int64_t rows, std::int64_t logit_pitch) {
  const std::int64_t most = kMostChunkBytes / 4 / logit_pitch / kChunkStep * kChunkStep;
  return balanced_chunk(rows, std::max(most, kChunkStep));
}
constexpr std::int64_t least_chunk(std::int64_t rows) { return std::min(rows, kLeastChunk); }

// The largest chunk that the bytes hold; the least one where they hold none. needed(n): bytes with
// chunks of n rows.
template <class Needed>
std::int64_t choose_chunk(std::int64_t rows, std::int64_t logit_pitch, std::size_t bytes,
                          const Needed& needed) {
  const std::int64_t best = best_chunk(rows, logit_pitch), least = least_chunk(rows);
  if (needed(best) <= bytes) return best;
  std::int64_t low = least, high = best;  // low fits, or nothing does; high does not
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (needed(middle) <= bytes ? low : high) = middle;
  }
  const std::int64_t step = low >= kChunkStep ? kChunkStep : kSmallChunkStep;
  return balanced_chunk(rows, std::max(least, low / step * step));
}

}  // namespace culoss::detail
