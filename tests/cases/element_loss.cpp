// One template of a call, whatever the elementwise loss.
#include "tests/cases/element_loss.hpp"

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include "tests/cases/element_bounds.hpp"
#include "tests/harness/call.hpp"

namespace culoss_test {
namespace {

// Loss or losses, gradients by input and targets; from the CPU function in double.
std::vector<output> exact_element_loss(const element_choice& c, const problem& p) {
  const std::size_t size = p.x.size();
  std::vector<double> loss(1), losses(size), gradient(size), target_gradient(size);
  loss_views<double> v;
  v.in[0] = {p.x.data(), p.rows, p.cols};
  if (c.labels) v.labels = culoss::vector<const std::int64_t>(p.labels.data(), p.rows);
  if (!c.labels) v.in[1] = {p.g.data(), p.rows, p.cols};
  if (c.class_weights) v.class_weights = {p.class_weights.data(), p.cols};
  if (c.weights) v.weights = {p.weights.data(), p.rows, p.cols};
  if (c.upstream_elements) v.upstream_elements = {p.upstream_elements.data(), p.rows, p.cols};
  if (c.none()) v.losses = {losses.data(), p.rows, p.cols};
  if (!c.none()) v.loss = {loss.data(), 1};
  v.out[0] = {gradient.data(), p.rows, p.cols};
  if (c.gives_target_gradient()) v.out[1] = {target_gradient.data(), p.rows, p.cols};
  const culoss::status s =
      c.call(culoss::cpu{.threads = 1}, v, [&](auto& o) { c.set_reference(o, p); });
  if (!s.ok()) throw std::runtime_error(s.message());
  return {{c.none() ? "losses" : "loss", c.none() ? losses : loss},
          {c.gradient_name(), gradient},
          {"grad_targets", target_gradient}};
}

std::vector<expectation> bound_element_loss(const element_choice& c, const problem& p,
                                            space where) {
  const std::vector<output> exact = exact_element_loss(c, p);
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 1);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], c.none() ? p.cols : 1, real),
                                expect_exactly(exact[1], p.cols, type),
                                expect_exactly(exact[2], p.cols, type)};
  const double divisor = c.divisor(p, c.own_divisor(p));
  // A sum of weights: those of a pack are added in float, each a product of two.
  const double of_divisor = c.divides_by_weights() ? 6 * a.u : 0;
  reduced_bound loss(c, divisor, real, a.u);
  bool nothing = true;
  const double pack = culoss::detail::kPackBytes / static_cast<double>(type.bytes);
  for (std::size_t k = 0; k < p.x.size(); ++k) {
    const std::size_t row = k / static_cast<std::size_t>(p.cols);
    if (!c.counts(p, row)) continue;
    nothing = false;
    if (c.is_bad(p, row)) continue;
    const element_bound b = bound_of_element(c, p, k, a);
    const double weight = std::fabs(c.row_weight(p, row) * c.weight(p, k));
    const double sum = c.none() ? 0 : pack * a.u * weight * b.size;  // a pack is added in float
    loss.add(e[0], k, weight * (b.loss + 3 * a.u * b.size) + 2 * a.smallest + sum);
    const double scale = std::fabs(c.scale(p, k, divisor));
    // Upstream, divisor and three products; any of which may end below the smallest number.
    const double factors = (1 + weight) * (1 + std::fabs(c.upstream_of(p, k)));
    const auto set = [&](expectation& of, double error, double size) {
      const double value = of.values[k];
      const double own =
          scale * (error + (8 * a.u + of_divisor) * size) + 4 * a.smallest * (1 + size) * factors;
      of.bounds[k] = divisor == 0 ? 0 : own + (value == 0 ? 0 : type.rounding(value));
    };
    set(e[1], b.by_input, b.input_slope);
    set(e[2], b.by_target, b.target_slope);
  }
  loss.finish(e[0], nothing);
  if (c.divides_by_weights() && divisor != 0) {
    e[0].bounds[0] += of_divisor * std::fabs(e[0].values[0]);
  }
  return e;
}

