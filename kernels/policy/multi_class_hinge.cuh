// Multi-class hinge loss of a row with label t, from z_j = (x_j - x_t) + m of the other columns:
//   sum:  L = (w_t / C) sum_{j != t} max(0, z_j)^k     dL/dx_j = (w_t / C) k z_j^(k-1) where z_j > 0
//   max:  L = w_t max(0, max_{j != t} z_j)^k           that column's alone, the lowest of equals
//   dL/dx_t = -sum_{j != t} dL/dx_j
// Moves, for elements of s bytes: C s read; C s written where there is a gradient. x_t comes from the
// thread that holds it, by a first reduction. Rows that do not fit on chip: it is read by itself, and
// the row once more where there is a gradient.
#pragma once

#include "kernels/labels.cuh"
#include "kernels/row_extras.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct multi_class_hinge_arguments {
  stream<T> in[1];
  target<T> out[1];
  long long rows, cols;
  labels all;
  const float* class_weights;
  float margin;
  bool squared;
  bool largest;  // max, not sum
  gradient_scale scale;
  float* row_loss;
  fault_record* faults;
};

// What the policies of both kinds of kernel share: one thread's view of its row.
template <class T>
struct multi_class_hinge_row {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  using arguments = multi_class_hinge_arguments<T>;

  struct sums {
    float loss;   // of max(0, z)^k
    float slope;  // of its derivatives
    best_column best;
  };
  struct coefficients {
    float target;  // x_t
    float loss;    // of the row, with the class's weight
    float slope;   // of z, in all columns
    float scale;   // NaN where the row has no loss
    int column;    // max: the only one with a gradient
    float off;     // not 0: the gradient is 0
  };

  const arguments& a;
  long long row;
  label_kind kind;
  int label;  // the column of a row that counts

  __device__ multi_class_hinge_row(const arguments& a, long long row) : a(a), row(row) {
    const long long given = a.all[row];
    kind = a.all.kind(given);
    label = kind == label_kind::counts ? static_cast<int>(given) : -1;
  }

  __device__ static float absent(int) { return -INFINITY; }
  __device__ bool skip() const { return kind != label_kind::counts; }
  __device__ float fill() const {
    return kind == label_kind::ignored || a.scale.off() ? 0.0f : NAN;
  }
  __device__ void write_skipped() const {
    if (kind == label_kind::bad) report_bad_label(a.faults, row);
    if (a.row_loss != nullptr) a.row_loss[row] = kind == label_kind::ignored ? 0.0f : NAN;
  }
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }

  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int column) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const bool own = column + e == label;
      const bool none = a.largest && column + e != k.column;
      const float other = none ? 0.0f : slope_of(excess_of(x[0][e], k.target));
      x[0][e] = weigh(k.scale, own ? -k.slope : other);
    }
  }

 protected:
  __device__ sums no_sums() const { return {0.0f, 0.0f, best_column::none()}; }
  template <int kPacks, int kSize>
  __device__ void add_sums(sums& s, float target, float (&x)[1][kPacks][kSize],
                           const int (&column)[kPacks]) const {
    sums total{};
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        float& v = x[0][b][e];
        v = column[b] + e == label ? -INFINITY : v;
        const float z = excess_of(v, target);
        total.loss += power_of(z);
        total.slope += slope_of(z);
      }
    }
    s.loss += total.loss;
    s.slope += total.slope;
    if (a.largest) s.best.add(x[0], column);
  }
  __device__ static sums merge_sums(const sums& x, const sums& y) {
    return {x.loss + y.loss, x.slope + y.slope, best_column::merge(x.best, y.best)};
  }
  __device__ coefficients coefficients_of(float target, const sums& s) const {
    const float weight = a.class_weights != nullptr ? __ldg(a.class_weights + label) : 1.0f;
    const float z = excess_of(s.best.value, target);
    const float share = a.largest ? weight : weight / static_cast<float>(a.cols);
    const float loss = a.largest ? power_of(z) : s.loss;
    const bool nan = isnan(loss) || isnan(target);
    coefficients k;
    k.target = target;
    k.loss = nan ? NAN : weigh(share, loss);
    k.slope = a.largest ? slope_of(z) : s.slope;
    k.scale = nan ? NAN : a.scale.of(row) * share;
    k.column = s.best.index;
    k.off = a.scale.off() ? 1.0f : 0.0f;
    return k;
  }
  __device__ void write_loss(const coefficients& k) const {
    if (a.row_loss != nullptr) a.row_loss[row] = a.scale.weighted(row, k.loss);
  }

 private:
  // z; a masked column stays far below.
  __device__ float excess_of(float x, float target) const {
    return x == -INFINITY ? x : (x - target) + a.margin;
  }
  __device__ float power_of(float z) const {
    const float above = z <= 0.0f ? 0.0f : z;  // NaN stays
    return a.squared ? above * above : above;
  }
  __device__ float slope_of(float z) const {
    const float above = z > 0.0f ? 1.0f : 0.0f;
    return a.squared ? (z > 0.0f ? 2.0f * z : 0.0f) : above;
  }
};

template <class T>
struct multi_class_hinge_policy : multi_class_hinge_row<T> {
  using base = multi_class_hinge_row<T>;
  using typename base::arguments;
  using typename base::coefficients;
  using second = typename base::sums;
  using base::base;

  struct state {
    unsigned target;  // bits of x_t in the one thread that holds it, else 0
  };

  __device__ state identity() const { return {0}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&column)[kPacks]) const {
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        s.target |= column[b] + e == this->label ? __float_as_uint(x[0][b][e]) : 0u;
      }
    }
  }
  __device__ state merge(const state& x, const state& y) const { return {x.target | y.target}; }
  __device__ coefficients finish(const state& s) const {
    coefficients k{};
    k.target = __uint_as_float(s.target);
    return k;
  }

  __device__ second second_identity() const { return this->no_sums(); }
  template <int kPacks, int kSize>
  __device__ void add_second(second& s, const coefficients& k, float (&x)[1][kPacks][kSize],
                             const int (&column)[kPacks]) const {
    this->add_sums(s, k.target, x, column);
  }
  __device__ second merge_second(const second& x, const second& y) const {
    return base::merge_sums(x, y);
  }
  __device__ coefficients finish(const coefficients& k, const second& s) const {
    return this->skip() ? k : this->coefficients_of(k.target, s);
  }
  __device__ void write(const state&, const coefficients& k) const { this->write_loss(k); }
};

template <class T>
struct wide_multi_class_hinge_policy : multi_class_hinge_row<T> {
  using base = multi_class_hinge_row<T>;
  using typename base::arguments;
  using typename base::coefficients;
  using state = typename base::sums;

  float target;

  // Of a row that exists.
  __device__ wide_multi_class_hinge_policy(const arguments& a, long long row) : base(a, row) {
    target = this->skip() ? 0.0f : to_float(__ldcg(a.in[0].data + row * a.in[0].ld + this->label));
  }

  __device__ state identity() const { return this->no_sums(); }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&column)[kPacks]) const {
    this->add_sums(s, target, x, column);
  }
  __device__ state merge(const state& x, const state& y) const { return base::merge_sums(x, y); }
  __device__ coefficients finish(const state& s) const { return this->coefficients_of(target, s); }
  __device__ void write(const state&, const coefficients& k) const { this->write_loss(k); }
};

}  // namespace culoss::kernels
