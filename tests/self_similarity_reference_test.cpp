// nt_xent and sup_con on the CPU against their formulas as they are written, in long double, and
// their gradients against complex steps through the losses (Squire and Trapp, 1998): by each element
// of every embedding and by the scale, through normalization, ids, labels, weights and divisors.
#include <gtest/gtest.h>

#include <complex>
#include <random>
#include <vector>

#include "host/reference/self_similarity.hpp"
#include "tests/info_nce_call.hpp"
#include "tests/info_nce_formula.hpp"

namespace culoss_test {
namespace {

using culoss::reduction;
using complex = std::complex<double>;
constexpr double kStep = 0x1p-100;

struct problem {
  bool labeled = false;
  bool normalize = true;
  bool learns_temperature = false;
  float scalar = 1;  // the temperature or log_scale
  reduction reduces = reduction::mean;
  embedding_rows z;
  std::vector<std::int64_t> ids, labels;
  std::vector<float> weights, upstream;

  std::size_t rows() const { return z.size(); }
  std::size_t positive(std::size_t i) const { return (i + rows() / 2) % rows(); }
  bool is_positive(std::size_t i, std::size_t j) const {
    return labeled ? i != j && labels[i] == labels[j] : j == positive(i);
  }
  bool takes_part(std::size_t i, std::size_t j) const {
    if (i == j) return false;
    return labeled || is_positive(i, j) || ids.empty() || ids[i] != ids[j];
  }
  bool counts(std::size_t i) const {
    for (std::size_t j = 0; j < rows(); ++j) {
      if (is_positive(i, j)) return true;
    }
    return false;
  }
  double divisor() const {
    if (reduces == reduction::none) return 1;
    if (reduces == reduction::sum) return 3;  // a normalizer
    double n = 0;
    for (std::size_t i = 0; i < rows(); ++i) n += counts(i) ? 1 : 0;
    return n;
  }
  double weight(std::size_t i) const {
    const double up = reduces == reduction::none ? double{upstream[i]} : 1.75;
    return up * double{weights[i]} / divisor();
  }
  double sum_of_weights() const {
    double sum = 0;
    for (std::size_t i = 0; i < rows(); ++i) sum += weight(i);
    return sum;
  }
  template <class S>
  S scale(S given) const {
    return learns_temperature ? S(1) / given : std::exp(given);
  }
};

// The call, in double.
struct self_results {
  std::vector<double> loss;
  host_matrix<double> gradient;
  double grad_scale = 7;
  std::int64_t correct = 7, rows_counted = 7;

  template <class Options>
  static void set(const problem& p, Options& o) {
    o.reduction = p.reduces;
    o.normalize = p.normalize;
    (p.learns_temperature ? o.temperature : o.log_scale) = p.scalar;
    const auto rows = static_cast<std::int64_t>(p.rows());
    o.row_weights = {p.weights.data(), rows};
    o.upstream = 1.75f;
    if (p.reduces == reduction::none) o.upstream_rows = {p.upstream.data(), rows};
    if (p.reduces == reduction::sum) o.normalizer = 3.0f;
  }
  template <class Outputs>
  void set(Outputs& out) {
    out.loss = {loss.data(), static_cast<std::int64_t>(loss.size())};
    out.grad_embeddings = gradient.view();
    out.grad_scale = {&grad_scale, 1};
    out.rows_counted = {&rows_counted, 1};
  }

