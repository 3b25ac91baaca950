// Divergence of two rows of logits, x of p = softmax(x / T) and y of q = softmax(y / T):
//   d_j = ((x_j - max x) - (y_j - max y)) / T - (log z_p - log z_q) = log p_j - log q_j
//   KL(p | q) = sum_j p_j d_j
//     by x_j: (p_j / T) (d_j - KL)     by y_j: (q_j - p_j) / T
//   Jensen-Shannon, m = b p + (1 - b) q: b KL(p | m) + (1 - b) KL(q | m)
//     by x_j: b (p_j / T) (log(p_j / m_j) - KL(p | m))     by y_j: likewise of q and 1 - b
// As sum p = sum q = 1, KL(p | q) is also the sum of p (e^-d - 1 + d) = (q - p) + p d, terms that are
// not negative and of second order in d: of two rows that are nearly the same it keeps its digits,
// and what d has of the errors of log z_p and log z_q falls out. That takes d_j, and so a second
// reduction over the row.
// Moves, for elements of s bytes: 2 C s read; C s written for each gradient that is wanted. Rows
// that do not fit on chip: of KL the first form in one pass (wide_distillation_policy); of
// Jensen-Shannon both passes. Where there is a gradient either reads once more.
#pragma once

#include "kernels/labels.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct distillation_arguments {
  stream<T> in[2];   // x, y
  target<T> out[2];  // their gradients
  long long rows, cols;
  float beta;  // of Jensen-Shannon
  bool temperature_squared;
  scalar_argument temperature;
  labels all;  // null: every row counts
  gradient_scale scale;
  float* row_loss;
  fault_record* faults;
};

// log(1 + y) and y - log(1 + y), relatively exact for |y| < 1/4: with w = y / (2 + y) the logarithm
// is 2 artanh w, and y - 2 w = y w.
struct small_log1p {
  float log, excess;

  __device__ explicit small_log1p(float y) {
    const float w = __fdividef(y, 2.0f + y), s = w * w;
    const float t = w * s * fmaf(s, fmaf(s, fmaf(s, 1.0f / 9, 1.0f / 7), 0.2f), 1.0f / 3);
    log = 2.0f * (w + t);
    excess = fmaf(y, w, -2.0f * t);
  }
};

// What the policies of both forms share: one thread's view of its row.
template <class T>
struct distillation_row {
  using value = T;
  static constexpr int kStreams = 2;
  static constexpr int kOutputs = 2;
  using arguments = distillation_arguments<T>;

  struct coefficients {
    float shift[2], inverse[2];  // of x and y: the maximum, 1 / z
    float log_ratio;             // log z_p - log z_q; NaN where either row has no softmax
    float divergence[2];         // KL(p | q), or KL(p | m) and KL(q | m)
    float scale;                 // of both gradients
    float off;                   // not 0: the gradients are 0
  };

  const arguments& a;
  long long row;
  label_kind kind;
  float t;  // temperature
  float c;  // log2(e) / T

