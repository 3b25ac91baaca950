// Softmax cross-entropy and softmax focal loss of a row with label t, from the statistics of the
// other columns; y_j = cap(x_j):
//   m = max_{j != t} y_j   z = sum_{j != t} exp((y_j - m) / T)   d = (y_t - m) / T - log z
//   -log p_t = softplus(-d)   1 - p_t = sigmoid(-d)   p_j = (1 - p_t) exp((y_j - m) / T) / z
// so that loss and gradient are relatively exact also where p_t -> 1. With the focal factor
// f = (1 - p_t)^gamma, which is 1 for cross-entropy:
//   L = f softplus(-d)     -L'(d) = f (gamma p_t softplus(-d) + 1 - p_t)
//   dL/dy_t = L'(d) / T    dL/dy_j = -L'(d) / T exp((y_j - m) / T) / z
// Smoothing rides along as A = sum_j w_j (y_j - m) and W = sum_j w_j over the columns that are not
// -inf:  sum_j -w_j log p_j = W (lse - m) - A,  lse - m = log z + softplus(d)
// and the entropy as B = sum_{j != t} e_j log e_j of the exponentials e_j that z sums:
//   H = p_t softplus(-d) + (1 - p_t) (softplus(d) + log z - B / z)
#pragma once

#include <culoss/cross_entropy.hpp>

#include "kernels/divisor.cuh"
#include "kernels/labels.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/row_extras.cuh"
#include "kernels/row_softmax.cuh"

namespace culoss::kernels {

// Columns may be a shard of all classes, [first_class, first_class + cols) of all.classes, and rows
// a part of all rows, from first_row on. Of a row whose target is in another shard all columns are
// others; its statistics, merged with those of the other shards, say the rest.
template <class T, class R = T>
struct cross_entropy_arguments {
  stream<T> in[1];
  target<R> out[1];
  long long rows, cols;
  long long inner;  // strided logits: positions between two classes
  long long first_row, first_class;
  labels all;
  const float* class_weights;   // of all classes
  const float* column_weights;  // likewise, from first_class on
  float smoothing;
  float gamma;
  float z_loss;
  softcap cap;
  scalar_argument temperature;
  gradient_scale scale;
  float* row_loss;
  float* row_z_loss;
  unsigned char* row_correct;
  float* lse;
  float* entropy;
  row_statistics<float>* statistics;   // written by the forward call
  const row_statistics<float>* saved;  // read by the backward call
  shard_statistics<float>* shards;     // written by the forward call
  long long* argmax;
  fault_record* faults;
  whole_call whole;  // where the policy's kPipelined
};

// How much a row's state carries; what is not in it costs nothing.
enum class row_work {
  plain,     // the softmax alone
  extended,  // ... with label smoothing and arg-max
  full,      // ... with softcap and entropy
};

template <class T, row_work kWork, class R = T>
struct cross_entropy_policy {
  using value = T;
  using result = R;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  static constexpr bool kExtended = kWork != row_work::plain;
  static constexpr bool kFull = kWork == row_work::full;
  static constexpr bool kPipelined = kWork == row_work::plain && std::is_same_v<T, R>;
  using arguments = cross_entropy_arguments<T, R>;
  // A label that is none of these columns: no pack of 16 bytes begins so far before the first.
  static constexpr int kElsewhere = -64;

  struct plain_state {
    online_state others;
    unsigned target;  // bits of the target's raw logit in the one thread that holds it, else 0
  };
  struct extended_state : plain_state {
    float weighted;  // A, without the target
    float weight;    // W, without the target
    best_column best;
  };
  struct full_state : extended_state {
    spread entropy;
  };
  using state = std::conditional_t<kFull, full_state,
                                   std::conditional_t<kExtended, extended_state, plain_state>>;

  struct coefficients {
    float shift;
    float slope;    // of exp((y_j - m) / T)
    float target;   // gradient at the target
    float smooth;   // times w_j, subtracted
    float d;        // margin of the target over the others
    float log_sum;  // log z
    float lse;      // log sum_j exp(y_j / T), the target's included
    float off;      // not 0: the gradient is 0
  };

  const arguments& a;
  long long index;  // of the row among those of this launch
  label_kind kind;
  int label;  // the column of a row that counts, or kElsewhere
  float t;    // temperature
  float c;    // log2(e) / T

