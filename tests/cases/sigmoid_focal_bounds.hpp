// How far the sigmoid focal loss of an element may be from the exact one (focal.hpp has the
// formulas). With e = exp(-|x|), which errs by `library`: sg and log1p(e) err by 2 library and a
// few u relatively at both ends, BCE and u = 1 - p_t = t sg(-x) + (1 - t) sg(x) are sums of terms of
// one sign. u^gamma by products, or as 2^(gamma log2 u), whose argument errs by 2^-22 relatively.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/harness/arithmetic.hpp"

namespace culoss_test {

struct sigmoid_focal_bound {
  double loss = 0, gradient = 0, target_gradient = 0;
  double size = 0;  // of the loss itself

  // `weight` of the loss, `scale` of the gradients.
  sigmoid_focal_bound(double x, double t, double gamma, double alpha, double weight, double scale,
                      const arithmetic& a) {
    if (std::isnan(x) || std::isnan(t)) return;
    const double u = a.u, r = 2 * a.library + 4 * u;  // relative error of sg, softplus
    const double e = std::exp(-std::fabs(x));
    const double p = (x >= 0 ? 1 : e) / (1 + e), q = (x >= 0 ? e : 1) / (1 + e);
    const double above = part(1 - t, std::fmax(x, 0.0)) + (1 - t) * std::log1p(e);
    const double bce = part(t, std::fmax(-x, 0.0)) + t * std::log1p(e) + above;
    const double bce_error = r + 3 * u;
    const double missing = t * q + (1 - t) * p;  // 1 - p_t
    const double missing_error = r + 4 * u;
    const bool product = gamma == 0 || gamma == 1 || gamma == 2;
    const double f = gamma == 0 ? 1 : std::pow(missing, gamma);
    const double log2 = missing > 0 ? std::fabs(std::log2(missing)) : 0;
    const double f_error = gamma * missing_error +
                           (product ? u : a.exp_error + gamma * log2 * a.exp_error + 4 * u * gamma);
    const double share = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
    const double lost = product ? a.smallest : a.flush;  // what a power may lose to underflow

    if (std::isfinite(bce)) {
      const double value = share * f * bce;
      size = std::fabs(weight) * value;
      loss = std::fabs(weight) * (value * (f_error + bce_error + 8 * u) + 2 * lost * (1 + bce)) +
             2 * a.smallest;
    }
    // u^gamma [(1 - t) p - t q + gamma BCE (1 - 2 t) p q / u]
    const double ratio = missing > 0 ? p * q / missing : 0;
    // At an infinite logit nothing is left of this term.
    const double slope = ratio == 0 ? 0 : gamma * bce * ratio;
    const double sharper = slope * std::fabs(1 - 2 * t);
    const double sizes = (1 - t) * p + t * q + sharper;
    const double inner = ((1 - t) * p + t * q) * (r + 4 * u) +
                         sharper * (bce_error + 2 * r + missing_error + 10 * u) + slope * 2 * u;
    gradient = std::fabs(scale) * share *
                   (f * (inner + sizes * (f_error + 6 * u)) + 2 * lost * (1 + sizes)) +
               4 * a.smallest;
    if (std::isinf(x)) return;  // the gradient of the target is 0 or infinite

    // u^gamma [(2 alpha - 1) BCE - a_t x + a_t gamma BCE (sg(-x) - sg(x)) / u]
    const double of_alpha = alpha < 0 ? 0 : std::fabs(2 * alpha - 1) * bce;
    const double of_power = missing > 0 ? share * gamma * bce / missing : 0;
    const double spread = std::fabs(q - p);
    const double target_sizes = of_alpha + share * std::fabs(x) + of_power * spread;
    const double target_inner =
        of_alpha * (bce_error + 3 * u) + (alpha < 0 ? 0 : 2 * u * bce) +
        share * std::fabs(x) * 4 * u +
        of_power * (spread * (bce_error + missing_error + 8 * u) + r * (p + q));
    target_gradient = std::fabs(scale) * (f * (target_inner + target_sizes * (f_error + 6 * u)) +
                                          2 * lost * (1 + target_sizes)) +
                      4 * a.smallest;
  }

 private:
  // A factor of exactly 0 switches an infinite term off.
  static double part(double factor, double term) { return factor == 0 ? 0 : factor * term; }
};

}  // namespace culoss_test