  __device__ distillation_row(const arguments& a, long long row) : a(a), row(row) {
    kind = a.all.data != nullptr ? a.all.kind(a.all[row]) : label_kind::counts;
    t = temperature_of(a.temperature);
    c = kLog2e / t;
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

 protected:
  __device__ float loss_factor() const { return a.temperature_squared ? t * t : 1.0f; }
  __device__ void write_loss(float divergence) const {
    if (a.row_loss != nullptr) {
      a.row_loss[row] = a.scale.weighted(row, loss_factor() * divergence);
    }
  }
  __device__ coefficients coefficients_of(const online_state& p, const online_state& q) const {
    coefficients k{};
    k.shift[0] = shift_of(p.max);
    k.shift[1] = shift_of(q.max);
    k.inverse[0] = 1.0f / p.sum;
    k.inverse[1] = 1.0f / q.sum;
    k.log_ratio = p.sum == 0.0f || q.sum == 0.0f ? NAN : logf(p.sum) - logf(q.sum);
    const float scale = a.temperature_squared ? a.scale.of(row) * t : a.scale.of(row) / t;
    k.scale = isnan(k.log_ratio) ? NAN : scale;
    k.off = a.scale.off() ? 1.0f : 0.0f;
    return k;
  }

  // One column.
  struct column {
    float p, q, d;  // d is NaN where both are masked
    bool masked[2];
  };
  __device__ column column_of(const coefficients& k, float x, float y) const {
    const float from_x = x - k.shift[0], from_y = y - k.shift[1];
    return {exp2_approx(from_x * c) * k.inverse[0],
            exp2_approx(from_y * c) * k.inverse[1],
            (from_x - from_y) * (c * (1.0f / kLog2e)) - k.log_ratio,
            {x == -INFINITY, y == -INFINITY}};
  }
  // e^-d - 1 + d for |d| < 1/2, by its series.
  __device__ static float second_order(float d) {
    const float series =
        fmaf(d, fmaf(d, fmaf(d, fmaf(d, 1.0f / 720, -1.0f / 120), 1.0f / 24), -1.0f / 6), 0.5f);
    return d * d * fmaf(d * d * d * d * d, fmaf(d, 1.0f / 40320, -1.0f / 5040), series);
  }
  __device__ static bool is_small(float d) { return fabsf(d) < 0.5f; }

  // By x of KL(p | q). Where that is infinite, this is +inf in the columns to blame and -inf in all
  // others of p.
  __device__ float by_p(const coefficients& k, const column& e) const {
    const float infinite = e.d == INFINITY ? INFINITY : -INFINITY;
    const float finite = e.p == 0.0f ? 0.0f : e.p * (e.d - k.divergence[0]);
    const float g = e.masked[0] ? 0.0f : isinf(k.divergence[0]) ? infinite : finite;
    return weigh(k.scale, g);
  }
};

// KL(p | q) or, with kMixture, Jensen-Shannon, of rows that stay on chip.
template <class T, bool kMixture>
struct distillation_policy : distillation_row<T> {
  using base = distillation_row<T>;
  using base::a;
  using base::base;
  using base::c;
  using typename base::arguments;
  using typename base::coefficients;
  using typename base::column;

  struct state {
    online_state p, q;
  };
  struct second {
    float sum[kMixture ? 2 : 1];
  };

  __device__ state identity() const { return {{-INFINITY, 0.0f}, {-INFINITY, 0.0f}}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[2][kPacks][kSize], const int (&)[kPacks]) const {
    fold(s.p, x[0], c);
    fold(s.q, x[1], c);
  }
  __device__ state merge(const state& x, const state& y) const {
    return {kernels::merge(x.p, y.p, c), kernels::merge(x.q, y.q, c)};
  }
  __device__ coefficients finish(const state& s) const { return this->coefficients_of(s.p, s.q); }

  __device__ second second_identity() const { return {}; }
  template <int kPacks, int kSize>
  __device__ void add_second(second& s, const coefficients& k, float (&x)[2][kPacks][kSize],
                             const int (&)[kPacks]) const {
    second total{};
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      second sum{};
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const column of = this->column_of(k, x[0][b][e], x[1][b][e]);
        const bool nothing = of.masked[0] & of.masked[1];
        if constexpr (kMixture) {
          const mixture m = mixture_of(of);
          sum.sum[0] += nothing ? 0.0f : m.of_p.excess;
          sum.sum[1] += nothing ? 0.0f : m.of_q.excess;
        } else {
          sum.sum[0] += nothing ? 0.0f : term(of);
        }
      }
      total = merge_second(total, sum);
    }
    s = merge_second(s, total);
  }
  __device__ second merge_second(const second& x, const second& y) const {
    second s = x;
    s.sum[0] += y.sum[0];
    if constexpr (kMixture) s.sum[1] += y.sum[1];
    return s;
  }
  __device__ coefficients finish(const coefficients& of_first, const second& s) const {
    coefficients k = of_first;
    const bool nan = isnan(k.log_ratio);
    k.divergence[0] = nan ? NAN : s.sum[0];
    if constexpr (kMixture) k.divergence[1] = nan ? NAN : s.sum[1];
    return k;
  }

  __device__ void write(const state&, const coefficients& k) const {
    float divergence = k.divergence[0];
    if constexpr (kMixture) {
      divergence = a.beta * k.divergence[0] + (1.0f - a.beta) * k.divergence[1];
    }
    this->write_loss(divergence);
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[2][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const column of = this->column_of(k, x[0][e], x[1][e]);
      if constexpr (kMixture) {
        const mixture m = mixture_of(of);
        const float by_p = of.p * (m.of_p.log - k.divergence[0]);
        const float by_q = of.q * (m.of_q.log - k.divergence[1]);
        x[0][e] = k.scale * (is_nothing(of.p) ? 0.0f : a.beta * by_p);
        x[1][e] = k.scale * (is_nothing(of.q) ? 0.0f : (1.0f - a.beta) * by_q);
      } else {
        x[0][e] = this->by_p(k, of);
        x[1][e] = k.scale * (of.q - of.p);
      }
    }
  }

 private:
  // p (e^-d - 1 + d)
  __device__ static float term(const column& e) {
    const float direct = (e.q - e.p) + (e.p == 0.0f ? 0.0f : e.p * e.d);
    const float all = e.d == INFINITY ? INFINITY : direct;
    return base::is_small(e.d) ? e.p * base::second_order(e.d) : all;
  }

  // Below the smallest normal number it has no reciprocal.
  __device__ static bool is_nothing(float p) { return p < 1.17549435e-38f; }
  // log(p / m), and p log(p / m) + m - p >= 0.
  struct part {
    float log, excess;
  };
  struct mixture {
    part of_p, of_q;
  };
  // `rise` is m - p.
  __device__ static part part_of(float p, float rise, float m) {
    const float y = __fdividef(rise, p);
    const small_log1p small(y);
    const float log = logf(__fdividef(m, p));
    const bool near = fabsf(y) < 0.25f;
    const part some = {near ? -small.log : -log, near ? p * small.excess : rise - p * log};
    return is_nothing(p) ? part{0.0f, rise} : some;
  }
  __device__ mixture mixture_of(const column& e) const {
    const float other = 1.0f - a.beta, m = a.beta * e.p + other * e.q;
    // e^-d - 1 of nearly equal p and q.
    const float fall = base::is_small(e.d) ? e.p * (base::second_order(e.d) - e.d) : e.q - e.p;
    return {part_of(e.p, other * fall, m), part_of(e.q, -a.beta * fall, m)};
  }
};

