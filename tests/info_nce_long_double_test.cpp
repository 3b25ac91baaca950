// The losses of info_nce in double against the same formulas in long double: relatively exact, also
// where a batch has converged or all similarities are far from 0.
#include <gtest/gtest.h>

#include <cmath>
#include <culoss/info_nce.hpp>
#include <random>

#include "tests/info_nce_call.hpp"
#include "tests/info_nce_formula.hpp"

namespace culoss_test {
namespace {

using culoss::reduction;

void check_losses(const embedding_rows& queries, const embedding_rows& keys, bool normalize,
                  float log_scale, float margin = 0) {
  const candidates among = {.keys = keys.size()};
  const std::size_t dimension = queries.front().size();
  const auto expected =
      losses<long double>(flat<long double>(queries), flat<long double>(keys), dimension, normalize,
                          among, std::exp(static_cast<long double>(log_scale)), double{margin});
  const info_nce_call<double> call(queries, keys, {},
                                   {.reduction = reduction::none,
                                    .normalize = normalize,
                                    .log_scale = log_scale,
                                    .margin = margin});
  const double norms = normalize ? 1 : largest_norm(queries) * largest_norm(keys);
  const similarity_error error = {static_cast<double>(dimension), static_cast<double>(keys.size()),
                                  std::exp(log_scale) * (norms + std::fabs(double{margin}))};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto loss = static_cast<double>(expected[i]);
    EXPECT_LE(std::fabs(call.loss[i] - loss), error.loss(loss)) << "row " << i << " loss " << loss;
  }
}

// Similar rows, rows that are no longer confused with any other (losses of 1e-13 and less), rows
// with a common offset of -100 in all similarities, and long rows that are not normalized.
TEST(LongDouble, LossesAreRelativelyExact) {
  std::mt19937_64 random(12);
  const embedding_rows q = random_embeddings(9, 16, random);
  const embedding_rows k = random_embeddings(9, 16, random);
  for (const float log_scale : {0.0f, 2.5f, 4.6f}) check_losses(q, k, true, log_scale);
  check_losses(q, k, false, 0);

  embedding_rows close = unit_vectors(9, 16);
  for (std::size_t i = 0; i < close.size(); ++i) close[i][15] = 0.125 * static_cast<double>(i % 3);
  check_losses(close, unit_vectors(9, 16), true, std::log(32.0f));
  for (const float margin : {0.35f, -0.25f}) {
    check_losses(q, k, true, 2.5f, margin);
    check_losses(close, unit_vectors(9, 16), true, std::log(32.0f), margin);
  }
  const info_nce_call<double> converged(
      close, unit_vectors(9, 16), {}, {.reduction = reduction::none, .log_scale = std::log(32.0f)});
  EXPECT_LT(converged.loss[0], 1e-12);
  EXPECT_GT(converged.loss[0], 1e-14);

  embedding_rows far = k;
  for (std::size_t i = 0; i < far.size(); ++i) {
    for (std::size_t d = 0; d < far[i].size(); ++d) far[i][d] = 10 - 0.03125 * k[i][d];
  }
  embedding_rows opposite(9, std::vector<double>(16, -0.625));
  for (std::size_t i = 0; i < opposite.size(); ++i) opposite[i][i] -= 0.0625;
  check_losses(opposite, far, false, 0);

  embedding_rows longer = q;
  for (auto& row : longer) {
    for (double& v : row) v *= 500;
  }
  check_losses(longer, k, false, 0);
}

}  // namespace
}  // namespace culoss_test
