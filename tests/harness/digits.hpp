// The handwritten digits of tests/data, every fifth of them held out.
#pragma once

#include <zlib.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/problem.hpp"

namespace culoss_test {

inline constexpr std::size_t kPixels = 64;  // 8 x 8

struct digit_images {
  std::vector<double> pixels;  // [rows, kPixels], 0 to 1
  std::vector<std::int64_t> labels;

  std::size_t rows() const { return labels.size(); }
};

struct split_digit_images {
  digit_images train, held_out;
};

inline split_digit_images read_digits() {
  constexpr const char* kPath = CULOSS_TEST_DATA "/digits.csv.gz";
  const gzFile file = gzopen(kPath, "rb");
  if (file == nullptr) throw std::runtime_error(std::string("cannot open ") + kPath);
  split_digit_images all;
  char line[512];
  for (std::size_t index = 0; gzgets(file, line, sizeof line) != nullptr; ++index) {
    digit_images& d = index % 5 == 4 ? all.held_out : all.train;
    const char* at = line;
    char* end = line;
    for (std::size_t k = 0; k < kPixels; ++k, at = end + 1) {
      d.pixels.push_back(static_cast<double>(std::strtol(at, &end, 10)) / 16);
    }
    d.labels.push_back(std::strtol(at, &end, 10));
  }
  gzclose(file);
  return all;
}

// Less the mean of each pixel over the training digits.
inline split_digit_images read_centered_digits() {
  split_digit_images d = read_digits();
  for (std::size_t k = 0; k < kPixels; ++k) {
    double mean = 0;
    for (std::size_t i = 0; i < d.train.rows(); ++i) mean += d.train.pixels[i * kPixels + k];
    mean /= static_cast<double>(d.train.rows());
    for (digit_images* part : {&d.train, &d.held_out}) {
      for (std::size_t i = 0; i < part->rows(); ++i) part->pixels[i * kPixels + k] -= mean;
    }
  }
  return d;
}

// A linear embedding: weights [kPixels, dimension].
inline std::vector<double> random_projection(std::size_t dimension) {
  random_numbers random(11);
  std::vector<double> w(kPixels * dimension);
  for (double& v : w) v = random.normal() / std::sqrt(static_cast<double>(kPixels));
  return w;
}
// Of images x to rows that a float holds.
inline std::vector<double> embed(const std::vector<double>& x, const std::vector<double>& w,
                                 std::size_t dimension) {
  std::vector<double> e(x.size() / kPixels * dimension);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / kPixels * dimension, pixel = i % kPixels * dimension;
    for (std::size_t d = 0; d < dimension; ++d) e[row + d] += x[i] * w[pixel + d];
  }
  for (double& v : e) v = round_to(element::float32, v);
  return e;
}

}  // namespace culoss_test
