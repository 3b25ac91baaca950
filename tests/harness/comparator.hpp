// Compares what a call returned with what it should have, element by element, each under its own
// bound. A pure function gives the verdict, so that a test can show that it rejects.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace culoss_test {

// One array that a call returned.
struct output {
  std::string name;
  std::vector<double> values;
};

// What it should be. A bound of 0 demands the value itself. A value that may round past `largest`
// may come out infinite.
struct expectation {
  std::string name;
  std::int64_t cols = 1;
  std::vector<double> values;
  std::vector<double> bounds;
  double largest = std::numeric_limits<double>::infinity();
};

struct verdict {
  std::int64_t failures = 0;
  double worst_ratio = 0;  // the largest error over its bound; infinite where the class differs
  std::int64_t worst_index = -1;
  std::string message;

  bool ok() const { return failures == 0; }
};

// The error of an element as a multiple of its bound: at most 1 passes. NaN passes only for NaN,
// and an infinite value only for the same one.
inline double error_ratio(double actual, double expected, double bound, double largest) {
  const double never = std::numeric_limits<double>::infinity();
  if (std::isnan(expected)) return std::isnan(actual) ? 0 : never;
  if (std::isinf(expected)) return actual == expected ? 0 : never;
  if (!(bound >= 0 && bound < never)) return never;  // a bound that bounds nothing
  const double error = std::fabs(actual - expected);
  if (error == 0) return 0;
  if (std::isinf(actual) && std::signbit(actual) == std::signbit(expected) &&
      std::fabs(expected) + bound > largest) {
    return 0;
  }
  if (!(error <= bound)) return std::isfinite(error) && bound > 0 ? error / bound : never;
  return error / bound;
}

inline verdict compare(const output& actual, const expectation& expected) {
  verdict v;
  std::ostringstream message;
  message.precision(17);
  const std::size_t size = expected.values.size();
  if (actual.name != expected.name || actual.values.size() != size ||
      expected.bounds.size() != size) {
    message << "expected " << size << " values of " << expected.name << " with "
            << expected.bounds.size() << " bounds, got " << actual.values.size() << " of "
            << actual.name;
    return {.failures = 1,
            .worst_ratio = std::numeric_limits<double>::infinity(),
            .message = message.str()};
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double ratio =
        error_ratio(actual.values[i], expected.values[i], expected.bounds[i], expected.largest);
    if (!(ratio <= 1)) ++v.failures;
    if (!(ratio <= v.worst_ratio)) {
      v.worst_ratio = ratio;
      v.worst_index = static_cast<std::int64_t>(i);
    }
  }
  if (!v.ok()) {
    const auto i = static_cast<std::size_t>(v.worst_index);
    message << v.failures << " of " << size << " values of " << expected.name
            << " are wrong; the worst, row " << v.worst_index / expected.cols << " column "
            << v.worst_index % expected.cols << ": " << actual.values[i] << ", expected "
            << expected.values[i] << " +- " << expected.bounds[i] << " (" << v.worst_ratio
            << " times the bound)";
    v.message = message.str();
  }
  return v;
}

inline verdict compare(const std::vector<output>& actual,
                       const std::vector<expectation>& expected) {
  verdict all;
  if (actual.size() != expected.size()) {
    all.failures = 1;
    all.worst_ratio = std::numeric_limits<double>::infinity();
    all.message =
        std::to_string(actual.size()) + " outputs, expected " + std::to_string(expected.size());
    return all;
  }
  for (std::size_t k = 0; k < actual.size(); ++k) {
    const verdict v = compare(actual[k], expected[k]);
    all.failures += v.failures;
    if (v.worst_ratio > all.worst_ratio) {
      all.worst_ratio = v.worst_ratio;
      all.worst_index = v.worst_index;
    }
    if (!v.ok()) all.message += (all.message.empty() ? "" : "\n") + v.message;
  }
  return all;
}

}  // namespace culoss_test
