// Softmax cross-entropy of a row with label t, from the statistics of the other columns:
//   m = max_{j != t} x_j   z = sum_{j != t} exp((x_j - m) / T)   d = (x_t - m) / T - log z
//   -log p_t = softplus(-d)   1 - p_t = sigmoid(-d)   p_j = (1 - p_t) exp((x_j - m) / T) / z
// so that loss and gradient are relatively exact also where p_t -> 1. Smoothing rides along as
// A = sum_j w_j (x_j - m) and W = sum_j w_j over the columns that are not -inf:
//   sum_j -w_j log p_j = W (lse - m) - A,  lse - m = log z + softplus(d)
#pragma once

#include <culoss/cross_entropy.hpp>

#include "kernels/gradient_scale.cuh"
#include "kernels/labels.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

template <class T>
struct cross_entropy_arguments {
  stream<T> in[1];
  T* out;
  long long ld, rows, cols;
  labels all;
  const float* class_weights;
  const float* row_weights;
  float smoothing;
  scalar_argument temperature;
  gradient_scale scale;
  float* row_loss;
  unsigned char* row_correct;
  float* lse;
  row_statistics<float>* statistics;   // written by the forward call
  const row_statistics<float>* saved;  // read by the backward call
  long long* argmax;
  fault_record* faults;
};