  __device__ cross_entropy_policy(const arguments& a, long long index) : a(a), index(index) {
    const long long given = a.all[row()], column = given - a.first_class;
    kind = a.all.kind(given);
    const bool here = kind == label_kind::counts && column >= 0 && column < a.cols;
    label = here ? static_cast<int>(column) : kElsewhere;
    t = temperature_of(a.temperature);
    c = kLog2e / t;
  }

  __device__ long long row() const { return a.first_row + index; }  // among all
  __device__ static float absent(int) { return -INFINITY; }
  __device__ bool skip() const { return kind != label_kind::counts; }
  // The gradient of a row that is not read: 0 too where the divisor switches all gradients off.
  __device__ float fill() const {
    return kind == label_kind::ignored || a.scale.off() ? 0.0f : NAN;
  }
  __device__ bool zero(const coefficients& k) const { return k.off != 0.0f; }
  // What a column counts in the smoothing: nothing if it is masked, the target, or not there.
  __device__ float mass(float x, int column) const {
    const bool seen = x != -INFINITY;
    const bool weighted = seen && a.class_weights != nullptr;
    const float w = weighted ? __ldg(a.column_weights + column) : 1.0f;
    return seen ? w : 0.0f;
  }
  // Of a row that counts.
  __device__ float weight_of_target() const {
    return a.class_weights != nullptr ? __ldg(a.class_weights + a.all[row()]) : 1.0f;
  }

  __device__ state identity() const {
    state s{};
    s.others = {-INFINITY, 0.0f};
    if constexpr (kExtended) s.best = best_column::none();
    return s;
  }

  template <int kPacks, int kSize>
  __device__ void add(state& s, float (&x)[1][kPacks][kSize], const int (&column)[kPacks]) const {
    if constexpr (kExtended) {
      if (a.argmax != nullptr || a.row_correct != nullptr || a.shards != nullptr) {
        s.best.add(x[0], column);
      }
    }
#pragma unroll
    for (int b = 0; b < kPacks; ++b) {  // the target leaves the others
      const int at = label - column[b];
      if (kSize > 1 && (at < 0 || at >= kSize)) continue;
#pragma unroll
      for (int e = 0; e < kSize; ++e) {
        s.target = e == at ? __float_as_uint(x[0][b][e]) : s.target;
        x[0][b][e] = e == at ? -INFINITY : x[0][b][e];
      }
    }
    if constexpr (kFull) {
      if (a.cap.given()) {
#pragma unroll
        for (int b = 0; b < kPacks; ++b) {
#pragma unroll
          for (int e = 0; e < kSize; ++e) x[0][b][e] = a.cap.of(x[0][b][e]);
        }
      }
    }
    const online_state before = s.others;
    fold(s.others, x[0], c);
    if constexpr (kExtended) {
      if (a.smoothing > 0.0f) add_weights(s, before.max, x[0], column);
    }
    if constexpr (kFull) {
      if (a.entropy != nullptr || a.shards != nullptr) s.entropy.add(before, s.others, x[0], c);
    }
  }
  // What a shard of the classes left of this row.
  __device__ static state state_of(const shard_statistics<float>& s) {
    static_assert(kFull);
    state r{};
    r.others = {s.max, s.sum};
    r.target = s.target == INFINITY ? 0 : __float_as_uint(s.target);
    r.weighted = s.distance;
    r.weight = s.weight;
    r.best = {s.largest, static_cast<int>(s.argmax)};
    r.entropy = {s.spread};
    return r;
  }

  __device__ state merge(const state& x, const state& y) const {
    state s = x;
    s.others = kernels::merge(x.others, y.others, c);
    s.target = x.target | y.target;
    if constexpr (kExtended) {
      s.weighted = moved(x, s.others.max) + moved(y, s.others.max);
      s.weight = x.weight + y.weight;
      s.best = best_column::merge(x.best, y.best);
    }
    if constexpr (kFull) {
      s.entropy = spread::merge(x.entropy, x.others, y.entropy, y.others, s.others.max, c);
    }
    return s;
  }

  __device__ coefficients finish(const state& s) const {
    float weight = 0.0f;
    if constexpr (kExtended) weight = with_target(s.weight, __uint_as_float(s.target));
    return coefficients_of(s.others.max, s.others.sum, logf(s.others.sum), 1.0f / s.others.sum,
                           __uint_as_float(s.target), weight);
  }
  // From what an earlier call left.
  __device__ coefficients finish() const {
    if (skip()) return {};
    const row_statistics<float> s = a.saved[row()];
    const float sum = s.log_sum == -INFINITY ? 0.0f : 1.0f;  // only whether it is 0 matters
    return coefficients_of(s.max, isnan(s.log_sum) ? NAN : sum, s.log_sum, expf(-s.log_sum),
                           s.target, s.weight);
  }

