// Values and gradients of linear cross-entropy against the double reference, under the bound of each
// element: every option, every output alone, every size around a tile, every type.
#include <gtest/gtest.h>

#include "tests/cases/linear_cross_entropy_check.hpp"

namespace culoss_test {
namespace {

class linear_accuracy : public on_each_space {};

TEST_P(linear_accuracy, holds_for_every_size) {
  tally t;
  constexpr std::int64_t kRows[] = {1, 2, 7, 8, 65};
  constexpr std::int64_t kClasses[] = {1, 2, 5, 31, 128, 129, 1025};
  constexpr std::int64_t kDimensions[] = {1, 2, 16, 33, 200};
  std::uint64_t seed = 0;
  for (const std::int64_t classes : kClasses) {
    for (const std::int64_t rows : kRows) {
      if (rows * classes > 10000) continue;
      if (reduced_run() && ++seed % 3 != 0) continue;
      const element type = kDeviceElements[++seed % std::size(kDeviceElements)];
      linear_choice c = linear(plain_cross_entropy());
      c.bias = seed % 2 == 0;
      c.mode = seed % 5 == 0 ? linear_mode::split : linear_mode::fused;
      const std::int64_t dimension = kDimensions[seed % std::size(kDimensions)];
      t.expect_correct(c,
                       make_linear(c, {.type = type,
                                       .rows = rows,
                                       .classes = classes,
                                       .dimension = rows * classes > 2000 ? 16 : dimension,
                                       .seed = seed}),
                       {.where = GetParam()});
    }
  }
}

// Each kernel of rows: a block of either size, and rows that do not fit on chip.
TEST_P(linear_accuracy, holds_for_wide_vocabularies) {
  if (reduced_run()) GTEST_SKIP() << "not in the reduced run";
  tally t;
  for (const std::int64_t classes : {4500, 58500}) {
    for (const element type : device_elements()) {
      linear_choice c = linear(full_cross_entropy());
      if (classes > 5000) c = linear(plain_cross_entropy());
      c.bias = type == element::bfloat16;
      t.expect_correct(
          c, make_linear(c, {.type = type, .rows = 3, .classes = classes, .dimension = 3}),
          {.where = GetParam()});
    }
  }
}

TEST_P(linear_accuracy, holds_for_every_choice_of_options) {
  tally t;
  std::uint64_t seed = 0;
  constexpr std::int64_t kWorkspaces[] = {kBestWorkspace, kLeastWorkspace, kNoWorkspace};
  constexpr std::int64_t kLayouts[][2] = {{0, 0}, {1, 0}, {0, 3}, {5, 8}, {8, 8}};
  for (const cross_entropy_choice& rows : cross_entropy_choices()) {
    linear_choice c = linear(rows);
    ++seed;
    if (reduced_run() && seed % 3 != 0) continue;
    const element type = kDeviceElements[seed % std::size(kDeviceElements)];
    c.mode = static_cast<linear_mode>(seed / 3 % 3);
    if (c.mode == linear_mode::shards) c.shards = {7, 1, 40, 19};
    c.bias = seed % 2 == 0;
    c.wide = seed % 5 < 2;
    const bool floats = c.wide || type == element::float32 || c.mode == linear_mode::shards;
    c.accumulate = floats && seed % 4 == 0;
    const auto& [offset, padding] = kLayouts[seed % std::size(kLayouts)];
    t.expect_correct(c,
                     make_linear(c, {.type = type,
                                     .rows = 21,
                                     .classes = 67,
                                     .dimension = 10 + static_cast<std::int64_t>(seed % 3),
                                     .seed = seed}),
                     {.where = GetParam(),
                      .offset = offset,
                      .padding = padding,
                      .workspace = kWorkspaces[seed % 3]});
  }
}

// Each output alone comes out as it does beside the others.
TEST_P(linear_accuracy, holds_for_each_output_alone) {
  tally t;
  const auto nothing = [] {
    linear_choice c = linear(plain_cross_entropy());
    c.loss = c.statistics = c.grad_hidden = c.grad_weight = c.grad_bias = c.more_outputs = false;
    return c;
  };
  for (int output = 0; output < 7; ++output) {
    linear_choice c = nothing();
    (output == 0   ? c.loss
     : output == 1 ? c.statistics
     : output == 2 ? c.grad_hidden
     : output == 3 ? c.grad_weight
     : output == 4 ? c.grad_bias
     : output == 5 ? c.more_outputs
                   : c.entropy) = true;
    for (const element type : device_elements()) {
      t.expect_correct(c, make_linear(c, {.type = type, .rows = 9, .classes = 30, .dimension = 5}),
                       {.where = GetParam(), .workspace = kLeastWorkspace});
    }
  }
}

// In double too.
TEST(linear_accuracy_of_the_reference, holds_in_double) {
  tally t;
  std::uint64_t seed = 0;
  for (const cross_entropy_choice& rows : cross_entropy_choices()) {
    linear_choice c = linear(rows);
    ++seed;
    c.mode = static_cast<linear_mode>(seed % 3);
    if (c.mode == linear_mode::shards) c.shards = {1, 8, 14};
    c.accumulate = seed % 4 == 0;
    t.expect_correct(
        c,
        make_linear(
            c, {.type = element::float64, .rows = 11, .classes = 23, .dimension = 4, .seed = seed}),
        {.where = space::cpu});
  }
}

CULOSS_ON_EACH_SPACE(linear_accuracy);

}  // namespace
}  // namespace culoss_test
