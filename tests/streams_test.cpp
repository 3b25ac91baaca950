// Calls on several streams, from several threads, beside errors of the caller, and with each call
// of the CUDA runtime failing in turn.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

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

// Four threads, each with its own stream and execution object, side by side.
TEST_F(streams, serve_several_threads) {
  const case_list& cases = plain_cases();
  std::vector<problem> problems;
  std::vector<std::vector<output>> expected;
  for (const auto& c : cases) {
    problems.push_back(c->make({.rows = 5, .cols = 150, .seed = 61}));
    expected.push_back(run(*c, problems.back(), {}).outputs);
  }
  constexpr int kThreads = 4, kRounds = 3;
  std::array<std::string, kThreads> wrong;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::string& text = wrong[static_cast<std::size_t>(t)];
      try {
        const stream own;
        for (int round = 0; round < kRounds; ++round) {
          for (std::size_t k = 0; k < cases.size(); ++k) {
            const std::size_t at = (k + static_cast<std::size_t>(t)) % cases.size();
            const results r =
                run(*cases[at], problems[at], {.workspace = round % 2 == 0, .stream = own.get()});
            if (!r.status.ok()) text += r.status.message();
            text += r.damage + difference(r.outputs, expected[at]);
          }
        }
      } catch (const std::exception& e) {
        text += e.what();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& text : wrong) EXPECT_EQ(text, "");
}

// An error that the caller left behind is his: a call neither fails for it nor takes it away.
TEST_F(streams, leave_the_callers_error_alone) {
  for (const auto& c : plain_cases()) {
    const problem p = c->make({.rows = 2, .cols = 30, .seed = 62});
    const std::unique_ptr<invocation> call = c->prepare(p, {});
    (void)cudaGetLastError();
    ASSERT_EQ(cudaSetDevice(-1), cudaErrorInvalidDevice);
    const culoss::status s = call->launch();
    EXPECT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice) << c->name();
    EXPECT_EQ(difference(call->read(s).outputs, run(*c, p, {}).outputs), "");
  }
}

// Each call of the runtime that a launch makes fails once: the status names function and call,
// nothing leaks, and the next launch is none the worse.
TEST_F(streams, report_each_failing_call_of_the_runtime) {
  if (!simt::present()) GTEST_SKIP() << "this device's calls cannot be made to fail";
  for (const auto& c : plain_cases()) {
    for (const mode m : c->modes()) {
      for (const bool workspace : {true, false}) {
        // Wide enough for more shared memory than a kernel may use unasked.
        const problem p = c->make({.rows = 2, .cols = 13000, .seed = 63});
        const execution how{.mode = m, .workspace = workspace, .record_faults = true};
        const std::unique_ptr<invocation> call = c->prepare(p, how);
        const std::uint64_t before = simt::call_count();
        const culoss::status good = call->launch();
        const std::uint64_t calls = simt::call_count() - before;
        ASSERT_TRUE(good.ok()) << good.message();
        const std::vector<output> expected = call->read(good).outputs;
        std::vector<std::string> names;
        for (std::uint64_t k = 0; k < calls; ++k) names.push_back(simt::call_name(before + k));
        ASSERT_GE(calls, 4u);
        std::size_t alive = simt::live().total();
        for (std::uint64_t k = 0; k < calls; ++k) {
          const std::string& name = names[k];
          const bool memory = name.find("Malloc") != std::string::npos;
          call->write(p);
          simt::fail_call(k + 1, memory ? cudaErrorMemoryAllocation : cudaErrorUnknown);
          const culoss::status s = call->launch();
          simt::fail_call(0, 0);
          (void)cudaGetLastError();
          synchronize(space::cuda);
          const std::string where = c->name() + ", " + name_of(m) + ", call " + std::to_string(k) +
                                    " " + name + ": " + s.message();
          EXPECT_EQ(s.code(),
                    memory ? culoss::status_code::out_of_memory : culoss::status_code::cuda_error)
              << where;
          const std::string message = s.message();
          // The launch is reported under the name that the caller would look up.
          const std::string public_name =
              name == "cudaLaunchKernelExC" ? "cudaLaunchKernelEx" : name;
          EXPECT_NE(message.find(public_name + " failed"), std::string::npos) << where;
          EXPECT_EQ(message.find(c->name().substr(0, 7)), 0u) << where;
          if (name == "cudaFreeAsync") ++alive;  // what the runtime does not take back is lost
          EXPECT_EQ(simt::live().total(), alive) << where;
        }
        call->write(p);
        const culoss::status again = call->launch();
        EXPECT_TRUE(again.ok()) << again.message();
        EXPECT_EQ(difference(call->read(again).outputs, expected), "") << c->name();
      }
    }
  }
}

// Under a failing runtime read_faults leaves the caller's struct as it was.
TEST_F(streams, report_failing_calls_of_read_faults) {
  if (!simt::present()) GTEST_SKIP() << "this device's calls cannot be made to fail";
  array<std::int64_t> record(space::cuda, 4, 0);
  record.write(std::vector<int>(4, 0));
  const auto* r = reinterpret_cast<const culoss::fault_record*>(record.data());
  culoss::faults out;
  const std::uint64_t before = simt::call_count();
  ASSERT_TRUE(culoss::read_faults(culoss::cuda{}, r, &out).ok());
  const std::uint64_t calls = simt::call_count() - before;
  ASSERT_GE(calls, 3u);
  for (std::uint64_t k = 0; k < calls; ++k) {
    out.count = 77;
    simt::fail_call(k + 1, cudaErrorUnknown);
    const culoss::status s = culoss::read_faults(culoss::cuda{}, r, &out);
    simt::fail_call(0, 0);
    (void)cudaGetLastError();
    EXPECT_EQ(s.code(), culoss::status_code::cuda_error) << k;
    EXPECT_EQ(std::string(s.message()).find("read_faults: cuda"), 0u) << s.message();
    EXPECT_EQ(out.count, 77u);
  }
  synchronize(space::cuda);
}

}  // namespace
}  // namespace culoss_test