  __device__ void write(const state& s, const coefficients& k) const {
    const long long row = this->row();
    const float target = __uint_as_float(s.target);
    const bool alone = s.others.sum == 0.0f;  // no other column that is not -inf
    const float z_loss = a.z_loss == 0.0f ? 0.0f : a.z_loss * k.lse * k.lse;
    if (a.row_loss != nullptr) {
      const float ce = softplus(-k.d);
      float loss = weigh((1.0f - a.smoothing) * weight_of_target(), focal_factor(k.d) * ce);
      if constexpr (kExtended) {
        if (a.smoothing > 0.0f) {
          const float above = alone ? 0.0f : k.log_sum + softplus(k.d);  // lse - m / T
          float smooth = alone ? 0.0f : s.weight * above - s.weighted / t;
          if (target != -INFINITY) smooth += weigh(weight_of_target(), ce);
          loss += a.smoothing / static_cast<float>(a.all.classes) * smooth;
        }
      }
      a.row_loss[row] = a.scale.weighted(row, loss + z_loss);
    }
    if (a.row_z_loss != nullptr) a.row_z_loss[row] = a.scale.weighted(row, z_loss);
    if (a.lse != nullptr) a.lse[row] = k.lse;
    if (a.statistics != nullptr) {
      float weight = 0.0f;
      if constexpr (kExtended) {
        if (a.smoothing > 0.0f) weight = with_target(s.weight, target);
      }
      const bool nan = isnan(k.d);
      a.statistics[row] = nan ? row_statistics<float>{NAN, NAN, NAN, NAN}
                              : row_statistics<float>{s.others.max, k.log_sum, target, weight};
    }
    if constexpr (kExtended) {
      if (a.argmax != nullptr) a.argmax[row] = s.best.result();
      if (a.row_correct != nullptr) a.row_correct[row] = s.best.result() == label;
    }
    if constexpr (kFull) {
      if (a.entropy != nullptr) {
        const float p = sigmoid(k.d), q = sigmoid(-k.d);
        const float of_others = k.log_sum - s.entropy.weighted / (s.others.sum * kLog2e);
        const float own = p == 0.0f ? 0.0f : p * softplus(-k.d);
        const float rest = q == 0.0f ? 0.0f : q * (softplus(k.d) + of_others);
        a.entropy[row] = alone ? (isnan(k.d) ? NAN : 0.0f) : own + rest;
      }
      if (a.shards != nullptr) write_shard(s, target);
    }
  }
  __device__ void write_skipped() const {
    const long long row = this->row();
    const float v = kind == label_kind::ignored ? 0.0f : NAN;
    if (kind == label_kind::bad) report_bad_label(a.faults, row);
    if (a.row_loss != nullptr) a.row_loss[row] = v;
    if (a.row_z_loss != nullptr) a.row_z_loss[row] = v;
    if (a.lse != nullptr) a.lse[row] = v;
    if (a.entropy != nullptr) a.entropy[row] = v;
    if (a.statistics != nullptr) a.statistics[row] = {v, v, v, v};
    if (a.shards != nullptr) a.shards[row] = {v, v, v, v, v, v, v, -1};
    if (a.argmax != nullptr) a.argmax[row] = -1;
    if (a.row_correct != nullptr) a.row_correct[row] = 0;
  }

  template <int kSize>
  __device__ void apply(const coefficients& k, float (&x)[1][kSize], int column) const {
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float v = x[0][e];
      float y = v, of_cap = 1.0f;
      if constexpr (kFull) {
        if (a.cap.given()) y = a.cap.of(v, of_cap);
      }
      float g = k.slope * exp2_approx((y - k.shift) * c);
      if constexpr (kExtended) {
        if (a.smoothing > 0.0f) g -= k.smooth * mass(v, column + e);
      }
      x[0][e] = kFull ? g * of_cap : g;
    }
    const int at = label - column;
    if (kSize > 1 && (at < 0 || at >= kSize)) return;
#pragma unroll
    for (int e = 0; e < kSize; ++e) x[0][e] = e == at ? k.target : x[0][e];
  }

 private:
  // (1 - p_t)^gamma, where 1 - p_t = sigmoid(-d).
  __device__ float focal_factor(float d) const {
    if (a.gamma == 0.0f) return 1.0f;
    const float q = sigmoid(-d);
    return a.gamma == 1.0f ? q : a.gamma == 2.0f ? q * q : expf(-a.gamma * softplus(d));
  }
  __device__ float with_target(float weight, float target) const {
    return target == -INFINITY ? weight : weight + weight_of_target();
  }

