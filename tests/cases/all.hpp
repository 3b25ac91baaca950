// Every loss with every choice of options that the tests of the promises run over. A new loss adds
// its header and its line here.
#pragma once

#include <memory>
#include <vector>

#include "tests/cases/cross_entropy.hpp"
#include "tests/cases/softmax.hpp"

namespace culoss_test {

using case_list = std::vector<std::shared_ptr<const loss_case>>;

// All options.
inline const case_list& all_cases() {
  static const case_list cases = [] {
    case_list list;
    for (const auto& c : softmax_choices()) list.push_back(std::make_shared<softmax_case>(c));
    for (const auto& c : cross_entropy_choices()) {
      list.push_back(std::make_shared<cross_entropy_case>(c));
    }
    return list;
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
    list.push_back(std::make_shared<cross_entropy_case>(plain_cross_entropy()));
    return list;
  }();
  return cases;
}

// These, and cross-entropy with the least and with the most that a row's state can hold.
inline const case_list& state_cases() {
  static const case_list cases = [] {
    case_list list = plain_cases();
    for (const auto& c : {bare_cross_entropy(), weighted_and_smoothed_cross_entropy()}) {
      list.push_back(std::make_shared<cross_entropy_case>(c));
    }
    return list;
  }();
  return cases;
}

}  // namespace culoss_test
