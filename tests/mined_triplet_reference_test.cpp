// Triplets mined in the batch, on the CPU: values by hand for each rule, gradients against a complex
// step through the loss, options and the threads that it runs on.
#include <gtest/gtest.h>

#include <complex>

#include "host/reference/mined_triplet.hpp"
#include "tests/cases/mined_triplet_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

using culoss::mining_rule;
using culoss::reduction;
using culoss::triplet_distance;
using ::testing::Test;

results on_cpu(const mined_choice& c, const mined_numbers& p) {
  results r = run(c, p, {.where = space::cpu});
  EXPECT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(r.damage, "");
  return r;
}

// On a line: classes 1 at 0, 1 and 5, class 2 at 2 and 9.
mined_numbers on_a_line() {
  mined_numbers p;
  p.type = element::float64;
  p.rows = 5;
  p.dimension = 1;
  p.x = {0, 1, 5, 2, 9};
  p.labels = {1, 1, 1, 2, 2};
  return p;
}
mined_choice unreduced(mining_rule rule, triplet_distance distance, float margin) {
  mined_choice c{.rule = rule, .distance = distance, .margin = margin};
  c.reduction = reduction::none;
  return c;
}

TEST(mined_triplet_reference, batch_hard_by_hand) {
  const results r =
      on_cpu(unreduced(mining_rule::batch_hard, triplet_distance::euclidean, 0.5f), on_a_line());
  // farthest positive, nearest negative: 5-2, 4-1, 5-3, 7-1, 7-4
  EXPECT_EQ(r["loss"], (std::vector<double>{3.5, 3.5, 2.5, 6.5, 3.5}));
  EXPECT_EQ(r["positives"], (std::vector<double>{2, 2, 0, 4, 3}));
  EXPECT_EQ(r["negatives"], (std::vector<double>{3, 3, 3, 1, 2}));
  EXPECT_EQ(r["rows_counted"][0], 5);
  // Each pair pushes or pulls its two ends by 1: d(0,2) twice, d(0,3), d(1,2), d(1,3) twice,
  // d(2,3), d(3,4) twice, d(2,4).
  EXPECT_EQ(r["gradient"], (std::vector<double>{-2 + 1, -1 + 2, 3 - 1 + 1, -1 - 2 + 1 - 2, 2 - 1}));
}

TEST(mined_triplet_reference, semi_hard_by_hand) {
  mined_numbers p = on_a_line();
  const mined_choice c = unreduced(mining_rule::semi_hard, triplet_distance::euclidean, 2);
  // Farther than the farthest positive, by less than 2: of 0 (5) none; of 1 (4) none; of 5 (5)
  // none; of 2 (7) none; of 9 (7): 8 and 9, and 9 < 7 + 2 does not hold.
  results r = on_cpu(c, p);
  EXPECT_EQ(r["loss"], (std::vector<double>{0, 0, 0, 0, 1}));
  EXPECT_EQ(r["positives"], (std::vector<double>{-1, -1, -1, -1, 3}));
  EXPECT_EQ(r["negatives"], (std::vector<double>{-1, -1, -1, -1, 1}));
  EXPECT_EQ(r["rows_counted"][0], 1);
  EXPECT_EQ(r["gradient"], (std::vector<double>{0, 1, 0, -1, 1 - 1}));
  mined_choice mean = c;
  mean.reduction = reduction::mean;
  EXPECT_EQ(on_cpu(mean, p)["loss"][0], 1);
}

TEST(mined_triplet_reference, batch_all_by_hand) {
  const mined_numbers p = on_a_line();
  mined_choice c = unreduced(mining_rule::batch_all, triplet_distance::euclidean, 1);
  // Of 0: p at 1 and 5, n at 2 and 9: 1-2+1 = 0, < 0, 5-2+1 = 4, < 0.
  // Of 1: p at 1 and 4, n at 1 and 8: 1, < 0, 4, < 0.  Of 5: p at 5 and 4, n at 3 and 4: 3 2 2 1.
  // Of 2: p at 7, n at 2, 1, 3: 6 7 5.                 Of 9: p at 7, n at 9, 8, 4: < 0, 0, 4.
  const results r = on_cpu(c, p);
  EXPECT_EQ(r["loss"], (std::vector<double>{4, 5, 8, 18, 4}));
  EXPECT_EQ(r["rows_counted"][0], 1 + 2 + 4 + 3 + 1);
  c.reduction = reduction::mean;
  EXPECT_DOUBLE_EQ(on_cpu(c, p)["loss"][0], 39.0 / 11);
  c.reduction = reduction::sum;
  EXPECT_EQ(on_cpu(c, p)["loss"][0], 39);
  c.soft_margin = true;  // all count: 3 anchors of 2 x 2, 2 of 1 x 3
  EXPECT_EQ(on_cpu(c, p)["rows_counted"][0], 18);
}

