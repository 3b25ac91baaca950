// entropy, kl_divergence, distillation.
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

template <class T>
struct distillation {
  culoss::distillation_options options;
  culoss::matrix<const T> student, teacher;
  culoss::distillation_outputs<T> out;

  explicit distillation(source& from)
      : student(from.shaped<culoss::matrix<const T>>()),
        teacher(from.shaped<culoss::matrix<const T>>()) {
    from.reduction(options, from.rows());
    options.direction = from.enumerator<culoss::distillation_direction>(3);
    options.beta = from.number(0.5f);
    options.temperature = from.scalar(0.7f);
    options.temperature_squared = from.coin();
    if (from.coin()) options.labels = from.labels(from.rows());
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_student = from.optional_shaped<culoss::matrix<T>>(),
           .grad_teacher = from.optional_shaped<culoss::matrix<T>>(),
           .rows_counted = from.optional_vector<std::int64_t>(1)};
  }

  std::string function() const { return "distillation"; }
  std::size_t scratch() const {
    return culoss::distillation_workspace_bytes(student.rows, student.cols);
  }
  void judge(predicate& says) const {
    says.rows_to_read("student", student);
    says.view("teacher", teacher, student, access::read);
    says.reduction(options, student.rows);
    says.one_of("direction", options.direction, 3);
    says.require(options.beta >= 0 && options.beta <= 1, "beta");
    says.temperature("temperature", options.temperature);
    if (options.labels.data != nullptr || options.labels.size != 0) {
      says.labels("labels", options.labels, student.rows);
    }
    says.loss("loss", out.loss, options.reduction, student.rows);
    says.optional("grad_student", out.grad_student, student);
    says.optional("grad_teacher", out.grad_teacher, teacher);
    for (const char* gradient : {"grad_student", "grad_teacher"}) {
      says.in_place(gradient, "student");
      says.in_place(gradient, "teacher");
    }
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(student.rows, out.loss, out.grad_student, out.grad_teacher, out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::distillation(where, student, teacher, out, options);
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culoss_fuzz;
  return execute<entropy, kl_divergence, distillation>(data, size);
}
