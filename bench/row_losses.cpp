#include "bench/row_losses.hpp"

#include "bench/operation_support.hpp"
#include "tests/cases/element_choice.hpp"
#include "tests/cases/embedding_choice.hpp"

namespace culoss::bench {
namespace {

constexpr float kSmoothing = 0.1f, kZLoss = 1e-4f, kSoftcap = 30, kGamma = 2;

constexpr row_loss kLosses[] = {
    {.name = "cross_entropy", .inputs = 1, .statistics = true},
    {.name = "cross_entropy_smoothing", .inputs = 1, .statistics = true, .smoothing = kSmoothing},
    {.name = "cross_entropy_z_loss", .inputs = 1, .statistics = true, .z_loss = kZLoss},
    {.name = "cross_entropy_softcap", .inputs = 1, .statistics = true, .softcap = kSoftcap},
    {.name = "cross_entropy_all",
     .inputs = 1,
     .statistics = true,
     .smoothing = kSmoothing,
     .z_loss = kZLoss,
     .softcap = kSoftcap,
     .class_weights = true,
     .entropy = true},
    {.name = "cross_entropy_targets", .inputs = 2, .labels = false, .statistics = true},
    {.name = "cross_entropy_strided", .inputs = 1, .statistics = true},
    {.name = "softmax_focal", .inputs = 1, .statistics = true, .gamma = kGamma},
    {.name = "softmax_focal_1.5", .inputs = 1, .statistics = true, .gamma = 1.5f},
    {.name = "softmax_focal_strided", .inputs = 1, .statistics = true, .gamma = kGamma},
    {.name = "sigmoid_focal", .inputs = 2, .labels = false, .gamma = kGamma},
    {.name = "sigmoid_focal_labels", .inputs = 1, .gamma = kGamma},
    {.name = "mse", .inputs = 2, .labels = false},
    {.name = "huber", .inputs = 2, .labels = false},
    {.name = "binary_cross_entropy", .inputs = 2, .labels = false},
    {.name = "hinge_labels", .inputs = 1},
    {.name = "nll", .inputs = 0},
    {.name = "smooth_labels", .inputs = 0, .scalar = false, .smoothing = kSmoothing},
    {.name = "smooth_targets",
     .inputs = 1,
     .input = kUniforms,
     .labels = false,
     .scalar = false,
     .smoothing = kSmoothing},
    {.name = "entropy", .inputs = 1, .input = kUniforms, .labels = false},
    {.name = "entropy_logits", .inputs = 1, .labels = false},
    {.name = "kl_divergence", .inputs = 2, .input = kUniforms, .labels = false},
    {.name = "distillation", .inputs = 2, .labels = false},
    {.name = "distillation_jensen_shannon", .inputs = 2, .labels = false},
    {.name = "multi_class_hinge", .inputs = 1},
    {.name = "cosine_embedding", .inputs = 2},
    {.name = "contrastive", .inputs = 2},
    {.name = "triplet", .inputs = 3, .labels = false},
    {.name = "softmax", .inputs = 1, .labels = false, .scalar = false},
    {.name = "log_softmax", .inputs = 1, .labels = false, .scalar = false},
    {.name = "info_nce_own", .inputs = 1, .labels = false},
};

culoss_test::element_choice element_choice_of(loss which) {
  using enum culoss_test::element_function;
  culoss_test::element_choice c(which == loss::mse                    ? mse
                                : which == loss::huber                ? huber
                                : which == loss::binary_cross_entropy ? binary_cross_entropy
                                                                      : hinge);
  c.labels = which == loss::hinge_labels;
  return c;
}

culoss_test::embedding_choice embedding_choice_of(loss which) {
  using enum culoss_test::embedding_function;
  return culoss_test::embedding_choice(which == loss::triplet       ? triplet
                                       : which == loss::contrastive ? contrastive
                                                                    : cosine_embedding);
}

entropy_input entropy_of(loss which) {
  return which == loss::entropy ? entropy_input::probabilities : entropy_input::logits;
}

distillation_direction direction_of(loss which) {
  return which == loss::distillation ? distillation_direction::forward
                                     : distillation_direction::jensen_shannon;
}

cross_entropy_options options_of(const row_loss& of, const auto& arrays) {
  cross_entropy_options o{.reduction = arrays.reduction};
  o.label_smoothing = of.smoothing;
  o.z_loss = of.z_loss;
  o.softcap = of.softcap;
  o.class_weights = arrays.class_weights;
  return o;
}

// Logits against labels, of either view.
template <class T, class Where, class Logits, class Gradient>
status labeled(const sweep_row& row, const Where& where, const call_arrays<T>& a,
               const Logits& logits, const Gradient& gradient) {
  const row_loss& of = properties(row.loss);
  const vector<const row_statistics<real_of<T>>> saved = a.statistics;
  if (of.gamma != 0) {
    const softmax_focal_options o{.reduction = a.reduction, .gamma = of.gamma};
    if (row.mode == mode::backward && !a.gradient.empty()) {
      return softmax_focal_backward(where, logits, a.labels, saved,
                                    softmax_focal_backward_outputs<T, Gradient>{gradient}, o);
    }
    return softmax_focal(where, logits, a.labels,
                         softmax_focal_outputs<T, Gradient>{
                             .loss = a.loss, .grad_logits = gradient, .statistics = a.statistics},
                         o);
  }
  const cross_entropy_options o = options_of(of, a);
  if (row.mode == mode::backward && !a.gradient.empty()) {
    return cross_entropy_backward(where, logits, a.labels, saved,
                                  cross_entropy_backward_outputs<T, Gradient>{gradient}, o);
  }
  return cross_entropy(where, logits, a.labels,
                       cross_entropy_outputs<T, Gradient>{.loss = a.loss,
                                                          .grad_logits = gradient,
                                                          .statistics = a.statistics,
                                                          .entropy = a.entropy},
                       o);
}

template <class T>
strided_logits<T> images(const sweep_row& row, matrix<T> m) {
  if (m.empty()) return {};
  return {m.data, row.rows / row.inner, row.cols, row.inner};
}

template <class T, class Where>
status call_targets(const sweep_row& row, const Where& where, const call_arrays<T>& a) {
  const cross_entropy_options o = options_of(properties(row.loss), a);
  if (row.mode == mode::backward && !a.gradient.empty()) {
    return cross_entropy_backward(where, a.x, a.g,
                                  vector<const row_statistics<real_of<T>>>(a.statistics),
                                  cross_entropy_soft_backward_outputs<T>{a.gradient, a.second}, o);
  }
  return cross_entropy(where, a.x, a.g,
                       cross_entropy_soft_outputs<T>{.loss = a.loss,
                                                     .grad_logits = a.gradient,
                                                     .grad_targets = a.second,
                                                     .statistics = a.statistics},
                       o);
}

template <class T, class Where>
status call_sigmoid_focal(const sweep_row& row, const Where& where, const call_arrays<T>& a) {
  sigmoid_focal_options o{.reduction = a.reduction, .gamma = properties(row.loss).gamma};
  if (row.loss == loss::sigmoid_focal) {
    return sigmoid_focal(where, a.x, a.g,
                         sigmoid_focal_outputs<T>{.loss = a.loss,
                                                  .losses = a.losses,
                                                  .grad_logits = a.gradient,
                                                  .grad_targets = a.second},
                         o);
  }
  o.mean_over = focal_mean::positives;
  return sigmoid_focal(
      where, a.x, a.labels,
      sigmoid_focal_label_outputs<T>{.loss = a.loss, .losses = a.losses, .grad_logits = a.gradient},
      o);
}

template <class T, class Where>
status call_element(const sweep_row& row, const Where& where, const call_arrays<T>& a) {
  culoss_test::element_views<T> v;
  v.input = a.x;
  v.targets = a.g;
  v.labels = a.labels;
  v.loss = a.loss;
  v.losses = a.losses;
  v.gradient = a.gradient;
  v.target_gradient = a.second;
  return culoss_test::call_element_loss(element_choice_of(row.loss), where, v,
                                        [&](auto& o) { o.reduction = a.reduction; });
}

template <class T, class Where>
status call_pairs(const sweep_row& row, const Where& where, const call_arrays<T>& a) {
  culoss_test::embedding_views<T> v;
  v.in[0] = a.x;
  v.in[1] = a.g;
  v.in[2] = a.h;
  v.out[0] = a.gradient;
  v.out[1] = a.second;
  v.labels = a.labels;
  v.loss = a.loss;
  return culoss_test::call_embedding_loss(embedding_choice_of(row.loss), where, v,
                                          [&](auto& o) { o.reduction = a.reduction; });
}

template <class T, class Where>
status call_on_device(const sweep_row& row, const Where& where, const call_arrays<T>& a) {
  const bool backward = row.mode == mode::backward;
  const smooth_labels_options smoothing{.smoothing = properties(row.loss).smoothing};
  switch (row.loss) {
    case loss::cross_entropy_targets:
      return call_targets(row, where, a);
    case loss::sigmoid_focal:
    case loss::sigmoid_focal_labels:
      return call_sigmoid_focal(row, where, a);
    case loss::mse:
    case loss::huber:
    case loss::binary_cross_entropy:
    case loss::hinge_labels:
      return call_element(row, where, a);
    case loss::nll:
      return nll(where, a.x, a.labels, nll_outputs<T>{.loss = a.loss, .grad_input = a.gradient},
                 {.reduction = a.reduction});
    case loss::smooth_labels:
      return smooth_labels(where, a.labels, a.gradient, smoothing);
    case loss::smooth_targets:
      return backward ? smooth_labels_backward(where, a.x, a.gradient, smoothing)
                      : smooth_labels(where, a.x, a.gradient, smoothing);
    case loss::entropy:
    case loss::entropy_logits:
      return entropy(where, a.x, entropy_outputs<T>{.loss = a.loss, .grad_input = a.gradient},
                     {.reduction = a.reduction, .input = entropy_of(row.loss)});
    case loss::cosine_embedding:
    case loss::contrastive:
    case loss::triplet:
      return call_pairs(row, where, a);
    case loss::kl_divergence:
      return kl_divergence(
          where, a.x, a.g,
          kl_divergence_outputs<T>{.loss = a.loss, .grad_p = a.gradient, .grad_q = a.second},
          {.reduction = a.reduction, .q_input = kl_input::log_probabilities});
    case loss::distillation:
    case loss::distillation_jensen_shannon:
      return distillation(where, a.x, a.g,
                          distillation_outputs<T>{
                              .loss = a.loss, .grad_student = a.gradient, .grad_teacher = a.second},
                          {.reduction = a.reduction, .direction = direction_of(row.loss)});
    case loss::multi_class_hinge:
      return multi_class_hinge(
          where, a.x, a.labels,
          multi_class_hinge_outputs<T>{.loss = a.loss, .grad_scores = a.gradient},
          {.reduction = a.reduction});
    case loss::softmax:
      return backward ? softmax_backward(where, a.x, a.g, a.gradient)
                      : softmax(where, a.x, a.gradient);
    case loss::log_softmax:
      return backward ? log_softmax_backward(where, a.x, a.g, a.gradient)
                      : log_softmax(where, a.x, a.gradient);
    default:
      return row.inner > 0 ? labeled(row, where, a, images(row, a.x), images(row, a.gradient))
                           : labeled(row, where, a, a.x, a.gradient);
  }
}

}  // namespace

const row_loss& properties(loss value) { return kLosses[static_cast<int>(value)]; }

int matrices_read(const sweep_row& row) {
  return properties(row.loss).inputs + (is_softmax(row.loss) && row.mode == mode::backward ? 1 : 0);
}
int matrices_written(const sweep_row& row) {
  if (!properties(row.loss).scalar) return 1;
  return row.mode == mode::forward ? 0 : row.mode == mode::both ? 2 : 1;
}

template <class T>
void call_loss(const sweep_row& row, const std::variant<cpu, cuda>& where,
               const call_arrays<T>& arrays) {
  call_on<T>(where, [&](const auto& on) { return call_on_device(row, on, arrays); });
}
template void call_loss(const sweep_row&, const std::variant<cpu, cuda>&,
                        const call_arrays<float>&);
template void call_loss(const sweep_row&, const std::variant<cpu, cuda>&, const call_arrays<half>&);
template void call_loss(const sweep_row&, const std::variant<cpu, cuda>&, const call_arrays<bf16>&);
template void call_loss(const sweep_row&, const std::variant<cpu, cuda>&,
                        const call_arrays<double>&);

std::size_t workspace_bytes(const sweep_row& row) {
  switch (row.loss) {
    case loss::sigmoid_focal:
    case loss::sigmoid_focal_labels:
      return sigmoid_focal_workspace_bytes(row.rows, row.cols);
    case loss::mse:
    case loss::huber:
    case loss::binary_cross_entropy:
    case loss::hinge_labels:
      return culoss_test::workspace_bytes_of(element_choice_of(row.loss), row.rows, row.cols);
    case loss::nll:
      return nll_workspace_bytes(row.rows, row.cols);
    case loss::entropy:
    case loss::entropy_logits:
      return entropy_workspace_bytes(row.rows, row.cols);
    case loss::cosine_embedding:
    case loss::contrastive:
    case loss::triplet:
      return culoss_test::workspace_bytes_of(embedding_choice_of(row.loss), row.rows, row.cols);
    case loss::kl_divergence:
      return kl_divergence_workspace_bytes(row.rows, row.cols);
    case loss::distillation:
    case loss::distillation_jensen_shannon:
      return distillation_workspace_bytes(row.rows, row.cols);
    case loss::multi_class_hinge:
      return multi_class_hinge_workspace_bytes(row.rows, row.cols);
    default:
      if (!properties(row.loss).scalar) return 0;
      return properties(row.loss).gamma != 0 ? softmax_focal_workspace_bytes(row.rows, row.cols)
                                             : cross_entropy_workspace_bytes(row.rows, row.cols);
  }
}

}  // namespace culoss::bench