TEST(mined_triplet_reference, distances_by_hand) {
  mined_numbers p;
  p.type = element::float64;
  p.rows = 3;
  p.dimension = 2;
  p.x = {3, 0, 0, 4, -2, 0};
  p.labels = {7, 7, 8};
  const auto loss = [&p](triplet_distance d) {
    return on_cpu(unreduced(mining_rule::batch_hard, d, 3), p)["loss"];
  };
  EXPECT_EQ(loss(triplet_distance::euclidean)[0], 5 - 5 + 3);
  EXPECT_EQ(loss(triplet_distance::squared_euclidean)[0], 25 - 25 + 3);
  EXPECT_EQ(loss(triplet_distance::squared_euclidean)[1], 25 - 20 + 3);
  EXPECT_EQ(loss(triplet_distance::cosine)[0], 1 - 2 + 3);
  EXPECT_EQ(loss(triplet_distance::cosine)[1], 1 - 1 + 3);
}

TEST(mined_triplet_reference, soft_margin_by_hand) {
  mined_choice c = unreduced(mining_rule::batch_hard, triplet_distance::euclidean, 0);
  c.soft_margin = true;
  const results r = on_cpu(c, on_a_line());
  EXPECT_DOUBLE_EQ(r["loss"][0], std::log1p(std::exp(3.0)));
  EXPECT_DOUBLE_EQ(r["loss"][2], std::log1p(std::exp(2.0)));
}

TEST(mined_triplet_reference, options_by_hand) {
  mined_numbers p = on_a_line();
  p.row_weights = {1, 2, 0, 4, 0.5f};
  p.upstream_rows = {1, -1, 3, 0.5f, 2};
  mined_choice c = unreduced(mining_rule::batch_hard, triplet_distance::euclidean, 0.5f);
  const std::vector<double> plain = on_cpu(c, p)["loss"];
  c.row_weights = true;
  const std::vector<double> weighted = on_cpu(c, p)["loss"];
  double sum = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(weighted[i], plain[i] * static_cast<double>(p.row_weights[i]));
    sum += weighted[i];
  }
  c.reduction = reduction::mean;
  EXPECT_DOUBLE_EQ(on_cpu(c, p)["loss"][0], sum / 5);  // weights are no part of the divisor
  c.normalizer = source::device;
  p.normalizer = 8;
  EXPECT_DOUBLE_EQ(on_cpu(c, p)["loss"][0], sum / 8);
  c.reduction = reduction::sum;
  EXPECT_DOUBLE_EQ(on_cpu(c, p)["loss"][0], sum / 8);
  // An ignored row is neither anchor nor candidate, whatever it holds.
  c = unreduced(mining_rule::batch_hard, triplet_distance::euclidean, 0.5f);
  p.labels[3] = p.ignore_index;
  p.x[3] = std::nan("");
  const results r = on_cpu(c, p);
  EXPECT_EQ(r["loss"], (std::vector<double>{0, 0, 1.5, 0, 0}));  // 5 - 4 of the third
  EXPECT_EQ(r["rows_counted"][0], 3);
}

