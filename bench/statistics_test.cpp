#include "bench/statistics.hpp"

#include <gtest/gtest.h>

namespace culoss::bench {
namespace {

TEST(Quartiles, OfOddAndEvenCountsInAnyOrder) {
  const quartiles odd = quartiles_of({5, 1, 4, 2, 3});
  EXPECT_EQ(odd.lower, 2);
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.upper, 4);
  const quartiles even = quartiles_of({4, 1, 3, 2});  // as numpy.quantile
  EXPECT_DOUBLE_EQ(even.lower, 1.75);
  EXPECT_DOUBLE_EQ(even.median, 2.5);
  EXPECT_DOUBLE_EQ(even.upper, 3.25);
}

TEST(Quartiles, OfOneAndTwoSamples) {
  const quartiles one = quartiles_of({7});
  EXPECT_EQ(one.lower, 7);
  EXPECT_EQ(one.median, 7);
  EXPECT_EQ(one.upper, 7);
  const quartiles two = quartiles_of({3, 1});
  EXPECT_DOUBLE_EQ(two.lower, 1.5);
  EXPECT_DOUBLE_EQ(two.median, 2);
  EXPECT_DOUBLE_EQ(two.upper, 2.5);
}

TEST(Quartiles, OneOutlierDoesNotMoveThem) {
  const quartiles q = quartiles_of({1, 1, 1, 1, 1, 1, 1, 1000});
  EXPECT_EQ(q.median, 1);
  EXPECT_EQ(q.upper, 1);
}

TEST(Quartiles, OfNothingIsAnError) { EXPECT_THROW(quartiles_of({}), std::invalid_argument); }

}  // namespace
}  // namespace culoss::bench
