// Entropy, as a case: of probabilities and of logits.
#pragma once

#include <array>
#include <culoss/divergence.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct entropy_choice : row_choice {
  explicit entropy_choice(culoss::entropy_input from = culoss::entropy_input::probabilities)
      : input(from) {
    name = logits() ? "entropy_of_logits" : "entropy_of_probabilities";
    labels = false;
  }

  culoss::entropy_input input;
  bool mean_elements = false;

  bool logits() const { return input == culoss::entropy_input::logits; }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::entropy_options o;
    set_shared(o);
    o.input = input;
    o.mean_elements = mean_elements;
    return culoss::entropy(where, v.in[0],
                           culoss::entropy_outputs<T>{.loss = v.loss, .grad_input = v.out[0]}, o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::entropy_workspace_bytes(rows, cols);
  }
};

inline std::vector<expectation> bound_entropy(const entropy_choice& c, const problem& p,
                                              space where) {
  const std::vector<output> exact = exact_loss(c, p, {"grad_input"});
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type)};
  const double elements = static_cast<double>(p.rows) * static_cast<double>(p.cols);
  const double divisor = c.divisor(p, c.mean_elements ? elements : static_cast<double>(p.rows));
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const double* x = p.row(i);
    const double scale = c.gradient_scale(p, row, divisor), weight = c.row_weight(p, row);
    const auto set = [&](std::int64_t j, double bound) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const double value = e[1].values[k];
      if (divisor != 0 && value != 0) e[1].bounds[k] = bound + type.rounding(value);
    };
    if (c.logits()) {
      const softmax_row of(x, p.cols, p.temperature, -1, a);
      if (of.empty()) continue;
      loss.add(e[0], row,
               std::fabs(weight) * (of.entropy_error() + 4 * a.u * of.entropy()) + a.smallest);
      for (std::int64_t j = 0; j < p.cols; ++j) {
        if (x[j] == -softmax_row::kInfinity) continue;
        set(j, entropy_gradient_bound(of, j, scale / p.temperature, a));
      }
      continue;
    }
    // sum p log p, each term a logarithm and a product; -(log p + 1).
    double sizes = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      if (!(x[j] > 0)) continue;
      const double log = std::fabs(std::log(x[j]));
      sizes += x[j] * log;
      set(j, std::fabs(scale) * ((a.library + 4 * a.u) * (log + 1)) + 2 * a.smallest);
    }
    loss.add(e[0], row,
             std::fabs(weight) * (a.library + (a.adds + 4) * a.u) * sizes +
                 static_cast<double>(p.cols) * a.smallest);
  }
  loss.finish(e[0], p.rows == 0);
  return e;
}

template <class T>
class entropy_invocation : public loss_call<entropy_invocation<T>, T> {
  using base = loss_call<entropy_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  entropy_invocation(const entropy_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        input_(this->matrix_input("input", &problem::x)),
        loss_(this->template output<real>("loss", this->has_values() ? this->losses() : -1)),
        gradient_(this->gradient("grad_input", how.mode != mode::forward,
                                 this->in_place() ? &input_ : nullptr)) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const bool writes = this->how_.mode != mode::forward;
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    const int reads = reads_of_row(this->cols_, element_of<T>, 1, this->how_, writes);
    std::vector<moved_array> all;
    this->moved(all, "input", input_.memory, reads * bytes, this->in_place() ? bytes : 0);
    if (!this->in_place()) this->moved(all, "grad_input", gradient_, 0, writes ? bytes : 0);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = input_.memory.as_matrix();
    v.loss = loss_.as_vector();
    v.out[0] = gradient_.as_matrix();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  entropy_choice choice_;
  array_slot<T>& input_;
  const array<real>& loss_;
  const array<T>& gradient_;
};

class entropy_case : public loss_case {
 public:
  explicit entropy_case(const entropy_choice& choice) : choice_(choice) {}

  const entropy_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "entropy"; }
  const row_choice* rows() const override { return &choice_; }
  std::vector<mode> modes() const override {
    return {mode::fused, mode::forward, mode::gradient, mode::in_place};
  }
  // Of probabilities: those of the logits that were asked for, some of them 0.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    for (std::int64_t i = 0; i < p.rows && !choice_.logits(); ++i) {
      double* x = p.row(i);
      const double max = *std::max_element(x, x + p.cols);
      double sum = 0;
      for (std::int64_t j = 0; j < p.cols; ++j) sum += std::exp(x[j] - max);
      for (std::int64_t j = 0; j < p.cols; ++j) {
        x[j] = round_to(p.type, std::exp(x[j] - max) / sum);
      }
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    return output == 1 ? returns_gradient(m) : returns_values(m);
  }

 private:
  entropy_choice choice_;
};

inline std::vector<entropy_choice> entropy_choices() {
  using culoss::entropy_input;
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {2, 2});
  const auto choice = [](const combination& c) {
    entropy_choice o(c[7] == 1 ? entropy_input::logits : entropy_input::probabilities);
    set_shared_levels(o, few_shared_levels(c));
    o.mean_elements = c[8] == 1;
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && c[5] == 0 && (c[7] == 1 || c[2] == 0);
  };
  std::vector<entropy_choice> choices = {entropy_choice(entropy_input::probabilities),
                                         entropy_choice(entropy_input::logits)};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
