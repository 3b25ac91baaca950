// Rows that lie more than 2^32 elements apart in all: row * pitch in 32 bits ends elsewhere. The
// results must be those of rows that lie close together, bit for bit. A real device has no such
// addresses to give: large_test.cpp fills its memory instead. Tiles of similarities, whose pitch is
// the library's own: tile_pitch_test.cpp.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>
#include <vector>

#include "tests/harness/check.hpp"
#include "tests/harness/sparse_rows.hpp"

namespace culoss_test {
namespace {

constexpr std::int64_t kRows = 5, kCols = 37;
// Row 2 begins at 2^31 elements, row 4 at 2^32: beyond int and beyond unsigned.
constexpr std::int64_t kClose = 64, kFar = (std::int64_t{1} << 30) + kClose;

template <class T>
struct sparse_matrix : sparse_rows<T> {
  explicit sparse_matrix(std::int64_t ld) : sparse_rows<T>(kRows, kCols, ld) {}
  sparse_matrix(std::int64_t ld, std::int64_t seed) : sparse_rows<T>(kRows, kCols, ld, seed) {}
};

class pitch : public on_each_space {
 protected:
  void SetUp() override {
    if (GetParam() == space::cpu) return;
    CULOSS_NEEDS_CUDA();
    if (!simt::present()) GTEST_SKIP() << "a device reads its own memory only";
    if (simt::watch::present()) GTEST_SKIP() << "the watch knows only what was allocated";
  }

  // call(cpu or cuda) on the space under test.
  template <class Call>
  static void expect_done(const Call& call) {
    const culoss::status s =
        GetParam() == space::cpu ? call(culoss::cpu{}) : call(culoss::cuda{.blas = blas()});
    EXPECT_TRUE(s.ok()) << s.message();
    synchronize(GetParam());
  }

  template <class Results>
  static void expect_same(const Results& results_at) {
    EXPECT_EQ(results_at(kFar, std::type_identity<float>{}),
              results_at(kClose, std::type_identity<float>{}));
    EXPECT_EQ(results_at(kFar, std::type_identity<culoss::bf16>{}),
              results_at(kClose, std::type_identity<culoss::bf16>{}));
  }

 private:
  static culoss::cublas* blas() {
#ifdef CULOSS_TESTS_WITH_CUDA
    static culoss::cublas* const handle = [] {
      auto* const b = new culoss::cublas;
      EXPECT_TRUE(b->create().ok());
      return b;
    }();
    return handle;
#else
    return nullptr;
#endif
  }
};

TEST_P(pitch, of_a_softmax_and_its_gradient) {
  expect_same([]<class T>(std::int64_t ld, std::type_identity<T>) {
    const sparse_matrix<T> logits(ld, 1), upstream(ld, 2), probabilities(ld), gradient(ld);
    expect_done([&](const auto& where) {
      return culoss::softmax(where, logits, culoss::matrix<T>(probabilities));
    });
    expect_done([&](const auto& where) {
      return culoss::softmax_backward(where, probabilities, upstream, culoss::matrix<T>(gradient));
    });
    std::vector<double> values;
    probabilities.append_to(values);
    gradient.append_to(values);
    return values;
  });
}

TEST_P(pitch, of_a_cross_entropy_and_its_backward) {
  expect_same([]<class T>(std::int64_t ld, std::type_identity<T>) {
    const sparse_matrix<T> logits(ld, 3), fused(ld), backward(ld);
    const std::int32_t labels[kRows] = {3, 0, kCols - 1, 7, 20};
    float loss[kRows] = {};
    culoss::row_statistics<float> statistics[kRows] = {};
    const culoss::vector<const std::int32_t> targets(labels, kRows);
    expect_done([&](const auto& where) {
      return culoss::cross_entropy(
          where, logits, targets,
          {.loss = {loss, kRows}, .grad_logits = fused, .statistics = {statistics, kRows}},
          {.reduction = culoss::reduction::none});
    });
    expect_done([&](const auto& where) {
      return culoss::cross_entropy_backward(
          where, logits, targets,
          culoss::vector<const culoss::row_statistics<float>>(statistics, kRows),
          {.grad_logits = backward}, {.reduction = culoss::reduction::none});
    });
    std::vector<double> values(loss, loss + kRows);
    fused.append_to(values);
    backward.append_to(values);
    return values;
  });
}

TEST_P(pitch, of_an_elementwise_loss) {
  expect_same([]<class T>(std::int64_t ld, std::type_identity<T>) {
    const sparse_matrix<T> logits(ld, 6), gradient(ld);
    const std::int32_t labels[kRows] = {3, 0, kCols - 1, 7, 20};
    float loss = 0;
    expect_done([&](const auto& where) {
      return culoss::sigmoid_focal(where, logits, culoss::vector<const std::int32_t>(labels, kRows),
                                   {.loss = {&loss, 1}, .grad_logits = gradient});
    });
    std::vector<double> values = {loss};
    gradient.append_to(values);
    return values;
  });
}

TEST_P(pitch, of_a_triplet) {
  expect_same([]<class T>(std::int64_t ld, std::type_identity<T>) {
    const sparse_matrix<T> a(ld, 7), p(ld, 8), n(ld, 9), da(ld), dp(ld), dn(ld);
    float loss[kRows] = {};
    expect_done([&](const auto& where) {
      return culoss::triplet(
          where, a, p, n,
          {.loss = {loss, kRows}, .grad_anchors = da, .grad_positives = dp, .grad_negatives = dn},
          {.reduction = culoss::reduction::none, .margin = 10.0f});
    });
    std::vector<double> values(loss, loss + kRows);
    for (const auto* m : {&da, &dp, &dn}) m->append_to(values);
    return values;
  });
}

// Products are cuBLAS' own, and the emulated one reads only what was allocated: without in_batch
// there is none, and every embedding is read and every gradient written all the same.
TEST_P(pitch, of_embeddings_and_their_gradients) {
  expect_same([]<class T>(std::int64_t ld, std::type_identity<T>) {
    const sparse_matrix<T> queries(ld, 4), keys(ld, 5), of_queries(ld), of_keys(ld);
    float loss[kRows] = {};
    expect_done([&](const auto& where) {
      return culoss::info_nce(where, queries, keys, culoss::matrix<const T>(),
                              {.loss = {loss, kRows},
                               .grad_queries = culoss::matrix<T>(of_queries),
                               .grad_keys = culoss::matrix<T>(of_keys)},
                              {.reduction = culoss::reduction::none,
                               .temperature = 0.5f,
                               .in_batch = GetParam() == space::cpu});
    });
    std::vector<double> values(loss, loss + kRows);
    of_queries.append_to(values);
    of_keys.append_to(values);
    return values;
  });
}

CULOSS_ON_EACH_SPACE(pitch);

}  // namespace
}  // namespace culoss_test
