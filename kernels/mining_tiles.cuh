// Mining on tiles of a Gram matrix S = X X^T: for each anchor the few columns among which its
// farthest positive and its nearest negative must be, though S is rounded.
//
// What is minimized is a value of (anchor, column), exactly: of negatives |x_i - x_j|^2, or
// 1 - cos, of positives the same negated. S bounds it from below, with n_i = |x_i|^2,
// r_i = 1 / |x_i| and u = 2^-24:
//
//   |x_i - x_j|^2 = n_i + n_j - 2 S_ij +- (2 D + 16) u (n_i + n_j): the product of D terms is off by
//     2 D u |x_i| |x_j| (tensor cores truncate), which 2 S doubles and |x_i| |x_j| <= (n_i + n_j) / 2
//     halves; 8 u for the other roundings, and as much again
//   1 - cos = 1 - r_i r_j S_ij +- (2 D + 16) u
//   with TF32 each factor loses 2^-10 more; products below float's range are lost: D 2^-126
//
// A row keeps the columns of the least bounds: whatever it does not keep has a value of at least the
// largest bound that it does. A bound that is not finite bounds nothing: -inf.
//
//   mine_tile  reads the tile once (4 bytes an element) and reduces it to row states, which
//              merge_states merges. Beside it, for four rows at a time, 12 bytes of each column.
#pragma once

#include "kernels/similarity_state.cuh"
#include "kernels/similarity_tiles.cuh"
#include "kernels/warp.cuh"

namespace culoss::kernels {

inline constexpr int kMinedColumns = 128;  // of a warp at a time, four a lane
inline constexpr int kKept = 4;

// The kKept columns of the least (bound, index), in that order; kNoIndex where there are fewer.
struct least_columns {
  float bound[kKept];
  int index[kKept];

  __device__ static least_columns none() {
    least_columns s;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      s.bound[k] = INFINITY;
      s.index[k] = kNoIndex;
    }
    return s;
  }
  __device__ bool full() const { return index[kKept - 1] != kNoIndex; }
  __device__ float last_bound() const { return bound[kKept - 1]; }
  __device__ void insert(float b, int i) {
    const auto before = [](float x, int m, float y, int n) { return x < y || (x == y && m < n); };
    if (!before(b, i, bound[kKept - 1], index[kKept - 1])) return;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      const bool here = before(b, i, bound[k], index[k]);
      const float next_bound = here ? bound[k] : b;
      const int next_index = here ? index[k] : i;
      bound[k] = here ? b : bound[k];
      index[k] = here ? i : index[k];
      b = next_bound;
      i = next_index;
    }
  }
};
// Columns stand on one side only.
__device__ inline least_columns merge(least_columns a, const least_columns& b) {
#pragma unroll
  for (int k = 0; k < kKept; ++k) a.insert(b.bound[k], b.index[k]);
  return a;
}

// How far the value that a product stands for may be from what is made of it.
struct product_error {
  float relative;
  float least;
};

struct mining_tile {
  const float* s;
  long long ld;
  int rows, cols;
  const float* row_sizes;  // |x|^2, or 1 / |x| with `cosine`
  const float* col_sizes;
  const long long* row_labels;
  const long long* col_labels;
  long long ignore_index;
  bool cosine;
  product_error error;
  bool positives, negatives;  // which are looked for
  const float* above;         // or null; negatives must be farther than this
  int row_index;              // of row 0, column 0 among all
  int col_index;

  struct range {
    float low, high;
  };
  __device__ range value(float row_size, float col_size, float x) const {
    if (cosine) {
      const float both = row_size * col_size;
      return {(1.0f - error.relative) - both * (x + error.least),
              (1.0f + error.relative) - both * (x - error.least)};
    }
    const float both = row_size + col_size;
    return {both * (1.0f - error.relative) - 2.0f * x - error.least,
            both * (1.0f + error.relative) - 2.0f * x + error.least};
  }
};

struct mining_outputs {
  least_columns* positives;  // [splits][rows]
  least_columns* negatives;
};

// Block (x, y): rows [32 x, 32 x + 32), the y-th split of the columns; four rows a warp.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 2)
    mine_tile(const __grid_constant__ mining_tile t, const __grid_constant__ mining_outputs out,
              int columns_of_split) {
  constexpr int kRows = kFoldRowsOfWarp;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = static_cast<int>(blockIdx.x) * kFoldRows + warp * kRows;
  const int begin = static_cast<int>(blockIdx.y) * columns_of_split;
  const int end = begin + columns_of_split < t.cols ? begin + columns_of_split : t.cols;
  if (row >= t.rows) return;

  least_columns far[kRows], near[kRows];
  float size[kRows];
  long long label[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    far[i] = near[i] = least_columns::none();
    const bool exists = row + i < t.rows;
    size[i] = exists ? t.row_sizes[row + i] : 0.0f;
    label[i] = exists ? t.row_labels[row + i] : t.ignore_index;
  }
  for (int first = begin + 4 * lane; first < end; first += kMinedColumns) {
    float x[kRows][4];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const float* const at = t.s + (row + i) * t.ld + first;  // ld and first: multiples of 4
      const bool whole = row + i < t.rows && first + 4 <= t.cols;
      const float4 v =
          whole ? __ldcg(reinterpret_cast<const float4*>(at)) : make_float4(0, 0, 0, 0);
      x[i][0] = v.x;
      x[i][1] = v.y;
      x[i][2] = v.z;
      x[i][3] = v.w;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (!whole && row + i < t.rows && first + k < t.cols) x[i][k] = __ldcg(at + k);
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int j = first + k;
      if (j >= end) break;
      const float col_size = t.col_sizes[j];
      const long long col_label = t.col_labels[j];
      if (col_label == t.ignore_index) continue;
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (label[i] == t.ignore_index) continue;
        const int index = t.col_index + j;
        const mining_tile::range v = t.value(size[i], col_size, x[i][k]);
        if (label[i] == col_label) {
          if (t.positives && index != t.row_index + row + i) {
            far[i].insert(isfinite(v.high) ? -v.high : -INFINITY, index);
          }
        } else if (t.negatives && !(t.above != nullptr && v.high < t.above[row + i])) {
          near[i].insert(isfinite(v.low) ? v.low : -INFINITY, index);
        }
      }
    }
  }
  const auto both = [](const least_columns& a, const least_columns& b) { return merge(a, b); };
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const long long at = static_cast<long long>(blockIdx.y) * t.rows + row + i;
    if (t.positives) {
      const least_columns all = merge_lanes<32>(far[i], both);
      if (lane == 0 && row + i < t.rows) out.positives[at] = all;
    }
    if (t.negatives) {
      const least_columns all = merge_lanes<32>(near[i], both);
      if (lane == 0 && row + i < t.rows) out.negatives[at] = all;
    }
  }
}

}  // namespace culoss::kernels
