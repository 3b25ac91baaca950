// Negative log-likelihood, as a case: of log-probabilities and of probabilities.
#pragma once

#include <array>
#include <culoss/nll.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct nll_choice : row_choice {
  nll_choice() { name = "nll"; }

  culoss::nll_input input = culoss::nll_input::log_probabilities;

  bool probabilities() const { return input == culoss::nll_input::probabilities; }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::nll_options o;
    set_shared(o);
    o.input = input;
    return culoss::nll(
        where, v.in[0], v.labels,
        culoss::nll_outputs<T>{.loss = v.loss, .grad_input = v.out[0], .rows_counted = v.counted},
        o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::nll_workspace_bytes(rows, cols);
  }
};

// A logarithm and three factors; upstream, divisor and a quotient.
inline std::vector<expectation> bound_nll(const nll_choice& c, const problem& p, space where) {
  const std::vector<output> exact = exact_loss(c, p, {"grad_input"}, "rows_counted");
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type), expect_count(exact[2])};
  const double divisor = c.divisor(p, counted_weight(c, p));
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (!c.counts(p, row) || c.bad(p, row)) continue;
    const double x = p.row(i)[p.labels[row]];
    const double w = c.class_weights ? p.class_weights[static_cast<std::size_t>(p.labels[row])] : 1;
    const double value = c.probabilities() ? std::log(x) : x;
    const double error = (c.probabilities() ? a.library : 0) + 4 * a.u;
    if (std::isfinite(value)) {  // else infinite, NaN or switched off: exactly
      loss.add(e[0], row, std::fabs(c.row_weight(p, row) * w * value) * error + a.smallest);
    }
    const std::size_t k =
        row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(p.labels[row]);
    const double gradient = e[1].values[k];
    if (gradient != 0 && std::isfinite(gradient)) {
      e[1].bounds[k] = 6 * a.u * std::fabs(gradient) + type.rounding(gradient) + 2 * a.smallest;
    }
  }
  loss.finish(e[0], exact[2].values[0] == 0);
  return e;
}

template <class T>
class nll_invocation : public loss_call<nll_invocation<T>, T> {
  using base = loss_call<nll_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  nll_invocation(const nll_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        input_(this->matrix_input("input", &problem::x)),
        loss_(this->template output<real>("loss", this->has_values() ? this->losses() : -1)),
        gradient_(this->gradient("grad_input", how.mode != mode::forward,
                                 this->in_place() ? &input_ : nullptr)),
        rows_counted_(
            this->template output<std::int64_t>("rows_counted", this->has_values() ? 1 : -1)) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    const auto element = static_cast<std::int64_t>(sizeof(storage_of<T>));
    std::vector<moved_array> all;
    const bool writes = this->how_.mode != mode::forward;
    // One element of a row for the loss. The gradient by probabilities needs it again: the pack
    // that holds it, and packs that two rows share.
    std::int64_t loads = this->has_values() ? this->rows_read() * element : 0;
    const bool packs = writes && choice_.probabilities();
    if (packs) loads += this->rows_ * 2 * culoss::detail::kPackBytes;
    this->moved(all, "input", input_.memory, loads, writes && this->in_place() ? bytes : 0);
    all.back().at_most = packs;
    if (!this->in_place()) this->moved(all, "grad_input", gradient_, 0, writes ? bytes : 0);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = input_.memory.as_matrix();
    v.labels = this->labels();
    v.loss = loss_.as_vector();
    v.out[0] = gradient_.as_matrix();
    v.counted = rows_counted_.as_vector();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  nll_choice choice_;
  array_slot<T>& input_;
  const array<real>& loss_;
  const array<T>& gradient_;
  const array<std::int64_t>& rows_counted_;
};

class nll_case : public loss_case {
 public:
  explicit nll_case(const nll_choice& choice) : choice_(choice) {}

  const nll_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "nll"; }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return walk::elements; }
  std::vector<mode> modes() const override {
    return {mode::fused, mode::forward, mode::gradient, mode::in_place};
  }
  // Rows of log-probabilities or probabilities of the logits that were asked for.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    for (std::int64_t i = 0; i < p.rows; ++i) {
      double* x = p.row(i);
      const double max = *std::max_element(x, x + p.cols);
      double sum = 0;
      for (std::int64_t j = 0; j < p.cols; ++j) sum += std::exp(x[j] - max);
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const double log = x[j] - max - std::log(sum);
        x[j] = round_to(p.type, choice_.probabilities() ? std::exp(log) : log);
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
  nll_choice choice_;
};

inline nll_choice nll_of_probabilities() {
  nll_choice c;
  c.name = "nll_of_probabilities";
  c.input = culoss::nll_input::probabilities;
  return c;
}

inline std::vector<nll_choice> nll_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {2, 2, 3});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    nll_choice o = at(7) == 1 ? nll_of_probabilities() : nll_choice();
    set_shared_levels(o, few_shared_levels(c));
    o.temperature = 1;
    o.temperature_source = source::value;
    o.class_weights = at(8) == 1;
    o.ignore_index = std::array<std::int64_t, 3>{-100, 0, 7}[at(9)];
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && c[2] == 0;
  };
  std::vector<nll_choice> choices = {{}, nll_of_probabilities()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
