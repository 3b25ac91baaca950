// How far the losses of softmax rows with a label may be from the exact ones: cross-entropy with
// all its options, softmax focal. See softmax_bounds.hpp for the method, the public headers for the
// formulas.
#pragma once

#include <vector>

#include "tests/harness/softmax_bounds.hpp"

namespace culoss_test {

// What the loss of a row, with target t, is made of:
//   d = z_t - log s, s over the other columns;  p_t = 1 / (1 + exp(-d)),  q = 1 - p_t
//   -log p_t = log(1 + exp(-d)), whose derivative is -q: relatively exact for confident rows too
//   lse - m / T = log s + log(1 + exp(d))
struct target_row {
  softmax_row others;
  double d = std::numeric_limits<double>::infinity();
  double d_error = 0;
  double p = 1, q = 0;
  double p_error = 0, q_error = 0;                // relative
  double loss = 0, loss_error = 0;                // -log p_t
  double other_loss = 0, other_loss_error = 0;    // -log q
  double lse_shifted = 0, lse_shifted_error = 0;  // lse - m / T

  target_row(const double* x, std::int64_t cols, double temperature, std::int64_t target,
             const arithmetic& a, double input = 0, const double* errors = nullptr)
      : others(x, cols, temperature, target, a, input, errors) {
    const double infinity = softmax_row::kInfinity;
    if (others.empty()) return;
    d = x[target] == -infinity ? -infinity : others.z(target) - others.log_sum();
    const double e = std::exp(-std::fabs(d));
    p = (d >= 0 ? 1 : e) / (1 + e);
    q = (d >= 0 ? e : 1) / (1 + e);
    loss = std::max(-d, 0.0) + std::log1p(e);
    other_loss = std::max(d, 0.0) + std::log1p(e);
    lse_shifted = others.log_sum() + other_loss;
    lse_shifted_error = others.log_sum_error() + a.u * std::fabs(lse_shifted);
    if (std::isinf(d)) return;
    d_error = others.z_error(target) + others.log_sum_error() + a.u * std::fabs(d);
    // exp(-|d|) errs by `library`; the sigmoid is then a sum and a quotient.
    p_error = q * (d_error + a.library) + a.library + 4 * a.u;
    q_error = p * (d_error + a.library) + a.library + 4 * a.u;
    const double softplus = std::min(p, q) * a.library + a.library * std::log1p(e);
    loss_error = q * d_error + softplus + a.u * loss + 2 * a.flush;
    other_loss_error = p * d_error + softplus + a.u * other_loss;
    lse_shifted_error += other_loss_error;
  }
};

// The factors of one row of cross-entropy or softmax focal.
struct cross_entropy_factors {
  double smoothing = 0;
  double temperature = 1;
  const float* class_weights = nullptr;  // null: 1
  double row_weight = 1;
  double gradient_scale = 1;  // upstream * row_weight / (T D)
  double softcap = 0;
  double z_loss = 0;
  double gamma = 0;

  double weight(std::int64_t j) const { return class_weights == nullptr ? 1 : class_weights[j]; }
};

// Error bounds of one counted row, its target's column in range and its loss not NaN. Logits may
// come with errors, which a softcap, whose slope is at most 1, does not enlarge.
class cross_entropy_row {
 public:
  cross_entropy_row(const double* x, std::int64_t cols, std::int64_t target,
                    const cross_entropy_factors& f, const arithmetic& a,
                    const double* errors = nullptr)
      : capped_(capped_row(x, cols, f.softcap)),
        y_(f.softcap == 0 ? x : capped_.data()),
        row_(y_, cols, f.temperature, target, a, f.softcap == 0 ? 0 : a.cap, errors),
        f_(f),
        a_(a),
        x_(x),
        errors_(errors),
        target_(target) {
    hard_ = (1 - f.smoothing) * f.weight(target);
    soft_ = f.smoothing / static_cast<double>(cols);
    for (std::int64_t j = 0; j < cols; ++j) {
      if (x[j] == -softmax_row::kInfinity) continue;
      weights_ += std::fabs(f.weight(j));
      if (row_.others.empty()) continue;
      distances_ += std::fabs(f.weight(j) * row_.others.z(j));
      moved_ += std::fabs(f.weight(j)) * row_.others.z_error(j);
    }
    set_focal();
  }
  cross_entropy_row(cross_entropy_row&&) = default;  // a copy's y_ would be the original's

