// What the CPU and the CUDA side of the elementwise losses share: the arguments of a call, whatever
// the loss calls them, and their check.
#pragma once

#include <culoss/focal.hpp>
#include <culoss/regression.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

struct element_names {
  const char* function;
  const char* input;
  const char* rows;  // "<input>.rows"
  const char* gradient;
};

template <class T>
struct element_views {
  matrix<const T> input = {};
  matrix<const T> targets = {};  // or
  label_view labels = {};
  bool labeled = false;
  vector<real_of<T>> loss = {};
  matrix<real_of<T>> losses = {};
  matrix<T> grad_input = {};
  matrix<T> grad_targets = {};
  vector<std::int64_t> positives = {};

  bool has_elements() const noexcept { return input.rows > 0 && input.cols > 0; }
  bool wants_elements() const noexcept {
    return !loss.empty() || !losses.empty() || !grad_input.empty() || !grad_targets.empty();
  }
};

// The options that not every elementwise loss has.
template <class Options>
matrix<const float> weights_of(const Options& o) noexcept {
  if constexpr (requires { o.weights; }) return o.weights;
  return {};
}
template <class Options>
matrix<const float> upstream_elements_of(const Options& o) noexcept {
  if constexpr (requires { o.upstream_elements; }) return o.upstream_elements;
  return {};
}
// Whether the divisor of a mean is the sum of the weights, and there are some.
template <class Options>
bool sums_weights(const Options& o) noexcept {
  if constexpr (requires { o.mean_over == weighted_mean::weights; }) {
    return o.mean_over == weighted_mean::weights && (!o.weights.empty() || !o.row_weights.empty());
  }
  return false;
}
template <class Options>
std::int64_t background_of(const Options& o, std::int64_t classes) noexcept {
  return o.background == Options::kAfterLastClass ? classes : o.background;
}

// The loss's own options are the caller's to check, before this.
template <class Where, class T, class Options>
status check_elements(validator& v, const Where& where, const element_names& names,
                      const element_views<T>& e, const Options& o) noexcept {
  const std::int64_t rows = e.input.rows;
  v.check(where);
  v.check(names.input, e.input, role::in_place_input);
  if (e.labeled) {
    v.positive(names.input, "cols", e.input.cols);
    v.check("labels", e.labels, rows, names.rows);
  } else {
    v.check("targets", e.targets, role::in_place_input);
    v.same_shape("targets", e.targets, names.input, e.input);
  }
  const auto factors = [&](const char* name, const matrix<const float>& m) {
    if (m.empty()) return;
    v.check(name, m, role::input);
    v.same_shape(name, m, names.input, e.input);
  };
  factors("weights", weights_of(o));
  if constexpr (requires { o.mean_over == weighted_mean::weights; }) {
    v.require(o.mean_over == weighted_mean::elements || o.mean_over == weighted_mean::weights,
              "mean_over must be elements or weights");
  }
  v.check_if_given("row_weights", o.row_weights, rows, names.rows, role::input);
  v.reduction(o.reduction, o.normalizer, o.upstream, o.upstream_rows, rows);
  v.empty(o.empty);
  const bool none = o.reduction == reduction::none;
  const matrix<const float> upstream = upstream_elements_of(o);
  v.require(none || upstream.empty(),
            "upstream_elements is given, but reductions mean and sum take a scalar upstream");
  v.require(upstream.empty() || o.upstream_rows.empty(),
            "upstream_elements and upstream_rows are both given");
  factors("upstream_elements", upstream);
  v.require(!none || e.loss.empty(), "loss is given, but reduction none writes losses");
  v.check_if_given("loss", e.loss, 1, "reduction is mean or sum", role::output);
  v.require(none || e.losses.empty(), "losses is given, but only reduction none writes it");
  if (!e.losses.empty()) {
    v.check("losses", e.losses, role::output);
    v.same_shape("losses", e.losses, names.input, e.input);
  }
  v.gradient_if_given(names.gradient, e.grad_input, names.input, e.input);
  v.gradient_if_given("grad_targets", e.grad_targets, "targets", e.targets);
  v.check_if_given("positives", e.positives, 1, "it is one count", role::output);
  const bool nothing = e.labeled ? rows == 0 : !e.has_elements();
  v.require(nothing || e.wants_elements() || !e.positives.empty(), "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
