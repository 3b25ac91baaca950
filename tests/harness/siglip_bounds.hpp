// How far the pairs of SigLIP may be from the exact ones. First order in u but for the errors of z,
// which may be large:
//
//   z_ij     the error of l_ij (similarity_bounds.hpp), and the sum's: u |z|
//   e        exp(-|z|) as computed: that of the exponential, and 2 u |z| of its argument
//   sigmoid  of y = -t z: the errors of y and e pass by sigmoid(-y); 6 u of the quotient
//   softplus of y: the error of y passes by sigmoid(y), that of e by e / (1 + e) <= e; the product
//            of up to 8 (1 + e) is rounded 16 times, log1p once; then come the sums
#pragma once

#include "tests/harness/similarity_bounds.hpp"

namespace culoss_test {

// A pair's loss and the size of its gradient dl, and their errors before any sum.
struct sigmoid_pair {
  double loss, loss_error, size, error;

  sigmoid_pair(double l, double l_error, double bias, bool positive,
               const similarity_arithmetic& a) {
    const double z = l + bias, y = positive ? -z : z;
    const double of_z = std::expm1(l_error + a.u * std::fabs(z));
    const double of_e = a.exp_error + 2 * a.u * std::fabs(z);
    const double e = std::exp(-std::fabs(z)), log = std::log1p(e);
    const double other = (y >= 0 ? e : 1) / (1 + e);
    size = (y >= 0 ? 1 : e) / (1 + e);
    error = size * (other * (of_z + of_e) + 6 * a.u) + a.flush;
    loss = std::max(y, 0.0) + log;
    loss_error = size * of_z + e * of_e + log * (16 * a.u + a.library) + a.flush;
  }
};

// Roundings on the longest way of a pair into its row's sums. A lane takes 8 of 256 columns at a
// time, at most 8 times, and one logarithm each; the rest is added in double, and a row's sum is
// rounded once. The reference adds all in double.
inline double sigmoid_roundings(std::int64_t columns, const similarity_arithmetic& a) {
  const auto count = static_cast<double>(columns);
  return (a.slice > 1 ? 9 * std::min(count / 256 + 1, 8.0) : count) + 2;
}

}  // namespace culoss_test