// kFull: with label smoothing or arg-max; without either, neither costs anything.
template <class T, bool kFull>
struct cross_entropy_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr float kAbsent = -INFINITY;
  using arguments = cross_entropy_arguments<T>;

  struct extras {
    float weighted;  // A, without the target
    float weight;    // W, without the target
    float best;      // the largest logit so far, NaN above all
    int index;       // its lowest column
  };
  struct nothing {};
  struct plain_state {
    online_state others;
    unsigned target;  // bits of the target's logit in the one thread that holds it, else 0
  };
  struct full_state {
    online_state others;
    unsigned target;
    extras more;
  };
  using state = std::conditional_t<kFull, full_state, plain_state>;

  struct coefficients {
    float shift;
    float slope;    // of exp((x_j - m) / T)
    float target;   // gradient at the target
    float smooth;   // times w_j, subtracted
    float d;        // margin of the target over the others
    float log_sum;  // log z
    float off;      // not 0: the gradient is 0
  };

  const arguments& a;
  long long row;
  label_kind kind;
  int label;  // the column of a row that counts
  float t;    // temperature
  float c;    // log2(e) / T

  __device__ cross_entropy_policy(const arguments& a, long long row) : a(a), row(row) {
    const long long given = a.all[row];
    kind = a.all.kind(given);
    label = kind == label_kind::counts ? static_cast<int>(given) : -1;
    t = temperature_of(a.temperature);
    c = kLog2e / t;
  }

  __device__ bool skip() const { return kind != label_kind::counts; }
  // The gradient of a row that is not read: 0 too where the divisor switches all gradients off.
  __device__ float fill() const {
    return kind == label_kind::ignored || a.scale.off() ? 0.0f : NAN;
  }
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }
  // What a column counts in the smoothing: nothing if it is masked, the target, or not there.
  __device__ float mass(float x, int column) const {
    const bool seen = x != -INFINITY;
    const float w = seen && a.class_weights != nullptr ? __ldg(a.class_weights + column) : 1.0f;
    return seen ? w : 0.0f;
  }
  __device__ float weight_of(int column) const {
    return a.class_weights != nullptr ? __ldg(a.class_weights + column) : 1.0f;
  }

  __device__ state identity() const {
    if constexpr (kFull) {
      return {{-INFINITY, 0.0f}, 0u, {0.0f, 0.0f, -INFINITY, kNoColumn}};
    } else {
      return {{-INFINITY, 0.0f}, 0u};
    }
  }

  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&column)[kPacks]) const {
    if constexpr (kFull) find_best(s.more, x[0], column);
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {  // the target leaves the others
      const int at = label - column[b];
      if (at < 0 || at >= kSize) continue;
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        if (e != at) continue;
        s.target = __float_as_uint(x[0][b][e]);
        x[0][b][e] = -INFINITY;
      }
    }
    const float before = s.others.max;
    fold(s.others, x[0], c);
    if constexpr (kFull) {
      if (a.smoothing > 0.0f) add_weights(s.more, before, s.others.max, x[0], column);
    }
  }

  __device__ state merge(const state& x, const state& y) const {
    state s = x;
    s.others = kernels::merge(x.others, y.others, c);
    s.target = x.target | y.target;
    if constexpr (kFull) {
      s.more.weighted =
          moved(x.more, x.others.max, s.others.max) + moved(y.more, y.others.max, s.others.max);
      s.more.weight = x.more.weight + y.more.weight;
      if (better(y.more, x.more)) {
        s.more.best = y.more.best;
        s.more.index = y.more.index;
      }
    }
    return s;
  }

  __device__ coefficients finish(const state& s) const {
    float weight = 0.0f;
    if constexpr (kFull) weight = with_target(s.more.weight, __uint_as_float(s.target));
    return coefficients_of(s.others.max, s.others.sum, logf(s.others.sum), 1.0f / s.others.sum,
                           __uint_as_float(s.target), weight);
  }
  // From what an earlier call left.
  __device__ coefficients finish() const {
    if (skip()) return {};
    const row_statistics<float> s = a.saved[row];
    const float sum = s.log_sum == -INFINITY ? 0.0f : 1.0f;  // only whether it is 0 matters
    return coefficients_of(s.max, isnan(s.log_sum) ? NAN : sum, s.log_sum, expf(-s.log_sum),
                           s.target, s.weight);
  }

  __device__ void write(const state& s, const coefficients& k) const {
    const float target = __uint_as_float(s.target);
    const bool alone = s.others.sum == 0.0f;  // no other column that is not -inf
    const float above = alone ? 0.0f : k.log_sum + softplus(k.d);  // lse - m / T
    if (a.row_loss != nullptr) {
      const float ce = softplus(-k.d);
      float loss = weigh((1.0f - a.smoothing) * weight_of(label), ce);
      if constexpr (kFull) {
        if (a.smoothing > 0.0f) {
          float smooth = alone ? 0.0f : s.more.weight * above - s.more.weighted / t;
          if (target != -INFINITY) smooth += weigh(weight_of(label), ce);
          loss += a.smoothing / static_cast<float>(a.cols) * smooth;
        }
      }
      a.row_loss[row] = a.row_weights != nullptr ? weigh(a.row_weights[row], loss) : loss;
    }
    if (a.lse != nullptr) {
      const bool confident = k.d > 0.0f;  // then the target is the better shift
      a.lse[row] = confident || alone ? target / t + softplus(-k.d) : s.others.max / t + above;
    }
    if (a.statistics != nullptr) {
      float weight = 0.0f;
      if constexpr (kFull) {
        if (a.smoothing > 0.0f) weight = with_target(s.more.weight, target);
      }
      const bool nan = isnan(k.d);
      a.statistics[row] = nan ? row_statistics<float>{NAN, NAN, NAN, NAN}
                              : row_statistics<float>{s.others.max, k.log_sum, target, weight};
    }
    if constexpr (kFull) {
      const int best = s.more.index == kNoColumn ? 0 : s.more.index;
      if (a.argmax != nullptr) a.argmax[row] = best;
      if (a.row_correct != nullptr) a.row_correct[row] = best == label;
    }
  }
  __device__ void write_skipped() const {
    const float v = kind == label_kind::ignored ? 0.0f : NAN;
    if (kind == label_kind::bad) report_bad_label(a.faults, row);
    if (a.row_loss != nullptr) a.row_loss[row] = v;
    if (a.lse != nullptr) a.lse[row] = v;
    if (a.statistics != nullptr) a.statistics[row] = {v, v, v, v};
    if (a.argmax != nullptr) a.argmax[row] = -1;
    if (a.row_correct != nullptr) a.row_correct[row] = 0;
  }

  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int column) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float v = x[0][e];
      float g = k.slope * exp2_approx((v - k.shift) * c);
      if constexpr (kFull) {
        if (a.smoothing > 0.0f) g -= k.smooth * mass(v, column + e);
      }
      x[0][e] = g;
    }
    const int at = label - column;
    if (at < 0 || at >= kSize) return;
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      if (e == at) x[0][e] = k.target;
    }
  }

 private:
  static constexpr int kNoColumn = 0x7fffffff;

  __device__ float with_target(float weight, float target) const {
    return target == -INFINITY ? weight : weight + weight_of(label);
  }

  // sum is needed only as 0, NaN or neither: 0 means that there is no other column but -inf.
  __device__ coefficients coefficients_of(float max, float sum, float log_sum, float inverse_sum,
                                          float target, float weight) const {
    coefficients k;
    const bool alone = sum == 0.0f;
    if (alone) {
      k.d = isfinite(target) ? INFINITY : NAN;
    } else {
      k.d = target == INFINITY ? NAN : (target - max) / t - log_sum;
    }
    k.log_sum = log_sum;
    k.shift = shift_of(max);
    k.off = a.scale.off() ? 1.0f : 0.0f;
    float scale = a.scale.of(row) / t;
    if (a.row_weights != nullptr) scale *= a.row_weights[row];
    const float p = sigmoid(k.d), q = sigmoid(-k.d);  // p_t and 1 - p_t
    const float own = (1.0f - a.smoothing) * weight_of(label);
    const float share = kFull ? a.smoothing / static_cast<float>(a.cols) : 0.0f;
    k.smooth = scale * share;
    k.slope = alone && !isnan(k.d) ? 0.0f : scale * q * (own + share * weight) * inverse_sum;
    k.target = -scale * (own * q);
    if (kFull && a.smoothing > 0.0f) {
      const float of_target = target == -INFINITY ? 0.0f : weight_of(label);
      k.target += k.smooth * (p * weight - of_target);
    }
    return k;
  }

  // Sums about a maximum that has risen since: each seen weight's distance grows by the rise.
  __device__ static float moved(const extras& s, float from, float to) {
    return s.weight == 0.0f ? s.weighted : s.weighted + (from - to) * s.weight;
  }
  template <int kPacks, int kSize>
  __device__ void add_weights(extras& s, float before, float max, const float (&x)[kPacks][kSize],
                              const int (&column)[kPacks]) const {
    s.weighted = moved(s, before, max);
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        const float w = mass(x[b][e], column[b] + e);
        s.weighted += w == 0.0f ? 0.0f : w * (x[b][e] - max);
        s.weight += w;
      }
    }
  }

  __device__ static bool better(const extras& x, const extras& y) {
    if (isnan(x.best) || isnan(y.best)) {
      return isnan(x.best) && (!isnan(y.best) || x.index < y.index);
    }
    return x.best > y.best || (x.best == y.best && x.index < y.index);
  }
  template <int kPacks, int kSize>
  __device__ void find_best(extras& s, const float (&x)[kPacks][kSize],
                            const int (&column)[kPacks]) const {
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {
#pragma unroll
      for (int e = 0; e < kSize; ++e) {  // columns rise: the first of equals stays
        const float v = x[b][e];
        const bool larger = (v > s.best) | (isnan(v) & !isnan(s.best));
        s.best = larger ? v : s.best;
        s.index = larger ? column[b] + e : s.index;
      }
    }
  }
};

}  // namespace culoss::kernels
