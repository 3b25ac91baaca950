// NT-Xent and the supervised contrastive loss where results are known in closed form, and on inputs
// that break a naive implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/cases/self_similarity_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

class self_similarity_edge : public batch_fixture {
 protected:
  // The rows' losses are `expected`, within their bounds.
  void expect_losses(const self_choice& c, const self_numbers& p,
                     const std::vector<double>& expected) const {
    const expectation wanted = expect(c, p, GetParam())[0];
    const results r = run_here(c, p);
    ASSERT_EQ(expected.size(), r["loss"].size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(r["loss"][i], expected[i], wanted.bounds[i]) << describe(c, p) << " row " << i;
    }
  }
};

self_numbers numbers_of(element type, std::int64_t dimension, std::vector<double> z, double scale) {
  self_numbers p;
  p.type = type;
  p.dimension = dimension;
  p.rows = static_cast<std::int64_t>(z.size()) / dimension;
  p.z = std::move(z);
  p.scale = static_cast<float>(scale);
  p.labels.resize(static_cast<std::size_t>(p.rows));
  p.ids = p.labels;
  return p;
}

// Row i of the unit matrix, for row i of `which`.
std::vector<double> unit_rows(const std::vector<std::int64_t>& which, std::int64_t dimension) {
  std::vector<double> z(which.size() * static_cast<std::size_t>(dimension));
  for (std::size_t i = 0; i < which.size(); ++i) {
    z[i * static_cast<std::size_t>(dimension) + static_cast<std::size_t>(which[i])] = 1;
  }
  return z;
}

TEST_P(self_similarity_edge, one_item_has_no_loss) {
  for (const element type : device_elements()) {
    const self_numbers p = numbers_of(type, 3, {1, 2, 3, -1, 0.5, 2}, 0.5);
    const results r = run_here(of_each_row(self_loss::nt_xent), p);
    EXPECT_THAT(r["loss"], ::testing::ElementsAre(0, 0));
    EXPECT_THAT(r["grad_embeddings"], ::testing::Each(0.0));
    EXPECT_EQ(r["grad_scale"], std::vector<double>{0});
    EXPECT_EQ(r["correct"], std::vector<double>{2});
    EXPECT_EQ(r["rows_counted"], std::vector<double>{2});
  }
}

TEST_P(self_similarity_edge, one_row_or_distinct_labels_have_no_loss) {
  for (const std::int64_t rows : {1, 2, 40}) {
    for (const bool nan : {false, true}) {
      self_choice c{.which = self_loss::sup_con};
      c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
      self_numbers p = make_self(c, {.rows = rows, .dimension = 7});
      std::iota(p.labels.begin(), p.labels.end(), -3);
      const double nothing = nan ? std::nan("") : 0;
      const results r = run_here(c, p);
      for (const char* name : {"loss", "grad_embeddings", "grad_scale"}) {
        for (const double v : r[name]) EXPECT_TRUE(same_bits(v, nothing)) << name << " " << v;
      }
      EXPECT_EQ(r["rows_counted"], std::vector<double>{0});
      c.reduction = culoss::reduction::none;
      const results each = run_here(c, p);
      EXPECT_THAT(each["loss"], ::testing::Each(0.0));
      EXPECT_THAT(each["grad_embeddings"], ::testing::Each(0.0));
      EXPECT_EQ(each["grad_scale"], std::vector<double>{0});
    }
  }
}

// All labels equal: P_i is everything else, and the loss is lse - mean, whose gradient is that of a
// softmax towards the uniform distribution.
TEST_P(self_similarity_edge, one_label_alone_is_a_softmax_towards_the_uniform) {
  self_choice c = of_each_row(self_loss::sup_con);
  for (const element type : device_elements()) {
    const self_numbers p = make_self(c, {.type = type, .rows = 70, .dimension = 9, .labels = 1});
    expect_correct(c, p);
    EXPECT_EQ(run_here(c, p)["rows_counted"], std::vector<double>{70});
  }
  // Equal vectors: log(M - 1), and no gradient but of rounding.
  const self_numbers p =
      numbers_of(element::float32, 4, std::vector<double>(4 * 50, 1.0), std::log(10.0));
  expect_losses(c, p, std::vector<double>(50, std::log(49.0)));
  expect_correct(c, p);
}

