// What linear cross-entropy makes of masked classes, rows that are not finite, ignored rows and bad
// labels, empty batches and incomplete shards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cases/linear_cross_entropy_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

using ::testing::Each;
using ::testing::IsNan;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class linear_special_values : public on_each_space {
 protected:
  static linear_choice each_row() {
    linear_choice c = linear(plain_cross_entropy());
    c.reduction = culoss::reduction::none;
    return c;
  }
  results run_here(const linear_choice& c, const linear_numbers& p, bool faults = false) const {
    results r = run(c, p, {.where = GetParam(), .record_faults = faults});
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
  static const std::vector<double>& values(const results& r, const char* name) {
    const output* o = find_output(r.outputs, name);
    if (o == nullptr) throw std::out_of_range(name);
    return o->values;
  }
  // The same calls in one piece, in two, and split over shards.
  template <class Check>
  static void for_each_way(linear_choice c, std::int64_t classes, const Check& check) {
    for (const element type : device_elements()) {
      for (const linear_mode mode : {linear_mode::fused, linear_mode::split, linear_mode::shards}) {
        c.mode = mode;
        c.shards = mode == linear_mode::shards ? std::vector<std::int64_t>{classes - 12, 4, 8}
                                               : std::vector<std::int64_t>{};
        check(c, type);
      }
    }
  }
  void expect_correct(const linear_choice& c, const linear_numbers& p) {
    tally_.expect_correct(c, p, {.where = GetParam()});
  }

 private:
  tally tally_;
};

TEST_P(linear_special_values, a_bias_of_minus_infinity_masks_its_class) {
  for (const bool everything : {false, true}) {
    linear_choice choice = everything ? linear(full_cross_entropy()) : each_row();
    for_each_way(choice, 40, [&](const linear_choice& c, element type) {
      linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 40, .dimension = 6});
      constexpr std::size_t kMasked[] = {0, 17, 28, 39};
      for (const std::size_t j : kMasked) p.bias[j] = -kInfinity;
      p.rows.labels[2] = 17;  // its own target is masked: loss +inf, the gradient finite
      p.rows.labels[5] = 39;
      p.find_logits(true);
      const results r = run_here(c, p);
      EXPECT_EQ(values(r, "loss")[2], kInfinity);
      for (const std::size_t j : kMasked) {
        const auto label = static_cast<std::int64_t>(j);
        if (std::ranges::count(p.rows.labels, label) != 0) continue;
        EXPECT_EQ(values(r, "grad_bias")[j], 0) << j;
      }
      expect_correct(c, p);
    });
  }
}

// A shard of nothing but masked classes takes no part.
TEST_P(linear_special_values, a_shard_may_be_masked_whole) {
  linear_choice c = linear(full_cross_entropy());
  c.mode = linear_mode::shards;
  c.shards = {5, 10, 5};
  linear_numbers p = make_linear(c, {.rows = 9, .classes = 20, .dimension = 6});
  for (std::size_t j = 5; j < 15; ++j) p.bias[j] = -kInfinity;
  p.rows.labels = {0, 4, 19, 15, 7, -100, 3, 16, 18};
  p.find_logits(true);
  expect_correct(c, p);
}

TEST_P(linear_special_values, a_hidden_state_that_is_not_finite_spoils_its_row_and_the_weights) {
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    for_each_way(each_row(), 40, [&](const linear_choice& c, element type) {
      linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 40, .dimension = 6});
      const results clean = run_here(c, p);
      p.h[4 * 6 + 1] = bad;
      const results r = run_here(c, p);
      for (const char* name : {"loss", "grad_hidden", "lse", "statistics"}) {
        const std::size_t width = values(r, name).size() / 9;
        for (std::size_t i = 0; i < values(r, name).size(); ++i) {
          const double expected = i / width == 4 ? kNan : values(clean, name)[i];
          EXPECT_TRUE(same_bits(values(r, name)[i], expected)) << name << " " << i << " " << bad;
        }
      }
      EXPECT_THAT(values(r, "grad_weight"), Each(IsNan()));
      EXPECT_THAT(values(r, "grad_bias"), Each(IsNan()));
    });
  }
}

TEST_P(linear_special_values, a_weight_that_is_nan_spoils_every_row) {
  for_each_way(each_row(), 40, [&](const linear_choice& c, element type) {
    linear_numbers p = make_linear(c, {.type = type, .rows = 5, .classes = 40, .dimension = 6});
    p.rows.labels[3] = -100;
    p.w[33 * 6 + 2] = kNan;
    const results r = run_here(c, p);
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(same_bits(values(r, "loss")[i], i == 3 ? 0.0 : kNan));
      EXPECT_EQ(values(r, "argmax")[i], i == 3 ? -1 : 33);
    }
    for (const char* name : {"grad_weight", "grad_bias"}) {
      EXPECT_THAT(values(r, name), Each(IsNan())) << name;
    }
  });
}

