// Labels, which are never trusted: a label is compared at its own width before it is an index.
#pragma once

#include <culoss/core.hpp>

#include "kernels/divisor.cuh"
#include "kernels/reduce.cuh"

namespace culoss::kernels {

enum class label_kind : int { counts, ignored, background, bad };

struct labels {
  const void* data;
  bool wide;  // int64, else int32
  long long ignore_index;
  long long classes;
  long long background;  // a label for none of the classes; where there is none, ignore_index

  __device__ long long operator[](long long row) const {
    return wide ? static_cast<const long long*>(data)[row] : static_cast<const int*>(data)[row];
  }
  __device__ label_kind kind(long long label) const {
    const bool is_class = label >= 0 && label < classes;
    label_kind k = is_class ? label_kind::counts : label_kind::bad;
    k = label == background ? label_kind::background : k;
    return label == ignore_index ? label_kind::ignored : k;
  }
};

__device__ inline void report_bad_label(fault_record* record, long long row) {
  if (record == nullptr) return;
  static_assert(sizeof(unsigned long long) == sizeof record->count);
  atomicOr(&record->flags, faults::label_out_of_range);
  atomicAdd(reinterpret_cast<unsigned long long*>(&record->count), 1ull);
  atomicMax(reinterpret_cast<unsigned long long*>(&record->inverted_first_row),
            ~static_cast<unsigned long long>(row));
}

// After all rows: which label stood in the smallest bad row. A record that holds a smaller row from
// an earlier call keeps that row's label.
template <class Labels>
__device__ void report_first_label(fault_record* record, const Labels& all, long long rows) {
  if (record == nullptr || record->inverted_first_row == 0) return;
  const auto row = static_cast<long long>(~record->inverted_first_row);
  if (row < 0 || row >= rows) return;  // nor is a record trusted that was never cleared
  const long long label = all[row];
  if (all.kind(label) == label_kind::bad) record->label = label;
}

// What a row adds to the divisor of a mean: its class's weight; 1 without weights, without labels or
// for a bad one.
struct count_rows {
  labels all;
  const float* class_weights;

  __device__ totals operator()(long long row) const {
    if (all.data == nullptr) return {1.0, 1};
    const long long label = all[row];
    const label_kind kind = all.kind(label);
    const bool weighted = kind == label_kind::counts && class_weights != nullptr;
    const float w = weighted ? class_weights[label] : 1.0f;
    const bool ignored = kind == label_kind::ignored;
    return {ignored ? 0.0 : static_cast<double>(w), ignored ? 0 : 1};
  }
};

// The launch that counts labels before the rows. Where it also reported bad ones, it tells the
// record the first of them.
struct write_count {
  totals* counted;   // null: not wanted
  long long* count;  // likewise
  fault_record* faults;
  labels all;
  long long rows;

  __device__ void operator()(const totals& t) const {
    if (counted != nullptr) *counted = t;
    if (count != nullptr) *count = t.count;
    report_first_label(faults, all, rows);
  }
};

// The last launch of a call with labels.
template <class Labels>
struct write_loss_of {
  float* loss;         // null: not wanted
  long long* correct;  // likewise
  divisor by;
  fault_record* faults;
  Labels all;
  long long rows;

  __device__ void operator()(const totals& t) const {
    if (loss != nullptr) *loss = by.loss(t.sum);
    if (correct != nullptr) *correct = t.count;
    report_first_label(faults, all, rows);
  }
};
using write_labeled_loss = write_loss_of<labels>;

}  // namespace culoss::kernels
