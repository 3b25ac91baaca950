// SigLIP where formulas go wrong: pairs far from the boundary, values known in closed form, zero
// vectors, rows that are not finite, masks, empty batches, symmetries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/siglip_expected.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class siglip_edge : public batch_fixture {};

siglip_numbers numbers_of(element type, std::int64_t dimension, const std::vector<double>& x,
                          const std::vector<double>& y, double scale, double bias) {
  siglip_numbers p;
  p.type = type;
  p.dimension = dimension;
  p.rows = static_cast<std::int64_t>(x.size()) / dimension;
  p.keys = static_cast<std::int64_t>(y.size()) / dimension;
  p.q = x;
  p.k = y;
  p.scale = static_cast<float>(scale);
  p.bias = static_cast<float>(bias);
  return p;
}
std::vector<double> identity(std::int64_t n) {
  std::vector<double> x(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i * n + i)] = 1;
  return x;
}
const expectation& named(const std::vector<expectation>& all, const std::string& name) {
  for (const expectation& e : all) {
    if (e.name == name) return e;
  }
  throw std::out_of_range(name);
}

TEST_P(siglip_edge, orthonormal_rows_have_a_closed_form) {
  constexpr std::int64_t kRows = 40;
  for (const double scale : {1.0, 10.0, 100.0}) {
    for (const double bias : {0.0, -10.0, -50.0}) {
      const siglip_choice c = siglip_of_each_row();
      const siglip_numbers p = numbers_of(element::float32, kRows, identity(kRows), identity(kRows),
                                          std::log(scale), bias);
      const results r = run_here(c, p);
      const double given = std::exp(static_cast<double>(p.scale));
      const auto softplus = [](double y) {
        return std::max(y, 0.0) + std::log1p(std::exp(-std::fabs(y)));
      };
      const double loss = softplus(-(given + bias)) + (kRows - 1) * softplus(bias);
      const expectation bounds = named(expect(c, p, GetParam()), "loss");
      for (std::size_t i = 0; i < r["loss"].size(); ++i) {
        EXPECT_NEAR(r["loss"][i], loss, bounds.bounds[i]);
        EXPECT_LT(bounds.bounds[i], 1e-4 * loss);  // the bound asks for it
      }
      EXPECT_EQ(r["correct"][0], kRows);
      EXPECT_EQ(r["rows_counted"][0], kRows);
      expect_correct(c, p);
    }
  }
}

// |z| of 1000, by the similarities and by the bias: the loss is 0 or |z|, the gradient 0 or +-1.
TEST_P(siglip_edge, pairs_far_from_the_boundary) {
  for (const element type : device_elements()) {
    for (const double sign : {1.0, -1.0}) {
      for (const bool by_bias : {true, false}) {
        for (const bool positives : {true, false}) {
          siglip_choice c = siglip_of_each_row();
          c.normalize = false;
          c.positives = positives;
          c.wide = true;
          const double x = by_bias ? 0 : 32, z = by_bias ? sign * 1000 : sign * 1024;
          const siglip_numbers p = numbers_of(type, 2, {x, 1}, {sign * x, 0}, 0, by_bias ? z : 0);
          const results r = run_here(c, p);
          const bool right = (sign > 0) == positives;
          EXPECT_EQ(r["loss"][0], right ? 0 : std::fabs(z));
          EXPECT_EQ(r["grad_bias"][0], right ? 0 : sign);
          EXPECT_EQ(r["grad_scale"][0], right || by_bias ? 0 : sign * z);
          EXPECT_EQ(r["grad_keys"][1], right ? 0 : sign);
          expect_correct(c, p);
        }
      }
    }
  }
}

// All pairs right by about 17: losses and gradients of 1e-8 keep their digits.
TEST_P(siglip_edge, converged_batches_keep_relative_accuracy) {
  for (const element type : device_elements()) {
    constexpr std::size_t kRows = 48;
    std::vector<double> x = identity(kRows), y = x;
    random_numbers random(3);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = round_to(type, x[i] + 0.01 * random.normal());
      y[i] = round_to(type, y[i] + 0.01 * random.normal());
    }
    const siglip_choice c = siglip_of_each_row();
    const siglip_numbers p = numbers_of(type, kRows, x, y, std::log(40.0), -20);
    expect_correct(c, p);
    const std::vector<expectation> wanted = expect(c, p, GetParam());
    for (const double loss : named(wanted, "loss").values) EXPECT_LT(loss, 1e-5);
    for (std::size_t i = 0; i < kRows; ++i) {
      EXPECT_LT(named(wanted, "loss").bounds[i], 1e-3 * named(wanted, "loss").values[i]);
    }
  }
}

