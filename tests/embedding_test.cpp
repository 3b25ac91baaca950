// What is special to losses of two or three embeddings: labels of pairs, zero vectors, distances of
// 0, kinks and ties, embeddings of any size, nearly parallel and nearly equal ones, rows that are
// not finite.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/special_rows.hpp"

namespace culoss_test {
namespace {

using enum embedding_function;

embedding_choice of_rows(embedding_choice c) {
  c.reduction = culoss::reduction::none;
  return c;
}
embedding_choice triplet_of(culoss::triplet_distance distance, float margin, bool swap = false) {
  embedding_choice c(triplet);
  c.name = "triplet_of_" + std::to_string(static_cast<int>(distance)) + (swap ? "_swap" : "");
  c.distance = distance;
  c.margin = margin;
  c.swap = swap;
  return of_rows(c);
}
constexpr culoss::triplet_distance kDistances[] = {culoss::triplet_distance::euclidean,
                                                   culoss::triplet_distance::squared_euclidean,
                                                   culoss::triplet_distance::cosine};

// All choices of a loss of rows.
std::vector<embedding_choice> row_choices() {
  std::vector<embedding_choice> all = {of_rows(embedding_choice(cosine_embedding)),
                                       of_rows(embedding_choice(contrastive))};
  for (const auto d : kDistances) {
    for (const bool swap : {false, true}) all.push_back(triplet_of(d, 1, swap));
  }
  return all;
}

class embedding : public on_each_space {
 protected:
  // Rows of a few elements each, in as many columns as asked for: the rest is 0.
  using rows = std::vector<std::vector<double>>;
  static problem problem_of(const embedding_case& c, element type, std::int64_t cols,
                            const std::vector<rows>& x, const std::vector<std::int64_t>& labels) {
    const auto n = static_cast<std::int64_t>(x[0].size());
    problem p = c.make({.type = type, .rows = n, .cols = cols, .seed = 61});
    for (std::vector<double>* const to : {&p.x, &p.g, &p.h}) {
      std::fill(to->begin(), to->end(), 0.0);
    }
    for (std::size_t k = 0; k < x.size(); ++k) {
      std::vector<double>& to = k == 0 ? p.x : k == 1 ? p.g : p.h;
      for (std::size_t i = 0; i < x[k].size(); ++i) {
        for (std::size_t j = 0; j < x[k][i].size(); ++j) {
          to[i * static_cast<std::size_t>(cols) + j] = round_to(type, x[k][i][j]);
        }
      }
    }
    if (!labels.empty()) p.labels = labels;
    return p;
  }
  void check(const loss_case& c, const problem& p, const std::string& what = {}) {
    tally_.expect_correct(c, p, {.where = GetParam()}, c.modes(), what);
  }
  std::vector<output> outputs_of(const loss_case& c, const problem& p) {
    check(c, p);
    const results r = run(c, p, {.where = GetParam()});
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    return r.outputs;
  }
  static const std::vector<double>& values_of(const std::vector<output>& all,
                                              const std::string& name) {
    const output* o = find_output(all, name);
    if (o == nullptr) throw std::runtime_error(name + " is not there");
    return o->values;
  }
  // A row by a few lanes, by a warp, by a block.
  static std::vector<std::int64_t> widths() { return {3, 300, 5000}; }
  tally tally_;
};

TEST_P(embedding, follows_the_closed_form) {
  for (const std::int64_t cols : widths()) {
    const embedding_case cosines(of_rows(embedding_choice(cosine_embedding)));
    problem p = problem_of(cosines, element::float32, cols,
                           {{{3, 4}, {3, 4}, {1, 0}, {0, 2}}, {{4, 3}, {4, 3}, {-2, 0}, {5, 0}}},
                           {1, -1, 1, -1});
    std::vector<output> r = outputs_of(cosines, p);
    std::vector<double> loss = values_of(r, "loss"), dx = values_of(r, "grad_x1");
    EXPECT_EQ(loss[0], 0.04f);
    EXPECT_EQ(loss[1], 0.71f);
    EXPECT_EQ(loss[2], 2);
    EXPECT_EQ(loss[3], 0);
    EXPECT_FLOAT_EQ(static_cast<float>(dx[0]), static_cast<float>(-0.2 * (0.8 - 0.96 * 0.6)));
    EXPECT_EQ(dx[2 * static_cast<std::size_t>(cols)], 0);  // opposite: at its largest

    const embedding_case distances(of_rows(embedding_choice(contrastive)));
    p = problem_of(distances, element::float32, cols,
                   {{{1, 2}, {1, 2}, {1, 2}}, {{4, 6}, {1, 2.5}, {4, 6}}}, {1, 0, 0});
    r = outputs_of(distances, p);
    loss = values_of(r, "loss");
    dx = values_of(r, "grad_x1");
    EXPECT_EQ(loss, (std::vector<double>{25, 0.25, 0}));
    EXPECT_EQ(dx[0], -6);
    EXPECT_EQ(dx[1], -8);
    EXPECT_EQ(dx[static_cast<std::size_t>(cols) + 1], 1);  // -2 (1 - 1/2) (2 - 2.5) / (1/2)

    for (const bool swap : {false, true}) {
      const embedding_case triplets(triplet_of(culoss::triplet_distance::euclidean, 4, swap));
      p = problem_of(triplets, element::float32, cols, {{{0, 0}}, {{3, 4}}, {{3, 0}}}, {});
      p.h[0] = 6;
      p.h[1] = 4;  // |n| = sqrt 52, |p - n| = 3
      r = outputs_of(triplets, p);
      const double far = swap ? 3 : std::sqrt(52.0);
      EXPECT_FLOAT_EQ(static_cast<float>(values_of(r, "loss")[0]), static_cast<float>(9 - far));
      EXPECT_FLOAT_EQ(static_cast<float>(values_of(r, "grad_negatives")[0]),
                      static_cast<float>(swap ? -1 : -6 / far));
      EXPECT_FLOAT_EQ(static_cast<float>(values_of(r, "grad_positives")[1]), 0.8f);
    }
  }
}

// 1 and -1, or 1 and 0; what is neither is NaN and a fault, compared at its own width.
TEST_P(embedding, takes_two_labels_and_no_other) {
  constexpr std::int64_t kBeyond32 = (std::int64_t{1} << 32) + 1;
  for (const auto f : {cosine_embedding, contrastive}) {
    for (const bool wide : {true, false}) {
      for (const std::int64_t ignore : {std::int64_t{-100}, std::int64_t{1}, std::int64_t{2}}) {
        embedding_choice choice(f);
        choice.reduction = culoss::reduction::sum;
        choice.wide_labels = wide;
        choice.ignore_index = ignore;
        const embedding_case c(choice);
        for (const std::int64_t cols : {4, 70, 4500}) {
          problem p = c.make({.rows = 8, .cols = cols, .seed = 62});
          const std::int64_t bad = f == cosine_embedding ? 0 : -1;
          p.labels = {1, choice.unlike(), bad, 2, -100, wide ? kBeyond32 : 3, INT32_MIN, 1};
          p.row(4)[0] = ignore == -100 ? kNan : 1;  // not read
          check(c, p);
          const execution how{.where = GetParam(), .record_faults = true};
          const results r = run(c, p, how);
          // bad, 2, -100, 3 or beyond, the least; less the one that is ignored.
          EXPECT_EQ(r.faults.count, ignore == 1 ? 5u : 4u) << c.name();
          EXPECT_EQ(r.faults.first_row, 2);
          EXPECT_EQ(r.faults.label, bad);
          EXPECT_EQ(values_of(r.outputs, "rows_counted")[0], ignore == 1 ? 6 : 7);
          EXPECT_TRUE(std::isnan(values_of(r.outputs, "loss")[0]));
        }
      }
    }
  }
}

TEST_P(embedding, counts_and_sums_many_rows) {
  embedding_choice choice(contrastive);
  const embedding_case c(choice);
  problem p = c.make({.rows = 9000, .cols = 3, .seed = 63});
  check(c, p);
  for (const std::size_t row : {8999u, 8192u, 77u}) p.labels[row] = 5 + static_cast<int>(row);
  check(c, p);
  const results r = run(c, p, {.where = GetParam(), .record_faults = true});
  EXPECT_EQ(r.faults.count, 3u);
  EXPECT_EQ(r.faults.first_row, 77);
  EXPECT_EQ(r.faults.label, 82);
}

// A zero vector has cosine 0 with all others and no gradient; a distance of 0 has none either.
TEST_P(embedding, of_zero_vectors_and_distances) {
  for (const element type : device_elements()) {
    for (const std::int64_t cols : widths()) {
      embedding_choice choice = of_rows(embedding_choice(cosine_embedding));
      choice.margin = -0.5f;
      const embedding_case cosines(choice);
      problem p = problem_of(cosines, type, cols,
                             {{{0}, {1, 2}, {0}, {0}}, {{3, 1}, {0}, {0}, {0, -1}}}, {1, 1, 1, -1});
      std::vector<output> r = outputs_of(cosines, p);
      EXPECT_EQ(values_of(r, "loss"), (std::vector<double>{1, 1, 1, 0.5}));
      for (const char* name : {"grad_x1", "grad_x2"}) {
        for (const double g : values_of(r, name)) ASSERT_EQ(g, 0);
      }
      const embedding_case distances(of_rows(embedding_choice(contrastive)));
      p = problem_of(distances, type, cols, {{{1, 2}, {1, 2}, {0}}, {{1, 2}, {1, 2}, {0}}},
                     {0, 1, 0});
      r = outputs_of(distances, p);
      EXPECT_EQ(values_of(r, "loss"), (std::vector<double>{1, 0, 1}));
      for (const char* name : {"grad_x1", "grad_x2"}) {
        for (const double g : values_of(r, name)) ASSERT_EQ(g, 0);
      }
      for (const auto d : kDistances) {
        const bool cosine = d == culoss::triplet_distance::cosine;
        const embedding_case triplets(triplet_of(d, 1));
        // a = p; a = n; all the same; a zero anchor.
        p = problem_of(triplets, type, cols,
                       {{{1, 1}, {1, 1}, {2, 1}, {0}},
                        {{1, 1}, {1, 2}, {2, 1}, {1}},
                        {{1, 2}, {1, 1}, {2, 1}, {2}}},
                       {});
        r = outputs_of(triplets, p);
        EXPECT_EQ(values_of(r, "loss")[2], 1);
        EXPECT_EQ(values_of(r, "loss")[3], cosine ? 1 : 0);
        for (const char* name : {"grad_anchors", "grad_positives", "grad_negatives"}) {
          const std::vector<double>& g = values_of(r, name);
          for (std::size_t j = 2 * static_cast<std::size_t>(cols); j < g.size(); ++j) {
            ASSERT_EQ(g[j], 0) << name << " " << j;
          }
          for (const double v : g) ASSERT_TRUE(std::isfinite(v));
        }
      }
    }
  }
}

// Exactly at a kink the gradient is 0; just beside it it is not.
TEST_P(embedding, of_kinks_and_ties) {
  for (const std::int64_t cols : widths()) {
    embedding_choice choice = of_rows(embedding_choice(contrastive));
    choice.margin = 5;
    const embedding_case distances(choice);
    problem p =
        problem_of(distances, element::float32, cols,
                   {{{1, 2}, {1, 2}, {1, 2}}, {{4, 6}, {4, 6 - 0x1p-20}, {4, 7}}}, {0, 0, 0});
    std::vector<output> r = outputs_of(distances, p);
    EXPECT_EQ(values_of(r, "loss")[0], 0);
    EXPECT_GT(values_of(r, "loss")[1], 0);
    const auto row = static_cast<std::size_t>(cols);
    EXPECT_EQ(values_of(r, "grad_x1")[0], 0);
    EXPECT_GT(values_of(r, "grad_x1")[row], 0);
    EXPECT_EQ(values_of(r, "grad_x1")[2 * row], 0);

    // cos = margin = 1 and cos = margin = 0.
    for (const float margin : {1.0f, 0.0f}) {
      choice = of_rows(embedding_choice(cosine_embedding));
      choice.margin = margin;
      const embedding_case cosines(choice);
      const rows other = {margin == 1 ? std::vector<double>{3, 6} : std::vector<double>{-2, 1}};
      p = problem_of(cosines, element::float32, cols, {{{1, 2}}, other}, {-1});
      r = outputs_of(cosines, p);
      EXPECT_EQ(values_of(r, "loss")[0], 0);
      EXPECT_EQ(values_of(r, "grad_x1")[0], 0);
      EXPECT_EQ(values_of(r, "grad_x2")[1], 0);
    }

    // d(a, p) = 5, d(a, n) = 10 and m = 5.
    const embedding_case triplets(triplet_of(culoss::triplet_distance::euclidean, 5));
    p = problem_of(triplets, element::float32, cols, {{{0, 0}}, {{3, 4}}, {{6, 8}}}, {});
    r = outputs_of(triplets, p);
    EXPECT_EQ(values_of(r, "loss")[0], 0);
    for (const char* name : {"grad_anchors", "grad_positives", "grad_negatives"}) {
      EXPECT_EQ(values_of(r, name)[0], 0) << name;
    }

    // With swap, of two equal distances d(a, n): the positive then has no part of it.
    for (const auto d : kDistances) {
      const embedding_case swapped(triplet_of(d, 2, true));
      p = problem_of(swapped, element::float32, cols, {{{1, 0}}, {{-1, 0}}, {{0, 2}}}, {});
      r = run(swapped, p, {.where = GetParam()}).outputs;
      EXPECT_EQ(values_of(r, "grad_positives")[1], 0);
      EXPECT_NE(values_of(r, "grad_anchors")[1], 0);
      p.h[0] = -1.5;  // now nearer to the positive
      r = outputs_of(swapped, p);
      EXPECT_NE(values_of(r, "grad_positives")[1], 0);
      EXPECT_EQ(values_of(r, "grad_anchors")[1], 0);
    }
  }
}

// Squares of these neither overflow nor vanish, nor do reciprocals of their roots.
TEST_P(embedding, of_any_size) {
  for (const element type : {element::float32, element::bfloat16}) {
    for (const double size :
         {0x1p-149, 0x1p-130, 0x1p-126, 0x1p-100, 0x1p-66, 0x1p64, 0x1p100, 0x1p125}) {
      if (type == element::bfloat16 && size < 0x1p-130) continue;
      for (const std::int64_t cols : {2, 300}) {
        embedding_choice cosine = of_rows(embedding_choice(cosine_embedding));
        // Gradients about 1 / size: of the large ones by an upstream that brings them into range.
        cosine.upstream_value = size < 0x1p-100 ? 0x1p-60f : size > 0x1p80 ? 0x1p60f : 1.0f;
        const embedding_case cosines(cosine);
        const double unit = size;
        problem p = problem_of(
            cosines, type, cols,
            {{{unit, 0}, {3 * unit, unit}, {unit, unit}}, {{0.5, 0.5}, {unit, 3 * unit}, {-3, 2}}},
            {1, -1, 1});
        std::vector<output> r = outputs_of(cosines, p);
        EXPECT_NEAR(values_of(r, "loss")[0], 1 - std::sqrt(0.5), 1e-7) << size;
        EXPECT_NEAR(values_of(r, "loss")[1], 0.35, 1e-7) << size;
        for (const char* name : {"grad_x1", "grad_x2"}) {
          for (const double g : values_of(r, name)) ASSERT_TRUE(std::isfinite(g)) << size;
        }
        // Euclidean gradients have unit length whatever the distance.
        const embedding_case triplets(triplet_of(culoss::triplet_distance::euclidean, FLT_MAX));
        p = problem_of(triplets, type, cols, {{{unit, 0}}, {{0, unit}}, {{unit, unit}}}, {});
        r = outputs_of(triplets, p);
        EXPECT_NEAR(values_of(r, "grad_positives")[1], std::sqrt(0.5), 3e-3) << size;
        EXPECT_NEAR(values_of(r, "grad_negatives")[1], -1, 1e-6) << size;
        embedding_choice contrast = of_rows(embedding_choice(contrastive));
        contrast.margin = 0x1p-20f;
        const embedding_case distances(contrast);
        p = problem_of(distances, type, cols, {{{unit, unit}, {unit}}, {{unit, 0}, {0, unit}}},
                       {0, 1});
        r = outputs_of(distances, p);
        if (size < 1e-20) {
          EXPECT_NEAR(values_of(r, "grad_x1")[1], -0x1p-19, 0x1p-40) << size;
        }
      }
    }
    // A difference that is no float: its distance is, of a hinge that it passes.
    embedding_choice contrast = of_rows(embedding_choice(contrastive));
    contrast.margin = FLT_MAX;
    contrast.upstream_value = 0x1p-100f;
    const embedding_case distances(contrast);
    constexpr double kHuge = 0x1p127;
    const problem p =
        problem_of(distances, type, 4, {{{kHuge}, {kHuge}}, {{-kHuge}, {-kHuge}}}, {0, 1});
    const std::vector<output> r = outputs_of(distances, p);
    EXPECT_EQ(values_of(r, "loss")[0], 0);
    EXPECT_EQ(values_of(r, "loss")[1], kInf);
    EXPECT_EQ(values_of(r, "grad_x1")[4], 0x1p29);
    EXPECT_EQ(values_of(r, "grad_x2")[4], -0x1p29);
  }
}

// 1 - cos of an angle t is t^2 / 2, its gradient t / |x|; the difference of large vectors is exact.
TEST_P(embedding, of_nearly_parallel_and_nearly_equal_vectors) {
  const embedding_case cosines(of_rows(embedding_choice(cosine_embedding)));
  for (const std::int64_t cols : widths()) {
    for (const double t : {0x1p-10, 0x1p-14, 0x1p-20}) {
      const problem p = problem_of(cosines, element::float32, cols,
                                   {{{3, 0}, {5, 0}}, {{7, 7 * t}, {-7, 7 * t}}}, {1, 1});
      const std::vector<output> r = outputs_of(cosines, p);
      const double angle = std::atan(t), distance = 2 * std::pow(std::sin(angle / 2), 2);
      // Sums of two terms in double err by a few 2^-53.
      EXPECT_NEAR(values_of(r, "loss")[0], distance, 4 * 0x1p-24 * distance + 8 * 0x1p-53);
      const double g = -std::sin(angle) / 3;
      EXPECT_NEAR(values_of(r, "grad_x1")[1], g, 8 * 0x1p-24 * std::fabs(g));
      EXPECT_NEAR(values_of(r, "grad_x1")[static_cast<std::size_t>(cols) + 1], g * 3 / 5,
                  8 * 0x1p-24 * std::fabs(g));
    }
    const embedding_case distances(of_rows(embedding_choice(contrastive)));
    const double far = 0x1p20;
    const problem p = problem_of(distances, element::float32, cols,
                                 {{{far, far}}, {{far + 0.125, far - 0.25}}}, {1});
    EXPECT_EQ(values_of(outputs_of(distances, p), "loss")[0], 0.078125);
  }
}

// A gradient by a direction has no part along its vector; those by differences cancel.
TEST_P(embedding, gradients_keep_the_symmetries) {
  for (const embedding_choice& choice : row_choices()) {
    const embedding_case c(choice);
    const problem p = c.make({.rows = 6, .cols = 203, .seed = 64});
    const std::vector<output> r = outputs_of(c, p);
    const std::vector<expectation> bounds = c.expect(p, {.where = GetParam()});
    const bool cosine =
        choice.function == cosine_embedding || choice.distance == culoss::triplet_distance::cosine;
    for (std::int64_t i = 0; i < p.rows; ++i) {
      std::vector<double> sums(203), errors(203);
      for (int k = 0; k < choice.vectors(); ++k) {
        const auto at = static_cast<std::size_t>(k) + 1;
        double along = 0, error = 0;
        for (std::size_t j = 0; j < 203; ++j) {
          const std::size_t e = static_cast<std::size_t>(i) * 203 + j;
          const double g = r[at].values[e], x = embedding_of(p, k)[e];
          along += g * x;
          error += bounds[at].bounds[e] * std::fabs(x);
          sums[j] += g;
          errors[j] += bounds[at].bounds[e];
        }
        if (cosine) {
          EXPECT_LE(std::fabs(along), error) << c.name() << ", row " << i << ", vector " << k;
        }
      }
      for (std::size_t j = 0; j < 203 && !cosine; ++j) {
        ASSERT_LE(std::fabs(sums[j]), errors[j]) << c.name() << ", row " << i << ", column " << j;
      }
    }
  }
}

// A NaN or an infinity in any of the embeddings: NaN in that row, nowhere else.
TEST_P(embedding, of_rows_that_are_not_finite) {
  for (const embedding_choice& choice : row_choices()) {
    const embedding_case c(choice);
    for (const std::int64_t cols : widths()) {
      problem p = c.make({.rows = 8, .cols = cols, .seed = 65});
      const problem good = p;
      std::vector<double>* const all[] = {&p.x, &p.g, &p.h};
      const double bad[] = {kNan, kInf, -kInf};
      for (std::size_t i = 0; i < 6; ++i) {
        std::vector<double>& of = *all[i % static_cast<std::size_t>(choice.vectors())];
        of[i * static_cast<std::size_t>(cols) + i % static_cast<std::size_t>(cols)] = bad[i % 3];
      }
      if (choice.vectors() == 2) p.g[0] = -(p.x[0] = kInf);  // of both
      check(c, p);
      const results r = run(c, p, {.where = GetParam()});
      for (std::size_t i = 0; i < 8; ++i) {
        const bool nan = i < 6 && choice.counts(p, i);
        ASSERT_EQ(std::isnan(values_of(r.outputs, "loss")[i]), nan) << c.name() << " " << i;
        for (int k = 0; k < choice.vectors(); ++k) {
          const std::vector<double>& g = values_of(r.outputs, choice.gradient_name(k));
          for (std::int64_t j = 0; j < cols; ++j) {
            const auto at = i * static_cast<std::size_t>(cols) + static_cast<std::size_t>(j);
            ASSERT_EQ(std::isnan(g[at]), nan) << c.name() << " " << i << " " << j;
          }
        }
      }
      const results without = run(c, good, {.where = GetParam()});
      EXPECT_EQ(difference(rows_of(r.outputs, 8, {6, 7}), rows_of(without.outputs, 8, {6, 7})), "");
    }
  }
}

TEST_P(embedding, of_the_divisor) {
  for (const culoss::empty_batch empty : {culoss::empty_batch::zero, culoss::empty_batch::nan}) {
    for (embedding_choice choice : plain_embedding_choices()) {
      choice.empty = empty;
      const embedding_case own(choice);
      problem p = own.make({.rows = 5, .cols = 40, .seed = 66});
      p.labels.assign(5, kIgnored);
      check(own, p, "all ignored");
      check(own, own.make({.rows = 0, .cols = 40}), "no rows");
      choice.normalizer_source = source::device;
      choice.normalizer = 0;
      const embedding_case zero(choice);
      p = zero.make({.rows = 5, .cols = 40, .seed = 66});
      p.x[7] = kNan;
      if (choice.labels) p.labels[2] = 9;
      check(zero, p, "normalizer 0");
      // A row that is not finite, or has a bad label, is NaN; its weight of 0 does not help.
      choice.normalizer_source = source::absent;
      choice.row_weights = true;
      const embedding_case weighted(choice);
      p.row_weights = {0, 0, 0, 0, 0};
      check(weighted, p, "weights 0");
    }
  }
}

CULOSS_ON_EACH_SPACE(embedding);

}  // namespace
}  // namespace culoss_test