// KL(p | q) in one pass, from A = sum_j e_j ((x_j - max x) - (y_j - max y)), e_j = z_p p_j.
template <class T>
struct wide_distillation_policy : distillation_row<T> {
  using base = distillation_row<T>;
  using base::a;
  using base::base;
  using base::c;
  using base::t;
  using typename base::arguments;
  using typename base::coefficients;
  using typename base::column;

  struct state {
    online_state p, q;
    float weighted;  // A
  };

  __device__ state identity() const { return {{-INFINITY, 0.0f}, {-INFINITY, 0.0f}, 0.0f}; }
  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[2][kPacks][kSize], const int (&)[kPacks]) const {
    const state before = s;
    fold(s.p, x[0], c);
    fold(s.q, x[1], c);
    const float shift_x = shift_of(s.p.max), shift_y = shift_of(s.q.max);
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
      float sum = 0.0f;
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const float from_x = x[0][b][e] - shift_x, from_y = x[1][b][e] - shift_y;
        const float some = exp2_approx(from_x * c) * (from_x - from_y);
        const float any = from_y == -INFINITY ? INFINITY : some;
        sum += from_x == -INFINITY ? 0.0f : any;
      }
      total += sum;
    }
    s.weighted = moved(before, s) + total;
  }
  __device__ state merge(const state& x, const state& y) const {
    state s{kernels::merge(x.p, y.p, c), kernels::merge(x.q, y.q, c), 0.0f};
    s.weighted = moved(x, s) + moved(y, s);
    return s;
  }

  __device__ coefficients finish(const state& s) const {
    coefficients k = this->coefficients_of(s.p, s.q);
    const float divergence = s.weighted * k.inverse[0] / t - k.log_ratio;
    k.divergence[0] = divergence < 0.0f ? 0.0f : divergence;
    return k;
  }
  __device__ void write(const state&, const coefficients& k) const {
    this->write_loss(k.divergence[0]);
  }
  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[2][kSize], int) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const column of = this->column_of(k, x[0][e], x[1][e]);
      x[0][e] = this->by_p(k, of);
      x[1][e] = k.scale * (of.q - of.p);
    }
  }

 private:
  // A about other maxima. Infinite it stays.
  __device__ float moved(const state& from, const state& to) const {
    if (from.p.sum == 0.0f || isinf(from.weighted)) return from.weighted;
    const float fall = shift_of(from.p.max) - shift_of(to.p.max);
    const float rise = shift_of(from.q.max) - shift_of(to.q.max);
    return exp2_approx(fall * c) * (from.weighted + from.p.sum * (fall - rise));
  }
};

}  // namespace culoss::kernels
