// The gradient of triplets that were chosen one an anchor: each row's, from the pairs that it is in,
// as anchor and as what others chose, in the order of the anchors. No float atomics: how often a row
// was chosen is counted in integers, whose sums know no order; a row's few entries are taken in
// ascending order, and many are met by going through all anchors in order.
//
// Moves 32 bytes an anchor three times, 8 of entries, 8 of counts; a row that was chosen more than
// 32 times reads the choices of all anchors again, which are at most N / 16 rows.
#pragma once

#include <cub/block/block_scan.cuh>

#include "kernels/mined_rows.cuh"

namespace culoss::kernels {

// Entry 2 a is anchor a's positive, 2 a + 1 its negative.
struct chosen_pairs {
  mined_anchor* anchors;
  long long rows;
  unsigned* begins;   // [rows + 1]: where the entries of a row begin; first how many there are
  unsigned* cursors;  // [rows]
  unsigned* entries;  // [2 rows]
};

// An anchor whose pairs have a gradient, or NaN.
__device__ inline bool pulls(const mined_anchor& a) {
  return a.positive != kNoIndex && !(a.weight == 0.0f);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    count_chosen(const __grid_constant__ chosen_pairs p,
                 const __grid_constant__ gradient_scale by) {
  const long long i = block_index() * kThreads + threadIdx.x;
  if (i >= p.rows) return;
  mined_anchor& a = p.anchors[i];
  if (a.positive == kNoIndex) return;
  a.weight = a.slope * by.of(i);
  if (!pulls(a)) return;
  atomicAdd(&p.begins[a.positive], 1u);
  atomicAdd(&p.begins[a.negative], 1u);
}

// One block: how many there are of each row to where they begin.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) place_chosen(const __grid_constant__ chosen_pairs p) {
  using block_scan = cub::BlockScan<unsigned, kThreads>;
  __shared__ typename block_scan::TempStorage scratch;
  unsigned before = 0;
  for (long long first = 0; first <= p.rows; first += kThreads) {
    const long long i = first + threadIdx.x;
    const unsigned mine = i < p.rows ? p.begins[i] : 0u;
    unsigned at = 0, all = 0;
    block_scan(scratch).ExclusiveSum(mine, at, all);
    if (i <= p.rows) p.begins[i] = before + at;
    if (i < p.rows) p.cursors[i] = before + at;
    before += all;
    __syncthreads();  // scratch is used again
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) list_chosen(const __grid_constant__ chosen_pairs p) {
  const long long i = block_index() * kThreads + threadIdx.x;
  if (i >= p.rows || !pulls(p.anchors[i])) return;
  const mined_anchor& a = p.anchors[i];
  const auto entry = static_cast<unsigned>(2 * i);
  p.entries[atomicAdd(&p.cursors[a.positive], 1u)] = entry;
  p.entries[atomicAdd(&p.cursors[a.negative], 1u)] = entry + 1;
}

// A pair's part in the gradient of its row i: scale (a x_i - b x_j) - along x_i.
struct pair_pull {
  long long other;
  double scale, a, b, along;

  __device__ double of(double x, double y) const { return scale * (a * x - b * y) - along * x; }
};
template <class T>
__device__ pair_pull pull_of(const mined_rows<T>& m, long long i, long long j, double weight,
                             double distance) {
  switch (m.kind) {
    case distance_kind::euclidean:
      // A weight that is NaN stays so.
      return {j, distance == 0.0 ? (isnan(weight) ? weight : 0.0) : weight / distance, 1.0, 1.0,
              0.0};
    case distance_kind::squared:
      return {j, 2.0 * weight, 1.0, 1.0, 0.0};
    default: {
      const double a = m.inverse_norms[i];
      return {j, weight * a, a, m.inverse_norms[j], weight * a * a * distance};
    }
  }
}

// visit(anchor, whether row i is its negative) for the anchors that chose row i, in their order. All
// lanes come with the same arguments.
template <class Visit>
__device__ void for_each_chosen(const chosen_pairs& p, long long i, const Visit& visit) {
  const unsigned begin = p.begins[i], count = p.begins[i + 1] - begin;
  const unsigned lane = threadIdx.x % 32;
  if (count <= 32) {
    constexpr unsigned kDone = 0xffffffffu;
    unsigned mine = lane < count ? p.entries[begin + lane] : kDone;
    for (unsigned k = 0; k < count; ++k) {
      const unsigned next =
          merge_lanes<32>(mine, [](unsigned x, unsigned y) { return x < y ? x : y; });
      visit(static_cast<long long>(next / 2), next % 2 != 0);
      if (mine == next) mine = kDone;
    }
    return;
  }
  for (long long first = 0; first < p.rows; first += 32) {
    const long long a = first + lane;
    const bool exists = a < p.rows && pulls(p.anchors[a]);
    const unsigned as_positive = __ballot_sync(kAllLanes, exists && p.anchors[a].positive == i);
    const unsigned as_negative = __ballot_sync(kAllLanes, exists && p.anchors[a].negative == i);
    for (unsigned k = 0; k < 32; ++k) {
      if ((as_positive >> k & 1u) != 0) visit(first + k, false);
      if ((as_negative >> k & 1u) != 0) visit(first + k, true);
    }
  }
}

inline constexpr int kGradientColumnsOfLane = 4;

template <class Out>
__device__ void store_gradient(Out& out, double v, bool accumulate) {
  if (accumulate) v += static_cast<double>(to_float(out));
  out = from_float<Out>(static_cast<float>(v));
}

template <class T, class Out>
__global__ void __launch_bounds__(kEmbeddingThreads, 2)
    finish_mined_gradient(const mined_rows<T> m, const chosen_pairs p, const totals* counted,
                          const divisor by, Out* out, long long ld, bool accumulate) {
  constexpr int kColumns = kGradientColumnsOfLane;
  const long long i = embedding_row();
  if (i >= m.rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool nothing = *m.not_finite != 0 && counted->count > 0 && !by.off() && !m.ignored(i);
  const mined_anchor own = p.anchors[i];
  for (int first = 0; first < m.x.dimension; first += 32 * kColumns) {
    double sum[kColumns] = {};
    const auto add = [&](const pair_pull& pull) {
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const int d = first + 32 * k + lane;
        if (d >= m.x.dimension) continue;
        sum[k] += pull.of(m.x.at(i, d), m.x.at(pull.other, d));
      }
    };
    if (pulls(own)) {
      const double w = own.weight;
      add(pull_of(m, i, own.positive, w, own.to_positive));
      add(pull_of(m, i, own.negative, -w, own.to_negative));
    }
    for_each_chosen(p, i, [&](long long anchor, bool negative) {
      const mined_anchor& a = p.anchors[anchor];
      const double w = a.weight;
      add(negative ? pull_of(m, i, anchor, -w, a.to_negative)
                   : pull_of(m, i, anchor, w, a.to_positive));
    });
#pragma unroll
    for (int k = 0; k < kColumns; ++k) {
      const int d = first + 32 * k + lane;
      if (d >= m.x.dimension) continue;
      store_gradient(out[i * ld + d], nothing ? static_cast<double>(NAN) : sum[k], accumulate);
    }
  }
}

}  // namespace culoss::kernels
