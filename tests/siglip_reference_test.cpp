// siglip on the CPU: closed forms, the formula by hand and in long double, complex steps, blocks of
// a batch that is spread over devices.
#include <gtest/gtest.h>

#include <complex>
#include <random>

#include "tests/siglip_call.hpp"

namespace culoss_test {
namespace {

using culoss::reduction;
using culoss::siglip_options;
using complex = std::complex<double>;
constexpr double kStep = 0x1p-100;

// Besides the error of the arithmetic in double, the rounding to the type of the output.
template <class T>
void expect_near(double actual, double expected, double bound) {
  EXPECT_LE(std::fabs(actual - expected), bound + format_of(element_of<T>).rounding(expected))
      << actual << " instead of " << expected;
}

template <class T>
class Siglip : public ::testing::Test {};
// half and bf16 may be incomplete, so the list is of tags.
using Types = ::testing::Types<std::type_identity<float>, std::type_identity<culoss::half>,
                               std::type_identity<culoss::bf16>, std::type_identity<double>>;
TYPED_TEST_SUITE(Siglip, Types);

// z is 0: each pair's loss is log 2, and half of each pair flows back.
TYPED_TEST(Siglip, OnePair) {
  using T = typename TypeParam::type;
  using real = culoss::real_of<T>;
  siglip_options options = {.normalize = false, .temperature = 0.5, .bias = 0};
  const siglip_call_on_host<T> own({{1, -2}}, {{2, 1}}, options);
  expect_near<real>(own.loss[0], std::log(2.0), 2 * kUnit);
  EXPECT_EQ(own.grad_images.row(0), (std::vector<double>{-2, -1}));
  EXPECT_EQ(own.grad_texts.row(0), (std::vector<double>{-1, 2}));
  EXPECT_EQ(own.grad_bias, real{-0.5});
  EXPECT_EQ(own.grad_scale, 0);
  EXPECT_EQ(own.correct, 1);
  EXPECT_EQ(own.rows_counted, 1);
  options.positives = false;
  const siglip_call_on_host<T> other({{1, -2}}, {{2, 1}}, options);
  expect_near<real>(other.loss[0], std::log(2.0), 2 * kUnit);
  EXPECT_EQ(other.grad_images.row(0), (std::vector<double>{2, 1}));
  EXPECT_EQ(other.grad_bias, real{0.5});
}

// Orthonormal pairs: log(1 + e^-(s + b)) + (N - 1) log(1 + e^b), with gradients that keep their
// digits however small they get.
TYPED_TEST(Siglip, Orthonormal) {
  using T = typename TypeParam::type;
  using real = culoss::real_of<T>;
  constexpr int kRows = 4;
  const embedding_rows x = unit_vectors(kRows, 5);
  for (const double scale : {1.0, 8.0, 64.0}) {
    for (const double bias : {0.0, -10.0, -32.0}) {
      const siglip_call_on_host<T> call(x, x,
                                        {.reduction = reduction::none,
                                         .normalize = false,
                                         .temperature = 1 / scale,
                                         .bias = bias});
      const double own = 1 / (1 + std::exp(scale + bias)), other = 1 / (1 + std::exp(-bias));
      const double loss =
          std::log1p(std::exp(-(scale + bias))) + (kRows - 1) * std::log1p(std::exp(bias));
      const siglip_error error = {5, kRows, scale, std::fabs(bias)};
      for (std::int64_t i = 0; i < kRows; ++i) {
        // Both sides err.
        expect_near<real>(call.loss[static_cast<std::size_t>(i)], loss, 2 * error.loss() * loss);
        for (std::int64_t d = 0; d < 5; ++d) {
          const double expected = d == 4 ? 0 : scale * (d == i ? -own : other);
          expect_near<T>(call.grad_images.at(i, d), expected,
                         2 * error.gradient(kRows) * std::fabs(expected));
          expect_near<T>(call.grad_texts.at(i, d), expected,
                         2 * error.gradient(kRows) * std::fabs(expected));
        }
      }
      // The other pairs have similarity 0.
      expect_near<real>(call.grad_scale, kRows * own * scale * scale,
                        2 * error.gradient(kRows) * kRows * own * scale * scale);
      const double of_bias = kRows * (kRows - 1) * other;
      expect_near<real>(call.grad_bias, of_bias - kRows * own,
                        2 * error.gradient(kRows * kRows) * (of_bias + kRows * own));
      EXPECT_EQ(call.correct, kRows);
    }
  }
}

// |z| of 1000 and of 1e30, right and wrong.
TYPED_TEST(Siglip, PairsFarFromTheBoundary) {
  using T = typename TypeParam::type;
  using real = culoss::real_of<T>;
  for (const double size : {1000.0, 1e30}) {
    for (const double sign : {1.0, -1.0}) {
      for (const bool positives : {true, false}) {
        const siglip_call_on_host<T> call(
            {{1}}, {{1}},
            {.normalize = false, .temperature = 1, .bias = sign * size, .positives = positives});
        const bool right = (sign > 0) == positives;
        const double z = static_cast<double>(static_cast<float>(sign * size)) + 1;
        EXPECT_EQ(call.loss[0], right ? real{0} : static_cast<real>(std::fabs(z)));
        EXPECT_EQ(call.grad_bias, right ? real{0} : static_cast<real>(sign));
        EXPECT_EQ(call.grad_images.at(0, 0), right ? 0 : sign);
        EXPECT_EQ(call.grad_scale, right ? real{0} : static_cast<real>(-sign));
      }
    }
  }
}

struct problem {
  std::size_t rows = 4, texts = 7, offset = 2, dimension = 3;
  bool normalize = true, masked = false, positives = true, learns_temperature = false;
  double scalar = 0.5, bias = -1.5;
};
const std::vector<std::int64_t> kImageIds = {5, 6, 5, std::int64_t{1} << 40};
const std::vector<std::int64_t> kTextIds = {6, 5, 5, 6, std::int64_t{1} << 40, 0, 5};

sigmoid_pairs pairs_of(const problem& p) {
  return {.positives = p.positives,
          .positive_offset = p.offset,
          .image_ids = p.masked ? kImageIds.data() : nullptr,
          .text_ids = kTextIds.data()};
}
siglip_options options_of(const problem& p) {
  siglip_options o = {.normalize = p.normalize,
                      .bias = p.bias,
                      .positive_offset = static_cast<std::int64_t>(p.offset),
                      .positives = p.positives};
  (p.learns_temperature ? o.temperature : o.log_scale) = p.scalar;
  if (p.masked) {
    o.image_ids = {kImageIds.data(), static_cast<std::int64_t>(p.rows)};
    o.text_ids = {kTextIds.data(), static_cast<std::int64_t>(p.texts)};
  }
  return o;
}
template <class Call>
void for_each_problem(const Call& call) {
  for (int k = 0; k < 16; ++k) {
    problem p;
    p.normalize = k % 2 == 0;
    p.masked = k / 2 % 2 == 1;
    p.positives = k / 4 % 2 == 0;
    p.learns_temperature = k / 8 == 1;
    p.dimension = k % 3 == 0 ? 1 : 9;
    call(p);
    p.scalar = p.learns_temperature ? 0.0625 : 3;
    p.bias = -10;
    call(p);
  }
}

// The loss written out, log(1 + exp(-t z)) in long double, and which texts are nearest.
TEST(SiglipReference, FormulaByHand) {
  std::mt19937_64 random(5);
  for_each_problem([&](const problem& p) {
    const embedding_rows x = random_embeddings(p.rows, p.dimension, random);
    const embedding_rows y = random_embeddings(p.texts, p.dimension, random);
    siglip_options options = options_of(p);
    options.reduction = reduction::none;
    const siglip_call_on_host<double> call(x, y, options);
    const auto scale =
        static_cast<double>(p.learns_temperature ? 1 / p.scalar : std::exp(p.scalar));
    const double norms = p.normalize ? 1 : largest_norm(x) * largest_norm(y);
    const siglip_error error = {static_cast<double>(p.dimension), 7, scale * norms,
                                std::fabs(p.bias)};
    std::int64_t correct = 0;
    for (std::size_t i = 0; i < p.rows; ++i) {
      long double sum = 0;
      double own = 0, largest = -kInfinity;
      for (std::size_t j = 0; j < p.texts; ++j) {
        const bool positive = p.positives && j == i + p.offset;
        if (!positive && p.masked && kImageIds[i] == kTextIds[j]) continue;
        long double dot = 0, xx = 0, yy = 0;
        for (std::size_t d = 0; d < p.dimension; ++d) {
          dot += static_cast<long double>(x[i][d]) * y[j][d];
          xx += static_cast<long double>(x[i][d]) * x[i][d];
          yy += static_cast<long double>(y[j][d]) * y[j][d];
        }
        if (p.normalize) dot /= std::sqrt(xx) * std::sqrt(yy);
        const long double z = scale * dot + p.bias;
        sum += std::log1p(std::exp(positive ? -z : z));
        (positive ? own : largest) =
            positive ? static_cast<double>(dot) : std::max(largest, static_cast<double>(dot));
      }
      correct += own > largest ? 1 : 0;
      EXPECT_LE(std::fabs(call.loss[i] - static_cast<double>(sum)),
                error.loss() * static_cast<double>(sum));
    }
    if (p.positives && p.dimension > 1) {  // else similarities are equal
      EXPECT_EQ(call.correct, correct);
    }
    EXPECT_EQ(call.rows_counted, 4);
  });
}

// Every gradient against complex steps through the formula of the loss (Squire and Trapp, "Using
// complex variables to estimate derivatives of real functions", 1998).
TEST(SiglipReference, ComplexStep) {
  std::mt19937_64 random(6);
  const std::vector<float> weights = {0.25f, 2.0f, 1.5f, 0.75f},
                           upstream = {1.0f, -2.0f, 0.5f, 3.0f};
  for (const reduction r : {reduction::none, reduction::mean, reduction::sum}) {
    for_each_problem([&](const problem& p) {
      const embedding_rows images = random_embeddings(p.rows, p.dimension, random);
      const embedding_rows texts = random_embeddings(p.texts, p.dimension, random);
      siglip_options options = options_of(p);
      options.reduction = r;
      options.row_weights = {weights.data(), 4};
      options.upstream = 1.75f;
      if (r == reduction::none) options.upstream_rows = {upstream.data(), 4};
      if (r == reduction::sum) options.normalizer = 3.0f;
      const auto weight = [&](std::size_t i) {
        if (r == reduction::none) return double{upstream[i]} * weights[i];
        return 1.75 * weights[i] / (r == reduction::sum ? 3 : 4);
      };
      const siglip_call_on_host<double> call(images, texts, options);
      const sigmoid_pairs pairs = pairs_of(p);
      const auto total = [&](const std::vector<complex>& x, const std::vector<complex>& y,
                             complex scalar, complex bias) {
        const complex scale = p.learns_temperature ? 1.0 / scalar : std::exp(scalar);
        const auto rows =
            siglip_losses<complex>(x, y, p.dimension, p.normalize, pairs, scale, bias);
        complex sum = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) sum += weight(i) * rows[i];
        return sum;
      };
      std::vector<complex> x = flat<complex>(images), y = flat<complex>(texts);
      double sum_of_weights = 0;
      for (std::size_t i = 0; i < p.rows; ++i) sum_of_weights += std::fabs(weight(i));
      const double scale = p.learns_temperature ? 1 / p.scalar : std::exp(p.scalar);
      const double x_norm = p.normalize ? 1 : largest_norm(images);
      const double y_norm = p.normalize ? 1 : largest_norm(texts);
      const siglip_error error = {static_cast<double>(p.dimension), static_cast<double>(p.texts),
                                  scale * x_norm * y_norm, std::fabs(p.bias)};
      // |dl| <= the weight; both sides err.
      const double all = sum_of_weights * static_cast<double>(p.texts);
      const auto check = [&](const embedding_rows& rows, const host_matrix<double>& actual,
                             std::vector<complex>& z, double other_norm) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const double norm = p.normalize ? std::sqrt(product(rows[i], rows[i])) : 1;
          const double bound = 2 * error.gradient(11) * all * scale * other_norm / norm;
          ASSERT_LE(bound, 1e-9 * all * scale * other_norm / norm);
          for (std::size_t d = 0; d < p.dimension; ++d) {
            complex& moved = z[i * p.dimension + d];
            moved += complex(0, kStep);
            const double derivative = total(x, y, p.scalar, p.bias).imag() / kStep;
            moved = moved.real();
            EXPECT_LE(
                std::fabs(actual.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(d)) -
                          derivative),
                bound)
                << "row " << i << " element " << d;
          }
        }
      };
      check(images, call.grad_images, x, y_norm);
      check(texts, call.grad_texts, y, x_norm);
      const double by = p.learns_temperature ? p.scalar : 1.0;
      const double of_scale = total(x, y, complex(p.scalar, kStep), p.bias).imag() / kStep;
      EXPECT_LE(std::fabs(call.grad_scale - of_scale),
                all / by * (2 * error.size * error.gradient(40) + 2 * error.z()));
      const double of_bias = total(x, y, p.scalar, complex(p.bias, kStep)).imag() / kStep;
      EXPECT_LE(std::fabs(call.grad_bias - of_bias), 2 * all * error.gradient(40));
    });
  }
}

