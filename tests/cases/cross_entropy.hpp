// Cross-entropy with labels, as a case: every option, every way to call it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/cases/labeled_rows.hpp"

namespace culoss_test {

template <class T>
class cross_entropy_invocation
    : public labeled_rows_call<cross_entropy_invocation<T>, cross_entropy_choice, T> {
  using base = labeled_rows_call<cross_entropy_invocation<T>, cross_entropy_choice, T>;

 public:
  cross_entropy_invocation(const cross_entropy_choice& c, const problem& p, const execution& how)
      : base(c,
             {.argmax = c.more_outputs,
              .correct = c.more_outputs,
              .rows_counted = c.more_outputs || c.rows_counted,
              .lse = c.more_outputs,
              .z_loss = c.z_loss_output,
              .entropy = c.entropy},
             p, how) {
    this->write(p);
  }

  std::vector<double> saved_statistics(const problem& p) const {
    return exact_cross_entropy(this->choice_, p)[kStatisticsOutput].values;
  }
};

class cross_entropy_case : public loss_case {
 public:
  explicit cross_entropy_case(const cross_entropy_choice& choice) : choice_(choice) {}

  const cross_entropy_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "cross_entropy"; }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return choice_.inner > 0 ? walk::strided : walk::rows; }
  bool gradients_sum_to_zero() const override {
    return choice_.softcap == 0 && choice_.z_loss == 0;
  }
  std::vector<mode> modes() const override {
    return {mode::fused,    mode::forward,  mode::gradient,
            mode::in_place, mode::backward, mode::split};
  }
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    return cross_entropy_returns(choice_, output, m);
  }

 private:
  cross_entropy_choice choice_;
};

}  // namespace culoss_test
