#include "host/labeled_rows.hpp"

#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/cross_entropy.cuh"

namespace culoss::detail {
namespace {

using kernels::row_work;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* counted;  // the divisor's terms and the number of rows that count
  totals* partials;
  float* row_loss;    // under mean and sum
  float* row_z_loss;  // likewise
  unsigned char* row_correct;
};

std::size_t carve(void* base, std::int64_t rows, temporaries& t) noexcept {
  carver c(base);
  t.counted = c.take<totals>(1);
  t.partials = c.take<totals>(partials_of(rows));
  t.row_loss = c.take<float>(rows);
  t.row_z_loss = c.take<float>(rows);
  t.row_correct = c.take<unsigned char>(rows);
  return c.used();
}

// What each row left for the last launch.
struct row_results {
  const float* row_loss;
  const unsigned char* row_correct;
  __device__ totals operator()(long long row) const {
    return {row_loss != nullptr ? static_cast<double>(row_loss[row]) : 0.0,
            row_correct != nullptr ? row_correct[row] : 0};
  }
};

// An empty batch: no kernel.
template <class T>
status no_rows(const device_context& context, const labeled_rows<T>& call) noexcept {
  status s = write_empty_loss(context, call.loss, call.options);
  if (s.ok()) s = write_empty_loss(context, call.z_loss, call.options);
  if (s.ok()) s = clear(context, call.correct, 0, sizeof(std::int64_t));
  if (s.ok()) s = clear(context, call.rows_counted, 0, sizeof(std::int64_t));
  return s;
}

template <class T, row_work kWork>
status launch_rows_of(const device_context& context, const labeled_rows<T>& call,
                      const kernels::cross_entropy_arguments<T>& a) noexcept {
  using policy = kernels::cross_entropy_policy<T, kWork>;
  const bool saved = call.saved != nullptr;
  // Rarely asked for: built with the most and with the least work only.
  if constexpr (kWork != row_work::extended) {
    if (call.inner > 0) return launch_strided<policy>(context, a, saved);
    if (saved) return launch_elementwise<policy>(context, a);
  }
  return launch_rows<policy>(context, a);
}

template <class T>
status launch_rows_of(const device_context& context, const labeled_rows<T>& call,
                      const kernels::cross_entropy_arguments<T>& a) noexcept {
  const bool extended = a.smoothing > 0.0f || a.argmax != nullptr || a.row_correct != nullptr;
  const bool full = a.cap.cap > 0.0f || a.entropy != nullptr;
  if (full || (extended && (call.inner > 0 || call.saved != nullptr))) {
    return launch_rows_of<T, row_work::full>(context, call, a);
  }
  return extended ? launch_rows_of<T, row_work::extended>(context, call, a)
                  : launch_rows_of<T, row_work::plain>(context, call, a);
}

}  // namespace

std::size_t labeled_rows_workspace_bytes(std::int64_t rows) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

template <class T>
status run_labeled_rows(const cuda& where, const labeled_rows<T>& call) noexcept {
  const cross_entropy_options& options = call.options;
  device_context context;
  status s = open(call.function, where, context);
  if (s.ok()) {
    s = check_width(context, call.inner > 0 ? "logits.classes" : "logits.cols", call.cols);
  }
  if (!s.ok()) return s;
  if (call.rows == 0) return no_rows(context, call);

  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, call.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), call.rows, t);

  const bool none = options.reduction == reduction::none;
  const bool own_divisor = counts_divisor(options);
  kernels::cross_entropy_arguments<T> a{};
  a.in[0] = {call.logits, call.ld};
  a.out[0] = {call.grad_logits, call.grad_ld};
  a.rows = call.rows;
  a.cols = call.cols;
  a.inner = call.inner;
  a.all = labels_of(call.labels, options.ignore_index, call.cols, options.ignore_index);
  a.class_weights = options.class_weights.data;
  a.smoothing = options.label_smoothing;
  a.gamma = call.gamma;
  a.z_loss = options.z_loss;
  a.cap = cap_of(options.softcap);
  a.temperature = argument(options.temperature);
  a.scale = scale_of(options, 0.0, t.counted);
  if (call.loss != nullptr) a.row_loss = none ? call.loss : t.row_loss;
  if (call.z_loss != nullptr) a.row_z_loss = none ? call.z_loss : t.row_z_loss;
  if (call.correct != nullptr) a.row_correct = t.row_correct;
  a.lse = call.lse;
  a.entropy = call.entropy;
  a.statistics = call.statistics;
  a.saved = call.saved;
  a.argmax = reinterpret_cast<long long*>(call.argmax);
  a.faults = where.faults;

  if (own_divisor || call.rows_counted != nullptr) {
    const float* const weights = call.weighted_mean ? a.class_weights : nullptr;
    s = launch_total(context, kernels::count_rows{a.all, weights}, a.rows, t.partials,
                     kernels::write_count{own_divisor ? t.counted : nullptr,
                                          reinterpret_cast<long long*>(call.rows_counted), nullptr,
                                          a.all, a.rows});
    if (!s.ok()) return s;
  }
  const bool only_counts = a.out[0].data == nullptr && a.row_loss == nullptr &&
                           a.row_z_loss == nullptr && a.row_correct == nullptr &&
                           a.lse == nullptr && a.entropy == nullptr && a.statistics == nullptr &&
                           a.argmax == nullptr;
  if (!only_counts || a.faults != nullptr) {
    s = launch_rows_of(context, call, a);
    if (!s.ok()) return s;
  }
  if (!none && call.z_loss != nullptr) {
    s = launch_total(context, kernels::sum_losses{t.row_z_loss}, a.rows, t.partials,
                     kernels::write_loss{call.z_loss, a.scale.by});
    if (!s.ok()) return s;
  }
  float* const loss = none ? nullptr : call.loss;
  const bool sums = loss != nullptr || call.correct != nullptr;
  if (sums || a.faults != nullptr) {
    s = launch_total(context, row_results{loss != nullptr ? a.row_loss : nullptr, a.row_correct},
                     sums ? a.rows : 1, t.partials,
                     kernels::write_labeled_loss{loss, reinterpret_cast<long long*>(call.correct),
                                                 a.scale.by, a.faults, a.all, a.rows});
    if (!s.ok()) return s;
  }
  return memory.release(context);
}

template status run_labeled_rows(const cuda&, const labeled_rows<float>&) noexcept;
template status run_labeled_rows(const cuda&, const labeled_rows<half>&) noexcept;
template status run_labeled_rows(const cuda&, const labeled_rows<bf16>&) noexcept;

}  // namespace culoss::detail