  explicit self_results(const problem& p)
      : loss(p.reduces == reduction::none ? p.rows() : 1, 7.0),
        gradient(size_of(p.z), dimension_of(p.z), 1) {
    host_matrix<double> z(p.z, dimension_of(p.z), 2);
    culoss::status s;
    if (p.labeled) {
      culoss::sup_con_outputs<double> out;
      culoss::sup_con_options o;
      set(out);
      set(p, o);
      s = culoss::sup_con(culoss::cpu{}, z.view(),
                          culoss::vector<const std::int64_t>(p.labels.data(), size_of(p.z)), out,
                          o);
    } else {
      culoss::nt_xent_outputs<double> out;
      culoss::nt_xent_options o;
      set(out);
      set(p, o);
      out.correct = {&correct, 1};
      if (!p.ids.empty()) o.ids = {p.ids.data(), size_of(p.z)};
      s = culoss::nt_xent(culoss::cpu{}, z.view(), out, o);
    }
    EXPECT_TRUE(s.ok()) << s.message();
  }
};

class SelfSimilarity : public ::testing::TestWithParam<reduction> {
 protected:
  // Rows of three labels, one of them alone; ids that mask some.
  problem make(bool labeled, std::size_t dimension, double mean) {
    problem p;
    p.labeled = labeled;
    p.reduces = GetParam();
    p.z = random_embeddings(labeled ? 7 : 8, dimension, random_, mean);
    p.labels = {4, -9, 4, 4, -9, 1, 4};
    std::uniform_real_distribution<float> uniform(0.25f, 2.0f);
    for (std::size_t i = 0; i < p.rows(); ++i) {
      p.weights.push_back(uniform(random_));
      p.upstream.push_back(uniform(random_));
    }
    return p;
  }
  template <class Check>
  void for_each_problem(const Check& check) {
    for (const bool labeled : {false, true}) {
      for (const std::size_t dimension : {1u, 2u, 9u}) {
        for (const double mean : {0.0, 1.0}) {
          problem p = make(labeled, dimension, mean);
          for (const bool normalize : {true, false}) {
            p.normalize = normalize;
            p.ids =
                normalize ? std::vector<std::int64_t>() : decltype(p.ids){5, 6, 5, 7, 7, 5, 6, 9};
            p.learns_temperature = false;
            p.scalar = 0.5f;
            check(p);
            p.scalar = 2.5f;
            check(p);
            p.learns_temperature = true;
            p.scalar = 0.25f;
            check(p);
          }
        }
      }
    }
  }
  similarity_error error_of(const problem& p) const {
    const double norm = p.normalize ? 1 : largest_norm(p.z);
    return {static_cast<double>(dimension_of(p.z)), static_cast<double>(p.rows()),
            p.scale(double{p.scalar}) * norm * norm};
  }

