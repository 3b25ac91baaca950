// Order statistics of a handful of timings.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace culoss::bench {

struct quartiles {
  double lower = 0, median = 0, upper = 0;
};

// Linear interpolation between the order statistics (type 7 of Hyndman and Fan, "Sample quantiles
// in statistical packages", 1996; what NumPy does): q = 0 is the smallest, q = 1 the largest.
inline double quantile_of_sorted(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(position));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - std::floor(position)) * (sorted[above] - sorted[below]);
}

inline quartiles quartiles_of(std::vector<double> samples) {
  if (samples.empty()) throw std::invalid_argument("quartiles of no samples");
  std::sort(samples.begin(), samples.end());
  return {quantile_of_sorted(samples, 0.25), quantile_of_sorted(samples, 0.5),
          quantile_of_sorted(samples, 0.75)};
}

}  // namespace culoss::bench
