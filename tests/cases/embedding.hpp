// Losses of two or three embeddings, as a case: cosine_embedding, contrastive, triplet.
#pragma once

#include <array>
#include <culoss/embedding.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/cases/embedding_bounds.hpp"
#include "tests/harness/call.hpp"

namespace culoss_test {

inline const std::vector<double>& embedding_of(const problem& p, int k) { return p.*kMatrices[k]; }

inline std::vector<expectation> bound_embedding_loss(const embedding_choice& c, const problem& p,
                                                     space where) {
  const std::vector<output> exact =
      c.labels ? exact_loss(c, p, {c.gradient_name(0), c.gradient_name(1)}, "rows_counted")
               : exact_loss(c, p, {c.gradient_name(0), c.gradient_name(1), c.gradient_name(2)});
  const arithmetic a = arithmetic_of(where, p.cols, p.type, c.vectors());
  const format& real = real_format(p.type);
  const format& type = format_of(p.type);
  const int vectors = c.vectors();
  std::vector<expectation> e = {expect_exactly(exact[0], 1, real)};
  for (int k = 1; k <= vectors; ++k) {
    e.push_back(expect_exactly(exact[static_cast<std::size_t>(k)], p.cols, type));
  }
  if (c.labels) e.push_back(expect_count(exact.back()));
  std::int64_t counted = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(p.rows); ++i) counted += c.counts(p, i);
  const double divisor = c.divisor(p, static_cast<double>(counted));
  reduced_bound loss(c, divisor, real, a.u);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const double* x[3];
    for (int k = 0; k < vectors; ++k) x[k] = embedding_of(p, k).data() + i * p.cols;
    if (!c.counts(p, row) || (c.labels && p.labels[row] != 1 && p.labels[row] != c.unlike())) {
      continue;
    }
    const embedding_row bounds(c, x, p.cols, c.labels && p.labels[row] == 1, a);
    if (!bounds.finite()) continue;
    loss.add(e[0], row, std::fabs(c.row_weight(p, row)) * bounds.loss() + a.smallest);
    const double scale = c.gradient_scale(p, row, divisor);
    if (scale == 0) continue;
    for (int k = 0; k < vectors; ++k) {
      expectation& g = e[static_cast<std::size_t>(k) + 1];
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const std::size_t at = row * static_cast<std::size_t>(p.cols) + static_cast<std::size_t>(j);
        const double bound = std::fabs(scale) * bounds.gradient(k, j);
        if (bound > 0) g.bounds[at] = bound + 4 * a.smallest + type.rounding(g.values[at]);
      }
    }
  }
  loss.finish(e[0], counted == 0);
  return e;
}

template <class T>
class embedding_invocation : public loss_call<embedding_invocation<T>, T> {
  using base = loss_call<embedding_invocation<T>, T>;

 public:
  using real = culoss::real_of<T>;

  embedding_invocation(const embedding_choice& c, const problem& p, const execution& how)
      : base(c, p, how), choice_(c) {
    const auto vectors = static_cast<std::size_t>(c.vectors());
    for (std::size_t k = 0; k < vectors; ++k) {
      in_.push_back(&this->matrix_input(c.vector_name(static_cast<int>(k)), kMatrices[k]));
    }
    loss_ = &this->template output<real>("loss", this->has_values() ? this->losses() : -1);
    for (std::size_t k = 0; k < vectors; ++k) {
      const bool wanted = how.mode != mode::forward &&
                          how.mode != (k == 0 ? mode::target_gradient : mode::gradient);
      // Crossed, each over the next one's.
      const std::size_t over = how.mode == mode::in_place_upstream ? (k + 1) % vectors : k;
      out_.push_back(&this->gradient(c.gradient_name(static_cast<int>(k)), wanted,
                                     this->in_place() ? in_[over] : nullptr));
    }
    rows_counted_ = &this->template output<std::int64_t>("rows_counted",
                                                         c.labels && this->has_values() ? 1 : -1);
    this->take_workspace(c.workspace_bytes(p.rows, p.cols));
    this->write(p);
  }

  // Of a row too wide for the chip that has a gradient.
  std::vector<moved_array> moves() const override {
    const bool writes = this->how_.mode != mode::forward;
    const int reads =
        reads_of_row(this->cols_, element_of<T>, choice_.vectors(), this->how_, writes);
    const std::int64_t loads = reads * this->rows_read() * this->row_bytes();
    const std::int64_t stores = this->rows_ * this->row_bytes();
    std::vector<moved_array> all;
    for (std::size_t k = 0; k < in_.size(); ++k) {
      this->moved(all, choice_.vector_name(static_cast<int>(k)), in_[k]->memory, loads,
                  this->in_place() ? stores : 0);
    }
    if (this->in_place()) return all;
    for (std::size_t k = 0; k < in_.size(); ++k) {
      this->moved(all, choice_.gradient_name(static_cast<int>(k)), *out_[k], 0, stores);
    }
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    for (std::size_t k = 0; k < in_.size(); ++k) {
      v.in[k] = in_[k]->memory.as_matrix();
      v.out[k] = out_[k]->as_matrix();
    }
    if (choice_.labels) v.labels = this->labels();
    v.loss = loss_->as_vector();
    v.counted = rows_counted_->as_vector();
    return choice_.call(where, v, [&](auto& o) { this->set_shared(o); });
  }