// A batch over two devices: each device's own block, and the other's texts without positives.
TEST(SiglipReference, BlocksAddUpToTheBatch) {
  std::mt19937_64 random(7);
  constexpr std::size_t kHalf = 5, kDimension = 6;
  const embedding_rows x = random_embeddings(2 * kHalf, kDimension, random);
  const embedding_rows y = random_embeddings(2 * kHalf, kDimension, random);
  siglip_options options = {
      .reduction = reduction::sum, .log_scale = 1.5, .bias = -3, .normalizer = 10.0f};
  const siglip_call_on_host<double> whole(x, y, options);
  const auto half = [](const embedding_rows& rows, std::size_t k) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(k * kHalf);
    return embedding_rows(begin, begin + kHalf);
  };
  double loss = 0, grad_scale = 0, grad_bias = 0;
  for (std::size_t a = 0; a < 2; ++a) {
    std::vector<double> images(kHalf * kDimension), texts(kHalf * kDimension);
    for (std::size_t b = 0; b < 2; ++b) {
      options.positives = a == b;
      const siglip_call_on_host<double> block(half(x, a), half(y, b), options);
      const siglip_call_on_host<double> of_texts(half(x, b), half(y, a), options);
      loss += block.loss[0];
      grad_scale += block.grad_scale;
      grad_bias += block.grad_bias;
      for (std::size_t i = 0; i < images.size(); ++i) {
        const auto row = static_cast<std::int64_t>(i / kDimension);
        const auto d = static_cast<std::int64_t>(i % kDimension);
        images[i] += block.grad_images.at(row, d);
        texts[i] += of_texts.grad_texts.at(row, d);
      }
    }
    const double scale = std::exp(1.5);
    const siglip_error error = {kDimension, 10, scale, 3};
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::size_t at = a * kHalf + i / kDimension;
      const auto row = static_cast<std::int64_t>(at);
      const auto d = static_cast<std::int64_t>(i % kDimension);
      const double bound = 2 * error.gradient(12) * scale;  // 10 pairs, each a tenth
      EXPECT_LE(std::fabs(images[i] - whole.grad_images.at(row, d)),
                bound / std::sqrt(product(x[at], x[at])));
      EXPECT_LE(std::fabs(texts[i] - whole.grad_texts.at(row, d)),
                bound / std::sqrt(product(y[at], y[at])));
    }
  }
  const siglip_error error = {kDimension, 10, std::exp(1.5), 3};
  EXPECT_LE(std::fabs(loss - whole.loss[0]), 2 * error.loss() * loss);
  EXPECT_LE(std::fabs(grad_scale - whole.grad_scale), 20 * error.gradient(110) * error.size);
  EXPECT_LE(std::fabs(grad_bias - whole.grad_bias), 20 * error.gradient(110));
}

TEST(SiglipReference, DoesNotDependOnThreads) {
  std::mt19937_64 random(8);
  const embedding_rows x = random_embeddings(40, 30, random), y = random_embeddings(60, 30, random);
  const siglip_options options = {.log_scale = 1, .bias = -2, .positive_offset = 9};
  const siglip_call_on_host<float> one(x, y, options, {.threads = 1});
  const siglip_call_on_host<float> several(x, y, options, {.threads = 5});
  EXPECT_EQ(one.loss, several.loss);
  EXPECT_EQ(one.grad_images.storage(), several.grad_images.storage());
  EXPECT_EQ(one.grad_texts.storage(), several.grad_texts.storage());
  EXPECT_EQ(one.grad_scale, several.grad_scale);
  EXPECT_EQ(one.grad_bias, several.grad_bias);
  EXPECT_EQ(one.correct, several.correct);
}

}  // namespace
}  // namespace culoss_test
