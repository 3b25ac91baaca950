#include "host/cross_entropy.hpp"

#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/cross_entropy.cuh"

namespace culoss {
namespace {

using namespace detail;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* counted;  // the divisor's terms and the number of rows that count
  totals* partials;
  float* row_loss;  // under mean and sum
  unsigned char* row_correct;
};

std::size_t carve(void* base, std::int64_t rows, temporaries& t) noexcept {
  carver c(base);
  t.counted = c.take<totals>(1);
  t.partials = c.take<totals>(partials_of(rows));
  t.row_loss = c.take<float>(rows);
  t.row_correct = c.take<unsigned char>(rows);
  return c.used();
}

// The last launch's inputs: what each row left.
struct row_results {
  const float* row_loss;
  const unsigned char* row_correct;
  __device__ totals operator()(long long row) const {
    return {row_loss != nullptr ? static_cast<double>(row_loss[row]) : 0.0,
            row_correct != nullptr ? row_correct[row] : 0};
  }
};

// ... and its outputs.
struct write_scalars {
  float* loss;
  long long* correct;
  bool divides;
  const totals* counted;  // own divisor; null: the normalizer
  kernels::scalar_argument normalizer;
  bool nan_if_empty;
  fault_record* faults;
  kernels::labels all;
  long long rows;

  __device__ void operator()(const totals& t) const {
    if (loss != nullptr) {
      const double by = !divides             ? 1.0
                        : counted != nullptr ? counted->sum
                                             : static_cast<double>(normalizer.get());
      const double of_nothing = nan_if_empty ? static_cast<double>(NAN) : 0.0;
      *loss = static_cast<float>(by == 0.0 ? of_nothing : t.sum / by);
    }
    if (correct != nullptr) *correct = t.count;
    kernels::report_first_label(faults, all, rows);
  }
};

struct write_count {
  totals* counted;
  long long* rows_counted;
  __device__ void operator()(const totals& t) const {
    if (counted != nullptr) *counted = t;
    if (rows_counted != nullptr) *rows_counted = t.count;
  }
};

// An empty batch: no kernel.
template <class T>
status no_rows(const device_context& context, const cross_entropy_outputs<T>& out,
               const cross_entropy_options& options) noexcept {
  status s =
      write_empty_loss(context, out.loss, options.reduction, options.normalizer, options.empty);
  if (s.ok()) s = clear(context, out.correct.data, 0, sizeof(std::int64_t));
  if (s.ok()) s = clear(context, out.rows_counted.data, 0, sizeof(std::int64_t));
  return s;
}

// The arguments that forward and backward share; counts the labels where that is needed.
template <class T>
status prepare(const device_context& context, const cuda& where, const matrix<const T>& logits,
               const label_view& labels, const matrix<T>& grad_logits,
               const cross_entropy_options& options, long long* rows_counted, const temporaries& t,
               kernels::cross_entropy_arguments<T>& a) noexcept {
  a = {};
  a.in[0] = stream_of(logits);
  a.out = grad_logits.data;
  a.ld = grad_logits.ld;
  a.rows = logits.rows;
  a.cols = logits.cols;
  a.all = {labels.data, labels.wide, options.ignore_index, logits.cols};
  a.class_weights = options.class_weights.data;
  a.row_weights = options.row_weights.data;
  a.smoothing = options.label_smoothing;
  a.temperature = argument(options.temperature);
  a.faults = where.faults;
  const bool own_divisor = options.reduction == reduction::mean && !options.normalizer.given();
  a.scale = {argument(options.upstream),
             options.upstream_rows.data,
             own_divisor || options.normalizer.given(),
             own_divisor ? t.counted : nullptr,
             argument(options.normalizer),
             options.empty == empty_batch::nan};
  if (!own_divisor && rows_counted == nullptr) return {};
  return launch_total(context, kernels::count_rows{a.all, a.class_weights}, a.rows, t.partials,
                      write_count{own_divisor ? t.counted : nullptr, rows_counted});
}

template <class T>
status finish(const device_context& context, const kernels::cross_entropy_arguments<T>& a,
              const float* row_loss, const unsigned char* row_correct, float* loss,
              long long* correct, const temporaries& t) noexcept {
  if (loss == nullptr && correct == nullptr && a.faults == nullptr) return {};
  const write_scalars done{
      loss,     correct, a.scale.divides, a.scale.counted, a.scale.normalizer, a.scale.nan_if_empty,
      a.faults, a.all,   a.rows};
  const bool sums = loss != nullptr || correct != nullptr;
  return launch_total(context, row_results{row_loss, row_correct}, sums ? a.rows : 1, t.partials,
                      done);
}

template <class T>
status forward(const cuda& where, const matrix<const T>& logits, const label_view& labels,
               const cross_entropy_outputs<T>& out, const cross_entropy_options& options) noexcept {
  constexpr const char* kFunction = "cross_entropy";
  status s = check_cross_entropy(where, logits, labels, out, options);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (s.ok()) s = check_width(context, "logits", logits.cols);
  if (!s.ok()) return s;
  if (logits.rows == 0) return no_rows(context, out, options);

  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, logits.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), logits.rows, t);

  kernels::cross_entropy_arguments<T> a;
  auto* const rows_counted = reinterpret_cast<long long*>(out.rows_counted.data);
  s = prepare(context, where, logits, labels, out.grad_logits, options, rows_counted, t, a);
  if (!s.ok()) return s;
  const bool none = options.reduction == reduction::none;
  const bool wants_loss = !out.loss.empty(), wants_correct = !out.correct.empty();
  if (wants_loss) a.row_loss = none ? out.loss.data : t.row_loss;
  if (wants_correct) a.row_correct = t.row_correct;
  a.lse = out.lse.data;
  a.statistics = out.statistics.data;
  a.argmax = reinterpret_cast<long long*>(out.argmax.data);

  const bool only_counts = a.out == nullptr && a.row_loss == nullptr && a.row_correct == nullptr &&
                           a.lse == nullptr && a.statistics == nullptr && a.argmax == nullptr;
  if (!only_counts || a.faults != nullptr) {
    const bool full = a.smoothing > 0.0f || a.argmax != nullptr || a.row_correct != nullptr;
    s = full ? launch_rows<kernels::cross_entropy_policy<T, true>>(context, a)
             : launch_rows<kernels::cross_entropy_policy<T, false>>(context, a);
    if (!s.ok()) return s;
  }
  s = finish(context, a, wants_loss && !none ? a.row_loss : nullptr, a.row_correct,
             none ? nullptr : out.loss.data, reinterpret_cast<long long*>(out.correct.data), t);
  if (!s.ok()) return s;
  return memory.release(context);
}

