// The bounds of the losses over similarities are tight enough: each of these mistakes, made in
// otherwise exact arithmetic, breaks them.
#include <gtest/gtest.h>

#include <functional>

#include "tests/cases/similarity_check.hpp"

namespace culoss_test {
namespace {

// The arithmetic of a call, with a place for each mistake.
struct mistakes {
  std::function<double(double)> input = [](double x) { return x; };
  std::function<double(double)> similarity = [](double l) { return l; };
  // The gradient of a similarity from p_ij and [j = t].
  std::function<double(double, double)> gradient;  // none: exact
  bool padding_counts = false;                     // similarities of 0 up to a whole tile
};

// InfoNCE without options but the scale: losses and the queries' gradient, in double.
std::vector<output> naive(const similarity_numbers& p, const mistakes& m) {
  const auto rows = static_cast<std::size_t>(p.rows), cols = static_cast<std::size_t>(p.keys);
  const auto dimension = static_cast<std::size_t>(p.dimension);
  const auto prepared = [&](const std::vector<double>& from) {
    std::vector<double> x(from.size());
    std::transform(from.begin(), from.end(), x.begin(), m.input);
    return x;
  };
  const std::vector<double> q = prepared(p.q), k = prepared(p.k);
  std::vector<double> losses, gradient(q.size());
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<double> l(cols);
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t d = 0; d < dimension; ++d)
        l[j] += q[i * dimension + d] * k[j * dimension + d];
      l[j] = m.similarity(l[j] / static_cast<double>(p.scale));
    }
    const double max = *std::max_element(l.begin(), l.end());
    double sum = m.padding_counts ? static_cast<double>(128 - cols % 128) * std::exp(-max) : 0;
    double others = 0;
    for (std::size_t j = 0; j < cols; ++j) {
      sum += std::exp(l[j] - max);
      others += j == i ? 0 : std::exp(l[j] - l[i]);
    }
    losses.push_back(m.padding_counts ? std::log(sum) + max - l[i] : std::log1p(others));
    for (std::size_t j = 0; j < cols; ++j) {
      const double p_ij = std::exp(l[j] - max) / sum;
      const double exact = j == i ? -others / (1 + others) : p_ij;
      const double dl = m.gradient ? m.gradient(p_ij, j == i ? 1 : 0) : exact;
      const double g = dl / static_cast<double>(p.scale);
      for (std::size_t d = 0; d < dimension; ++d)
        gradient[i * dimension + d] += g * k[j * dimension + d];
    }
  }
  for (double& g : gradient) g = round_to(p.type, g);
  for (double& l : losses) l = round_to(element::float32, l);
  return {{"loss", losses}, {"grad_queries", gradient}};
}

class similarity_bounds : public ::testing::Test {
 protected:
  static similarity_choice plain() {
    similarity_choice c{.normalize = false};
    c.reduction = culoss::reduction::none;
    c.keys = c.negatives = c.scale_gradient = c.counts = false;
    return c;
  }
  // On the device's bounds, although the numbers come from the host.
  static std::string complaint_of(const similarity_choice& c, const similarity_numbers& p,
                                  const std::vector<output>& outputs) {
    return compare(outputs, similarity_expectation(c, p, space::cuda).all()).message;
  }
  static similarity_numbers numbers(element type, double temperature) {
    similarity_numbers p =
        make_similarity(plain(), {.type = type, .rows = 65, .keys = 65, .dimension = 48});
    p.scale = static_cast<float>(temperature);
    p.upstream = 1;
    return p;
  }
};

TEST_F(similarity_bounds, hold_for_exact_results_rounded_once) {
  for (const element type : kDeviceElements) {
    for (const double temperature : {1.0, 4.0}) {
      const similarity_numbers p = numbers(type, temperature);
      EXPECT_EQ(complaint_of(plain(), p, naive(p, {})), "") << format_of(type).name;
    }
  }
}

TEST_F(similarity_bounds, reject_products_in_tf32) {
  const similarity_numbers p = numbers(element::float32, 4);
  const format tf32{"tf32", 4, 11, -126, 127};
  mistakes m;
  m.input = [&](double x) { return round_to(tf32, x); };
  EXPECT_NE(complaint_of(plain(), p, naive(p, m)), "");
}

TEST_F(similarity_bounds, reject_similarities_that_were_rounded_to_16_bits) {
  for (const element type : {element::float16, element::bfloat16}) {
    const similarity_numbers p = numbers(type, 1);
    mistakes m;
    m.similarity = [&](double l) { return round_to(type, l); };
    EXPECT_NE(complaint_of(plain(), p, naive(p, m)), "") << format_of(type).name;
  }
}

// Once a batch has converged, 1 - p loses all its digits in a rounded p.
TEST_F(similarity_bounds, reject_a_positive_subtracted_after_rounding) {
  for (const element type : {element::float16, element::bfloat16}) {
    const similarity_numbers p = numbers(type, 1);
    mistakes m;
    m.gradient = [&](double p_ij, double target) { return round_to(type, p_ij) - target; };
    EXPECT_NE(complaint_of(plain(), p, naive(p, m)), "") << format_of(type).name;
  }
}

TEST_F(similarity_bounds, reject_padding_that_counts_as_similarity_0) {
  const similarity_numbers p = numbers(element::float32, 4);
  mistakes m;
  m.padding_counts = true;
  EXPECT_NE(complaint_of(plain(), p, naive(p, m)), "");
}

// Mistakes in what takes part, made by the reference itself.
TEST_F(similarity_bounds, reject_other_columns) {
  similarity_choice c;
  c.masked = true;
  const similarity_numbers p =
      make_similarity(c, {.rows = 65, .keys = 70, .negatives = 20, .dimension = 48, .offset = 2});
  const auto outputs = [&](const similarity_choice& other, const similarity_numbers& numbers) {
    return run(other, in_double(numbers), {.where = space::cpu}).outputs;
  };
  EXPECT_EQ(complaint_of(c, p, outputs(c, p)), "");
  similarity_choice unmasked = c, alone = c;
  unmasked.masked = false;
  alone.in_batch = false;
  EXPECT_NE(complaint_of(c, p, outputs(unmasked, p)), "");
  EXPECT_NE(complaint_of(c, p, outputs(alone, p)), "");
  similarity_numbers shifted = p;
  shifted.offset = 3;
  EXPECT_NE(complaint_of(c, p, outputs(c, shifted)), "");
  similarity_numbers one_id = p;  // one row masks one more key
  one_id.key_ids[30] = one_id.query_ids[3];
  ASSERT_NE(p.key_ids[30], p.query_ids[3]);
  EXPECT_NE(complaint_of(c, p, outputs(c, one_id)), "");
}

}  // namespace
}  // namespace culoss_test
