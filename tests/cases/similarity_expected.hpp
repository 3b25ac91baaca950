// What a call of InfoNCE or CLIP must return: the CPU function in double, and the bound of each
// element.
#pragma once

#include <string>
#include <vector>

#include "tests/cases/similarity.hpp"
#include "tests/emulator/probe.hpp"
#include "tests/harness/similarity_bounds.hpp"

namespace culoss_test {

inline double scale_of(const similarity_choice& c, const similarity_numbers& p) {
  const auto given = static_cast<double>(p.scale);
  return c.log_scale ? std::exp(given) : 1 / given;
}

// The reference goes no way through the matrix, and keeps nothing in 16 bits.
inline similarity_choice in_double(similarity_choice c) {
  c.plan = culoss::similarity_plan::automatic;
  return c;
}
inline similarity_numbers in_double(similarity_numbers p) {
  p.type = element::float64;
  return p;
}

class similarity_expectation {
 public:
  similarity_expectation(const similarity_choice& c, const similarity_numbers& p, space where)
      : c_(c),
        p_(p),
        a_(similarity_arithmetic_of(where, p.type)),
        kept_(where == space::cuda && c.plan == culoss::similarity_plan::kept),
        scale_(scale_of(c, p)),
        columns_(p.k),
        exact_(run(in_double(c), in_double(p), {.where = space::cpu})) {
    if (!exact_.status.ok()) throw std::runtime_error(exact_.status.message());
    columns_.insert(columns_.end(), p.n.begin(), p.n.end());
    const embedding_rows q(p.q, p.rows, p.dimension, c.normalize);
    const embedding_rows k(columns_, p.columns(), p.dimension, c.normalize);
    const embedding_rows own(p.own, p.rows * p.of_a_row, p.dimension, c.normalize);
    similarity_matrix s(q, k, scale_, a_, &own);
    take_margin(s);
    find_weights();
    find_sides(s);
    find_losses();
    if (c.queries || c.keys || c.negatives || c.row_negatives) find_gradients(s, q, k, own);
  }

  std::vector<expectation> all() const {
    std::vector<expectation> wanted;
    for (const output& o : exact_.outputs) wanted.push_back(expect(o));
    return wanted;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  bool takes_part(std::int64_t i, std::int64_t j) const {
    if (j == i + p_.offset) return true;
    const bool key = j < p_.keys;
    if (key && !c_.in_batch) return false;
    if (c_.mask && p_.mask[index(i * p_.all_columns() + j)] != 0) return false;
    if (!c_.masked || j >= p_.columns()) return true;
    const std::int64_t id = p_.query_ids[index(i)];
    if (c_.symmetric) return id != p_.query_ids[index(j)];
    return id != (key ? p_.key_ids[index(j)] : p_.negative_ids[index(j - p_.keys)]);
  }

  // Off the positives; in float its product with the scale has 5 roundings, the difference one.
  void take_margin(similarity_matrix& s) {
    margin_ = scale_ * static_cast<double>(c_.margin);
    if (margin_ == 0) return;
    for (std::int64_t i = 0; i < s.rows; ++i) {
      double& l = s.l[s.at(i, i + p_.offset)];
      l -= margin_;
      s.error[s.at(i, i + p_.offset)] += 5 * a_.u * std::fabs(margin_) + a_.u * std::fabs(l);
    }
  }

  void find_weights() {
    divisor_ = c_.normalizer != source::absent           ? static_cast<double>(p_.normalizer)
               : c_.reduction == culoss::reduction::mean ? static_cast<double>(p_.rows)
                                                         : 1;
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      const double weight = c_.row_weights ? static_cast<double>(p_.row_weights[index(i)]) : 1.0;
      const double up = static_cast<double>(c_.upstream == source::rows ? p_.upstream_rows[index(i)]
                                                                        : p_.upstream);
      row_weights_.push_back(weight);
      weights_.push_back(divisor_ == 0 ? 0 : up * weight / divisor_);
      largest_weight_ = std::max(largest_weight_, std::fabs(weights_.back()));
    }
  }