// The loss as a function of the embeddings, with the triplets that stay as they were chosen.
std::complex<double> loss_of(const mined_choice& c, const mined_numbers& p, const results& chosen,
                             const std::vector<std::complex<double>>& x) {
  using complex = std::complex<double>;
  const bool cosine = c.distance == triplet_distance::cosine;
  std::vector<complex> units = x;
  const auto dimension = static_cast<std::size_t>(p.dimension);
  // The class of the reference knows complex numbers only by their real parts where it scales.
  for (std::size_t i = 0; cosine && i < p.labels.size(); ++i) {
    complex norm = 0;
    for (std::size_t d = 0; d < dimension; ++d) norm += x[i * dimension + d] * x[i * dimension + d];
    for (std::size_t d = 0; d < dimension; ++d) units[i * dimension + d] /= std::sqrt(norm);
  }
  const culoss::reference::embeddings<complex> rows(units, dimension, false);
  const auto distance = [&](std::size_t i, std::size_t j) {
    return culoss::reference::distance<complex>(c.distance, rows, i, j);
  };
  complex sum = 0;
  for (std::size_t a = 0; a < p.labels.size(); ++a) {
    const double by =
        static_cast<double>(p.row_weights[a]) * static_cast<double>(p.upstream_rows[a]);
    const auto add = [&](std::size_t positive, std::size_t negative) {
      const complex z =
          distance(a, positive) - distance(a, negative) + static_cast<double>(c.margin);
      sum += by * culoss::reference::triplet_loss<complex>(c.soft_margin, z);
    };
    if (!c.all()) {
      if (chosen["positives"][a] < 0) continue;
      add(static_cast<std::size_t>(chosen["positives"][a]),
          static_cast<std::size_t>(chosen["negatives"][a]));
      continue;
    }
    for (std::size_t i = 0; i < p.labels.size(); ++i) {
      for (std::size_t j = 0; j < p.labels.size(); ++j) {
        const bool counts = i != a && p.labels[a] != p.ignore_index &&
                            p.labels[j] != p.ignore_index && p.labels[i] == p.labels[a] &&
                            p.labels[j] != p.labels[a];
        if (counts) add(i, j);
      }
    }
  }
  return sum;
}

TEST(mined_triplet_reference, gradients_are_those_of_a_complex_step) {
  constexpr double kStep = 0x1p-200;
  for (const mining_rule rule : kMiningRules) {
    for (const triplet_distance distance : kTripletDistances) {
      for (const bool soft : {false, true}) {
        mined_choice c = unreduced(rule, distance, distance == triplet_distance::cosine ? 0.3f : 2);
        c.soft_margin = soft;
        c.row_weights = true;
        c.upstream = source::rows;
        const mined_numbers p =
            make_mined(c, {.type = element::float64, .rows = 14, .dimension = 4, .classes = 6});
        const results r = on_cpu(c, p);
        double largest = 0;
        for (std::size_t k = 0; k < p.x.size(); ++k) {
          std::vector<std::complex<double>> x(p.x.begin(), p.x.end());
          x[k] += std::complex<double>(0, kStep);
          const double exact = loss_of(c, p, r, x).imag() / kStep;
          // 14^3 terms at the most, each with a few dozen roundings of numbers of a few units.
          EXPECT_NEAR(r["gradient"][k], exact, 14 * 14 * 14 * 64 * 0x1p-53) << describe(c, p);
          largest = std::max(largest, std::fabs(exact));
        }
        EXPECT_GT(largest, 0.01) << describe(c, p);
      }
    }
  }
}

TEST(mined_triplet_reference, has_the_same_bits_on_any_number_of_threads) {
  for (const mining_rule rule : kMiningRules) {
    const mined_choice c{.rule = rule};
    const mined_numbers p = make_mined(c, {.rows = 90, .dimension = 40, .classes = 30});
    std::vector<float> x(p.x.begin(), p.x.end());
    std::vector<float> first;
    for (const int threads : {1, 2, 5}) {
      std::vector<float> gradient(x.size()), loss(1);
      const culoss::status s = culoss::mined_triplet(
          culoss::cpu{.threads = threads}, culoss::matrix<const float>(x.data(), 90, 40),
          culoss::vector<const std::int64_t>(p.labels.data(), 90),
          {.loss = {loss.data(), 1},
           .grad_embeddings = culoss::matrix<float>(gradient.data(), 90, 40)},
          {.rule = rule});
      ASSERT_TRUE(s.ok()) << s.message();
      gradient.push_back(loss[0]);
      if (threads == 1) first = gradient;
      EXPECT_EQ(gradient, first);
    }
  }
}

}  // namespace
}  // namespace culoss_test
