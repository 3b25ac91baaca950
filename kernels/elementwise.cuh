// The skeleton of the elementwise losses: one element in, its loss and its gradients out.
//
// Moves each input once and each output once: for n elements of s bytes n s each, 4 n for losses
// and for either matrix of factors, where there are any; and one partial sum of 16 bytes a block
// where there is a scalar loss. One launch. A warp takes spans of 32 * kElementPacks packs of 16
// bytes; a block takes `chunk` spans one after the other, so that there are at most
// kMostElementBlocks partial sums, by a rule that knows the shape alone.
//
// Matrices without padding are one long run of elements, in segments that 32 bits can count;
// others have a run a row. Which row and column an element belongs to is computed only where the
// policy asks for it.
//
// A Policy is built by each thread, and has
//   arguments             a plain struct with `stream<T> in[kStreams]` (from the second on, null:
//                         not there, read as 0), `target<T> out[kOutputs]` (null: not written),
//                         `target<float> losses` and `totals* partials` (null: likewise)
//   value, kStreams, kOutputs
//   per_row()             whether elements depend on their row or column
//   context, at(row)      what the elements of a row have in common
//   kSelective, loads(row, column, count)   whether these elements are to be read at all
//   element(context, x, column, y)          the loss of x[kStreams], and the outputs y[kOutputs]
//   kFactors                                whether each element has factors of its own: arguments
//                                           then has `stream<float> weights, upstream` (null: 1),
//                                           and element(context, x, column, weight, upstream, y)
#pragma once

#include <cub/block/block_reduce.cuh>

#include "kernels/reduce.cuh"
#include "kernels/row_constants.hpp"
#include "kernels/vector_io.cuh"

namespace culoss::kernels {

using detail::element_walk;
using detail::kElementPacks;
using detail::kElementThreads;

// One run of one matrix.
template <class T>
struct run_of {
  const element_walk& w;
  long long run;

