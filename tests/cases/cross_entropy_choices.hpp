// Choices of cross-entropy's options.
#pragma once

#include <array>
#include <culoss/cross_entropy.hpp>
#include <string>
#include <vector>

#include "tests/harness/pairwise.hpp"

namespace culoss_test {

// Where a number comes from.
enum class source { absent, value, device, rows };

struct cross_entropy_choice {
  std::string name;
  culoss::reduction reduction = culoss::reduction::mean;
  float smoothing = 0;
  bool class_weights = false;
  bool row_weights = false;
  float temperature = 1;
  source temperature_source = source::value;
  source upstream = source::value;
  float upstream_value = 1;
  source normalizer_source = source::absent;
  float normalizer = 1;
  bool wide_labels = true;
  std::int64_t ignore_index = -100;
  culoss::empty_batch empty = culoss::empty_batch::zero;
  bool more_outputs = true;  // lse, argmax, correct, rows_counted
};

// The options of the examples: a mean, nothing else.
inline cross_entropy_choice plain_cross_entropy() {
  cross_entropy_choice c;
  c.name = "cross_entropy";
  return c;
}

// Without arg-max and counts: the kernels then carry the plain softmax state alone.
inline cross_entropy_choice bare_cross_entropy() {
  cross_entropy_choice c;
  c.name = "cross_entropy_bare";
  c.reduction = culoss::reduction::none;
  c.more_outputs = false;
  c.wide_labels = false;
  return c;
}

// Smoothing and weights at once: the sums that ride along with the softmax.
inline cross_entropy_choice weighted_and_smoothed_cross_entropy() {
  cross_entropy_choice c;
  c.name = "cross_entropy_weighted_and_smoothed";
  c.reduction = culoss::reduction::none;
  c.smoothing = 0.1f;
  c.class_weights = c.row_weights = true;
  c.temperature = 0.5f;
  return c;
}

// Every two levels of every two options meet in one of these.
inline std::vector<cross_entropy_choice> cross_entropy_choices() {
  using culoss::empty_batch;
  using culoss::reduction;
  const std::vector<int> levels = {3, 3, 2, 2, 4, 4, 3, 2, 3, 2, 2};
  const auto choice = [](const combination& c) {
    const auto at = [&c](int k) {
      return static_cast<std::size_t>(c[static_cast<std::size_t>(k)]);
    };
    cross_entropy_choice o;
    o.reduction = std::array{reduction::mean, reduction::none, reduction::sum}[at(0)];
    o.smoothing = std::array{0.0f, 0.1f, 1.0f}[at(1)];
    o.class_weights = at(2) == 1;
    o.row_weights = at(3) == 1;
    o.temperature = std::array{1.0f, 0.5f, 5.0f, 0.7f}[at(4)];
    o.temperature_source = at(4) == 3 ? source::device : source::value;
    o.upstream = std::array{source::value, source::value, source::device, source::rows}[at(5)];
    o.upstream_value = std::array{1.0f, -2.0f, 0.3f, 1.0f}[at(5)];
    o.normalizer_source = std::array{source::absent, source::value, source::device}[at(6)];
    o.normalizer = std::array{1.0f, 37.0f, 0.11f}[at(6)];
    o.wide_labels = at(7) == 0;
    o.ignore_index = std::array<std::int64_t, 3>{-100, 0, 7}[at(8)];
    o.empty = std::array{empty_batch::zero, empty_batch::nan}[at(9)];
    o.more_outputs = at(10) == 0;
    o.name = "cross_entropy";
    for (const int level : c) o.name += "_" + std::to_string(level);
    return o;
  };
  const auto allowed = [](const combination& c) {
    const bool none = c[0] == 1;
    return (none || c[5] != 3) && (!none || c[6] == 0);
  };
  std::vector<cross_entropy_choice> choices = {plain_cross_entropy()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
