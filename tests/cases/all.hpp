// Every loss with every choice of options that the tests of the promises run over. A new loss adds
// its header and its lines here.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy.hpp"
#include "tests/cases/cross_entropy_targets.hpp"
#include "tests/cases/distillation.hpp"
#include "tests/cases/element_loss.hpp"
#include "tests/cases/embedding.hpp"
#include "tests/cases/entropy.hpp"
#include "tests/cases/kl_divergence.hpp"
#include "tests/cases/multi_class_hinge.hpp"
#include "tests/cases/nll.hpp"
#include "tests/cases/sigmoid_focal.hpp"
#include "tests/cases/smooth_labels.hpp"
#include "tests/cases/softmax.hpp"
#include "tests/cases/softmax_focal.hpp"

namespace culoss_test {

using case_list = std::vector<std::shared_ptr<const loss_case>>;

template <class Case, class Choices>
void append(case_list& list, const Choices& choices) {
  for (const auto& c : choices) list.push_back(std::make_shared<Case>(c));
}

// Those that the environment asks for, where it asks: by the beginnings of their names.
inline case_list chosen(case_list list) {
  const char* const asked = std::getenv("CULOSS_TEST_CASES");
  if (asked == nullptr) return list;
  const auto other = [&](const std::shared_ptr<const loss_case>& c) {
    std::istringstream beginnings(asked);
    for (std::string b; beginnings >> b;) {
      if (c->name().rfind(b, 0) == 0) return false;
    }
    return true;
  };
  list.erase(std::remove_if(list.begin(), list.end(), other), list.end());
  return list;
}

// All options.
inline const case_list& all_cases() {
  static const case_list cases = [] {
    case_list list;
    append<softmax_case>(list, softmax_choices());
    append<cross_entropy_case>(list, cross_entropy_choices());
    append<cross_entropy_targets_case>(list, cross_entropy_targets_choices());
    append<softmax_focal_case>(list, softmax_focal_choices());
    append<sigmoid_focal_case>(list, sigmoid_focal_choices());
    append<element_case>(list, element_choices());
    append<nll_case>(list, nll_choices());
    append<smooth_labels_case>(list, smooth_labels_choices());
    append<entropy_case>(list, entropy_choices());
    append<kl_case>(list, kl_choices());
    append<distillation_case>(list, distillation_choices());
    append<multi_hinge_case>(list, multi_hinge_choices());
    append<embedding_case>(list, embedding_choices());
    return chosen(list);
  }();
  return cases;
}

// Each function once, without options: for what depends on shapes and memory.
inline const case_list& plain_cases() {
  static const case_list cases = [] {
    case_list list;
    for (const auto& c : softmax_choices()) {
      if (c.temperature == 1) list.push_back(std::make_shared<softmax_case>(c));
    }
    append<cross_entropy_case>(list,
                               std::vector{plain_cross_entropy(), strided(plain_cross_entropy())});
    append<cross_entropy_targets_case>(list, std::vector{target_choice()});
    append<softmax_focal_case>(list, std::vector{softmax_focal_choice()});
    append<sigmoid_focal_case>(list,
                               std::vector{sigmoid_focal_choice(), sigmoid_focal_of_labels()});
    append<element_case>(list, plain_element_choices());
    append<nll_case>(list, std::vector{nll_of_probabilities()});
    append<smooth_labels_case>(list, std::vector{smooth_labels_choice(smoothing_form::of_labels),
                                                 smooth_labels_choice(smoothing_form::of_rows),
                                                 smooth_labels_choice(smoothing_form::backward)});
    append<entropy_case>(list, std::vector{entropy_choice(culoss::entropy_input::probabilities),
                                           entropy_choice(culoss::entropy_input::logits)});
    append<kl_case>(list, std::vector{kl_choice()});
    append<multi_hinge_case>(list, std::vector{multi_hinge_choice()});
    append<distillation_case>(
        list, std::vector{distillation_choice(),
                          distillation_choice(culoss::distillation_direction::jensen_shannon)});
    append<embedding_case>(list, plain_embedding_choices());
    return chosen(list);
  }();
  return cases;
}

// These, and the row losses with the least and with the most that a row's state can hold.
inline const case_list& state_cases() {
  static const case_list cases = [] {
    case_list list = plain_cases();
    append<cross_entropy_case>(
        list, std::vector{bare_cross_entropy(), weighted_and_smoothed_cross_entropy(),
                          full_cross_entropy(), strided(full_cross_entropy())});
    append<cross_entropy_targets_case>(list, std::vector{full_cross_entropy_targets()});
    append<element_case>(list, std::vector{weighted_mse()});
    return chosen(list);
  }();
  return cases;
}

}  // namespace culoss_test
