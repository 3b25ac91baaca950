// Rows in shared memory: their reduction, the merge of states that lie there, and results that begin
// elsewhere in their 16 bytes than the inputs.
#pragma once

#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

// A warp's state of a whole row in shared memory, by the tree of rows_by_block<Policy, kThreads>.
template <int kThreads, class Policy>
__device__ typename Policy::state add_row(const Policy& policy, const uint4* chip,
                                          const input_row<typename Policy::value>& in, int thread) {
  using T = typename Policy::value;
  constexpr int kBatch = detail::kBatch, kSize = pack<T>::kSize;
  const int packs = in.packs();
  typename Policy::state s = policy.identity();
  for (int k = thread; k < packs; k += kBatch * kThreads) {
    pack<T> p[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (k + b * kThreads < packs) {
        p[b].raw = chip[k + b * kThreads];
      } else {
        float absent[kSize];
#pragma unroll
        for (int e = 0; e < kSize; ++e) absent[e] = Policy::absent(0);
        p[b] = repack<T>(absent);
      }
    }
    float x[1][kBatch][kSize];
    int column[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      column[b] = in.first_column(k + b * kThreads);
      unpack(p[b], x[0][b]);
    }
    policy.add(s, x, column);
  }
  return merge_lanes<32>(s, [&](const auto& x, const auto& y) { return policy.merge(x, y); });
}

// The results of a row, or of a segment that begins at column `begin`, where they do not begin at the
// same place in their 16 bytes as the inputs in shared memory: by packs of their own.
template <int kThreads, class Policy, class Output>
__device__ void store_by_own_packs(const Policy& policy, const typename Policy::coefficients& c,
                                   const uint4* chip, const input_row<typename Policy::value>& in,
                                   const Output& out, int begin, int thread) {
  using T = typename Policy::value;
  constexpr int kSize = pack<T>::kSize;
  const T* const elements = reinterpret_cast<const T*>(chip) + in.head();
  for (int k = thread; k < out.packs(); k += kThreads) {
    const int column = out.first_column(k);
    float x[1][kSize];
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const int j = column + e;
      x[0][e] = j >= 0 && j < out.cols() ? to_float(elements[j]) : Policy::absent(0);
    }
    policy.apply(c, x, begin + column);
    out.store_columns(column, x[0], true);
  }
}

template <class Policy>
__device__ typename Policy::state merge_in_order(const Policy& policy,
                                                 const typename Policy::state* states, int count) {
  typename Policy::state s = states[0];
#pragma unroll 1
  for (int i = 1; i < count; ++i) s = policy.merge(s, states[i]);
  return s;
}

}  // namespace culoss::kernels
