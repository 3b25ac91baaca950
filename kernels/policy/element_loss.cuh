// What the elementwise losses share: an element x meets its target t, or the label of its row; the
// loss is weighed, the derivatives are scaled.
//
// A Formula is a plain struct of options, and has
//   operator()(x, t, column, of_target)   the loss and its derivatives; that by the target only
//                                         where `of_target` asks for it
//   by_column()                           whether it needs the column
//   kLabels, kNegative                    whether targets may be made of labels: 1 in the column
//                                         of the row's class, kNegative in the others
#pragma once

#include "kernels/divisor.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/labels.cuh"

namespace culoss::kernels {

struct element_value {
  float loss, by_input, by_target;
};

template <class T, class Formula>
struct element_loss_arguments {
  stream<T> in[2];   // the input; targets
  target<T> out[2];  // their gradients
  target<float> losses;
  totals* partials;
  stream<float> weights;
  stream<float> upstream;  // instead of the scale's
  labels all;              // instead of targets
  gradient_scale scale;
  Formula formula;
};

template <class T, class Formula>
struct element_loss_policy {
  using value = T;
  static constexpr int kStreams = 2;
  static constexpr int kOutputs = 2;
  static constexpr bool kSelective = false;
  static constexpr bool kFactors = true;
  using arguments = element_loss_arguments<T, Formula>;

  struct context {
    float scale;       // of the gradients
    float weight;      // of the loss
    long long column;  // of the label's class
    label_kind kind;
  };

  const arguments& a;
  float common;
  bool off;

  __device__ explicit element_loss_policy(const arguments& a)
      : a(a), common(a.scale.common()), off(a.scale.off()) {}

  __device__ bool labeled() const { return Formula::kLabels && a.all.data != nullptr; }
  __device__ bool per_row() const {
    return labeled() || a.scale.row_weights != nullptr || a.scale.upstream_rows != nullptr ||
           a.formula.by_column();
  }
  __device__ context at(long long row) const {
    context c{a.scale.of(row, common), a.scale.weighted(row, 1.0f), -1, label_kind::counts};
    if (labeled()) {
      const long long label = a.all[row];
      c.kind = a.all.kind(label);
      c.column = c.kind == label_kind::counts ? label : -1;
    }
    return c;
  }

  __device__ float element(const context& c, const float (&in)[kStreams], long long column,
                           float weight, float upstream, float (&y)[kOutputs]) const {
    float t = in[1];
    if constexpr (Formula::kLabels) {
      if (labeled()) t = column == c.column ? 1.0f : Formula::kNegative;
    }
    const bool of_target = a.out[1].data != nullptr;
    const element_value v = a.formula(in[0], t, column, of_target);
    const float scale = c.scale * weight * upstream;
    float loss = weigh(c.weight * weight, v.loss);
    y[0] = off ? 0.0f : weigh(scale, v.by_input);
    y[1] = off || !of_target ? 0.0f : weigh(scale, v.by_target);
    if constexpr (Formula::kLabels) {
      const bool ignored = c.kind == label_kind::ignored, bad = c.kind == label_kind::bad;
      loss = ignored ? 0.0f : bad ? NAN : loss;
      y[0] = ignored || off ? 0.0f : bad ? NAN : y[0];
    }
    return loss;
  }
};

// What a row of labels adds to the divisor of a mean, and whether its label is a class. Tells the
// fault record of the others.
struct count_labeled_elements {
  labels all;
  bool positives;  // the divisor counts these, else elements
  fault_record* faults;

  __device__ totals operator()(long long row) const {
    const label_kind kind = all.kind(all[row]);
    if (kind == label_kind::bad) report_bad_label(faults, row);
    const bool positive = kind == label_kind::counts;
    const double elements = kind == label_kind::ignored ? 0.0 : static_cast<double>(all.classes);
    return {positives ? (positive ? 1.0 : 0.0) : elements, positive ? 1 : 0};
  }
};

// The sum of the weights, as a divisor: of a matrix of them, times those of the rows ...
struct weight_sum_policy {
  using value = float;
  static constexpr int kStreams = 1;
  static constexpr int kOutputs = 1;  // never given
  static constexpr bool kSelective = false;
  static constexpr bool kFactors = false;
  struct arguments {
    stream<float> in[1];
    target<float> out[1];
    target<float> losses;
    totals* partials;
    const float* row_weights;
  };
  using context = float;  // of the row

  const arguments& a;
  __device__ explicit weight_sum_policy(const arguments& a) : a(a) {}
  __device__ bool per_row() const { return a.row_weights != nullptr; }
  __device__ context at(long long row) const {
    return a.row_weights != nullptr ? a.row_weights[row] : 1.0f;
  }
  __device__ float element(const context& c, const float (&in)[1], long long, float (&y)[1]) const {
    y[0] = 0.0f;
    return c * in[0];
  }
};

// ... or of those alone.
struct row_weight_sum {
  const float* row_weights;
  long long cols;

  __device__ totals operator()(long long row) const {
    return {static_cast<double>(row_weights[row]) * static_cast<double>(cols), 0};
  }
};

}  // namespace culoss::kernels