// M - 1 equal similarities: log(M - 1). A vector's with itself would be one more.
TEST_P(self_similarity_edge, a_row_is_not_compared_with_itself) {
  for (const self_loss which : kSelfLosses) {
    for (const std::int64_t rows : {4, 34, 128}) {
      const self_choice c = of_each_row(which);
      self_numbers p =
          numbers_of(element::float32, 4,
                     std::vector<double>(static_cast<std::size_t>(4 * rows), 1.0), std::log(10.0));
      for (std::size_t i = 0; i < p.labels.size(); ++i) {
        p.labels[i] = static_cast<std::int64_t>(i) % (rows / 2);
      }
      expect_losses(c, p,
                    std::vector<double>(static_cast<std::size_t>(rows),
                                        std::log(static_cast<double>(rows - 1))));
      // Ties go to the lowest row: the first one of all, and the second one's is the first.
      if (which == self_loss::nt_xent) {
        EXPECT_EQ(run_here(c, p)["correct"], std::vector<double>{1});
      }
    }
  }
  // Were a row its own neighbor, exp(100) would be its largest.
  const self_choice c = of_each_row(self_loss::nt_xent);
  std::vector<std::int64_t> each(8);
  std::iota(each.begin(), each.end(), 0);
  expect_losses(c, numbers_of(element::float32, 8, unit_rows(each, 8), std::log(80.0)),
                std::vector<double>(8, std::log(7.0)));
}

// Row 0 is as similar to row 1 as to its other view, row 3, which is not as similar to row 1; row 4
// is as similar to rows 0 and 3 as to its own.
TEST_P(self_similarity_edge, ties_go_to_the_lowest_row) {
  self_choice c = of_each_row(self_loss::nt_xent);
  c.normalize = false;
  const std::vector<double> z = {1, 0, 0, 1, -1, 0, 0, 0, -5, 1, 1, 0, 0, 0, 5, 0, 0, -5};
  EXPECT_EQ(run_here(c, numbers_of(element::float32, 3, z, 0))["correct"], std::vector<double>{3});
}

// The two views are the same unit vector, all others orthogonal: log(1 + (M - 2) exp(-s)).
TEST_P(self_similarity_edge, equal_views_of_orthogonal_items_have_a_closed_form) {
  constexpr std::int64_t kItems = 40;
  std::vector<std::int64_t> each(2 * kItems);
  for (std::size_t i = 0; i < each.size(); ++i) each[i] = static_cast<std::int64_t>(i) % kItems;
  for (const self_loss which : kSelfLosses) {
    for (const double scale : {1.0, 14.0, 80.0}) {
      const self_choice c = of_each_row(which);
      self_numbers p =
          numbers_of(element::float32, kItems, unit_rows(each, kItems), std::log(scale));
      p.labels = each;
      const double given = std::exp(static_cast<double>(p.scale));
      const double loss = std::log1p((2 * kItems - 2) * std::exp(-given));
      expect_losses(c, p, std::vector<double>(2 * kItems, loss));
      if (which == self_loss::nt_xent) {
        EXPECT_EQ(run_here(c, p)["correct"], std::vector<double>{2 * kItems});
      }
      expect_correct(c, p);
    }
  }
}

