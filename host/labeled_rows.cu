#include "host/labeled_rows.hpp"

#include "host/labeled_launches.hpp"

namespace culoss::detail {
namespace {

using kernels::row_work;
using kernels::totals;

// pipelined: for those kernels, too; cols: 0 where rows are not split.
std::size_t carve(void* base, std::int64_t rows, bool pipelined, std::int64_t cols,
                  labeled_memory& m) noexcept {
  carver c(base);
  m.take(c, rows);
  if (pipelined) m.take_pipelined(c, rows, cols);
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

template <class T, class R, row_work kWork>
status launch_rows_of(const device_context& context,
                      const kernels::cross_entropy_arguments<T, R>& a,
                      const row_launch& how) noexcept {
  using policy = kernels::cross_entropy_policy<T, kWork, R>;
  const bool saved = a.saved != nullptr;
  // Rarely asked for: built with the most and with the least work only.
  if constexpr (kWork != row_work::extended) {
    if constexpr (std::is_same_v<T, R>) {
      if (a.inner > 0) return launch_strided<policy>(context, a, saved);
    }
    if (saved) return launch_elementwise<policy>(context, a);
  }
  if constexpr (std::is_same_v<T, R>) {
    return launch_rows<policy>(context, a, how);
  } else {
    return launch_rows_by_block<policy>(context, a);
  }
}

// What a whole call is told beyond its rows.
kernels::whole_call whole_call_of(const labeled_call& call, const labeled_memory& m,
                                  bool reports) noexcept {
  const bool none = call.options.reduction == reduction::none;
  kernels::whole_call w{};
  w.counted = counts_divisor(call.options) ? m.counted_of_blocks : nullptr;
  w.rows_counted = reinterpret_cast<long long*>(call.rows_counted);
  w.weights = call.weighted_mean ? call.options.class_weights.data : nullptr;
  w.loss = none ? nullptr : call.loss;
  w.z_loss = none ? nullptr : call.z_loss;
  w.ended = w.loss != nullptr || w.z_loss != nullptr || reports ? m.ended : nullptr;
  w.on = w.counted != nullptr || w.rows_counted != nullptr || w.ended != nullptr;
  return w;
}

// A call's arguments are checked and its device known: the rest of it. pipelined: whether its rows
// may be split or done by one kernel.
template <class T, class Rows>
status run_rows(const cuda& where, const device_context& context, const labeled_call& call,
                const kernels::cross_entropy_arguments<T>& without_memory, bool pipelined,
                const Rows& launch_them) noexcept {
  if (call.rows == 0) return finish_no_labels(context, call);
  labeled_memory m;
  scratch memory;
  const bool splits = pipelined && plan_parts(call.cols, sizeof(T)).parts > 0;
  const std::int64_t split_cols = splits ? call.cols : 0;
  status s =
      memory.get(context, where.workspace, carve(nullptr, call.rows, pipelined, split_cols, m));
  if (!s.ok()) return s;
  carve(memory.data(), call.rows, pipelined, split_cols, m);

  kernels::cross_entropy_arguments<T> a = arguments_of<T>(call, m, where.faults);
  a.in[0] = without_memory.in[0];
  a.out[0] = without_memory.out[0];
  a.inner = without_memory.inner;
  row_launch how{m.part_states};
  if (pipelined && call.rows <= kWholeRows && wants_rows(a)) {
    kernels::cross_entropy_arguments<T> all = a;
    all.whole = whole_call_of(call, m, where.faults != nullptr);
    if (all.whole.counted != nullptr) all.scale.by.counted = all.whole.counted;
    all.scale.by.of_block = all.whole.counted != nullptr;
    bool whole = false;
    how.whole = &whole;
    if (all.whole.on) s = launch_them(all, how);
    if (!s.ok()) return s;
    if (whole) return memory.release(context);
    how.whole = nullptr;
  }
  s = count_labels(context, call, a.all, m, false);
  if (s.ok() && wants_rows(a)) s = launch_them(a, how);
  if (s.ok()) s = finish_labels(context, call, arguments_of<float>(call, m, where.faults), m);
  return s.ok() ? memory.release(context) : s;
}

}  // namespace

std::size_t labeled_rows_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  labeled_memory m;
  return rows > 0 ? carve(nullptr, rows, true, cols, m) : 0;
}

status finish_no_labels(const device_context& context, const labeled_call& call) noexcept {
  status s = write_empty_loss(context, call.loss, call.options);
  if (s.ok()) s = write_empty_loss(context, call.z_loss, call.options);
  if (s.ok()) s = clear(context, call.correct, 0, sizeof(std::int64_t));
  if (s.ok()) s = clear(context, call.rows_counted, 0, sizeof(std::int64_t));
  return s;
}

status count_labels(const device_context& context, const labeled_call& call,
                    const kernels::labels& all, const labeled_memory& m, bool always) noexcept {
  const bool needed = always || counts_divisor(call.options);
  if (!needed && call.rows_counted == nullptr) return {};
  const float* const weights = call.weighted_mean ? call.options.class_weights.data : nullptr;
  return launch_total(context, kernels::count_rows{all, weights}, call.rows, m.partials,
                      kernels::write_count{needed ? m.counted : nullptr,
                                           reinterpret_cast<long long*>(call.rows_counted), nullptr,
                                           all, call.rows});
}

template <class T, class R>
status launch_labeled_rows(const device_context& context,
                           const kernels::cross_entropy_arguments<T, R>& a,
                           const row_launch& how) noexcept {
  const bool extended = a.smoothing > 0.0f || a.argmax != nullptr || a.row_correct != nullptr;
  const bool full = a.cap.cap > 0.0f || a.entropy != nullptr || a.shards != nullptr;
  const bool few = a.inner > 0 || a.saved != nullptr || !std::is_same_v<T, R>;
  if (how.whole != nullptr && (extended || full || few)) return {};
  if (full || (extended && few)) {
    return launch_rows_of<T, R, row_work::full>(context, a, {});
  }
  if constexpr (std::is_same_v<T, R>) {
    if (extended) return launch_rows_of<T, R, row_work::extended>(context, a, {});
  }
  return launch_rows_of<T, R, row_work::plain>(context, a, how);
}

status finish_labels(const device_context& context, const labeled_call& call,
                     const kernels::cross_entropy_arguments<float>& a,
                     const labeled_memory& m) noexcept {
  const bool none = call.options.reduction == reduction::none;
  if (!none && call.z_loss != nullptr) {
    const status s = launch_total(context, kernels::sum_losses{a.row_z_loss}, a.rows, m.partials,
                                  kernels::write_loss{call.z_loss, a.scale.by});
    if (!s.ok()) return s;
  }
  float* const loss = none ? nullptr : call.loss;
  const bool sums = loss != nullptr || call.correct != nullptr;
  if (!sums && a.faults == nullptr) return {};
  return launch_total(context, row_results{loss != nullptr ? a.row_loss : nullptr, a.row_correct},
                      sums ? a.rows : 1, m.partials,
                      kernels::write_labeled_loss{loss, reinterpret_cast<long long*>(call.correct),
                                                  a.scale.by, a.faults, a.all, a.rows});
}

template <class T>
status run_labeled_rows(const cuda& where, const labeled_rows<T>& call) noexcept {
  device_context context;
  status s = open(call.function, where, context);
  if (s.ok()) {
    s = check_width(context, call.inner > 0 ? "logits.classes" : "logits.cols", call.cols);
  }
  if (!s.ok()) return s;
  kernels::cross_entropy_arguments<T> a{};
  a.in[0] = {call.logits, call.ld};
  a.out[0] = {call.grad_logits, call.grad_ld};
  a.inner = call.inner;
  const bool pipelined = where.row_kernels == row_kernels::pipelined && call.inner == 0;
  return run_rows(where, context, call, a, pipelined,
                  [&](const auto& rows, const row_launch& how) noexcept {
                    return launch_labeled_rows(context, rows, how);
                  });
}

status run_merged_rows(const cuda& where, const labeled_call& call,
                       const matrix<const shard_statistics<float>>& shards) noexcept {
  device_context context;
  status s = open(call.function, where, context);
  if (s.ok()) s = check_width(context, "classes", call.cols);
  if (s.ok()) s = check_width(context, "shards.rows", shards.rows);
  if (!s.ok()) return s;
  constexpr int kThreads = 128;
  return run_rows(where, context, call, kernels::cross_entropy_arguments<float>{}, false,
                  [&](const auto& rows, const row_launch&) noexcept {
                    return launch(context, kernels::merge_shards<kThreads>,
                                  (rows.rows + kThreads - 1) / kThreads, kThreads, 0, rows,
                                  shards.data, static_cast<long long>(shards.ld),
                                  static_cast<int>(shards.rows));
                  });
}

template status run_labeled_rows(const cuda&, const labeled_rows<float>&) noexcept;
template status run_labeled_rows(const cuda&, const labeled_rows<half>&) noexcept;
template status run_labeled_rows(const cuda&, const labeled_rows<bf16>&) noexcept;

template status launch_labeled_rows(const device_context&,
                                    const kernels::cross_entropy_arguments<float>&,
                                    const row_launch&) noexcept;
template status launch_labeled_rows(const device_context&,
                                    const kernels::cross_entropy_arguments<float, half>&,
                                    const row_launch&) noexcept;
template status launch_labeled_rows(const device_context&,
                                    const kernels::cross_entropy_arguments<float, bf16>&,
                                    const row_launch&) noexcept;

}  // namespace culoss::detail
