// What a call of NT-Xent or of the supervised contrastive loss must return: the CPU function in
// double, and the bound of each element.
#pragma once

#include <string>
#include <vector>

#include "tests/cases/self_similarity.hpp"
#include "tests/harness/set_bounds.hpp"

namespace culoss_test {

class self_expectation {
 public:
  self_expectation(const self_choice& c, const self_numbers& p, space where)
      : c_(c), p_(p), a_(similarity_arithmetic_of(where, p.type)) {
    // A lane folds eight columns at a time; rows come four in a warp, and 32 in a block.
    if (a_.slice > 1) a_.slice = 32;
    const auto given = static_cast<double>(p.scale);
    scale_ = c.log_scale ? std::exp(given) : 1 / given;
    self_numbers exact = p;
    exact.type = element::float64;
    exact_ = run(c, exact, {.where = space::cpu});
    if (!exact_.status.ok()) throw std::runtime_error(exact_.status.message());
    const embedding_rows z(p.z, p.rows, p.dimension, c.normalize);
    const similarity_matrix s(z, z, scale_, a_);
    find_rows(s);
    find_weights();
    find_losses();
    if (c.gradient) find_gradient(s, z);
  }

  std::vector<expectation> all() const {
    std::vector<expectation> wanted;
    for (const output& o : exact_.outputs) wanted.push_back(expect(o));
    return wanted;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  bool is_positive(std::int64_t i, std::int64_t j) const {
    if (c_.labeled()) return i != j && p_.labels[index(i)] == p_.labels[index(j)];
    return i - j == p_.rows / 2 || j - i == p_.rows / 2;
  }
  bool is_other(std::int64_t i, std::int64_t j) const {
    if (i == j || is_positive(i, j)) return false;
    return c_.labeled() || !c_.masked || p_.ids[index(i)] != p_.ids[index(j)];
  }

  void find_rows(const similarity_matrix& s) {
    double highest = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      for (std::int64_t j = 0; j < p_.rows; ++j) {
        if (is_other(i, j)) highest = std::max(highest, s.l[s.at(i, j)]);
      }
    }
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      std::vector<std::int64_t> positives, others;
      for (std::int64_t j = 0; j < p_.rows; ++j) {
        if (is_positive(i, j)) positives.push_back(j);
        if (is_other(i, j)) others.push_back(j);
      }
      const auto l = [&](std::int64_t j) { return s.l[s.at(i, j)]; };
      const auto error = [&](std::int64_t j) { return s.error[s.at(i, j)]; };
      // Positives have shifts of their own: their largest.
      rows_.emplace_back(
          set_bounds(positives, p_.rows, l, error, -std::numeric_limits<double>::infinity(), a_),
          set_bounds(others, p_.rows, l, error, highest, a_), a_);
      if (c_.labeled() || positives.empty()) continue;
      const std::int64_t t = positives[0];
      bool ambiguous = false;
      for (const std::int64_t j : others) {
        ambiguous = ambiguous || std::fabs(l(j) - l(t)) <= error(j) + error(t);
      }
      ambiguous_ += ambiguous ? 1 : 0;
    }
  }

