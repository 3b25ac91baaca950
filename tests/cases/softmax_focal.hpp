// Softmax focal loss, as a case.
#pragma once

#include <array>
#include <culoss/focal.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/labeled_rows.hpp"

namespace culoss_test {

// alpha is the class weights of the problem.
struct softmax_focal_choice : row_choice {
  softmax_focal_choice() { name = "softmax_focal"; }

  float gamma = 2;
  std::int64_t inner = 0;  // as cross_entropy_choice
  bool more_outputs = true;

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    return on_view(v, inner, [&]<class View>(const auto& logits, const View& gradient) {
      return culoss::softmax_focal(
          where, logits, v.labels,
          culoss::softmax_focal_outputs<T, View>{.loss = v.loss,
                                                 .grad_logits = gradient,
                                                 .statistics = v.statistics,
                                                 .argmax = v.argmax,
                                                 .correct = v.correct,
                                                 .rows_counted = v.counted},
          options(v.class_weights, set_shared));
    });
  }
  template <class T, class Where, class SetShared>
  culoss::status call_backward(const Where& where, const loss_views<T>& v,
                               const SetShared& set_shared) const {
    return on_view(v, inner, [&]<class View>(const auto& logits, const View& gradient) {
      return culoss::softmax_focal_backward(
          where, logits, v.labels, v.statistics,
          culoss::softmax_focal_backward_outputs<T, View>{gradient},
          options(v.class_weights, set_shared));
    });
  }
  template <class SetShared>
  culoss::softmax_focal_options options(culoss::vector<const float> alpha,
                                        const SetShared& set_shared) const {
    culoss::softmax_focal_options o;
    set_shared(o);
    o.gamma = gamma;
    o.alpha = alpha;
    return o;
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::softmax_focal_workspace_bytes(rows, cols);
  }
};

// Loss, gradient, statistics, arg-max, correct, rows counted, from the CPU function in double.
inline std::vector<output> exact_softmax_focal(const softmax_focal_choice& c, const problem& p) {
  const auto rows = static_cast<std::size_t>(p.rows);
  std::vector<double> loss(c.none() ? rows : 1), gradient(p.x.size());
  std::vector<culoss::row_statistics<double>> statistics(rows);
  std::vector<std::int64_t> argmax(rows), counts(2);
  const culoss::vector<const float> alpha(p.class_weights.data(), p.cols);
  const culoss::softmax_focal_options o =
      c.options(c.class_weights ? alpha : culoss::vector<const float>(),
                [&](auto& shared) { c.set_reference(shared, p); });
  const culoss::vector<const std::int64_t> labels(p.labels.data(), p.rows);
  const culoss::status s = culoss::softmax_focal(
      culoss::cpu{.threads = 1}, culoss::matrix<const double>(p.x.data(), p.rows, p.cols), labels,
      {.loss = {loss.data(), static_cast<std::int64_t>(loss.size())},
       .grad_logits = {gradient.data(), p.rows, p.cols},
       .statistics = {statistics.data(), p.rows},
       .argmax = {argmax.data(), p.rows},
       .correct = {&counts[0], 1},
       .rows_counted = {&counts[1], 1}},
      o);
  if (!s.ok()) throw std::runtime_error(s.message());
  return {{"loss", loss},
          {"grad_logits", gradient},
          {"statistics", flat_statistics(statistics)},
          {"argmax", {argmax.begin(), argmax.end()}},
          {"correct", {static_cast<double>(counts[0])}},
          {"rows_counted", {static_cast<double>(counts[1])}}};
}

inline std::vector<expectation> bound_softmax_focal(const softmax_focal_choice& c, const problem& p,
                                                    space where) {
  const std::vector<output> exact = exact_softmax_focal(c, p);
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1, view_of(c.inner, p.rows));
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type),
                                expect_exactly(exact[2], 4, real)};
  for (std::size_t k = 3; k < exact.size(); ++k) e.push_back(expect_count(exact[k]));
  const double counted = exact[5].values[0], divisor = c.divisor(p, counted);
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (!c.counts(p, row) || c.bad(p, row) || std::isnan(e[2].values[4 * row])) continue;
    const cross_entropy_row bounds(
        p.row(i), p.cols, p.labels[row],
        {.temperature = p.temperature,
         .class_weights = c.class_weights ? p.class_weights.data() : nullptr,
         .row_weight = c.row_weight(p, row),
         .gradient_scale = c.gradient_scale(p, row, divisor) / p.temperature,
         .gamma = c.gamma},
        a);
    loss.add(e[0], row, bounds.loss());
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const double value = e[1].values[k];
      e[1].bounds[k] =
          divisor == 0 ? 0 : bounds.gradient(j) + (value == 0 ? 0 : type.rounding(value));
    }
    e[2].bounds[4 * row + 1] = bounds.log_sum() + real.rounding(e[2].values[4 * row + 1]);
  }
  loss.finish(e[0], counted == 0);
  return e;
}

template <class T>
class softmax_focal_invocation
    : public labeled_rows_call<softmax_focal_invocation<T>, softmax_focal_choice, T> {
  using base = labeled_rows_call<softmax_focal_invocation<T>, softmax_focal_choice, T>;

 public:
  softmax_focal_invocation(const softmax_focal_choice& c, const problem& p, const execution& how)
      : base(c,
             {.argmax = c.more_outputs,
              .correct = c.more_outputs,
              .rows_counted = c.more_outputs,
              .lse = false,
              .z_loss = false,
              .entropy = false},
             p, how) {
    this->write(p);
  }

  std::vector<double> saved_statistics(const problem& p) const {
    return exact_softmax_focal(this->choice_, p)[2].values;
  }
};

class softmax_focal_case : public loss_case {
 public:
  explicit softmax_focal_case(const softmax_focal_choice& choice) : choice_(choice) {}

  const softmax_focal_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "softmax_focal"; }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return choice_.inner > 0 ? walk::strided : walk::rows; }
  bool gradients_sum_to_zero() const override { return true; }
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
    if (output == 1) return returns_gradient(m);
    return returns_values(m) && (output < 3 || choice_.more_outputs);
  }

 private:
  softmax_focal_choice choice_;
};

inline softmax_focal_choice strided(softmax_focal_choice c, std::int64_t inner = 3) {
  c.name += "_strided";
  c.inner = inner;
  return c;
}

inline std::vector<softmax_focal_choice> softmax_focal_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {6, 2, 3, 2, 2});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    softmax_focal_choice o;
    set_shared_levels(o, few_shared_levels(c));
    o.gamma = std::array{0.0f, 0.5f, 1.0f, 2.0f, 5.0f, 3.7f}[at(7)];
    o.class_weights = at(8) == 1;
    o.ignore_index = std::array<std::int64_t, 3>{-100, 0, 7}[at(9)];
    o.more_outputs = at(10) == 0;
    return at(11) == 1 ? strided(o) : o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c));
  };
  std::vector<softmax_focal_choice> choices = {{}};
  for (const combination& c : pairwise_cover(levels, allowed)) {
    choices.push_back(choice(c));
  }
  return choices;
}

}  // namespace culoss_test
