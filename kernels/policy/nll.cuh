// Negative log-likelihood of a row's label t under probabilities p or log-probabilities a:
//   L = -w_t a_t  or  -w_t log p_t     dL/da_t = -w_t     dL/dp_t = -w_t / p_t
// Reads one element a row.
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/labels.cuh"

namespace culoss::kernels {

template <class T>
struct nll_arguments {
  stream<T> in[1];
  target<T> out[1];
  target<float> losses;  // never given: one a row, not one an element
  totals* partials;      // likewise
  labels all;
  bool probabilities;
  const float* class_weights;
  gradient_scale scale;

  __device__ float weight_of(long long label) const {
    return class_weights != nullptr ? __ldg(class_weights + label) : 1.0f;
  }
};

// The loss of a row, which also goes to `row_loss` where that is wanted.
template <class T>
struct nll_row {
  nll_arguments<T> a;
  float* row_loss;
  fault_record* faults;

  __device__ totals operator()(long long row) const {
    const long long label = a.all[row];
    const label_kind kind = a.all.kind(label);
    float loss = kind == label_kind::ignored ? 0.0f : NAN;
    if (kind == label_kind::bad) report_bad_label(faults, row);
    if (kind == label_kind::counts) {
      const float x = to_float(__ldcg(a.in[0].data + row * a.in[0].ld + label));
      loss = weigh(a.weight_of(label), a.probabilities ? -logf(x) : -x);
      loss = a.scale.weighted(row, loss);
    }
    if (row_loss != nullptr) row_loss[row] = loss;
    return {static_cast<double>(loss), 0};
  }
};

template <class T>
struct nll_gradient_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  static constexpr bool kSelective = true;
  static constexpr bool kFactors = false;
  using arguments = nll_arguments<T>;

  struct context {
    long long column;  // of the label
    float slope;       // of -log p_t
    float other;       // the gradient of the other columns, and of the label's in a bad row
  };

  const arguments& a;
  float common;
  bool off;
  float rest;  // the gradient beside the label

  __device__ explicit nll_gradient_policy(const arguments& a)
      : a(a), common(a.scale.common()), off(a.scale.off()), rest(a.scale.nothing()) {}

  __device__ bool per_row() const { return true; }
  __device__ context at(long long row) const {
    const long long label = a.all[row];
    const label_kind kind = a.all.kind(label);
    const bool counts = kind == label_kind::counts && !off;
    const float weight = counts ? a.weight_of(label) : 0.0f;
    return {counts ? label : -1, -a.scale.of(row, common) * weight,
            counts                            ? rest
            : kind == label_kind::bad && !off ? NAN
                                              : 0.0f};
  }
  // Log-probabilities are not needed, probabilities only at the label; packs of several rows are.
  __device__ bool loads(long long row, long long column, int count) const {
    const long long label = a.all[row];
    const bool here = (label >= column) & (label < column + count);
    return a.probabilities & (here | (column + count > a.all.classes));
  }
  __device__ float element(const context& c, const float (&x)[1], long long column,
                           float (&y)[1]) const {
    y[0] = c.other;
    if (column == c.column) {
      const float p = x[0];  // -0 counts as 0
      const float of_probability = c.slope == 0.0f ? 0.0f : c.slope / fabsf(p);
      y[0] = !a.probabilities ? c.slope : p >= 0.0f ? of_probability : NAN;
    }
    return 0.0f;
  }
};

}  // namespace culoss::kernels
