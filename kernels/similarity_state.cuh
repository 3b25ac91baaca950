// What a row (or a column) of a similarity matrix is reduced to, without its positive.
//
// Similarities are kept as l / log(2), so that an exponential is one ex2: "bits" below. The moment
// gives the gradient of the scale: sum p (l - shift), beside the sum, never from dq.
#pragma once

#include "kernels/math.cuh"
#include "kernels/online_softmax.cuh"

namespace culoss::kernels {

inline constexpr float kLn2 = 0.69314718055994530942f;
inline constexpr int kNoIndex = 0x7fffffff;

struct side_state {
  float shift;   // at least the largest, at most kFarBits above it; -inf: nothing yet
  float sum;     // sum 2^(l - shift)
  float moment;  // sum 2^(l - shift) (l - shift)
  float best;    // the largest
  int index;     // where it stands first

  __device__ static side_state none() { return {-INFINITY, 0.0f, 0.0f, -INFINITY, kNoIndex}; }
};

// The moment about a shift that has risen from `from` to `to`; the sum is the one about `from`.
__device__ inline float moved_moment(float moment, float sum, float from, float to) {
  return sum == 0.0f ? moment : moment + (from - to) * sum;
}

__device__ inline side_state merge(const side_state& a, const side_state& b) {
  const float shift = fmaxf(a.shift, b.shift);
  const float by = shift_of(shift);
  const float of_a = exp2_approx(a.shift - by), of_b = exp2_approx(b.shift - by);
  const bool take_b = b.best > a.best || (b.best == a.best && b.index < a.index);
  return {shift, a.sum * of_a + b.sum * of_b,
          moved_moment(a.moment, a.sum, a.shift, by) * of_a +
              moved_moment(b.moment, b.sum, b.shift, by) * of_b,
          take_b ? b.best : a.best, take_b ? b.index : a.index};
}

// What each element needs of its row or column: p = slope 2^(l - shift), target for the positive.
struct alignas(16) side_coefficients {
  float shift;
  float slope;
  float target;
  float best;  // the largest; shift is not below it
};

// Several positives of a row, where a label says which they are.
struct positive_state {
  float shift;   // the largest; -inf: none yet
  float sum;     // sum 2^(l - shift)
  float moment;  // sum 2^(l - shift) (l - shift)
  float plain;   // sum (l - shift)
  int count;

  __device__ static positive_state none() { return {-INFINITY, 0.0f, 0.0f, 0.0f, 0}; }
};

__device__ inline positive_state merge(const positive_state& a, const positive_state& b) {
  const float top = fmaxf(a.shift, b.shift), shift = shift_of(top);
  const auto about = [shift](const positive_state& s) {
    const float by = exp2_approx(s.shift - shift);
    const float plain =
        s.count == 0 ? 0.0f : s.plain + (s.shift - shift) * static_cast<float>(s.count);
    return positive_state{shift, s.sum * by, moved_moment(s.moment, s.sum, s.shift, shift) * by,
                          plain, s.count};
  };
  const positive_state x = about(a), y = about(b);
  return {top, x.sum + y.sum, x.moment + y.moment, x.plain + y.plain, x.count + y.count};
}

// What a pair of one label needs of its row or column: the derivative of that one's loss, which is
// still to be weighted. pi is the softmax over the positives alone, pi - 1 / |P| what their spread
// gives and -q pi what the others do; a single positive has pi = 1, of which no rounding is left.
struct alignas(16) positive_coefficients {
  float shift;
  float inverse;  // pi = inverse 2^(l - shift)
  float share;    // 1 / |P|
  float q;

  __device__ float term(float l) const {
    const float pi = inverse * exp2_approx(l - shift);
    return (pi - share) - q * pi;
  }
};

// Numbers of a whole call that are known only on the device.
struct call_numbers {
  float bits;        // scale * log2(e): what a product of (normalized) embeddings is multiplied by
  float scale;       // itself, for losses that take similarities as they are ...
  float bias;        // ... and what they add to them
  float margin;      // what is taken off a positive's l, in bits
  float row_factor;  // powers of two that keep 16-bit gradients of similarities in range ...
  float column_factor;
  float weight_factor;  // 1 / the largest |upstream * row weight|
  float rest;           // ... and what is left over for the finished gradients: rest * column_rest
  float column_rest;
  float direct;      // what is left over where neither factor went in
  float scale_rest;  // what the sum of the rows' scale gradients is multiplied by
  float bias_rest;   // and that of their bias gradients
  int off;           // the divisor is 0: losses and gradients are 0
};

}  // namespace culoss::kernels