 private:
  embedding_choice choice_;
  std::vector<array_slot<T>*> in_;
  const array<real>* loss_ = nullptr;
  std::vector<const array<T>*> out_;
  const array<std::int64_t>* rows_counted_ = nullptr;
};

// Rows in turn: independent ones, close ones, parallel ones, opposite ones; negatives close to the
// anchor, to the positive, to none. The first row has a gradient.
inline void make_embeddings(problem& p, std::uint64_t seed) {
  random_numbers random(seed + 23);
  p.g.assign(p.x.size(), 0.0);
  p.h.assign(p.x.size(), 0.0);
  const double root = std::sqrt(static_cast<double>(p.cols));
  for (std::int64_t i = 0; i < p.rows; ++i) {
    double *x = p.row(i), *y = p.g.data() + i * p.cols, *z = p.h.data() + i * p.cols;
    double size = 0;
    for (std::int64_t j = 0; j < p.cols; ++j) {
      if (std::isinf(x[j])) x[j] = 0;  // a masked column
      size = std::max(size, std::fabs(x[j]));
    }
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const double n = random.normal(), m = random.normal();
      switch (i % 4) {
        case 0:
          y[j] = 0.5 * size * n;
          break;
        case 1:
          y[j] = x[j] + 0.5 / root * n;
          break;
        case 2:
          y[j] = 1.5 * x[j];
          break;
        default:
          y[j] = -x[j] + 0.01 * size * n;
      }
      y[j] = round_to(p.type, y[j]);
      z[j] = i % 3 == 0 ? x[j] + 0.1 / root * m : i % 3 == 1 ? y[j] + 0.2 * m : 0.5 * size * m;
      z[j] = round_to(p.type, z[j]);
    }
  }
}

class embedding_case : public loss_case {
 public:
  explicit embedding_case(const embedding_choice& choice) : choice_(choice) {}

  const embedding_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::string function() const override {
    static constexpr const char* kNames[] = {"cosine_embedding", "contrastive", "triplet"};
    return kNames[static_cast<int>(choice_.function)];
  }
  const row_choice* rows() const override { return &choice_; }
  int streams() const override { return choice_.vectors(); }
  std::vector<mode> modes() const override {
    return {mode::fused,           mode::forward,  mode::gradient,
            mode::target_gradient, mode::in_place, mode::in_place_upstream};
  }
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    for (std::size_t i = 0; i < p.labels.size(); ++i) {
      p.labels[i] = (i + i / 4) % 2 == 0 ? 1 : choice_.unlike();
    }
    choice_.complete(p);
    make_embeddings(p, shape.seed);
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override;
  std::vector<expectation> bound(const problem& p, space where) const override;
  bool returns(std::size_t output, mode m) const override {
    if (output == 1) return returns_gradient(m);
    const auto vectors = static_cast<std::size_t>(choice_.vectors());
    return output > 1 && output <= vectors ? returns_second_gradient(m) : returns_values(m);
  }

 private:
  embedding_choice choice_;
};

// Each function once; the triplets of cosines have kernels of their own.
inline std::vector<embedding_choice> plain_embedding_choices() {
  using enum embedding_function;
  embedding_choice cosines(triplet);
  cosines.name = "triplet_of_cosines";
  cosines.distance = culoss::triplet_distance::cosine;
  cosines.swap = true;
  return {embedding_choice(cosine_embedding), embedding_choice(contrastive),
          embedding_choice(triplet), cosines};
}

inline std::vector<embedding_choice> embedding_choices() {
  std::vector<embedding_choice> choices = plain_embedding_choices();
  for (const auto f : {embedding_function::cosine_embedding, embedding_function::contrastive,
                       embedding_function::triplet}) {
    const bool triplet = f == embedding_function::triplet;
    std::vector<int> levels = kFewSharedLevels;
    levels.insert(levels.end(), {3, triplet ? 3 : 2, triplet ? 2 : 3, triplet ? 2 : 1});
    const auto choice = [&](const combination& c) {
      const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
      embedding_choice o(f);
      set_shared_levels(o, few_shared_levels(c));
      o.margin = f == embedding_function::cosine_embedding ? std::array{0.0f, 0.5f, -0.3f}[at(7)]
                                                           : std::array{1.0f, 0.0f, 2.5f}[at(7)];
      if (triplet) {
        o.distance = static_cast<culoss::triplet_distance>(c[8]);
        o.swap = c[9] == 1;
        o.soft_margin = c[10] == 1;
      } else {
        o.factor = c[8] == 1 ? 0.5f : 1.0f;
        o.ignore_index = std::array<std::int64_t, 3>{-100, o.unlike(), 7}[at(9)];
      }
      return o;
    };
    const auto allowed = [&](const combination& c) {
      return shared_levels_allowed(few_shared_levels(c)) && c[2] == 0 && (!triplet || c[5] == 0) &&
             (f == embedding_function::contrastive || triplet || c[8] == 0);
    };
    for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  }
  return choices;
}

}  // namespace culoss_test
