// Elementwise losses, as cases.
#pragma once

#include <memory>
#include <vector>

#include "tests/cases/element_choice.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss_test {

class element_case : public loss_case {
 public:
  explicit element_case(const element_choice& choice) : choice_(choice) {}

  const element_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return name_of(choice_.function); }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return walk::elements; }
  int streams() const override { return choice_.labels ? 1 : 2; }
  std::vector<mode> modes() const override {
    if (!choice_.gives_target_gradient()) {
      return {mode::fused, mode::forward, mode::gradient, mode::in_place};
    }
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  problem make(const problem_shape& shape) const override;
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    const bool given[] = {returns_values(m), returns_gradient(m),
                          returns_second_gradient(m) && choice_.gives_target_gradient()};
    return given[output];
  }

 private:
  element_choice choice_;
};

// Everything that multiplies an element, and the divisor that its weights make.
inline element_choice weighted_mse() {
  element_choice c(element_function::mse);
  c.name = "mse_weighted";
  c.weights = c.row_weights = true;
  c.mean_over = culoss::weighted_mean::weights;
  return c;
}

inline element_choice hinge_of_labels() {
  element_choice c(element_function::hinge);
  c.name = "hinge_of_labels";
  c.labels = true;
  return c;
}

// One of each kernel, without options.
inline std::vector<element_choice> plain_element_choices() {
  using enum element_function;
  return {element_choice(huber), element_choice(binary_cross_entropy),
          element_choice(binary_cross_entropy_probabilities), element_choice(hinge),
          hinge_of_labels()};
}

// Every two levels of every two options meet in one of these.
std::vector<element_choice> element_choices();

}  // namespace culoss_test
