// What NT-Xent and the supervised contrastive loss make of zero vectors, of rows that are not
// finite and of empty batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/cases/self_similarity_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class self_similarity_special_values : public batch_fixture {};

TEST_P(self_similarity_special_values, a_zero_vector_has_no_similarity_and_no_gradient) {
  for (const self_loss which : kSelfLosses) {
    for (const element type : device_elements()) {
      const self_choice c = of_each_row(which);
      self_numbers p = make_self(c, {.type = type, .rows = 34, .dimension = 9, .labels = 4});
      for (const std::int64_t row : {4, 20, 21}) std::fill_n(p.z.begin() + row * 9, 9, 0.0);
      const results r = run_here(c, p);
      for (const std::size_t row : {4u, 20u, 21u}) {
        for (std::size_t d = 0; d < 9; ++d) EXPECT_EQ(r["grad_embeddings"][row * 9 + d], 0);
      }
      expect_correct(c, p);
    }
  }
}

// Every row has every other one in its denominator.
TEST_P(self_similarity_special_values, an_embedding_that_is_not_finite_spoils_all) {
  for (const self_loss which : kSelfLosses) {
    for (const bool normalize : {false, true}) {
      for (const double bad : {kNan, kInfinity, -kInfinity}) {
        for (const std::size_t row : {0u, 17u, 39u}) {
          self_choice c = of_each_row(which);
          c.normalize = normalize;
          const element type = kDeviceElements[row % 3];
          self_numbers p = make_self(c, {.type = type, .rows = 40, .dimension = 12, .labels = 4});
          p.z[row * 12 + 5] = bad;
          const results r = run_here(c, p);
          for (const char* name : {"loss", "grad_embeddings", "grad_scale"}) {
            EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan()))
                << describe(c, p) << " " << name << " " << row;
          }
          c.reduction = culoss::reduction::mean;
          EXPECT_TRUE(std::isnan(run_here(c, p)["loss"][0]));
        }
      }
    }
  }
}

// A row without positive has no loss whatever stands beside it.
TEST_P(self_similarity_special_values, rows_that_do_not_count_have_none_beside_nan) {
  self_choice c = of_each_row(self_loss::sup_con);
  self_numbers p = make_self(c, {.rows = 40, .dimension = 12, .labels = 4});
  p.labels[3] = 1000;
  p.labels[38] = -1000;
  p.z[17 * 12] = kNan;
  const std::vector<double> loss = run_here(c, p)["loss"];
  for (std::size_t i = 0; i < loss.size(); ++i) {
    EXPECT_TRUE(same_bits(loss[i], i == 3 || i == 38 ? 0.0 : kNan)) << i << " " << loss[i];
  }
}

// The rows that a mask excludes keep their losses.
TEST_P(self_similarity_special_values, ids_hide_an_embedding_that_is_not_finite) {
  self_choice c = of_each_row(self_loss::nt_xent);
  c.masked = true;
  self_numbers p = make_self(c, {.rows = 40, .dimension = 12});
  const results clean = run_here(c, p);
  p.z[6 * 12 + 3] = kNan;
  const std::vector<double> loss = run_here(c, p)["loss"];
  int excluded = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    const bool sees = i == 6 || i == 26 || p.ids[i] != p.ids[6];
    excluded += sees ? 0 : 1;
    EXPECT_TRUE(same_bits(loss[i], sees ? kNan : clean["loss"][i])) << i << " " << loss[i];
  }
  EXPECT_GT(excluded, 0);
}

TEST_P(self_similarity_special_values, a_log_scale_in_memory_must_be_finite) {
  for (const double scale : {-kInfinity, kInfinity, kNan}) {
    for (const self_loss which : kSelfLosses) {
      self_choice c = of_each_row(which);
      c.scale = source::device;
      self_numbers p = make_self(c, {.rows = 20, .dimension = 5, .labels = 2});
      p.scale = static_cast<float>(scale);
      const results r = run_here(c, p);
      for (const char* name : {"loss", "grad_embeddings", "grad_scale"}) {
        EXPECT_THAT(r[name], ::testing::Each(::testing::IsNan())) << name;
      }
    }
  }
}

TEST_P(self_similarity_special_values, a_divisor_of_zero_gives_zeros_or_nan) {
  for (const self_loss which : kSelfLosses) {
    for (const source normalizer : {source::value, source::device}) {
      for (const bool nan : {false, true}) {
        self_choice c{.which = which};
        c.normalizer = normalizer;
        c.reduction = culoss::reduction::sum;
        c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
        self_numbers p = make_self(c, {.rows = 20, .dimension = 5, .labels = 2});
        p.normalizer = 0;
        const results r = run_here(c, p);
        for (const char* name : {"loss", "grad_embeddings", "grad_scale"}) {
          for (const double v : r[name]) EXPECT_TRUE(same_bits(v, nan ? kNan : 0.0)) << name;
        }
        EXPECT_EQ(r["rows_counted"][0], 20);
      }
    }
  }
}

// A normalizer divides, however many rows count.
TEST_P(self_similarity_special_values, a_normalizer_stands_for_the_rows_that_count) {
  self_choice c{.which = self_loss::sup_con};
  self_numbers p = make_self(c, {.rows = 30, .dimension = 5, .labels = 3});
  p.labels[7] = 99;
  p.normalizer = 29;
  const results own = run_here(c, p);
  EXPECT_EQ(own["rows_counted"][0], 29);
  c.normalizer = source::device;
  EXPECT_EQ(difference(run_here(c, p).outputs, own.outputs), "");
  // Nothing but what stood there is added where no row counts.
  c.accumulate = true;
  std::iota(p.labels.begin(), p.labels.end(), 0);
  const results none = run_here(c, p);
  for (std::size_t i = 0; i < none["grad_embeddings"].size(); ++i) {
    EXPECT_EQ(none["grad_embeddings"][i], standing(static_cast<std::int64_t>(i)));
  }
  EXPECT_EQ(none["loss"][0], 0);
}

TEST_P(self_similarity_special_values, no_rows_give_zeros) {
  for (const self_loss which : kSelfLosses) {
    for (const bool nan : {false, true}) {
      self_choice c{.which = which};
      c.empty = nan ? culoss::empty_batch::nan : culoss::empty_batch::zero;
      const self_numbers p = make_self(c, {.rows = 0, .dimension = 5});
      const results r = run_here(c, p);
      EXPECT_TRUE(same_bits(r["loss"][0], nan ? kNan : 0.0));
      EXPECT_EQ(r["grad_scale"][0], 0);
      EXPECT_EQ(r["rows_counted"][0], 0);
      if (which == self_loss::nt_xent) {
        EXPECT_EQ(r["correct"][0], 0);
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(self_similarity_special_values);

}  // namespace
}  // namespace culoss_test
