// Label smoothing as a function of its own: of labels, of rows, and its backward.
#pragma once

#include <culoss/nll.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

enum class smoothing_form { of_labels, of_rows, backward };

struct smooth_labels_choice : row_choice {
  explicit smooth_labels_choice(smoothing_form f = smoothing_form::of_labels, float s = 0.1f)
      : form(f), smoothing(s) {
    static constexpr const char* kNames[] = {"smooth_labels_of_labels", "smooth_labels_of_rows",
                                             "smooth_labels_backward"};
    name = kNames[static_cast<int>(f)];
    if (s != 0.1f) name += "_" + std::to_string(s).substr(0, 4);
    labels = f == smoothing_form::of_labels;
    reduction = culoss::reduction::none;
  }

  smoothing_form form;
  float smoothing;

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v, const SetShared&) const {
    const culoss::smooth_labels_options o{.smoothing = smoothing, .ignore_index = ignore_index};
    if (labels) return culoss::smooth_labels(where, v.labels, v.out[0], o);
    return form == smoothing_form::of_rows
               ? culoss::smooth_labels(where, v.in[0], v.out[0], o)
               : culoss::smooth_labels_backward(where, v.in[0], v.out[0], o);
  }
};

template <class T>
class smooth_labels_invocation : public loss_call<smooth_labels_invocation<T>, T> {
  using base = loss_call<smooth_labels_invocation<T>, T>;

 public:
  smooth_labels_invocation(const smooth_labels_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        input_(c.labels ? this->add("input", array<T>())
                        : this->matrix_input("input", &problem::x)),
        output_(this->gradient("output", true, this->in_place() ? &input_ : nullptr)) {
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    std::vector<moved_array> all;
    this->moved(all, "input", input_.memory, bytes, this->in_place() ? bytes : 0);
    if (!this->in_place()) this->moved(all, "output", output_, 0, bytes);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = input_.memory.as_matrix();
    if (choice_.labels) v.labels = this->labels();
    v.out[0] = output_.as_matrix();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  smooth_labels_choice choice_;
  array_slot<T>& input_;
  const array<T>& output_;
};

class smooth_labels_case : public loss_case {
 public:
  explicit smooth_labels_case(const smooth_labels_choice& choice) : choice_(choice) {}

  const smooth_labels_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override {
    return choice_.form == smoothing_form::backward ? "smooth_labels_backward" : "smooth_labels";
  }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return walk::elements; }
  std::vector<mode> modes() const override {
    if (choice_.labels) return {mode::fused};
    return {mode::fused, mode::in_place};
  }
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    for (double& x : p.x) x = std::isfinite(x) ? x : 0;
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  bool returns(std::size_t, mode) const override { return true; }
  // (1 - s) q + s / C: three roundings of a factor each, and the sum's.
  std::vector<expectation> bound(const problem& p, space where) const override {
    std::vector<double> values(p.x.size());
    loss_views<double> v;
    v.in[0] = {p.x.data(), p.rows, p.cols};
    v.labels = culoss::vector<const std::int64_t>(p.labels.data(), p.rows);
    v.out[0] = {values.data(), p.rows, p.cols};
    const culoss::status s = choice_.call(culoss::cpu{.threads = 1}, v, [](auto&) {});
    if (!s.ok()) throw std::runtime_error(s.message());
    const format& type = format_of(p.type);
    const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
    expectation e = expect_exactly({"output", values}, p.cols, type);
    const double share = choice_.form == smoothing_form::backward
                             ? 0
                             : choice_.smoothing / static_cast<double>(p.cols);
    for (std::size_t k = 0; k < values.size(); ++k) {
      const std::size_t row = k / static_cast<std::size_t>(p.cols);
      if (!choice_.counts(p, row) || !std::isfinite(values[k])) continue;
      const double q = choice_.labels ? 1 : std::fabs(p.x[k]);
      const double kept = 1 - choice_.smoothing;
      const double size = (kept == 0 ? 0 : kept * q) + share;
      e.bounds[k] = size == 0 ? 0 : 4 * a.u * size + type.rounding(values[k]);
    }
    return {e};
  }

 private:
  smooth_labels_choice choice_;
};

inline std::vector<smooth_labels_choice> smooth_labels_choices() {
  std::vector<smooth_labels_choice> choices;
  for (const smoothing_form f :
       {smoothing_form::of_labels, smoothing_form::of_rows, smoothing_form::backward}) {
    for (const float s : {0.1f, 0.0f, 1.0f}) choices.emplace_back(f, s);
    if (f != smoothing_form::of_labels) continue;
    smooth_labels_choice c(f, 0.3f);
    c.wide_labels = false;
    c.ignore_index = 0;
    choices.push_back(c);
  }
  return choices;
}

}  // namespace culoss_test
