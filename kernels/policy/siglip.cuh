// SigLIP: every pair of a row and a column is a decision of its own, so that a tile of similarities
// gives its losses and its gradient at once. With z = l + bias, y = -t z:
//
//   e = exp(-|z|), r = 1 / (1 + e)
//   loss = softplus(y) = max(y, 0) + log1p(e)     dl = -t sigmoid(y), sigmoid(y) = y >= 0 ? r : e r
//
// log1p(e) of several pairs is one logarithm: prod (1 + e_k) = 1 + p with p <- p + e + p e, where
// nothing cancels and no small e is lost.
//
//   pair_tile     reads a tile once (4 bytes an element), writes G_ij = dl_ij r_i c_j in the
//                 embeddings' type (2 or 4 bytes; nothing for the loss alone), and 32 bytes for
//                 each row of each split of the columns; merge_states adds these up in their order
//   finish_pairs  turns a row's sums into its loss and its parts of the scalars
#pragma once

#include "kernels/similarity_call.cuh"
#include "kernels/similarity_tiles.cuh"

namespace culoss::kernels {

// What a row's pairs add up to: in float in a lane, whose pairs are few, in double beyond.
struct pair_sums {
  double loss;
  double scale;  // sum dl l
  double bias;   // sum dl
  float best;    // the largest l but the positive's
  int index;     // where it stands first

  __device__ static pair_sums none() { return {0.0, 0.0, 0.0, -INFINITY, kNoIndex}; }
};

__device__ inline pair_sums merge(const pair_sums& a, const pair_sums& b) {
  const bool take_b = b.best > a.best || (b.best == a.best && b.index < a.index);
  return {a.loss + b.loss, a.scale + b.scale, a.bias + b.bias, take_b ? b.best : a.best,
          take_b ? b.index : a.index};
}

// 1 / x for x in [1, 2], or NaN: the approximate one, corrected once, so that that of 1 is 1.
__device__ inline float inverse(float x) {
  const float r = __fdividef(1.0f, x);
  return fmaf(r, fmaf(-x, r, 1.0f), r);
}

template <class T>
struct pair_outputs {
  const float* row_weights;    // of the tile's rows, or null: 1
  const float* upstream_rows;  // likewise
  pair_sums* partials;         // [splits][rows]
  float* targets;              // [rows]: l of the positives that are met
  T* g;                        // or null: no gradient is asked for
  long long ld;                // of g: a multiple of 8

