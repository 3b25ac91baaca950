// Real input: a linear embedding of handwritten digits, trained so that two views of the same image
// are more alike than views of different ones. Every fifth digit is held out.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/digits.hpp"

namespace culoss_test {
namespace {

constexpr std::int64_t kSide = 8;
constexpr std::size_t kDimension = 32, kBatch = 256, kSteps = 60;
constexpr double kNoise = 0.05, kTemperature = 0.1, kStep = 2;

// Top-1 retrieval of a run on the CPU in double: before and after. What the other runs must reach
// lies halfway.
constexpr double kUntrained = 0.042, kTrained = 0.426;

const split_digit_images& data() {
  static const split_digit_images all = read_centered_digits();
  return all;
}

// Images with noise: as they are, or each moved by a pixel up, down, left or right.
std::vector<double> view_of(const digit_images& d, const std::vector<std::size_t>& which,
                            bool moved, random_numbers& random) {
  constexpr std::int64_t kMoves[][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
  std::vector<double> x;
  for (const std::size_t i : which) {
    const auto move = static_cast<std::size_t>(random.below(4));
    const std::int64_t down = moved ? kMoves[move][0] : 0, right = moved ? kMoves[move][1] : 0;
    for (std::int64_t r = 0; r < kSide; ++r) {
      for (std::int64_t c = 0; c < kSide; ++c) {
        const std::int64_t from_r = r - down, from_c = c - right;
        const bool inside = from_r >= 0 && from_r < kSide && from_c >= 0 && from_c < kSide;
        const auto from = static_cast<std::size_t>(from_r * kSide + from_c);
        x.push_back((inside ? d.pixels[i * kPixels + from] : 0) + kNoise * random.normal());
      }
    }
  }
  return x;
}

using weights = std::vector<double>;  // [kPixels, kDimension]

// How many of the held-out images find their own second view among all.
double retrieval(const weights& w) {
  const digit_images& d = data().held_out;
  random_numbers random(12);
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < d.rows(); ++i) all.push_back(i);
  const std::vector<double> a = embed(view_of(d, all, false, random), w, kDimension);
  const std::vector<double> b = embed(view_of(d, all, true, random), w, kDimension);
  std::size_t found = 0;
  for (std::size_t i = 0; i < d.rows(); ++i) {
    std::size_t best = 0;
    double best_similarity = -2;
    for (std::size_t j = 0; j < d.rows(); ++j) {
      double dot = 0, norm = 0;
      for (std::size_t k = 0; k < kDimension; ++k) {
        dot += a[i * kDimension + k] * b[j * kDimension + k];
        norm += b[j * kDimension + k] * b[j * kDimension + k];
      }
      if (dot / std::sqrt(norm) > best_similarity) {
        best_similarity = dot / std::sqrt(norm);
        best = j;
      }
    }
    found += best == i ? 1 : 0;
  }
  return static_cast<double>(found) / static_cast<double>(d.rows());
}

struct training {
  weights w = random_projection(kDimension);
  double first_loss = 0, last_loss = 0;
};

// Gradient descent on batches of pairs of views. On the device every call's results are also held
// against the CPU's from the same embeddings, under their bounds.
training train(space where, element type, bool symmetric) {
  similarity_choice c{.symmetric = symmetric};
  c.scale_gradient = c.counts = false;
  const digit_images& d = data().train;
  training t;
  random_numbers random(13);
  similarity_numbers p;
  p.type = type;
  p.rows = p.keys = static_cast<std::int64_t>(kBatch);
  p.dimension = static_cast<std::int64_t>(kDimension);
  p.scale = static_cast<float>(kTemperature);
  p.q.resize(kBatch * kDimension);
  p.k = p.q;
  const auto call = prepare(c, p, {.where = where});
  for (std::size_t step = 0; step < kSteps; ++step) {
    std::vector<std::size_t> batch;
    for (std::size_t i = 0; i < kBatch; ++i) {
      batch.push_back(static_cast<std::size_t>(random.below(static_cast<std::int64_t>(d.rows()))));
    }
    const std::vector<double> a = view_of(d, batch, false, random);
    const std::vector<double> b = view_of(d, batch, true, random);
    p.q = embed(a, t.w, kDimension);
    p.k = embed(b, t.w, kDimension);
    call->write(p);
    const results r = call->read(call->launch());
    if (where == space::cuda && step % 20 == 0) {
      EXPECT_EQ(complaint(r, expect(c, p)), "") << "step " << step;
    } else {
      EXPECT_TRUE(r.status.ok()) << r.status.message();
    }
    t.last_loss = r["loss"][0];
    if (step == 0) t.first_loss = t.last_loss;
    for (std::size_t i = 0; i < kBatch * kPixels; ++i) {
      const std::size_t row = i / kPixels * kDimension, pixel = i % kPixels * kDimension;
      for (std::size_t k = 0; k < kDimension; ++k) {
        t.w[pixel + k] -=
            kStep * (a[i] * r["grad_queries"][row + k] + b[i] * r["grad_keys"][row + k]);
      }
    }
  }
  return t;
}

class info_nce_digits : public on_each_space {};

TEST_P(info_nce_digits, finds_the_second_view_of_what_it_has_not_seen) {
  ASSERT_EQ(data().held_out.rows(), 359u);
  const double untrained = retrieval(random_projection(kDimension));
  for (const bool symmetric : {false, true}) {
    if (reduced_run() && !symmetric) continue;
    const training t = train(GetParam(), element::float32, symmetric);
    const double trained = retrieval(t.w);
    std::printf(
        "  %s on %s: loss %.3f to %.3f in %zu steps; the second view is found for %.1f%% of the "
        "held out digits, untrained for %.1f%%\n",
        symmetric ? "clip" : "info_nce", name_of(GetParam()), t.first_loss, t.last_loss, kSteps,
        100 * trained, 100 * untrained);
    constexpr double kBar = (kUntrained + kTrained) / 2;
    EXPECT_GE(trained, kBar);
    EXPECT_LT(untrained, kBar);
    EXPECT_LT(t.last_loss, t.first_loss);
  }
}

CULOSS_ON_EACH_SPACE(info_nce_digits);

}  // namespace
}  // namespace culoss_test
