// Real input: a linear embedding of handwritten digits, trained by batch-hard triplets so that
// digits of one kind are near each other. Every fifth digit is held out: its kind is that of the
// nearest training digit.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/cases/mined_triplet_check.hpp"
#include "tests/harness/digits.hpp"

namespace culoss_test {
namespace {

constexpr std::size_t kDimension = 8, kBatch = 128, kSteps = 80;
constexpr double kStep = 0.3;

// Of the held-out digits whose nearest neighbor is of their kind; and by how much training must
// raise it.
constexpr double kBar = 0.94, kGain = 0.01;

const split_digit_images& data() {
  static const split_digit_images all = read_centered_digits();
  return all;
}

using weights = std::vector<double>;  // [kPixels, kDimension]

double accuracy(const weights& w) {
  const digit_images &known = data().train, &asked = data().held_out;
  const std::vector<double> a = embed(asked.pixels, w, kDimension),
                            b = embed(known.pixels, w, kDimension);
  std::size_t right = 0;
  for (std::size_t i = 0; i < asked.rows(); ++i) {
    std::size_t nearest = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < known.rows(); ++j) {
      double sum = 0;
      for (std::size_t d = 0; d < kDimension; ++d) {
        const double e = a[i * kDimension + d] - b[j * kDimension + d];
        sum += e * e;
      }
      if (sum >= least) continue;
      least = sum;
      nearest = j;
    }
    right += known.labels[nearest] == asked.labels[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(asked.rows());
}

struct training {
  weights w = random_projection(kDimension);
  double first_loss = 0, last_loss = 0;
};

// Gradient descent on random batches. On the device some results are also held against the CPU's
// from the same embeddings, under their bounds.
training train(space where) {
  const mined_choice c{.margin = 0, .soft_margin = true};
  const digit_images& d = data().train;
  training t;
  random_numbers random(13);
  mined_numbers p;
  p.rows = static_cast<std::int64_t>(kBatch);
  p.dimension = static_cast<std::int64_t>(kDimension);
  p.x.resize(kBatch * kDimension);
  p.labels.resize(kBatch);
  const auto call = prepare(c, p, {.where = where});
  for (std::size_t step = 0; step < kSteps; ++step) {
    std::vector<double> x;
    for (std::size_t i = 0; i < kBatch; ++i) {
      const auto k = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(d.rows())));
      x.insert(x.end(), d.pixels.begin() + static_cast<std::ptrdiff_t>(k * kPixels),
               d.pixels.begin() + static_cast<std::ptrdiff_t>((k + 1) * kPixels));
      p.labels[i] = d.labels[k];
    }
    p.x = embed(x, t.w, kDimension);
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
        t.w[pixel + k] -= kStep * x[i] * r["gradient"][row + k];
      }
    }
  }
  return t;
}

class mined_triplet_digits : public on_each_space {};

TEST_P(mined_triplet_digits, finds_the_kind_of_what_it_has_not_seen) {
  if (reduced_run() && GetParam() == space::cuda) GTEST_SKIP() << "not in the reduced run";
  ASSERT_EQ(data().held_out.rows(), 359u);
  const double untrained = accuracy(random_projection(kDimension));
  const training t = train(GetParam());
  const double trained = accuracy(t.w);
  std::printf(
      "  on %s: loss %.3f to %.3f in %zu steps; of the held out digits %.1f%% are of the kind of "
      "their nearest neighbor, untrained %.1f%%\n",
      name_of(GetParam()), t.first_loss, t.last_loss, kSteps, 100 * trained, 100 * untrained);
  EXPECT_GE(trained, kBar);
  EXPECT_GE(trained, untrained + kGain);
  EXPECT_LT(t.last_loss, t.first_loss);
}

CULOSS_ON_EACH_SPACE(mined_triplet_digits);

}  // namespace
}  // namespace culoss_test
