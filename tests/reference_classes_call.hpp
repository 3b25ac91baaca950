// One call of cross_entropy with target probabilities, softmax_focal or sigmoid_focal on the CPU,
// with everything that it returns.
#pragma once

#include "tests/reference_call.hpp"

namespace culoss_test {

template <class T>
struct soft_call {
  using real = culoss::real_of<T>;

  soft_call(const rows_of_logits& x, const rows_of_logits& q,
            const culoss::cross_entropy_options& options)
      : grad_logits(static_cast<std::int64_t>(x.size()), width(x)), grad_targets(grad_logits) {
    const auto n = static_cast<std::int64_t>(x.size());
    const bool none = options.reduction == culoss::reduction::none;
    host_matrix<T> logits(x, width(x)), targets(q, width(x));
    loss.assign(none ? x.size() : 1, real{7});
    if (options.z_loss > 0) z_loss = loss;
    lse.assign(x.size(), real{7});
    entropy = lse;
    argmax.assign(x.size(), 7);
    statistics.assign(x.size(), {7, 7, 7, 7});
    culoss::cross_entropy_soft_outputs<T> outputs = {.loss = {loss.data(), none ? n : 1},
                                                     .grad_logits = grad_logits.view(),
                                                     .grad_targets = grad_targets.view(),
                                                     .lse = {lse.data(), n},
                                                     .statistics = {statistics.data(), n},
                                                     .argmax = {argmax.data(), n},
                                                     .entropy = {entropy.data(), n}};
    if (options.z_loss > 0) outputs.z_loss = {z_loss.data(), none ? n : 1};
    const culoss::cpu where;
    const culoss::status s =
        culoss::cross_entropy(where, logits.view(), targets.view(), outputs, options);
    EXPECT_TRUE(s.ok()) << s.message();
    host_matrix<T> dx(n, width(x)), dq(n, width(x));
    const auto saved = culoss::vector<const culoss::row_statistics<real>>(statistics.data(), n);
    const culoss::status backward = culoss::cross_entropy_backward(
        where, logits.view(), targets.view(), saved,
        {.grad_logits = dx.view(), .grad_targets = dq.view()}, options);
    EXPECT_TRUE(backward.ok()) << backward.message();
    expect_same_gradient(grad_logits, dx, n, width(x));
    expect_same_gradient(grad_targets, dq, n, width(x));
  }

  std::vector<real> loss, lse, entropy, z_loss;  // z_loss: where the option is given
  host_matrix<T> grad_logits, grad_targets;
  std::vector<culoss::row_statistics<real>> statistics;
  std::vector<std::int64_t> argmax;
};

template <class T>
struct softmax_focal_call {
  using real = culoss::real_of<T>;

  softmax_focal_call(const rows_of_logits& x, const std::vector<std::int64_t>& labels,
                     const culoss::softmax_focal_options& options)
      : gradient(static_cast<std::int64_t>(x.size()), width(x)), record() {
    const auto n = static_cast<std::int64_t>(x.size());
    const bool none = options.reduction == culoss::reduction::none;
    host_matrix<T> logits(x, width(x));
    const culoss::vector<const std::int64_t> label_view(labels.data(), n);
    loss.assign(none ? x.size() : 1, real{7});
    argmax.assign(x.size(), 7);
    statistics.assign(x.size(), {7, 7, 7, 7});
    const culoss::cpu where = {.faults = &record};
    const culoss::status s = culoss::softmax_focal(where, logits.view(), label_view,
                                                   {.loss = {loss.data(), none ? n : 1},
                                                    .grad_logits = gradient.view(),
                                                    .statistics = {statistics.data(), n},
                                                    .argmax = {argmax.data(), n},
                                                    .correct = {&correct, 1},
                                                    .rows_counted = {&rows_counted, 1}},
                                                   options);
    EXPECT_TRUE(s.ok()) << s.message();
    culoss::fault_record again = {};
    host_matrix<T> separate(n, width(x));
    const auto saved = culoss::vector<const culoss::row_statistics<real>>(statistics.data(), n);
    const culoss::status backward =
        culoss::softmax_focal_backward(culoss::cpu{.faults = &again}, logits.view(), label_view,
                                       saved, {.grad_logits = separate.view()}, options);
    EXPECT_TRUE(backward.ok()) << backward.message();
    EXPECT_EQ(again.count, record.count);
    expect_same_gradient(gradient, separate, n, width(x));
  }

  std::vector<real> loss;
  host_matrix<T> gradient;
  std::vector<culoss::row_statistics<real>> statistics;
  std::vector<std::int64_t> argmax;
  std::int64_t correct = 7, rows_counted = 7;
  culoss::fault_record record;
};

// Against target probabilities or, without their gradient, against labels.
template <class T>
struct sigmoid_focal_call {
  using real = culoss::real_of<T>;

  sigmoid_focal_call(const rows_of_logits& x, const rows_of_logits& t,
                     const culoss::sigmoid_focal_options& options)
      : sigmoid_focal_call(x, options) {
    host_matrix<T> logits(x, width(x)), targets(t, width(x));
    culoss::sigmoid_focal_outputs<T> outputs = {.grad_logits = grad_logits.view(),
                                                .grad_targets = grad_targets.view()};
    give_loss(options, outputs);
    const culoss::status s =
        culoss::sigmoid_focal(culoss::cpu{}, logits.view(), targets.view(), outputs, options);
    EXPECT_TRUE(s.ok()) << s.message();
  }

  sigmoid_focal_call(const rows_of_logits& x, const std::vector<std::int64_t>& labels,
                     const culoss::sigmoid_focal_options& options)
      : sigmoid_focal_call(x, options) {
    host_matrix<T> logits(x, width(x));
    culoss::sigmoid_focal_label_outputs<T> outputs = {.grad_logits = grad_logits.view(),
                                                      .positives = {&positives, 1}};
    give_loss(options, outputs);
    const culoss::vector<const std::int64_t> label_view(labels.data(),
                                                        static_cast<std::int64_t>(labels.size()));
    const culoss::status s = culoss::sigmoid_focal(culoss::cpu{.faults = &record}, logits.view(),
                                                   label_view, outputs, options);
    EXPECT_TRUE(s.ok()) << s.message();
  }

  real loss = 7;  // under mean and sum
  host_matrix<real> losses;
  host_matrix<T> grad_logits, grad_targets;
  std::int64_t positives = 7;
  culoss::fault_record record;

 private:
  sigmoid_focal_call(const rows_of_logits& x, const culoss::sigmoid_focal_options&)
      : losses(static_cast<std::int64_t>(x.size()), width(x)),
        grad_logits(static_cast<std::int64_t>(x.size()), width(x)),
        grad_targets(grad_logits),
        record() {}

  template <class Outputs>
  void give_loss(const culoss::sigmoid_focal_options& options, Outputs& outputs) {
    if (options.reduction == culoss::reduction::none) {
      outputs.losses = losses.view();
    } else {
      outputs.loss = {&loss, 1};
    }
  }
};

}  // namespace culoss_test
