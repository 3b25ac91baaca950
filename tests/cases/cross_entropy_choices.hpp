// Choices of cross-entropy's options.
#pragma once

#include <array>
#include <culoss/cross_entropy.hpp>
#include <string>
#include <vector>

#include "tests/harness/pairwise.hpp"
#include "tests/harness/row_choice.hpp"
#include "tests/harness/views.hpp"

namespace culoss_test {

// Positions of an image, 0 for a matrix: rows that are not whole images are one image.
inline std::int64_t inner_of(std::int64_t wanted, std::int64_t rows) {
  return wanted == 0 || rows % wanted == 0 ? wanted : rows;
}

// With one position an image the classes are innermost: rows of a matrix.
inline view view_of(std::int64_t inner, std::int64_t rows) {
  return inner_of(inner, rows) > 1 ? view::strided : view::matrix;
}

// f(logits, gradient): the first matrices of a call, or their memory as images of `inner` positions.
template <class T, class F>
culoss::status on_view(const loss_views<T>& v, std::int64_t inner, const F& f) {
  if (inner == 0) return f(v.in[0], v.out[0]);
  const auto image = [inner]<class U>(const culoss::matrix<U>& m) -> culoss::strided_logits<U> {
    if (m.empty()) return {};
    const std::int64_t positions = inner_of(inner, m.rows);
    return {m.data, m.rows / positions, m.cols, positions};
  };
  return f(image(v.in[0]), image(v.out[0]));
}

struct cross_entropy_choice : row_choice {
  float smoothing = 0;
  float softcap = 0;
  float z_loss = 0;
  std::int64_t inner = 0;     // > 0: strided logits, of so many positions an image where they fit
  bool more_outputs = true;   // lse, argmax, correct, rows_counted
  bool rows_counted = false;  // alone
  bool z_loss_output = false;
  bool entropy = false;

  culoss::cross_entropy_options reference_options(const problem& p) const {
    return options([&](auto& o) { set_reference(o, p); });
  }
  cross_entropy_factors factors(const problem& p, std::size_t row, double divisor) const {
    return {.smoothing = smoothing,
            .temperature = p.temperature,
            .class_weights = class_weights ? p.class_weights.data() : nullptr,
            .row_weight = row_weight(p, row),
            .gradient_scale = gradient_scale(p, row, divisor) / p.temperature,
            .softcap = softcap,
            .z_loss = z_loss};
  }

