// Losses of two or three embeddings on the CPU: against values worked out by hand, and their
// gradients against complex steps through the formulas. The rules stand in culoss/embedding.hpp.
#include <gmock/gmock.h>

#include <culoss/culoss.hpp>
#include <string>
#include <vector>

#include "host/reference/embedding.hpp"
#include "tests/complex_step.hpp"

namespace culoss_test {
namespace {

using culoss::cpu;
using culoss::matrix;
using culoss::triplet_distance;
using culoss::vector;
using ::testing::Each;
using ::testing::ElementsAre;
namespace formula = culoss::reference;

using numbers = std::vector<double>;
std::int64_t size_of(const numbers& v) { return static_cast<std::int64_t>(v.size()); }
matrix<const double> row_of(const numbers& v) { return {v.data(), 1, size_of(v)}; }
matrix<double> row_of(numbers& v) { return {v.data(), 1, size_of(v)}; }

// One pair, of either loss.
struct pair_call {
  pair_call(const numbers& x, const numbers& y, std::int64_t label,
            const culoss::contrastive_options& o)
      : dx(x.size()), dy(x.size()) {
    run([&](const auto& out) {
      return culoss::contrastive(cpu{}, row_of(x), row_of(y), vector<const std::int64_t>(&label, 1),
                                 out, o);
    });
  }
  pair_call(const numbers& x, const numbers& y, std::int64_t label,
            const culoss::cosine_embedding_options& o)
      : dx(x.size()), dy(x.size()) {
    run([&](const auto& out) {
      return culoss::cosine_embedding(cpu{}, row_of(x), row_of(y),
                                      vector<const std::int64_t>(&label, 1), out, o);
    });
  }
  double loss = 0;
  numbers dx, dy;

