// Cross-entropy against target probabilities, as a case.
#pragma once

#include <culoss/cross_entropy.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/harness/call.hpp"

namespace culoss_test {

// Its choices are those of cross-entropy; labels do not exist.
struct target_choice : cross_entropy_choice {
  target_choice() {
    name = "cross_entropy_targets";
    labels = false;
  }

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    return culoss::cross_entropy(where, v.in[0], v.in[1],
                                 culoss::cross_entropy_soft_outputs<T>{.loss = v.loss,
                                                                       .grad_logits = v.out[0],
                                                                       .grad_targets = v.out[1],
                                                                       .lse = v.lse,
                                                                       .statistics = v.statistics,
                                                                       .argmax = v.argmax,
                                                                       .z_loss = v.z_loss,
                                                                       .entropy = v.entropy},
                                 options(set_shared));
  }
  template <class T, class Where, class SetShared>
  culoss::status call_backward(const Where& where, const loss_views<T>& v,
                               const SetShared& set_shared) const {
    return culoss::cross_entropy_backward(
        where, v.in[0], v.in[1], v.statistics,
        culoss::cross_entropy_soft_backward_outputs<T>{v.out[0], v.out[1]}, options(set_shared));
  }
};

// Target rows of every kind, in turn: a softmax, a class, a few columns, not normalized, with
// negative entries. Masked columns have none, but where the loss is to be infinite.
inline void make_targets(problem& p, std::uint64_t seed) {
  random_numbers random(seed + 17);
  p.g.assign(p.x.size(), 0.0);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    double* q = p.g.data() + i * p.cols;
    const double* x = p.row(i);
    double sum = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const double n = random.normal();
      switch (i % 5) {
        case 0:
          q[j] = std::exp(2 * n);
          break;
        case 1:
          q[j] = j == p.labels[static_cast<std::size_t>(i)] ? 1 : 0;
          break;
        case 2:
          q[j] = n > 1 ? n : 0;
          break;
        case 3:
          q[j] = 3 * std::fabs(n);
          break;
        default:
          q[j] = n;
      }
      if (x[j] == -softmax_row::kInfinity && i % 5 != 3) q[j] = 0;
      sum += q[j];
    }
    for (std::int64_t j = 0; j < p.cols; ++j) {
      if (i % 5 == 0 && sum > 0) q[j] /= sum;
      q[j] = round_to(p.type, q[j]);
    }
  }
}

template <class T>
class target_invocation : public loss_call<target_invocation<T>, T> {
  using base = loss_call<target_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  target_invocation(const target_choice& c, const problem& p, const execution& how);
  void write(const problem& p) override;
  std::vector<moved_array> moves() const override;
  template <class Where>
  culoss::status launch_on(const Where& where) const;

 private:
  using base::cols_;
  using base::how_;
  using base::rows_;
  bool wants_gradient() const {
    return how_.mode != mode::forward && how_.mode != mode::target_gradient;
  }
  bool wants_target_gradient() const {
    return how_.mode != mode::forward && how_.mode != mode::gradient;
  }
  bool crossed() const { return how_.mode == mode::in_place_upstream; }
  std::int64_t at(std::int64_t size, bool wanted = true) const {
    return wanted && this->has_values() ? size : -1;
  }
  array_slot<T>* place(array_slot<T>& own, array_slot<T>& other) const {
    return this->in_place() ? (crossed() ? &other : &own) : nullptr;
  }
  array_slot<real>& make_statistics() {
    const bool there = this->has_backward() || this->has_values();
    array_slot<real>& s =
        this->add("statistics", this->template vector_of<real>(there ? 4 * rows_ : -1));
    if (how_.mode != mode::backward) this->give("statistics", s);
    return s;
  }

  target_choice choice_;
  array_slot<T>&logits_, &targets_;
  const array<real>& loss_;
  const array<T>&gradient_, &target_gradient_;
  const array<real>& lse_;
  array_slot<real>& statistics_;
  const array<std::int64_t>& argmax_;
  const array<real>&z_loss_, &entropy_;
};

