// What a call of SigLIP must return: the CPU function in double, and the bound of each element.
#pragma once

#include "tests/cases/siglip.hpp"
#include "tests/harness/siglip_bounds.hpp"

namespace culoss_test {

class siglip_expectation {
 public:
  siglip_expectation(const siglip_choice& c, const siglip_numbers& p, space where)
      : c_(c),
        p_(p),
        a_(similarity_arithmetic_of(where, p.type)),
        scale_(scale_of(c, p)),
        bias_(static_cast<double>(p.bias)),
        exact_(run(c, in_double(p), {.where = space::cpu})) {
    if (!exact_.status.ok()) throw std::runtime_error(exact_.status.message());
    const embedding_rows x(p.q, p.rows, p.dimension, c.normalize);
    const embedding_rows y(p.k, p.keys, p.dimension, c.normalize);
    const similarity_matrix s(x, y, scale_, a_);
    find_weights();
    find_rows(s);
    if (c.queries || c.keys) find_gradients(s, x, y);
  }

  std::vector<expectation> all() const {
    std::vector<expectation> wanted;
    for (const output& o : exact_.outputs) wanted.push_back(expect(o));
    return wanted;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  static siglip_numbers in_double(siglip_numbers p) {
    p.type = element::float64;
    return p;
  }

  bool positive(std::int64_t i, std::int64_t j) const { return c_.positives && j == i + p_.offset; }
  bool takes_part(std::int64_t i, std::int64_t j) const {
    return positive(i, j) || !c_.masked || p_.query_ids[index(i)] != p_.key_ids[index(j)];
  }

  sigmoid_pair pair_of(const similarity_matrix& s, std::int64_t i, std::int64_t j) const {
    const std::size_t at = s.at(i, j);
    return {s.l[at], s.error[at], bias_, positive(i, j), a_};
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

  void find_rows(const similarity_matrix& s) {
    const double way = sigmoid_roundings(p_.keys, a_) * a_.u;
    double sum = 0, sum_error = 0, scale_size = 0, bias_size = 0;
    for (std::int64_t i = 0; i < s.rows; ++i) {
      double loss = 0, loss_error = 0, size = 0, error = 0, l_size = 0, l_error = 0;
      bool ambiguous = false;
      for (std::int64_t j = 0; j < s.cols; ++j) {
        if (!takes_part(i, j)) continue;
        const sigmoid_pair d = pair_of(s, i, j);
        const double l = std::fabs(s.l[s.at(i, j)]), of_l = s.error[s.at(i, j)];
        loss += d.loss;
        loss_error += d.loss_error;
        size += d.size;
        error += d.error;
        l_size += d.size * l;
        l_error += d.error * (l + of_l) + d.size * of_l + a_.flush;
        if (!c_.positives || positive(i, j)) continue;
        const std::size_t own = s.at(i, i + p_.offset);
        ambiguous = ambiguous || std::fabs(s.l[s.at(i, j)] - s.l[own]) <= of_l + s.error[own];
      }
      ambiguous_ += ambiguous ? 1 : 0;
      const double weight = std::fabs(row_weights_[index(i)]), w = std::fabs(weights_[index(i)]);
      loss_errors_.push_back(weight * (loss_error + (way + 2 * a_.u) * loss));
      sum += weight * loss;
      sum_error += loss_errors_.back();
      scale_error_ += w * (l_error + way * l_size);
      bias_error_ += w * (error + way * size);
      scale_size += w * l_size;
      bias_size += w * size;
    }
    if (c_.reduction != culoss::reduction::none) {
      const double by = divisor_ == 0 ? 0 : 1 / std::fabs(divisor_);
      loss_errors_ = {by * (sum_error + 4 * a_.u * sum)};
    }
    // The temperature's reciprocal, and the factors that the rows' parts have in common.
    const double of_scalar = c_.log_scale ? 1 : std::fabs(1 / static_cast<double>(p_.scale));
    scale_error_ = of_scalar * (scale_error_ + 16 * a_.u * scale_size);
    bias_error_ += 16 * a_.u * bias_size;
  }

  void find_gradients(const similarity_matrix& s, const embedding_rows& x,
                      const embedding_rows& y) {
    const double smaller = static_cast<double>(p_.dimension) / 32 + 24;
    const double of_rows = (2 * static_cast<double>(s.cols) + smaller) * a_.u;
    const double of_cols = (2 * static_cast<double>(s.rows) + smaller) * a_.u;
    image_errors_.assign(p_.q.size(), 0.0);
    text_errors_.assign(p_.k.size(), 0.0);
    for (std::int64_t i = 0; i < s.rows; ++i) {
      double* const ex = image_errors_.data() + i * p_.dimension;
      for (std::int64_t j = 0; j < s.cols; ++j) {
        if (!takes_part(i, j)) continue;
        const sigmoid_pair d = pair_of(s, i, j);
        const double by = std::fabs(weights_[index(i)]) * x.r(i) * y.r(j);
        const double error = by * (d.error + d.size * (8 * a_.u + a_.tile)) +
                             a_.tile_least * x.largest * y.largest * largest_weight_;
        const double to_x = error + of_rows * by * d.size, to_y = error + of_cols * by * d.size;
        double* const ey = text_errors_.data() + j * p_.dimension;
        for (std::int64_t k = 0; k < p_.dimension; ++k) ex[k] += to_x * std::fabs(y.row(j)[k]);
        for (std::int64_t k = 0; k < p_.dimension; ++k) ey[k] += to_y * std::fabs(x.row(i)[k]);
      }
    }
    project_error(x, scale_, image_errors_);
    project_error(y, scale_, text_errors_);
  }

  expectation expect(const output& o) const {
    const bool narrow = p_.type != element::float64;
    const format& real = format_of(narrow ? element::float32 : element::float64);
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
    } else if (o.name == "grad_bias") {
      with_rounding(real, [&](std::size_t) { return bias_error_; });
    } else if (o.name == "grad_queries" || o.name == "grad_keys") {
      const std::vector<double>& errors = o.name == "grad_keys" ? text_errors_ : image_errors_;
      e.cols = p_.dimension;
      // What was added to had to be rounded once more.
      const double more = c_.accumulate ? a_.u : 0;
      with_rounding(c_.wide && narrow ? real : format_of(p_.type),
                    [&](std::size_t i) { return errors[i] + more * std::fabs(o.values[i]); });
    } else if (o.name == "correct") {
      e.bounds[0] = ambiguous_;
    }
    return e;
  }

  const siglip_choice& c_;
  const siglip_numbers& p_;
  similarity_arithmetic a_;
  double scale_, bias_, divisor_ = 1, largest_weight_ = 0;
  results exact_;
  std::vector<double> row_weights_, weights_, loss_errors_, image_errors_, text_errors_;
  double scale_error_ = 0, bias_error_ = 0, ambiguous_ = 0;
};

std::vector<expectation> expect(const siglip_choice& c, const siglip_numbers& p,
                                space where = space::cuda);

}  // namespace culoss_test
