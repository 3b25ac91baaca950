// Softmax, log-softmax and their backwards, as cases.
#pragma once

#include <culoss/softmax.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/arrays.hpp"
#include "tests/harness/bounds.hpp"
#include "tests/harness/loss_case.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

enum class softmax_function { softmax, log_softmax, softmax_backward, log_softmax_backward };

struct softmax_choice {
  softmax_function function = softmax_function::softmax;
  float temperature = 1;
  bool temperature_on_device = false;

  bool log() const {
    return function == softmax_function::log_softmax ||
           function == softmax_function::log_softmax_backward;
  }
  bool backward() const {
    return function == softmax_function::softmax_backward ||
           function == softmax_function::log_softmax_backward;
  }
  const char* name() const {
    static constexpr const char* kNames[] = {"softmax", "log_softmax", "softmax_backward",
                                             "log_softmax_backward"};
    return kNames[static_cast<int>(function)];
  }

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::softmax_options o;
    set_shared(o);
    switch (function) {
      case softmax_function::log_softmax:
        return culoss::log_softmax(where, v.in[0], v.out[0], o);
      case softmax_function::softmax_backward:
        return culoss::softmax_backward(where, v.in[0], v.in[1], v.out[0], o);
      case softmax_function::log_softmax_backward:
        return culoss::log_softmax_backward(where, v.in[0], v.in[1], v.out[0], o);
      default:
        return culoss::softmax(where, v.in[0], v.out[0], o);
    }
  }
};

template <class T>
class softmax_invocation : public invocation {
 public:
  softmax_invocation(const softmax_choice& choice, const problem& p, const execution& how)
      : choice_(choice), how_(how), rows_(p.rows), cols_(p.cols) {
    x_ = matrix();
    if (choice.backward()) g_ = matrix();
    if (how.mode != mode::in_place && how.mode != mode::in_place_upstream) out_ = matrix();
    temperature_ = array<float>(how.where, 1, how.offset);
    write(p);
  }

  void write(const problem& p) override {
    synchronize(how_.where, how_.stream);
    x_.write(p.x);
    if (g_.given()) g_.write(p.g);
    temperature_.write(std::vector<float>{p.temperature});
    value_ = p.temperature;
    out_.poison();
  }

  culoss::status launch() override {
    if (how_.where == space::cpu) return launch_on(culoss::cpu{.threads = how_.threads});
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return launch_on(culoss::cuda{.stream = how_.stream, .row_kernels = how_.row_kernels});
    }
  }

  results read(const culoss::status& launched) override {
    results r{.status = launched, .outputs = {}, .faults = {}, .damage = {}};
    synchronize(how_.where, how_.stream);
    r.outputs.push_back({"output", result().read("output", r.damage)});
    if (how_.mode != mode::in_place) x_.check_unchanged("input", r.damage);
    if (how_.mode != mode::in_place_upstream) g_.check_unchanged("upstream", r.damage);
    temperature_.check_unchanged("temperature", r.damage);
    return r;
  }

  std::vector<moved_array> moves() const override {
    const std::int64_t bytes = rows_ * cols_ * static_cast<std::int64_t>(sizeof(storage_of<T>));
    const int streams = choice_.backward() ? 2 : 1;
    const std::int64_t loads = bytes * reads_of_row(cols_, element_of<T>, streams, how_, true);
    std::vector<moved_array> arrays;
    const auto add = [&](const char* name, const array<T>& a, std::int64_t read) {
      if (!a.given()) return;
      arrays.push_back({.name = name,
                        .data = a.data(),
                        .bytes = a.span_bytes(),
                        .loads = read,
                        .stores = &a == &result() ? bytes : 0});
    };
    add("input", x_, loads);
    add("upstream", g_, loads);
    add("output", out_, 0);
    return arrays;
  }

 private:
  array<T> matrix() const { return {how_.where, rows_, cols_, how_.padding, how_.offset}; }
  const array<T>& result() const {
    return how_.mode == mode::in_place ? x_ : how_.mode == mode::in_place_upstream ? g_ : out_;
  }
  template <class Where>
  culoss::status launch_on(const Where& where) {
    culoss::scalar temperature(value_);
    if (choice_.temperature_on_device) {
      temperature = static_cast<const float*>(temperature_.data());
    }
    loss_views<T> v;
    v.in[0] = x_.as_matrix();
    v.in[1] = g_.as_matrix();
    v.out[0] = result().as_matrix();
    return choice_.call(where, v, [&](auto& o) { o.temperature = temperature; });
  }

  softmax_choice choice_;
  execution how_;
  std::int64_t rows_, cols_;
  float value_ = 1;
  array<T> x_, g_, out_;
  array<float> temperature_;
};

