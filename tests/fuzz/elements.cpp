// The elementwise losses: regression, binary cross-entropy and margins; multi_class_hinge.
#include <culoss/binary.hpp>
#include <culoss/margin.hpp>
#include <culoss/regression.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::matrix;

// What they share. `gradient` is the output that belongs to the input.
template <class T, class Options, class Outputs>
struct element_call {
  using real = culoss::real_of<T>;
  Options options;
  Outputs out;
  matrix<const T> input, targets;
  culoss::label_view labels;
  bool labeled;
  const char* input_name;
  const char* gradient_name;
  matrix<T> Outputs::*gradient;

  element_call(source& from, bool labeled, const char* input_name, const char* gradient_name,
               matrix<T> Outputs::*gradient)
      : input(from.shaped<matrix<const T>>()),
        labeled(labeled),
        input_name(input_name),
        gradient_name(gradient_name),
        gradient(gradient) {
    from.reduction(options, from.rows());
    if (labeled) {
      labels = from.labels(from.rows());
    } else {
      targets = from.shaped<matrix<const T>>();
    }
    const bool none = options.reduction == culoss::reduction::none;
    if constexpr (requires { options.weights; }) {
      options.weights = from.optional_shaped<matrix<const float>>();
    }
    if constexpr (requires { options.mean_over; }) {
      options.mean_over = from.enumerator<culoss::weighted_mean>(2);
    }
    if (none != from.odd() && options.upstream_rows.empty() != from.odd()) {
      options.upstream_elements = from.optional_shaped<matrix<const float>>();
    }
    if constexpr (requires { options.background; }) {
      options.background = from.pick<std::int64_t>({Options::kAfterLastClass, 0, -1, -100, 70});
      options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    }
    if (none == from.odd()) out.loss = from.vector<real>(1);
    if (none != from.odd()) out.losses = from.shaped<matrix<real>>();
    out.*gradient = from.optional_shaped<matrix<T>>();
    if constexpr (requires { out.grad_targets; }) {
      out.grad_targets = from.optional_shaped<matrix<T>>();
    }
  }

  void judge(predicate& says) const {
    const bool none = options.reduction == culoss::reduction::none;
    const auto factors = [&](const char* name, const matrix<const float>& m) {
      if (!m.empty()) says.view(name, m, input, access::read);
    };
    says.view(input_name, input, access::read);
    says.reduction(options, input.rows);
    if constexpr (requires { options.weights; }) factors("weights", options.weights);
    if constexpr (requires { options.mean_over; }) says.one_of("mean_over", options.mean_over, 2);
    factors("upstream_elements", options.upstream_elements);
    says.require(options.upstream_elements.empty() || (none && options.upstream_rows.empty()),
                 "upstream_elements");
    says.optional("loss", out.loss, 1);
    says.require(out.loss.empty() || !none, "loss");
    says.optional("losses", out.losses, input);
    says.require(out.losses.empty() || none, "losses");
    says.optional(gradient_name, out.*gradient, input);
    says.in_place(gradient_name, input_name);
    if (labeled) {
      says.require(input.cols > 0, input_name);
      says.labels("labels", labels, input.rows);
    } else {
      says.view("targets", targets, input, access::read);
      says.in_place(gradient_name, "targets");
    }
    const std::int64_t elements = input.rows * (labeled || input.cols > 0);
    if constexpr (requires { out.grad_targets; }) {
      says.optional("grad_targets", out.grad_targets, input);
      says.in_place("grad_targets", "targets");
      says.in_place("grad_targets", input_name);
      says.some_output(elements, out.loss, out.losses, out.*gradient, out.grad_targets);
    } else {
      says.some_output(elements, out.loss, out.losses, out.*gradient);
    }
  }
};

template <class T, class Options>
struct regression : element_call<T, Options, culoss::regression_outputs<T>> {
  explicit regression(source& from)
      : element_call<T, Options, culoss::regression_outputs<T>>(
            from, false, "predictions", "grad_predictions",
            &culoss::regression_outputs<T>::grad_predictions) {}
  std::size_t scratch() const {
    return culoss::regression_workspace_bytes(this->input.rows, this->input.cols);
  }
};

template <class T>
struct mse : regression<T, culoss::regression_options> {
  bool absolute;
  explicit mse(source& from)
      : regression<T, culoss::regression_options>(from), absolute(from.coin()) {}
  std::string function() const { return absolute ? "mae" : "mse"; }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return absolute ? culoss::mae(where, this->input, this->targets, this->out, this->options)
                    : culoss::mse(where, this->input, this->targets, this->out, this->options);
  }
};

template <class T>
struct huber : regression<T, culoss::huber_options> {
  explicit huber(source& from) : regression<T, culoss::huber_options>(from) {
    this->options.delta = from.number(1.0f);
  }
  std::string function() const { return "huber"; }
  void judge(predicate& says) const {
    regression<T, culoss::huber_options>::judge(says);
    const float delta = this->options.delta;
    says.require(std::isnormal(delta) && delta > 0, "delta");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::huber(where, this->input, this->targets, this->out, this->options);
  }
};

template <class T>
struct smooth_l1 : regression<T, culoss::smooth_l1_options> {
  explicit smooth_l1(source& from) : regression<T, culoss::smooth_l1_options>(from) {
    this->options.beta = from.number(0.5f);
  }
  std::string function() const { return "smooth_l1"; }
  void judge(predicate& says) const {
    regression<T, culoss::smooth_l1_options>::judge(says);
    const float beta = this->options.beta;
    says.require(beta == 0 || (std::isnormal(beta) && beta > 0), "beta");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::smooth_l1(where, this->input, this->targets, this->out, this->options);
  }
};

