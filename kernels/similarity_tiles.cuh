// The two kernels between the matrix products of a loss over similarities.
//
// A tile S = Q K^T is float, row-major, on the raw embeddings; l_ij = S_ij * (bits * r_i) * c_j
// with r_i = 1 / |q_i| and c_j = 1 / |k_j|, or 1. A mask adds a byte an element to what each kernel
// reads, ids nothing.
//
//   fold_tile      reads the tile once (4 bytes an element) and reduces it to row states and,
//                  where asked, column states, from one exponential an element; merge_states
//                  merges partial states in a fixed order
//                  Where the exponentials are kept it writes them too, in 16 bits (4 + 2 bytes an
//                  element, and 4 for the shift of each 256): similarity_kept.cuh turns them into G
//   gradient_tile  reads it once and writes G_ij = dl_ij r_i c_j in the embeddings' type (4 + 2
//                  bytes), the positive's -1 folded in before rounding
#pragma once

#include "kernels/kept_exponentials.cuh"
#include "kernels/similarity_state.cuh"
#include "kernels/vector_io.cuh"
#include "kernels/warp.cuh"

namespace culoss::kernels {

inline constexpr int kFoldThreads = 256, kFoldWarps = kFoldThreads / 32;
inline constexpr int kFoldRowsOfWarp = 4;
inline constexpr int kFoldRows = kFoldWarps * kFoldRowsOfWarp;  // of a block
inline constexpr int kFoldColumnsOfLane = 8;
inline constexpr int kFoldColumns = 32 * kFoldColumnsOfLane;  // at a time
inline constexpr int kGradientThreads = 256, kGradientRowsOfWarp = 4;
inline constexpr int kGradientRows = kGradientThreads / 32 * kGradientRowsOfWarp;  // of a block

// How far below the rows' shift a column's largest element may lie before the column takes its own
// exponentials: float's 2^-126 is far enough below 2^-60 for the rest of the column.
inline constexpr float kFarBits = 60.0f;

struct similarity_tile {
  const float* s;
  long long ld;
  int rows, cols;
  const call_numbers* numbers;
  const float* row_norms;  // r_i of the tile's rows, or null: 1
  const float* col_norms;
  const long long* row_ids;  // or null: nothing is masked by ids
  const long long* col_ids;
  const unsigned char* mask;  // or null; (i, j) at i * mask_ld + j
  long long mask_ld;
  long long positive;  // column of row 0's positive in this tile (row i's is i further)
  bool has_positive;   // whether these columns hold positives at all
  int row_index;       // of row 0, column 0 among all: for ties
  int col_index;

  __device__ float row_scale(int i) const {
    const float r = row_norms != nullptr ? row_norms[i] : 1.0f;
    return numbers->bits * r;
  }
  __device__ float col_norm(int j) const { return col_norms != nullptr ? col_norms[j] : 1.0f; }
  __device__ bool is_positive(int i, int j) const { return has_positive && j - i == positive; }
  __device__ bool has_same_id(int i, int j) const {
    return row_ids != nullptr && row_ids[i] == col_ids[j];
  }
  __device__ bool is_masked(int i, int j) const {
    return has_same_id(i, j) || (mask != nullptr && mask[i * mask_ld + j] != 0);
  }
  // Which of the columns [j, j + 4) of row i are masked: bit k says so of column j + k.
  __device__ unsigned masked_four(int i, int j) const {
    unsigned bits = 0;
    if (row_ids != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (j + k < cols && has_same_id(i, j + k)) bits |= 1u << k;
      }
    }
    if (mask != nullptr) {
      const unsigned char* const at = mask + i * mask_ld + j;
      const bool whole = j + 4 <= cols && reinterpret_cast<std::uintptr_t>(at) % 4 == 0;
      const unsigned word = whole ? *reinterpret_cast<const unsigned*>(at) : 0u;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const unsigned byte = whole ? word >> (8 * k) & 0xffu : j + k < cols ? at[k] : 0u;
        if (byte != 0) bits |= 1u << k;
      }
    }
    return bits;
  }
  // Whether element (j, i) of a symmetric matrix stands for this one, or it is a vector's with
  // itself: on and below the diagonal.
  __device__ bool is_repeated(int i, int j) const { return j - i <= row_index - col_index; }
  // Whether columns [j, j + n) hold a positive of the rows [i, i + m).
  __device__ bool meets_positives(int i, int m, int j, int n) const {
    return has_positive && j + n > i + positive && j < i + m + positive;
  }
  // Columns [j, j + kCount) of row i; `absent` where there are none. ld is a multiple of 4.
  template <int kCount>
  __device__ void load(int i, int j, float absent, float (&x)[kCount]) const {
    const float* const at = s + i * ld + j;
    if (i < rows && j + kCount <= cols) {
#pragma unroll
      for (int k = 0; k < kCount; k += 4) {
        const float4 v = __ldcg(reinterpret_cast<const float4*>(at + k));
        x[k] = v.x;
        x[k + 1] = v.y;
        x[k + 2] = v.z;
        x[k + 3] = v.w;
      }
      return;
    }
#pragma unroll
    for (int k = 0; k < kCount; ++k) x[k] = i < rows && j + k < cols ? __ldcg(at + k) : absent;
  }
};

