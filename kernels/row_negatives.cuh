// Negatives of a row's own, beside the columns that all rows share: their similarities, the end of
// the row, and both gradients, in one kernel that comes after the row's shared columns.
//
// Moves, of K negatives of D elements of s bytes a row: reads K D s once where the row's fit on
// chip and gradients are wanted, or nothing but the loss is; else twice. Writes K D s (4 for float
// gradients, which are read too where they are added to), and D 4 for the start of the query's
// gradient. Beside them D s of the query, a mask's K bytes, and, of more than kRowScores negatives,
// 8 K written and read. A masked negative is not read.
//
// A team of 32 to 512 threads has a row, and a block at least 128 threads. Gradients never pass
// through 16 bits on their way: they are rounded once, to the type they come out in.
#pragma once

#include "kernels/embedding_rows.cuh"
#include "kernels/policy/info_nce.cuh"
#include "kernels/row_constants.hpp"

namespace culoss::kernels {

inline constexpr int kRowNegativeBatch = 4;  // that a thread has in flight

// How the threads of a team share the work. Counted by the host.
struct row_team {
  int threads;  // of a team
  int group;    // lanes that share a dot product
  int across;   // threads that share a negative's columns when gradients are written
  int packs;    // of 16 bytes, of a negative
  // Bytes of a team's shared memory, and where in it its parts begin.
  int shared_bytes, sums, scores;
};

template <class T>
struct row_negatives_arguments {
  finish_arguments finish;
  row_team team;
  stream<T> queries;
  stream<T> negatives;  // row i's k-th is row i * count + k
  int count;            // of a row
  int dimension;
  const unsigned char* mask;  // of row 0's first negative, or null
  long long mask_ld;
  int first_index;  // of a row's first one among its columns
  float2* scores;   // [rows of the panel][count], where shared memory holds none
  float* du;        // [rows of the panel][dimension]: the start of their sums, or null
  void* gradient;   // or null
  long long gradient_ld;
  bool wide;  // the gradient is float
  bool accumulate;
  bool queries_aligned, negatives_aligned, gradient_aligned;  // every row to 16 bytes
};

// What a negative is reduced to: its similarity before the scale (-inf where it is masked), and
// 1 / |n|.
__device__ inline float level_of(float similarity, float bits) {
  if (similarity == -INFINITY) return similarity;
  const float l = similarity * bits;
  return fmaf(l, 0.0f, l);  // an infinite one is NaN, as in a tile
}

struct best_level {
  float value;
  int index;
};
struct better_level {
  __device__ best_level operator()(const best_level& a, const best_level& b) const {
    return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
  }
};
struct level_sums {
  float sum, moment;
};
struct add_levels {
  __device__ level_sums operator()(const level_sums& a, const level_sums& b) const {
    return {a.sum + b.sum, a.moment + b.moment};
  }
};

// Every thread of a team ends with the merge of its states, in a fixed order. All threads of the
// block take part; of_warps has room for one of each warp.
template <class S, class Merge>
__device__ S merge_team(S s, int threads, S* of_warps, Merge merge) {
  s = merge_lanes<32>(s, merge);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (threadIdx.x % 32 == 0) of_warps[warp] = s;
  __syncthreads();
  const int first = static_cast<int>(threadIdx.x) / threads * (threads / 32);
  s = of_warps[first];
  for (int w = 1; w < threads / 32; ++w) s = merge(s, of_warps[first + w]);
  return s;
}

// kSize elements at a column of a row of U, added to what stands there or not.
template <class U, int kSize>
__device__ void store_gradient(U* row, int cols, int first, float (&v)[kSize], bool aligned,
                               bool accumulate) {
  constexpr int kPart = pack<U>::kSize;
#pragma unroll
  for (int at = 0; at < kSize; at += kPart) {
    float part[kPart];
    if (accumulate) {
      const input_row<U> old(row, cols);
      unpack(old.template load_columns<cache::level2>(first + at, 0.0f, aligned), part);
    }
#pragma unroll
    for (int e = 0; e < kPart; ++e) part[e] = accumulate ? part[e] + v[at + e] : v[at + e];
    output_row<U>(row, cols).store_columns(first + at, part, aligned);
  }
}

template <class T, bool kOnChip>
__global__ void __launch_bounds__(detail::kRowNegativeThreads)
    row_negatives(const __grid_constant__ row_negatives_arguments<T> a) {
  constexpr int kSize = pack<T>::kSize, kBatch = kRowNegativeBatch;
  __shared__ best_level best_of_warps[detail::kRowNegativeThreads / 32];
  __shared__ level_sums sums_of_warps[detail::kRowNegativeThreads / 32];
  __shared__ float2 of_teams[detail::kRowNegativeThreads / 32];
  const row_team& how = a.team;
  const int team = static_cast<int>(threadIdx.x) / how.threads;
  const int thread = static_cast<int>(threadIdx.x) % how.threads;
  const int teams = static_cast<int>(blockDim.x) / how.threads;
  const long long row = block_index() * teams + team;
  const bool exists = a.finish.begin + row < a.finish.end;
  const long long i = exists ? a.finish.begin + row : a.finish.begin;
  const int count = exists ? a.count : 0, packs = how.packs;  // no early exit: there are barriers

  char* const shared = reinterpret_cast<char*>(dynamic_shared()) + team * how.shared_bytes;
  uint4* const copy = reinterpret_cast<uint4*>(shared);  // of the query, then of the negatives
  float2* const scores = a.scores != nullptr ? a.scores + row * a.count
                                             : reinterpret_cast<float2*>(shared + how.scores);
  const unsigned char* const mask = a.mask != nullptr ? a.mask + i * a.mask_ld : nullptr;
  const input_row<T> query(a.queries.data + i * a.queries.ld, a.dimension);
  const T* const negatives = a.negatives.data + i * a.count * a.negatives.ld;
  const auto load = [&](int k, int p) {
    const input_row<T> n(negatives + k * a.negatives.ld, a.dimension);
    constexpr cache kKeep = kOnChip ? cache::streaming : cache::level2;
    return n.template load_columns<kKeep>(p * kSize, 0.0f, a.negatives_aligned);
  };
  const auto load_query = [&](int p) {
    return query.template load_columns<cache::level2>(p * kSize, 0.0f, a.queries_aligned);
  };
  const float* const norms = a.finish.call.row_norms;
  const float r = norms == nullptr ? 1.0f : norms[i];
  const float bits = a.finish.numbers->bits;

  if constexpr (kOnChip) {
    for (int p = thread; p < packs; p += how.threads) copy[p] = load_query(p).raw;
    __syncthreads();
  }

  // Dot products and norms: a group of lanes takes every groups-th negative, four at a time.
  {
    const int group = thread / how.group, lane = thread % how.group;
    const int groups = how.threads / how.group;
    for (int base = 0; base < count; base += kBatch * groups) {
      float dot[kBatch] = {};
      double square[kBatch] = {};
      bool takes[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int k = base + b * groups + group;
        takes[b] = k < count && (mask == nullptr || mask[k] == 0);
      }
      for (int p = lane; p < packs; p += how.group) {
        pack<T> n[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          n[b] = takes[b] ? load(base + b * groups + group, p) : pack<T>{make_uint4(0, 0, 0, 0)};
        }
        float q[kSize];
        if constexpr (kOnChip) {
          unpack(pack<T>{copy[p]}, q);
        } else {
          unpack(load_query(p), q);
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          const int k = base + b * groups + group;
          if constexpr (kOnChip) {
            if (k < count) copy[(1 + static_cast<long long>(k)) * packs + p] = n[b].raw;
          }
          float x[kSize];
          unpack(n[b], x);
#pragma unroll
          for (int e = 0; e < kSize; ++e) dot[b] = fmaf(q[e], x[e], dot[b]);
          if (norms == nullptr) continue;
#pragma unroll
          for (int e = 0; e < kSize; ++e) {
            square[b] += static_cast<double>(x[e]) * static_cast<double>(x[e]);
          }
        }
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        for (int step = 1; step < how.group; step *= 2) {
          dot[b] += shuffle_xor(dot[b], step);
          if (norms != nullptr) square[b] += shuffle_xor(square[b], step);
        }
        const int k = base + b * groups + group;
        if (lane != 0 || k >= count) continue;
        const float c = norms == nullptr ? 1.0f : inverse_root(square[b]);
        const float s = dot[b] * r * c;
        scores[k] = takes[b] ? make_float2(fmaf(s, 0.0f, s), c) : make_float2(-INFINITY, 0.0f);
      }
    }
  }
  __syncthreads();

  // The row's state: the largest first, so that no sum is ever scaled again.
  best_level best{-INFINITY, kNoIndex};
  for (int k = thread; k < count; k += how.threads) {
    const float l = level_of(scores[k].x, bits);
    if (l > best.value) best = {l, a.first_index + k};
  }
  best = merge_team(best, how.threads, best_of_warps, better_level{});
  const float shift = shift_of(best.value);
  level_sums sums{0.0f, 0.0f};
  for (int k = thread; k < count; k += how.threads) {
    const float z = level_of(scores[k].x, bits) - shift, e = exp2_approx(z);
    sums.sum += e;
    sums.moment += z == -INFINITY ? 0.0f : e * z;
  }
  sums = merge_team(sums, how.threads, sums_of_warps, add_levels{});
  if (thread == 0 && exists) {
    const side_state own{best.value, sums.sum, sums.moment, best.value, best.index};
    const side_coefficients c = finish_row(a.finish, merge(a.finish.rows.states[i], own), i);
    of_teams[team] = make_float2(c.shift, c.slope);
  }
  if (a.gradient == nullptr && a.du == nullptr) return;
  __syncthreads();

  // Gradients: a thread keeps its columns and goes through the negatives.
  const float2 of_row = exists ? of_teams[team] : make_float2(0.0f, 0.0f);
  const float shift_of_row = of_row.x, slope = of_row.y;
  const call_numbers& numbers = *a.finish.numbers;
  const bool off = numbers.off != 0;
  const float weight = r * numbers.row_factor, direct = numbers.direct;
  const int slot = thread % how.across, part = thread / how.across;
  const int parts = how.threads / how.across;
  float* const of_parts = reinterpret_cast<float*>(shared + how.sums);
  for (int first = 0; first < packs; first += how.across) {
    const int p = first + slot, mine = p < packs ? count : 0;
    float q[kSize], sum[kSize] = {};
    if (p < packs) {
      if constexpr (kOnChip) {
        unpack(pack<T>{copy[p]}, q);
      } else {
        unpack(load_query(p), q);
      }
#pragma unroll
      for (int e = 0; e < kSize; ++e) q[e] *= r;
    }
    for (int base = part; base < mine; base += kBatch * parts) {
      pack<T> n[kBatch];
      float2 score[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int k = base + b * parts;
        score[b] = k < mine ? scores[k] : make_float2(-INFINITY, 0.0f);
        if constexpr (kOnChip) {
          n[b].raw =
              k < mine ? copy[(1 + static_cast<long long>(k)) * packs + p] : make_uint4(0, 0, 0, 0);
        } else {
          n[b] = score[b].x == -INFINITY ? pack<T>{make_uint4(0, 0, 0, 0)} : load(k, p);
        }
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int k = base + b * parts;
        if (k >= mine) break;
        const bool masked = score[b].x == -INFINITY;
        const float norm = score[b].y;
        const float dl =
            masked ? 0.0f : slope * exp2_approx(level_of(score[b].x, bits) - shift_of_row);
        float x[kSize];
        unpack(n[b], x);
#pragma unroll
        for (int e = 0; e < kSize; ++e) {
          x[e] *= norm;
          sum[e] = fmaf(dl * weight, x[e], sum[e]);
        }
        if (a.gradient == nullptr) continue;
        const float along = masked || norms == nullptr ? 0.0f : score[b].x;
        const float by = scaled(dl, direct, norm);
        float v[kSize];
#pragma unroll
        for (int e = 0; e < kSize; ++e) {
          v[e] = off ? 0.0f : masked ? direct * 0.0f : (q[e] - along * x[e]) * by;
        }
        const long long at = (i * a.count + k) * a.gradient_ld;
        if (a.wide) {
          store_gradient(static_cast<float*>(a.gradient) + at, a.dimension, p * kSize, v,
                         a.gradient_aligned, a.accumulate);
        } else {
          store_gradient(static_cast<T*>(a.gradient) + at, a.dimension, p * kSize, v,
                         a.gradient_aligned, a.accumulate);
        }
      }
    }
    if (a.du == nullptr) continue;
    if (parts > 1) {  // then all columns are here: this is the only turn
#pragma unroll
      for (int e = 0; e < kSize; ++e) of_parts[(part * kSize + e) * how.across + slot] = sum[e];
      __syncthreads();
      for (int other = 1; part == 0 && other < parts; ++other) {
#pragma unroll
        for (int e = 0; e < kSize; ++e) {
          sum[e] += of_parts[(other * kSize + e) * how.across + slot];
        }
      }
    }
    if (part != 0 || p >= packs || !exists) continue;
#pragma unroll
    for (int e = 0; e < kSize; ++e) sum[e] *= numbers.column_factor;
    store_gradient(a.du + row * a.dimension, a.dimension, p * kSize, sum, a.dimension % 4 == 0,
                   false);
  }
}

}  // namespace culoss::kernels
