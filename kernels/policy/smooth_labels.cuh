// Label smoothing: q'_j = (1 - s) q_j + s / C, of given rows or of the one-hot rows of labels.
#pragma once

#include "kernels/elementwise.cuh"
#include "kernels/labels.cuh"

namespace culoss::kernels {

template <class T>
struct smooth_labels_arguments {
  stream<T> in[1];  // of labels: the output itself, never read
  target<T> out[1];
  target<float> losses;  // never given
  totals* partials;      // likewise
  float keep;            // 1 - s
  float share;           // s / C; 0 backward
  labels all;            // no data: rows are given
};

template <class T>
struct smooth_labels_policy {
  using value = T;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;
  static constexpr bool kSelective = true;
  static constexpr bool kFactors = false;
  using arguments = smooth_labels_arguments<T>;

  struct context {
    long long column;  // of the label
    float add;         // to every column: NaN in a bad row
  };

  const arguments& a;

  __device__ explicit smooth_labels_policy(const arguments& a) : a(a) {}

  __device__ bool of_labels() const { return a.all.data != nullptr; }
  __device__ bool per_row() const { return of_labels(); }
  __device__ bool loads(long long, long long, int) const { return !of_labels(); }
  __device__ context at(long long row) const {
    if (!of_labels()) return {-1, a.share};
    const long long label = a.all[row];
    const label_kind kind = a.all.kind(label);
    if (kind == label_kind::counts) return {label, a.share};
    return {-1, kind == label_kind::ignored ? 0.0f : NAN};
  }
  __device__ float element(const context& c, const float (&x)[1], long long column,
                           float (&y)[1]) const {
    const float q = of_labels() ? (column == c.column ? 1.0f : 0.0f) : x[0];
    y[0] = weigh(a.keep, q) + c.add;
    return 0.0f;
  }
};

// Tells the fault record of bad labels.
struct inspect_labels {
  labels all;
  fault_record* faults;
  __device__ totals operator()(long long row) const {
    if (all.kind(all[row]) == label_kind::bad) report_bad_label(faults, row);
    return {0.0, 0};
  }
};

}  // namespace culoss::kernels