  std::mt19937_64 random_{21};
};

// loss_i = -(1 / |P|) sum_P log( exp(l_p) / sum exp(l) )
TEST_P(SelfSimilarity, LossesAreTheirFormulas) {
  for_each_problem([&](const problem& p) {
    const self_results r(p);
    const similarity_error error = error_of(p);
    const long double scale = p.scale(static_cast<long double>(p.scalar));
    const auto logit = [&](std::size_t i, std::size_t j) {
      long double dot = 0, a = 0, b = 0;
      for (std::size_t d = 0; d < p.z[i].size(); ++d) {
        dot += static_cast<long double>(p.z[i][d]) * p.z[j][d];
        a += static_cast<long double>(p.z[i][d]) * p.z[i][d];
        b += static_cast<long double>(p.z[j][d]) * p.z[j][d];
      }
      return scale * (p.normalize ? dot / std::sqrt(a) / std::sqrt(b) : dot);
    };
    double all = 0, all_errors = 0;
    std::int64_t counted = 0;
    for (std::size_t i = 0; i < p.rows(); ++i) {
      long double sum = 0, loss = 0, positives = 0;
      for (std::size_t j = 0; j < p.rows(); ++j) {
        if (p.takes_part(i, j)) sum += std::exp(logit(i, j));
      }
      for (std::size_t j = 0; j < p.rows(); ++j) {
        if (!p.is_positive(i, j)) continue;
        ++positives;
        loss -= std::log(std::exp(logit(i, j)) / sum);
      }
      counted += positives > 0 ? 1 : 0;
      const double expected =
          positives > 0 ? double{p.weights[i]} * static_cast<double>(loss / positives) : 0;
      // The long double's own cancellation is far below; the loss may be small beside its terms.
      const double bound = error.loss(std::fabs(expected)) +
                           double{p.weights[i]} * (2 * error.similarity() + 0x1p-55 * error.size);
      all += expected;
      all_errors += bound + 0x1p-50 * std::fabs(expected);
      if (p.reduces == reduction::none) {
        EXPECT_LE(std::fabs(r.loss[i] - expected), bound) << "row " << i;
      }
    }
    EXPECT_EQ(r.rows_counted, counted);
    if (p.reduces != reduction::none) {
      EXPECT_LE(std::fabs(r.loss[0] - all / p.divisor()), all_errors / p.divisor());
    }
  });
}

TEST_P(SelfSimilarity, GradientsAreThoseOfAComplexStep) {
  for_each_problem([&](const problem& p) {
    const self_results r(p);
    const std::size_t dimension = p.z.front().size();
    const auto total = [&](const std::vector<complex>& values, complex scalar) {
      const culoss::reference::embeddings<complex> z(values, dimension, p.normalize);
      const complex scale = p.scale(scalar);
      complex sum = 0;
      for (std::size_t i = 0; i < p.rows(); ++i) {
        complex loss;
        if (p.labeled) {
          loss = culoss::reference::sup_con_row(culoss::reference::row_of_labels<complex>(
              z, [&](std::size_t k) { return p.labels[k]; }, scale, i));
        } else {
          std::vector<complex> l(p.rows());
          const culoss::reference::two_views views = {p.rows() / 2,
                                                      p.ids.empty() ? nullptr : p.ids.data()};
          culoss::reference::row_of_views<complex>(z, views, scale, i, l);
          const auto statistics =
              culoss::reference::statistics_of_similarities<complex>(l, views.positive(i));
          loss = culoss::reference::info_nce_row<complex>(l, views.positive(i), statistics);
        }
        sum += p.weight(i) * loss;
      }
      return sum;
    };
    // Each row's |dl| are at most 2 together, and each embedding is on both sides of a similarity.
    const similarity_error error = error_of(p);
    const double scale = p.scale(double{p.scalar}), other = p.normalize ? 1 : largest_norm(p.z);
    const double size = 4 * p.sum_of_weights() * scale * other;
    std::vector<complex> z = flat<complex>(p.z);
    for (std::size_t i = 0; i < p.rows(); ++i) {
      const double norm = p.normalize ? std::sqrt(product(p.z[i], p.z[i])) : 1;
      const double bound = 2 * error.gradient(2 * error.columns) * size / norm;
      ASSERT_LE(bound, 1e-10 * size / norm);  // what is promised of this test
      for (std::size_t d = 0; d < dimension; ++d) {
        complex& moved = z[i * dimension + d];
        moved += complex(0, kStep);
        const double derivative = total(z, p.scalar).imag() / kStep;
        moved = moved.real();
        EXPECT_LE(
            std::fabs(r.gradient.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(d)) -
                      derivative),
            bound)
            << "row " << i << " element " << d << (p.labeled ? " labels" : " pairs");
      }
    }
    const double by = p.learns_temperature ? double{p.scalar} : 1.0;
    const double bound =
        2 * p.sum_of_weights() / by *
        (2 * error.size * error.gradient(2 * error.columns) + 2 * error.similarity());
    EXPECT_LE(std::fabs(r.grad_scale - total(z, complex(p.scalar, kStep)).imag() / kStep), bound);
  });
}

// The order of the threads' rows shows in nothing.
TEST_P(SelfSimilarity, ThreadsDoNotShow) {
  std::mt19937_64 random(5);
  constexpr std::int64_t kRows = 64, kDimension = 300;
  host_matrix<double> z(random_embeddings(kRows, kDimension, random), kDimension);
  std::vector<std::int64_t> labels(kRows);
  for (std::size_t i = 0; i < kRows; ++i) labels[i] = static_cast<std::int64_t>(i * i % 7);
  std::vector<std::vector<double>> pairs, groups;
  for (const int threads : {1, 2, 5}) {
    host_matrix<double> of_pairs(kRows, kDimension), of_groups(kRows, kDimension);
    const culoss::cpu where{.threads = threads};
    EXPECT_TRUE(culoss::nt_xent(where, z.view(), {.grad_embeddings = of_pairs.view()},
                                {.temperature = 0.1f})
                    .ok());
    EXPECT_TRUE(culoss::sup_con(where, z.view(),
                                culoss::vector<const std::int64_t>(labels.data(), kRows),
                                {.grad_embeddings = of_groups.view()}, {.temperature = 0.1f})
                    .ok());
    pairs.push_back(of_pairs.storage());
    groups.push_back(of_groups.storage());
  }
  EXPECT_EQ(pairs[0], pairs[1]);
  EXPECT_EQ(pairs[0], pairs[2]);
  EXPECT_EQ(groups[0], groups[1]);
  EXPECT_EQ(groups[0], groups[2]);
}

INSTANTIATE_TEST_SUITE_P(Reductions, SelfSimilarity,
                         ::testing::Values(reduction::none, reduction::mean, reduction::sum));

}  // namespace
}  // namespace culoss_test
