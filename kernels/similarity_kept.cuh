// From the kept exponentials to the gradient of the similarities, in place: the kernel between the
// statistics and the two products where no product is computed again.
//
// With the shift t of row i's 256 columns, E_ij = 2^(l_ij - t), 0 for the positive and where
// something masks:
//
//   G_ij = r_i c_j (E_ij [slope_i 2^(t - shift_i)] + [E_ij 2^(t - shift_j)] slope_j)
//
// the second term where the loss is symmetric; the positive's is its own coefficient. 2 bytes read
// and 2 written an element, in accesses of 16 bytes, 4 for each row and 256 columns, and 16 for each
// column and 16 rows, 4 for an element that is 0 of a symmetric loss.
//
// E_ij is 0 where l_ij lies too far below t for 16 bits. For its row that is nothing; a column can
// have its largest there. Such elements are found here, from t and the column's largest alone, and
// taken from the embeddings again: exact, slow and seldom (below).
#pragma once

#include "kernels/embedding_rows.cuh"
#include "kernels/similarity_tiles.cuh"

namespace culoss::kernels {

inline constexpr int kKeptRowsOfWarp = 16, kKeptRows = kGradientThreads / 32 * kKeptRowsOfWarp;
static_assert(kKeptColumns == kFoldColumns && kKeptColumns == 32 * 8);

// The embeddings of a tile's rows and columns.
template <class T>
struct raw_rows {
  embeddings<T> queries, keys;
};

// Whether any of eight kept numbers is 0.
__device__ inline bool any_zero(const uint4& n) {
  const auto zero = [](std::uint32_t w) { return (w - 0x00010001u) & ~w & 0x80008000u; };
  return (zero(n.x) | zero(n.y) | zero(n.z) | zero(n.w)) != 0;
}

template <class T>
__device__ void unpack_kept(const uint4& n, float (&e)[8]) {
  const std::uint32_t words[4] = {n.x, n.y, n.z, n.w};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    e[2 * k] = kept_number<T>::decode(words[k] & 0xffffu);
    e[2 * k + 1] = kept_number<T>::decode(words[k] >> 16);
  }
}

// dl_ij from the two embeddings, by all lanes of a warp.
template <class T>
__device__ float derivative_again(const similarity_tile& t, const gradient_sides& sides,
                                  const raw_rows<T>& raw, int i, int j) {
  if (t.is_masked(i, j)) return 0.0f;
  float dot = 0.0f;
  for (int d = static_cast<int>(threadIdx.x) % 32; d < raw.queries.dimension; d += 32) {
    dot += raw.queries.at(i, d) * raw.keys.at(j, d);
  }
  const float l = sum_of_lanes(dot) * t.row_scale(i) * t.col_norm(j);
  const side_coefficients r = sides.rows[i], c = sides.cols[j];
  return r.slope * exp2_approx(l - r.shift) + c.slope * exp2_approx(l - c.shift);
}

