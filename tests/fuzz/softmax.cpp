// softmax, log_softmax and their backward functions.
#include <culoss/softmax.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

template <class T>
struct softmax_call {
  int which;
  culoss::matrix<const T> input, upstream;
  culoss::matrix<T> output;
  culoss::softmax_options options;

  explicit softmax_call(source& from)
      : which(from.byte() % 4),
        input(from.matrix<const T>(from.rows(), from.columns())),
        upstream(backward() ? from.matrix<const T>(from.rows(), from.columns())
                            : culoss::matrix<const T>()),
        output(from.matrix<T>(from.rows(), from.columns())),
        options{.temperature = from.scalar(0.7f)} {}

  bool backward() const { return which >= 2; }
  std::string function() const {
    const char* const names[] = {"softmax", "log_softmax", "softmax_backward",
                                 "log_softmax_backward"};
    return names[which];
  }
  std::size_t scratch() const { return 0; }

  void judge(predicate& says) const {
    const char* const inputs[] = {"logits", "logits", "probabilities", "log_probabilities"};
    const char* const upstreams[] = {"", "", "grad_probabilities", "grad_log_probabilities"};
    const char* const outputs[] = {"probabilities", "log_probabilities", "grad_logits",
                                   "grad_logits"};
    says.rows_to_read(inputs[which], input);
    says.view(outputs[which], output, input, access::write);
    says.in_place(outputs[which], inputs[which]);
    if (backward()) {
      says.view(upstreams[which], upstream, input, access::read);
      says.in_place(outputs[which], upstreams[which]);
    }
    says.temperature("temperature", options.temperature);
  }

  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    switch (which) {
      case 0:
        return culoss::softmax(where, input, output, options);
      case 1:
        return culoss::log_softmax(where, input, output, options);
      case 2:
        return culoss::softmax_backward(where, input, upstream, output, options);
      default:
        return culoss::log_softmax_backward(where, input, upstream, output, options);
    }
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::softmax_call>(data, size);
}
