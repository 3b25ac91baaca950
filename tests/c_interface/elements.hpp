// The losses of elements.
#pragma once

#include "tests/c_interface/rows.hpp"

namespace culoss_test::c_interface {

template <class T, class COutputs, class Outputs, class COptions, class Options>
class element_calls : public pair_of_calls<T, COutputs, Outputs, COptions, Options> {
 public:
  element_calls(place& p, const char* name, const char* options, double low, double high)
      : pair_of_calls<T, COutputs, Outputs, COptions, Options>(p, name, options),
        x(this->matrix(kRows, kCols, low, high)),
        t(this->matrix(kRows, kCols, 0.2, 0.8)),
        labels(this->numbers(CULOSS_INT64, some_labels())) {
    set(this->in.in[0], x);
    set(this->in.in[1], t);
    set(this->in.labels, labels);
    this->output(CULOSS_TEST_FIELD(loss), &this->make(kReal<T>, 1, 1), nullptr);
    this->output(CULOSS_TEST_FIELD(losses), nullptr, &this->make(kReal<T>, kRows, kCols, 2));
    this->shared_fields(kRows);
  }
  const block &x, &t, &labels;

  template <class Field>
  void gradient(const char* name, const Field& field) {
    this->output(name, field, this->matrix(kRows, kCols));
  }
  void weighted() {
    this->field(CULOSS_TEST_FIELD(weights), &elements());
    upstream_elements();
  }
  void upstream_elements() {
    this->field(CULOSS_TEST_FIELD(upstream_elements), &elements(), this->none());
  }
  template <class Call>
  void run_with_targets(const Call& call, bool each) {
    this->run(
        [this, call](const auto& where, const Outputs& o, const Options& how) {
          return call(where, as<input_of<T>>(x), as<input_of<T>>(t), o, how);
        },
        each);
  }
  template <class Call>
  void run_with_labels(const Call& call, bool each) {
    this->run(
        [this, call](const auto& where, const Outputs& o, const Options& how) {
          return call(where, as<input_of<T>>(x), as<culoss::label_view>(labels), o, how);
        },
        each);
  }

