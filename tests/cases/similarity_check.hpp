// Inputs for the losses over similarities, and the check of a call against its expectation.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/cases/similarity_expected.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {

struct similarity_input {
  element type = element::float32;
  std::int64_t rows = 0, keys = 0, negatives = 0, dimension = 0, offset = 0;
  std::uint64_t seed = 1;
  std::int64_t of_a_row = 0;
};

// Normal embeddings, each positive half its query; few ids, so that each masks some others. The
// scale makes similarities of a few units.
inline similarity_numbers make_similarity(const similarity_choice& c, const similarity_input& in) {
  similarity_numbers p;
  p.type = in.type;
  p.rows = in.rows;
  p.keys = in.keys;
  p.negatives = in.negatives;
  p.dimension = in.dimension;
  p.offset = in.offset;
  p.of_a_row = in.of_a_row;
  random_numbers random(in.seed);
  const auto fill = [&](std::vector<double>& x, std::int64_t rows) {
    x.resize(static_cast<std::size_t>(rows * in.dimension));
    for (double& v : x) v = round_to(in.type, random.normal());
  };
  fill(p.q, in.rows);
  fill(p.k, in.keys);
  fill(p.n, in.negatives);
  for (std::int64_t i = 0; i < in.rows * in.dimension; ++i) {
    double& key = p.k[static_cast<std::size_t>(i + in.offset * in.dimension)];
    key = round_to(in.type, 0.5 * (p.q[static_cast<std::size_t>(i)] + key));
  }
  random_numbers of_rows(in.seed + 200);
  p.own.resize(static_cast<std::size_t>(in.rows * in.of_a_row * in.dimension));
  for (double& v : p.own) v = round_to(in.type, of_rows.normal());
  const auto identify = [&](std::vector<std::int64_t>& ids, std::int64_t rows) {
    for (std::int64_t i = 0; i < rows; ++i) {
      ids.push_back(random.below(in.rows / 3 + 2) + (std::int64_t{1} << 40));
    }
  };
  identify(p.query_ids, in.rows);
  identify(p.key_ids, in.keys);
  identify(p.negative_ids, in.negatives);
  // A fourth of the columns, positives among them, and all of one row; any byte but 0 masks.
  random_numbers bytes(in.seed + 100);
  for (std::int64_t i = 0; i < in.rows; ++i) {
    for (std::int64_t j = 0; j < p.all_columns(); ++j) {
      const std::int64_t byte = bytes.below(4) == 0 || i == in.rows / 2 ? 1 + bytes.below(255) : 0;
      p.mask.push_back(static_cast<std::uint8_t>(byte));
    }
  }
  for (std::int64_t i = 0; i < in.rows; ++i) {
    p.row_weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
    p.upstream_rows.push_back(static_cast<float>(2 * random.normal()));
  }
  const double temperature = c.normalize ? 0.07 : std::sqrt(static_cast<double>(in.dimension)) / 3;
  p.scale = static_cast<float>(c.log_scale ? -std::log(temperature) : temperature);
  p.upstream = 0.7f;
  p.normalizer = 37.5f;
  return p;
}

inline std::string describe(const similarity_choice& c, const similarity_numbers& p) {
  const auto text = [](std::int64_t n) { return std::to_string(n); };
  return std::string(c.symmetric ? "clip" : "info_nce") + ", " + format_of(p.type).name + " " +
         text(p.rows) + " x (" + text(p.keys) + " + " + text(p.negatives) + " + " +
         text(p.of_a_row) + ") x " + text(p.dimension) + ", offset " + text(p.offset) +
         (c.normalize ? ", normalize" : "") + (c.in_batch ? "" : ", not in_batch") +
         (c.masked ? ", masked" : "") + (c.mask ? ", mask" : "") + ", margin " +
         std::to_string(c.margin) + (c.log_scale ? ", log_scale" : "") + (c.wide ? ", wide" : "") +
         (c.accumulate ? ", accumulate" : "") +
         (c.plan != culoss::similarity_plan::automatic
              ? ", plan " + text(static_cast<std::int64_t>(c.plan))
              : "") +
         (c.row_weights ? ", row_weights" : "") + ", reduction " +
         text(static_cast<int>(c.reduction)) + ", upstream " + text(static_cast<int>(c.upstream)) +
         ", normalizer " + text(static_cast<int>(c.normalizer));
}

// A choice with a loss for each row, and the scale as its logarithm.
inline similarity_choice of_each_row(bool symmetric) {
  similarity_choice c{.symmetric = symmetric, .log_scale = true};
  c.reduction = culoss::reduction::none;
  return c;
}

// Calls on one execution space that must come back whole.
class similarity_fixture : public batch_fixture {
 protected:
  // All values are `expected`, within the bounds that an expectation of them has.
  static void expect_near(const std::vector<double>& values, double expected,
                          const expectation& bounds) {
    ASSERT_EQ(values.size(), bounds.bounds.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(values[i], expected, bounds.bounds[i]) << i;
    }
  }
};

}  // namespace culoss_test