  void find_sides(const similarity_matrix& s) {
    double highest = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < s.rows; ++i) {
      rows_.emplace_back(
          s.cols, i + p_.offset, [&](std::int64_t j) { return s.l[s.at(i, j)]; },
          [&](std::int64_t j) { return s.error[s.at(i, j)]; },
          [&](std::int64_t j) { return !takes_part(i, j); },
          -std::numeric_limits<double>::infinity(), of_rows(), margin_);
      highest = std::max(highest, rows_.back().max);
    }
    if (!c_.symmetric) return;
    for (std::int64_t j = 0; j < s.cols; ++j) {
      cols_.emplace_back(
          s.rows, j, [&](std::int64_t i) { return s.l[s.at(i, j)]; },
          [&](std::int64_t i) { return s.error[s.at(i, j)]; },
          [&](std::int64_t i) { return !takes_part(i, j); }, highest, of_columns(), margin_);
    }
  }
  // A lane sums eight columns at a time; rows come four in a warp, and 32 in a block.
  similarity_arithmetic of_rows() const {
    similarity_arithmetic a = a_;
    a.shared_shift = false;
    return a;
  }
  similarity_arithmetic of_columns() const {
    similarity_arithmetic a = a_;
    if (a.slice > 1) a.slice = 32;
    return a;
  }