// Not normalized, |z| from 0 to 10000.
TEST_P(siglip_edge, large_rows_that_are_not_normalized) {
  for (const element type : device_elements()) {
    siglip_choice c = siglip_of_each_row();
    c.normalize = false;
    siglip_numbers p = make_siglip(c, {.type = type, .rows = 60, .keys = 75, .dimension = 25});
    p.scale = 0;
    for (double& x : p.q) x = round_to(type, 60 * x);
    for (double& x : p.k) x = round_to(type, 60 * x);
    expect_correct(c, p);
  }
}

// Rows whose squares are no floats: |x| |y| alone has to be one.
TEST_P(siglip_edge, short_rows_meet_long_ones) {
  for (const element type : {element::float32, element::bfloat16}) {
    const siglip_choice c = siglip_of_each_row();
    siglip_numbers p = make_siglip(c, {.type = type, .rows = 40, .keys = 40, .dimension = 24});
    for (double& x : p.q) x *= 0x1p-80;
    for (double& x : p.k) x *= 0x1p80;
    expect_correct(c, p);
  }
}

// Half: gradients of 2^-20 are below its range until they are lifted.
TEST_P(siglip_edge, small_gradients_survive_half) {
  siglip_choice c = siglip_of_each_row();
  c.wide = true;
  siglip_numbers p =
      make_siglip(c, {.type = element::float16, .rows = 40, .keys = 50, .dimension = 16});
  p.scale = 0;
  p.bias = -14;
  expect_correct(c, p);
  c.positives = false;
  c.keys = false;
  const results r = run_here(c, p);
  const std::vector<expectation> wanted = expect(c, p, GetParam());
  const expectation& of_images = named(wanted, "grad_queries");
  double size = 0, bound = 0;
  for (const double v : of_images.values) size += std::fabs(v);
  for (const double v : of_images.bounds) bound += v;
  EXPECT_LT(bound, 0.05 * size);  // the bound asks for it
}

TEST_P(siglip_edge, equal_texts_tie_to_the_lowest) {
  for (const element type : device_elements()) {
    siglip_choice c = siglip_of_each_row();
    const std::vector<double> ones(8 * 50, 1.0);
    siglip_numbers p = numbers_of(type, 8, ones, ones, std::log(10.0), -3);
    EXPECT_EQ(run_here(c, p)["correct"][0], 1);
    expect_correct(c, p);
    c.masked = true;  // with its own text alone, every image finds it
    p.query_ids.assign(50, 7);
    p.key_ids.assign(50, 7);
    const results r = run_here(c, p);
    EXPECT_EQ(r["correct"][0], 50);
    expect_correct(c, p);
  }
}

TEST_P(siglip_edge, ids_are_compared_in_64_bits) {
  siglip_choice c = siglip_of_each_row();
  c.masked = true;
  siglip_numbers p = make_siglip(c, {.rows = 30, .keys = 30, .dimension = 6});
  for (std::size_t i = 0; i < 30; ++i) {
    const auto id = static_cast<std::int64_t>(i % 10);
    p.query_ids[i] = p.key_ids[i] = ((id - 7) << 32) + 5;  // they differ beyond 32 bits alone
  }
  expect_correct(c, p);
}

TEST_P(siglip_edge, without_texts_everything_is_zero) {
  siglip_choice c = siglip_of_each_row();
  c.positives = false;
  siglip_numbers p = make_siglip(c, {.rows = 5, .keys = 5, .dimension = 3});
  p.keys = 0;
  p.k.clear();
  p.key_ids.clear();
  for (const output& o : run_here(c, p).outputs) {
    EXPECT_THAT(o.values, ::testing::Each(o.name == "rows_counted" ? 5.0 : 0.0)) << o.name;
  }
}

