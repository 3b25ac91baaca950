// The row policies for rows whose columns are not innermost ([N, C, inner]; a row is a position):
// neighboring threads take neighboring positions, so that every access to a class is coalesced.
//
// Moves, per row of C elements of s bytes: C s read once where the block's tile fits on chip, else
// twice where there is a gradient; C s written once. `inner` of 32 or more makes each access of a
// warp one run of memory.
//
//   rows_strided<Policy, 1, P>    one thread a row, for few columns
//   rows_strided<Policy, G, P>    G warps share the columns of 32 rows: warp g has g, g + G, ...
#pragma once

#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

enum class strided_source {
  on_chip,    // raw elements wait in shared memory until they are written
  two_reads,  // read again, or never where nothing is written
  saved,      // the state is known from an earlier call
};

template <class Policy, int kGroups, strided_source kSource>
__global__ void __launch_bounds__(detail::kStridedThreads, 2)
    rows_strided(const __grid_constant__ typename Policy::arguments a) {
  using T = typename Policy::value;
  using state = typename Policy::state;
  static_assert(Policy::kStreams == 1 && Policy::kOutputs == 1);
  constexpr int kBatch = detail::kStridedBatch;
  constexpr int kRows = detail::kStridedThreads / kGroups;  // of a block
  static_assert(kGroups == 1 || kRows == 32);
  __shared__ state states[kGroups == 1 ? 1 : kGroups][kRows];
  static_assert(kGroups == 1 || sizeof states <= detail::kStridedStates);
  T* const chip = reinterpret_cast<T*>(dynamic_shared());

  const int group = static_cast<int>(threadIdx.x) / kRows;
  const int place = static_cast<int>(threadIdx.x) % kRows;
  const long long row = block_index() * kRows + place;
  const bool exists = row < a.rows;
  const Policy policy(a, exists ? row : 0);
  const bool skipped = !exists || policy.skip();
  const long long image = exists ? row / a.inner : 0;
  const long long begin = image * a.cols * a.inner + (row - image * a.inner);
  const T* const in = a.in[0].data + begin;
  T* const out = a.out[0].data == nullptr ? nullptr : a.out[0].data + begin;
  const int cols = static_cast<int>(a.cols);

  typename Policy::coefficients c;
  if constexpr (kSource == strided_source::saved) {
    c = policy.finish();
  } else {
    state s = policy.identity();
    const int end = skipped ? 0 : cols;
    for (int j = group; j < end; j += kBatch * kGroups) {
      float x[1][kBatch][1];
      int column[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        column[b] = j + b * kGroups;
        const bool there = column[b] < cols;
        const T v = there ? __ldcg(in + column[b] * a.inner) : T();
        if constexpr (kSource == strided_source::on_chip) {
          if (there) chip[column[b] * kRows + place] = v;
        }
        x[0][b][0] = there ? to_float(v) : Policy::absent(0);
      }
      policy.add(s, x, column);
    }
    if constexpr (kGroups > 1) {
      states[group][place] = s;
      __syncthreads();
      s = states[0][place];
#pragma unroll 1
      for (int g = 1; g < kGroups; ++g) s = policy.merge(s, states[g][place]);
    }
    if (!skipped) {
      c = policy.finish(s);
      if (group == 0) policy.write(s, c);
    }
  }
  if (!exists) return;
  if (skipped && group == 0) policy.write_skipped();
  if (a.out[0].data == nullptr) return;
  if (skipped || policy.zero(c)) {
    const T fill = from_float<T>(skipped ? policy.fill() : 0.0f);
    for (int j = group; j < cols; j += kGroups) out[j * a.inner] = fill;
    return;
  }
  for (int j = group; j < cols; j += kBatch * kGroups) {
    T v[kBatch] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {  // the loads of a batch do not wait for its stores
      const int column = j + b * kGroups;
      if constexpr (kSource == strided_source::on_chip) {
        if (column < cols) v[b] = chip[column * kRows + place];
      } else {
        if (column < cols) v[b] = __ldcs(in + column * a.inner);
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int column = j + b * kGroups;
      const bool there = column < cols;
      float x[1][1] = {{there ? to_float(v[b]) : Policy::absent(0)}};
      policy.apply(c, x, column);
      if (there) out[column * a.inner] = from_float<T>(x[0][0]);
    }
  }
}

}  // namespace culoss::kernels