// Every output, from the CPU function on the same numbers in double.
inline std::vector<output> exact_cross_entropy_targets(const target_choice& c, const problem& p) {
  const auto rows = static_cast<std::size_t>(p.rows);
  std::vector<double> loss(c.none() ? rows : 1), z_loss(loss.size()), lse(rows), entropy(rows);
  std::vector<double> gradient(p.x.size()), target_gradient(p.x.size());
  std::vector<culoss::row_statistics<double>> statistics(rows);
  std::vector<std::int64_t> argmax(rows);
  const auto losses = static_cast<std::int64_t>(loss.size());
  culoss::cross_entropy_soft_outputs<double> outputs{
      .loss = {loss.data(), losses},
      .grad_logits = {gradient.data(), p.rows, p.cols},
      .grad_targets = {target_gradient.data(), p.rows, p.cols},
      .lse = {lse.data(), p.rows},
      .statistics = {statistics.data(), p.rows},
      .argmax = {argmax.data(), p.rows},
      .z_loss = {},
      .entropy = {entropy.data(), p.rows}};
  if (c.z_loss != 0) outputs.z_loss = {z_loss.data(), losses};
  const culoss::status s = culoss::cross_entropy(
      culoss::cpu{.threads = 1}, culoss::matrix<const double>(p.x.data(), p.rows, p.cols),
      culoss::matrix<const double>(p.g.data(), p.rows, p.cols), outputs, c.reference_options(p));
  if (!s.ok()) throw std::runtime_error(s.message());
  return {{"loss", loss},
          {"grad_logits", gradient},
          {"grad_targets", target_gradient},
          {"lse", lse},
          {"statistics", flat_statistics(statistics)},
          {"argmax", {argmax.begin(), argmax.end()}},
          {"z_loss", z_loss},
          {"entropy", entropy}};
}

inline std::vector<expectation> bound_cross_entropy_targets(const target_choice& c,
                                                            const problem& p, space where) {
  const std::vector<output> exact = exact_cross_entropy_targets(c, p);
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 2);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e;
  for (const output& o : exact) {
    const bool gradient = o.name.rfind("grad", 0) == 0;
    e.push_back(o.name == "argmax" ? expect_count(o)
                                   : expect_exactly(o,
                                                    gradient                 ? p.cols
                                                    : o.name == "statistics" ? 4
                                                                             : 1,
                                                    gradient ? type : real));
  }
  expectation &loss = e[0], &gradient = e[1], &target_gradient = e[2], &lse = e[3], &entropy = e[7];
  const double divisor = c.divisor(p, static_cast<double>(p.rows));
  reduced_bound of_loss(c, divisor, real, a.u), of_z_loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (std::isnan(lse.values[row])) continue;
    const target_probabilities_row bounds(p.row(i), p.g.data() + i * p.cols, p.cols,
                                          c.factors(p, row, divisor), a);
    of_loss.add(loss, row, bounds.loss());
    of_z_loss.add(e[6], row, bounds.z_loss());
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const auto set = [&](expectation& of, double bound) {
        const double value = of.values[k];
        of.bounds[k] = divisor == 0 ? 0 : bound + (value == 0 ? 0 : type.rounding(value));
      };
      set(gradient, bounds.gradient(j));
      set(target_gradient, bounds.target_gradient(j));
    }
    lse.bounds[row] = bounds.lse() + real.rounding(lse.values[row]);
    bound_statistics(bounds, e[4], row, real);
    entropy.bounds[row] = bounds.entropy() + real.rounding(entropy.values[row]);
  }
  of_loss.finish(loss, p.rows == 0);
  of_z_loss.finish(e[6], p.rows == 0);
  return e;
}

template <class T>
target_invocation<T>::target_invocation(const target_choice& c, const problem& p,
                                        const execution& how)
    : base(c, p, how),
      choice_(c),
      logits_(this->matrix_input("logits", &problem::x)),
      targets_(this->matrix_input("targets", &problem::g)),
      loss_(this->template output<real>("loss", at(this->losses()))),
      gradient_(this->gradient("grad_logits", wants_gradient(), place(logits_, targets_))),
      target_gradient_(
          this->gradient("grad_targets", wants_target_gradient(), place(targets_, logits_))),
      lse_(this->template output<real>("lse", at(rows_, c.more_outputs))),
      statistics_(make_statistics()),
      argmax_(this->template output<std::int64_t>("argmax", at(rows_, c.more_outputs))),
      z_loss_(this->template output<real>("z_loss", at(this->losses(), c.z_loss_output))),
      entropy_(this->template output<real>("entropy", at(rows_, c.entropy))) {
  this->take_workspace(choice_.workspace_bytes(p.rows, p.cols));
  write(p);
}

