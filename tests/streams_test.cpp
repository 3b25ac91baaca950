// Calls on several streams of one thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

class streams : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

// Calls in a row on two streams, interleaved, with the work of either running whenever it likes.
TEST_F(streams, run_calls_in_their_own_order) {
  const stream a, b;
  const std::array<cudaStream_t, 2> both = {a.get(), b.get()};
  std::size_t turn = 0;
  for (const auto mode_of_streams :
       {simt::stream_mode::lazy, simt::stream_mode::seeded, simt::stream_mode::eager}) {
    simt::settings settings = simt::get_settings();
    settings.streams = mode_of_streams;
    const simt::scoped_settings scope(settings);
    for (const auto& c : plain_cases()) {
      for (const bool workspace : {true, false}) {
        ++turn;
        const problem p = c->make({.rows = 4, .cols = 201, .seed = 60 + turn});
        std::vector<std::unique_ptr<invocation>> calls;
        for (std::size_t k = 0; k < 6; ++k) {
          calls.push_back(c->prepare(p, {.workspace = workspace, .stream = both[k % 2]}));
        }
        for (const auto& call : calls) {
          const culoss::status s = call->launch();
          ASSERT_TRUE(s.ok()) << s.message();
        }
        const results expected = run(*c, p, {});
        std::rotate(calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(turn % 6),
                    calls.end());
        for (const auto& call : calls) {
          const results r = call->read({});
          EXPECT_EQ(r.damage, "");
          EXPECT_EQ(difference(r.outputs, expected.outputs), "") << c->name();
        }
      }
    }
  }
}

// What is enqueued before a call is seen by it, what comes after is not: the same buffers, written
// by copies on the same stream.
TEST_F(streams, order_calls_with_the_copies_around_them) {
  const stream s;
  constexpr std::int64_t kRows = 3, kCols = 40;
  array<float> logits(space::cuda, kRows, kCols, 0, 0), out(space::cuda, kRows, kCols, 0, 0);
  array<float> first(space::cuda, kRows, kCols, 0, 0), second(space::cuda, kRows, kCols, 0, 0);
  std::vector<double> numbers;
  for (std::int64_t k = 0; k < kRows * kCols; ++k) numbers.push_back(static_cast<double>(k % 11));
  first.write(numbers);
  std::reverse(numbers.begin(), numbers.end());
  second.write(numbers);
  const auto copy = [&](const array<float>& from, array<float>& to) {
    check_cuda(cudaMemcpyAsync(to.data(), from.data(), from.span_bytes(), cudaMemcpyDeviceToDevice,
                               s.get()),
               "cudaMemcpyAsync");
  };
  const culoss::cuda gpu{.stream = s.get()};
  const auto expected = [&](array<float>& from) {
    array<float> alone(space::cuda, kRows, kCols, 0, 0);
    const culoss::status status = culoss::softmax(gpu, from.as_matrix(), alone.as_matrix());
    EXPECT_TRUE(status.ok()) << status.message();
    synchronize(space::cuda, s.get());
    std::string damage;
    return alone.read("alone", damage);
  };
  array<float> kept(space::cuda, kRows, kCols, 0, 0);
  copy(first, logits);
  ASSERT_TRUE(culoss::softmax(gpu, logits.as_matrix(), out.as_matrix()).ok());
  copy(out, kept);
  copy(second, logits);
  ASSERT_TRUE(culoss::softmax(gpu, logits.as_matrix(), out.as_matrix()).ok());
  synchronize(space::cuda, s.get());
  std::string damage;
  EXPECT_EQ(kept.read("kept", damage), expected(first));
  EXPECT_EQ(out.read("out", damage), expected(second));
}

// No rows, no kernel: what is cleared instead is cleared on the call's stream.
TEST_F(streams, order_calls_for_no_rows_with_the_copies_after_them) {
  const stream s;
  array<float> loss(space::cuda, 1, 0), kept_loss(space::cuda, 1, 0);
  array<std::int64_t> counts(space::cuda, 2, 0), kept_counts(space::cuda, 2, 0);
  loss.write(std::vector<double>{5});
  counts.write(std::vector<std::int64_t>{5, 6});
  const culoss::status status = culoss::cross_entropy(culoss::cuda{.stream = s.get()},
                                                      culoss::matrix<const float>(nullptr, 0, 3, 3),
                                                      culoss::vector<const std::int64_t>(),
                                                      {.loss = loss.as_vector(),
                                                       .correct = {counts.data(), 1},
                                                       .rows_counted = {counts.data() + 1, 1}});
  ASSERT_TRUE(status.ok()) << status.message();
  const auto copy = [&](void* to, const void* from, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s.get()),
               "cudaMemcpyAsync");
  };
  copy(kept_loss.data(), loss.data(), sizeof(float));
  copy(kept_counts.data(), counts.data(), 2 * sizeof(std::int64_t));
  synchronize(space::cuda, s.get());
  std::string damage;
  EXPECT_EQ(kept_loss.read("loss", damage), std::vector<double>{0});
  EXPECT_EQ(kept_counts.read("counts", damage), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace culoss_test
