#include "host/divergence.hpp"

#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/entropy.cuh"

namespace culoss {
namespace {

using namespace detail;
using kernels::totals;

// What one call keeps between its launches.
struct temporaries {
  totals* partials;
  float* row_loss;  // under mean and sum
};

std::size_t carve(void* base, std::int64_t rows, temporaries& t) noexcept {
  carver c(base);
  t.partials = c.take<totals>(partials_of(rows));
  t.row_loss = c.take<float>(rows);
  return c.used();
}

template <class T>
status run(const cuda& where, const matrix<const T>& input, const entropy_outputs<T>& out,
           const entropy_options& options) noexcept {
  status s = check_entropy(where, input, out, options);
  device_context context;
  if (s.ok()) s = open("entropy", where, context);
  if (s.ok()) s = check_width(context, "input.cols", input.cols);
  if (!s.ok()) return s;
  if (input.rows == 0) return write_empty_loss(context, out.loss.data, options);
  temporaries t;
  scratch memory;
  s = memory.get(context, where.workspace, carve(nullptr, input.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), input.rows, t);

  const auto rows = static_cast<double>(input.rows), cols = static_cast<double>(input.cols);
  const bool none = options.reduction == reduction::none;
  kernels::entropy_arguments<T> a{};
  a.in[0] = stream_of(input);
  a.out[0] = target_of(out.grad_input);
  a.rows = input.rows;
  a.cols = input.cols;
  a.temperature = argument(options.temperature);
  a.scale = scale_of(options, options.mean_elements ? rows * cols : rows);
  if (!out.loss.empty()) a.row_loss = none ? out.loss.data : t.row_loss;
  s = options.input == entropy_input::logits
          ? launch_rows<kernels::entropy_of_logits_policy<T>>(context, a)
          : launch_rows<kernels::entropy_of_probabilities_policy<T>>(context, a);
  if (s.ok() && !none && a.row_loss != nullptr) {
    s = launch_total(context, kernels::sum_losses{a.row_loss}, a.rows, t.partials,
                     kernels::write_loss{out.loss.data, a.scale.by});
  }
  return s.ok() ? memory.release(context) : s;
}

}  // namespace

std::size_t entropy_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status entropy(const cuda& where, matrix<const float> input, const entropy_outputs<float>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const half> input, const entropy_outputs<half>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const bf16> input, const entropy_outputs<bf16>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

}  // namespace culoss
