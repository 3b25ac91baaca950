#include "host/divergence.hpp"

#include "host/rows.hpp"
#include "host/workspace.hpp"
#include "kernels/policy/entropy.cuh"
#include "kernels/policy/kl_divergence.cuh"

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

// A call whose arguments are checked and stand in `a`: the divisor, the rows, the scalar loss.
template <class Arguments, class Options, class Rows>
status run(const cuda& where, const device_context& context, Arguments& a, float* loss,
           const Options& options, const Rows& launch_them) noexcept {
  if (a.rows == 0) return write_empty_loss(context, loss, options);
  temporaries t;
  scratch memory;
  status s = memory.get(context, where.workspace, carve(nullptr, a.rows, t));
  if (!s.ok()) return s;
  carve(memory.data(), a.rows, t);
  const auto rows = static_cast<double>(a.rows), cols = static_cast<double>(a.cols);
  const bool none = options.reduction == reduction::none;
  a.scale = scale_of(options, options.mean_elements ? rows * cols : rows);
  if (loss != nullptr) a.row_loss = none ? loss : t.row_loss;
  s = launch_them(a);
  if (s.ok() && !none && loss != nullptr) {
    s = launch_total(context, kernels::sum_losses{a.row_loss}, a.rows, t.partials,
                     kernels::write_loss{loss, a.scale.by});
  }
  return s.ok() ? memory.release(context) : s;
}

template <class T>
status run_entropy(const cuda& where, const matrix<const T>& input, const entropy_outputs<T>& out,
                   const entropy_options& options) noexcept {
  status s = check_entropy(where, input, out, options);
  device_context context;
  if (s.ok()) s = open("entropy", where, context);
  if (s.ok()) s = check_width(context, "input.cols", input.cols);
  if (!s.ok()) return s;
  kernels::entropy_arguments<T> a{};
  a.in[0] = stream_of(input);
  a.out[0] = target_of(out.grad_input);
  a.rows = input.rows;
  a.cols = input.cols;
  a.temperature = argument(options.temperature);
  return run(where, context, a, out.loss.data, options, [&](const auto& rows) noexcept {
    return options.input == entropy_input::logits
               ? launch_rows<kernels::entropy_of_logits_policy<T>>(context, rows)
               : launch_rows<kernels::entropy_of_probabilities_policy<T>>(context, rows);
  });
}

template <class T>
status run_kl_divergence(const cuda& where, const matrix<const T>& p, const matrix<const T>& q,
                         const kl_divergence_outputs<T>& out,
                         const kl_divergence_options& options) noexcept {
  status s = check_kl_divergence(where, p, q, out, options);
  device_context context;
  if (s.ok()) s = open("kl_divergence", where, context);
  if (s.ok()) s = check_width(context, "p.cols", p.cols);
  if (!s.ok()) return s;
  // The kernel knows one direction.
  const int of_p = options.direction == kl_direction::reverse ? 1 : 0, of_q = 1 - of_p;
  kernels::kl_divergence_arguments<T> a{};
  a.in[of_p] = stream_of(p);
  a.in[of_q] = stream_of(q);
  a.out[of_p] = target_of(out.grad_p);
  a.out[of_q] = target_of(out.grad_q);
  a.rows = p.rows;
  a.cols = p.cols;
  a.logarithms[of_p] = options.p_input == kl_input::log_probabilities;
  a.logarithms[of_q] = options.q_input == kl_input::log_probabilities;
  return run(where, context, a, out.loss.data, options, [&](const auto& rows) noexcept {
    return launch_rows<kernels::kl_divergence_policy<T>>(context, rows);
  });
}

}  // namespace

std::size_t entropy_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status entropy(const cuda& where, matrix<const float> input, const entropy_outputs<float>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const half> input, const entropy_outputs<half>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}
status entropy(const cuda& where, matrix<const bf16> input, const entropy_outputs<bf16>& outputs,
               const entropy_options& options) noexcept {
  return run_entropy(where, input, outputs, options);
}

std::size_t kl_divergence_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  temporaries t;
  return rows > 0 ? carve(nullptr, rows, t) : 0;
}

status kl_divergence(const cuda& where, matrix<const float> p, matrix<const float> q,
                     const kl_divergence_outputs<float>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}
status kl_divergence(const cuda& where, matrix<const half> p, matrix<const half> q,
                     const kl_divergence_outputs<half>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}
status kl_divergence(const cuda& where, matrix<const bf16> p, matrix<const bf16> q,
                     const kl_divergence_outputs<bf16>& outputs,
                     const kl_divergence_options& options) noexcept {
  return run_kl_divergence(where, p, q, outputs, options);
}

}  // namespace culoss
