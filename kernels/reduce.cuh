// Sums over the rows, in a fixed order: the divisor of a mean before a row kernel, the scalar loss
// after.
//
// Moves: rows * (bytes of a label, weight or row loss), once. Up to kRowsOfOneBlock rows one block
// of kTotalThreads adds all; beyond that each block adds a chunk of that many rows, and one block
// adds the partial sums. Thread t adds items t, t + kTotalThreads, ...; cub::BlockReduce adds the
// threads in its fixed tree. Sums are double: their rounding is far below that of the row losses.
#pragma once

#include <cub/block/block_reduce.cuh>

#include "kernels/math.cuh"

namespace culoss::kernels {

inline constexpr int kTotalThreads = 512;
inline constexpr long long kRowsOfOneBlock = 8192;

struct totals {
  double sum;
  long long count;
};

struct add_totals {
  __device__ totals operator()(const totals& a, const totals& b) const {
    return {a.sum + b.sum, a.count + b.count};
  }
};

// Items that were summed before.
struct sum_partials {
  const totals* partials;
  __device__ totals operator()(long long i) const { return partials[i]; }
};

// For items that are looked at, not summed.
struct no_item {
  __device__ totals operator()(long long) const { return {0.0, 0}; }
};
struct drop_total {
  __device__ void operator()(const totals&) const {}
};

// Writes a block's total where the last kernel finds it.
struct store_total {
  totals* out;
  __device__ void operator()(const totals& t) const { out[block_index()] = t; }
};

// Done gets the total of the items [begin, begin + chunk) of block `begin / chunk`.
template <class Item, class Done>
__global__ void __launch_bounds__(kTotalThreads)
    total_kernel(const Item item, long long items, long long chunk, const Done done) {
  using block_reduce = cub::BlockReduce<totals, kTotalThreads>;
  __shared__ typename block_reduce::TempStorage scratch;
  const long long begin = block_index() * chunk;
  if (begin >= items) return;
  const long long end = begin + chunk < items ? begin + chunk : items;
  totals mine{0.0, 0};
  for (long long i = begin + threadIdx.x; i < end; i += kTotalThreads) {
    mine = add_totals{}(mine, item(i));
  }
  const totals all = block_reduce(scratch).Reduce(mine, add_totals{});
  if (threadIdx.x == 0) done(all);
}

}  // namespace culoss::kernels
