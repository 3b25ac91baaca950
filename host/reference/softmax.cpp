// Softmax and log-softmax on the CPU.
#include "host/reference/softmax.hpp"

#include <vector>

#include "host/reference/parallel.hpp"
#include "host/reference/views.hpp"
#include "host/softmax.hpp"

namespace culoss {
namespace {

using namespace reference;

// Each row in double, transformed in its buffer by row(x), rounded once as it is stored. A row is
// read before it is written, so input and output may be the same matrix.
template <class T, class Row>
status run(const char* function, const cpu& where, const matrix<const T>& input,
           const matrix<T>& output, const Row& row) noexcept {
  return without_exceptions(function, [&] {
    for_each_range(where, input.rows, input.cols, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> x(static_cast<std::size_t>(input.cols));
      for (std::int64_t i = first; i < last; ++i) {
        load_row(input, i, x);
        row(std::span<double>(x));
        store_row(output, i, x);
      }
    });
  });
}

template <class T>
status softmax_of(const cpu& where, const matrix<const T>& logits, const matrix<T>& probabilities,
                  const softmax_options& options) noexcept {
  status s =
      detail::check_softmax("softmax", where, logits, "probabilities", probabilities, options);
  if (!s.ok()) return s;
  const double temperature = read_temperature(options.temperature);
  return run("softmax", where, logits, probabilities,
             [&](std::span<double> x) { softmax_row<double>(x, temperature, x); });
}

template <class T>
status log_softmax_of(const cpu& where, const matrix<const T>& logits,
                      const matrix<T>& log_probabilities, const softmax_options& options) noexcept {
  status s = detail::check_softmax("log_softmax", where, logits, "log_probabilities",
                                   log_probabilities, options);
  if (!s.ok()) return s;
  const double temperature = read_temperature(options.temperature);
  return run("log_softmax", where, logits, log_probabilities,
             [&](std::span<double> x) { log_softmax_row<double>(x, temperature, x); });
}

// The same for row(y, g), which turns the upstream gradient g into the result.
template <class T, class Row>
status run_backward(const char* function, const cpu& where, const matrix<const T>& output,
                    const matrix<const T>& upstream, const matrix<T>& gradient,
                    const Row& row) noexcept {
  return without_exceptions(function, [&] {
    for_each_range(where, output.rows, output.cols, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> y(static_cast<std::size_t>(output.cols)), g(y.size());
      for (std::int64_t i = first; i < last; ++i) {
        load_row(output, i, y);
        load_row(upstream, i, g);
        row(std::span<const double>(y), std::span<double>(g));
        store_row(gradient, i, g);
      }
    });
  });
}

template <class T>
status softmax_backward_of(const cpu& where, const matrix<const T>& probabilities,
                           const matrix<const T>& upstream, const matrix<T>& grad_logits,
                           const softmax_options& options) noexcept {
  status s =
      detail::check_softmax_backward("softmax_backward", where, "probabilities", probabilities,
                                     "grad_probabilities", upstream, grad_logits, options);
  if (!s.ok()) return s;
  const double temperature = read_temperature(options.temperature);
  return run_backward("softmax_backward", where, probabilities, upstream, grad_logits,
                      [&](std::span<const double> p, std::span<double> g) {
                        softmax_gradient_row(p, g, temperature, g);
                      });
}

template <class T>
status log_softmax_backward_of(const cpu& where, const matrix<const T>& log_probabilities,
                               const matrix<const T>& upstream, const matrix<T>& grad_logits,
                               const softmax_options& options) noexcept {
  status s = detail::check_softmax_backward("log_softmax_backward", where, "log_probabilities",
                                            log_probabilities, "grad_log_probabilities", upstream,
                                            grad_logits, options);
  if (!s.ok()) return s;
  const double temperature = read_temperature(options.temperature);
  return run_backward("log_softmax_backward", where, log_probabilities, upstream, grad_logits,
                      [&](std::span<const double> l, std::span<double> g) {
                        log_softmax_gradient_row(l, g, temperature, g);
                      });
}

}  // namespace

