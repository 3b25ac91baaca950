// Kernels over the rows of embeddings: norms, the similarity of pairs, finished gradients. A warp a
// row.
//
// Moves: inverse_norms D s bytes a row; pair_similarity twice that; finish_gradient D (4 + s) to D
// (8 + s) read and D times the output's size written.
#pragma once

#include "kernels/similarity_state.cuh"
#include "kernels/vector_io.cuh"
#include "kernels/warp.cuh"

namespace culoss::kernels {

inline constexpr int kEmbeddingThreads = 256;
inline constexpr int kEmbeddingRows = kEmbeddingThreads / 32;

template <class T>
struct embeddings {
  const T* data;
  long long ld;
  int dimension;

  __device__ float at(long long row, int d) const { return to_float(data[row * ld + d]); }
};

__device__ inline long long embedding_row() {
  return block_index() * kEmbeddingRows + threadIdx.x / 32;
}
template <class Sum>
__device__ Sum sum_of_lanes(Sum x) {
  return merge_lanes<32>(x, [](Sum a, Sum b) { return a + b; });
}

// 1 / |x| from |x|^2; 0 for a zero vector.
__device__ inline float inverse_root(double square) {
  return square == 0.0 ? 0.0f : static_cast<float>(1.0 / sqrt(square));
}

// 1 / |x|. Summed in double: squares of floats neither overflow nor vanish.
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    inverse_norms(const embeddings<T> x, long long rows, float* out) {
  const long long row = embedding_row();
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double sum = 0.0;
  for (int d = lane; d < x.dimension; d += 32) {
    const double v = x.at(row, d);
    sum += v * v;
  }
  sum = sum_of_lanes(sum);
  if (lane == 0) out[row] = inverse_root(sum);
}

// l of the pairs (x_i, y_i), where their similarities are in no tile.
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    pair_similarity(const embeddings<T> x, const embeddings<T> y, long long rows,
                    const float* x_norms, const float* y_norms, const call_numbers* numbers,
                    float* out) {
  const long long row = embedding_row();
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float dot = 0.0f;
  for (int d = lane; d < x.dimension; d += 32) dot += x.at(row, d) * y.at(row, d);
  dot = sum_of_lanes(dot);
  if (lane != 0) return;
  const float r = x_norms != nullptr ? x_norms[row] : 1.0f;
  const float c = y_norms != nullptr ? y_norms[row] : 1.0f;
  const float l = dot * (numbers->bits * r) * c;
  out[row] = fmaf(l, 0.0f, l);  // an infinite one is NaN, as in a tile
}

// Their part in both sums of gradients: the start of du, or what comes after it with `add`, and all
// that dv gets.
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    pair_gradient(const embeddings<T> x, const embeddings<T> y, long long rows,
                  const float* x_norms, const float* y_norms, const call_numbers* numbers,
                  const side_coefficients* of_rows, float* du, float* dv, bool add) {
  const long long row = embedding_row();
  if (row >= rows) return;
  const float r = x_norms != nullptr ? x_norms[row] : 1.0f;
  const float c = y_norms != nullptr ? y_norms[row] : 1.0f;
  const float g = of_rows[row].target * (r * numbers->row_factor * (c * numbers->column_factor));
  for (int d = static_cast<int>(threadIdx.x) % 32; d < x.dimension; d += 32) {
    if (du != nullptr) {
      float& u = du[row * x.dimension + d];
      u = add ? fmaf(g, y.at(row, d), u) : g * y.at(row, d);
    }
    if (dv != nullptr) dv[row * x.dimension + d] = g * x.at(row, d);
  }
}

// x a b in the order that stays in float's range if the result does.
__device__ inline float scaled(float x, float a, float b) {
  const bool a_first = (fabsf(x) > 1.0f) == (fabsf(a) < fabsf(b));
  return a_first ? x * a * b : x * b * a;
}

// dx = rest (U - <U, x> x / |x|^2), the second term where x is normalized; added to what stands
// there with `accumulate`. sums is U, [rows, dimension] without padding; null: 0.
template <class T, class Out>
__global__ void __launch_bounds__(kEmbeddingThreads)
    finish_gradient(const embeddings<T> x, long long rows, const float* norms, const float* sums,
                    const call_numbers* numbers, Out* out, long long ld, bool accumulate) {
  const long long row = embedding_row();
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool off = sums == nullptr || numbers->off != 0;
  float along = 0.0f;  // <U, x> / |x|; 1 / |x|^2 need not be a float
  if (norms != nullptr && !off) {
    for (int d = lane; d < x.dimension; d += 32) {
      along += sums[row * x.dimension + d] * x.at(row, d);
    }
    along = sum_of_lanes(along) * norms[row];
  }
  for (int d = lane; d < x.dimension; d += 32) {
    float v = 0.0f;
    if (!off) {
      v = sums[row * x.dimension + d];
      if (norms != nullptr) v -= along * (x.at(row, d) * norms[row]);
      v = scaled(v, numbers->column_rest, numbers->rest);
    }
    Out& o = out[row * ld + d];
    o = from_float<Out>(accumulate ? to_float(o) + v : v);
  }
}

}  // namespace culoss::kernels
