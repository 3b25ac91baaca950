// Kullback-Leibler divergence of rows of probabilities or their logarithms, as a case.
#pragma once

#include <culoss/divergence.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct kl_choice : row_choice {
  explicit kl_choice(bool log_p = false, bool log_q = false) {
    name = std::string("kl_divergence") + (log_p ? "_log_p" : "") + (log_q ? "_log_q" : "");
    labels = false;
    p_input = log_p ? culoss::kl_input::log_probabilities : culoss::kl_input::probabilities;
    q_input = log_q ? culoss::kl_input::log_probabilities : culoss::kl_input::probabilities;
  }

  culoss::kl_input p_input, q_input;
  culoss::kl_direction direction = culoss::kl_direction::forward;
  bool mean_elements = false;

  bool reverse() const { return direction == culoss::kl_direction::reverse; }
  bool log_p() const { return p_input == culoss::kl_input::log_probabilities; }
  bool log_q() const { return q_input == culoss::kl_input::log_probabilities; }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::kl_divergence_options o;
    set_shared(o);
    o.p_input = p_input;
    o.q_input = q_input;
    o.direction = direction;
    o.mean_elements = mean_elements;
    return culoss::kl_divergence(
        where, v.in[0], v.in[1],
        culoss::kl_divergence_outputs<T>{.loss = v.loss, .grad_p = v.out[0], .grad_q = v.out[1]},
        o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::kl_divergence_workspace_bytes(rows, cols);
  }
};

// How far p_j d_j and its derivatives may be off, d_j = log p_j - log q_j. Of two probabilities d_j
// is a logarithm of their quotient, whose rounding is put right; else a difference.
struct kl_element_bound {
  double loss = 0, size = 0;  // of p d; its own size, for the sums
  double by_p = 0, by_q = 0;

  kl_element_bound(double given_p, double given_q, bool log_p, bool log_q, const arithmetic& a) {
    const double p = log_p ? std::exp(given_p) : given_p;
    const double of_p = log_p ? given_p : std::log(given_p);
    const double of_q = log_q ? given_q : std::log(given_q);
    const double d = of_p - of_q;
    if (!std::isfinite(d)) return;  // exactly, whatever it is
    const double p_error = log_p ? a.library * p + a.smallest : 0;
    double d_error = a.u * std::fabs(d);
    if (log_p == log_q) {
      // Quotients that are no normal floats are taken as two logarithms.
      const bool far = std::fabs(d) > 86;
      if (!log_p) d_error += a.library * (far ? std::fabs(of_p) + std::fabs(of_q) : std::fabs(d));
      if (!log_p) d_error += 8 * a.u * a.u + 4 * a.smallest / p;
    } else {
      d_error += a.library * std::fabs(log_p ? of_q : of_p);
    }
    size = p * std::fabs(d);
    loss = p * d_error + p_error * std::fabs(d) + a.u * size;
    const double slope = std::fabs(d + 1), slope_error = d_error + a.u * slope;
    by_p = log_p ? p * slope_error + p_error * slope + a.u * p * slope : slope_error;
    by_q = log_q ? p_error : p_error / given_q + a.u * p / given_q;
  }
};

inline std::vector<expectation> bound_kl(const kl_choice& c, const problem& p, space where) {
  const std::vector<output> exact = exact_loss(c, p, {"grad_p", "grad_q"});
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 2);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type),
                                expect_exactly(exact[2], p.cols, type)};
  const double elements = static_cast<double>(p.rows) * static_cast<double>(p.cols);
  const double divisor = c.divisor(p, c.mean_elements ? elements : static_cast<double>(p.rows));
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const double scale = std::fabs(c.gradient_scale(p, row, divisor));
    double error = 0, size = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const kl_element_bound b = c.reverse()
                                     ? kl_element_bound(p.g[k], p.x[k], c.log_q(), c.log_p(), a)
                                     : kl_element_bound(p.x[k], p.g[k], c.log_p(), c.log_q(), a);
      error += b.loss;
      size += b.size;
      const auto set = [&](expectation& of, double bound) {
        const double value = of.values[k];
        if (divisor == 0 || value == 0 || !std::isfinite(value)) return;
        of.bounds[k] = scale * bound + 5 * a.u * std::fabs(value) + type.rounding(value) +
                       (2 + scale) * a.smallest;
      };
      set(e[1], c.reverse() ? b.by_q : b.by_p);
      set(e[2], c.reverse() ? b.by_p : b.by_q);
    }
    const double weight = std::fabs(c.row_weight(p, row));
    loss.add(e[0], row,
             weight * (error + (a.adds + 3) * a.u * size) +
                 static_cast<double>(p.cols) * (1 + weight) * a.smallest);
  }
  loss.finish(e[0], p.rows == 0);
  return e;
}