  template <class T, class Where, class SetShared>
  culoss::status call(const Where& where, const loss_views<T>& v,
                      const SetShared& set_shared) const {
    return on_view(v, inner, [&]<class View>(const auto& logits, const View& gradient) {
      return culoss::cross_entropy(
          where, logits, v.labels,
          culoss::cross_entropy_outputs<T, View>{.loss = v.loss,
                                                 .grad_logits = gradient,
                                                 .lse = v.lse,
                                                 .statistics = v.statistics,
                                                 .argmax = v.argmax,
                                                 .correct = v.correct,
                                                 .rows_counted = v.counted,
                                                 .z_loss = v.z_loss,
                                                 .entropy = v.entropy},
          options(set_shared));
    });
  }
  template <class T, class Where, class SetShared>
  culoss::status call_backward(const Where& where, const loss_views<T>& v,
                               const SetShared& set_shared) const {
    return on_view(v, inner, [&]<class View>(const auto& logits, const View& gradient) {
      return culoss::cross_entropy_backward(
          where, logits, v.labels, v.statistics,
          culoss::cross_entropy_backward_outputs<T, View>{gradient}, options(set_shared));
    });
  }
  template <class SetShared>
  culoss::cross_entropy_options options(const SetShared& set_shared) const {
    culoss::cross_entropy_options o;
    set_shared(o);
    o.label_smoothing = smoothing;
    o.softcap = softcap;
    o.z_loss = z_loss;
    return o;
  }
  static std::size_t workspace_bytes(std::int64_t rows, std::int64_t cols) {
    return culoss::cross_entropy_workspace_bytes(rows, cols);
  }
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

// Everything at once, and every output.
inline cross_entropy_choice full_cross_entropy() {
  cross_entropy_choice c = weighted_and_smoothed_cross_entropy();
  c.name = "cross_entropy_with_everything";
  c.softcap = 30;
  c.z_loss = 1e-4f;
  c.z_loss_output = c.entropy = true;
  return c;
}

inline cross_entropy_choice strided(cross_entropy_choice c, std::int64_t inner = 3) {
  c.name += "_strided";
  c.inner = inner;
  return c;
}

// Sources of temperature, upstream and normalizer, and the other options that all losses share:
// levels 0 to 6 of a combination.
inline const std::vector<int> kSharedLevels = {3, 2, 4, 4, 3, 2, 2};
inline void set_shared_levels(row_choice& o, const combination& c) {
  using culoss::reduction;
  const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
  o.reduction = std::array{reduction::mean, reduction::none, reduction::sum}[at(0)];
  o.row_weights = at(1) == 1;
  o.temperature = std::array{1.0f, 0.5f, 5.0f, 0.7f}[at(2)];
  o.temperature_source = at(2) == 3 ? source::device : source::value;
  o.upstream = std::array{source::value, source::value, source::device, source::rows}[at(3)];
  o.upstream_value = std::array{1.0f, -2.0f, 0.3f, 1.0f}[at(3)];
  o.normalizer_source = std::array{source::absent, source::value, source::device}[at(4)];
  o.normalizer = std::array{1.0f, 37.0f, 0.11f}[at(4)];
  o.wide_labels = at(5) == 0;
  o.empty = at(6) == 0 ? culoss::empty_batch::zero : culoss::empty_batch::nan;
  for (const int level : c) o.name += "_" + std::to_string(level);
}
// Fewer of them, for losses that use the same code for these.
inline const std::vector<int> kFewSharedLevels = {3, 2, 2, 3, 3, 2, 2};
inline combination few_shared_levels(const combination& c) {
  combination all = c;
  all[2] = 3 * c[2];
  all[3] = c[3] + 1;
  return all;
}
inline bool shared_levels_allowed(const combination& c) {
  const bool none = c[0] == 1;
  return (none || c[3] != 3) && (!none || c[4] == 0);
}

// Every two levels of every two options meet in one of these.
inline std::vector<cross_entropy_choice> cross_entropy_choices() {
  std::vector<int> levels = kSharedLevels;
  levels.insert(levels.end(), {3, 2, 3, 3, 3, 2, 2, 2, 2});
  const auto choice = [](const combination& c) {
    const auto at = [&c](std::size_t k) { return static_cast<std::size_t>(c[k]); };
    cross_entropy_choice o = plain_cross_entropy();
    set_shared_levels(o, c);
    o.smoothing = std::array{0.0f, 0.1f, 1.0f}[at(7)];
    o.class_weights = at(8) == 1;
    o.ignore_index = std::array<std::int64_t, 3>{-100, 0, 7}[at(9)];
    o.softcap = std::array{0.0f, 30.0f, 2.5f}[at(10)];
    o.z_loss = std::array{0.0f, 1e-4f, 0.3f}[at(11)];
    o.more_outputs = at(12) == 0;
    o.z_loss_output = at(13) == 1;
    o.entropy = at(14) == 1;
    return at(15) == 1 ? strided(o) : o;
  };
  const auto allowed = [](const combination& c) {
    return shared_levels_allowed(c) && (c[13] == 0 || c[11] != 0);
  };
  std::vector<cross_entropy_choice> choices = {plain_cross_entropy(), full_cross_entropy()};
  for (const combination& c : pairwise_cover(levels, allowed)) choices.push_back(choice(c));
  return choices;
}

}  // namespace culoss_test