status softmax(const cpu& where, matrix<const float> logits, matrix<float> probabilities,
               const softmax_options& options) noexcept {
  return softmax_of(where, logits, probabilities, options);
}

status softmax(const cpu& where, matrix<const half> logits, matrix<half> probabilities,
               const softmax_options& options) noexcept {
  return softmax_of(where, logits, probabilities, options);
}

status softmax(const cpu& where, matrix<const bf16> logits, matrix<bf16> probabilities,
               const softmax_options& options) noexcept {
  return softmax_of(where, logits, probabilities, options);
}

status softmax(const cpu& where, matrix<const double> logits, matrix<double> probabilities,
               const softmax_options& options) noexcept {
  return softmax_of(where, logits, probabilities, options);
}

status log_softmax(const cpu& where, matrix<const float> logits, matrix<float> log_probabilities,
                   const softmax_options& options) noexcept {
  return log_softmax_of(where, logits, log_probabilities, options);
}

status log_softmax(const cpu& where, matrix<const half> logits, matrix<half> log_probabilities,
                   const softmax_options& options) noexcept {
  return log_softmax_of(where, logits, log_probabilities, options);
}

status log_softmax(const cpu& where, matrix<const bf16> logits, matrix<bf16> log_probabilities,
                   const softmax_options& options) noexcept {
  return log_softmax_of(where, logits, log_probabilities, options);
}

status log_softmax(const cpu& where, matrix<const double> logits, matrix<double> log_probabilities,
                   const softmax_options& options) noexcept {
  return log_softmax_of(where, logits, log_probabilities, options);
}

status softmax_backward(const cpu& where, matrix<const float> probabilities,
                        matrix<const float> grad_probabilities, matrix<float> grad_logits,
                        const softmax_options& options) noexcept {
  return softmax_backward_of(where, probabilities, grad_probabilities, grad_logits, options);
}

status softmax_backward(const cpu& where, matrix<const half> probabilities,
                        matrix<const half> grad_probabilities, matrix<half> grad_logits,
                        const softmax_options& options) noexcept {
  return softmax_backward_of(where, probabilities, grad_probabilities, grad_logits, options);
}

status softmax_backward(const cpu& where, matrix<const bf16> probabilities,
                        matrix<const bf16> grad_probabilities, matrix<bf16> grad_logits,
                        const softmax_options& options) noexcept {
  return softmax_backward_of(where, probabilities, grad_probabilities, grad_logits, options);
}

status softmax_backward(const cpu& where, matrix<const double> probabilities,
                        matrix<const double> grad_probabilities, matrix<double> grad_logits,
                        const softmax_options& options) noexcept {
  return softmax_backward_of(where, probabilities, grad_probabilities, grad_logits, options);
}

status log_softmax_backward(const cpu& where, matrix<const float> log_probabilities,
                            matrix<const float> grad_log_probabilities, matrix<float> grad_logits,
                            const softmax_options& options) noexcept {
  return log_softmax_backward_of(where, log_probabilities, grad_log_probabilities, grad_logits,
                                 options);
}

status log_softmax_backward(const cpu& where, matrix<const half> log_probabilities,
                            matrix<const half> grad_log_probabilities, matrix<half> grad_logits,
                            const softmax_options& options) noexcept {
  return log_softmax_backward_of(where, log_probabilities, grad_log_probabilities, grad_logits,
                                 options);
}

status log_softmax_backward(const cpu& where, matrix<const bf16> log_probabilities,
                            matrix<const bf16> grad_log_probabilities, matrix<bf16> grad_logits,
                            const softmax_options& options) noexcept {
  return log_softmax_backward_of(where, log_probabilities, grad_log_probabilities, grad_logits,
                                 options);
}

status log_softmax_backward(const cpu& where, matrix<const double> log_probabilities,
                            matrix<const double> grad_log_probabilities, matrix<double> grad_logits,
                            const softmax_options& options) noexcept {
  return log_softmax_backward_of(where, log_probabilities, grad_log_probabilities, grad_logits,
                                 options);
}

}  // namespace culoss