  // loss = row_weight [hard f (-log p_t) + soft sum_j w_j (lse - y_j) + z_loss lse^2], f the focal
  // factor. The sum is kept as W (lse - m) + sum_j w_j (m - y_j), whose terms do not cancel; every
  // change of m multiplies the weights seen.
  double loss() const {
    const double sums = (a_.weight_adds + 2 * a_.rescales) * a_.u;
    const double lse = std::fabs(row_.lse_shifted);
    double smooth = weights_ * row_.lse_shifted_error + (sums + 4 * a_.u) * weights_ * lse +
                    (sums + 6 * a_.u) * distances_;
    if (f_.softcap != 0 || errors_ != nullptr) smooth += moved_;
    const double size = hard_part() + soft_ * (weights_ * lse + distances_) + z_loss_size();
    const double error =
        (hard_ == 0 ? 0
                    : hard_ * (factor_ * row_.loss_error + hard_loss() * factor_ * factor_error_)) +
        soft_ * smooth + 4 * a_.u * size;
    return std::fabs(f_.row_weight) * (error + 4 * a_.smallest) + z_loss();
  }
  // row_weight * z_loss * lse^2
  double z_loss() const {
    if (f_.z_loss == 0) return 0;
    const double e = lse();
    return std::fabs(f_.row_weight) * (f_.z_loss * e * (2 * std::fabs(lse_value()) + e) +
                                       4 * a_.u * z_loss_size() + 2 * a_.smallest);
  }

  // Off the target: hard rate pi_j + (soft W + 2 z_loss lse) p_j - soft w_j, p_j = q pi_j, where
  // rate = -L'(d), q without a focal factor. At it: -hard rate + (soft W + 2 z_loss lse) p_t
  // - soft w_t. All times the slope of the cap.
  double gradient(std::int64_t j) const {
    const double w = std::fabs(f_.weight(j));
    const double sums = a_.weight_adds * a_.u + a_.saved;
    const double scale = std::fabs(f_.gradient_scale);
    const bool at_target = j == target_;
    if (!at_target && (row_.others.empty() || x_[j] == -softmax_row::kInfinity)) return 0;
    const double lse = 2 * f_.z_loss * std::fabs(lse_value());
    const double p = at_target ? row_.p : row_.q * row_.others.pi(j);
    const double pi = at_target ? 1 : row_.others.pi(j);
    const double pi_error = at_target ? 0 : row_.others.pi_error(j);
    const double p_error = at_target ? row_.p_error : row_.q_error + pi_error;
    const double of_loss = hard_ * rate_ * pi, of_all = (soft_ * weights_ + lse) * p;
    const double error = of_loss * (rate_error_ + pi_error + 8 * a_.u) +
                         of_all * (p_error + 8 * a_.u) + soft_ * weights_ * p * sums +
                         (f_.z_loss == 0 ? 0 : 2 * f_.z_loss * lse_error_for_gradient() * p) +
                         8 * a_.u * soft_ * w;
    const double size = of_loss + of_all + soft_ * w;
    const double slack = 2 * (hard_ * std::max(1.0, rate_) + soft_ * weights_ + lse) * a_.flush;
    if (f_.softcap == 0) return scale * (error + slack) + 4 * a_.smallest;
    const double slope = cap_slope(x_[j], f_.softcap);
    // The slope itself falls by at most 2 / c of itself.
    const double of_slope = a_.cap_slope_error(x_[j], f_.softcap) + 2 * input_error(j) / f_.softcap;
    return scale * (slope * (error + slack + size * of_slope) + 4 * size * a_.flush) +
           4 * a_.smallest;
  }

