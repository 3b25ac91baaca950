// How far cross-entropy against target probabilities may be from the exact one.
//   W = sum_j w_j q'_j   A = sum_j w_j q'_j z_j   loss = W log s - A, s over all columns
// W and A ride beside the running maximum: each term meets the roundings of its own product and of
// the sums; every rise of the maximum moves A by the rise times the weights seen, and the rises that
// a column sees add up to its distance from the maximum. q may be negative, so errors are relative
// to the sums of the sizes, |w_j| ((1 - s) |q_j| + s / C).
#pragma once

#include <memory>
#include <vector>

#include "tests/harness/label_bounds.hpp"

namespace culoss_test {

// Error bounds of one row that is not NaN.
class target_probabilities_row {
 public:
  target_probabilities_row(const double* x, const double* q, std::int64_t cols,
                           const cross_entropy_factors& f, const arithmetic& a)
      : f_(f), a_(a), x_(x), q_(q), cols_(cols), y_(x, x + cols) {
    for (double& y : y_) y = capped(y, f.softcap);
    row_ = std::make_unique<softmax_row>(y_.data(), cols, f.temperature, -1, a,
                                         f.softcap == 0 ? 0 : a.cap);
    for (std::int64_t j = 0; j < cols; ++j) {
      weights_ += size(j);
      if (x[j] == -softmax_row::kInfinity) continue;
      distances_ += size(j) * std::fabs(row_->z(j));
      moved_ += size(j) * row_->z_error(j);
    }
  }

  double loss() const {
    const double log_sum = std::fabs(row_->log_sum());
    const double sums = (2 * a_.weight_adds + 2 * a_.rescales + 8) * a_.u;
    const double error = weights_ * row_->log_sum_error() + weight_sum() * log_sum +
                         sums * distances_ + moved_ + 4 * a_.u * (weights_ * log_sum + distances_);
    return std::fabs(f_.row_weight) * (error + a_.u * z_loss_size() + 4 * a_.smallest) + z_loss();
  }
  double z_loss() const {
    if (f_.z_loss == 0) return 0;
    const double e = lse();
    return std::fabs(f_.row_weight) * (f_.z_loss * e * (2 * std::fabs(lse_value()) + e) +
                                       4 * a_.u * z_loss_size() + 2 * a_.smallest);
  }
  // (W + 2 z_loss lse) p_j - w_j q'_j, times the slope of the cap.
  double gradient(std::int64_t j) const {
    const double scale = std::fabs(f_.gradient_scale);
    const bool masked = x_[j] == -softmax_row::kInfinity;
    const double p = masked ? 0 : row_->pi(j);
    const double lse = 2 * f_.z_loss * std::fabs(lse_value());
    const double all = weights_ + lse;
    const double error = masked ? 4 * a_.u * size(j)
                                : all * p * (row_->pi_error(j) + 8 * a_.u) + weight_sum() * p +
                                      2 * f_.z_loss * this->lse() * p + 8 * a_.u * size(j);
    const double sum = all * p + size(j), slack = 2 * all * a_.flush;
    if (masked || f_.softcap == 0) {
      return size(j) == 0 && masked ? 0 : scale * (error + slack) + 4 * a_.smallest;
    }
    const double slope = cap_slope(x_[j], f_.softcap);
    return scale * (slope * (error + slack + sum * a_.cap_slope_error(x_[j], f_.softcap)) +
                    4 * sum * a_.flush) +
           4 * a_.smallest;
  }
  // (1 - s) w_j (log s - z_j), two terms that are not negative.
  double target_gradient(std::int64_t j) const {
    if (x_[j] == -softmax_row::kInfinity) return 0;
    const double value = row_->log_sum() - row_->z(j);
    const double scale =
        std::fabs(f_.gradient_scale * f_.temperature * f_.weight(j)) * (1 - f_.smoothing);
    return scale * (row_->z_error(j) + row_->log_sum_error() + 8 * a_.u * value) + 4 * a_.smallest;
  }
  double lse() const {
    const double shift = std::fabs(row_->max()) / f_.temperature;
    return row_->log_sum_error() + row_->max_error() / f_.temperature +
           a_.u * (3 * shift + std::fabs(lse_value()));
  }
  double max() const { return row_->max_error(); }
  double log_sum() const { return row_->log_sum_error(); }
  double weight_sum() const { return ((a_.weight_adds + 6) * a_.u + a_.saved) * weights_; }
  double entropy() const { return row_->entropy_error(); }

 private:
  double size(std::int64_t j) const {
    const bool masked = x_[j] == -softmax_row::kInfinity;
    const double share = masked ? 0 : f_.smoothing / static_cast<double>(cols_);
    return std::fabs(f_.weight(j)) * ((1 - f_.smoothing) * std::fabs(q_[j]) + share);
  }
  double lse_value() const { return row_->max() / f_.temperature + row_->log_sum(); }
  double z_loss_size() const { return f_.z_loss * lse_value() * lse_value(); }

  cross_entropy_factors f_;
  arithmetic a_;
  const double* x_;
  const double* q_;
  std::int64_t cols_;
  std::vector<double> y_;
  std::unique_ptr<softmax_row> row_;
  double weights_ = 0;    // sum of the sizes of w_j q'_j
  double distances_ = 0;  // ... times |x_j - m| / T
  double moved_ = 0;      // ... times the error of that
};

}  // namespace culoss_test