template <class T>
status backward(const cuda& where, const matrix<const T>& logits, const label_view& labels,
                const vector<const row_statistics<float>>& statistics,
                const cross_entropy_backward_outputs<T>& out,
                const cross_entropy_options& options) noexcept {
  constexpr const char* kFunction = "cross_entropy_backward";
  status s = check_cross_entropy_backward(where, logits, labels, statistics, out, options);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (s.ok()) s = check_width(context, "logits", logits.cols);
  if (!s.ok() || logits.rows == 0) return s;

  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, logits.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), logits.rows, t);

  kernels::cross_entropy_arguments<T> a;
  s = prepare(context, where, logits, labels, out.grad_logits, options, nullptr, t, a);
  if (!s.ok()) return s;
  a.saved = statistics.data;
  s = a.smoothing > 0.0f ? launch_elementwise<kernels::cross_entropy_policy<T, true>>(context, a)
                         : launch_elementwise<kernels::cross_entropy_policy<T, false>>(context, a);
  if (!s.ok()) return s;
  s = finish<T>(context, a, nullptr, nullptr, nullptr, nullptr, t);
  if (!s.ok()) return s;
  return memory.release(context);
}

}  // namespace

std::size_t cross_entropy_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status cross_entropy(const cuda& where, matrix<const float> logits, label_view labels,
                     const cross_entropy_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const half> logits, label_view labels,
                     const cross_entropy_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}
status cross_entropy(const cuda& where, matrix<const bf16> logits, label_view labels,
                     const cross_entropy_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return forward(where, logits, labels, outputs, options);
}

status cross_entropy_backward(const cuda& where, matrix<const float> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const half> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}
status cross_entropy_backward(const cuda& where, matrix<const bf16> logits, label_view labels,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return backward(where, logits, labels, statistics, outputs, options);
}

}  // namespace culoss