struct fold_outputs {
  side_state* row_partials;  // [splits][rows]
  side_state* col_partials;  // [row blocks][cols], or null
  float* targets;            // [rows]: l of the positives that are met
  // Where a block has all columns of its rows: their states, and whether nothing stands there yet.
  side_state* row_states;
  bool first;
  kept_exponentials kept;
};

// kSelf: rows and columns are the same vectors, and a pair counts once, above the diagonal.
//
// Block (x, y): rows [32 x, 32 x + 32), the y-th split of the columns. A lane keeps the states of
// its own columns of four rows; a row's shift is that lane's running maximum, and the columns use
// the same exponentials, 2^(l - row shift) * 2^(row shift - column shift).
// Kept: the embeddings' type if the exponentials are kept. They are about the largest of 256
// columns of their row then.
template <bool kColumns, class Kept = void, bool kSelf = false>
__global__ void __launch_bounds__(kFoldThreads)
    fold_tile(const __grid_constant__ similarity_tile t, const __grid_constant__ fold_outputs out,
              int columns_of_split) {
  constexpr int kRows = kFoldRowsOfWarp, kSpan = kFoldColumnsOfLane;
  constexpr bool kKeeps = !std::is_void_v<Kept>;
  __shared__ side_state of_warps[kColumns ? kFoldWarps : 1][kColumns ? kFoldColumns : 1];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int block_row = static_cast<int>(blockIdx.x) * kFoldRows;
  const int row = block_row + warp * kRows;
  const int begin = static_cast<int>(blockIdx.y) * columns_of_split;
  const int end = begin + columns_of_split < t.cols ? begin + columns_of_split : t.cols;

  side_state mine[kRows];
  float scale[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    mine[i] = side_state::none();
    scale[i] = row + i < t.rows ? t.row_scale(row + i) : 0.0f;
  }
  for (int first = begin; first < end; first += kFoldColumns) {
    // A lane's columns: two runs of four, so that a warp reads 512 bytes at once.
    const int column[2] = {first + 4 * lane, first + 128 + 4 * lane};
    const bool positives = t.meets_positives(row, kRows, first, kFoldColumns);
    float x[kRows][kSpan], norm[kSpan];
#pragma unroll
    for (int k = 0; k < kSpan; ++k) {
      const int j = column[k / 4] + k % 4;
      norm[k] = j < end ? t.col_norm(j) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float four[4];
        t.load(row + i, column[half], 0.0f, four);
#pragma unroll
        for (int k = 0; k < 4; ++k) x[i][4 * half + k] = four[k];
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int run = 0; run < 2; ++run) {
        const bool in_tile = row + i < t.rows;
        const unsigned masked = in_tile ? t.masked_four(row + i, column[run]) : 0u;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int k = 4 * run + e, j = column[run] + e;
          const bool exists = in_tile && j < end && !(kSelf && t.is_repeated(row + i, j));
          float l = x[i][k] * scale[i] * norm[k];
          l = fmaf(l, 0.0f, l);  // an infinite one is NaN: -inf would be a masked column
          if (positives && exists && t.is_positive(row + i, j)) {
            out.targets[row + i] = l;
            l = -INFINITY;
          } else if ((masked >> e & 1u) != 0) {
            l = -INFINITY;
          }
          x[i][k] = exists ? l : -INFINITY;
        }
      }
    }

    float about[kRows], e[kRows][kSpan];  // the shift of these exponentials
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float best = kKeeps ? -INFINITY : mine[i].best;
      int index = kKeeps ? kNoIndex : mine[i].index;