// Classes of k equal vectors, orthogonal to all others: log(k - 1 + (M - k) exp(-s)).
TEST_P(self_similarity_edge, classes_of_equal_vectors_have_a_closed_form) {
  constexpr std::int64_t kClasses = 12;
  std::vector<std::int64_t> each;
  for (std::int64_t k = 0; k < kClasses; ++k) {
    each.insert(each.end(), static_cast<std::size_t>(1 + 3 * (k % 4)), k);
  }
  const self_choice c = of_each_row(self_loss::sup_con);
  for (const double scale : {3.0, 60.0}) {
    self_numbers p =
        numbers_of(element::float32, kClasses, unit_rows(each, kClasses), std::log(scale));
    p.labels = each;
    const double given = std::exp(static_cast<double>(p.scale));
    std::vector<double> losses;
    std::int64_t counted = 0;
    for (const std::int64_t k : each) {
      const double same = static_cast<double>(3 * (k % 4));
      const double rest = static_cast<double>(each.size()) - 1 - same;
      losses.push_back(same == 0 ? 0 : std::log(same + rest * std::exp(-given)));
      counted += same > 0 ? 1 : 0;
    }
    expect_losses(c, p, losses);
    expect_correct(c, p);
    EXPECT_EQ(run_here(c, p)["rows_counted"][0], counted);
  }
}

// With the other view as the only positive the supervised loss is NT-Xent.
TEST_P(self_similarity_edge, one_positive_a_row_is_nt_xent) {
  for (const element type : device_elements()) {
    const self_choice pairs = of_each_row(self_loss::nt_xent);
    self_choice labels = pairs;
    labels.which = self_loss::sup_con;
    self_numbers p = make_self(pairs, {.type = type, .rows = 150, .dimension = 20});
    for (std::size_t i = 0; i < 150; ++i) {
      p.labels[i] = (static_cast<std::int64_t>(i) % 75) * 1000003 - 7;
    }
    const results r = run_here(labels, p);
    for (const expectation& e : expect(pairs, p, GetParam())) {
      if (e.name == "correct") continue;
      EXPECT_TRUE(compare({e.name, r[e.name]}, e).ok()) << e.name;
    }
  }
}

// Losses of 1e-10, whose gradients are a difference of ones unless they are kept relatively exact.
TEST_P(self_similarity_edge, converged_batches_keep_relative_accuracy) {
  for (const self_loss which : kSelfLosses) {
    for (const element type : device_elements()) {
      const self_choice c = of_each_row(which);
      constexpr std::int64_t kItems = 40;
      std::vector<std::int64_t> each(2 * kItems);
      for (std::size_t i = 0; i < each.size(); ++i) each[i] = static_cast<std::int64_t>(i) % kItems;
      std::vector<double> z = unit_rows(each, kItems);
      random_numbers random(3);
      for (double& v : z) v = round_to(type, v + 0.02 * random.normal());
      self_numbers p = numbers_of(type, kItems, z, std::log(30.0));
      p.labels = each;
      expect_correct(c, p);
      const expectation loss = expect(c, p, GetParam())[0];
      for (std::size_t i = 0; i < loss.values.size(); ++i) {
        EXPECT_LT(loss.values[i], 1e-9);
        EXPECT_LT(loss.bounds[i], 1e-3 * loss.values[i]);  // the bound asks for it
      }
    }
  }
}

// Similarities near -100 and near +100 for all pairs: any statistic that is not shifted loses them.
TEST_P(self_similarity_edge, similarities_may_all_be_near_100) {
  for (const self_loss which : kSelfLosses) {
    for (const element type : device_elements()) {
      self_choice c = of_each_row(which);
      self_numbers p = make_self(c, {.type = type, .rows = 66, .dimension = 32});
      p.scale = static_cast<float>(std::log(100.0));
      for (std::size_t i = 0; i < p.z.size(); ++i) {
        p.z[i] = round_to(type, i % 32 == 0 ? 8 : 0.25 * p.z[i]);
      }
      expect_correct(c, p);
    }
  }
}

// Positives at the bottom of their rows, others at the top, and classes far from each other: states
// whose shifts differ by more than an exponential can hold.
TEST_P(self_similarity_edge, positives_may_be_the_least_similar) {
  for (const self_loss which : kSelfLosses) {
    for (const bool normalize : {false, true}) {
      self_choice c = of_each_row(which);
      c.normalize = normalize;
      self_numbers p = make_self(c, {.rows = 130, .dimension = 16, .labels = 5});
      p.scale = static_cast<float>(std::log(normalize ? 150.0 : 40.0));
      for (std::size_t i = 0; i < p.z.size(); ++i) {
        const std::size_t row = i / 16;
        if (row % 3 == 0) p.z[i] = -p.z[i];
        if (row % 7 == 0) p.z[i] *= 4;
      }
      expect_correct(c, p);
    }
  }
}

