// The anchors of a mined triplet loss and their gradients, from differences of the raw embeddings in
// double. A warp a row.
//
// Moves, for embeddings of D s bytes a row: describe_rows one of them and a label; choose_positive
// and finish_anchor the anchor and each of the at most four candidates that it kept (all rows where
// one that it did not keep may be as good); finish_mined_gradient the row and each row that it makes
// a chosen pair with, on average 4, and the gradient once.
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/embedding_rows.cuh"
#include "kernels/labels.cuh"
#include "kernels/mining_tiles.cuh"

namespace culoss::kernels {

enum class distance_kind : int { euclidean, squared, cosine };

// What all kernels of a call know of its rows.
template <class T>
struct mined_rows {
  embeddings<T> x;
  long long rows;
  distance_kind kind;
  const double* inverse_norms;  // with cosine: 1 / |x|, 0 for a zero vector
  const long long* labels;
  long long ignore_index;
  const int* not_finite;  // 1 where an embedding that is not ignored is not finite

  __device__ bool ignored(long long i) const { return labels[i] == ignore_index; }
  // What orders the distances from row i, by a warp: |x_i - x_j|^2, or |u_i - u_j|^2 / 2 = 1 - cos.
  __device__ double value(long long i, long long j) const {
    const bool cosine = kind == distance_kind::cosine;
    const double a = cosine ? inverse_norms[i] : 1.0, b = cosine ? inverse_norms[j] : 1.0;
    if (cosine && (a == 0.0 || b == 0.0)) return 1.0;
    double sum = 0.0;
    for (int d = static_cast<int>(threadIdx.x) % 32; d < x.dimension; d += 32) {
      const double difference =
          a * static_cast<double>(x.at(i, d)) - b * static_cast<double>(x.at(j, d));
      sum += difference * difference;
    }
    sum = sum_of_lanes(sum);
    return cosine ? 0.5 * sum : sum;
  }
  __device__ double distance(double value) const {
    return kind == distance_kind::euclidean ? sqrt(value) : value;
  }
};

// What is needed of a row: its size in float, the inverse of its norm, its label in 64 bits, whether
// it is finite.
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    describe_rows(const embeddings<T> x, long long rows, bool cosine, const labels all,
                  float* sizes, double* inverse_norms, long long* wide_labels, int* not_finite) {
  const long long row = embedding_row();
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const long long label = all[row];
  double sum = 0.0;
  bool finite = true;
  for (int d = lane; label != all.ignore_index && d < x.dimension; d += 32) {
    const double v = x.at(row, d);
    finite = finite && isfinite(v);
    sum += v * v;
  }
  sum = sum_of_lanes(sum);
  if (!finite) atomicOr(not_finite, 1);
  if (lane != 0) return;
  wide_labels[row] = label;
  const double inverse = sum == 0.0 ? 0.0 : 1.0 / sqrt(sum);
  inverse_norms[row] = inverse;
  sizes[row] = static_cast<float>(cosine ? inverse : sum);
}

struct best_column {
  double value;
  int index;
};

// The column of the least value(j) among those that it admits, ties to the lowest: of the kept ones,
// or, where one that is not kept may be as good, of all that are candidates.
template <class Candidate, class Admits, class Value>
__device__ best_column pick(const least_columns& kept, int columns, const Candidate& candidate,
                            const Admits& admits, const Value& value) {
  best_column best{INFINITY, kNoIndex};
  const auto consider = [&](int j) {
    const double v = value(j);
    if (admits(v) && (v < best.value || (v == best.value && j < best.index))) best = {v, j};
  };
  for (int k = 0; k < kKept; ++k) {
    if (kept.index[k] != kNoIndex) consider(kept.index[k]);
  }
  if (!kept.full() || static_cast<double>(kept.last_bound()) > best.value) return best;
  for (int j = 0; j < columns; ++j) {
    if (candidate(j)) consider(j);
  }
  return best;
}

// An anchor's triplet.
struct mined_anchor {
  double to_positive, to_negative;  // distances
  float slope;                      // d loss / d z
  float weight;                     // slope times what the gradient is multiplied by
  int positive, negative;           // kNoIndex: none
};

// Writes the positive, its value and, as a float that is not above it, what negatives must exceed.
template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    choose_positive(const mined_rows<T> m, long long first, long long count,
                    const least_columns* kept, mined_anchor* anchors, float* above) {
  const long long row = embedding_row();
  if (row >= count) return;
  const long long a = first + row;
  const long long label = m.labels[a];
  const best_column best = pick(
      kept[row], static_cast<int>(m.rows), [&](int j) { return m.labels[j] == label && j != a; },
      [](double) { return true; }, [&](int j) { return -m.value(a, j); });
  if (threadIdx.x % 32 != 0) return;
  const bool none = best.index == kNoIndex;
  anchors[a] = {none ? 0.0 : -best.value, 0.0, 0.0f, 0.0f, best.index, kNoIndex};
  above[row] = none ? -INFINITY : static_cast<float>(-best.value * (1.0 - 0x1p-22));
}

struct anchor_rule {
  bool semi_hard;
  bool soft;
  double margin;
};
struct anchor_outputs {
  mined_anchor* anchors;
  float* loss;           // or null
  unsigned char* count;  // whether the anchor counts
  long long* positives;  // or null
  long long* negatives;  // or null
};

// max(0, z) or log(1 + exp(z)), and its derivative.
__device__ inline double triplet_loss(bool soft, double z, double& slope) {
  if (!soft) {
    slope = z > 0.0 ? 1.0 : 0.0;
    return z > 0.0 ? z : 0.0;
  }
  const double e = exp(-fabs(z));
  slope = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
  return (z > 0.0 ? z : 0.0) + log1p(e);
}

template <class T>
__global__ void __launch_bounds__(kEmbeddingThreads)
    finish_anchor(const mined_rows<T> m, long long first, long long count,
                  const least_columns* positives, const least_columns* negatives,
                  const anchor_rule rule, const gradient_scale by, const anchor_outputs out) {
  const long long row = embedding_row();
  if (row >= count) return;
  const long long a = first + row;
  const long long label = m.labels[a];
  mined_anchor anchor = out.anchors[a];
  const double value = anchor.to_positive;
  const bool found = positives[row].index[0] != kNoIndex && negatives[row].index[0] != kNoIndex;
  const bool finite = *m.not_finite == 0;
  best_column best{0.0, kNoIndex};
  if (found && finite) {
    best = pick(
        negatives[row], static_cast<int>(m.rows),
        [&](int j) { return m.labels[j] != label && m.labels[j] != m.ignore_index; },
        [&](double v) { return !rule.semi_hard || v > value; },
        [&](int j) { return m.value(a, j); });
  }
  __syncwarp();  // all lanes have read the anchor
  if (threadIdx.x % 32 != 0) return;
  anchor.to_positive = m.distance(value);
  anchor.to_negative = m.distance(best.value);
  bool counts = found && best.index != kNoIndex;
  if (rule.semi_hard) counts = counts && anchor.to_negative < anchor.to_positive + rule.margin;
  double loss = 0.0, slope = 0.0;
  if (counts) {
    loss = triplet_loss(rule.soft, anchor.to_positive - anchor.to_negative + rule.margin, slope);
  }
  if (found && !finite) loss = NAN;
  anchor.slope = static_cast<float>(slope);
  anchor.negative = counts ? best.index : kNoIndex;
  anchor.positive = counts ? anchor.positive : kNoIndex;
  out.anchors[a] = anchor;
  out.count[a] = counts || (found && !finite);
  if (out.loss != nullptr) out.loss[a] = by.weighted(a, static_cast<float>(loss));
  if (out.positives != nullptr) out.positives[a] = counts ? anchor.positive : -1;
  if (out.negatives != nullptr) out.negatives[a] = counts ? anchor.negative : -1;
}

// Sums over the anchors that end a call: how many count.
struct count_anchors {
  const unsigned char* counts;
  __device__ totals operator()(long long i) const {
    return {static_cast<double>(counts[i]), counts[i]};
  }
};
struct write_mined_count {
  totals* counted;
  long long* count;  // or null
  __device__ void operator()(const totals& t) const {
    *counted = t;
    if (count != nullptr) *count = t.count;
  }
};

}  // namespace culoss::kernels