class softmax_case : public loss_case {
 public:
  explicit softmax_case(const softmax_choice& choice) : choice_(choice) {}

  const softmax_choice& choice() const { return choice_; }
  int streams() const override { return choice_.backward() ? 2 : 1; }
  void change_device_scalars(problem& p, float factor) const override {
    if (choice_.temperature_on_device) p.temperature *= factor;
  }
  std::string name() const override {
    return choice_.name() + std::string("_T") + std::to_string(choice_.temperature).substr(0, 3) +
           (choice_.temperature_on_device ? "_device" : "");
  }
  std::string function() const override { return choice_.name(); }
  std::vector<mode> modes() const override {
    if (choice_.backward()) return {mode::fused, mode::in_place, mode::in_place_upstream};
    return {mode::fused, mode::in_place};
  }

  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    p.temperature = choice_.temperature;
    if (!choice_.backward()) return p;
    // A backward takes what the forward function left, rounded, and any upstream gradient.
    softmax_choice forward = choice_;
    forward.function = choice_.log() ? softmax_function::log_softmax : softmax_function::softmax;
    p.x = exact(forward, p);
    random_numbers random(shape.seed + 1);
    for (double& x : p.x) {
      x = round_to(p.type, x);
      p.g.push_back(round_to(p.type, random.normal()));
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;

  bool returns(std::size_t, mode) const override { return true; }
  std::vector<expectation> bound(const problem& p, space where) const override {
    const format& type = format_of(p.type);
    expectation e{.name = "output",
                  .cols = p.cols,
                  .values = exact(choice_, p),
                  .bounds = {},
                  .largest = type.largest()};
    const arithmetic a = arithmetic_of(where, p.cols, p.type, choice_.backward() ? 2 : 1);
    e.bounds.reserve(e.values.size());
    for (std::int64_t i = 0; i < p.rows; ++i) {
      choice_.backward() ? bound_backward(p, i, a, e) : bound_forward(p, i, a, e);
    }
    for (std::size_t k = 0; k < e.values.size(); ++k) {
      if (e.bounds[k] != 0) e.bounds[k] += type.rounding(e.values[k]);
    }
    return {e};
  }

 private:
  static std::vector<double> exact(const softmax_choice& c, const problem& p) {
    std::vector<double> out(p.x.size());
    loss_views<double> v;
    v.in[0] = {p.x.data(), p.rows, p.cols};
    v.in[1] = {p.g.data(), p.rows, p.cols};
    v.out[0] = {out.data(), p.rows, p.cols};
    const culoss::status s =
        c.call(culoss::cpu{.threads = 1}, v, [&](auto& o) { o.temperature = p.temperature; });
    if (!s.ok()) throw std::runtime_error(s.message());
    return out;
  }

  void bound_forward(const problem& p, std::int64_t i, const arithmetic& a, expectation& e) const {
    const softmax_row row(p.row(i), p.cols, p.temperature, -1, a);
    for (std::int64_t j = 0; j < p.cols; ++j) {
      // A masked column is exact; so is the class of a row that is NaN.
      const bool masked = p.row(i)[j] == -softmax_row::kInfinity || row.empty();
      e.bounds.push_back(masked          ? 0
                         : choice_.log() ? log_softmax_bound(row, j, a)
                                         : softmax_bound(row, j, a));
    }
  }

  void bound_backward(const problem& p, std::int64_t i, const arithmetic& a, expectation& e) const {
    const double* x = p.row(i);
    const double* g = p.g.data() + i * p.cols;
    double sum = 0, absolute = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const double term = choice_.log() ? g[j] : g[j] * x[j];
      sum += term;
      absolute += std::fabs(term);
    }
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const bool masked = choice_.log() ? x[j] == -softmax_row::kInfinity : x[j] == 0;
      e.bounds.push_back(
          masked          ? 0
          : choice_.log() ? log_softmax_backward_bound(x[j], g[j], sum, absolute, p.temperature, a)
                          : softmax_backward_bound(x[j], g[j], sum, absolute, p.temperature, a));
    }
  }

  softmax_choice choice_;
};

inline std::vector<softmax_choice> softmax_choices() {
  std::vector<softmax_choice> choices;
  for (const softmax_function f :
       {softmax_function::softmax, softmax_function::log_softmax,
        softmax_function::softmax_backward, softmax_function::log_softmax_backward}) {
    choices.push_back({.function = f});
    choices.push_back({.function = f, .temperature = 0.5f});
    choices.push_back({.function = f, .temperature = 5.0f});
    choices.push_back({.function = f, .temperature = 0.7f, .temperature_on_device = true});
  }
  return choices;
}

}  // namespace culoss_test
