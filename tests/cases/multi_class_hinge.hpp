// Multi-class hinge, as a case: the sum over the other classes or the largest of them.
#pragma once

#include <array>
#include <culoss/margin.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct multi_hinge_choice : row_choice {
  explicit multi_hinge_choice(culoss::hinge_form of = culoss::hinge_form::sum) : form(of) {
    name = of == culoss::hinge_form::sum ? "multi_class_hinge" : "multi_class_hinge_max";
  }

  culoss::hinge_form form;
  float margin = 1;
  int power = 1;

  bool largest() const { return form == culoss::hinge_form::max; }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::multi_class_hinge_options o;
    set_shared(o);
    o.form = form;
    o.margin = margin;
    o.power = power;
    return culoss::multi_class_hinge(
        where, v.in[0], v.labels,
        culoss::multi_class_hinge_outputs<T>{
            .loss = v.loss, .grad_scores = v.out[0], .rows_counted = v.counted},
        o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::multi_class_hinge_workspace_bytes(rows, cols);
  }
};

// z_j = (x_j - x_t) + m is two roundings from the exact one. Where it is closer to 0 than that, but
// not 0, either derivative will do: of at most one element in a hundred.
inline std::vector<expectation> bound_multi_hinge(const multi_hinge_choice& c, const problem& p,
                                                  space where) {
  const std::vector<output> exact = exact_loss(c, p, {"grad_scores"}, "rows_counted");
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type), expect_count(exact[2])};
  const double divisor = c.divisor(p, exact[2].values[0]);
  reduced_bound loss(c, divisor, real, a.u);
  std::size_t near_kinks = 0;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (!c.counts(p, row) || c.bad(p, row)) continue;
    const auto t = static_cast<std::size_t>(p.labels[row]);
    const std::size_t first = row * static_cast<std::size_t>(p.cols);
    const double* x = p.row(i);
    const double class_weight = c.class_weights ? p.class_weights[t] : 1;
    const double share = class_weight / (c.largest() ? 1 : static_cast<double>(p.cols));
    const double scale = std::fabs(c.gradient_scale(p, row, divisor)) * share;
    double size = 0, error = 0, slopes = 0, slope_error = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = first + static_cast<std::size_t>(j);
      if (j == p.labels[row]) continue;
      const double value = exact[1].values[k];
      if (!std::isfinite(x[j]) || !std::isfinite(x[t])) {
        const bool finite = divisor != 0 && value != 0 && std::isfinite(value);
        if (finite) e[1].bounds[k] = 6 * a.u * std::fabs(value) + type.rounding(value);
        continue;
      }
      const double z = static_cast<double>(c.margin) - x[t] + x[j];
      const double z_error = a.u * (std::fabs(x[j] - x[t]) + std::fabs(z));
      const bool near = z != 0 && std::fabs(z) <= z_error;
      double of_slope = near ? (c.power == 2 ? 2 * z_error : 1) : 0;
      near_kinks += near ? 1 : 0;
      if (z > 0 && (!c.largest() || value != 0 || divisor == 0 || scale == 0)) {
        size += c.power == 2 ? z * z : z;
        slopes += c.power == 2 ? 2 * z : 1;
      }
      if (c.power == 2 && z > -z_error) of_slope = std::fmax(of_slope, 2 * z_error);
      if (c.largest() && value == 0 && !near) of_slope = 0;
      if (z > -z_error && (!c.largest() || of_slope > 0 || value != 0)) {
        const double above = std::fmax(z, 0.0);
        error +=
            c.power == 2 ? 2 * above * z_error + z_error * z_error + a.u * above * above : z_error;
      }
      slope_error += of_slope;
      if (divisor != 0 && (value != 0 || near)) {
        e[1].bounds[k] = scale * of_slope + 6 * a.u * std::fabs(value) + type.rounding(value) +
                         (2 + scale) * a.smallest;
      }
    }
    const double value = exact[1].values[first + t];
    if (divisor != 0 && std::isfinite(value) && (value != 0 || slope_error > 0)) {
      e[1].bounds[first + t] = scale * (slope_error + (a.weight_adds + a.adds) * a.u * slopes) +
                               8 * a.u * std::fabs(value) + type.rounding(value) +
                               (2 + scale) * a.smallest;
    }
    const double weight = std::fabs(c.row_weight(p, row)) * share;
    loss.add(
        e[0], row,
        weight * (error + (a.weight_adds + a.adds + 6) * a.u * size) + (2 + weight) * a.smallest);
  }
  if (100 * near_kinks > p.x.size()) throw std::runtime_error("too many scores near their kink");
  loss.finish(e[0], exact[2].values[0] == 0);
  return e;
}