 private:
  template <class Call>
  void run(const Call& call) {
    const culoss::status s = call(culoss::pair_outputs<double>{
        .loss = {&loss, 1}, .grad_x1 = row_of(dx), .grad_x2 = row_of(dy)});
    EXPECT_TRUE(s.ok()) << s.message();
  }
};

struct triplet_call {
  triplet_call(const numbers& a, const numbers& p, const numbers& n,
               const culoss::triplet_options& o)
      : da(a.size()), dp(a.size()), dn(a.size()) {
    const culoss::status s = culoss::triplet(cpu{}, row_of(a), row_of(p), row_of(n),
                                             {.loss = {&loss, 1},
                                              .grad_anchors = row_of(da),
                                              .grad_positives = row_of(dp),
                                              .grad_negatives = row_of(dn)},
                                             o);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  double loss = 0;
  numbers da, dp, dn;
};

TEST(Embedding, OfPairs) {
  const pair_call far({1, 2}, {4, 6}, 1, culoss::contrastive_options{});
  EXPECT_EQ(far.loss, 25);
  EXPECT_THAT(far.dx, ElementsAre(-6, -8));
  EXPECT_THAT(far.dy, ElementsAre(6, 8));
  const pair_call near({1, 2}, {1, 2.5}, 0, culoss::contrastive_options{.factor = 0.5f});
  EXPECT_EQ(near.loss, 0.125);
  EXPECT_THAT(near.dx, ElementsAre(0, 0.5));
  const pair_call past({1, 2}, {1, 4}, 0, culoss::contrastive_options{.margin = 2});
  EXPECT_EQ(past.loss, 0);
  EXPECT_THAT(past.dx, Each(0));
  const pair_call cosine({3, 4}, {4, 3}, 1, culoss::cosine_embedding_options{.upstream = 5});
  EXPECT_NEAR(cosine.loss, 0.04, 4 * kUnit);
  EXPECT_NEAR(cosine.dx[0], -(0.8 - 0.96 * 0.6), 16 * kUnit);
  EXPECT_NEAR(cosine.dx[1], -(0.6 - 0.96 * 0.8), 16 * kUnit);
  const pair_call apart({3, 4}, {4, 3}, -1, culoss::cosine_embedding_options{.margin = 0.5f});
  EXPECT_NEAR(apart.loss, 0.46, 4 * kUnit);
  EXPECT_NEAR(apart.dx[0], (0.8 - 0.96 * 0.6) / 5, 16 * kUnit);
}

TEST(Embedding, OfTriplets) {
  const numbers a = {0, 0}, p = {3, 4}, n = {6, 8};
  const triplet_call plain(a, p, n, {.margin = 6});
  EXPECT_EQ(plain.loss, 1);
  EXPECT_THAT(plain.da, Each(0));  // both pull alike
  EXPECT_THAT(plain.dp, ElementsAre(0.6, 0.8));
  EXPECT_THAT(plain.dn, ElementsAre(-0.6, -0.8));
  const triplet_call swapped(a, p, n, {.margin = 1, .swap = true});
  EXPECT_EQ(swapped.loss, 1);
  EXPECT_THAT(swapped.da, ElementsAre(-0.6, -0.8));
  EXPECT_THAT(swapped.dp, ElementsAre(1.2, 1.6));
  const triplet_call squared(a, p, n,
                             {.distance = triplet_distance::squared_euclidean, .margin = 100});
  EXPECT_EQ(squared.loss, 25);
  EXPECT_THAT(squared.da, ElementsAre(6, 8));
  EXPECT_THAT(squared.dn, ElementsAre(-12, -16));
  const triplet_call soft(a, p, n, {.margin = 5, .soft_margin = true});
  EXPECT_DOUBLE_EQ(soft.loss, std::log(2.0));
  EXPECT_DOUBLE_EQ(soft.dp[0], 0.3);
  const triplet_call cosine({1, 0}, {0, 1}, {-1, 0},
                            {.distance = triplet_distance::cosine, .margin = 2});
  EXPECT_DOUBLE_EQ(cosine.loss, 1);
  EXPECT_THAT(cosine.da, ElementsAre(0, -1));
  EXPECT_THAT(cosine.dp, ElementsAre(-1, 0));
}

// Squares of these are no doubles.
TEST(Embedding, OfAnySize) {
  for (const double size : {1e-300, 1e-200, 1e170, 1e300}) {
    const triplet_call t({size, 0}, {0, size}, {size, size}, {.margin = 3e38f});
    EXPECT_NEAR(t.dp[1], std::sqrt(0.5), 4 * kUnit) << size;
    EXPECT_NEAR(t.dn[1], -1, 4 * kUnit) << size;
    const pair_call c({size, 0}, {2, 2}, 1, culoss::cosine_embedding_options{});
    EXPECT_NEAR(c.loss, 1 - std::sqrt(0.5), 8 * kUnit) << size;
    EXPECT_NEAR(c.dx[1] * size, -std::sqrt(0.5), 16 * kUnit) << size;
  }
}

// f by element j of vector k of those that stand one after the other in x.
template <class F>
void expect_gradient(const std::vector<numbers>& x, const std::vector<const numbers*>& gradients,
                     double scale, double error, const F& f) {
  numbers all;
  for (const numbers& v : x) all.insert(all.end(), v.begin(), v.end());
  const std::size_t width = x[0].size();
  for (std::size_t e = 0; e < all.size(); ++e) {
    const double expected =
        scale * complex_step(all, e, [&](const std::vector<complex>& z) {
          std::vector<std::span<const complex>> spans;
          for (std::size_t k = 0; k < x.size(); ++k) {
            spans.push_back(std::span<const complex>(z).subspan(k * width, width));
          }
          return f(spans);
        });
    const double actual = (*gradients[e / width])[e % width];
    EXPECT_LE(std::fabs(actual - expected), error * scale)
        << "vector " << e / width << " element " << e % width;
  }
}

// Norms are at least 1 and directions have elements of at most 1: a derivative is at most
// 2 (margin + size), and each of the D terms on the way errs by a few roundings of that.
double error_of(std::size_t width, double size) {
  return (static_cast<double>(width) + 16) * 64 * (1 + size) * kUnit;
}
double size_of_all(const std::vector<numbers>& x) {
  double size = 0;
  for (const numbers& v : x) {
    double sum = 0;
    for (const double e : v) sum += e * e;
    size = std::max(size, std::sqrt(sum));
  }
  return size;
}

template <class Check>
void for_each_rows(std::size_t vectors, const Check& check) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (const std::size_t cols : kWidths) {
    for (int turn = 0; turn < 6; ++turn) {
      SCOPED_TRACE("cols " + std::to_string(cols) + " turn " + std::to_string(turn));
      std::vector<numbers> x(vectors, numbers(cols));
      for (std::size_t k = 0; k < vectors; ++k) {
        for (double& e : x[k]) e = normal(random);
        x[k][0] =
            ((static_cast<std::size_t>(turn) / 2 + k) % 3 == 0 ? -1 : 1) * (1 + std::fabs(x[k][0]));
        // Close to the first: both sides of the margin.
        for (std::size_t j = 0; j < cols && k > 0 && turn % 2 == 1; ++j) {
          x[k][j] = x[0][j] + x[k][j] / (4 * std::sqrt(static_cast<double>(cols)));
        }
      }
      check(x);
    }
  }
}

TEST(ComplexStep, OfPairs) {
  int active = 0;
  for_each_rows(2, [&](const std::vector<numbers>& x) {
    const double error = error_of(x[0].size(), size_of_all(x));
    for (const bool alike : {true, false}) {
      for (const float margin : {0.0f, 0.5f, 3.0f}) {
        const pair_call call(
            x[0], x[1], alike ? 1 : 0,
            culoss::contrastive_options{.margin = margin, .factor = 0.5f, .upstream = 3});
        active += call.loss > 0 && !alike ? 1 : 0;
        expect_gradient(x, {&call.dx, &call.dy}, 3, error, [&](const auto& z) {
          return formula::contrastive_loss<complex>(z[0], z[1], alike, margin, 0.5);
        });
      }
      for (const float margin : {-0.5f, 0.0f, 0.5f}) {
        const pair_call call(x[0], x[1], alike ? 1 : -1,
                             culoss::cosine_embedding_options{.margin = margin, .upstream = 3});
        active += call.loss > 0 && !alike ? 1 : 0;
        expect_gradient(x, {&call.dx, &call.dy}, 3, error, [&](const auto& z) {
          return formula::cosine_embedding_loss<complex>(z[0], z[1], alike, margin);
        });
      }
    }
  });
  EXPECT_GT(active, 40);
}

TEST(ComplexStep, OfTriplets) {
  int active = 0, swapped = 0;
  for_each_rows(3, [&](const std::vector<numbers>& x) {
    for (const auto d : {triplet_distance::euclidean, triplet_distance::squared_euclidean,
                         triplet_distance::cosine}) {
      for (const bool swap : {false, true}) {
        for (const bool soft : {false, true}) {
          culoss::triplet_options o{.distance = d, .margin = 0.75f, .swap = swap};
          o.soft_margin = soft;
          o.upstream = 3;
          const triplet_call call(x[0], x[1], x[2], o);
          active += call.loss > 0 && !soft ? 1 : 0;
          swapped += formula::swaps<double>(o, x[0], x[1], x[2]) ? 1 : 0;
          expect_gradient(
              x, {&call.da, &call.dp, &call.dn}, 3, error_of(x[0].size(), size_of_all(x)),
              [&](const auto& z) { return formula::triplet_loss<complex>(o, z[0], z[1], z[2]); });
        }
      }
    }
  });
  EXPECT_GT(active, 40);
  EXPECT_GT(swapped, 20);
}

}  // namespace
}  // namespace culoss_test
