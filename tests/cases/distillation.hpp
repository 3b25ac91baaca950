// Distillation, as a case: KL in both directions and Jensen-Shannon of two rows of logits.
#pragma once

#include <array>
#include <culoss/divergence.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/cases/distillation_bounds.hpp"
#include "tests/harness/call.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

struct distillation_choice : row_choice {
  explicit distillation_choice(
      culoss::distillation_direction d = culoss::distillation_direction::forward)
      : direction(d) {
    constexpr const char* kNames[] = {"", "_reverse", "_jensen_shannon"};
    name = std::string("distillation") + kNames[static_cast<int>(d)];
    labels = false;
  }

  culoss::distillation_direction direction;
  float beta = 0.3f;
  bool temperature_squared = false;

  // Of KL(p | m) in the loss; 0 is KL(p | q), 1 is KL(q | p).
  double share() const {
    if (direction == culoss::distillation_direction::forward) return 0;
    return direction == culoss::distillation_direction::reverse ? 1 : static_cast<double>(beta);
  }
  bool mixture() const { return share() > 0 && share() < 1; }
  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    culoss::distillation_options o;
    set_shared(o);
    o.direction = direction;
    o.beta = beta;
    o.temperature_squared = temperature_squared;
    if (labels) o.labels = v.labels;
    return culoss::distillation(where, v.in[0], v.in[1],
                                culoss::distillation_outputs<T>{.loss = v.loss,
                                                                .grad_student = v.out[0],
                                                                .grad_teacher = v.out[1],
                                                                .rows_counted = v.counted},
                                o);
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::distillation_workspace_bytes(rows, cols);
  }
};

inline bool distillation_fits(const problem& p) {
  constexpr int kCapability = 90;
  const auto plan =
      culoss::detail::plan_rows(kCapability, p.cols, format_of(p.type).bytes, 2, true, true);
  return plan.kernel != culoss::detail::row_kernel::two_reads;
}

inline std::vector<expectation> bound_distillation(const distillation_choice& c, const problem& p,
                                                   space where) {
  const std::vector<output> exact =
      exact_loss(c, p, {"grad_student", "grad_teacher"}, "rows_counted");
  const arithmetic a = arithmetic_of(where, p.cols, p.type, 2);
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real),
                                expect_exactly(exact[1], p.cols, type),
                                expect_exactly(exact[2], p.cols, type), expect_count(exact[3])};
  const double divisor = c.divisor(p, exact[3].values[0]);
  const double t = p.temperature, factor = c.temperature_squared ? t * t : 1;
  const bool reverse = c.share() == 1;
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (!c.counts(p, row) || c.bad(p, row)) continue;
    const double *student = p.row(i), *teacher = p.g.data() + i * p.cols;
    const distillation_bounds bounds(reverse ? student : teacher, reverse ? teacher : student,
                                     p.cols, t, reverse ? 0 : c.share(),
                                     where == space::cpu || distillation_fits(p), a);
    const double weight = std::fabs(c.row_weight(p, row)) * factor;
    const double of_row = weight * bounds.loss();
    if (std::isfinite(of_row)) loss.add(e[0], row, of_row + (2 + weight) * a.smallest);
    const double scale = std::fabs(c.gradient_scale(p, row, divisor)) * factor / t;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const std::size_t k = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
      const auto set = [&](expectation& of, double bound) {
        const double value = of.values[k];
        // Where a row is certain, two terms of one size cancel to 0.
        if (divisor == 0 || !std::isfinite(value) || (value == 0 && bound == 0)) return;
        of.bounds[k] = scale * bound + 8 * a.u * std::fabs(value) + type.rounding(value) +
                       (2 + scale) * a.smallest;
      };
      set(e[1], reverse ? bounds.by_p(j) : bounds.by_q(j));
      set(e[2], reverse ? bounds.by_q(j) : bounds.by_p(j));
    }
  }
  loss.finish(e[0], exact[3].values[0] == 0);
  return e;
}