  // sum is needed only as 0, NaN or neither: 0 means that there is no other column but -inf.
  __device__ coefficients coefficients_of(float max, float sum, float log_sum, float inverse_sum,
                                          float raw_target, float weight) const {
    coefficients k;
    float target = raw_target, of_cap = 1.0f;
    if constexpr (kFull) {
      if (a.cap.given()) target = a.cap.of(raw_target, of_cap);
    }
    const bool alone = sum == 0.0f;
    if (alone) {
      k.d = isfinite(target) ? INFINITY : NAN;
    } else {
      k.d = target == INFINITY ? NAN : (target - max) / t - log_sum;
    }
    k.log_sum = log_sum;
    k.shift = shift_of(max);
    k.off = a.scale.off() ? 1.0f : 0.0f;
    const bool confident = k.d > 0.0f;  // then the target is the better shift
    k.lse = confident || alone ? target / t + softplus(-k.d) : max / t + (log_sum + softplus(k.d));
    const float scale = a.scale.of(row()) / t;
    const float p = sigmoid(k.d), q = sigmoid(-k.d);  // p_t and 1 - p_t
    const float own = (1.0f - a.smoothing) * weight_of_target();
    const float share = kExtended ? a.smoothing / static_cast<float>(a.all.classes) : 0.0f;
    float rate = q;  // -L'(d)
    if (a.gamma != 0.0f) {
      const float surprise = p == 0.0f ? 0.0f : p * softplus(-k.d);
      rate = focal_factor(k.d) * (a.gamma * surprise + q);
    }
    const float of_lse = a.z_loss == 0.0f ? 0.0f : 2.0f * a.z_loss * k.lse;  // times p_j
    k.smooth = scale * share;
    const float of_others = own * rate + (share * weight + of_lse) * q;
    k.slope = alone && !isnan(k.d) ? a.scale.nothing() : scale * of_others * inverse_sum;
    k.target = scale * (of_lse * p - own * rate);
    if (kExtended && a.smoothing > 0.0f) {
      const float of_target = target == -INFINITY ? 0.0f : weight_of_target();
      k.target += k.smooth * (p * weight - of_target);  // 0 where the target stands alone
    }
    if constexpr (kFull) k.target *= of_cap;
    return k;
  }

  // A target of +inf makes the row NaN anyway; as a number it says that the target is elsewhere.
  __device__ void write_shard(const state& s, float target) const {
    const bool here = label != kElsewhere;
    a.shards[row()] = {s.others.max,
                       s.others.sum,
                       !here                ? INFINITY
                       : target == INFINITY ? NAN
                                            : target,
                       s.weight,
                       s.weighted,
                       s.entropy.weighted,
                       s.best.value,
                       a.first_class + s.best.result()};
  }

  // Sums about a maximum that has risen since: each seen weight's distance grows by the rise.
  __device__ static float moved(const state& s, float to) { return moved(s, s.others.max, to); }
  __device__ static float moved(const state& s, float from, float to) {
    return s.weight == 0.0f ? s.weighted : s.weighted + (from - to) * s.weight;
  }
  template <int kPacks, int kSize>
  __device__ void add_weights(state& s, float before, const float (&x)[kPacks][kSize],
                              const int (&column)[kPacks]) const {
    const float max = s.others.max;
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
};

// A thread a row: merges what `count` shards left of it, in their order, and writes the row's
// outputs. A target that none of them holds, or several, is NaN. Moves 40 bytes a shard and row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    merge_shards(const __grid_constant__ cross_entropy_arguments<float> a,
                 const shard_statistics<float>* shards, long long ld, int count) {
  using policy_type = cross_entropy_policy<float, row_work::full>;
  const long long row = block_index() * kThreads + threadIdx.x;
  if (row >= a.rows) return;
  const policy_type policy(a, row);
  if (policy.skip()) return policy.write_skipped();
  typename policy_type::state s = policy.identity();
  int holders = 0;
  for (int i = 0; i < count; ++i) {
    const shard_statistics<float> shard = shards[i * ld + row];
    holders += shard.target == INFINITY ? 0 : 1;
    s = policy.merge(s, policy_type::state_of(shard));
  }
  if (holders != 1) s.target = __float_as_uint(NAN);
  policy.write(s, policy.finish(s));
}

}  // namespace culoss::kernels
