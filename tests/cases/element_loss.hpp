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
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return walk::elements; }
  int streams() const override { return 2; }
  std::vector<mode> modes() const override {
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  // Targets around the input: a few at it, a few a parameter away, on and beside the kinks.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    random_numbers random(shape.seed + 29);
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      const double away[] = {0,
                             choice_.parameter,
                             -choice_.parameter,
                             random.normal(),
                             random.normal(),
                             10 * random.normal(),
                             0.01 * random.normal()};
      p.g.push_back(round_to(p.type, p.x[k] - away[random.below(7)]));
      p.weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
      p.upstream_elements.push_back(static_cast<float>(2 * random.normal()));
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    const bool given[] = {returns_values(m), returns_gradient(m), returns_second_gradient(m)};
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

inline std::vector<element_choice> regression_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {6, 2, 2, 2});
  const auto choice = [](const combination& c) {
    using enum element_function;
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    const element_function functions[] = {mse, mae, huber, huber, smooth_l1, smooth_l1};
    const float parameters[] = {1, 1, 1, 0.3f, 0.3f, 0};
    element_choice o(functions[at(7)], parameters[at(7)]);
    set_shared_levels(o, few_shared_levels(c));
    o.weights = at(8) == 1;
    if (at(9) == 1) o.mean_over = culoss::weighted_mean::weights;
    o.upstream_elements = at(10) == 1;
    return o;
  };
  const auto allowed = [](const combination& c) {
    const bool elements = c[10] == 0 || (c[0] == 1 && c[3] != 2);
    return shared_levels_allowed(few_shared_levels(c)) && elements && c[2] == 0 && c[5] == 0;
  };
  std::vector<element_choice> choices = {element_choice(), weighted_mse()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