  __device__ int length() const { return static_cast<int>(w.length(run)); }
  template <class U>
  __device__ input_row<U> input(const stream<U>& s) const {
    return {s.data + run * w.stride(s.ld), length()};
  }
  template <class U>
  __device__ output_row<U> output(const target<U>& t) const {
    return {t.data + run * w.stride(t.ld), length()};
  }
  // The factors of the elements from column `first` on.
  template <int kSize>
  __device__ void load_factors(const stream<float>& s, int first, float (&f)[kSize]) const {
    constexpr int kFloats = pack<float>::kSize;
#pragma unroll
    for (int h = 0; h < kSize; h += kFloats) {
      float part[kFloats] = {1.0f, 1.0f, 1.0f, 1.0f};
      if (s.data != nullptr) {
        const input_row<float> in = input(s);
        const int at = first + h;
        unpack(
            in.template load_columns<cache::streaming>(at, 1.0f, (in.head() + at) % kFloats == 0),
            part);
      }
#pragma unroll
      for (int e = 0; e < kFloats; ++e) f[h + e] = part[e];
    }
  }
};

template <class Policy>
__global__ void __launch_bounds__(kElementThreads, 2)
    elementwise(const __grid_constant__ typename Policy::arguments a,
                const __grid_constant__ element_walk w) {
  using T = typename Policy::value;
  constexpr int kSize = pack<T>::kSize, kStreams = Policy::kStreams, kOutputs = Policy::kOutputs;
  constexpr int kWarps = kElementThreads / 32;
  using block_reduce = cub::BlockReduce<totals, kElementThreads>;
  __shared__ typename block_reduce::TempStorage scratch;

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Policy policy(a);
  const bool per_row = policy.per_row();
  typename Policy::context context = policy.at(0);
  double total = 0.0;
  const long long first_span = block_index() * w.chunk;
  const long long end = first_span + w.chunk < w.spans ? first_span + w.chunk : w.spans;
  for (long long span = first_span + threadIdx.x / 32; span < end; span += kWarps) {
    const long long run = span / w.spans_of_run;
    const run_of<T> r{w, run};
    const input_row<T> first = r.input(a.in[0]);
    const int packs = first.packs(), length = r.length();
    const int begin = static_cast<int>(span - run * w.spans_of_run) * (32 * kElementPacks) + lane;

    // The row and column of the span's first element, and from them those of a pack's.
    const int start = begin - lane > 0 ? first.first_column(begin - lane) : 0;
    long long span_row = run, span_column = start;
    if (per_row && w.flat) {
      const long long index = run * detail::kElementSegment + start;
      span_row = index / w.cols;
      span_column = index - span_row * w.cols;
    }
    const auto place = [&](int at, long long& row, long long& column) {
      row = span_row;
      column = span_column + ((at > 0 ? at : 0) - start);
      if (column < w.cols) return;
      // A span is shorter than 2^31: so is the column, unless rows are longer than that.
      const bool wide = w.cols >> 31 != 0;
      const unsigned rows =
          wide ? 1 : static_cast<unsigned>(column) / static_cast<unsigned>(w.cols);
      row += rows;
      column -= rows * w.cols;
    };

    pack<T> p[kElementPacks][kStreams];
#pragma unroll
    for (int b = 0; b < kElementPacks; ++b) {
      const int k = begin + b * 32;
      bool load = k < packs;
      if constexpr (Policy::kSelective) {
        long long row = 0, column = 0;
        if (per_row) place(first.first_column(k), row, column);
        load = load && policy.loads(row, column, kSize);
      }
#pragma unroll
      for (int i = 0; i < kStreams; ++i) {
        p[b][i].raw = make_uint4(0, 0, 0, 0);
        if (!load || (i > 0 && a.in[i].data == nullptr)) continue;
        const input_row<T> in = r.input(a.in[i]);
        p[b][i] = in.template load_columns<cache::streaming>(first.first_column(k), 0.0f,
                                                             in.head() == first.head());
      }
    }

#pragma unroll
    for (int b = 0; b < kElementPacks; ++b) {
      const int k = begin + b * 32;
      if (k >= packs) break;
      const int at = first.first_column(k);
      float x[kStreams][kSize], y[kOutputs][kSize], loss[kSize], sum = 0.0f;
#pragma unroll
      for (int i = 0; i < kStreams; ++i) unpack(p[b][i], x[i]);
      [[maybe_unused]] float weight[kSize], upstream[kSize];
      if constexpr (Policy::kFactors) {
        r.load_factors(a.weights, at, weight);
        r.load_factors(a.upstream, at, upstream);
      }
      long long row = 0, j = 0;
      if (per_row) {
        place(at, row, j);
        context = policy.at(row);
      }
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const bool inside = at + e >= 0 && at + e < length;
        if (per_row && inside && j == w.cols) {
          j = 0;
          context = policy.at(++row);
        }
        float of_x[kStreams], of_y[kOutputs];
#pragma unroll
        for (int i = 0; i < kStreams; ++i) of_x[i] = x[i][e];
        if constexpr (Policy::kFactors) {
          loss[e] = policy.element(context, of_x, j, weight[e], upstream[e], of_y);
        } else {
          loss[e] = policy.element(context, of_x, j, of_y);
        }
        sum += inside ? loss[e] : 0.0f;
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) y[i][e] = of_y[i];
        j += inside ? 1 : 0;
      }
      total += static_cast<double>(sum);
#pragma unroll
      for (int i = 0; i < kOutputs; ++i) {
        if (a.out[i].data == nullptr) continue;
        const output_row<T> out = r.output(a.out[i]);
        out.store_columns(at, y[i], out.head() == first.head());
      }
      if (a.losses.data != nullptr) {
        const output_row<float> out = r.output(a.losses);
        constexpr int kFloats = pack<float>::kSize;
#pragma unroll
        for (int h = 0; h < kSize; h += kFloats) {
          float part[kFloats];
#pragma unroll
          for (int e = 0; e < kFloats; ++e) part[e] = loss[h + e];
          out.store_columns(at + h, part, (out.head() + at + h) % kFloats == 0);
        }
      }
    }
  }
  if (a.partials == nullptr) return;
  const totals all = block_reduce(scratch).Reduce(totals{total, 0}, add_totals{});
  if (threadIdx.x == 0) a.partials[block_index()] = all;
}

}  // namespace culoss::kernels
