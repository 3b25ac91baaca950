// Every call can be captured into a graph and replayed with changed data: logits, labels, weights,
// and the scalars that stand on the device.
#include <gtest/gtest.h>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

class capture : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }

  // Other numbers for the same call: what the host gave by value stays.
  static problem other_numbers(const loss_case& c, const problem& p, std::uint64_t seed) {
    problem q = c.make({.type = p.type,
                        .rows = p.rows,
                        .cols = p.cols,
                        .kind = input_kind::wide_normal,
                        .seed = seed});
    const auto factor = static_cast<float>(seed % 5 + 1) * 0.5f;
    c.change_device_scalars(q, factor);
    return q;
  }

  static std::unique_ptr<graph> record(invocation& call, cudaStream_t s) {
    return std::make_unique<graph>(s, [&] {
      const culoss::status status = call.launch();
      EXPECT_TRUE(status.ok()) << status.message();
    });
  }

  // Captures the call once and replays it with several sets of numbers.
  static void check(const loss_case& c, const problem& p, execution how) {
    how.stream = stream_->get();
    const std::unique_ptr<invocation> call = c.prepare(p, how);
    const std::unique_ptr<graph> captured = record(*call, how.stream);
    for (const std::uint64_t seed : {51u, 52u, 53u}) {
      const problem q = other_numbers(c, p, seed);
      call->write(q);
      captured->replay(how.stream);
      const results replayed = call->read({});
      const results direct = run(c, q, how);
      ASSERT_TRUE(direct.status.ok()) << direct.status.message();
      EXPECT_EQ(replayed.damage, "") << describe(c, p, how);
      EXPECT_EQ(difference(replayed.outputs, direct.outputs), "")
          << describe(c, p, how) << (how.workspace ? "" : ", without a workspace") << ", seed "
          << seed;
      EXPECT_EQ(replayed.faults.count, direct.faults.count);
    }
  }

  static void SetUpTestSuite() {
    if (cuda_device_present()) stream_ = std::make_unique<stream>();
  }
  static void TearDownTestSuite() { stream_.reset(); }

  static std::unique_ptr<stream> stream_;
};
std::unique_ptr<stream> capture::stream_;

TEST_F(capture, replays_every_choice_of_options) {
  std::size_t turn = 0;
  for (const auto& c : all_cases()) {
    const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
    const problem p = c->make({.type = type, .rows = 5, .cols = 83, .seed = 50});
    std::size_t of_case = 0;
    for (const mode m : c->modes()) {
      if (m == mode::backward) continue;  // `split` calls it with what the forward left
      if (reduced_run() && ++of_case % 2 != turn % 2) continue;
      check(*c, p, {.mode = m, .workspace = turn % 2 == 0});
    }
  }
}

TEST_F(capture, replays_every_call_with_and_without_a_workspace) {
  std::size_t turn = 0;
  for (const auto& c : plain_cases()) {
    for (const std::int64_t cols : {21, 701, 2301}) {
      const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
      const problem p = c->make({.type = type, .rows = 3, .cols = cols, .seed = 50});
      for (const mode m : c->modes()) {
        if (m == mode::backward) continue;
        for (const bool workspace : {true, false}) {
          if (reduced_run() && workspace != (turn % 2 == 0)) continue;
          check(*c, p, {.mode = m, .offset = 1, .workspace = workspace, .record_faults = true});
        }
      }
    }
  }
}

// The two stages of sums over many rows, and the memory they share.
TEST_F(capture, replays_sums_over_many_rows) {
  const cross_entropy_case c(plain_cross_entropy());
  const problem p = c.make({.rows = 8500, .cols = 3, .seed = 50});
  for (const bool workspace : {true, false}) check(c, p, {.workspace = workspace});
}

// One kernel that counts its blocks, after a word that is cleared; rows in parts.
TEST_F(capture, replays_pipelined_rows) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.more_outputs = false;
  const cross_entropy_case c(choice);
  for (const std::int64_t cols : {9, 1201, 28999}) {
    const problem p = c.make({.rows = cols > 20000 ? 1 : 31, .cols = cols, .seed = 49});
    for (const bool workspace : {true, false}) {
      check(c, p, {.workspace = workspace, .row_kernels = culoss::row_kernels::pipelined});
    }
  }
}

// The separate backward reads statistics and labels as they are when it runs.
TEST_F(capture, replays_the_backward_with_other_statistics) {
  const cross_entropy_case c(plain_cross_entropy());
  const execution how{.mode = mode::backward, .stream = stream_->get()};
  const problem p = c.make({.rows = 4, .cols = 130, .seed = 50});
  const std::unique_ptr<invocation> call = c.prepare(p, how);
  const std::unique_ptr<graph> captured = record(*call, how.stream);
  for (const std::uint64_t seed : {51u, 52u}) {
    const problem q = other_numbers(c, p, seed);
    call->write(q);
    captured->replay(how.stream);
    EXPECT_EQ(difference(call->read({}).outputs, run(c, q, how).outputs), "");
  }
}

// Two graphs of two calls, replayed in turn and several times each without waiting in between.
TEST_F(capture, replays_two_graphs_in_turn) {
  const cross_entropy_case c(plain_cross_entropy());
  const softmax_case other({.function = softmax_function::softmax});
  for (const bool workspace : {true, false}) {
    const execution how{.workspace = workspace, .stream = stream_->get()};
    const problem p = c.make({.rows = 5, .cols = 300, .seed = 54});
    const problem q = other.make({.rows = 9, .cols = 33, .seed = 55});
    const std::unique_ptr<invocation> first = c.prepare(p, how), second = other.prepare(q, how);
    const std::unique_ptr<graph> first_graph = record(*first, how.stream),
                                 second_graph = record(*second, how.stream);
    for (int i = 0; i < 3; ++i) {
      first_graph->replay(how.stream);
      second_graph->replay(how.stream);
    }
    EXPECT_EQ(difference(first->read({}).outputs, run(c, p, how).outputs), "");
    EXPECT_EQ(difference(second->read({}).outputs, run(other, q, how).outputs), "");
  }
}

// Recording runs nothing: what the outputs held stays until the replay.
TEST_F(capture, runs_nothing_while_it_records) {
  const cross_entropy_case c(plain_cross_entropy());
  const execution how{.stream = stream_->get()};
  const problem p = c.make({.rows = 2, .cols = 10, .seed = 56});
  const std::unique_ptr<invocation> call = c.prepare(p, how);
  const std::unique_ptr<graph> captured = record(*call, how.stream);
  const std::vector<output> outputs = call->read({}).outputs;
  for (const char* name : {"loss", "grad_logits", "lse"}) {
    for (const double v : find_output(outputs, name)->values) EXPECT_TRUE(std::isnan(v)) << name;
  }
}

}  // namespace
}  // namespace culoss_test
