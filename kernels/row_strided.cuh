// The row policies for rows whose columns are not innermost ([N, C, inner]; a row is a position):
// neighboring threads take neighboring positions, so that every access to a class is coalesced.
//
// Moves, per row of C elements of s bytes: C s read once where the block's tile fits on chip, else
// twice where there is a gradient; C s written once. `inner` of 32 or more makes each access of a
// warp one run of memory.
//
//   rows_strided<Policy, 1, P>    one thread a row, for few columns
//   rows_strided<Policy, G, P>    G warps share the columns of 32 rows: warp g has g, g + G, ...
//   rows_strided_by_four<...>     likewise with four positions a thread, 8 columns of each in flight,
//                                 and each row finished by one thread alone; where 4 divides `inner`
//                                 and the addresses allow it four that lie together, so that an
//                                 access of a warp is 256 bytes of 16-bit logits, 512 of floats
//
// Predicted for an H200, not measured: rows_strided has 8 KB of 16-bit logits in flight on a
// multiprocessor, by four it is 32 KB, about what the memory's latency times its rate asks of each.
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

// Of four rows of a block, those of thread `place` in its group, where their columns begin: rows that
// lie together, or each beside those of the neighboring threads.
template <class T, int kPlaces, bool kTogether>
struct four_rows {
  static constexpr int kRows = 4 * kPlaces;  // of the block
  using raw_type = typename quad<T>::raw_type;

  bool there[4];
  long long row[4], begin[kTogether ? 1 : 4];
  long long inner;

  template <class Arguments>
  __device__ four_rows(const Arguments& a, long long first, int place) : inner(a.inner) {
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      row[v] = first + in_block(place, v);
      there[v] = row[v] < a.rows;
      if (!there[v]) row[v] = 0;
      if (kTogether && v > 0) continue;
      const long long image = row[v] / a.inner;
      begin[v] = image * a.cols * a.inner + (row[v] - image * a.inner);
    }
  }
  __device__ static int in_block(int place, int v) {
    return kTogether ? 4 * place + v : v * kPlaces + place;
  }

  template <cache kCache>
  __device__ quad<T> load(const T* data, int column) const {
    const auto one = [](const auto* p) { return kCache == cache::level2 ? __ldcg(p) : __ldcs(p); };
    if constexpr (kTogether) {
      return {one(reinterpret_cast<const raw_type*>(data + begin[0] + column * inner))};
    } else {
      T x[4] = {};
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        if (there[v]) x[v] = one(data + begin[v] + column * inner);
      }
      quad<T> q;
      memcpy(&q.raw, x, sizeof q.raw);
      return q;
    }
  }
  __device__ void store(T* data, int column, const quad<T>& q) const {
    if constexpr (kTogether) {
      __stcs(reinterpret_cast<raw_type*>(data + begin[0] + column * inner), q.raw);
    } else {
      T x[4];
      memcpy(x, &q.raw, sizeof q.raw);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        if (there[v]) __stcs(data + begin[v] + column * inner, x[v]);
      }
    }
  }
};