TEST_P(self_similarity_edge, labels_are_compared_in_their_own_width) {
  self_choice c = of_each_row(self_loss::sup_con);
  c.wide_labels = true;
  self_numbers p = make_self(c, {.rows = 60, .dimension = 8, .labels = 6});
  self_choice narrow = c;
  narrow.wide_labels = false;
  const results same = run_here(narrow, p);
  EXPECT_EQ(difference(run_here(c, p).outputs, same.outputs), "");
  // They differ beyond their lower 32 bits alone.
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    p.labels[i] = (static_cast<std::int64_t>(i % 6) << 32) + 5;
  }
  expect_correct(c, p);
  EXPECT_EQ(run_here(c, p)["rows_counted"][0], 60);
  const std::vector<double> apart = run_here(c, p)["loss"];
  std::fill(p.labels.begin(), p.labels.end(), 5);
  EXPECT_NE(run_here(c, p)["loss"], apart);
  // The ends of the types are labels too.
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    p.labels[i] = i % 2 == 0 ? INT64_MIN : INT64_MAX;
  }
  expect_correct(c, p);
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    p.labels[i] = i % 2 == 0 ? INT32_MIN : INT32_MAX;
  }
  expect_correct(narrow, p);
}

// Copies of the batch, told apart by their ids alone: the batch without copies, but for the other
// pairs' weight.
TEST_P(self_similarity_edge, ids_take_copies_out_of_the_denominator) {
  self_choice c = of_each_row(self_loss::nt_xent);
  constexpr std::int64_t kItems = 20, kCopies = 3, kDimension = 10;
  const self_numbers once = make_self(c, {.rows = 2 * kItems, .dimension = kDimension});
  self_numbers p = once;
  p.rows = kCopies * 2 * kItems;
  p.z.clear(), p.ids.clear();
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t copy = 0; copy < kCopies; ++copy) {
      const auto first = once.z.begin() + view * kItems * kDimension;
      p.z.insert(p.z.end(), first, first + kItems * kDimension);
      // They differ beyond their lower 32 bits alone.
      for (std::int64_t i = 0; i < kItems; ++i) p.ids.push_back(((i - 7) << 32) + 5);
    }
  }
  c.masked = true;
  // exp(l) of every other pair stands there kCopies times: log(1 + kCopies (exp(loss) - 1)).
  const std::vector<double> single =
      expect(of_each_row(self_loss::nt_xent), once, GetParam())[0].values;
  std::vector<double> losses;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const std::int64_t of = i / (kCopies * kItems) * kItems + i % kItems;
    losses.push_back(std::log1p(kCopies * std::expm1(single[static_cast<std::size_t>(of)])));
  }
  expect_losses(c, p, losses);
  expect_correct(c, p);
  // All ids equal: no negative at all.
  std::fill(p.ids.begin(), p.ids.end(), -5);
  const results r = run_here(c, p);
  for (const char* name : {"loss", "grad_embeddings", "grad_scale"}) {
    EXPECT_THAT(r[name], ::testing::Each(0.0)) << name;
  }
}