  void find_losses() {
    double sum = 0, sum_error = 0, scale = 0, scale_error = 0;
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      const side_bounds& row = rows_[index(i)];
      double loss = row.loss, error = row.loss_error;
      double part = std::fabs(row.scale), part_error = row.scale_error;
      ambiguous_rows_ += row.ambiguous ? 1 : 0;
      if (c_.symmetric) {
        const side_bounds& col = cols_[index(i)];
        loss = (loss + col.loss) / 2;
        error = (error + col.loss_error) / 2;
        part = (part + std::fabs(col.scale)) / 2;
        part_error = (part_error + col.scale_error) / 2;
        ambiguous_cols_ += col.ambiguous ? 1 : 0;
      }
      const double weight = std::fabs(row_weights_[index(i)]);
      loss_errors_.push_back(weight * (error + 2 * a_.u * loss));
      sum += weight * loss;
      sum_error += loss_errors_.back();
      scale += std::fabs(weights_[index(i)]) * part;
      scale_error += std::fabs(weights_[index(i)]) * part_error;
    }
    if (c_.reduction != culoss::reduction::none) {
      const double by = divisor_ == 0 ? 0 : 1 / std::fabs(divisor_);
      loss_errors_ = {by * (sum_error + 4 * a_.u * sum)};
    }
    // The temperature's reciprocal, and the factors that the rows' parts have in common.
    const double of_scalar = c_.log_scale ? 1 : std::fabs(1 / static_cast<double>(p_.scale));
    scale_error_ = of_scalar * (scale_error + 16 * a_.u * scale);
  }

  void find_gradients(const similarity_matrix& s, const embedding_rows& q, const embedding_rows& k,
                      const embedding_rows& own) {
    const double u = a_.u;
    const double smaller = static_cast<double>(p_.dimension) / 32 + 24;
    const double of_rows = (2 * static_cast<double>(s.cols) + smaller) * u;
    const double of_cols = (2 * static_cast<double>(s.rows) + smaller) * u;
    const similarity_arithmetic of_row = kept_ ? with_kept(a_, p_.type, false) : a_;
    const similarity_arithmetic of_column = kept_ ? with_kept(a_, p_.type, true) : a_;
    query_errors_.assign(p_.q.size(), 0.0);
    column_errors_.assign(columns_.size(), 0.0);
    own_errors_.assign(p_.own.size(), 0.0);
    for (std::int64_t i = 0; i < s.rows; ++i) {
      double* const eq = query_errors_.data() + i * p_.dimension;
      for (std::int64_t j = 0; j < s.cols; ++j) {
        if (!takes_part(i, j)) continue;
        const bool is_own = j >= p_.columns();
        const embedding_rows& others = is_own ? own : k;
        const std::int64_t other = is_own ? i * p_.of_a_row + j - p_.columns() : j;
        const double norms = q.r(i) * others.r(other);
        const bool positive = j == i + p_.offset;
        double size = 0, error = 0;
        const auto add = [&](const side_bounds& side, double weight,
                             const similarity_arithmetic& a) {
          if (side.sum == 0) return;
          const double l = s.l[s.at(i, j)];
          const double p = positive ? side.q : side.p(l);
          size += std::fabs(weight) * p;
          error += std::fabs(weight) * (positive ? p * (side.q_error + 6 * u) + a_.flush
                                                 : side.p_error(l, s.error[s.at(i, j)], a));
        };
        add(rows_[index(i)], c_.symmetric ? weights_[index(i)] / 2 : weights_[index(i)],
            is_own ? a_ : of_row);
        if (c_.symmetric) add(cols_[index(j)], weights_[index(j)] / 2, of_column);
        // Positives that are in no tile stay float, and so do negatives of the row's own.
        const bool tiled = !is_own && (!positive || c_.in_batch);
        error = norms * (error + size * (6 * u + (tiled ? a_.tile : 0)));
        if (tiled) error += a_.tile_least * q.largest * k.largest * largest_weight_;
        size *= norms;
        double* const ek = (is_own ? own_errors_ : column_errors_).data() + other * p_.dimension;
        const double to_q = error + of_rows * size, to_k = error + of_cols * size;
        for (std::int64_t d = 0; d < p_.dimension; ++d)
          eq[d] += to_q * std::fabs(others.row(other)[d]);
        for (std::int64_t d = 0; d < p_.dimension; ++d) ek[d] += to_k * std::fabs(q.row(i)[d]);
      }
    }
    project_error(q, scale_, query_errors_);
    project_error(k, scale_, column_errors_);
    project_error(own, scale_, own_errors_);
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
    const bool columns = o.name == "grad_keys" || o.name == "grad_negatives";
    if (o.name == "loss") {
      with_rounding(real, [&](std::size_t i) { return loss_errors_[i]; });
    } else if (o.name == "grad_scale") {
      with_rounding(real, [&](std::size_t) { return scale_error_; });
    } else if (o.name == "grad_queries" || o.name == "grad_row_negatives" || columns) {
      const std::vector<double>& errors = columns                          ? column_errors_
                                          : o.name == "grad_row_negatives" ? own_errors_
                                                                           : query_errors_;
      const std::size_t first = o.name == "grad_negatives" ? p_.k.size() : 0;
      e.cols = p_.dimension;
      // What was added to had to be rounded once more.
      const double more = c_.accumulate ? a_.u : 0;
      with_rounding(c_.wide && wide ? real : format_of(p_.type), [&](std::size_t i) {
        return errors[first + i] + more * std::fabs(o.values[i]);
      });
    } else if (o.name == "correct") {
      e.bounds[0] = ambiguous_rows_;
    } else if (o.name == "correct_columns") {
      e.bounds[0] = ambiguous_cols_;
    }
    return e;
  }

  const similarity_choice& c_;
  const similarity_numbers& p_;
  similarity_arithmetic a_;
  bool kept_;
  double scale_, margin_ = 0, divisor_ = 1, largest_weight_ = 0;
  std::vector<double> columns_;  // keys, then negatives
  results exact_;
  std::vector<double> row_weights_, weights_;
  std::vector<side_bounds> rows_, cols_;
  std::vector<double> loss_errors_, query_errors_, column_errors_, own_errors_;
  double scale_error_ = 0, ambiguous_rows_ = 0, ambiguous_cols_ = 0;
};

std::vector<expectation> expect(const similarity_choice& c, const similarity_numbers& p,
                                space where = space::cuda);

}  // namespace culoss_test