template <class T>
class multi_hinge_invocation : public loss_call<multi_hinge_invocation<T>, T> {
  using base = loss_call<multi_hinge_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  multi_hinge_invocation(const multi_hinge_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        scores_(this->matrix_input("scores", &problem::x)),
        loss_(this->template output<real>("loss", this->has_values() ? this->losses() : -1)),
        gradient_(this->gradient("grad_scores", how.mode != mode::forward,
                                 this->in_place() ? &scores_ : nullptr)),
        counted_(this->template output<std::int64_t>("rows_counted", this->has_values() ? 1 : -1)) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const bool writes = this->how_.mode != mode::forward;
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    // Of rows that do not fit on chip each thread reads the label's score by itself, and the row is
    // read again to be written.
    const bool fits = reads_of_row(this->cols_, element_of<T>, 1, this->how_, true) == 1;
    constexpr std::int64_t kThreads = 512, kElement = sizeof(storage_of<T>);
    const std::int64_t of_a_row =
        fits ? this->row_bytes() : (writes ? 2 : 1) * this->row_bytes() + kThreads * kElement;
    std::vector<moved_array> all;
    this->moved(all, "scores", scores_.memory, this->rows_read() * of_a_row,
                this->in_place() ? bytes : 0);
    if (!this->in_place()) this->moved(all, "grad_scores", gradient_, 0, writes ? bytes : 0);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = scores_.memory.as_matrix();
    v.labels = this->labels();
    v.loss = loss_.as_vector();
    v.out[0] = gradient_.as_matrix();
    v.counted = counted_.as_vector();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  multi_hinge_choice choice_;
  array_slot<T>& scores_;
  const array<real>& loss_;
  const array<T>& gradient_;
  const array<std::int64_t>& counted_;
};

class multi_hinge_case : public loss_case {
 public:
  explicit multi_hinge_case(const multi_hinge_choice& choice) : choice_(choice) {}

  const multi_hinge_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "multi_class_hinge"; }
  const row_choice* rows() const override { return &choice_; }
  std::vector<mode> modes() const override {
    return {mode::fused, mode::forward, mode::gradient, mode::in_place};
  }
  // Of some rows the label is nearly the largest, so that few of the others cost something.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    for (std::int64_t i = 1; i < p.rows; i += 2) {
      const std::int64_t t = p.labels[static_cast<std::size_t>(i)];
      if (t < 0 || t >= p.cols) continue;
      double* x = p.row(i);
      const double max = *std::max_element(x, x + p.cols);
      x[t] = round_to(p.type, max - 0.25);
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    return output == 1 ? returns_gradient(m) : returns_values(m);
  }

 private:
  multi_hinge_choice choice_;
};

inline std::vector<multi_hinge_choice> multi_hinge_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {2, 2, 2, 3, 3});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    multi_hinge_choice o(at(7) == 1 ? culoss::hinge_form::max : culoss::hinge_form::sum);
    set_shared_levels(o, few_shared_levels(c));
    o.temperature = 1;
    o.temperature_source = source::value;
    o.power = at(8) == 1 ? 2 : 1;
    o.class_weights = at(9) == 1;
    o.margin = std::array{1.0f, 0.3f, -2.0f}[at(10)];
    o.ignore_index = std::array<std::int64_t, 3>{-100, 0, 7}[at(11)];
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && c[2] == 0;
  };
  std::vector<multi_hinge_choice> choices = {multi_hinge_choice()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
