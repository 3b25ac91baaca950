// Real input: a linear classifier of handwritten digits, trained by the library's cross-entropy on
// the CPU and on the device. Every fifth digit is held out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/digits.hpp"

namespace culoss_test {
namespace {

constexpr std::size_t kFeatures = kPixels + 1, kClasses = 10;  // the last is 1: bias
constexpr int kSteps = 150;

struct digits {
  std::vector<double> x;  // [rows, kFeatures]
  std::vector<std::int64_t> labels;

  explicit digits(const digit_images& images) : labels(images.labels) {
    for (std::size_t i = 0; i < rows(); ++i) {
      const auto row = images.pixels.begin() + static_cast<std::ptrdiff_t>(i * kPixels);
      x.insert(x.end(), row, row + kPixels);
      x.push_back(1);
    }
  }
  std::size_t rows() const { return labels.size(); }
};

struct split_digits {
  digits train, held_out;
};

// Less the mean of each pixel over the training digits: then gradient descent may take larger
// steps.
void center(split_digits& all) {
  for (std::size_t k = 0; k < kPixels; ++k) {
    double mean = 0;
    for (std::size_t i = 0; i < all.train.rows(); ++i) mean += all.train.x[i * kFeatures + k];
    mean /= static_cast<double>(all.train.rows());
    for (digits* d : {&all.train, &all.held_out}) {
      for (std::size_t i = 0; i < d->rows(); ++i) d->x[i * kFeatures + k] -= mean;
    }
  }
}

const split_digits& data() {
  static const split_digits all = [] {
    const split_digit_images images = read_digits();
    split_digits read{digits(images.train), digits(images.held_out)};
    center(read);
    return read;
  }();
  return all;
}

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

// An upper bound of the largest eigenvalue of X^T X / N: its Frobenius norm.
double largest_eigenvalue(const digits& d) {
  std::vector<double> a(kFeatures * kFeatures);
  for (std::size_t i = 0; i < d.rows(); ++i) {
    const double* x = &d.x[i * kFeatures];
    for (std::size_t k = 0; k < a.size(); ++k) {
      a[k] += x[k / kFeatures] * x[k % kFeatures] / static_cast<double>(d.rows());
    }
  }
  return norm(a);
}

std::vector<double> logits_of(const digits& d, const std::vector<float>& weights) {
  std::vector<double> z(d.rows() * kClasses);
  for (std::size_t i = 0; i < d.rows(); ++i) {
    for (std::size_t k = 0; k < kFeatures; ++k) {
      const double x = d.x[i * kFeatures + k];
      for (std::size_t j = 0; j < kClasses; ++j) {
        z[i * kClasses + j] += x * static_cast<double>(weights[k * kClasses + j]);
      }
    }
  }
  return z;
}

double accuracy_of(const digits& d, const std::vector<float>& weights) {
  const std::vector<double> z = logits_of(d, weights);
  std::size_t right = 0;
  for (std::size_t i = 0; i < d.rows(); ++i) {
    const auto row = z.begin() + static_cast<std::ptrdiff_t>(i * kClasses);
    const auto best = std::max_element(row, row + static_cast<std::ptrdiff_t>(kClasses)) - row;
    if (best == d.labels[i]) ++right;
  }
  return static_cast<double>(right) / static_cast<double>(d.rows());
}

// A training run, and how far it may be from one in exact arithmetic.
//
// Gradient descent with a step of at most 2 / L does not expand distances: the loss is convex and
// its gradient has the Lipschitz constant L = lambda / 2, lambda the largest eigenvalue of X^T X /
// N (the Hessian of a row's loss by its logits is at most 1/2). So each step only adds its own
// error
//   |error| <= step * sqrt(N lambda) * (u |z| / (2 N) + |bound of the gradient|) + u |w|
// from the roundings of the logits z, of the library's gradient and of the weights w, and the
// losses of two runs that are a distance D apart differ by at most |gradient| D + L D^2 / 2 and the
// errors of the two values.
struct training {
  std::vector<float> weights = std::vector<float>(kFeatures * kClasses, 0.0f);
  std::vector<double> losses, loss_errors, distances, gradients;
  double smoothness = 0;  // L