template <class T>
void target_invocation<T>::write(const problem& p) {
  base::write(p);
  if (how_.mode == mode::backward) {
    statistics_.memory.write(exact_cross_entropy_targets(choice_, p)[4].values);
  }
}

template <class T>
std::vector<moved_array> target_invocation<T>::moves() const {
  int reads = this->has_backward() ? 1 : 0;
  const bool writes = how_.mode != mode::forward && !this->has_backward();
  if (this->has_forward()) reads += reads_of_row(cols_, element_of<T>, 2, how_, writes);
  const std::int64_t bytes = rows_ * this->row_bytes();
  std::vector<moved_array> all;
  const std::int64_t stores = this->in_place() ? bytes : 0;
  this->moved(all, "logits", logits_.memory, reads * bytes, stores);
  this->moved(all, "targets", targets_.memory, reads * bytes, stores);
  if (this->in_place()) return all;
  this->moved(all, "grad_logits", gradient_, 0, bytes);
  this->moved(all, "grad_targets", target_gradient_, 0, bytes);
  return all;
}

template <class T>
template <class Where>
culoss::status target_invocation<T>::launch_on(const Where& where) const {
  loss_views<T> v;
  v.in[0] = logits_.memory.as_matrix();
  v.in[1] = targets_.memory.as_matrix();
  if (statistics_.memory.given()) {
    auto* const rows = reinterpret_cast<culoss::row_statistics<real>*>(statistics_.memory.data());
    v.statistics = {rows, rows_};
  }
  const auto set_shared = [this](auto& o) { this->set_shared(o); };
  const auto set_gradients = [&] {
    v.out[0] = gradient_.as_matrix();
    v.out[1] = target_gradient_.as_matrix();
  };
  if (this->has_forward()) {
    v.loss = loss_.as_vector();
    if (!this->has_backward()) set_gradients();
    v.lse = lse_.as_vector();
    v.argmax = argmax_.as_vector();
    v.z_loss = z_loss_.as_vector();
    v.entropy = entropy_.as_vector();
    const culoss::status s = choice_.call(where, v, set_shared);
    if (!s.ok() || !this->has_backward()) return s;
  }
  set_gradients();
  return choice_.call_backward(where, v, set_shared);
}

class cross_entropy_targets_case : public loss_case {
 public:
  explicit cross_entropy_targets_case(const target_choice& choice) : choice_(choice) {}

  const target_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "cross_entropy"; }
  const row_choice* rows() const override { return &choice_; }
  bool gradients_sum_to_zero() const override {
    return choice_.softcap == 0 && choice_.z_loss == 0;
  }
  int streams() const override { return 2; }
  std::vector<mode> modes() const override {
    return {mode::fused,    mode::forward,           mode::gradient, mode::target_gradient,
            mode::in_place, mode::in_place_upstream, mode::backward, mode::split};
  }
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    make_targets(p, shape.seed);
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    const bool given[] = {
        true, returns_gradient(m),  returns_second_gradient(m), choice_.more_outputs,
        true, choice_.more_outputs, choice_.z_loss_output,      choice_.entropy};
    const bool gradient = output == 1 || output == 2;
    return given[output] && (gradient || returns_values(m));
  }

 private:
  target_choice choice_;
};

inline target_choice full_cross_entropy_targets() {
  target_choice c;
  c.name += "_with_everything";
  c.reduction = culoss::reduction::none;
  c.smoothing = 0.1f;
  c.class_weights = c.row_weights = true;
  c.temperature = 0.5f;
  c.softcap = 30;
  c.z_loss = 1e-4f;
  c.z_loss_output = c.entropy = true;
  return c;
}

inline std::vector<target_choice> cross_entropy_targets_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {3, 2, 3, 3, 2, 2, 2});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    target_choice o;
    set_shared_levels(o, few_shared_levels(c));
    o.smoothing = std::array{0.0f, 0.1f, 1.0f}[at(7)];
    o.class_weights = at(8) == 1;
    o.softcap = std::array{0.0f, 30.0f, 2.5f}[at(9)];
    o.z_loss = std::array{0.0f, 1e-4f, 0.3f}[at(10)];
    o.more_outputs = at(11) == 0;
    o.z_loss_output = at(12) == 1;
    o.entropy = at(13) == 1;
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && (c[12] == 0 || c[10] != 0) && c[5] == 0;
  };
  std::vector<target_choice> choices = {target_choice(), full_cross_entropy_targets()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