// A warp takes sixteen rows of 256 columns, four at a time; a lane eight columns, for whose
// coefficients it has room. Tiles here are as wide as the matrix.
template <class T, bool kColumns>
__global__ void __launch_bounds__(kGradientThreads)
    gradient_of_kept(const __grid_constant__ similarity_tile t,
                     const __grid_constant__ gradient_sides sides,
                     const __grid_constant__ kept_exponentials kept,
                     const __grid_constant__ raw_rows<T> raw) {
  using number = kept_number<T>;
  constexpr int kRows = 4, kSpan = 8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int begin = static_cast<int>(blockIdx.x) * kKeptRows + warp * kKeptRowsOfWarp;
  const int end = begin + kKeptRowsOfWarp < t.rows ? begin + kKeptRowsOfWarp : t.rows;
  const float column_factor = t.numbers->column_factor, row_factor = t.numbers->row_factor;
  const int chunks = (t.cols + kKeptColumns - 1) / kKeptColumns;
  for (int chunk = static_cast<int>(blockIdx.y); chunk < chunks;
       chunk += static_cast<int>(gridDim.y)) {
    const int column = chunk * kKeptColumns + kSpan * lane;
    float norm[kSpan], shift[kColumns ? kSpan : 1], slope[kColumns ? kSpan : 1];
#pragma unroll
    for (int k = 0; k < kSpan; ++k) {
      const bool exists = column + k < t.cols;
      norm[k] = exists ? t.col_norm(column + k) * column_factor : 0.0f;
      if constexpr (kColumns) {
        shift[k] = exists ? sides.cols[column + k].shift : 0.0f;  // and no slope: not there
        slope[k] = exists ? sides.cols[column + k].slope : 0.0f;
      }
    }
    for (int row = begin; row < end; row += kRows) {
      const bool positives = t.meets_positives(row, kRows, chunk * kKeptColumns, kKeptColumns);
      std::uint16_t* const at = kept.e + row * kept.ld + column;
      uint4 numbers[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const bool exists = row + i < end && column < t.cols;
        numbers[i] = exists ? __ldcs(reinterpret_cast<const uint4*>(at + i * kept.ld))
                            : make_uint4(0, 0, 0, 0);
      }
      const float4 shifts =
          __ldcg(reinterpret_cast<const float4*>(kept.shifts + chunk * kept.shift_ld + row));
      const float about[kRows] = {shifts.x, shifts.y, shifts.z, shifts.w};
      unsigned lost = 0;  // elements whose 0 is not known to be one
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (row + i >= end) break;
        const side_coefficients of_row = sides.rows[row + i];
        const float of_e = of_row.slope * exp2_approx(about[i] - of_row.shift);
        const float r = (t.row_norms != nullptr ? t.row_norms[row + i] : 1.0f) * row_factor;
        float e[kSpan], g[kSpan];
        unpack_kept<T>(numbers[i], e);
#pragma unroll
        for (int k = 0; k < kSpan; ++k) {
          float d = of_e * e[k];
          if constexpr (kColumns) {
            // Above 2^126 there is no number that is not 0.
            d += slope[k] * (e[k] * exp2_approx(fminf(about[i] - shift[k], 127.0f)));
          }
          if (positives && t.is_positive(row + i, column + k)) {
            d = of_row.target + (kColumns ? sides.cols[column + k].target : 0.0f);
          }
          g[k] = d * (r * norm[k]);
        }
        if (column < t.cols) {  // ld is a multiple of 8
          *reinterpret_cast<uint4*>(at + i * kept.ld) = repack<T>(g).raw;
        }
        if constexpr (kColumns) {
          if (column >= t.cols || !any_zero(numbers[i])) continue;
#pragma unroll
          for (int k = 0; k < kSpan; ++k) {
            const int j = column + k;
            // A slope of 0: nothing in this column has a gradient.
            if (e[k] != 0.0f || slope[k] == 0.0f || t.is_positive(row + i, j)) continue;
            const float most = about[i] - number::kRange - sides.cols[j].best;
            lost |= most > -number::kNegligible ? 1u << (kSpan * i + k) : 0u;
          }
        }
      }
      if constexpr (kColumns) {
        // One after the other, each by all lanes; the lane whose element it is writes it again.
        unsigned lanes = __ballot_sync(kAllLanes, lost != 0);
        for (; lanes != 0; lanes &= lanes - 1) {
          const int source = __ffs(static_cast<int>(lanes)) - 1;
          unsigned elements = __shfl_sync(kAllLanes, lost, source);
          for (; elements != 0; elements &= elements - 1) {
            const int which = __ffs(static_cast<int>(elements)) - 1;
            const int i = row + which / kSpan;
            const int j = chunk * kKeptColumns + kSpan * source + which % kSpan;
            const float d = derivative_again(t, sides, raw, i, j);
            const float r = (t.row_norms != nullptr ? t.row_norms[i] : 1.0f) * row_factor;
            if (lane != source) continue;
            reinterpret_cast<T*>(kept.e)[i * kept.ld + j] =
                from_float<T>(d * (r * (t.col_norm(j) * column_factor)));
          }
        }
      }
    }
  }
}

}  // namespace culoss::kernels