  explicit training(space where) {
    const digits& d = data().train;
    const auto rows = static_cast<double>(d.rows());
    const double lambda = largest_eigenvalue(d);
    smoothness = lambda / 2;
    const double step = 2 / smoothness, u = 0x1p-24;

    const cross_entropy_case loss(plain_cross_entropy());
    const execution how{.where = where};
    problem p;
    p.rows = static_cast<std::int64_t>(d.rows());
    p.cols = static_cast<std::int64_t>(kClasses);
    p.x.resize(d.rows() * kClasses);
    p.labels = d.labels;
    const std::unique_ptr<invocation> call = loss.prepare(p, how);
    double distance = 0;
    for (int k = 0; k < kSteps; ++k) {
      p.x = logits_of(d, weights);
      double largest = 0;
      for (double& z : p.x) {
        z = round_to(element::float32, z);
        largest = std::max(largest, std::fabs(z));
      }
      call->write(p);
      const results r = call->read(call->launch());
      if (!r.status.ok()) throw std::runtime_error(r.status.message());
      const std::vector<expectation> expected = loss.expect(p, how);
      const std::vector<double>& g = r.outputs.at(kGradientOutput).values;

      std::vector<double> gradient(kFeatures * kClasses);
      for (std::size_t i = 0; i < d.rows(); ++i) {
        for (std::size_t f = 0; f < kFeatures; ++f) {
          const double x = d.x[i * kFeatures + f];
          for (std::size_t j = 0; j < kClasses; ++j) {
            gradient[f * kClasses + j] += x * g[i * kClasses + j];
          }
        }
      }
      losses.push_back(r.outputs.at(kLossOutput).values.at(0));
      // A row's loss moves by at most twice its largest change of a logit.
      loss_errors.push_back(expected.at(kLossOutput).bounds.at(0) + 2 * u * largest);
      distances.push_back(distance);
      gradients.push_back(norm(gradient));

      double size = 0;
      for (std::size_t e = 0; e < weights.size(); ++e) {
        weights[e] = static_cast<float>(static_cast<double>(weights[e]) - step * gradient[e]);
        size += static_cast<double>(weights[e]) * static_cast<double>(weights[e]);
      }
      distance += step * std::sqrt(rows * lambda) *
                      (u * norm(p.x) / (2 * rows) + norm(expected.at(kGradientOutput).bounds)) +
                  u * std::sqrt(size);
    }
  }
};

const training& trained(space where) {
  static const training on_cpu(space::cpu);
  if (where == space::cpu) return on_cpu;
  static const training on_cuda(space::cuda);
  return on_cuda;
}

class digits_classifier : public on_each_space {};

TEST_P(digits_classifier, is_right_for_95_percent_of_what_it_has_not_seen) {
  ASSERT_EQ(data().train.rows() + data().held_out.rows(), 1797u);
  ASSERT_EQ(data().held_out.rows(), 359u);
  const training& t = trained(GetParam());
  const double seen = accuracy_of(data().train, t.weights);
  const double held_out = accuracy_of(data().held_out, t.weights);
  std::printf(
      "  %s: loss %.4f to %.4f in %d steps; right: %.1f%% of the training digits, %.1f%% of "
      "the held out ones\n",
      name_of(GetParam()), t.losses.front(), t.losses.back(), kSteps, 100 * seen, 100 * held_out);
  EXPECT_GE(held_out, 0.95);
  EXPECT_LE(std::fabs(t.losses.front() - std::log(10.0)), t.loss_errors.front());  // no weights
}

TEST(digits_curves, of_the_cpu_and_the_device_agree) {
  CULOSS_NEEDS_CUDA();
  const training &a = trained(space::cpu), &b = trained(space::cuda);
  double largest = 0, worst = 0;
  for (std::size_t k = 0; k < a.losses.size(); ++k) {
    const double apart = a.distances[k] + b.distances[k];
    const double bound = std::min(a.gradients[k], b.gradients[k]) * apart +
                         a.smoothness / 2 * apart * apart + a.loss_errors[k] + b.loss_errors[k];
    const double difference = std::fabs(a.losses[k] - b.losses[k]);
    EXPECT_LE(difference, bound) << "step " << k;
    largest = std::max(largest, difference);
    worst = std::max(worst, bound);
  }
  std::printf("  the losses of %d steps differ by at most %.2g; their bounds go up to %.2g\n",
              kSteps, largest, worst);
}

CULOSS_ON_EACH_SPACE(digits_classifier);

}  // namespace
}  // namespace culoss_test
