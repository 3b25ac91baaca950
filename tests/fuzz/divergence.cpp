// entropy, kl_divergence.
#include <culoss/divergence.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

template <class T>
struct entropy {
  culoss::entropy_options options;
  culoss::matrix<const T> input;
  culoss::entropy_outputs<T> out;

  explicit entropy(source& from) : input(from.shaped<culoss::matrix<const T>>()) {
    from.reduction(options, from.rows());
    options.input = from.enumerator<culoss::entropy_input>(2);
    const bool logits = options.input == culoss::entropy_input::logits;
    options.temperature = logits != from.odd() ? from.scalar(0.7f) : culoss::scalar(1.0f);
    options.mean_elements = from.coin();
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_input = from.optional_shaped<culoss::matrix<T>>()};
  }

  std::string function() const { return "entropy"; }
  std::size_t scratch() const { return culoss::entropy_workspace_bytes(input.rows, input.cols); }
  void judge(predicate& says) const {
    const culoss::scalar& t = options.temperature;
    says.rows_to_read("input", input);
    says.reduction(options, input.rows);
    says.one_of("input", options.input, 2);
    says.temperature("temperature", t);
    says.require(
        options.input != culoss::entropy_input::probabilities || (!t.on_device() && t.value() == 1),
        "temperature");
    says.loss("loss", out.loss, options.reduction, input.rows);
    says.optional("grad_input", out.grad_input, input);
    says.in_place("grad_input", "input");
    says.some_output(input.rows, out.loss, out.grad_input);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::entropy(where, input, out, options);
  }
};

template <class T>
struct kl_divergence {
  culoss::kl_divergence_options options;
  culoss::matrix<const T> p, q;
  culoss::kl_divergence_outputs<T> out;

  explicit kl_divergence(source& from)
      : p(from.shaped<culoss::matrix<const T>>()), q(from.shaped<culoss::matrix<const T>>()) {
    from.reduction(options, from.rows());
    options.p_input = from.enumerator<culoss::kl_input>(2);
    options.q_input = from.enumerator<culoss::kl_input>(2);
    options.direction = from.enumerator<culoss::kl_direction>(2);
    options.mean_elements = from.coin();
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_p = from.optional_shaped<culoss::matrix<T>>(),
           .grad_q = from.optional_shaped<culoss::matrix<T>>()};
  }

  std::string function() const { return "kl_divergence"; }
  std::size_t scratch() const { return culoss::kl_divergence_workspace_bytes(p.rows, p.cols); }
  void judge(predicate& says) const {
    says.rows_to_read("p", p);
    says.view("q", q, p, access::read);
    says.reduction(options, p.rows);
    says.one_of("p_input", options.p_input, 2);
    says.one_of("q_input", options.q_input, 2);
    says.one_of("direction", options.direction, 2);
    says.loss("loss", out.loss, options.reduction, p.rows);
    says.optional("grad_p", out.grad_p, p);
    says.optional("grad_q", out.grad_q, q);
    for (const char* gradient : {"grad_p", "grad_q"}) {
      says.in_place(gradient, "p");
      says.in_place(gradient, "q");
    }
    says.some_output(p.rows, out.loss, out.grad_p, out.grad_q);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::kl_divergence(where, p, q, out, options);
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::entropy, culoss_fuzz::kl_divergence>(data, size);
}