template <class T>
struct of_logits : element_call<T, culoss::binary_cross_entropy_options,
                                culoss::binary_cross_entropy_outputs<T>> {
  using outputs = culoss::binary_cross_entropy_outputs<T>;
  using base = element_call<T, culoss::binary_cross_entropy_options, outputs>;
  explicit of_logits(source& from)
      : base(from, false, "logits", "grad_logits", &outputs::grad_logits) {
    this->options.pos_weight = from.optional_vector<const float>(from.columns());
    this->options.label_smoothing = from.number(0.1f);
  }
  std::string function() const { return "binary_cross_entropy"; }
  std::size_t scratch() const {
    return culoss::binary_cross_entropy_workspace_bytes(this->input.rows, this->input.cols);
  }
  void judge(predicate& says) const {
    base::judge(says);
    says.optional("pos_weight", this->options.pos_weight, this->input.cols);
    const float s = this->options.label_smoothing;
    says.require(s >= 0 && s <= 1, "label_smoothing");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::binary_cross_entropy(where, this->input, this->targets, this->out,
                                        this->options);
  }
};

template <class T>
struct of_probabilities : element_call<T, culoss::binary_cross_entropy_probabilities_options,
                                       culoss::binary_cross_entropy_probabilities_outputs<T>> {
  using outputs = culoss::binary_cross_entropy_probabilities_outputs<T>;
  explicit of_probabilities(source& from)
      : element_call<T, culoss::binary_cross_entropy_probabilities_options, outputs>(
            from, false, "probabilities", "grad_probabilities", &outputs::grad_probabilities) {}
  std::string function() const { return "binary_cross_entropy_probabilities"; }
  std::size_t scratch() const {
    return culoss::binary_cross_entropy_workspace_bytes(this->input.rows, this->input.cols);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::binary_cross_entropy_probabilities(where, this->input, this->targets, this->out,
                                                      this->options);
  }
};

template <class T, class Options, bool kLabels>
struct margin : element_call<T, Options, culoss::margin_outputs<T>> {
  explicit margin(source& from)
      : element_call<T, Options, culoss::margin_outputs<T>>(
            from, kLabels, "scores", "grad_scores", &culoss::margin_outputs<T>::grad_scores) {}
  std::size_t scratch() const {
    return culoss::margin_workspace_bytes(this->input.rows, this->input.cols);
  }
};

template <class T, bool kLabels>
struct hinge : margin<T, culoss::hinge_options, kLabels> {
  explicit hinge(source& from) : margin<T, culoss::hinge_options, kLabels>(from) {
    this->options.margin = from.number(1.0f);
    this->options.power = from.odd() ? from.pick<int>({0, -1, 3}) : from.pick<int>({1, 2});
  }
  std::string function() const { return "hinge"; }
  void judge(predicate& says) const {
    margin<T, culoss::hinge_options, kLabels>::judge(says);
    says.require(std::isfinite(this->options.margin), "margin");
    says.require(this->options.power == 1 || this->options.power == 2, "power");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    if constexpr (kLabels) {
      return culoss::hinge(where, this->input, this->labels, this->out, this->options);
    } else {
      return culoss::hinge(where, this->input, this->targets, this->out, this->options);
    }
  }
};

template <class T, bool kLabels>
struct soft_margin : margin<T, culoss::soft_margin_options, kLabels> {
  using margin<T, culoss::soft_margin_options, kLabels>::margin;
  std::string function() const { return "soft_margin"; }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    if constexpr (kLabels) {
      return culoss::soft_margin(where, this->input, this->labels, this->out, this->options);
    } else {
      return culoss::soft_margin(where, this->input, this->targets, this->out, this->options);
    }
  }
};

template <class T>
struct multi_class_hinge {
  culoss::multi_class_hinge_options options;
  matrix<const T> scores;
  culoss::label_view labels;
  culoss::multi_class_hinge_outputs<T> out;

  explicit multi_class_hinge(source& from)
      : scores(from.shaped<matrix<const T>>()), labels(from.labels(from.rows())) {
    from.reduction(options, from.rows());
    options.form = from.enumerator<culoss::hinge_form>(2);
    options.margin = from.number(1.0f);
    options.power = from.odd() ? from.pick<int>({0, -1, 3}) : from.pick<int>({1, 2});
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    options.class_weights = from.optional_vector<const float>(from.columns());
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_scores = from.optional_shaped<matrix<T>>(),
           .rows_counted = from.optional_vector<std::int64_t>(1)};
  }

  std::string function() const { return "multi_class_hinge"; }
  std::size_t scratch() const {
    return culoss::multi_class_hinge_workspace_bytes(scores.rows, scores.cols);
  }
  void judge(predicate& says) const {
    says.rows_to_read("scores", scores);
    says.labels("labels", labels, scores.rows);
    says.reduction(options, scores.rows);
    says.one_of("form", options.form, 2);
    says.require(std::isfinite(options.margin), "margin");
    says.require(options.power == 1 || options.power == 2, "power");
    says.optional("class_weights", options.class_weights, scores.cols);
    says.loss("loss", out.loss, options.reduction, scores.rows);
    says.optional("grad_scores", out.grad_scores, scores);
    says.in_place("grad_scores", "scores");
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(scores.rows, out.loss, out.grad_scores, out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::multi_class_hinge(where, scores, labels, out, options);
  }
};

template <class T>
using hinge_of_targets = hinge<T, false>;
template <class T>
using hinge_of_labels = hinge<T, true>;
template <class T>
using soft_of_targets = soft_margin<T, false>;
template <class T>
using soft_of_labels = soft_margin<T, true>;

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culoss_fuzz;
  return execute<mse, huber, smooth_l1, of_logits, of_probabilities, hinge_of_targets,
                 hinge_of_labels, soft_of_targets, soft_of_labels, multi_class_hinge>(data, size);
}