  double lse() const {
    const double shift = row_.others.empty() ? y_[target_] : row_.others.max();
    const double of_shift = std::fabs(shift) / f_.temperature;
    double moved = 0;
    if (f_.softcap != 0) {
      const double target = y_[target_] == -softmax_row::kInfinity ? 0 : std::fabs(y_[target_]);
      moved = a_.cap * (of_shift + target / f_.temperature);
    }
    if (errors_ != nullptr) {
      moved +=
          (row_.others.empty() ? input_error(target_) : row_.others.max_error()) / f_.temperature;
    }
    return row_.lse_shifted_error + moved + a_.u * (3 * of_shift + std::fabs(lse_value()));
  }
  double target_error() const { return input_error(target_); }
  double max() const { return row_.others.empty() ? 0 : row_.others.max_error(); }
  double log_sum() const { return row_.others.empty() ? 0 : row_.others.log_sum_error(); }
  double weight_sum() const { return ((a_.weight_adds + 2) * a_.u + a_.saved) * weights_; }
  // p_t (-log p_t) + q (-log q + H of the others)
  double entropy() const {
    if (row_.others.empty()) return 0;
    const double own = row_.p == 0 ? 0 : row_.p * row_.loss, of_others = row_.others.entropy();
    const double rest = row_.other_loss + of_others;
    const double own_error =
        row_.p == 0 ? 0 : row_.p * row_.loss_error + own * (row_.p_error + 2 * a_.u);
    const double rest_error = row_.other_loss_error + row_.others.entropy_error() + 2 * a_.u * rest;
    return own_error + row_.q * (rest_error + rest * (row_.q_error + 2 * a_.u)) +
           a_.u * (own + row_.q * rest) + 4 * a_.smallest;
  }

 private:
  double input_error(std::int64_t j) const { return errors_ == nullptr ? 0 : errors_[j]; }
  static std::vector<double> capped_row(const double* x, std::int64_t cols, double c) {
    std::vector<double> y;
    if (c == 0) return y;
    for (std::int64_t j = 0; j < cols; ++j) y.push_back(capped(x[j], c));
    return y;
  }
  // f = q^gamma = exp(-gamma (-log q)), or a product; rate = f (gamma p_t (-log p_t) + q).
  void set_focal() {
    rate_ = row_.q;
    rate_error_ = row_.q_error;
    if (f_.gamma == 0) return;
    factor_ = std::pow(row_.q, f_.gamma);
    factor_error_ = f_.gamma * (std::max(row_.other_loss_error, row_.q_error) +
                                2 * a_.u * (1 + row_.other_loss)) +
                    a_.library + 2 * a_.u;
    const double surprise = row_.p == 0 ? 0 : f_.gamma * row_.p * row_.loss;
    const double surprise_error =
        row_.p == 0 ? 0
                    : f_.gamma * row_.p * row_.loss_error + surprise * (row_.p_error + 3 * a_.u);
    const double sum = surprise + row_.q;
    rate_ = factor_ * sum;
    rate_error_ =
        sum == 0 ? 0 : factor_error_ + 2 * a_.u + (surprise_error + row_.q * row_.q_error) / sum;
  }
  double hard_loss() const { return std::isinf(row_.loss) ? 0 : row_.loss; }
  double hard_part() const { return hard_ == 0 ? 0 : hard_ * factor_ * hard_loss(); }
  double lse_value() const {
    if (row_.others.empty()) return y_[target_] / f_.temperature;
    return row_.others.max() / f_.temperature + row_.lse_shifted;
  }
  double z_loss_size() const { return f_.z_loss * lse_value() * lse_value(); }
  // A backward makes the logarithm of the sum again from what was stored.
  double lse_error_for_gradient() const { return lse() + 2 * a_.u * std::fabs(lse_value()); }

  std::vector<double> capped_;
  const double* y_;  // the logits after the softcap
  target_row row_;
  cross_entropy_factors f_;
  arithmetic a_;
  const double* x_;
  const double* errors_;  // of the logits, or null: none
  std::int64_t target_;
  double hard_ = 0, soft_ = 0;
  double weights_ = 0;                    // W, over the columns that are not masked
  double distances_ = 0;                  // sum_j w_j |x_j - m| / T
  double moved_ = 0;                      // its error by those of the logits
  double factor_ = 1, factor_error_ = 0;  // focal; the error is relative
  double rate_ = 0, rate_error_ = 0;      // -L'(d); likewise
};

}  // namespace culoss_test
