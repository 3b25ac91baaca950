// Inputs for NT-Xent and the supervised contrastive loss, and the check of a call against its
// expectation.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/cases/self_similarity_expected.hpp"
#include "tests/cases/similarity_check.hpp"

namespace culoss_test {

struct self_input {
  element type = element::float32;
  std::int64_t rows = 0, dimension = 0;
  std::uint64_t seed = 1;
  std::int64_t labels = 0;  // how many there are; 0: a third of the rows
};

// Normal embeddings; the second view, and all rows of a label, are half of the first one. Few ids,
// so that each masks some others; of the labels some stand alone.
inline self_numbers make_self(const self_choice& c, const self_input& in) {
  self_numbers p;
  p.type = in.type;
  p.rows = in.rows;
  p.dimension = in.dimension;
  random_numbers random(in.seed);
  for (std::int64_t i = 0; i < in.rows * in.dimension; ++i) p.z.push_back(random.normal());
  const std::int64_t labels = in.labels > 0 ? in.labels : in.rows / 3 + 1;
  std::vector<std::int64_t> first(static_cast<std::size_t>(labels), -1);
  for (std::int64_t i = 0; i < in.rows; ++i) {
    p.ids.push_back(random.below(in.rows / 3 + 2) + (std::int64_t{1} << 40));
    const std::int64_t label = random.below(labels);
    p.labels.push_back(label - labels / 2);  // any number is a label
    std::int64_t& of_label = first[static_cast<std::size_t>(label)];
    const std::int64_t like = c.labeled() ? of_label : i - in.rows / 2;
    of_label = of_label < 0 ? i : of_label;
    for (std::int64_t d = 0; d < in.dimension; ++d) {
      double& v = p.z[static_cast<std::size_t>(i * in.dimension + d)];
      if (like >= 0) v = 0.5 * (v + p.z[static_cast<std::size_t>(like * in.dimension + d)]);
      v = round_to(in.type, v);
    }
    p.row_weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
    p.upstream_rows.push_back(static_cast<float>(2 * random.normal()));
  }
  const double temperature = c.normalize ? 0.07 : std::sqrt(static_cast<double>(in.dimension)) / 3;
  p.scale = static_cast<float>(c.log_scale ? -std::log(temperature) : temperature);
  p.upstream = 0.7f;
  p.normalizer = 37.5f;
  return p;
}

inline std::string describe(const self_choice& c, const self_numbers& p) {
  const auto text = [](std::int64_t n) { return std::to_string(n); };
  return name_of(c.which) + ", " + format_of(p.type).name + " " + text(p.rows) + " x " +
         text(p.dimension) + (c.normalize ? ", normalize" : "") + (c.masked ? ", masked" : "") +
         (c.wide_labels ? ", int64" : "") + (c.log_scale ? ", log_scale" : "") +
         (c.wide ? ", wide" : "") + (c.accumulate ? ", accumulate" : "") +
         (c.row_weights ? ", row_weights" : "") + ", reduction " +
         text(static_cast<int>(c.reduction)) + ", upstream " + text(static_cast<int>(c.upstream)) +
         ", normalizer " + text(static_cast<int>(c.normalizer));
}

// A choice with a loss for each row, and the scale as its logarithm.
inline self_choice of_each_row(self_loss which) {
  self_choice c{.which = which, .log_scale = true};
  c.reduction = culoss::reduction::none;
  return c;
}

}  // namespace culoss_test