template <class T>
class kl_invocation : public loss_call<kl_invocation<T>, T> {
  using base = loss_call<kl_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  kl_invocation(const kl_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        p_(this->matrix_input("p", &problem::x)),
        q_(this->matrix_input("q", &problem::g)),
        loss_(this->template output<real>("loss", this->has_values() ? this->losses() : -1)),
        by_p_(this->gradient("grad_p", returns_gradient(how.mode), place(p_, q_))),
        by_q_(this->gradient("grad_q", returns_second_gradient(how.mode), place(q_, p_))) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const bool writes = this->how_.mode != mode::forward;
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    const int reads = reads_of_row(this->cols_, element_of<T>, 2, this->how_, writes);
    const std::int64_t stores = this->in_place() ? bytes : 0;
    std::vector<moved_array> all;
    this->moved(all, "p", p_.memory, reads * bytes, stores);
    this->moved(all, "q", q_.memory, reads * bytes, stores);
    if (this->in_place()) return all;
    this->moved(all, "grad_p", by_p_, 0, bytes);
    this->moved(all, "grad_q", by_q_, 0, bytes);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = p_.memory.as_matrix();
    v.in[1] = q_.memory.as_matrix();
    v.loss = loss_.as_vector();
    v.out[0] = by_p_.as_matrix();
    v.out[1] = by_q_.as_matrix();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  array_slot<T>* place(array_slot<T>& own, array_slot<T>& other) const {
    if (!this->in_place()) return nullptr;
    return this->how_.mode == mode::in_place_upstream ? &other : &own;
  }

  kl_choice choice_;
  array_slot<T>&p_, &q_;
  const array<real>& loss_;
  const array<T>&by_p_, &by_q_;
};

class kl_case : public loss_case {
 public:
  explicit kl_case(const kl_choice& choice) : choice_(choice) {}

  const kl_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "kl_divergence"; }
  const row_choice* rows() const override { return &choice_; }
  int streams() const override { return 2; }
  std::vector<mode> modes() const override {
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  // p is the softmax of the logits that were asked for; q of others, or of nearly the same.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    p.g.resize(p.x.size());
    random_numbers random(shape.seed + 29);
    for (std::int64_t i = 0; i < p.rows; ++i) {
      double* const x = p.row(i);
      double* const y = p.g.data() + i * p.cols;
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const double n = random.normal();
        y[j] = i % 3 == 0 ? x[j] + 0.01 * n : i % 3 == 1 ? 3 * n : x[j] + 2 * n;
      }
      normalize(x, p, choice_.log_p());
      normalize(y, p, choice_.log_q());
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    return output == 0   ? returns_values(m)
           : output == 1 ? returns_gradient(m)
                         : returns_second_gradient(m);
  }

 private:
  static void normalize(double* x, const problem& p, bool log) {
    const double max = *std::max_element(x, x + p.cols);
    double sum = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) sum += std::exp(x[j] - max);
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const double l = x[j] - max - std::log(sum);
      x[j] = round_to(p.type, log ? l : std::exp(l));
    }
  }

  kl_choice choice_;
};

inline std::vector<kl_choice> kl_choices() {
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {2, 2, 2, 2});
  const auto choice = [](const combination& c) {
    kl_choice o(c[7] == 1, c[8] == 1);
    set_shared_levels(o, few_shared_levels(c));
    o.direction = c[9] == 1 ? culoss::kl_direction::reverse : culoss::kl_direction::forward;
    o.mean_elements = c[10] == 1;
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && c[5] == 0 && c[2] == 0;
  };
  std::vector<kl_choice> choices = {kl_choice()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