// kSaved: the states are known from an earlier call. on_chip: the raw elements wait in shared memory
// until they are written.
template <class Policy, int kGroups, bool kSaved, bool kTogether>
__global__ void __launch_bounds__(detail::kStridedThreads, 2)
    rows_strided_by_four(const __grid_constant__ typename Policy::arguments a, bool on_chip) {
  using T = typename Policy::value;
  using state = typename Policy::state;
  using coefficients = typename Policy::coefficients;
  static_assert(Policy::kStreams == 1 && Policy::kOutputs == 1);
  constexpr int kBatch = detail::kStridedBatch, kThreads = detail::kStridedThreads;
  constexpr int kPlaces = kThreads / kGroups;
  using rows_type = four_rows<T, kPlaces, kTogether>;
  constexpr int kRows = rows_type::kRows;
  auto* const states = reinterpret_cast<state*>(dynamic_shared());  // by group and row
  auto* const of_rows = reinterpret_cast<coefficients*>(
      dynamic_shared() + detail::strided_states_by_four(sizeof(state)) / 16);
  auto* const chip = reinterpret_cast<quad<T>*>(
      dynamic_shared() +
      detail::strided_shared_by_four(kGroups, sizeof(state), sizeof(coefficients)) / 16);

  static_assert(detail::strided_states_by_four(sizeof(state)) % 16 == 0 &&
                detail::strided_shared_by_four(kGroups, sizeof(state), sizeof(coefficients)) % 16 ==
                    0);
  const int thread = static_cast<int>(threadIdx.x);
  const int group = thread / kPlaces, place = thread % kPlaces;
  const long long first_row = block_index() * kRows;
  const rows_type rows(a, first_row, place);
  const T* const in = a.in[0].data;
  const int cols = static_cast<int>(a.cols);

  if constexpr (!kSaved) {
    state s[4];
    {
      const Policy policy[4] = {
          {a, rows.row[0]}, {a, rows.row[1]}, {a, rows.row[2]}, {a, rows.row[3]}};
      bool read = false;
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        s[v] = policy[v].identity();
        read = read || (rows.there[v] && !policy[v].skip());
      }
      const int end = read ? cols : 0;
      for (int j = group; j < end; j += kBatch * kGroups) {
        quad<T> q[kBatch] = {};
        int column[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          column[b] = j + b * kGroups;
          if (column[b] < cols) q[b] = rows.template load<cache::level2>(in, column[b]);
        }
        float x[4][1][kBatch][1];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          float y[4];
          q[b].unpack(y);
          const bool there = column[b] < cols;
          if (on_chip && there) chip[column[b] * kPlaces + place] = q[b];
#pragma unroll
          for (int v = 0; v < 4; ++v) x[v][0][b][0] = there ? y[v] : Policy::absent(0);
        }
#pragma unroll
        for (int v = 0; v < 4; ++v) policy[v].add(s[v], x[v], column);
      }
    }
#pragma unroll
    for (int v = 0; v < 4; ++v) states[group * kRows + rows.in_block(place, v)] = s[v];
    __syncthreads();
  }
  const bool writes = a.out[0].data != nullptr;
#pragma unroll 1
  for (int i = thread; i < kRows; i += kThreads) {
    if (first_row + i >= a.rows) break;
    const Policy policy(a, first_row + i);
    if (policy.skip()) {
      policy.write_skipped();
      continue;
    }
    coefficients c;
    if constexpr (kSaved) {
      c = policy.finish();
    } else {
      state s = states[i];
#pragma unroll 1
      for (int g = 1; g < kGroups; ++g) s = policy.merge(s, states[g * kRows + i]);
      c = policy.finish(s);
      policy.write(s, c);
    }
    of_rows[i] = c;
  }
  if (!writes) return;
  __syncthreads();

  const Policy policy[4] = {{a, rows.row[0]}, {a, rows.row[1]}, {a, rows.row[2]}, {a, rows.row[3]}};
  coefficients c[4];
  bool constant[4], read = false, any_there = false;
  float fill[4];
#pragma unroll
  for (int v = 0; v < 4; ++v) {
    const bool skipped = !rows.there[v] || policy[v].skip();
    any_there = any_there || rows.there[v];
    c[v] = skipped ? coefficients{} : of_rows[rows.in_block(place, v)];
    constant[v] = skipped || policy[v].zero(c[v]);
    fill[v] = skipped ? policy[v].fill() : 0.0f;
    read = read || !constant[v];
  }
  if (!any_there) return;
  T* const out = a.out[0].data;
  for (int j = group; j < cols; j += kBatch * kGroups) {
    quad<T> q[kBatch] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {  // the loads of a batch do not wait for its stores
      const int column = j + b * kGroups;
      if (column >= cols || !read) continue;
      q[b] = on_chip ? chip[column * kPlaces + place]
                     : rows.template load<cache::streaming>(in, column);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int column = j + b * kGroups;
      if (column >= cols) break;
      float x[4];
      q[b].unpack(x);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        float y[1][1] = {{x[v]}};
        policy[v].apply(c[v], y, column);
        x[v] = constant[v] ? fill[v] : y[0][0];
      }
      rows.store(out, column, quad<T>::of(x));
    }
  }
}

}  // namespace culoss::kernels
