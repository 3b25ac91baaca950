// Losses of two or three embeddings a row: the sums that their distances are made of, a loss of
// those few numbers, and the gradient of each embedding while the row is on chip. A policy of
// row_softmax.cuh, with a stream and an output for each embedding.
//
// Moves, per row of D elements of s bytes: D s for each embedding, read once, and D s for each
// gradient that is wanted, written once; the embeddings a second time where there is a gradient and
// the row does not fit on chip.
//
// Sums are of exact differences or products in double: a square neither overflows nor vanishes, and
// 1 - cos keeps its digits where the embeddings are nearly parallel. What each element is multiplied
// by is a power of two and a float near 1, so that no product leaves float's range if the gradient
// does not.
//
// A Loss is a plain struct with
//   kVectors, kCosine, kLabels   2 or 3 embeddings; cosines or distances; whether rows have labels
//   needs_last()                 with three: whether the distance of the last two is looked at
//   operator()(label, pairs)     a pair_loss<kVectors> from the pairs (0, 1), (0, 2), (1, 2)
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/labels.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

// What a loss sees of two embeddings.
struct embedding_pair {
  double square;    // |x - y|^2
  double cosine;    // 0 where one of them is zero
  double distance;  // 1 - cosine
};

// Its loss, and the derivatives by the pair (0, 1) and, of three embeddings, by one more: without
// cosines what multiplies x - y in the gradient of x, with them the derivative by 1 - cosine.
template <int kVectors>
struct pair_loss {
  double loss;
  double slope[kVectors - 1];
  bool last;  // the other one is (1, 2), not (0, 2)
};

// Labels of pairs: 1 and, for those that are not alike, 0 or -1.
struct pair_labels : labels {
  long long unlike;

  __device__ label_kind kind(long long label) const {
    const label_kind k = label == 1 || label == unlike ? label_kind::counts : label_kind::bad;
    return label == ignore_index ? label_kind::ignored : k;
  }
};

template <class T, class Loss>
struct pair_arguments {
  stream<T> in[Loss::kVectors];
  target<T> out[Loss::kVectors];
  long long rows, cols;
  Loss loss;
  pair_labels all;
  gradient_scale scale;
  float* row_loss;
  fault_record* faults;
};

// 2^-e for a size of 2^e or more, but less than twice that; e at most 126 either way.
__device__ inline float inverse_power(double size) {
  const int exponent = static_cast<int>(__double_as_longlong(size) >> 52 & 0x7ff) - 1023;
  const int e = exponent < -126 ? -126 : exponent > 126 ? 126 : exponent;
  return __uint_as_float(static_cast<unsigned>(127 - e) << 23);
}

// A factor that need not be a float.
struct wide_factor {
  float power, rest;

  __device__ static wide_factor of(double c) {
    const float inverse = inverse_power(fabs(c));
    return {1.0f / inverse, static_cast<float>(c * static_cast<double>(inverse))};
  }
  __device__ float operator*(float x) const { return x * power * rest; }
  __device__ bool zero() const { return rest == 0.0f; }
};

// The pull of a pair along its difference: w (x - y) for x, the opposite for y.
struct difference_pull {
  float shrink;  // 1/4 where the difference need not be a float
  wide_factor weight;

  __device__ static difference_pull of(double weight, double square) {
    const bool huge = square > 0x1p252;
    return {huge ? 0.25f : 1.0f, wide_factor::of(huge ? 4.0 * weight : weight)};
  }
  __device__ bool zero() const { return weight.zero(); }
  __device__ void operator()(float x, float y, float& dx, float& dy) const {
    const float pull = weight * (x * shrink - y * shrink);
    dx = pull;
    dy = -pull;
  }
};

// The pull of a pair towards each other's direction, from embeddings times a power of two each: for
// x along what is left of y without its part along x, and the other way round. With that part's
// coefficient in two floats the remainder is rounded once.
struct cosine_pull {
  float along_x[2], along_y[2];
  wide_factor weight_x, weight_y;