TEST_P(self_similarity_edge, items_may_come_in_any_order) {
  for (const self_loss which : kSelfLosses) {
    const self_choice c = of_each_row(which);
    constexpr std::int64_t kRows = 154, kItems = kRows / 2, kDimension = 20;
    const self_numbers p = make_self(c, {.rows = kRows, .dimension = kDimension});
    self_numbers mixed = p;
    std::vector<std::size_t> order;
    for (std::int64_t i = 0; i < kRows; ++i) {
      // Items change places, and so do the two views.
      const std::int64_t item = i % kItems * 30 % kItems, view = 1 - i / kItems;
      order.push_back(static_cast<std::size_t>(view * kItems + item));
    }
    for (std::size_t i = 0; i < order.size(); ++i) {
      mixed.labels[i] = p.labels[order[i]];
      for (std::size_t d = 0; d < kDimension; ++d) {
        mixed.z[i * kDimension + d] = p.z[order[i] * kDimension + d];
      }
    }
    std::vector<expectation> wanted = expect(c, p, GetParam());
    for (expectation& e : wanted) {
      const expectation before = e;
      const std::size_t width = e.values.size() / kRows;
      for (std::size_t i = 0; i < e.values.size() && width > 0; ++i) {
        const std::size_t from = order[i / width] * width + i % width;
        e.values[i] = before.values[from];
        e.bounds[i] = before.bounds[from];
      }
    }
    EXPECT_EQ(complaint(run_here(c, mixed), wanted), "") << name_of(which);
  }
}

// |z| does not matter where z is normalized, so <dz, z> = 0: within the sum of the bounds. Where it
// is not, the sum over all rows is twice the gradient of the log-scale.
TEST_P(self_similarity_edge, gradients_along_the_embeddings_are_those_of_their_lengths) {
  for (const self_loss which : kSelfLosses) {
    for (const bool normalize : {true, false}) {
      self_choice c = of_each_row(which);
      c.normalize = normalize;
      const self_numbers p = make_self(c, {.rows = 50, .dimension = 30});
      const results r = run_here(c, p);
      double all = 0, of_all = 0;
      for (const expectation& e : expect(c, p, GetParam())) {
        if (e.name == "grad_scale") of_all += 2 * e.bounds[0];
        if (e.name != "grad_embeddings") continue;
        for (std::size_t i = 0; i < p.z.size(); i += 30) {
          double along = 0, bound = 0;
          for (std::size_t d = i; d < i + 30; ++d) {
            along += r[e.name][d] * p.z[d];
            bound += e.bounds[d] * std::fabs(p.z[d]);
          }
          if (normalize) {
            EXPECT_LE(std::fabs(along), bound) << i;
          }
          all += along;
          of_all += bound;
        }
      }
      if (normalize) continue;
      EXPECT_NE(all, 0);
      EXPECT_LE(std::fabs(all - 2 * r["grad_scale"][0]), of_all) << name_of(which);
    }
  }
}

// Float means float products: with TF32 the same call breaks its bound.
TEST_P(self_similarity_edge, tf32_is_only_used_where_it_is_allowed) {
  if (GetParam() == space::cpu) GTEST_SKIP() << "the CPU has no TF32";
  for (const self_loss which : kSelfLosses) {
    self_choice c = of_each_row(which);
    const self_numbers p = make_self(c, {.rows = 64, .dimension = 64});
    const std::vector<expectation> wanted = expect(c, p);
    EXPECT_EQ(complaint(run_here(c, p), wanted), "");
    c.allow_tf32 = true;
    const results fast = run_here(c, p);
    for (const expectation& e : wanted) {
      if (e.name != "loss" && e.name.find("grad_") != 0) continue;
      EXPECT_FALSE(compare({e.name, fast[e.name]}, e).ok()) << e.name;
    }
  }
}

// Rows of very different lengths, whose squares alone are no floats.
TEST_P(self_similarity_edge, short_rows_meet_long_ones) {
  for (const self_loss which : kSelfLosses) {
    for (const element type : {element::float32, element::bfloat16}) {
      const self_choice c = of_each_row(which);
      self_numbers p = make_self(c, {.type = type, .rows = 40, .dimension = 24});
      for (std::size_t i = 0; i < p.z.size(); ++i) p.z[i] *= i / 24 % 2 == 0 ? 0x1p-30 : 0x1p30;
      expect_correct(c, p);
    }
  }
}

CULOSS_ON_EACH_SPACE(self_similarity_edge);

}  // namespace
}  // namespace culoss_test
