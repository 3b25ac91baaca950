// Sigmoid focal loss, as a case: of soft targets, and of class labels.
#pragma once

#include <array>
#include <culoss/focal.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/cases/sigmoid_focal_bounds.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct sigmoid_focal_choice : row_choice {
  sigmoid_focal_choice() {
    name = "sigmoid_focal";
    labels = false;
  }

  float gamma = 2;
  float alpha = 0.25f;
  bool hard_targets = false;  // 0 and 1 alone
  std::int64_t background = culoss::sigmoid_focal_options::kAfterLastClass;
  culoss::focal_mean mean_over = culoss::focal_mean::elements;

  std::int64_t background_of(const problem& p) const {
    return background == culoss::sigmoid_focal_options::kAfterLastClass ? p.cols : background;
  }
  bool is_bad(const problem& p, std::size_t row) const {
    return bad(p, row) && p.labels[row] != background_of(p);
  }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::sigmoid_focal_options o;
    set_shared(o);
    o.gamma = gamma;
    o.alpha = alpha;
    o.mean_over = mean_over;
    if (!labels) {
      return culoss::sigmoid_focal(where, v.in[0], v.in[1],
                                   culoss::sigmoid_focal_outputs<T>{.loss = v.loss,
                                                                    .losses = v.losses,
                                                                    .grad_logits = v.out[0],
                                                                    .grad_targets = v.out[1]},
                                   o);
    }
    o.background = background;
    return culoss::sigmoid_focal(
        where, v.in[0], v.labels,
        culoss::sigmoid_focal_label_outputs<T>{
            .loss = v.loss, .losses = v.losses, .grad_logits = v.out[0], .positives = v.counted},
        o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::sigmoid_focal_workspace_bytes(rows, cols);
  }
  // What a mean divides by.
  double own_divisor(const problem& p) const {
    double elements = 0, positives = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(p.rows); ++i) {
      if (counts(p, i)) elements += static_cast<double>(p.cols);
      positives += is_positive(p, i) ? 1 : 0;
    }
    return mean_over == culoss::focal_mean::positives ? positives : elements;
  }
  bool is_positive(const problem& p, std::size_t row) const {
    return labels && counts(p, row) && !bad(p, row) && p.labels[row] != background_of(p);
  }
};

// Loss or losses, gradients by logits and targets, positives; from the CPU function in double.
inline std::vector<output> exact_sigmoid_focal(const sigmoid_focal_choice& c, const problem& p) {
  const std::size_t size = p.x.size();
  std::vector<double> loss(1), losses(size), gradient(size), target_gradient(size);
  std::vector<std::int64_t> positives(1);
  loss_views<double> v;
  v.in[0] = {p.x.data(), p.rows, p.cols};
  v.in[1] = {p.g.data(), p.rows, p.cols};
  v.out[0] = {gradient.data(), p.rows, p.cols};
  v.out[1] = {target_gradient.data(), p.rows, p.cols};
  v.labels = culoss::vector<const std::int64_t>(p.labels.data(), p.rows);
  if (c.none()) v.losses = {losses.data(), p.rows, p.cols};
  if (!c.none()) v.loss = {loss.data(), 1};
  v.counted = {positives.data(), 1};
  const culoss::status s =
      c.call(culoss::cpu{.threads = 1}, v, [&](auto& o) { c.set_reference(o, p); });
  if (!s.ok()) throw std::runtime_error(s.message());
  return {{c.none() ? "losses" : "loss", c.none() ? losses : loss},
          {"grad_logits", gradient},
          {"grad_targets", target_gradient},
          {"positives", {static_cast<double>(positives[0])}}};
}

inline std::vector<expectation> bound_sigmoid_focal(const sigmoid_focal_choice& c, const problem& p,
                                                    space where) {
  const std::vector<output> exact = exact_sigmoid_focal(c, p);
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], c.none() ? p.cols : 1, real),
                                expect_exactly(exact[1], p.cols, type),
                                expect_exactly(exact[2], p.cols, type), expect_count(exact[3])};
  const double divisor = c.divisor(p, c.own_divisor(p));
  reduced_bound loss(c, divisor, real, a.u);
  const double pack = culoss::detail::kPackBytes / static_cast<double>(type.bytes);
  bool nothing = true;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (!c.counts(p, row)) continue;
    nothing = false;
    if (c.is_bad(p, row)) continue;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const double t = c.labels ? (c.is_positive(p, row) && p.labels[row] == j ? 1 : 0) : p.g[k];
      const sigmoid_focal_bound bound(p.x[k], t, c.gamma, c.alpha, c.row_weight(p, row),
                                      c.gradient_scale(p, row, divisor), a);
      const double sum = c.none() ? 0 : pack * a.u * bound.size;  // a pack is added in float
      loss.add(e[0], k, bound.loss + sum);
      const auto set = [&](expectation& of, double own) {
        const double value = of.values[k];
        of.bounds[k] = divisor == 0 ? 0 : own + (value == 0 ? 0 : type.rounding(value));
      };
      set(e[1], bound.gradient);
      set(e[2], bound.target_gradient);
    }
  }
  loss.finish(e[0], nothing || p.cols == 0);
  return e;
}