// Two devices' blocks: losses and scalars add up, gradients are accumulated.
TEST_P(siglip_edge, blocks_add_up_to_the_batch) {
  siglip_choice c;
  c.reduction = culoss::reduction::sum;
  c.normalizer = source::value;
  siglip_numbers p = make_siglip(c, {.rows = 40, .keys = 80, .dimension = 12, .offset = 20});
  const std::vector<expectation> wanted = expect(c, p, GetParam());
  const char* const names[] = {"loss", "grad_scale", "grad_bias", "grad_queries"};
  std::vector<std::vector<double>> sums, bounds;
  for (const char* name : names) {
    sums.emplace_back(named(wanted, name).values.size());
    bounds.push_back(named(wanted, name).bounds);
  }
  for (int block = 0; block < 2; ++block) {
    // Texts 0 to 19 are nobody's; 20 to 79 hold the positives of images 0 to 39, at 0.
    siglip_choice of_block = c;
    of_block.positives = block == 1;
    siglip_numbers b = p;
    const auto cut = p.k.begin() + 20 * 12;
    b.k.assign(block == 0 ? p.k.begin() : cut, block == 0 ? cut : p.k.end());
    b.keys = block == 0 ? 20 : 60;
    b.offset = 0;
    const results r = run_here(of_block, b);
    const std::vector<expectation> of_this = expect(of_block, b, GetParam());
    for (std::size_t k = 0; k < std::size(names); ++k) {
      for (std::size_t i = 0; i < sums[k].size(); ++i) {
        sums[k][i] += r[names[k]][i];
        bounds[k][i] += named(of_this, names[k]).bounds[i];
      }
    }
  }
  for (std::size_t k = 0; k < std::size(names); ++k) {
    for (std::size_t i = 0; i < sums[k].size(); ++i) {
      EXPECT_NEAR(sums[k][i], named(wanted, names[k]).values[i], bounds[k][i]) << names[k];
    }
  }
}

// d loss / d log(scale) = sum_i <x_i, dx_i> where nothing is normalized, from two different paths.
TEST_P(siglip_edge, the_scales_gradient_is_that_of_the_images_along_themselves) {
  siglip_choice c = siglip_of_each_row();
  c.normalize = false;
  const siglip_numbers p = make_siglip(c, {.rows = 50, .keys = 50, .dimension = 30});
  const results r = run_here(c, p);
  const std::vector<expectation> wanted = expect(c, p, GetParam());
  double along = 0, bound = named(wanted, "grad_scale").bounds[0];
  for (std::size_t i = 0; i < p.q.size(); ++i) {
    along += r["grad_queries"][i] * p.q[i];
    bound += named(wanted, "grad_queries").bounds[i] * std::fabs(p.q[i]);
  }
  EXPECT_NE(along, 0);
  EXPECT_LE(std::fabs(along - r["grad_scale"][0]), bound);
}

// Float means float products: with TF32 the same call breaks its bound.
TEST_P(siglip_edge, tf32_is_only_used_where_it_is_allowed) {
  if (GetParam() == space::cpu) GTEST_SKIP() << "the CPU has no TF32";
  siglip_choice c = siglip_of_each_row();
  const siglip_numbers p = make_siglip(c, {.rows = 64, .keys = 64, .dimension = 64});
  const std::vector<expectation> wanted = expect(c, p);
  const results exact = run_here(c, p);
  c.allow_tf32 = true;
  const results fast = run_here(c, p);
  for (const char* name : {"loss", "grad_queries", "grad_keys"}) {
    EXPECT_TRUE(compare({name, exact[name]}, named(wanted, name)).ok()) << name;
    EXPECT_FALSE(compare({name, fast[name]}, named(wanted, name)).ok()) << name;
  }
}

TEST_P(siglip_edge, a_zero_vector_has_no_similarity_and_no_gradient) {
  for (const element type : device_elements()) {
    const siglip_choice c = siglip_of_each_row();
    siglip_numbers p = make_siglip(c, {.type = type, .rows = 33, .keys = 33, .dimension = 9});
    std::fill_n(p.q.begin() + 4 * 9, 9, 0.0);
    std::fill_n(p.k.begin() + 7 * 9, 9, 0.0);
    const results r = run_here(c, p);
    for (std::size_t d = 0; d < 9; ++d) {
      EXPECT_EQ(r["grad_queries"][4 * 9 + d], 0);
      EXPECT_EQ(r["grad_keys"][7 * 9 + d], 0);
    }
    expect_correct(c, p);
  }
}

