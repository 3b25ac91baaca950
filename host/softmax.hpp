// What the CPU and the CUDA side of softmax share: the check of the arguments.
#pragma once

#include <culoss/softmax.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

template <class Where, class T>
status check_softmax(const char* function, const Where& where, const matrix<const T>& logits,
                     const char* output_name, const matrix<T>& output,
                     const softmax_options& options) noexcept {
  validator v(function);
  v.check(where);
  v.check("logits", logits, role::in_place_input);
  v.positive("logits.cols", logits.cols);
  v.check(output_name, output, role::in_place_output);
  v.same_shape(output_name, output, "logits", logits);
  v.temperature("temperature", options.temperature);
  return v.finish();
}

template <class Where, class T>
status check_softmax_backward(const char* function, const Where& where, const char* input_name,
                              const matrix<const T>& input, const char* upstream_name,
                              const matrix<const T>& upstream, const matrix<T>& grad_logits,
                              const softmax_options& options) noexcept {
  validator v(function);
  v.check(where);
  v.check(input_name, input, role::in_place_input);
  v.positive(input_name, "cols", input.cols);
  v.check(upstream_name, upstream, role::in_place_input);
  v.same_shape(upstream_name, upstream, input_name, input);
  v.check("grad_logits", grad_logits, role::in_place_output);
  v.same_shape("grad_logits", grad_logits, input_name, input);
  v.temperature("temperature", options.temperature);
  return v.finish();
}

}  // namespace culoss::detail