template <class T>
class sigmoid_focal_invocation : public loss_call<sigmoid_focal_invocation<T>, T> {
  using base = loss_call<sigmoid_focal_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  sigmoid_focal_invocation(const sigmoid_focal_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        logits_(this->matrix_input("logits", &problem::x)),
        targets_(c.labels ? this->add("targets", array<T>())
                          : this->matrix_input("targets", &problem::g)),
        loss_(this->template output<real>("loss", !c.none() && this->has_values() ? 1 : -1)),
        losses_(this->template output<real>("losses", c.none() && this->has_values()
                                                          ? this->template matrix_of<real>()
                                                          : array<real>())),
        gradient_(this->gradient("grad_logits", wants_gradient(), place(logits_, targets_))),
        target_gradient_(
            this->gradient("grad_targets", wants_target_gradient(), place(targets_, logits_))),
        positives_(this->template output<std::int64_t>("positives",
                                                       c.labels && this->has_values() ? 1 : -1)) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const std::int64_t bytes = rows_ * this->row_bytes();
    std::vector<moved_array> all;
    const std::int64_t stores = this->in_place() ? bytes : 0;
    this->moved(all, "logits", logits_.memory, bytes, stores);
    this->moved(all, "targets", targets_.memory, bytes, stores);
    this->moved(all, "losses", losses_, 0, rows_ * cols_ * static_cast<std::int64_t>(sizeof(real)));
    if (this->in_place()) return all;
    this->moved(all, "grad_logits", gradient_, 0, bytes);
    this->moved(all, "grad_targets", target_gradient_, 0, bytes);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = logits_.memory.as_matrix();
    v.in[1] = targets_.memory.as_matrix();
    if (choice_.labels) v.labels = this->labels();
    v.loss = loss_.as_vector();
    v.losses = losses_.as_matrix();
    v.out[0] = gradient_.as_matrix();
    v.out[1] = target_gradient_.as_matrix();
    v.counted = positives_.as_vector();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  using base::cols_;
  using base::how_;
  using base::rows_;
  bool wants_gradient() const {
    return how_.mode != mode::forward && how_.mode != mode::target_gradient;
  }
  bool wants_target_gradient() const {
    return !choice_.labels && how_.mode != mode::forward && how_.mode != mode::gradient;
  }
  array_slot<T>* place(array_slot<T>& own, array_slot<T>& other) const {
    if (!this->in_place()) return nullptr;
    return how_.mode == mode::in_place_upstream ? &other : &own;
  }

  sigmoid_focal_choice choice_;
  array_slot<T>&logits_, &targets_;
  const array<real>&loss_, &losses_;
  const array<T>&gradient_, &target_gradient_;
  const array<std::int64_t>& positives_;
};

class sigmoid_focal_case : public loss_case {
 public:
  explicit sigmoid_focal_case(const sigmoid_focal_choice& choice) : choice_(choice) {}

  const sigmoid_focal_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "sigmoid_focal"; }
  const row_choice* rows() const override { return &choice_; }
  walk walks() const override { return walk::elements; }
  int streams() const override { return choice_.labels ? 1 : 2; }
  std::vector<mode> modes() const override {
    if (choice_.labels) return {mode::fused, mode::forward, mode::gradient, mode::in_place};
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  // Targets at both ends and between; labels of classes, the background and, as the fourth row,
  // ignored ones.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    for (std::size_t i = 2; choice_.labels && i < p.labels.size(); i += 5) {
      p.labels[i] = choice_.background_of(p);
    }
    choice_.complete(p);
    if (choice_.labels) return p;
    random_numbers random(shape.seed + 23);
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      const double t = random.uniform();
      const bool end = choice_.hard_targets || k % 3 != 0;
      p.g.push_back(end ? (t < 0.5 ? 0 : 1) : round_to(p.type, t));
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    const bool given[] = {returns_values(m), returns_gradient(m),
                          returns_second_gradient(m) && !choice_.labels,
                          returns_values(m) && choice_.labels};
    return given[output];
  }

 private:
  sigmoid_focal_choice choice_;
};

inline sigmoid_focal_choice sigmoid_focal_of_labels() {
  sigmoid_focal_choice c;
  c.name = "sigmoid_focal_of_labels";
  c.labels = true;
  return c;
}

inline std::vector<sigmoid_focal_choice> sigmoid_focal_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {6, 4, 3, 3, 2});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    sigmoid_focal_choice o = at(9) == 2 ? sigmoid_focal_of_labels() : sigmoid_focal_choice();
    o.hard_targets = at(9) == 1;
    set_shared_levels(o, few_shared_levels(c));
    o.temperature = 1;
    o.temperature_source = source::value;
    o.gamma = std::array{0.0f, 0.5f, 1.0f, 2.0f, 5.0f, 3.7f}[at(7)];
    o.alpha = std::array{-1.0f, 0.0f, 0.25f, 1.0f}[at(8)];
    o.background =
        std::array<std::int64_t, 3>{culoss::sigmoid_focal_options::kAfterLastClass, -1, 2}[at(10)];
    if (at(11) == 1) o.mean_over = culoss::focal_mean::positives;
    return o;
  };
  const auto allowed = [](const combination& c) {
    const bool labels = c[9] == 2;
    const bool rest = labels || (c[10] == 0 && c[11] == 0 && c[5] == 0);
    return shared_levels_allowed(few_shared_levels(c)) && rest && c[2] == 0;
  };
  std::vector<sigmoid_focal_choice> choices = {{}, sigmoid_focal_of_labels()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