template <class T>
class element_invocation : public loss_call<element_invocation<T>, T> {
  using base = loss_call<element_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  element_invocation(const element_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        input_(this->matrix_input(c.input_name(), &problem::x)),
        targets_(c.labels ? this->add("targets", array<T>())
                          : this->matrix_input("targets", &problem::g)),
        weights_(factors("weights", c.weights, &problem::weights)),
        upstream_(factors("upstream_elements", c.upstream_elements, &problem::upstream_elements)),
        loss_(this->template output<real>("loss", !c.none() && this->has_values() ? 1 : -1)),
        losses_(this->template output<real>("losses", c.none() && this->has_values()
                                                          ? this->template matrix_of<real>()
                                                          : array<real>())),
        gradient_(this->gradient(c.gradient_name(), wants_gradient(), place(input_, targets_))),
        target_gradient_(
            this->gradient("grad_targets", wants_target_gradient(), place(targets_, input_))) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const std::int64_t bytes = rows_ * this->row_bytes();
    const std::int64_t floats = rows_ * cols_ * static_cast<std::int64_t>(sizeof(float));
    std::vector<moved_array> all;
    const auto stores = [&](const array_slot<T>& s) { return s.overwritten ? bytes : 0; };
    this->moved(all, choice_.input_name(), input_.memory, bytes, stores(input_));
    this->moved(all, "targets", targets_.memory, bytes, stores(targets_));
    this->moved(all, "weights", weights_, choice_.divides_by_weights() ? 2 * floats : floats, 0);
    this->moved(all, "upstream_elements", upstream_, floats, 0);
    this->moved(all, "losses", losses_, 0, rows_ * cols_ * static_cast<std::int64_t>(sizeof(real)));
    if (this->in_place()) return all;
    this->moved(all, choice_.gradient_name(), gradient_, 0, bytes);
    this->moved(all, "grad_targets", target_gradient_, 0, bytes);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = input_.memory.as_matrix();
    v.in[1] = targets_.memory.as_matrix();
    if (choice_.labels) v.labels = this->labels();
    v.class_weights = this->class_weights().as_vector();
    v.weights = weights_.as_matrix();
    v.upstream_elements = upstream_.as_matrix();
    v.loss = loss_.as_vector();
    v.losses = losses_.as_matrix();
    v.out[0] = gradient_.as_matrix();
    v.out[1] = target_gradient_.as_matrix();
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
    return choice_.gives_target_gradient() && how_.mode != mode::forward &&
           how_.mode != mode::gradient;
  }
  array_slot<T>* place(array_slot<T>& own, array_slot<T>& other) const {
    if (!this->in_place()) return nullptr;
    return how_.mode == mode::in_place_upstream ? &other : &own;
  }
  const array<float>& factors(const char* name, bool given, std::vector<float> problem::*from) {
    array_slot<float>& s =
        this->add(name, given ? this->template matrix_of<float>() : array<float>());
    s.fill = [from](array<float>& a, const problem& p) { a.write(p.*from); };
    return s.memory;
  }

  element_choice choice_;
  array_slot<T>&input_, &targets_;
  const array<float>&weights_, &upstream_;
  const array<real>&loss_, &losses_;
  const array<T>&gradient_, &target_gradient_;
};

}  // namespace

