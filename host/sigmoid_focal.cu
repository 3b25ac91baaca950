#include "host/elements.hpp"
#include "host/focal.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/sigmoid_focal.cuh"

namespace culoss {
namespace {

using namespace detail;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* counted;   // the divisor and the number of positive rows
  totals* blocks;    // the sum of each block
  totals* partials;  // of either
};

std::size_t carve(void* base, std::int64_t rows, std::int64_t cols, temporaries& t) noexcept {
  carver c(base);
  const std::int64_t blocks = most_element_blocks(rows, cols);
  t.counted = c.take<totals>(1);
  t.blocks = c.take<totals>(blocks);
  t.partials = c.take<totals>(partials_of(std::max(rows, blocks)));
  return c.used();
}

template <class Outputs>
status no_elements(const device_context& context, const Outputs& out,
                   const sigmoid_focal_options& options, std::int64_t* positives) noexcept {
  const status s = write_empty_loss(context, out.loss.data, options);
  return s.ok() ? clear(context, positives, 0, sizeof(std::int64_t)) : s;
}

// Loss and gradients of all elements, and the sum of the losses.
template <class T, bool kLabels, class Outputs>
status run(const device_context& context, const element_walk& walk, const Outputs& out,
           const temporaries& t,
           typename kernels::sigmoid_focal_policy<T, kLabels>::arguments& a) noexcept {
  if (!out.loss.empty()) a.partials = t.blocks;
  a.losses = target_of(out.losses);
  a.out[0] = target_of(out.grad_logits);
  status s = launch_elements<kernels::sigmoid_focal_policy<T, kLabels>>(context, a, walk);
  if (!s.ok() || out.loss.empty()) return s;
  return launch_total(context, kernels::sum_partials{t.blocks}, walk.blocks(), t.partials,
                      kernels::write_loss{out.loss.data, a.scale.by});
}

template <class T>
status of_targets(const cuda& where, const matrix<const T>& logits, const matrix<const T>& targets,
                  const sigmoid_focal_outputs<T>& out,
                  const sigmoid_focal_options& options) noexcept {
  status s = check_sigmoid_focal(where, logits, targets, out, options);
  device_context context;
  element_walk walk{};
  if (s.ok()) s = open("sigmoid_focal", where, context);
  if (s.ok()) {
    s = plan_elements(context, walk, logits, targets, out.grad_logits, out.grad_targets,
                      out.losses);
  }
  if (!s.ok()) return s;
  if (logits.rows == 0 || logits.cols == 0) return no_elements(context, out, options, nullptr);

  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, logits.rows, logits.cols, t));
  if (!s.ok()) return s;
  carve(memory.data(), logits.rows, logits.cols, t);
  kernels::sigmoid_focal_arguments<T, 2> a{};
  a.in[0] = stream_of(logits);
  a.in[1] = stream_of(targets);
  a.out[1] = target_of(out.grad_targets);
  a.gamma = options.gamma;
  a.alpha = options.alpha;
  const double elements = static_cast<double>(logits.rows) * static_cast<double>(logits.cols);
  a.scale = scale_of(options, elements);
  s = run<T, false>(context, walk, out, t, a);
  return s.ok() ? memory.release(context) : s;
}

template <class T>
status of_labels(const cuda& where, const matrix<const T>& logits, const label_view& labels,
                 const sigmoid_focal_label_outputs<T>& out,
                 const sigmoid_focal_options& options) noexcept {
  status s = check_sigmoid_focal(where, logits, labels, out, options);
  device_context context;
  element_walk walk{};
  if (s.ok()) s = open("sigmoid_focal", where, context);
  if (s.ok()) s = plan_elements(context, walk, logits, out.grad_logits, out.losses);
  if (!s.ok()) return s;
  if (logits.rows == 0) return no_elements(context, out, options, out.positives.data);

  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, logits.rows, logits.cols, t));
  if (!s.ok()) return s;
  carve(memory.data(), logits.rows, logits.cols, t);
  kernels::sigmoid_focal_arguments<T, 1> a{};
  a.in[0] = stream_of(logits);
  a.gamma = options.gamma;
  a.alpha = options.alpha;
  a.all = labels_of(labels, options.ignore_index, logits.cols, background_of(options, logits.cols));
  a.scale = scale_of(options, 0.0, t.counted);
  const bool own_divisor = counts_divisor(options);
  if (own_divisor || !out.positives.empty() || where.faults != nullptr) {
    const bool positives = options.mean_over == focal_mean::positives;
    s = launch_total(context, kernels::count_focal_rows{a.all, positives, where.faults},
                     logits.rows, t.partials,
                     kernels::write_count{own_divisor ? t.counted : nullptr,
                                          reinterpret_cast<long long*>(out.positives.data),
                                          where.faults, a.all, logits.rows});
  }
  const bool more = !out.loss.empty() || !out.losses.empty() || !out.grad_logits.empty();
  if (s.ok() && more) s = run<T, true>(context, walk, out, t, a);
  return s.ok() ? memory.release(context) : s;
}

}  // namespace

std::size_t sigmoid_focal_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept {
  std::int64_t elements = 0;
  temporaries t;
  constexpr std::int64_t kMost = std::int64_t{1} << 48;  // there are no more addresses
  const bool some =
      rows > 0 && cols > 0 && !__builtin_mul_overflow(rows, cols, &elements) && elements <= kMost;
  return some ? carve(nullptr, rows, cols, t) : 0;
}

status sigmoid_focal(const cuda& where, matrix<const float> logits, matrix<const float> targets,
                     const sigmoid_focal_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_targets(where, logits, targets, outputs, options);
}
status sigmoid_focal(const cuda& where, matrix<const half> logits, matrix<const half> targets,
                     const sigmoid_focal_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_targets(where, logits, targets, outputs, options);
}
status sigmoid_focal(const cuda& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const sigmoid_focal_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_targets(where, logits, targets, outputs, options);
}

status sigmoid_focal(const cuda& where, matrix<const float> logits, label_view labels,
                     const sigmoid_focal_label_outputs<float>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_labels(where, logits, labels, outputs, options);
}
status sigmoid_focal(const cuda& where, matrix<const half> logits, label_view labels,
                     const sigmoid_focal_label_outputs<half>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_labels(where, logits, labels, outputs, options);
}
status sigmoid_focal(const cuda& where, matrix<const bf16> logits, label_view labels,
                     const sigmoid_focal_label_outputs<bf16>& outputs,
                     const sigmoid_focal_options& options) noexcept {
  return of_labels(where, logits, labels, outputs, options);
}

}  // namespace culoss