#pragma unroll
      for (int k = 0; k < kSpan; ++k) {
        const bool larger = x[i][k] > best;
        best = larger ? x[i][k] : best;
        index = larger ? t.col_index + column[k / 4] + k % 4 : index;
      }
      about[i] = best;
      if constexpr (kKeeps) {
        about[i] = merge_lanes<32>(best, [](float a, float b) { return fmaxf(a, b); });
      }
      const float shift = shift_of(about[i]);
      float sum = 0.0f, moment = 0.0f;
#pragma unroll
      for (int k = 0; k < kSpan; ++k) {
        const float z = x[i][k] - shift;
        e[i][k] = exp2_approx(z);
        sum += e[i][k];
        moment += z == -INFINITY ? 0.0f : e[i][k] * z;
      }
      if constexpr (kKeeps) {
        mine[i] = merge(mine[i], side_state{about[i], sum, moment, best, index});
        continue;
      }
      const float shrink = exp2_approx(mine[i].shift - shift);
      mine[i].moment =
          moved_moment(mine[i].moment, mine[i].sum, mine[i].shift, shift) * shrink + moment;
      mine[i].sum = mine[i].sum * shrink + sum;
      mine[i].shift = best;
      mine[i].best = best;
      mine[i].index = index;
    }

    if constexpr (kKeeps) {
      out.kept.template store<Kept>(row, t.rows, first, (end + 7) / 8 * 8, about, e);
    }
    if constexpr (kColumns) {
      float top = -INFINITY;  // of the rows' shifts: one for all columns of the lane
#pragma unroll
      for (int i = 0; i < kRows; ++i) top = fmaxf(top, about[i]);
      float down[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) down[i] = exp2_approx(about[i] - shift_of(top));
#pragma unroll
      for (int k = 0; k < kSpan; ++k) {
        side_state c = side_state::none();
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const bool larger = x[i][k] > c.best;
          c.best = larger ? x[i][k] : c.best;
          c.index = larger ? t.row_index + row + i : c.index;
        }
        const bool far = top - c.best > kFarBits;
        c.shift = far ? c.best : top;
        const float by = shift_of(c.shift);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const float z = x[i][k] - by;
          const float f = far ? exp2_approx(z) : e[i][k] * down[i];
          c.sum += f;
          c.moment += z == -INFINITY ? 0.0f : f * z;
        }
        of_warps[warp][column[k / 4] + k % 4 - first] = c;
      }
      __syncthreads();
      const int j = first + static_cast<int>(threadIdx.x);
      if (j < end) {
        side_state c = of_warps[0][threadIdx.x];
        for (int w = 1; w < kFoldWarps; ++w) c = merge(c, of_warps[w][threadIdx.x]);
        out.col_partials[static_cast<long long>(blockIdx.x) * t.cols + j] = c;
      }
      __syncthreads();
    }
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const side_state all = merge_lanes<32>(
        mine[i], [](const side_state& a, const side_state& b) { return merge(a, b); });
    if (lane != 0 || row + i >= t.rows) continue;
    if (out.row_states != nullptr) {
      side_state& state = out.row_states[row + i];
      state = out.first ? all : merge(state, all);
    } else {
      out.row_partials[static_cast<long long>(blockIdx.y) * t.rows + row + i] = all;
    }
  }
}

inline constexpr int kMergeItems = 32, kMergeParts = kFoldThreads / kMergeItems;

template <class State>
struct merge_job {
  State* states;
  const State* partials;
  int count, items;
  bool first;
};

// states[i] = (first ? nothing : states[i]) merged with partials[0][i], partials[1][i], ... in
// order, for the items of a block: eight threads an item, each for a run of partials.
template <class State>
__device__ void merge_items(const merge_job<State>& job, int block) {
  __shared__ State parts[kMergeParts][kMergeItems];
  const int lane = static_cast<int>(threadIdx.x) % kMergeItems;
  const int part = static_cast<int>(threadIdx.x) / kMergeItems;
  const int i = block * kMergeItems + lane;
  const int of_a_part = (job.count + kMergeParts - 1) / kMergeParts;
  const int begin = part * of_a_part;
  const int end = begin + of_a_part < job.count ? begin + of_a_part : job.count;
  State s = State::none();
  if (i < job.items) {
    for (int k = begin; k < end; ++k) {
      s = merge(s, job.partials[static_cast<long long>(k) * job.items + i]);
    }
  }
  parts[part][lane] = s;
  __syncthreads();
  if (part != 0 || i >= job.items) return;
  s = job.first ? State::none() : job.states[i];
  for (int k = 0; k < kMergeParts; ++k) s = merge(s, parts[k][lane]);
  job.states[i] = s;
}

