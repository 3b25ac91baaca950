// Kernels over the rows of embeddings: norms, the similarity of pairs, finished gradients. A warp a
// row.
//
// Moves: inverse_norms D s bytes a row; pair_similarity twice that; finish_gradients D (4 + s) to D
// (8 + s) read and D times the output's size written. One launch takes all matrices of a call.
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

inline constexpr int kMostMatrices = 3;  // queries, keys, negatives

// 1 / |x| from |x|^2; 0 for a zero vector.
__device__ inline float inverse_root(double square) {
  return square == 0.0 ? 0.0f : static_cast<float>(1.0 / sqrt(square));
}

// 1 / |x|. Summed in double: squares of floats neither overflow nor vanish.
template <class T>
__device__ float inverse_norm(const embeddings<T>& x, long long row) {
  double sum = 0.0;
  for (int d = static_cast<int>(threadIdx.x) % 32; d < x.dimension; d += 32) {
    const double v = x.at(row, d);
    sum += v * v;
  }
  sum = sum_of_lanes(sum);
  return inverse_root(sum);
}

// The rows of one matrix after those of another; those without rows are skipped.
template <class T>
struct norm_jobs {
  embeddings<T> x[kMostMatrices];
  long long rows[kMostMatrices];
  float* out[kMostMatrices];
};

template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    inverse_norms(const __grid_constant__ norm_jobs<T> jobs) {
  long long row = embedding_row();
#pragma unroll
  for (int i = 0; i < kMostMatrices; ++i) {
    if (row >= 0 && row < jobs.rows[i]) {
      const float norm = inverse_norm(jobs.x[i], row);
      if (threadIdx.x % 32 == 0) jobs.out[i][row] = norm;
    }
    row -= jobs.rows[i];
  }
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

// A gradient: of rows x, whose inverse norms are given where they are normalized, from sums U,
// [rows, dimension] without padding; null: 0.
template <class T>
struct gradient_job {
  embeddings<T> x;
  long long rows;
  const float* norms;
  const float* sums;
  void* out;  // of T, or float
  bool wide;
  long long ld;
};
template <class T>
struct gradient_jobs {
  gradient_job<T> of[kMostMatrices];
};

// dx = rest (U - <U, x> x / |x|^2), the second term where x is normalized; added to what stands
// there with `accumulate`.
template <class Out, class T>
__device__ void finish_row(const gradient_job<T>& job, long long row, const call_numbers* numbers,
                           bool accumulate) {
  const embeddings<T>& x = job.x;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool off = job.sums == nullptr || numbers->off != 0;
  const float* const sums = off ? nullptr : job.sums + row * x.dimension;
  float along = 0.0f;  // <U, x> / |x|; 1 / |x|^2 need not be a float
  if (job.norms != nullptr && !off) {
    for (int d = lane; d < x.dimension; d += 32) along += sums[d] * x.at(row, d);
    along = sum_of_lanes(along) * job.norms[row];
  }
  for (int d = lane; d < x.dimension; d += 32) {
    float v = 0.0f;
    if (!off) {
      v = sums[d];
      if (job.norms != nullptr) v -= along * (x.at(row, d) * job.norms[row]);
      v = scaled(v, numbers->column_rest, numbers->rest);
    }
    Out& o = static_cast<Out*>(job.out)[row * job.ld + d];
    o = from_float<Out>(accumulate ? to_float(o) + v : v);
  }
}

template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    finish_gradients(const __grid_constant__ gradient_jobs<T> jobs, const call_numbers* numbers,
                     bool accumulate) {
  long long row = embedding_row();
#pragma unroll
  for (int i = 0; i < kMostMatrices; ++i) {
    const gradient_job<T>& job = jobs.of[i];
    if (row >= 0 && row < job.rows) {
      if (job.wide) {
        finish_row<float>(job, row, numbers, accumulate);
      } else {
        finish_row<T>(job, row, numbers, accumulate);
      }
    }
    row -= job.rows;
  }
}

}  // namespace culoss::kernels