TEST_P(linear_special_values, ignored_rows_are_zeros) {
  for (const bool all : {false, true}) {
    for (const auto empty : {culoss::empty_batch::zero, culoss::empty_batch::nan}) {
      linear_choice choice = linear(plain_cross_entropy());
      choice.empty = empty;
      for_each_way(choice, 30, [&](const linear_choice& c, element type) {
        linear_numbers p =
            make_linear(c, {.type = type, .rows = 19, .classes = 30, .dimension = 5});
        for (std::size_t i = 0; i < 19; ++i) {
          if (all || i % 2 == 0) p.rows.labels[i] = -100;
        }
        const results r = run_here(c, p, true);
        EXPECT_EQ(r.faults.count, 0u);
        for (std::size_t i = 0; i < 19 * 5; ++i) {
          if (all || i / 5 % 2 == 0) {
            EXPECT_TRUE(same_bits(values(r, "grad_hidden")[i], 0.0)) << i;
          }
        }
        if (all) {
          EXPECT_THAT(values(r, "grad_weight"), Each(0.0));
          EXPECT_THAT(values(r, "grad_bias"), Each(0.0));
          const double loss = empty == culoss::empty_batch::nan ? kNan : 0;
          EXPECT_TRUE(same_bits(values(r, "loss")[0], loss));
          EXPECT_EQ(values(r, "rows_counted")[0], 0);
        }
        expect_correct(c, p);
      });
    }
  }
}

// Nor does a weight that is not finite reach a batch in which nothing counts.
TEST_P(linear_special_values, ignored_rows_are_zeros_whatever_the_weights_are) {
  for (const auto reduction : {culoss::reduction::mean, culoss::reduction::none}) {
    linear_choice choice = each_row();
    choice.reduction = reduction;
    for_each_way(choice, 30, [&](const linear_choice& c, element type) {
      linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 30, .dimension = 5});
      std::ranges::fill(p.rows.labels, -100);
      p.w[17 * 5 + 2] = kNan;
      p.w[3 * 5] = kInfinity;
      const results r = run_here(c, p);
      for (const char* name : {"grad_hidden", "grad_weight", "grad_bias"}) {
        for (const double g : values(r, name)) EXPECT_TRUE(same_bits(g, 0.0)) << name;
      }
    });
  }
}

TEST_P(linear_special_values, a_bad_label_makes_its_row_and_the_weights_nan) {
  for_each_way(each_row(), 40, [&](const linear_choice& c, element type) {
    linear_numbers p = make_linear(c, {.type = type, .rows = 12, .classes = 40, .dimension = 6});
    const results clean = run_here(c, p);
    p.rows.labels[8] = (std::int64_t{1} << 32) + 5;  // not class 5
    p.rows.labels[9] = 40;
    const results r = run_here(c, p, true);
    for (const char* name : {"loss", "grad_hidden", "lse", "entropy"}) {
      const output* o = find_output(r.outputs, name);
      if (o == nullptr) continue;
      const std::size_t width = o->values.size() / 12;
      for (std::size_t i = 0; i < o->values.size(); ++i) {
        const bool bad = i / width == 8 || i / width == 9;
        EXPECT_TRUE(same_bits(o->values[i], bad ? kNan : values(clean, name)[i])) << name << i;
      }
    }
    for (const std::size_t i : {8u, 9u}) EXPECT_EQ(values(r, "argmax")[i], -1);
    EXPECT_THAT(values(r, "grad_weight"), Each(IsNan()));
    EXPECT_THAT(values(r, "grad_bias"), Each(IsNan()));
    EXPECT_EQ(values(r, "rows_counted")[0], 10);
    // Each of the calls reports both rows: a forward and a backward, or those of three shards and
    // what merges them.
    const unsigned calls = c.mode == linear_mode::fused ? 1 : c.mode == linear_mode::split ? 2 : 7;
    EXPECT_EQ(r.faults.count, 2 * calls);
    EXPECT_EQ(r.faults.flags, culoss::faults::label_out_of_range);
    EXPECT_EQ(r.faults.first_row, 8);
    EXPECT_EQ(r.faults.label, (std::int64_t{1} << 32) + 5);
  });
}