  // weight: of 1 - cosine; from <x, x>, <y, y>, <x, y> and the powers.
  __device__ static cosine_pull of(double weight, double xx, double yy, double xy, float power_x,
                                   float power_y) {
    const double px = power_x, py = power_y, product = sqrt(xx * yy);
    const bool zero = product == 0.0;
    const double slope = zero ? weight * 0.0 : -weight / product;
    const double of_x = zero ? 0.0 : xy / xx * (py / px), of_y = zero ? 0.0 : xy / yy * (px / py);
    cosine_pull p;
    p.along_x[0] = static_cast<float>(of_x);
    p.along_x[1] = static_cast<float>(of_x - static_cast<double>(p.along_x[0]));
    p.along_y[0] = static_cast<float>(of_y);
    p.along_y[1] = static_cast<float>(of_y - static_cast<double>(p.along_y[0]));
    p.weight_x = wide_factor::of(slope / py);
    p.weight_y = wide_factor::of(slope / px);
    return p;
  }
  __device__ bool zero() const { return weight_x.zero() && weight_y.zero(); }
  __device__ void operator()(float x, float y, float& dx, float& dy) const {
    dx = weight_x * fmaf(-along_x[1], x, fmaf(-along_x[0], x, y));
    dy = weight_y * fmaf(-along_y[1], y, fmaf(-along_y[0], y, x));
  }
};

template <class T, class Loss>
struct embedding_pair_policy {
  using value = T;
  static constexpr int kVectors = Loss::kVectors;
  static constexpr int kStreams = kVectors;
  static constexpr int kOutputs = kVectors;
  static constexpr int kPairs = kVectors == 2 ? 1 : 3;
  static constexpr bool kCosine = Loss::kCosine;
  using arguments = pair_arguments<T, Loss>;
  using pull = std::conditional_t<kCosine, cosine_pull, difference_pull>;

  struct state {
    double of_pair[kPairs];                    // |x - y|^2, or <x, y>
    double of_vector[kCosine ? kVectors : 1];  // <x, x>
  };
  struct coefficients {
    pull pulls[kVectors - 1];
    float powers[kCosine ? kVectors : 1];
    float loss;
    float last;  // not 0: the other pair is (1, 2)
    float off;   // not 0: the gradients are 0
  };

  const arguments& a;
  long long row;
  long long label;
  label_kind kind;

  __device__ embedding_pair_policy(const arguments& a, long long row)
      : a(a), row(row), label(0), kind(label_kind::counts) {
    if constexpr (Loss::kLabels) {
      label = a.all[row];
      kind = a.all.kind(label);
    }
  }

  __device__ static int first(int pair) { return pair == 2 ? 1 : 0; }
  __device__ static int second(int pair) { return pair == 0 ? 1 : 2; }

  __device__ static float absent(int) { return 0.0f; }
  __device__ bool skip() const { return kind != label_kind::counts; }
  __device__ float fill() const {
    return kind == label_kind::ignored || a.scale.off() ? 0.0f : NAN;
  }
  __device__ void write_skipped() const {
    if (kind == label_kind::bad) report_bad_label(a.faults, row);
    if (a.row_loss != nullptr) a.row_loss[row] = kind == label_kind::ignored ? 0.0f : NAN;
  }
  __device__ bool zero(const coefficients& k) const {
    bool none = true;
#pragma unroll
    for (int i = 0; i < kVectors - 1; ++i) none = none && k.pulls[i].zero();
    return none || k.off != 0.0f;
  }

