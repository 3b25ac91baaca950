#include "bench/row_losses.hpp"

#include <stdexcept>
#include <utility>

#include "bench/operation_support.hpp"
#include "tests/cases/all.hpp"

namespace culoss::bench {
namespace {

using namespace culoss_test;

// A case of the tests: its choice knows the call and the workspace, the case what comes back.
template <class Case, class Choice>
tested_loss tested(const Choice& choice) {
  constexpr bool kHasBackward = requires { choice.call_backward(cpu(), loss_views<float>(), 0); };
  const auto at = [choice](std::int64_t inner) {
    Choice c = choice;
    if constexpr (requires { c.inner; }) c.inner = inner;
    return c;
  };
  const auto maker = [at]<bool kBackward>(std::bool_constant<kBackward>) {
    return [at]<class T>(std::type_identity<T>, std::int64_t inner) -> call_of<T> {
      return [c = at(inner)](const std::variant<cpu, cuda>& where, const loss_views<T>& v,
                             culoss::reduction reduction) {
        const auto set_shared = [&](auto& o) {
          if constexpr (requires { o.reduction; }) o.reduction = reduction;
          if constexpr (requires { o.class_weights; }) o.class_weights = v.class_weights;
        };
        call_on<T>(where, [&](const auto& on) {
          if constexpr (kBackward) return c.call_backward(on, v, set_shared);
          if constexpr (!kBackward) return c.call(on, v, set_shared);
        });
      };
    };
  };
  const auto of_all_types = [](const auto& m) { return tested_loss::makers{m, m, m, m}; };
  tested_loss t;
  t.call = of_all_types(maker(std::false_type{}));
  if constexpr (kHasBackward) t.backward = of_all_types(maker(std::true_type{}));
  t.statistics = kHasBackward;
  t.workspace_bytes = [choice](std::int64_t rows, std::int64_t cols) -> std::size_t {
    if constexpr (requires { choice.workspace_bytes(rows, cols); }) {
      return choice.workspace_bytes(rows, cols);
    }
    return 0;
  };
  t.expected = [at](culoss::reduction reduction, double divisor, std::int64_t inner) {
    Choice c = at(inner);
    if constexpr (std::is_base_of_v<row_choice, Choice>) {
      c.reduction = reduction;
      if (reduction == culoss::reduction::mean) {
        c.normalizer_source = source::value;
        c.normalizer = static_cast<float>(divisor);
        if (static_cast<double>(c.normalizer) != divisor) {
          throw std::logic_error("the divisor of the mean is no float");
        }
      }
    }
    return std::make_unique<Case>(c);
  };
  t.matrices = Case(choice).streams();
  if constexpr (std::is_base_of_v<row_choice, Choice>) {
    t.labels = choice.labels;
    t.class_weights = choice.class_weights;
  }
  if constexpr (requires { choice.entropy; }) t.entropy = choice.entropy;
  if constexpr (requires { choice.unlike(); }) t.unlike = choice.unlike();
  t.elements = std::is_same_v<Case, element_case> || std::is_same_v<Case, sigmoid_focal_case>;
  return t;
}

tested_loss cross_entropy_with(const std::function<void(cross_entropy_choice&)>& set) {
  cross_entropy_choice c;
  set(c);
  return tested<cross_entropy_case>(c);
}
tested_loss row_by_row(tested_loss t) {
  t.reduction = culoss::reduction::none;
  return t;
}
tested_loss softmax_focal_of(float gamma) {
  softmax_focal_choice c;
  c.gamma = gamma;
  return tested<softmax_focal_case>(c);
}
tested_loss sigmoid_focal_of_positives() {
  sigmoid_focal_choice c = sigmoid_focal_of_labels();
  c.mean_over = focal_mean::positives;
  return tested<sigmoid_focal_case>(c);
}
tested_loss of_elements(element_function f) { return tested<element_case>(element_choice(f)); }
tested_loss of_embeddings(embedding_function f) {
  return tested<embedding_case>(embedding_choice(f));
}
tested_loss softmax_of(softmax_function f) {
  return tested<softmax_case>(softmax_choice{.function = f});
}
tested_loss smoothing_of(smoothing_form f) {
  return tested<smooth_labels_case>(smooth_labels_choice(f));
}
tested_loss distillation_in(distillation_direction d) {
  distillation_choice c(d);
  c.beta = 0.5f;
  return tested<distillation_case>(c);
}

std::vector<row_loss> make_row_losses() {
  using enum sizes;
  const std::vector<mode> forward{mode::forward}, fused{mode::fused}, in_place{mode::in_place};
  const std::vector<mode> one{mode::forward, mode::fused};  // of a loss with one gradient, or two
  const std::vector<mode> two{mode::forward, mode::fused, mode::both};
  const std::vector<mode> all{mode::forward, mode::backward, mode::fused};
  const std::vector<mode> backward{mode::forward, mode::backward};
  const std::vector<mode> anchors{mode::forward, mode::fused, mode::in_place};
  const std::vector<mode> soft{mode::forward, mode::backward, mode::fused, mode::both};
  constexpr float kSmoothing = 0.1f, kZLoss = 1e-4f, kSoftcap = 30;
  using choice = cross_entropy_choice;
  return {
      {.name = "cross_entropy_strided",
       .loss = tested<cross_entropy_case>(choice()),
       .runs = {{{images}, all}}},
      {.name = "softmax_focal_strided", .loss = softmax_focal_of(2), .runs = {{{images}, all}}},
      {.name = "sigmoid_focal",
       .loss = tested<sigmoid_focal_case>(sigmoid_focal_choice()),
       .runs = {{{detection, elements}, two}}},
      {.name = "binary_cross_entropy",
       .loss = of_elements(element_function::binary_cross_entropy),
       .runs = {{{detection, elements}, two}}},
      {.name = "sigmoid_focal_labels",
       .loss = sigmoid_focal_of_positives(),
       .background = true,
       .runs = {{{detection}, anchors}}},
      {.name = "mse", .loss = of_elements(element_function::mse), .runs = {{{elements}, two}}},
      {.name = "huber", .loss = of_elements(element_function::huber), .runs = {{{elements}, two}}},
      {.name = "hinge_labels",
       .loss = tested<element_case>(hinge_of_labels()),
       .runs = {{{many_classes}, one}}},
      {.name = "cross_entropy_smoothing",
       .loss = cross_entropy_with([](choice& c) { c.smoothing = kSmoothing; }),
       .runs = {{{vocabulary}, all}}},
      {.name = "cross_entropy_z_loss",
       .loss = cross_entropy_with([](choice& c) { c.z_loss = kZLoss; }),
       .runs = {{{vocabulary}, all}}},
      {.name = "cross_entropy_softcap",
       .loss = cross_entropy_with([](choice& c) { c.softcap = kSoftcap; }),
       .runs = {{{vocabulary}, all}}},
      {.name = "cross_entropy_all",
       .loss = cross_entropy_with([](choice& c) {
         c.smoothing = kSmoothing;
         c.z_loss = kZLoss;
         c.softcap = kSoftcap;
         c.class_weights = c.entropy = true;
       }),
       .runs = {{{classes}, all}}},
      {.name = "cross_entropy",
       .loss = tested<cross_entropy_case>(choice()),
       .runs = {{{classes}, in_place}}},
      {.name = "cross_entropy_of_rows",
       .loss = row_by_row(tested<cross_entropy_case>(choice())),
       .runs = {{{few_rows}, one}}},
      {.name = "cross_entropy_targets",
       .loss = tested<cross_entropy_targets_case>(target_choice()),
       .runs = {{{classes}, soft}}},
      {.name = "softmax_focal", .loss = softmax_focal_of(2), .runs = {{{classes}, all}}},
      {.name = "softmax_focal_1.5", .loss = softmax_focal_of(1.5f), .runs = {{{classes}, fused}}},
      {.name = "entropy",
       .loss = tested<entropy_case>(entropy_choice(entropy_input::probabilities)),
       .input = kUniforms,
       .runs = {{{classes}, one}}},
      {.name = "entropy_logits",
       .loss = tested<entropy_case>(entropy_choice(entropy_input::logits)),
       .runs = {{{classes}, one}}},
      {.name = "kl_divergence",
       .loss = tested<kl_case>(kl_choice(false, true)),
       .input = kUniforms,
       .runs = {{{classes}, two}}},
      {.name = "distillation",
       .loss = distillation_in(distillation_direction::forward),
       .runs = {{{classes}, two}}},
      {.name = "distillation_jensen_shannon",
       .loss = distillation_in(distillation_direction::jensen_shannon),
       .runs = {{{classes}, two}}},
      {.name = "multi_class_hinge",
       .loss = tested<multi_hinge_case>(multi_hinge_choice()),
       .runs = {{{classes}, one}}},
      {.name = "cosine_embedding",
       .loss = of_embeddings(embedding_function::cosine_embedding),
       .runs = {{{embeddings}, two}}},
      {.name = "contrastive",
       .loss = of_embeddings(embedding_function::contrastive),
       .runs = {{{embeddings}, two}}},
      {.name = "triplet",
       .loss = of_embeddings(embedding_function::triplet),
       .runs = {{{embeddings}, two}}},
      // A forward reads so little that only many narrow matrices get it out of the cache.
      {.name = "nll",
       .loss = tested<nll_case>(nll_choice()),
       .sectors = 1,
       .runs = {{{few_classes}, forward}, {{classes}, fused}}},
      {.name = "smooth_labels",
       .loss = smoothing_of(smoothing_form::of_labels),
       .sectors = 0,
       .scalar = false,
       .runs = {{{classes}, forward}}},
      {.name = "smooth_targets",
       .loss = smoothing_of(smoothing_form::of_rows),
       .own_backward = smoothing_of(smoothing_form::backward),
       .input = kUniforms,
       .scalar = false,
       .runs = {{{vocabulary}, backward}}},
      {.name = "softmax",
       .loss = softmax_of(softmax_function::softmax),
       .own_backward = softmax_of(softmax_function::softmax_backward),
       .scalar = false},
      {.name = "log_softmax",
       .loss = softmax_of(softmax_function::log_softmax),
       .own_backward = softmax_of(softmax_function::log_softmax_backward),
       .scalar = false},
  };
}

}  // namespace

const std::vector<row_loss>& row_losses() {
  static const std::vector<row_loss> losses = make_row_losses();
  return losses;
}

const row_loss* row_loss_named(const std::string& name) {
  for (const row_loss& l : row_losses()) {
    if (l.name == name) return &l;
  }
  throw std::logic_error("no loss " + name);
}

const row_loss* own_negatives_loss() {
  static const row_loss loss{.name = "info_nce_own"};
  return &loss;
}

}  // namespace culoss::bench
