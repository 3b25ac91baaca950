// The handwritten digits of tests/data, every fifth of them held out.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

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

}  // namespace culoss_test