  __device__ state identity() const { return {}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[kVectors][kPacks][kSize], const int (&)[kPacks]) const {
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      state of_pack{};
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        double v[kVectors];
#pragma unroll
        for (int i = 0; i < kVectors; ++i) v[i] = static_cast<double>(x[i][b][e]);
#pragma unroll
        for (int p = 0; p < kPairs; ++p) {
          if (p == 2 && !a.loss.needs_last()) continue;
          const double one = v[first(p)], other = v[second(p)], difference = one - other;
          of_pack.of_pair[p] += kCosine ? one * other : difference * difference;
        }
        if constexpr (kCosine) {
#pragma unroll
          for (int i = 0; i < kVectors; ++i) of_pack.of_vector[i] += v[i] * v[i];
        }
      }
      s = merge(s, of_pack);
    }
  }
  __device__ state merge(const state& x, const state& y) const {
    state s{};
#pragma unroll
    for (int p = 0; p < kPairs; ++p) s.of_pair[p] = x.of_pair[p] + y.of_pair[p];
    if constexpr (kCosine) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) s.of_vector[i] = x.of_vector[i] + y.of_vector[i];
    }
    return s;
  }

  __device__ coefficients finish(const state& s) const {
    embedding_pair pairs[kPairs];
    bool finite = true;
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      pairs[p] = pair_of(s, p);
      finite = finite && isfinite(s.of_pair[p]);
    }
    if constexpr (kCosine) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) finite = finite && isfinite(s.of_vector[i]);
    }
    const pair_loss<kVectors> of = a.loss(label, pairs);
    const double scale = static_cast<double>(a.scale.of(row));
    coefficients k{};
    k.loss = finite ? static_cast<float>(of.loss) : NAN;
    k.off = a.scale.off() ? 1.0f : 0.0f;
    k.last = of.last ? 1.0f : 0.0f;
    if constexpr (kCosine) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) k.powers[i] = inverse_power(sqrt(s.of_vector[i]));
    }
#pragma unroll
    for (int i = 0; i < kVectors - 1; ++i) {
      const double weight = finite ? of.slope[i] * scale : static_cast<double>(NAN);
      const bool last = i == 1 && of.last;
      if constexpr (kCosine) {
        const int one = last ? 1 : 0;
        const double xx = last ? s.of_vector[1] : s.of_vector[0];
        const double xy = i == 0 ? s.of_pair[0] : last ? s.of_pair[kPairs - 1] : s.of_pair[i];
        k.pulls[i] = cosine_pull::of(weight, xx, s.of_vector[i + 1], xy,
                                     one == 1 ? k.powers[1] : k.powers[0], k.powers[i + 1]);
      } else {
        const double square = i == 0 ? s.of_pair[0] : last ? s.of_pair[kPairs - 1] : s.of_pair[i];
        k.pulls[i] = difference_pull::of(weight, square);
      }
    }
    return k;
  }
  __device__ void write(const state&, const coefficients& k) const {
    if (a.row_loss != nullptr) a.row_loss[row] = a.scale.weighted(row, k.loss);
  }

  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[kVectors][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      float v[kVectors], dx[kVectors];
#pragma unroll
      for (int i = 0; i < kVectors; ++i) v[i] = kCosine ? x[i][e] * k.powers[i] : x[i][e];
      k.pulls[0](v[0], v[1], dx[0], dx[1]);
      if constexpr (kVectors == 3) {
        float other = 0.0f;
        k.pulls[1](k.last != 0.0f ? v[1] : v[0], v[2], other, dx[2]);
        dx[0] += k.last != 0.0f ? 0.0f : other;
        dx[1] += k.last != 0.0f ? other : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kVectors; ++i) x[i][e] = dx[i];
    }
  }

 private:
  __device__ static embedding_pair pair_of(const state& s, int p) {
    if constexpr (kCosine) {
      const double product = sqrt(s.of_vector[first(p)] * s.of_vector[second(p)]);
      if (product == 0.0) return {0.0, 0.0, 1.0};
      // The product of the squares is a double, and the root of that of two equal ones is exact.
      const double distance = fmax(product - s.of_pair[p], 0.0) / product;
      return {0.0, fmin(s.of_pair[p] / product, 1.0), distance};
    } else {
      return {s.of_pair[p], 0.0, 0.0};
    }
  }
};

}  // namespace culoss::kernels
