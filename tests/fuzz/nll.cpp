// nll, smooth_labels and its backward.
#include <culoss/nll.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::matrix;

template <class T>
struct nll {
  culoss::nll_options options;
  matrix<const T> input;
  culoss::label_view labels;
  culoss::nll_outputs<T> out;

  explicit nll(source& from)
      : input(from.shaped<matrix<const T>>()), labels(from.labels(from.rows())) {
    from.reduction(options, from.rows());
    options.input = from.enumerator<culoss::nll_input>(2);
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    options.class_weights = from.optional_vector<const float>(from.columns());
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_input = from.optional_shaped<matrix<T>>(),
           .rows_counted = from.optional_vector<std::int64_t>(1)};
  }

  std::string function() const { return "nll"; }
  std::size_t scratch() const { return culoss::nll_workspace_bytes(input.rows, input.cols); }
  void judge(predicate& says) const {
    says.rows_to_read("input", input);
    says.labels("labels", labels, input.rows);
    says.reduction(options, input.rows);
    says.one_of("input", options.input, 2);
    says.optional("class_weights", options.class_weights, input.cols);
    says.loss("loss", out.loss, options.reduction, input.rows);
    says.optional("grad_input", out.grad_input, input);
    says.in_place("grad_input", "input");
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(input.rows, out.loss, out.grad_input, out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::nll(where, input, labels, out, options);
  }
};

enum class smoothing { of_labels, of_targets, backward };

template <class T, smoothing kWhat>
struct smooth_labels {
  culoss::smooth_labels_options options;
  culoss::label_view labels;
  matrix<const T> input;
  matrix<T> output;

  explicit smooth_labels(source& from) {
    options.smoothing = from.number(0.1f);
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    if constexpr (kWhat == smoothing::of_labels) {
      labels = from.labels(from.rows());
    } else {
      input = from.shaped<matrix<const T>>();
    }
    output = from.shaped<matrix<T>>();
  }

  std::string function() const {
    return kWhat == smoothing::backward ? "smooth_labels_backward" : "smooth_labels";
  }
  std::size_t scratch() const { return 0; }
  void judge(predicate& says) const {
    const bool backward = kWhat == smoothing::backward;
    const char* const from = backward ? "grad_smoothed" : "targets";
    const char* const to = backward ? "grad_targets" : "smoothed";
    says.require(options.smoothing >= 0 && options.smoothing <= 1, "smoothing");
    if constexpr (kWhat == smoothing::of_labels) {
      says.view(to, output, access::write);
      says.require(output.cols > 0, to);
      says.labels("labels", labels, output.rows);
    } else {
      says.rows_to_read(from, input);
      says.view(to, output, input, access::write);
      says.in_place(to, from);
    }
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    if constexpr (kWhat == smoothing::of_labels) {
      return culoss::smooth_labels(where, labels, output, options);
    } else if constexpr (kWhat == smoothing::of_targets) {
      return culoss::smooth_labels(where, input, output, options);
    } else {
      return culoss::smooth_labels_backward(where, input, output, options);
    }
  }
};

template <class T>
using smooth_given_labels = smooth_labels<T, smoothing::of_labels>;
template <class T>
using smooth_targets = smooth_labels<T, smoothing::of_targets>;
template <class T>
using smooth_backward = smooth_labels<T, smoothing::backward>;

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culoss_fuzz;
  return execute<nll, smooth_given_labels, smooth_targets, smooth_backward>(data, size);
}