template <class State>
__global__ void __launch_bounds__(kFoldThreads)
    merge_states(State* states, const State* partials, int count, int items, bool first) {
  merge_items(merge_job<State>{states, partials, count, items, first},
              static_cast<int>(blockIdx.x));
}

// Of a tile's rows, and in the blocks after theirs of its columns.
template <class State>
__global__ void __launch_bounds__(kFoldThreads)
    merge_both_states(const merge_job<State> rows, const merge_job<State> cols) {
  const int blocks = (rows.items + kMergeItems - 1) / kMergeItems;
  const int block = static_cast<int>(blockIdx.x);
  const bool of_rows = block < blocks;
  merge_items(of_rows ? rows : cols, of_rows ? block : block - blocks);
}

struct gradient_sides {
  const side_coefficients* rows;  // of the tile's rows
  const side_coefficients* cols;  // likewise, or null: one direction only
  // kSelf: where pairs with equal ids are positives; null: they are masked.
  const positive_coefficients* row_positives = nullptr;
  const positive_coefficients* col_positives = nullptr;
};

// Four columns at `at`: one access of 8 or 16 bytes.
template <class T>
__device__ void store_four(T* at, const float (&x)[4]) {
  *reinterpret_cast<typename quad<T>::raw_type*>(at) = quad<T>::of(x).raw;
}

// A warp takes four rows, so that what belongs to a column is loaded once for them; a lane two runs
// of four columns, as in fold_tile.
template <class T, bool kSelf = false>
__global__ void __launch_bounds__(kGradientThreads)
    gradient_tile(const __grid_constant__ similarity_tile t,
                  const __grid_constant__ gradient_sides sides, T* g, long long ld) {
  constexpr int kRows = kGradientRowsOfWarp, kSpan = kFoldColumnsOfLane;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = static_cast<int>(blockIdx.x) * kGradientRows + warp * kRows;
  if (row >= t.rows) return;
  const float column_factor = t.numbers->column_factor, row_factor = t.numbers->row_factor;
  const int stride = static_cast<int>(gridDim.y) * kFoldColumns;
  for (int first = static_cast<int>(blockIdx.y) * kFoldColumns; first < t.cols; first += stride) {
    const int column[2] = {first + 4 * lane, first + 128 + 4 * lane};
    const bool positives = t.meets_positives(row, kRows, first, kFoldColumns);
    float x[kRows][kSpan], norm[kSpan];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int run = 0; run < 2; ++run) {
        float four[4];
        t.load(row + i, column[run], 0.0f, four);
#pragma unroll
        for (int k = 0; k < 4; ++k) x[i][4 * run + k] = four[k];
      }
    }
    side_coefficients of_column[kSpan] = {};
#pragma unroll
    for (int k = 0; k < kSpan; ++k) {
      const int j = column[k / 4] + k % 4;
      norm[k] = j < t.cols ? t.col_norm(j) : 0.0f;
      if (sides.cols != nullptr && j < t.cols) of_column[k] = sides.cols[j];
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (row + i >= t.rows) break;
      const side_coefficients of_row = sides.rows[row + i];
      const float scale = t.row_scale(row + i);
      const float r = (t.row_norms != nullptr ? t.row_norms[row + i] : 1.0f) * row_factor;
      T* const at = g + (row + i) * ld;
#pragma unroll
      for (int run = 0; run < 2; ++run) {
        float d[4];
        const unsigned masked = t.masked_four(row + i, column[run]);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int k = 4 * run + e, j = column[run] + e;
          const float l = x[i][k] * scale * norm[k];
          const side_coefficients& c = of_column[k];
          d[e] = of_row.slope * exp2_approx(l - of_row.shift);
          if (sides.cols != nullptr) d[e] += c.slope * exp2_approx(l - c.shift);
          if (positives && t.is_positive(row + i, j)) {
            d[e] = of_row.target + c.target;
          } else if (kSelf && t.is_repeated(row + i, j)) {
            d[e] = 0.0f;
          } else if ((masked >> e & 1u) != 0) {
            d[e] = 0.0f;
            if (kSelf && sides.row_positives != nullptr) {
              d[e] = of_row.target * sides.row_positives[row + i].term(l) +
                     c.target * sides.col_positives[j].term(l);
            }
          }
          d[e] *= r * (norm[k] * column_factor);
        }
        if (column[run] + 4 <= t.cols) {  // ld is a multiple of 8
          store_four(at + column[run], d);
          continue;
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (column[run] + e < t.cols) at[column[run] + e] = from_float<T>(d[e]);
        }
      }
    }
  }
}

}  // namespace culoss::kernels