  __device__ float weight(int i) const {
    const float w = row_weights != nullptr ? row_weights[i] : 1.0f;
    return upstream_rows != nullptr ? w * upstream_rows[i] : w;
  }
};

inline constexpr int kPairRows = 2;  // of a warp at a time: more do not fit its registers

// Block (x, y): rows [32 x, 32 x + 32), the y-th split of the columns. A warp takes its four rows in
// twos, a lane two runs of four columns at a time, as in fold_tile.
template <class T>
__global__ void __launch_bounds__(kFoldThreads, 2)
    pair_tile(const __grid_constant__ similarity_tile t,
              const __grid_constant__ pair_outputs<T> out, int columns_of_split) {
  constexpr int kRows = kPairRows, kSpan = kFoldColumnsOfLane;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_row = static_cast<int>(blockIdx.x) * kFoldRows + warp * kFoldRowsOfWarp;
  const int last_row = first_row + kFoldRowsOfWarp < t.rows ? first_row + kFoldRowsOfWarp : t.rows;
  const int begin = static_cast<int>(blockIdx.y) * columns_of_split;
  const int end = begin + columns_of_split < t.cols ? begin + columns_of_split : t.cols;
  const float bias = t.numbers->bias, column_factor = t.numbers->column_factor;

#pragma unroll 1
  for (int row = first_row; row < last_row; row += kRows) {
    float scale[kRows], factor[kRows];  // of l, of G
    float loss[kRows], by_scale[kRows], by_bias[kRows], best[kRows];
    int index[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const bool exists = row + i < t.rows;
      const float r = exists && t.row_norms != nullptr ? t.row_norms[row + i] : 1.0f;
      const float weight = exists ? out.weight(row + i) : 0.0f;
      scale[i] = t.numbers->scale * r;
      factor[i] = weight * t.numbers->weight_factor * (r * t.numbers->row_factor);
      loss[i] = by_scale[i] = by_bias[i] = 0.0f;
      best[i] = -INFINITY;
      index[i] = kNoIndex;
    }
    for (int first = begin; first < end; first += kFoldColumns) {
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
#pragma unroll
      for (int k = 0; k < kSpan; ++k) {
        const int j = column[k / 4] + k % 4;
        norm[k] = j < end ? t.col_norm(j) : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (row + i >= t.rows) break;
        float grown = 0.0f;  // prod (1 + e) - 1
#pragma unroll
        for (int run = 0; run < 2; ++run) {
          float d[4];
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            const int j = column[run] + k;
            const float c = norm[4 * run + k];
            float l = x[i][4 * run + k] * scale[i] * c;
            l = fmaf(l, 0.0f, l);  // an infinite one is NaN: the loss of a pair at -inf would be 0
            const bool positive = positives && j < end && t.is_positive(row + i, j);
            const bool counts = j < end && (positive || !t.is_masked(row + i, j));
            const float z = l + bias, y = positive ? -z : z;
            const float e = exp2_approx(-kLog2e * fabsf(z));
            const float r = inverse(1.0f + e);
            const float s = y >= 0.0f ? r : e * r;
            const float dl = counts ? (positive ? -s : s) : 0.0f;
            loss[i] += counts ? fmaxf(y, 0.0f) : 0.0f;  // of a NaN, e tells
            grown = counts ? fmaf(grown, e, grown + e) : grown;
            by_scale[i] = counts ? fmaf(dl, l, by_scale[i]) : by_scale[i];
            by_bias[i] += dl;
            if (positive) out.targets[row + i] = l;
            const bool larger = counts && !positive && l > best[i];
            best[i] = larger ? l : best[i];
            index[i] = larger ? t.col_index + j : index[i];
            d[k] = dl * (factor[i] * (c * column_factor));
          }
          if (out.g == nullptr) continue;
          T* const at = out.g + (row + i) * out.ld + column[run];
          if (column[run] + 4 <= end) {
            store_four(at, d);
            continue;
          }
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            if (column[run] + k < end) at[k] = from_float<T>(d[k]);
          }
        }
        loss[i] += log1pf(grown);
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const pair_sums mine{loss[i], by_scale[i], by_bias[i], best[i], index[i]};
      const pair_sums all =
          merge_lanes<32>(mine, [](const pair_sums& a, const pair_sums& b) { return merge(a, b); });
      if (lane == 0 && row + i < t.rows) {
        out.partials[static_cast<long long>(blockIdx.y) * t.rows + row + i] = all;
      }
    }
  }
}

struct finish_pairs_arguments {
  call_arguments call;
  const pair_sums* sums;
  const float* targets;    // l of the positives
  float* loss;             // or null
  float* scale;            // each row's part of the scale's gradient, or null
  float* bias;             // and of the bias'
  unsigned char* correct;  // or null
  int first_index;         // where row 0's positive stands among the columns
  long long begin, end;    // rows
};

// A thread a row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    finish_pairs(const __grid_constant__ finish_pairs_arguments a) {
  const long long i = a.begin + block_index() * kThreads + threadIdx.x;
  if (i >= a.end) return;
  const pair_sums x = a.sums[i];
  const float weight = a.call.weight(i);
  if (a.loss != nullptr) a.loss[i] = a.call.by.weighted(i, static_cast<float>(x.loss));
  if (a.scale != nullptr) a.scale[i] = weight * static_cast<float>(x.scale);
  if (a.bias != nullptr) a.bias[i] = weight * static_cast<float>(x.bias);
  if (a.correct != nullptr) {
    const float target = a.targets[i];
    const long long index = a.first_index + i;
    a.correct[i] = !isnan(x.loss) && (target > x.best || (target == x.best && index < x.index));
  }
}

}  // namespace culoss::kernels
