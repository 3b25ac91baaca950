// Inputs for linear cross-entropy, what a call must return, and the check of one against the other.
//
// The expected values are those of cross_entropy on the exact logits, on the CPU in double, and
// plain sums of its gradient. Errors, first order in u, beside those of bounds.hpp:
//   x_ij   a product of D terms: 2 D u sum_d |h_id w_jd| (tensor cores truncate); with a bias three
//          roundings more. It passes through the softmax.
//   dx_ij  one rounding to the type of the inputs, for half no finer than its subnormals, in units
//          of at most four times the largest that the options allow
//   dh_i   sum_j dx_ij w_j: each |w_j| times the error of dx_ij, and 2 V u for the product's sum;
//          dw likewise with 2 N u, db N u; a few roundings of the factors; one to the output's type
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/cases/linear_cross_entropy.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {

struct linear_input {
  element type = element::float32;
  std::int64_t rows = 0, classes = 0, dimension = 0;
  std::uint64_t seed = 1;
};

// Logits of a few units; few rows of each kind of label.
inline linear_numbers make_linear(const linear_choice& c, const linear_input& in) {
  linear_numbers p;
  p.type = in.type;
  p.dimension = in.dimension;
  p.rows = make_problem({.rows = in.rows, .cols = in.classes, .seed = in.seed});
  c.complete(p.rows);
  random_numbers random(in.seed + 77);
  const auto fill = [&](std::vector<double>& x, std::int64_t rows, double size) {
    x.resize(static_cast<std::size_t>(rows * in.dimension));
    for (double& v : x) v = round_to(in.type, size * random.normal());
  };
  fill(p.h, in.rows, 1);
  fill(p.w, in.classes, 2.5 / std::sqrt(static_cast<double>(in.dimension)));
  for (std::int64_t j = 0; j < in.classes; ++j) {
    p.bias.push_back(static_cast<double>(static_cast<float>(random.normal())));
  }
  p.find_logits(c.bias);
  return p;
}

inline std::string describe(const linear_choice& c, const linear_numbers& p) {
  const auto text = [](auto n) { return std::to_string(n); };
  static constexpr const char* kModes[] = {"fused", "split", "shards"};
  return c.name + ", " + format_of(p.type).name + " " + text(p.rows.rows) + " x " +
         text(p.classes()) + " x " + text(p.dimension) + ", " + kModes[static_cast<int>(c.mode)] +
         " " + text(c.shards.size()) + (c.bias ? ", bias" : "") + (c.wide ? ", wide" : "") +
         (c.accumulate ? ", accumulate" : "");
}

class linear_expectation {
 public:
  linear_expectation(const linear_choice& c, const linear_numbers& p, space where)
      : c_(c), p_(p), where_(where), rows_(p.rows) {
    rows_.type = p.type == element::float64 ? element::float64 : element::float32;
    find_errors();
    arithmetic a = arithmetic_of(where, rows_.cols, rows_.type, 1);
    u_ = a.u;
    // Of the blocks that make 16-bit gradients, which have more warps than the bound's lanes; and
    // of the shards' records, which are rounded on the CPU, too.
    const double rounded = saves_floats() ? 0x1p-24 / a.u : 1;
    const double merges =
        (where == space::cuda ? 4 : 0) + 2 * rounded * static_cast<double>(c.shards.size());
    a.adds += merges;
    a.rescales += merges;
    a.weight_adds += merges;
    a.batch_adds += merges;
    const std::vector<expectation> row_wise = bound_cross_entropy(c, rows_, a, &errors_);
    for (const expectation& e : row_wise) {
      if (e.name != "grad_logits") wanted_.push_back(e);
    }
    find_ambiguous();
    find_gradients(row_wise[kGradientOutput]);
  }

  // What the choice asks for, in the order in which calls return it.
  std::vector<expectation> all() const {
    std::vector<expectation> chosen;
    const auto add = [&](const char* name, bool wanted) {
      if (!wanted) return;
      for (const expectation& e : wanted_) {
        if (e.name == name) chosen.push_back(e);
      }
    };
    add("loss", c_.loss);
    add("grad_hidden", c_.grad_hidden);
    add("grad_weight", c_.grad_weight);
    add("grad_bias", c_.grad_bias && c_.bias);
    add("lse", c_.more_outputs);
    add("statistics", c_.statistics);
    add("argmax", c_.more_outputs);
    add("correct", c_.more_outputs);
    add("rows_counted", c_.more_outputs);
    add("z_loss", c_.z_loss_output);
    add("entropy", c_.entropy);
    return chosen;
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  double h(std::int64_t i, std::int64_t d) const { return p_.h[at(i * p_.dimension + d)]; }
  double w(std::int64_t j, std::int64_t d) const { return p_.w[at(j * p_.dimension + d)]; }

  // Statistics in float of what the CPU computed in double: of logits, which are no floats, too.
  bool saves_floats() const {
    return where_ == space::cpu && p_.type != element::float64 && c_.mode != linear_mode::fused;
  }

  void find_errors() {
    const double u = where_ == space::cpu ? 0x1p-53 : 0x1p-24;
    const auto dimension = static_cast<double>(p_.dimension);
    errors_.assign(rows_.x.size(), 0.0);
    for (std::int64_t i = 0; i < rows_.rows; ++i) {
      for (std::int64_t j = 0; j < rows_.cols; ++j) {
        if (!std::isfinite(rows_.row(i)[j])) continue;
        double size = 0;
        for (std::int64_t d = 0; d < p_.dimension; ++d) size += std::fabs(h(i, d) * w(j, d));
        const double bias = c_.bias ? std::fabs(p_.bias[at(j)]) : 0;
        errors_[at(i * rows_.cols + j)] =
            2 * dimension * u * size + (c_.bias ? 3 * u * (size + bias) : 0) +
            (saves_floats() ? 0x1p-24 * std::fabs(rows_.row(i)[j]) : 0);
      }
    }
  }

  // Arg-max and the count of hits where another logit is as large within the errors.
  void find_ambiguous() {
    double ambiguous = 0;
    for (std::int64_t i = 0; i < rows_.rows; ++i) {
      const double* const x = rows_.row(i);
      double highest = -std::numeric_limits<double>::infinity();
      const auto error = [&](std::int64_t j) { return errors_[at(i * rows_.cols + j)]; };
      for (std::int64_t j = 0; j < rows_.cols; ++j) highest = std::max(highest, x[j] - error(j));
      std::int64_t candidates = 0;
      for (std::int64_t j = 0; j < rows_.cols; ++j) candidates += x[j] + error(j) >= highest;
      const bool counts = c_.counts(rows_, at(i)) && !c_.bad(rows_, at(i));
      if (candidates < 2 || !counts || !std::isfinite(highest)) continue;
      ambiguous += 1;
      for (expectation& e : wanted_) {
        if (e.name == "argmax") e.bounds[at(i)] = static_cast<double>(rows_.cols);
      }
    }
    for (expectation& e : wanted_) {
      if (e.name == "correct") e.bounds[0] = ambiguous;
    }
  }

  // The unit of the gradient of the logits times its smallest part.
  double least() const {
    if (where_ == space::cpu || p_.type == element::float32) return 0;
    double row_top = 0, class_top = c_.class_weights ? 0 : 1, reach = 0;
    for (std::int64_t i = 0; i < rows_.rows; ++i) {
      const double up = c_.upstream == source::rows ? rows_.upstream_rows[at(i)] : rows_.upstream;
      row_top = std::max(row_top, std::fabs(up * c_.row_weight(rows_, at(i))));
    }
    for (std::int64_t j = 0; j < rows_.cols && c_.class_weights; ++j) {
      class_top = std::max(class_top, std::fabs(static_cast<double>(rows_.class_weights[at(j)])));
    }
    // Not below the bound of |lse| by norms, nor by twice what can have been saved.
    if (c_.z_loss != 0) {
      const auto norm = [&](const auto& x, std::int64_t rows) {
        double most = 0;
        for (std::int64_t i = 0; i < rows; ++i) {
          double sum = 0;
          for (std::int64_t d = 0; d < p_.dimension; ++d) sum += x(i, d) * x(i, d);
          if (std::isfinite(sum)) most = std::max(most, std::sqrt(sum));
        }
        return most;
      };
      double bias = 0;
      for (const double b : p_.bias) bias = std::max(bias, std::isfinite(b) ? std::fabs(b) : 0.0);
      reach = norm([&](auto i, auto d) { return h(i, d); }, rows_.rows) *
              norm([&](auto j, auto d) { return w(j, d); }, rows_.cols);
      reach = 2 * (reach + bias + static_cast<double>(c_.softcap)) / rows_.temperature +
              2 * std::log(static_cast<double>(rows_.cols)) + 1;
    }
    const double largest = (class_top + 2 * c_.z_loss * reach) / rows_.temperature;
    const double divisor = c_.divisor(rows_, counted_weight(c_, rows_));
    const double unit = divisor == 0 ? 0 : 4 * row_top * largest / std::fabs(divisor);
    const double smallest = p_.type == element::float16 ? 0x1p-25 * 0x1p-14 : 0x1p-126;
    return unit * smallest;
  }

  void find_gradients(const expectation& logits) {
    const std::int64_t n = rows_.rows, v = rows_.cols, dimension = p_.dimension;
    const bool narrow = format_of(p_.type).bytes == 2 && where_ == space::cuda;
    const double tile = narrow ? format_of(p_.type).unit_roundoff() : 0, smallest = least();
    const double of_rows = (2 * static_cast<double>(v) + 24) * u_;
    const double of_classes = (2 * static_cast<double>(n) + 24) * u_;
    expectation dh = gradient("grad_hidden", n), dw = gradient("grad_weight", v), db;
    db = expectation{.name = "grad_bias", .cols = 1, .values = {}, .bounds = {}};
    db.values.assign(at(v), 0.0);
    db.bounds.assign(at(v), 0.0);
    for (std::int64_t i = 0; i < n; ++i) {
      if (!c_.counts(rows_, at(i))) continue;
      for (std::int64_t j = 0; j < v; ++j) {
        const double g = logits.values[at(i * v + j)];
        const double error =
            logits.bounds[at(i * v + j)] + (g == 0 ? 0 : tile * std::fabs(g) + smallest);
        const double to_h = error + of_rows * std::fabs(g);
        const double to_w = error + of_classes * std::fabs(g);
        for (std::int64_t d = 0; d < dimension; ++d) {
          dh.values[at(i * dimension + d)] += g * w(j, d);
          dh.bounds[at(i * dimension + d)] += to_h * std::fabs(w(j, d));
          dw.values[at(j * dimension + d)] += g * h(i, d);
          dw.bounds[at(j * dimension + d)] += to_w * std::fabs(h(i, d));
        }
        db.values[at(j)] += g;
        db.bounds[at(j)] += to_w;
      }
    }
    finish(dh, format_of(gradient_type()));
    finish(dw, format_of(gradient_type()));
    finish(db, real_format(p_.type));
    wanted_.insert(wanted_.end(), {dh, dw, db});
  }
  element gradient_type() const {
    const bool narrow = format_of(p_.type).bytes == 2;
    return narrow && (c_.wide || c_.mode == linear_mode::shards) ? element::float32 : p_.type;
  }
  expectation gradient(const char* name, std::int64_t rows) const {
    expectation e{.name = name, .cols = p_.dimension, .values = {}, .bounds = {}};
    e.values.assign(at(rows * p_.dimension), 0.0);
    e.bounds.assign(e.values.size(), 0.0);
    return e;
  }
  // The rounding to its type, of each shard's part where it comes in parts; of what stood there.
  void finish(expectation& e, const format& f) const {
    const double parts = 1 + static_cast<double>(c_.shards.size());
    for (std::size_t i = 0; i < e.values.size(); ++i) {
      const double before = c_.accumulate ? standing(static_cast<std::int64_t>(i)) : 0;
      e.values[i] += before;
      if (e.values[i] == before && e.bounds[i] == 0) continue;
      const double size = std::fabs(e.values[i]) + std::fabs(before) + e.bounds[i];
      e.bounds[i] += parts * f.rounding(size);
    }
    e.largest = f.largest();
  }

  const linear_choice& c_;
  const linear_numbers& p_;
  space where_;
  problem rows_;
  double u_ = 0;
  std::vector<double> errors_;  // of the logits
  std::vector<expectation> wanted_;
};

std::vector<expectation> expect(const linear_choice& c, const linear_numbers& p,
                                space where = space::cuda);

inline linear_choice linear(const cross_entropy_choice& rows) {
  linear_choice c;
  static_cast<cross_entropy_choice&>(c) = rows;
  c.inner = 0;
  return c;
}

}  // namespace culoss_test
