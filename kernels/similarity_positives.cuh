// The positives of a tile of similarities, where equal ids are labels: what fold_tile leaves out.
//
//   fold_positives  compares the labels of all pairs above the diagonal (8 bytes a row and column)
//                   and reads, of the tile, the runs of four that hold a positive: at most 4 bytes an
//                   element, and none of 32 rows by 256 columns without one. Writes 20 bytes for
//                   each row and split, and for each column and 32 rows.
#pragma once

#include "kernels/similarity_tiles.cuh"

namespace culoss::kernels {

// Rows, columns and splits as in fold_tile. Positives are few where there are many labels, so rows
// and columns each take their own exponentials, about the largest of their own.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    fold_positives(const __grid_constant__ similarity_tile t, positive_state* row_partials,
                   positive_state* col_partials, int columns_of_split) {
  static_assert(kThreads == kFoldThreads && sizeof(positive_state) == sizeof(side_state));
  constexpr int kRows = kFoldRowsOfWarp, kSpan = kFoldColumnsOfLane;
  __shared__ positive_state of_warps[kFoldWarps][kFoldColumns];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = static_cast<int>(blockIdx.x) * kFoldRows + warp * kRows;
  const int begin = static_cast<int>(blockIdx.y) * columns_of_split;
  const int end = begin + columns_of_split < t.cols ? begin + columns_of_split : t.cols;

  positive_state mine[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) mine[i] = positive_state::none();
  for (int first = begin; first < end; first += kFoldColumns) {
    const int column[2] = {first + 4 * lane, first + 128 + 4 * lane};
    unsigned mask = 0;  // bit kSpan * i + k: column k of row i is a positive
#pragma unroll
    for (int k = 0; k < kSpan; ++k) {
      const int j = column[k / 4] + k % 4;
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const bool exists = row + i < t.rows && j < end;
        if (exists && t.has_same_id(row + i, j) && !t.is_repeated(row + i, j)) {
          mask |= 1u << (kSpan * i + k);
        }
      }
    }
    const int j = first + static_cast<int>(threadIdx.x);
    positive_state* const partial = col_partials + static_cast<long long>(blockIdx.x) * t.cols + j;
    if (__syncthreads_or(mask != 0) == 0) {
      if (j < end) *partial = positive_state::none();
      continue;
    }

    float x[kRows][kSpan];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const float scale = row + i < t.rows ? t.row_scale(row + i) : 0.0f;
#pragma unroll
      for (int run = 0; run < 2; ++run) {
        float four[4] = {};
        if ((mask >> (kSpan * i + 4 * run) & 15u) != 0) t.load(row + i, column[run], 0.0f, four);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const bool positive = (mask >> (kSpan * i + 4 * run + k) & 1u) != 0;
          float l = four[k] * scale * (positive ? t.col_norm(column[run] + k) : 0.0f);
          l = fmaf(l, 0.0f, l);  // an infinite one is NaN, as in fold_tile
          x[i][4 * run + k] = positive ? l : -INFINITY;
        }
      }
    }
    const auto add = [](positive_state& s, float l, bool positive) {
      const float z = l - shift_of(s.shift), e = exp2_approx(z);
      s.sum += e;
      s.moment += positive ? e * z : 0.0f;
      s.plain += positive ? z : 0.0f;
      s.count += positive ? 1 : 0;
    };
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      positive_state s = positive_state::none();
#pragma unroll
      for (int k = 0; k < kSpan; ++k) s.shift = fmaxf(s.shift, x[i][k]);
#pragma unroll
      for (int k = 0; k < kSpan; ++k) add(s, x[i][k], (mask >> (kSpan * i + k) & 1u) != 0);
      mine[i] = merge(mine[i], s);
    }
#pragma unroll
    for (int k = 0; k < kSpan; ++k) {
      positive_state s = positive_state::none();
#pragma unroll
      for (int i = 0; i < kRows; ++i) s.shift = fmaxf(s.shift, x[i][k]);
#pragma unroll
      for (int i = 0; i < kRows; ++i) add(s, x[i][k], (mask >> (kSpan * i + k) & 1u) != 0);
      of_warps[warp][column[k / 4] + k % 4 - first] = s;
    }
    __syncthreads();
    if (j < end) {
      positive_state s = of_warps[0][threadIdx.x];
      for (int w = 1; w < kFoldWarps; ++w) s = merge(s, of_warps[w][threadIdx.x]);
      *partial = s;
    }
    // The next barrier, before of_warps is written again, is that of the next columns' masks.
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const positive_state all = merge_lanes<32>(
        mine[i], [](const positive_state& a, const positive_state& b) { return merge(a, b); });
    if (lane == 0 && row + i < t.rows) {
      row_partials[static_cast<long long>(blockIdx.y) * t.rows + row + i] = all;
    }
  }
}

// Labels as ids.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    widen_labels(const labels from, long long rows, long long* out) {
  const long long i = block_index() * kThreads + threadIdx.x;
  if (i < rows) out[i] = from[i];
}

}  // namespace culoss::kernels
