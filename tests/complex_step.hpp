// Complex steps through the formulas of the losses: Im f(x + ih) / h is the derivative to h^2,
// without a difference that could cancel (Squire and Trapp, "Using complex variables to estimate
// derivatives of real functions", 1998). With the rows that they are taken at.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <functional>
#include <random>
#include <vector>

namespace culoss_test {

using complex = std::complex<double>;

inline constexpr double kStep = 0x1p-100;
inline constexpr double kUnit = 0x1p-53;

enum class kind { normal, wide, confident, wrong, masked, offset };
inline constexpr kind kKinds[] = {kind::normal, kind::wide,   kind::confident,
                                  kind::wrong,  kind::masked, kind::offset};
inline constexpr std::size_t kWidths[] = {1, 2, 3, 7, 37};
inline constexpr float kTemperatures[] = {1.0f, 0.5f, 5.0f};

inline std::vector<double> make_row(kind k, std::size_t cols, std::size_t target,
                                    std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<double> x(cols);
  for (std::size_t j = 0; j < cols; ++j) {
    x[j] = normal(random) * (k == kind::wide ? 10 : 1) + (k == kind::offset ? 1e3 : 0);
    if (k == kind::masked && j % 3 == 1 && j != target) x[j] = -HUGE_VAL;
  }
  if (k == kind::confident) x[target] += 20;
  if (k == kind::wrong) x[target] -= 20;
  return x;
}

inline std::vector<float> positive_floats(std::size_t size, std::mt19937_64& random) {
  std::uniform_real_distribution<float> uniform(0.25f, 2.0f);
  std::vector<float> v(size);
  std::generate(v.begin(), v.end(), [&] { return uniform(random); });
  return v;
}

// Relative error of a probability p_j = exp(z_j) / sum of C exponentials, z = (x - max) / T, and so
// of every factor that the gradients are made of: a difference, a division and an exponential of z
// give (2|z| + 2) u, the sum C u more, its logarithm 2 |log sum| u <= 2 log(C) u, the log-odds
// another 3|z| u; a sigmoid or a quotient a few u.
inline double error_of_probability(const std::vector<double>& x, double temperature) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double v : x) {
    if (v == -HUGE_VAL) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const auto cols = static_cast<double>(x.size());
  return (cols + 5 * (high - low) / temperature + 2 * std::log(cols) + 12) * kUnit;
}

// The derivative of f by x_j.
inline double complex_step(const std::vector<double>& x, std::size_t j,
                           const std::function<complex(const std::vector<complex>&)>& f) {
  std::vector<complex> z(x.begin(), x.end());
  z[j] += complex(0, kStep);
  return f(z).imag() / kStep;
}

}  // namespace culoss_test
