// All triplets of a panel of anchors: their distances, how many of them are not 0, and what each
// distance weighs in the gradient. Everything is in double, of differences.
//
//   distance_tile    3 D operations a pair; reads D values a row and a column for each 32 x 32 pairs
//   count_triplets   one block an anchor: 2 P (N - P) comparisons of P positives with the negatives,
//                    8 bytes each, of which the one side is the same for all lanes
//   pull_rows        a warp a row: sum_j weight_ij grad d(i, j), D s bytes for each weight that is
//                    not 0
#pragma once

#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "kernels/mined_gradient.cuh"

namespace culoss::kernels {

inline constexpr int kPairSide = 32, kPairThreads = 256;

// d(i, j) of rows [first, first + count) and all columns. Summed along D in one order: the distances
// of (i, j) and of (j, i), and those to equal points, are equal.
template <class T>
__global__ void __launch_bounds__(kPairThreads, 4)
    distance_tile(const mined_rows<T> m, long long first, long long count, double* out) {
  constexpr int kOfThread = kPairSide * kPairSide / kPairThreads;
  constexpr int kRowStep = kPairSide / kOfThread;
  __shared__ double a[kPairSide][kPairSide + 1], b[kPairSide][kPairSide + 1];
  const int x = static_cast<int>(threadIdx.x) % kPairSide;
  const int y = static_cast<int>(threadIdx.x) / kPairSide;
  const long long col = static_cast<long long>(blockIdx.x) * kPairSide;
  const long long row = static_cast<long long>(blockIdx.y) * kPairSide;
  const bool cosine = m.kind == distance_kind::cosine;
  const auto scaled_value = [&](long long i, int d) {
    if (i >= m.rows || d >= m.x.dimension) return 0.0;
    return static_cast<double>(m.x.at(i, d)) * (cosine ? m.inverse_norms[i] : 1.0);
  };
  double sum[kOfThread] = {};
  for (int d = 0; d < m.x.dimension; d += kPairSide) {
    for (int r = y; r < kPairSide; r += kRowStep) {
      a[r][x] = scaled_value(first + row + r, d + x);
      b[r][x] = scaled_value(col + r, d + x);
    }
    __syncthreads();
    for (int k = 0; k < kPairSide; ++k) {
#pragma unroll
      for (int r = 0; r < kOfThread; ++r) {
        const double difference = a[y + r * kRowStep][k] - b[x][k];
        sum[r] += difference * difference;
      }
    }
    __syncthreads();
  }
  const long long j = col + x;
#pragma unroll
  for (int r = 0; r < kOfThread; ++r) {
    const long long i = row + y + r * kRowStep;
    if (i >= count || j >= m.rows) continue;
    double value = sum[r];
    if (cosine) {
      const bool zero = m.inverse_norms[first + i] == 0.0 || m.inverse_norms[j] == 0.0;
      value = zero ? 1.0 : 0.5 * value;
    }
    out[i * m.rows + j] = m.distance(value);
  }
}

struct all_triplets {
  const double* distances;  // [panel, rows]
  int* columns;             // likewise: an anchor's positives first, then its negatives
  float* weights;           // likewise: of the distances in the gradient
  float* loss;              // [rows] or null
  long long* counts;        // [rows]: triplets that count
};

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    count_triplets(const mined_rows<T> m, long long first, const anchor_rule rule,
                   const gradient_scale by, const all_triplets t) {
  using block_scan = cub::BlockScan<int, kThreads>;
  using block_reduce = cub::BlockReduce<totals, kThreads>;
  __shared__ typename block_scan::TempStorage of_scan;
  __shared__ typename block_reduce::TempStorage of_reduce;
  const int rows = static_cast<int>(m.rows), thread = static_cast<int>(threadIdx.x);
  const long long row = block_index(), anchor = first + row;
  const long long label = m.labels[anchor];
  const double* const d = t.distances + row * rows;
  int* const columns = t.columns + row * rows;
  float* const weights = t.weights + row * rows;

  // The columns of each side, in order: positives, then negatives.
  int begin[3] = {};
  for (int side = 0; side < 2; ++side) {
    int before = begin[side];
    for (int at = 0; at < rows; at += kThreads) {
      const int j = at + thread;
      bool is = j < rows && label != m.ignore_index && m.labels[j] != m.ignore_index;
      is = is && (m.labels[j] == label) == (side == 0) && j != anchor;
      int place = 0, all = 0;
      block_scan(of_scan).ExclusiveSum(is ? 1 : 0, place, all);
      if (is) columns[before + place] = j;
      before += all;
      __syncthreads();  // the storage is used again
    }
    begin[side + 1] = before;
  }
  for (int j = thread; j < rows; j += kThreads) weights[j] = 0.0f;
  __syncthreads();
  const int positives = begin[1], end = begin[2];
  if (*m.not_finite != 0) {
    if (thread != 0) return;
    const long long all = static_cast<long long>(positives) * (end - positives);
    if (t.loss != nullptr) t.loss[anchor] = all > 0 ? NAN : 0.0f;
    t.counts[anchor] = all;
    return;
  }

  const float scale = by.of(anchor);
  const auto weight_of = [&](const totals& of) {  // NaN only where there is something to weigh
    return of.count == 0 ? 0.0f : static_cast<float>(of.sum) * scale;
  };
  // sum of slopes and losses, and count, of one triplet.
  const auto add = [&](int p, int n, totals& slopes, double& loss) {
    const double z = d[columns[p]] - d[columns[n]] + rule.margin;
    double slope = 0.0;
    const double l = triplet_loss(rule.soft, z, slope);
    if (!rule.soft && !(z > 0.0)) return;
    loss += l;
    slopes.sum += slope;
    ++slopes.count;
  };
  totals mine{0.0, 0};
  for (int n = positives + thread; n < end; n += kThreads) {
    totals slopes{0.0, 0};
    double loss = 0.0;
    for (int p = 0; p < positives; ++p) add(p, n, slopes, loss);
    weights[columns[n]] = -weight_of(slopes);
    mine.sum += loss;
    mine.count += slopes.count;
  }
  for (int p = thread / 32; p < positives; p += kThreads / 32) {
    totals slopes{0.0, 0};
    double unused = 0.0;
    for (int n = positives + thread % 32; n < end; n += 32) add(p, n, slopes, unused);
    slopes = merge_lanes<32>(slopes,
                             [](const totals& a, const totals& b) { return add_totals{}(a, b); });
    if (thread % 32 == 0) weights[columns[p]] = weight_of(slopes);
  }
  const totals all = block_reduce(of_reduce).Reduce(mine, add_totals{});
  if (thread != 0) return;
  if (t.loss != nullptr) t.loss[anchor] = by.weighted(anchor, static_cast<float>(all.sum));
  t.counts[anchor] = all.count;
}

struct count_all_triplets {
  const long long* counts;
  __device__ totals operator()(long long i) const {
    return {static_cast<double>(counts[i]), counts[i]};
  }
};

// sums of rows [first, first + count) += their pulls to [other, other + others): the weight of row
// first + i and other + j, and their distance, stand at i row_step + j other_step. `begins`: nothing
// is there yet.
struct panel_pulls {
  const float* weights;
  const double* distances;
  long long first, count, row_step;
  long long other, others, other_step;
  double* sums;  // [rows, D]
  bool begins;
};
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    pull_rows(const mined_rows<T> m, const panel_pulls p) {
  constexpr int kColumns = kGradientColumnsOfLane;
  const long long row = embedding_row();
  if (row >= p.count) return;
  const long long i = p.first + row;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double* const sums = p.sums + i * m.x.dimension;
  for (int first = 0; first < m.x.dimension; first += 32 * kColumns) {
    double sum[kColumns];
#pragma unroll
    for (int k = 0; k < kColumns; ++k) {
      const int d = first + 32 * k + lane;
      sum[k] = p.begins || d >= m.x.dimension ? 0.0 : sums[d];
    }
    for (long long j = 0; j < p.others; ++j) {
      const long long at = row * p.row_step + j * p.other_step;
      const float weight = p.weights[at];
      if (weight == 0.0f) continue;
      const pair_pull pull = pull_of(m, i, p.other + j, weight, p.distances[at]);
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const int d = first + 32 * k + lane;
        if (d < m.x.dimension) sum[k] += pull.of(m.x.at(i, d), m.x.at(pull.other, d));
      }
    }
#pragma unroll
    for (int k = 0; k < kColumns; ++k) {
      const int d = first + 32 * k + lane;
      if (d < m.x.dimension) sums[d] = sum[k];
    }
  }
}

// The sums of both sides to the gradient; a divisor that was counted divides here.
template <class T, class Out>
__global__ void __launch_bounds__(kEmbeddingThreads)
    finish_all_gradient(const mined_rows<T> m, const double* as_anchor, const double* as_other,
                        const totals* counted, const divisor by, Out* out, long long ld,
                        bool accumulate) {
  const long long i = embedding_row();
  if (i >= m.rows) return;
  const bool nothing = *m.not_finite != 0 && counted->count > 0 && !by.off() && !m.ignored(i);
  const double divisor = by.counted != nullptr ? by.get() : 1.0;
  for (int d = static_cast<int>(threadIdx.x) % 32; d < m.x.dimension; d += 32) {
    const long long at = i * m.x.dimension + d;
    const double sum = as_anchor[at] + as_other[at];
    store_gradient(out[i * ld + d],
                   nothing          ? static_cast<double>(NAN)
                   : divisor == 0.0 ? 0.0
                                    : sum / divisor,
                   accumulate);
  }
}

}  // namespace culoss::kernels
