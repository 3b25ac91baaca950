// The sweep's losses as cases of the tests.
#include "bench/row_losses.hpp"
#include "tests/cases/all.hpp"

namespace culoss::bench {
namespace {

using namespace culoss_test;

softmax_function function_of(const sweep_row& row) {
  const bool backward = row.mode == bench::mode::backward;
  if (row.loss == loss::softmax) {
    return backward ? softmax_function::softmax_backward : softmax_function::softmax;
  }
  return backward ? softmax_function::log_softmax_backward : softmax_function::log_softmax;
}

smoothing_form form_of(const sweep_row& row) {
  if (row.loss == loss::smooth_labels) return smoothing_form::of_labels;
  return row.mode == bench::mode::backward ? smoothing_form::backward : smoothing_form::of_rows;
}

template <class Case, class Choice>
std::unique_ptr<loss_case> make_case(Choice choice, const sweep_row& row,
                                     culoss::reduction reduction, double divisor) {
  const row_loss& of = properties(row.loss);
  choice.reduction = reduction;
  choice.class_weights = of.class_weights;
  if constexpr (requires { choice.smoothing; }) choice.smoothing = of.smoothing;
  if constexpr (requires { choice.z_loss; }) choice.z_loss = of.z_loss;
  if constexpr (requires { choice.softcap; }) choice.softcap = of.softcap;
  if constexpr (requires { choice.gamma; }) choice.gamma = of.gamma;
  if constexpr (requires { choice.inner; }) choice.inner = row.inner;
  if constexpr (requires { choice.entropy; }) choice.entropy = of.entropy;
  if (reduction == culoss::reduction::mean) {
    choice.normalizer_source = source::value;
    choice.normalizer = static_cast<float>(divisor);
    if (static_cast<double>(choice.normalizer) != divisor) {
      throw std::logic_error("the divisor of the mean is no float");
    }
  }
  return std::make_unique<Case>(choice);
}

}  // namespace

std::unique_ptr<loss_case> case_of(const sweep_row& row, culoss::reduction reduction,
                                   double divisor) {
  const auto make = [&]<class Case, class Choice>(std::type_identity<Case>, const Choice& choice) {
    return make_case<Case>(choice, row, reduction, divisor);
  };
  switch (row.loss) {
    case loss::cross_entropy_targets:
      return make(std::type_identity<cross_entropy_targets_case>{}, target_choice());
    case loss::softmax_focal:
    case loss::softmax_focal_fractional:
    case loss::softmax_focal_strided:
      return make(std::type_identity<softmax_focal_case>{}, softmax_focal_choice());
    case loss::sigmoid_focal:
      return make(std::type_identity<sigmoid_focal_case>{}, sigmoid_focal_choice());
    case loss::sigmoid_focal_labels:
      return make(std::type_identity<sigmoid_focal_case>{}, sigmoid_focal_of_labels());
    case loss::mse:
      return make(std::type_identity<element_case>{}, element_choice(element_function::mse));
    case loss::huber:
      return make(std::type_identity<element_case>{}, element_choice(element_function::huber));
    case loss::binary_cross_entropy:
      return make(std::type_identity<element_case>{},
                  element_choice(element_function::binary_cross_entropy));
    case loss::hinge_labels:
      return make(std::type_identity<element_case>{}, hinge_of_labels());
    case loss::nll:
      return make(std::type_identity<nll_case>{}, nll_choice());
    case loss::smooth_labels:
    case loss::smooth_targets:
      return make(std::type_identity<smooth_labels_case>{}, smooth_labels_choice(form_of(row)));
    case loss::entropy:
      return make(std::type_identity<entropy_case>{},
                  entropy_choice(culoss::entropy_input::probabilities));
    case loss::entropy_logits:
      return make(std::type_identity<entropy_case>{},
                  entropy_choice(culoss::entropy_input::logits));
    case loss::cosine_embedding:
      return make(std::type_identity<embedding_case>{},
                  embedding_choice(embedding_function::cosine_embedding));
    case loss::contrastive:
      return make(std::type_identity<embedding_case>{},
                  embedding_choice(embedding_function::contrastive));
    case loss::triplet:
      return make(std::type_identity<embedding_case>{},
                  embedding_choice(embedding_function::triplet));
    case loss::kl_divergence:
      return make(std::type_identity<kl_case>{}, kl_choice(false, true));
    case loss::distillation:
    case loss::distillation_jensen_shannon: {
      distillation_choice choice(row.loss == loss::distillation
                                     ? culoss::distillation_direction::forward
                                     : culoss::distillation_direction::jensen_shannon);
      choice.beta = 0.5f;
      return make(std::type_identity<distillation_case>{}, choice);
    }
    case loss::multi_class_hinge:
      return make(std::type_identity<multi_hinge_case>{}, multi_hinge_choice());
    case loss::softmax:
    case loss::log_softmax:
      return std::make_unique<softmax_case>(softmax_choice{.function = function_of(row)});
    default:
      return make(std::type_identity<cross_entropy_case>{}, plain_cross_entropy());
  }
}

}  // namespace culoss::bench
