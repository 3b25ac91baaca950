// Value and gradient of every loss against the double reference, under the bound of each element:
// every choice of options, every kind of input, every mode, every type.
#include <gtest/gtest.h>

#include <span>

#include "tests/cases/all.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

class accuracy : public on_each_space {
 protected:
  std::span<const element> elements() const {
    return GetParam() == space::cpu ? std::span<const element>(kHostElements) : device_elements();
  }
};

// A row by a few lanes, by a warp, by a block.
std::vector<std::int64_t> widths_of_each_kernel() { return {19, 515, 5003}; }

// Each choice meets each type and each kernel; not all three at once.
TEST_P(accuracy, holds_for_every_choice_of_options) {
  tally t;
  std::uint64_t seed = 0;
  for (const auto& c : all_cases()) {
    ++seed;
    for (const element type : elements()) {
      const std::vector<std::int64_t> widths = widths_of_each_kernel();
      const std::int64_t cols = widths[++seed % widths.size()];
      if (cols > 4096 && reduced_run()) continue;
      const input_kind kind = kInputKinds[(seed / 2) % std::size(kInputKinds)];
      const problem p =
          c->make({.type = type, .rows = 6, .cols = cols, .kind = kind, .seed = seed});
      t.expect_correct(*c, p, {.where = GetParam()}, c->modes(), name_of(kind));
    }
  }
}

TEST_P(accuracy, holds_for_every_kind_of_input) {
  tally t;
  for (const auto& c : state_cases()) {
    for (const element type : elements()) {
      for (const input_kind kind : kInputKinds) {
        for (const std::int64_t cols : widths_of_each_kernel()) {
          if (cols > 4096 && reduced_run() && kind != input_kind::sorted_up) continue;
          const problem p =
              c->make({.type = type, .rows = 5, .cols = cols, .kind = kind, .seed = 3});
          t.expect_correct(*c, p, {.where = GetParam()}, {mode::fused, mode::backward},
                           name_of(kind));
        }
      }
    }
  }
}

// The approximate intrinsics err by what their documentation allows, in other ways for each seed.
TEST_P(accuracy, holds_for_any_error_of_the_intrinsics) {
  if (GetParam() == space::cpu || !simt::present()) GTEST_SKIP() << "for the emulated device";
  tally t;
  for (const std::uint64_t seed : {0, 2, 3, 4}) {
    simt::settings settings = simt::get_settings();
    settings.approximation_seed = seed;
    const simt::scoped_settings scope(settings);
    for (const auto& c : state_cases()) {
      for (const std::int64_t cols : widths_of_each_kernel()) {
        if (cols > 4096 && reduced_run()) continue;
        for (const input_kind kind : {input_kind::near_uniform, input_kind::sorted_up}) {
          const problem p = c->make({.rows = 3, .cols = cols, .kind = kind, .seed = seed});
          t.expect_correct(*c, p, {.where = GetParam()}, name_of(kind));
        }
      }
    }
  }
}

// A spike in each column where a lane, a pack, a tile or the tail begins or ends: a column that is
// dropped, or counted twice, cannot hide.
TEST_P(accuracy, holds_for_a_spike_at_every_boundary) {
  tally t;
  for (const auto& c : state_cases()) {
    for (const element type : elements()) {
      for (const std::int64_t cols : widths_of_each_kernel()) {
        if (cols > 4096 && reduced_run()) continue;
        const auto rows = static_cast<std::int64_t>(boundary_columns(cols).size());
        const problem p = c->make(
            {.type = type, .rows = rows, .cols = cols, .kind = input_kind::spike, .seed = 4});
        t.expect_correct(*c, p, {.where = GetParam()});
      }
    }
  }
}

// sum_j dx_j = 0 for the gradient of any function of a softmax. The bound is the sum of the
// elements' bounds.
TEST_P(accuracy, gradients_of_a_row_sum_to_zero) {
  for (const auto& c : all_cases()) {
    if (!c->gradients_sum_to_zero()) continue;
    const problem p = c->make({.type = element::float32, .rows = 5, .cols = 131, .seed = 5});
    const execution how{.where = GetParam()};
    const results r = run(*c, p, how);
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    const std::vector<expectation> expected = c->expect(p, how);
    for (std::size_t k = 0; k < r.outputs.size(); ++k) {
      if (r.outputs[k].name != "grad_logits") continue;
      for (std::int64_t i = 0; i < p.rows; ++i) {
        double sum = 0, bound = 0;
        for (std::int64_t j = i * p.cols; j < (i + 1) * p.cols; ++j) {
          sum += r.outputs[k].values[static_cast<std::size_t>(j)];
          bound += expected[k].bounds[static_cast<std::size_t>(j)];
        }
        EXPECT_LE(std::fabs(sum), bound) << describe(*c, p, how) << ", row " << i;
      }
    }
  }
}

// Options at their neutral value are the options left out, bit for bit.
TEST_P(accuracy, is_the_same_with_neutral_options) {
  for (const culoss::reduction reduction :
       {culoss::reduction::none, culoss::reduction::mean, culoss::reduction::sum}) {
    cross_entropy_choice absent = plain_cross_entropy();
    absent.reduction = reduction;
    cross_entropy_choice neutral = absent;
    neutral.class_weights = neutral.row_weights = true;
    neutral.temperature_source = neutral.upstream = source::device;
    if (reduction == culoss::reduction::none) neutral.upstream = source::rows;
    if (reduction == culoss::reduction::sum) neutral.normalizer_source = source::device;
    const cross_entropy_case with(neutral), without(absent);
    for (const element type : elements()) {
      for (const std::int64_t cols : widths_of_each_kernel()) {
        problem p = without.make({.type = type, .rows = 5, .cols = cols, .seed = 6});
        p.class_weights.assign(p.class_weights.size(), 1.0f);
        p.row_weights.assign(p.row_weights.size(), 1.0f);
        p.upstream_rows.assign(p.upstream_rows.size(), 1.0f);
        for (const mode m : with.modes()) {
          const execution how{.where = GetParam(), .mode = m};
          const results a = run(with, p, how), b = run(without, p, how);
          ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status.message() << b.status.message();
          for (std::size_t k = 0; k < b.outputs.size(); ++k) {
            EXPECT_EQ(a.outputs[k].values, b.outputs[k].values)
                << b.outputs[k].name << ", " << describe(with, p, how);
          }
        }
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(accuracy);

}  // namespace
}  // namespace culoss_test
