// The launches that a call on softmax rows with a label is made of, one by one, for calls that have
// only a part of the rows' logits at a time. In this order: count, the rows, finish.
#pragma once

#include "host/labeled_rows.hpp"
#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/cross_entropy.cuh"

namespace culoss::detail {

// What one call keeps between its launches.
struct labeled_memory {
  kernels::totals* counted;  // the divisor's terms and the number of rows that count
  kernels::totals* partials;
  float* row_loss;    // under mean and sum
  float* row_z_loss;  // likewise
  unsigned char* row_correct;
  // For the pipelined kernels only.
  char* part_states = nullptr;                   // of wide rows
  kernels::totals* counted_of_blocks = nullptr;  // of a whole call
  unsigned* ended = nullptr;                     // likewise

  void take(carver& c, std::int64_t rows) noexcept {
    counted = c.take<kernels::totals>(1);
    partials = c.take<kernels::totals>(partials_of(rows));
    row_loss = c.take<float>(rows);
    row_z_loss = c.take<float>(rows);
    row_correct = c.take<unsigned char>(rows);
  }
  void take_pipelined(carver& c, std::int64_t rows, std::int64_t cols) noexcept {
    const std::int64_t states = part_state_bytes(rows, cols);
    part_states = states > 0 ? c.take<char>(states) : nullptr;
    const std::int64_t blocks = rows < kMostWholeBlocks ? rows * kMostRingBlocks : kMostWholeBlocks;
    counted_of_blocks =
        c.take<kernels::totals>(blocks < kMostWholeBlocks ? blocks : kMostWholeBlocks);
    ended = c.take<unsigned>(1);
  }
};

// All but where the logits are and where their gradients go.
template <class T, class R = T>
kernels::cross_entropy_arguments<T, R> arguments_of(const labeled_call& call,
                                                    const labeled_memory& m,
                                                    fault_record* faults) noexcept {
  const cross_entropy_options& options = call.options;
  const bool none = options.reduction == reduction::none;
  kernels::cross_entropy_arguments<T, R> a{};
  a.rows = call.rows;
  a.cols = call.cols;
  a.first_class = options.class_offset;
  a.all = labels_of(call.labels, options.ignore_index,
                    options.classes > 0 ? options.classes : call.cols, options.ignore_index);
  a.class_weights = options.class_weights.data;
  if (a.class_weights != nullptr) a.column_weights = a.class_weights + a.first_class;
  a.smoothing = options.label_smoothing;
  a.gamma = call.gamma;
  a.z_loss = options.z_loss;
  a.cap = cap_of(options.softcap);
  a.temperature = argument(options.temperature);
  a.scale = scale_of(options, 0.0, m.counted);
  if (call.loss != nullptr) a.row_loss = none ? call.loss : m.row_loss;
  if (call.z_loss != nullptr) a.row_z_loss = none ? call.z_loss : m.row_z_loss;
  if (call.correct != nullptr) a.row_correct = m.row_correct;
  a.lse = call.lse;
  a.entropy = call.entropy;
  a.statistics = call.statistics;
  a.saved = call.saved;
  a.shards = call.shards;
  a.argmax = reinterpret_cast<long long*>(call.argmax);
  a.faults = faults;
  return a;
}

// Whether there is anything to be had of the rows but how many they are.
template <class T, class R>
bool wants_rows(const kernels::cross_entropy_arguments<T, R>& a) noexcept {
  return a.out[0].data != nullptr || a.row_loss != nullptr || a.row_z_loss != nullptr ||
         a.row_correct != nullptr || a.lse != nullptr || a.entropy != nullptr ||
         a.statistics != nullptr || a.shards != nullptr || a.argmax != nullptr ||
         a.faults != nullptr;
}

// What a mean divides by, where it is counted, and the number of rows that count; `always`: into
// the memory, whoever divides.
status count_labels(const device_context& context, const labeled_call& call,
                    const kernels::labels& all, const labeled_memory& m, bool always) noexcept;

// The rows of `a`, by the kernel for their width. For float, half and bf16; for floats whose
// gradients come out in half or bf16 only as matrices.
template <class T, class R>
status launch_labeled_rows(const device_context& context,
                           const kernels::cross_entropy_arguments<T, R>& a,
                           const row_launch& how = {}) noexcept;

// The scalars, from what each row left; then what the fault record says of the first bad label.
status finish_labels(const device_context& context, const labeled_call& call,
                     const kernels::cross_entropy_arguments<float>& a,
                     const labeled_memory& m) noexcept;

// Of an empty batch, without a kernel.
status finish_no_labels(const device_context& context, const labeled_call& call) noexcept;

}  // namespace culoss::detail