  void find_weights() {
    double counted = 0;
    for (const contrast_bounds& row : rows_) counted += row.counts() ? 1 : 0;
    divisor_ = c_.normalizer != source::absent           ? static_cast<double>(p_.normalizer)
               : c_.reduction == culoss::reduction::mean ? counted
                                                         : 1;
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      const double weight = c_.row_weights ? static_cast<double>(p_.row_weights[index(i)]) : 1.0;
      const double up = static_cast<double>(c_.upstream == source::rows ? p_.upstream_rows[index(i)]
                                                                        : p_.upstream);
      const double all = divisor_ == 0 ? 0 : up * weight / divisor_;
      largest_weight_ = std::max(largest_weight_, std::fabs(all));
      const bool counts = rows_[index(i)].counts();
      row_weights_.push_back(counts ? weight : 0);
      weights_.push_back(counts ? all : 0);
    }
  }

  void find_losses() {
    double sum = 0, sum_error = 0, scale = 0, scale_error = 0;
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      const contrast_bounds& row = rows_[index(i)];
      const double weight = std::fabs(row_weights_[index(i)]);
      loss_errors_.push_back(weight * (row.loss_error + 2 * a_.u * row.loss));
      sum += weight * row.loss;
      sum_error += loss_errors_.back();
      scale += std::fabs(weights_[index(i)] * row.scale);
      scale_error += std::fabs(weights_[index(i)]) * row.scale_error;
    }
    if (c_.reduction != culoss::reduction::none) {
      const double by = divisor_ == 0 ? 0 : 1 / std::fabs(divisor_);
      loss_errors_ = {by * (sum_error + 4 * a_.u * sum)};
    }
    const double of_scalar = c_.log_scale ? 1 : std::fabs(1 / static_cast<double>(p_.scale));
    scale_error_ = of_scalar * (scale_error + 16 * a_.u * scale);
  }

  // What i says of its similarity to j.
  contrast_bounds::part of_row(const similarity_matrix& s, std::int64_t i, std::int64_t j) const {
    const contrast_bounds& row = rows_[index(i)];
    if (!row.counts()) return {0, 0};
    const double l = s.l[s.at(i, j)], error = s.error[s.at(i, j)];
    const contrast_bounds::part one =
        is_positive(i, j) ? row.positive(l, error, a_) : row.other(l, error, a_);
    const double weight = std::fabs(weights_[index(i)]);
    return {weight * one.size, weight * one.error};
  }

  void find_gradient(const similarity_matrix& s, const embedding_rows& z) {
    const double u = a_.u;
    const double product =
        (2 * static_cast<double>(p_.rows) + static_cast<double>(p_.dimension) / 32 + 24) * u;
    gradient_errors_.assign(p_.z.size(), 0.0);
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      double* const e = gradient_errors_.data() + i * p_.dimension;
      for (std::int64_t j = 0; j < p_.rows; ++j) {
        if (!is_positive(i, j) && !is_other(i, j)) continue;
        const contrast_bounds::part a = of_row(s, i, j), b = of_row(s, j, i);
        const double norms = z.r(i) * z.r(j), size = a.size + b.size;
        const double error = norms * (a.error + b.error + size * (6 * u + a_.tile + product)) +
                             a_.tile_least * z.largest * z.largest * largest_weight_;
        for (std::int64_t d = 0; d < p_.dimension; ++d) e[d] += error * std::fabs(z.row(j)[d]);
      }
    }
    project_error(z, scale_, gradient_errors_);
  }

  expectation expect(const output& o) const {
    const bool wide = p_.type != element::float64;
    const format& real = format_of(wide ? element::float32 : element::float64);
    expectation e{.name = o.name, .cols = 1, .values = o.values, .bounds = {}};
    e.bounds.assign(o.values.size(), 0.0);
    const auto with_rounding = [&](const format& f, const auto& error) {
      for (std::size_t i = 0; i < e.bounds.size(); ++i) {
        e.bounds[i] = error(i) + f.rounding(std::fabs(o.values[i]) + error(i));
      }
      e.largest = f.largest();
    };
    if (o.name == "loss") {
      with_rounding(real, [&](std::size_t i) { return loss_errors_[i]; });
    } else if (o.name == "grad_scale") {
      with_rounding(real, [&](std::size_t) { return scale_error_; });
    } else if (o.name == "grad_embeddings") {
      e.cols = p_.dimension;
      const double more = c_.accumulate ? a_.u : 0;  // what was added to was rounded once more
      with_rounding(c_.wide && wide ? real : format_of(p_.type), [&](std::size_t i) {
        return gradient_errors_[i] + more * std::fabs(o.values[i]);
      });
    } else if (o.name == "correct") {
      e.bounds[0] = ambiguous_;
    }
    return e;
  }

  const self_choice& c_;
  const self_numbers& p_;
  similarity_arithmetic a_;
  double scale_ = 1, divisor_ = 1, largest_weight_ = 0;
  results exact_;
  std::vector<contrast_bounds> rows_;
  std::vector<double> row_weights_, weights_, loss_errors_, gradient_errors_;
  double scale_error_ = 0, ambiguous_ = 0;
};

std::vector<expectation> expect(const self_choice& c, const self_numbers& p,
                                space where = space::cuda);

}  // namespace culoss_test
