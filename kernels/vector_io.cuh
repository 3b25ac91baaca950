// Moving rows in 16-byte packs, whatever the alignment of their first element and their width.
//
// A row is seen as the 16-byte packs of memory that it touches. Packs that lie inside it move with
// one 16-byte access; the at most two that it shares with something else (padding, the next row)
// move element by element, so that nothing outside the row is touched.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace culoss::kernels {

// A matrix to read, and one to write (null: not wanted).
template <class T>
struct stream {
  const T* data;
  long long ld;
};

template <class T>
struct target {
  T* data;
  long long ld;
};
template <class T, int kOutputs>
__device__ bool any(const target<T> (&out)[kOutputs]) {
  bool given = false;
#pragma unroll
  for (int i = 0; i < kOutputs; ++i) given |= out[i].data != nullptr;
  return given;
}

// How long loaded data is worth keeping.
enum class cache { streaming, level2 };

template <class T>
struct pack {
  static constexpr int kSize = 16 / sizeof(T);
  uint4 raw;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ T from_float(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(x);
  } else {
    return __float2bfloat16_rn(x);
  }
}

template <class T>
__device__ void unpack(const pack<T>& p, float (&x)[pack<T>::kSize]) {
  const std::uint32_t words[4] = {p.raw.x, p.raw.y, p.raw.z, p.raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4) {
      x[i] = __uint_as_float(words[i]);
    } else if constexpr (std::is_same_v<T, __half>) {
      x[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] & 0xffffu)));
      x[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
    } else {  // a bf16 is the upper half of a float
      x[2 * i] = __uint_as_float(words[i] << 16);
      x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
}

template <class T>
__device__ pack<T> repack(const float (&x)[pack<T>::kSize]) {
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4) {
      words[i] = __float_as_uint(x[i]);
    } else if constexpr (std::is_same_v<T, __half>) {
      const __half2 pair = __floats2half2_rn(x[2 * i], x[2 * i + 1]);
      words[i] = __half_as_ushort(pair.x) | static_cast<std::uint32_t>(__half_as_ushort(pair.y))
                                                << 16;
    } else {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
      words[i] = __bfloat16_as_ushort(pair.x) |
                 static_cast<std::uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
    }
  }
  return {make_uint4(words[0], words[1], words[2], words[3])};
}

// Four elements: 8 bytes of 16-bit types, 16 of floats.
template <class T>
struct quad {
  using raw_type = std::conditional_t<sizeof(T) == 4, uint4, uint2>;
  raw_type raw;

  __device__ void unpack(float (&x)[4]) const {
    if constexpr (sizeof(T) == 4) {
      kernels::unpack(pack<T>{raw}, x);
    } else {
      float twice[8];
      kernels::unpack(pack<T>{make_uint4(raw.x, raw.y, 0, 0)}, twice);
#pragma unroll
      for (int v = 0; v < 4; ++v) x[v] = twice[v];
    }
  }
  __device__ static quad of(const float (&x)[4]) {
    if constexpr (sizeof(T) == 4) {
      return {repack<T>(x).raw};
    } else {
      const float twice[8] = {x[0], x[1], x[2], x[3], 0.0f, 0.0f, 0.0f, 0.0f};
      const uint4 all = repack<T>(twice).raw;
      return {make_uint2(all.x, all.y)};
    }
  }
};

template <cache kCache>
__device__ uint4 load16(const void* p) {
  const auto* q = static_cast<const uint4*>(p);
  return kCache == cache::streaming ? __ldcs(q) : __ldcg(q);
}

// One row of `cols` elements as packs of kCount, 16 bytes unless it says otherwise. Pack k holds
// columns first_column(k) ... + kSize - 1, of which the first and the last pack may lack some.
template <class T, int kCount = pack<T>::kSize>
class row_view {
 public:
  static constexpr int kSize = kCount;

  __device__ row_view(T* data, int cols)
      : data_(data),
        cols_(cols),
        head_(static_cast<int>(reinterpret_cast<std::uintptr_t>(data) % (kCount * sizeof(T)) /
                               sizeof(T))) {}

  __device__ int packs() const { return (cols_ + head_ + kSize - 1) / kSize; }
  __device__ int first_column(int k) const { return k * kSize - head_; }
  __device__ int head() const { return head_; }
  __device__ bool whole(int first) const { return first >= 0 && first + kSize <= cols_; }
  __device__ int cols() const { return cols_; }
  __device__ T* data() const { return data_; }

 protected:
  T* data_;
  int cols_;
  int head_;  // elements of pack 0 that lie before the row
};

// An input row. Columns that are not there read as `absent`.
template <class T>
class input_row : public row_view<const T> {
  using base = row_view<const T>;

 public:
  using base::base;

  template <cache kCache>
  __device__ pack<T> load(int k, float absent) const {
    return load_columns<kCache>(this->first_column(k), absent, true);
  }
  // The columns [first, first + kSize) of another row's packs: one access only if `aligned` says
  // that both rows begin at the same place in their 16 bytes.
  template <cache kCache>
  __device__ pack<T> load_columns(int first, float absent, bool aligned) const {
    if (aligned && this->whole(first)) return {load16<kCache>(this->data_ + first)};
    float x[base::kSize];
#pragma unroll
    for (int e = 0; e < base::kSize; ++e) {
      const int j = first + e;
      x[e] = j >= 0 && j < this->cols_ ? to_float(this->data_[j]) : absent;
    }
    return repack<T>(x);  // exact: each value came from T
  }
};

// An output row. Columns that are not there are not written. Packs of 8 bytes are what 16-bit
// results of floats come in; the next kernel reads those, so they stay in the cache.
template <class T, int kCount = pack<T>::kSize>
class output_row : public row_view<T, kCount> {
  using base = row_view<T, kCount>;
  static_assert(kCount * sizeof(T) == 16 || kCount * sizeof(T) == 8);

 public:
  using base::base;

  __device__ void store_columns(int first, const float (&x)[base::kSize], bool aligned) const {
    if (aligned && this->whole(first)) {
      if constexpr (kCount * sizeof(T) == 16) {
        __stcs(reinterpret_cast<uint4*>(this->data_ + first), repack<T>(x).raw);
      } else {
        *reinterpret_cast<uint2*>(this->data_ + first) = quad<T>::of(x).raw;
      }
      return;
    }
#pragma unroll
    for (int e = 0; e < base::kSize; ++e) {
      const int j = first + e;
      if (j >= 0 && j < this->cols_) this->data_[j] = from_float<T>(x[e]);
    }
  }
};

}  // namespace culoss::kernels