 private:
  block& elements() { return this->random(CULOSS_FLOAT32, kRows, kCols, 0.5, 2, 1); }
};

template <class T>
void call_regression(place& p, bool each) {
  using outputs = culoss::regression_outputs<T>;
  const auto of = [&]<class COptions, class Options>(std::type_identity<COptions>,
                                                     std::type_identity<Options>, const char* name,
                                                     const char* options, const auto& call) {
    element_calls<T, culoss_regression_outputs, outputs, COptions, Options> k(p, name, options, -2,
                                                                              2);
    k.gradient(CULOSS_TEST_FIELD(grad_predictions));
    k.gradient(CULOSS_TEST_FIELD(grad_targets));
    k.weighted();
    k.field(CULOSS_TEST_FIELD(mean_over), int{CULOSS_WEIGHTED_MEAN_WEIGHTS},
            k.with(CULOSS_TEST_FIELD(row_weights), &k.floats(kRows)));
    if constexpr (requires(Options o) { o.delta; }) k.field(CULOSS_TEST_FIELD(delta), 0.5f);
    if constexpr (requires(Options o) { o.beta; }) k.field(CULOSS_TEST_FIELD(beta), 0.5f);
    k.run_with_targets(call, each);
  };
  const std::type_identity<culoss_regression_options> c;
  const std::type_identity<culoss::regression_options> cpp;
  of(c, cpp, "mse", "regression", [](auto&&... a) { return culoss::mse(a...); });
  of(c, cpp, "mae", "regression", [](auto&&... a) { return culoss::mae(a...); });
  of(std::type_identity<culoss_huber_options>{}, std::type_identity<culoss::huber_options>{},
     "huber", "huber", [](auto&&... a) { return culoss::huber(a...); });
  of(std::type_identity<culoss_smooth_l1_options>{},
     std::type_identity<culoss::smooth_l1_options>{}, "smooth_l1", "smooth_l1",
     [](auto&&... a) { return culoss::smooth_l1(a...); });
}

template <class T>
void call_binary(place& p, bool each) {
  element_calls<T, culoss_binary_cross_entropy_outputs, culoss::binary_cross_entropy_outputs<T>,
                culoss_binary_cross_entropy_options, culoss::binary_cross_entropy_options>
      k(p, "binary_cross_entropy", "binary_cross_entropy", -2, 2);
  k.gradient(CULOSS_TEST_FIELD(grad_logits));
  k.gradient(CULOSS_TEST_FIELD(grad_targets));
  k.weighted();
  k.field(CULOSS_TEST_FIELD(pos_weight), &k.floats(kCols));
  k.field(CULOSS_TEST_FIELD(label_smoothing), 0.25f);
  k.run_with_targets([](auto&&... a) { return culoss::binary_cross_entropy(a...); }, each);

  element_calls<T, culoss_binary_cross_entropy_probabilities_outputs,
                culoss::binary_cross_entropy_probabilities_outputs<T>,
                culoss_binary_cross_entropy_probabilities_options,
                culoss::binary_cross_entropy_probabilities_options>
      b(p, "binary_cross_entropy_probabilities", "binary_cross_entropy_probabilities", 0.1, 0.9);
  b.gradient(CULOSS_TEST_FIELD(grad_probabilities));
  b.gradient(CULOSS_TEST_FIELD(grad_targets));
  b.weighted();
  b.run_with_targets([](auto&&... a) { return culoss::binary_cross_entropy_probabilities(a...); },
                     each);
}

// Fields that only calls with labels read change nothing without: they are set there alone.
template <class Calls>
void label_fields(Calls& k) {
  k.field(CULOSS_TEST_FIELD(background), 4);
  k.field(CULOSS_TEST_FIELD(ignore_index), 2);
}

template <class T>
void call_margin(place& p, bool each) {
  using outputs = culoss::margin_outputs<T>;
  const auto of = [&]<class COptions, class Options>(std::type_identity<COptions>,
                                                     std::type_identity<Options>,
                                                     const std::string& name, const auto& call) {
    for (const bool labels : {false, true}) {
      element_calls<T, culoss_margin_outputs, outputs, COptions, Options> k(
          p, (name + (labels ? "_labels" : "")).c_str(), name.c_str(), -2, 2);
      k.gradient(CULOSS_TEST_FIELD(grad_scores));
      k.upstream_elements();
      if constexpr (requires(Options o) { o.power; }) {
        k.field(CULOSS_TEST_FIELD(margin), 0.5f);
        k.field(CULOSS_TEST_FIELD(power), 2);
      }
      if (labels) {
        label_fields(k);
        k.run_with_labels(call, each);
      } else {
        k.run_with_targets(call, each);
      }
    }
  };
  of(std::type_identity<culoss_hinge_options>{}, std::type_identity<culoss::hinge_options>{},
     "hinge", [](auto&&... a) { return culoss::hinge(a...); });
  of(std::type_identity<culoss_soft_margin_options>{},
     std::type_identity<culoss::soft_margin_options>{}, "soft_margin",
     [](auto&&... a) { return culoss::soft_margin(a...); });
}

template <class T>
void call_sigmoid_focal(place& p, bool each) {
  const auto fields = [](auto& k) {
    k.field(CULOSS_TEST_FIELD(gamma), 1.5f);
    k.field(CULOSS_TEST_FIELD(alpha), 0.75f);
    k.field(CULOSS_TEST_FIELD(mean_over), int{CULOSS_FOCAL_MEAN_POSITIVES});
  };
  element_calls<T, culoss_sigmoid_focal_outputs, culoss::sigmoid_focal_outputs<T>,
                culoss_sigmoid_focal_options, culoss::sigmoid_focal_options>
      k(p, "sigmoid_focal", "sigmoid_focal", -2, 2);
  k.gradient(CULOSS_TEST_FIELD(grad_logits));
  k.gradient(CULOSS_TEST_FIELD(grad_targets));
  fields(k);
  k.run_with_targets([](auto&&... a) { return culoss::sigmoid_focal(a...); }, each);

  element_calls<T, culoss_sigmoid_focal_label_outputs, culoss::sigmoid_focal_label_outputs<T>,
                culoss_sigmoid_focal_options, culoss::sigmoid_focal_options>
      l(p, "sigmoid_focal_labels", "sigmoid_focal", -2, 2);
  l.gradient(CULOSS_TEST_FIELD(grad_logits));
  l.output(CULOSS_TEST_FIELD(positives), l.make(CULOSS_INT64, 1, 1));
  fields(l);
  label_fields(l);
  l.run_with_labels([](auto&&... a) { return culoss::sigmoid_focal(a...); }, each);
}

template <class T>
void call_elements(place& p, bool each) {
  call_regression<T>(p, each);
  call_binary<T>(p, each);
  call_margin<T>(p, each);
  call_sigmoid_focal<T>(p, each);
}

}  // namespace culoss_test::c_interface