// Of a regression, targets around the input: a few at it, a few a parameter away, on and beside the
// kinks. Of binary cross-entropy, targets at both ends and between, and probabilities likewise. Of a
// margin, scores at its kink; rows of a class, of the background and, as the fourth, ignored ones.
problem element_case::make(const problem_shape& shape) const {
  problem p = make_problem(shape);
  for (std::size_t i = 2; choice_.labels && i < p.labels.size(); i += 5) {
    p.labels[i] = choice_.background_of(p);
  }
  choice_.complete(p);
  random_numbers random(shape.seed + 29);
  for (std::size_t k = 0; k < p.x.size(); ++k) {
    const double between = random.uniform(), normal = random.normal();
    const bool end = random.below(3) == 0;
    const double sign = between < 0.5 ? 1 : -1, parameter = choice_.parameter;
    const double away[] = {0, parameter, -parameter, normal, normal, 10 * normal, 0.01 * normal};
    double target = end ? std::round(between) : between;
    switch (choice_.of()) {
      case element_choice::family::regression:
        target = p.x[k] - away[random.below(7)];
        break;
      case element_choice::family::logits:
        break;
      case element_choice::family::probabilities:
        p.x[k] = 1 / (1 + std::exp(-p.x[k]));
        if (random.below(3) == 0) p.x[k] = std::round(p.x[k]);
        break;
      case element_choice::family::margin:
        target = sign;
        if (random.below(5) == 0) p.x[k] = sign * parameter;
        break;
    }
    p.x[k] = round_to(p.type, p.x[k]);
    p.g.push_back(round_to(p.type, target));
    p.weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
    p.upstream_elements.push_back(static_cast<float>(2 * random.normal()));
  }
  return p;
}

std::unique_ptr<invocation> element_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<element_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> element_case::bound(const problem& p, space where) const {
  return bound_element_loss(choice_, p, where);
}

namespace {

// The shared levels, whether each element has an upstream gradient of its own, and the levels `own`
// that choice(at) makes a loss of.
template <class Choice>
void append_choices(std::vector<element_choice>& all, const std::vector<int>& own,
                    const Choice& choice) {
  std::vector<int> levels = kFewSharedLevels;
  levels.push_back(2);
  levels.insert(levels.end(), own.begin(), own.end());
  const auto allowed = [](const combination& c) {
    const bool elements = c[7] == 0 || (c[0] == 1 && c[3] != 2);
    return shared_levels_allowed(few_shared_levels(c)) && elements && c[2] == 0;
  };
  for (const combination& c : pairwise_cover(levels, allowed)) {
    element_choice o = choice([&c](std::size_t k) { return static_cast<std::size_t>(c[8 + k]); });
    set_shared_levels(o, few_shared_levels(c));
    o.upstream_elements = c[7] == 1;
    all.push_back(o);
  }
}

}  // namespace

std::vector<element_choice> element_choices() {
  using enum element_function;
  std::vector<element_choice> all = plain_element_choices();
  all.push_back(weighted_mse());
  append_choices(all, {6, 2, 2}, [](const auto& at) {
    const element_function functions[] = {mse, mae, huber, huber, smooth_l1, smooth_l1};
    const float parameters[] = {1, 1, 1, 0.3f, 0.3f, 0};
    element_choice o(functions[at(0)], parameters[at(0)]);
    o.weights = at(1) == 1;
    if (at(2) == 1) o.mean_over = culoss::weighted_mean::weights;
    return o;
  });
  append_choices(all, {4, 2, 2}, [](const auto& at) {
    element_choice o(at(0) == 3 ? binary_cross_entropy_probabilities : binary_cross_entropy);
    o.smoothing = std::array{0.0f, 0.1f, 1.0f, 0.0f}[at(0)];
    o.weights = at(1) == 1;
    o.class_weights = at(2) == 1 && at(0) != 3;
    return o;
  });
  append_choices(all, {3, 2, 2, 3}, [](const auto& at) {
    element_choice o(at(0) == 2 ? soft_margin : hinge, at(2) == 0 ? 1 : 0.3f);
    o.power = at(0) == 1 ? 2 : 1;
    o.labels = at(1) == 1;
    if (o.labels) o.name += "_of_labels";
    const std::int64_t backgrounds[] = {culoss::hinge_options::kAfterLastClass, -1, 2};
    o.background = backgrounds[at(3)];
    return o;
  });
  return all;
}

}  // namespace culoss_test
