// Exponentials that are kept in 16 bits between the statistics and the gradient.
//
// E = 2^(l - shift) lies in [0, 1], so that all 16 bits are for its exponent and its significand:
//   half  6 and 10 bits: rounded to 11, as a half is; 0 below 2^-62
//   bf16  8 and 8 bits: rounded to 9; 0 below 2^-126
// The bits are those of the float, cut. A NaN is some number or other: the sum that it is part of is
// NaN, and so is everything that this number is multiplied by.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace culoss::kernels {

template <class T>
struct kept_number {
  static constexpr bool kIsHalf = std::is_same_v<T, __half>;
  static constexpr int kCut = kIsHalf ? 13 : 15;             // bits of a float's significand
  static constexpr float kRange = kIsHalf ? 62.0f : 126.0f;  // 2^-range is the least that is not 0
  // What lies so many bits below a column's largest is nothing beside it: half's range of gradients
  // ends there too.
  static constexpr float kNegligible = kIsHalf ? 38.0f : 60.0f;
  static constexpr std::uint32_t kBias = kIsHalf ? 64u << 23 : 0u;
  static constexpr std::uint32_t kLeast = (127u - (kIsHalf ? 62u : 126u)) << 23;

  __device__ static std::uint32_t encode(float e) {
    const std::uint32_t bits = __float_as_uint(e);
    return bits < kLeast ? 0 : ((bits - kBias + (1u << (kCut - 1))) >> kCut) & 0xffffu;
  }
  __device__ static float decode(std::uint32_t number) {
    const float cut = __uint_as_float(number << kCut);
    return kIsHalf ? cut * 0x1p64f : cut;
  }
};

// Those of a panel of rows: E row-major, and their shifts, one for each row and kKeptColumns
// columns.
inline constexpr int kKeptColumns = 256;

struct kept_exponentials {
  std::uint16_t* e;
  long long ld;        // a multiple of 8
  float* shifts;       // [columns / kKeptColumns][shift_ld]
  long long shift_ld;  // a multiple of 4

  // A warp's rows, four of them, and the columns [first, first + kKeptColumns), which begin a run:
  // a lane has two times four columns, as in fold_tile. Those up to `end` are written.
  template <class T>
  __device__ void store(int row, int rows, int first, int end, const float (&about)[4],
                        const float (&of)[4][8]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (row >= rows) return;
    if (lane == 0) {
      float* const at = shifts + first / kKeptColumns * shift_ld + row;
      *reinterpret_cast<float4*>(at) = make_float4(about[0], about[1], about[2], about[3]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = first + 128 * half + 4 * lane;
        if (row + i >= rows || column >= end) continue;
        std::uint32_t n[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) n[k] = kept_number<T>::encode(of[i][4 * half + k]);
        __stcs(reinterpret_cast<uint2*>(e + (row + i) * ld + column),
               make_uint2(n[0] | n[1] << 16, n[2] | n[3] << 16));
      }
    }
  }
};

}  // namespace culoss::kernels