template <class T>
class distillation_invocation : public loss_call<distillation_invocation<T>, T> {
  using base = loss_call<distillation_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  distillation_invocation(const distillation_choice& c, const problem& p, const execution& how)
      : base(c, p, how),
        choice_(c),
        student_(this->matrix_input("student", &problem::x)),
        teacher_(this->matrix_input("teacher", &problem::g)),
        loss_(this->template output<real>("loss", this->has_values() ? this->losses() : -1)),
        by_student_(
            this->gradient("grad_student", returns_gradient(how.mode), place(student_, teacher_))),
        by_teacher_(this->gradient("grad_teacher", returns_second_gradient(how.mode),
                                   place(teacher_, student_))),
        counted_(this->template output<std::int64_t>("rows_counted", this->has_values() ? 1 : -1)) {
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  std::vector<moved_array> moves() const override {
    const bool writes = this->how_.mode != mode::forward;
    // Rows that do not fit on chip are read for each of the sums, and to be written.
    const bool fits = reads_of_row(this->cols_, element_of<T>, 2, this->how_, true) == 1;
    const int sums = choice_.mixture() ? 2 : 1, reads = fits ? 1 : sums + (writes ? 1 : 0);
    const std::int64_t bytes = this->rows_ * this->row_bytes();
    const std::int64_t loads = reads * this->rows_read() * this->row_bytes();
    std::vector<moved_array> all;
    const std::int64_t stores = this->in_place() ? bytes : 0;
    this->moved(all, "student", student_.memory, loads, stores);
    this->moved(all, "teacher", teacher_.memory, loads, stores);
    if (this->in_place()) return all;
    this->moved(all, "grad_student", by_student_, 0, bytes);
    this->moved(all, "grad_teacher", by_teacher_, 0, bytes);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = student_.memory.as_matrix();
    v.in[1] = teacher_.memory.as_matrix();
    if (choice_.labels) v.labels = this->labels();
    v.loss = loss_.as_vector();
    v.out[0] = by_student_.as_matrix();
    v.out[1] = by_teacher_.as_matrix();
    v.counted = counted_.as_vector();
    return choice_.call(where, v, [this](auto& o) { this->set_shared(o); });
  }

 private:
  array_slot<T>* place(array_slot<T>& own, array_slot<T>& other) const {
    if (!this->in_place()) return nullptr;
    return this->how_.mode == mode::in_place_upstream ? &other : &own;
  }

  distillation_choice choice_;
  array_slot<T>&student_, &teacher_;
  const array<real>& loss_;
  const array<T>&by_student_, &by_teacher_;
  const array<std::int64_t>& counted_;
};

class distillation_case : public loss_case {
 public:
  explicit distillation_case(const distillation_choice& choice) : choice_(choice) {}

  const distillation_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override { return "distillation"; }
  const row_choice* rows() const override { return &choice_; }
  int streams() const override { return 2; }
  std::vector<mode> modes() const override {
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  // The teacher is a little off the student, knows nothing of it, or is far off.
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    choice_.complete(p);
    random_numbers random(shape.seed + 31);
    for (std::int64_t i = 0; i < p.rows; ++i) {
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const double n = random.normal(), x = p.row(i)[j];
        const double y = i % 3 == 0 ? x + 0.01 * n : i % 3 == 1 ? 3 * n : x + 2 * n;
        p.g.push_back(round_to(p.type, y));
      }
    }
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    return output == 1   ? returns_gradient(m)
           : output == 2 ? returns_second_gradient(m)
                         : returns_values(m);
  }

 private:
  distillation_choice choice_;
};

inline std::vector<distillation_choice> distillation_choices() {
  using culoss::distillation_direction;
  std::vector<int> levels = kFewSharedLevels;
  levels.insert(levels.end(), {5, 2, 3});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    distillation_choice o(static_cast<distillation_direction>(std::array{0, 1, 2, 2, 2}[at(7)]));
    set_shared_levels(o, few_shared_levels(c));
    o.beta = std::array{0.5f, 0.5f, 0.5f, 0.95f, 0.0f}[at(7)];
    o.temperature_squared = at(8) == 1;
    o.labels = at(9) != 0;
    o.ignore_index = at(9) == 1 ? -100 : 0;
    return o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(few_shared_levels(c)) && (c[9] != 0 || c[5] == 0);
  };
  // A mean over the rows that count is three options at once.
  distillation_choice labeled;
  labeled.labels = true;
  labeled.name += "_labeled";
  std::vector<distillation_choice> choices = {
      distillation_choice(), distillation_choice(distillation_direction::jensen_shannon), labeled};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