TEST_P(linear_special_values, a_divisor_of_zero_gives_zeros_or_nan) {
  for (const source normalizer : {source::value, source::device}) {
    for (const bool nan : {false, true}) {
      linear_choice choice = linear(plain_cross_entropy());
      choice.normalizer_source = normalizer;
      choice.normalizer = 0;
      choice.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
      for_each_way(choice, 30, [&](const linear_choice& c, element type) {
        linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 30, .dimension = 5});
        const results r = run_here(c, p);
        EXPECT_TRUE(same_bits(values(r, "loss")[0], nan ? kNan : 0.0));
        for (std::size_t i = 0; i < 9 * 5; ++i) {
          const bool ignored = p.rows.labels[i / 5] == -100;
          const double expected = nan && !ignored ? kNan : 0.0;
          EXPECT_TRUE(same_bits(values(r, "grad_hidden")[i], expected)) << i;
        }
        for (const char* name : {"grad_weight", "grad_bias"}) {
          for (const double g : values(r, name)) EXPECT_TRUE(same_bits(g, nan ? kNan : 0.0));
        }
      });
    }
  }
}

// One class: the loss is 0, and so are the gradients, unless a z-loss has one.
TEST_P(linear_special_values, one_class_has_no_loss) {
  for (const element type : device_elements()) {
    linear_choice c = each_row();
    linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 1, .dimension = 5});
    const results r = run_here(c, p);
    for (const char* name : {"loss", "grad_hidden", "grad_weight", "grad_bias"}) {
      EXPECT_THAT(values(r, name), Each(0.0)) << name;
    }
    c.z_loss = 0.1f;
    expect_correct(c, p);
  }
}

TEST_P(linear_special_values, no_rows_give_zeros) {
  for (const bool accumulate : {false, true}) {
    linear_choice choice = linear(plain_cross_entropy());
    for_each_way(choice, 20, [&](linear_choice c, element type) {
      c.wide = accumulate;
      c.accumulate = accumulate;
      const linear_numbers p =
          make_linear(c, {.type = type, .rows = 0, .classes = 20, .dimension = 5});
      const results r = run_here(c, p);
      for (const output& o : r.outputs) {
        const bool stays = accumulate && o.name.find("grad_") == 0;
        for (std::size_t i = 0; i < o.values.size(); ++i) {
          EXPECT_EQ(o.values[i], stays ? standing(static_cast<std::int64_t>(i)) : 0.0) << o.name;
        }
      }
    });
  }
}

// Large parts of a z-loss do not overflow the gradient of half logits, which is lifted.
TEST_P(linear_special_values, a_large_z_loss_stays_in_the_range_of_half) {
  for_each_way(each_row(), 40, [&](linear_choice c, element type) {
    c.z_loss = 20;
    linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 40, .dimension = 6});
    for (double& b : p.bias) b += 90;
    p.find_logits(true);
    for (std::size_t j = 0; j < p.bias.size(); ++j) p.bias[j] = static_cast<float>(p.bias[j]);
    p.find_logits(true);
    const results r = run_here(c, p);
    for (const double g : values(r, "grad_weight")) ASSERT_TRUE(std::isfinite(g));
    expect_correct(c, p);
  });
}

// Weights of rows and classes, temperatures far from 1: the unit of the gradient follows them.
TEST_P(linear_special_values, the_scale_of_the_options_is_the_scale_of_the_gradients) {
  for (const auto& [temperature, weight] : {std::pair{1e-3f, 1e4f}, {1e3f, 1e-4f}, {40.0f, 3e7f}}) {
    linear_choice choice = linear(weighted_and_smoothed_cross_entropy());
    choice.temperature = temperature;
    for_each_way(choice, 40, [&, w = weight](const linear_choice& c, element type) {
      linear_numbers p = make_linear(c, {.type = type, .rows = 9, .classes = 40, .dimension = 6});
      for (float& v : p.rows.class_weights) v *= w;
      for (float& v : p.rows.row_weights) v *= w;
      const double logits = std::min(1.0, static_cast<double>(c.temperature) * 10);
      for (double& v : p.h) v = round_to(type, v * logits);
      for (double& v : p.bias) v = static_cast<float>(v * logits);
      p.find_logits(true);
      // What is larger than a gradient's type can hold need not come out.
      linear_choice floats = c;
      floats.wide = true;
      expect_correct(floats, p);
    });
  }
}

CULOSS_ON_EACH_SPACE(linear_special_values);

}  // namespace
}  // namespace culoss_test
