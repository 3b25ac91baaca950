// What a call of mined_triplet must return, from the CPU function in double, with the bound of each
// element; inputs; the check of a call.
//
// The device chooses by distances of differences in double and sums gradients in double, so what is
// chosen must be what is chosen here: no bound. With u = 2^-24, v = 2^-53:
//   d(i, j)   (D + 16) 2 v, relative; of cosines absolute, as 1 - <u_i, u_j> cancels here
//   loss_a    that of both distances, and two roundings to float: of the loss, of its weight
//   a weight  four roundings to float: of the slope, of the divisor, of two products
//   dx        each term with the error of its weight, and (D + 16) 2 v of what its difference is made
//             of; one rounding to float, one to the type
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/cases/mined_triplet.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {

struct mined_input {
  element type = element::float32;
  std::int64_t rows = 0, dimension = 0, classes = 3;
  std::uint64_t seed = 1;
  bool ignored = true;  // some rows
};

// Normal embeddings about a center for each class. Labels that differ in their high half alone, where
// they have one.
inline mined_numbers make_mined(const mined_choice& c, const mined_input& in) {
  mined_numbers p;
  p.type = in.type;
  p.rows = in.rows;
  p.dimension = in.dimension;
  random_numbers random(in.seed);
  for (std::int64_t i = 0; i < in.rows; ++i) {
    const std::int64_t label = random.below(in.classes);
    random_numbers center(static_cast<std::uint64_t>(label + 100));
    for (std::int64_t d = 0; d < in.dimension; ++d) {
      p.x.push_back(round_to(in.type, random.normal() + 0.7 * center.normal()));
    }
    const bool ignored = in.ignored && random.below(9) == 0;
    const std::int64_t high = c.wide_labels ? (label % 2) << 32 : label % 2 * 1000;
    p.labels.push_back(ignored ? p.ignore_index : label / 2 + high - 1);
    p.row_weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
    p.upstream_rows.push_back(static_cast<float>(2 * random.normal()));
  }
  p.upstream = 0.7f;
  p.normalizer = 37.5f;
  return p;
}

inline std::string describe(const mined_choice& c, const mined_numbers& p) {
  const auto text = [](std::int64_t n) { return std::to_string(n); };
  const char* const rules[] = {"batch_hard", "semi_hard", "batch_all"};
  const char* const distances[] = {"euclidean", "squared", "cosine"};
  return std::string("mined_triplet ") + rules[static_cast<int>(c.rule)] + " " +
         distances[static_cast<int>(c.distance)] + ", " + format_of(p.type).name + " " +
         text(p.rows) + " x " + text(p.dimension) + ", margin " + std::to_string(c.margin) +
         (c.soft_margin ? ", soft" : "") + (c.wide ? ", wide" : "") +
         (c.accumulate ? ", accumulate" : "") + (c.row_weights ? ", row_weights" : "") +
         (c.wide_labels ? "" : ", int32") + (c.allow_tf32 ? ", tf32" : "") + ", reduction " +
         text(static_cast<int>(c.reduction)) + ", upstream " + text(static_cast<int>(c.upstream)) +
         ", normalizer " + text(static_cast<int>(c.normalizer));
}

class mined_expectation {
 public:
  mined_expectation(const mined_choice& c, const mined_numbers& p) : c_(c), p_(p) {
    mined_numbers exact = p;
    exact.type = element::float64;
    mined_choice everything = c;
    everything.loss = everything.gradient = everything.indices = everything.counts = true;
    exact_ = run(everything, exact, {.where = space::cpu});
    if (!exact_.status.ok()) throw std::runtime_error(exact_.status.message());
    const double counted = exact_["rows_counted"][0];
    divisor_ = c.normalizer != source::absent           ? static_cast<double>(p.normalizer)
               : c.reduction == culoss::reduction::mean ? counted
                                                        : 1;
    gradient_errors_.assign(p.x.size(), 0.0);
    loss_errors_.assign(static_cast<std::size_t>(p.rows), 0.0);
    for (std::int64_t a = 0; a < p.rows; ++a) add_anchor(a);
    if (c.reduction != culoss::reduction::none) {
      double sum = 0;
      for (const double e : loss_errors_) sum += e;
      loss_errors_ = {divisor_ == 0 ? 0 : sum / std::fabs(divisor_)};
    }
  }

  std::vector<expectation> all() const {
    std::vector<expectation> wanted;
    for (const output& o : exact_.outputs) {
      const bool asked = o.name == "loss"           ? c_.loss
                         : o.name == "gradient"     ? c_.gradient
                         : o.name == "rows_counted" ? c_.counts
                                                    : c_.indices;
      if (!asked) continue;
      expectation e{.name = o.name, .cols = 1, .values = o.values, .bounds = {}};
      e.bounds.assign(o.values.size(), 0.0);
      const bool wide = p_.type != element::float64;
      const format& real = format_of(wide ? element::float32 : element::float64);
      const bool gradient = o.name == "gradient";
      if (gradient || o.name == "loss") {
        const std::vector<double>& errors = gradient ? gradient_errors_ : loss_errors_;
        const format& f = gradient && !c_.wide ? format_of(p_.type) : real;
        for (std::size_t i = 0; i < e.bounds.size(); ++i) {
          const double size = std::fabs(o.values[i]) + errors[i];
          e.bounds[i] = errors[i] + f.rounding(size) + (f.precision < 24 ? kU * size : 0);
        }
        e.largest = f.largest();
        if (gradient) e.cols = p_.dimension;
      }
      wanted.push_back(e);
    }
    return wanted;
  }

 private:
  static constexpr double kU = 0x1p-24, kV = 0x1p-53;

  double small() const { return (static_cast<double>(p_.dimension) + 16) * 2 * kV; }
  bool cosine() const { return c_.distance == culoss::triplet_distance::cosine; }
  const double* row(std::int64_t i) const { return p_.x.data() + i * p_.dimension; }
  double norm(std::int64_t i) const {
    double sum = 0;
    for (std::int64_t d = 0; d < p_.dimension; ++d) sum += row(i)[d] * row(i)[d];
    return std::sqrt(sum);
  }
  double distance(std::int64_t i, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t d = 0; d < p_.dimension; ++d) {
      const double e = row(i)[d] - row(j)[d];
      sum += cosine() ? row(i)[d] * row(j)[d] : e * e;
    }
    if (cosine()) {
      const double norms = norm(i) * norm(j);
      return norms == 0 ? 1 : 1 - sum / norms;
    }
    return c_.distance == culoss::triplet_distance::euclidean ? std::sqrt(sum) : sum;
  }
  double slope(double z) const { return c_.soft_margin ? 1 / (1 + std::exp(-z)) : (z > 0 ? 1 : 0); }

  // The errors that an anchor's triplets bring.
  void add_anchor(std::int64_t a) {
    const auto at = static_cast<std::size_t>(a);
    const std::int64_t label = p_.labels[at];
    if (label == p_.ignore_index) return;
    std::vector<std::pair<std::int64_t, std::int64_t>> triplets;
    if (!c_.all()) {
      const auto p = static_cast<std::int64_t>(exact_["positives"][at]);
      if (p >= 0) triplets.emplace_back(p, static_cast<std::int64_t>(exact_["negatives"][at]));
    } else {
      for (std::int64_t p = 0; p < p_.rows; ++p) {
        if (p == a || p_.labels[static_cast<std::size_t>(p)] != label) continue;
        for (std::int64_t n = 0; n < p_.rows; ++n) {
          const std::int64_t of_n = p_.labels[static_cast<std::size_t>(n)];
          if (of_n != label && of_n != p_.ignore_index) triplets.emplace_back(p, n);
        }
      }
    }
    const double weight = c_.row_weights ? static_cast<double>(p_.row_weights[at]) : 1.0;
    const double up =
        static_cast<double>(c_.upstream == source::rows ? p_.upstream_rows[at] : p_.upstream);
    const double by = divisor_ == 0 ? 0 : std::fabs(up * weight / divisor_);
    std::vector<double> d(static_cast<std::size_t>(p_.rows), -1.0);
    std::vector<double> pulls(d.size());
    const auto of = [&](std::int64_t j) {
      double& known = d[static_cast<std::size_t>(j)];
      if (known < 0) known = distance(a, j);
      return known;
    };
    double loss = 0, error = 0;
    for (const auto& [p, n] : triplets) {
      const double dp = of(p), dn = of(n), z = dp - dn + static_cast<double>(c_.margin);
      const double s = slope(z);
      error += s * small() * (cosine() ? 2 : dp + dn);
      loss += c_.soft_margin ? std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z)))
                             : std::max(z, 0.0);
      pulls[static_cast<std::size_t>(p)] += s;
      pulls[static_cast<std::size_t>(n)] += s;
    }
    loss_errors_[at] = std::fabs(weight) * (error + 2 * kU * loss);
    for (std::int64_t j = 0; j < p_.rows; ++j) {
      const double w = pulls[static_cast<std::size_t>(j)] * by;
      if (w != 0) add_pull(a, j, of(j), w);
    }
  }
  void add_pull(std::int64_t i, std::int64_t j, double d, double weight) {
    const double ni = norm(i), nj = norm(j);
    for (std::int64_t e = 0; e < p_.dimension; ++e) {
      const double x = row(i)[e], y = row(j)[e];
      double& of_i = gradient_errors_[static_cast<std::size_t>(i * p_.dimension + e)];
      double& of_j = gradient_errors_[static_cast<std::size_t>(j * p_.dimension + e)];
      if (cosine()) {
        if (ni == 0 || nj == 0) continue;
        const double a = x / ni, b = y / nj;
        const double roundings = small() * (std::fabs(a) + std::fabs(b));
        of_i += weight / ni * (5 * kU * std::fabs((1 - d) * a - b) + 2 * roundings);
        of_j += weight / nj * (5 * kU * std::fabs((1 - d) * b - a) + 2 * roundings);
        continue;
      }
      const bool root = c_.distance == culoss::triplet_distance::euclidean;
      if (root && d == 0) continue;
      const double by = root ? weight / d : 2 * weight;
      const double error = by * std::fabs(x - y) * (5 * kU + small());
      of_i += error;
      of_j += error;
    }
  }

  const mined_choice& c_;
  const mined_numbers& p_;
  results exact_;
  double divisor_ = 1;
  std::vector<double> loss_errors_, gradient_errors_;
};

std::vector<expectation> expect(const mined_choice& c, const mined_numbers& p,
                                space where = space::cuda);

inline constexpr culoss::mining_rule kMiningRules[] = {culoss::mining_rule::batch_hard,
                                                       culoss::mining_rule::semi_hard,
                                                       culoss::mining_rule::batch_all};
inline constexpr culoss::triplet_distance kTripletDistances[] = {
    culoss::triplet_distance::euclidean, culoss::triplet_distance::squared_euclidean,
    culoss::triplet_distance::cosine};

}  // namespace culoss_test
