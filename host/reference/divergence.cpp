// Entropy on the CPU. The arithmetic of a row is in divergence.hpp beside this file.
#include "host/reference/divergence.hpp"

#include <vector>

#include "host/divergence.hpp"
#include "host/reference/batch.hpp"
#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

template <class T>
status run(const cpu& where, const matrix<const T>& input, const entropy_outputs<T>& out,
           const entropy_options& options) noexcept {
  status s = detail::check_entropy(where, input, out, options);
  if (!s.ok()) return s;
  return without_exceptions("entropy", [&] {
    const double temperature = read_temperature(options.temperature);
    const batch b(
        options, static_cast<double>(options.mean_elements ? input.rows * input.cols : input.rows));
    std::vector<double> losses(static_cast<std::size_t>(input.rows));
    for_each_row(where, input.rows, input.cols, [&](std::int64_t i, std::span<double> x) {
      load_row(input, i, x);
      const double scale = b.gradient_scale(i);
      double h = 0;
      if (options.input == entropy_input::probabilities) {
        h = entropy_of_probabilities<double>(x);
        entropy_gradient_of_probabilities(x, scale, x);
      } else {
        const auto row = entropy_of_logits<double>(x, temperature);
        h = row.value();
        entropy_gradient_of_logits(x, row, temperature, scale, x);
      }
      losses[static_cast<std::size_t>(i)] = weighted(b.row_weight(i), h);
      if (out.grad_input.empty()) return;
      if (const auto fixed = b.fixed_gradient()) return fill_row(out.grad_input, i, *fixed);
      store_row(out.grad_input, i, x);
    });
    b.write_loss(out.loss, losses);
  });
}

}  // namespace

status entropy(const cpu& where, matrix<const float> input, const entropy_outputs<float>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const half> input, const entropy_outputs<half>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const bf16> input, const entropy_outputs<bf16>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

status entropy(const cpu& where, matrix<const double> input, const entropy_outputs<double>& outputs,
               const entropy_options& options) noexcept {
  return run(where, input, outputs, options);
}

}  // namespace culoss
