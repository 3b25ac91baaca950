// Cross-entropy with target probabilities on the CPU. The arithmetic of a row is in
// cross_entropy_targets.hpp beside this file.
#include "host/reference/cross_entropy_targets.hpp"

#include <vector>

#include "host/cross_entropy.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/divergence.hpp"
#include "host/reference/labeled_rows.hpp"

namespace culoss {
namespace {

using namespace reference;

// The gradients of row i, whose logits and targets are in x and q. Both are read before one is
// written, as each may stand in the other's place.
template <class Outputs>
void write_gradients(const Outputs& out, std::int64_t i, const batch& b, const row_options& options,
                     const row_statistics<double>& statistics, std::span<double> x,
                     std::span<double> q) noexcept {
  if (const auto fixed = b.fixed_gradient()) {
    std::ranges::fill(x, *fixed);
    std::ranges::fill(q, *fixed);
  } else {
    cross_entropy_gradient_row(x, q, statistics, options, b.gradient_scale(i));
  }
  if (!out.grad_logits.empty()) store_row(out.grad_logits, i, x);
  if (!out.grad_targets.empty()) store_row(out.grad_targets, i, q);
}

template <class T>
status run(const cpu& where, const matrix<const T>& logits, const matrix<const T>& targets,
           const cross_entropy_soft_outputs<T>& out,
           const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy(where, logits, targets, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy", [&] {
    const row_options row = options_of_row(options);
    const batch b(options, static_cast<double>(logits.rows));
    const auto cap = [&](double x) { return row.capped(x); };
    std::vector<double> losses(static_cast<std::size_t>(logits.rows)), z_losses(losses.size());
    for_each_row_pair(
        where, logits.rows, logits.cols,
        [&](std::int64_t i, std::span<double> x, std::span<double> q) {
          const auto k = static_cast<std::size_t>(i);
          load_row(logits, i, x);
          load_row(targets, i, q);
          auto statistics = statistics_of_row<double>(x, std::span<const double>(q), row);
          const double lse = log_sum_exp_of_all(statistics, row);
          if (std::isnan(lse)) statistics = {kNan, kNan, kNan, kNan};
          const double z_loss = z_loss_row(lse, row);
          z_losses[k] = weighted(b.row_weight(i), z_loss);
          if (!out.loss.empty()) {
            const double ce =
                cross_entropy_row<double>(x, std::span<const double>(q), statistics, row);
            losses[k] = weighted(b.row_weight(i), ce + z_loss);
          }
          write(out.lse, i, lse);
          if (!out.entropy.empty()) {
            write(out.entropy, i, entropy_of_logits<double>(x, row.temperature, cap).value());
          }
          write(out.argmax, i, index_of_largest<double>(x));
          if (!out.statistics.empty()) out.statistics.data[i] = rounded<real_of<T>>(statistics);
          write_gradients(out, i, b, row, statistics, x, q);
        });
    b.write_loss(out.loss, losses);
    b.write_loss(out.z_loss, z_losses);
  });
}

template <class T>
status run_backward(const cpu& where, const matrix<const T>& logits, const matrix<const T>& targets,
                    const vector<const row_statistics<real_of<T>>>& statistics,
                    const cross_entropy_soft_backward_outputs<T>& out,
                    const cross_entropy_options& options) noexcept {
  status s = detail::check_cross_entropy_backward(where, logits, targets, statistics, out, options);
  if (!s.ok()) return s;
  return without_exceptions("cross_entropy_backward", [&] {
    const row_options row = options_of_row(options);
    const batch b(options, static_cast<double>(logits.rows));
    for_each_row_pair(where, logits.rows, logits.cols,
                      [&](std::int64_t i, std::span<double> x, std::span<double> q) {
                        load_row(logits, i, x);
                        load_row(targets, i, q);
                        write_gradients(out, i, b, row, widened(statistics.data[i]), x, q);
                      });
  });
}

}  // namespace

status cross_entropy(const cpu& where, matrix<const float> logits, matrix<const float> targets,
                     const cross_entropy_soft_outputs<float>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const half> logits, matrix<const half> targets,
                     const cross_entropy_soft_outputs<half>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const bf16> logits, matrix<const bf16> targets,
                     const cross_entropy_soft_outputs<bf16>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status cross_entropy(const cpu& where, matrix<const double> logits, matrix<const double> targets,
                     const cross_entropy_soft_outputs<double>& outputs,
                     const cross_entropy_options& options) noexcept {
  return run(where, logits, targets, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const float> logits,
                              matrix<const float> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<float>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, targets, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const half> logits,
                              matrix<const half> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<half>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, targets, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const bf16> logits,
                              matrix<const bf16> targets,
                              vector<const row_statistics<float>> statistics,
                              const cross_entropy_soft_backward_outputs<bf16>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, targets, statistics, outputs, options);
}

status cross_entropy_backward(const cpu& where, matrix<const double> logits,
                              matrix<const double> targets,
                              vector<const row_statistics<double>> statistics,
                              const cross_entropy_soft_backward_outputs<double>& outputs,
                              const cross_entropy_options& options) noexcept {
  return run_backward(where, logits, targets, statistics, outputs, options);
}

}  // namespace culoss