TEST_P(siglip_edge, an_image_that_is_not_finite_spoils_its_row_and_the_texts) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, kInfinity, -kInfinity}) {
      for (const element type : device_elements()) {
        siglip_choice c = siglip_of_each_row();
        c.normalize = normalize;
        siglip_numbers p = make_siglip(c, {.type = type, .rows = 40, .keys = 45, .dimension = 12});
        const results clean = run_here(c, p);
        constexpr std::size_t kRow = 17;
        p.q[kRow * 12 + 5] = bad;
        const results r = run_here(c, p);
        for (const char* name : {"loss", "grad_queries"}) {
          const std::size_t width = r[name].size() / 40;
          for (std::size_t i = 0; i < r[name].size(); ++i) {
            const double expected = i / width == kRow ? kNan : clean[name][i];
            EXPECT_TRUE(same_bits(r[name][i], expected)) << name << " " << i << " " << bad;
          }
        }
        for (const char* name : {"grad_keys", "grad_scale", "grad_bias"}) {
          EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name;
        }
        EXPECT_LE(r["correct"][0], clean["correct"][0]);
        c.reduction = culoss::reduction::mean;
        EXPECT_TRUE(std::isnan(run_here(c, p)["loss"][0]));
      }
    }
  }
}

TEST_P(siglip_edge, a_text_that_is_not_finite_spoils_the_rows_that_see_it) {
  for (const bool normalize : {false, true}) {
    for (const double bad : {kNan, kInfinity, -kInfinity}) {
      siglip_choice c = siglip_of_each_row();
      c.normalize = normalize;
      c.masked = true;
      siglip_numbers p = make_siglip(c, {.rows = 40, .keys = 40, .dimension = 12});
      const results clean = run_here(c, p);
      constexpr std::size_t kText = 6;
      p.k[kText * 12 + 3] = bad;
      const results r = run_here(c, p);
      std::int64_t excluded = 0;
      for (std::size_t i = 0; i < 40; ++i) {
        const bool sees = p.query_ids[i] != p.key_ids[kText] || i == kText;
        excluded += sees ? 0 : 1;
        EXPECT_TRUE(same_bits(r["loss"][i], sees ? kNan : clean["loss"][i]))
            << "row " << i << " " << bad << ": " << r["loss"][i];
        // Rows that a mask excludes must still be finite for the backward.
        for (std::size_t d = 0; d < 12 && sees; ++d) {
          EXPECT_TRUE(std::isnan(r["grad_queries"][i * 12 + d])) << i << " " << bad;
        }
      }
      EXPECT_GT(excluded, 0);
      // A row without a number has found nothing.
      EXPECT_EQ(r["correct"], run(c, p, {.where = space::cpu})["correct"]);
    }
  }
}

TEST_P(siglip_edge, a_scale_or_bias_in_memory_must_be_finite) {
  for (const double bad : {-kInfinity, kInfinity, kNan}) {
    for (const bool of_bias : {false, true}) {
      siglip_choice c = siglip_of_each_row();
      c.scale = c.bias = source::device;
      siglip_numbers p = make_siglip(c, {.rows = 20, .keys = 20, .dimension = 5});
      (of_bias ? p.bias : p.scale) = static_cast<float>(bad);
      const results r = run_here(c, p);
      for (const char* name : {"loss", "grad_queries", "grad_keys", "grad_scale", "grad_bias"}) {
        EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name << " " << bad;
      }
      EXPECT_EQ(r["correct"][0], 0);
    }
  }
}

TEST_P(siglip_edge, a_divisor_of_zero_gives_zeros_or_nan) {
  for (const source normalizer : {source::value, source::device}) {
    for (const bool nan : {false, true}) {
      siglip_choice c;
      c.normalizer = normalizer;
      c.reduction = culoss::reduction::sum;
      c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
      siglip_numbers p = make_siglip(c, {.rows = 20, .keys = 20, .dimension = 5});
      p.normalizer = 0;
      const results r = run_here(c, p);
      for (const output& o : r.outputs) {
        if (o.name == "correct" || o.name == "rows_counted") continue;
        for (const double v : o.values) EXPECT_TRUE(same_bits(v, nan ? kNan : 0.0)) << o.name;
      }
      EXPECT_EQ(r["rows_counted"][0], 20);
    }
  }
}

TEST_P(siglip_edge, no_rows_give_zeros) {
  for (const bool accumulate : {false, true}) {
    siglip_choice c;
    c.accumulate = accumulate;
    const siglip_numbers p = make_siglip(c, {.rows = 0, .keys = 6, .dimension = 5});
    const results r = run_here(c, p);
    for (const output& o : r.outputs) {
      const bool stays = accumulate && (o.name == "grad_queries" || o.name == "grad_keys");
      for (std::size_t i = 0; i < o.values.size(); ++i) {
        EXPECT_EQ(o.values[i], stays ? standing(static_cast<std::int64_t>(i)) : 0.0) << o.name;
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(siglip_edge);

}  // namespace
}  // namespace culoss_test
