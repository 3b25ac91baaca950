// Calls from many threads at once, each with its own memory, streams and handles, give the bits of
// the same calls made one after the other.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <thread>
#include <type_traits>

#include "tests/cases/subjects.hpp"
#include "tests/harness/bits.hpp"
#ifdef CULOSS_TESTS_WITH_CUDA
#include "tests/harness/blas.hpp"
#include "tests/harness/cuda.hpp"
#endif

namespace culoss_test {
namespace {

constexpr std::size_t kThreads = 8, kStreams = 4;

// A stream and a handle on it, with a workspace of its own.
class lane {
#ifdef CULOSS_TESTS_WITH_CUDA
 public:
  explicit lane(space where) {
    if (where == space::cpu) return;
    constexpr std::size_t kBytes = std::size_t{64} << 10;
    stream_ = std::make_unique<culoss_test::stream>();
    handle_ = std::make_unique<callers_handle>();
    memory_ = buffer(where, {.row_bytes = kBytes, .pitch = kBytes});
    const culoss::status s = blas_.borrow(handle_->get(), {memory_.data(), kBytes});
    if (!s.ok()) throw std::runtime_error(s.message());
  }
  CUstream_st* stream() const { return stream_ != nullptr ? stream_->get() : nullptr; }

 private:
  std::unique_ptr<culoss_test::stream> stream_;
  std::unique_ptr<callers_handle> handle_;
  buffer memory_;
#else
 public:
  explicit lane(space) {}
  CUstream_st* stream() const { return nullptr; }

 private:
#endif
 public:
  culoss::cublas* blas() { return &blas_; }

 private:
  culoss::cublas blas_;
};

using lanes = std::array<std::unique_ptr<lane>, kStreams>;
lanes make_lanes(space where) {
  lanes all;
  for (auto& l : all) l = std::make_unique<lane>(where);
  return all;
}

// Every loss, each other one without a workspace, dealt out to the streams; the numbers are the
// seed's. On the CPU wide enough for two threads a call.
std::vector<subject> mixed_calls(space where, const lanes& all, std::uint64_t seed) {
  std::vector<subject> calls;
  auto turn = static_cast<std::size_t>(seed);
  const std::int64_t cols = where == space::cpu ? 9000 : 70;
  for (const auto& c : plain_cases()) {
    const element type = kDeviceElements[turn % std::size(kDeviceElements)];
    const lane& l = *all[++turn % kStreams];
    const problem p = c->make({.type = type, .rows = 5, .cols = cols, .seed = seed});
    execution how{.where = where, .workspace = turn / kStreams % 2 == 0, .stream = l.stream()};
    how.record_faults = true;
    how.threads = 2;
    calls.push_back(subject_of(*c, p, how));
  }
  const auto add = [&](const auto& choice, const auto& numbers) {
    lane& l = *all[++turn % kStreams];
    typename std::remove_cvref_t<decltype(choice)>::execution how{
        .where = where, .workspace = turn / kStreams % 2 == 0 ? kLeastWorkspace : kNoWorkspace};
    how.stream = l.stream();
    how.blas = l.blas();
    if constexpr (requires { how.threads; }) how.threads = 2;
    calls.push_back(subject_of(choice, numbers, how));
  };
  for (const linear_choice& c : linear_ways()) {
    if (c.mode == linear_mode::split || !c.gradients()) continue;
    add(c, make_linear(c, {.rows = 9, .classes = 9, .dimension = 5, .seed = seed}));
  }
  for (const self_loss which : kSelfLosses) {
    const self_choice c{.which = which, .masked = true};
    add(c, make_self(c, {.rows = 8, .dimension = 6, .seed = seed}));
  }
  for (const bool symmetric : {false, true}) {
    const similarity_choice c{.symmetric = symmetric, .masked = true, .mask = true, .margin = 0.5f};
    add(c, make_similarity(c, {.rows = 7,
                               .keys = 7,
                               .negatives = symmetric ? 0 : 5,
                               .dimension = 6,
                               .seed = seed,
                               .of_a_row = symmetric ? 0 : 9}));
  }
  for (const culoss::mining_rule rule : kMiningRules) {
    const mined_choice c{.rule = rule};
    add(c, make_mined(c, {.rows = 9, .dimension = 5, .seed = seed}));
  }
  siglip_choice c;
  c.masked = true;
  add(c, make_siglip(c, {.rows = 7, .keys = 9, .dimension = 6, .offset = 1, .seed = seed}));
  return calls;
}

// What the calls return, made one after the other.
std::vector<std::vector<output>> one_by_one(const std::vector<subject>& calls) {
  std::vector<std::vector<output>> outputs;
  for (const subject& s : calls) {
    s.write();
    const culoss::status status = s.launch();
    EXPECT_TRUE(status.ok()) << s.what << ": " << status.message();
    outputs.push_back(s.read().outputs);
  }
  return outputs;
}

// body(number of the thread) on all threads, which begin together. What they throw or return is
// wrong.
template <class Body>
void on_all_threads(const Body& body) {
  std::array<std::string, kThreads> wrong;
  std::vector<std::thread> threads;
  std::barrier begin(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      begin.arrive_and_wait();
      try {
        wrong[t] = body(t);
      } catch (const std::exception& e) {
        wrong[t] = e.what();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& text : wrong) EXPECT_EQ(text, "") << simt::last_report();
}

// Launches all calls, waiting for none, then reads them. Returns what is wrong.
std::string run_all(const std::vector<subject>& calls, const std::vector<std::size_t>& order,
                    const std::vector<std::vector<output>>& expected) {
  std::string wrong;
  for (const std::size_t k : order) calls[k].write();
  for (const std::size_t k : order) {
    const culoss::status s = calls[k].launch();
    if (!s.ok()) wrong += s.message() + std::string("\n");
  }
  for (const std::size_t k : order) {
    const subject::reading r = calls[k].read();
    const std::string what = r.damage + difference(r.outputs, expected[k]);
    if (!what.empty()) wrong += calls[k].what + ": " + what + "\n";
  }
  return wrong;
}

class threads : public on_each_space {};

// The first calls of this process, so that whatever is set up once is set up under them.
TEST_P(threads, may_call_for_the_first_time_at_once) {
  std::array<lanes, kThreads> own;
  std::array<std::vector<subject>, kThreads> calls;
  for (std::size_t t = 0; t < kThreads; ++t) {
    own[t] = make_lanes(GetParam());
    calls[t] = mixed_calls(GetParam(), own[t], 70);
    for (const subject& s : calls[t]) s.write();
  }
  std::barrier together(kThreads);
  std::array<std::vector<std::vector<output>>, kThreads> outputs;
  on_all_threads([&](std::size_t t) {
    std::string wrong;
    for (const subject& s : calls[t]) {
      together.arrive_and_wait();
      const culoss::status status = s.launch();
      if (!status.ok()) wrong += status.message();
    }
    for (const subject& s : calls[t]) {
      const subject::reading r = s.read();
      wrong += r.damage;
      outputs[t].push_back(r.outputs);
    }
    return wrong;
  });
  const std::vector<std::vector<output>> expected = one_by_one(calls[0]);
  for (std::size_t t = 0; t < kThreads; ++t) {
    for (std::size_t k = 0; k < expected.size(); ++k) {
      EXPECT_EQ(difference(outputs[t].at(k), expected[k]), "") << calls[0][k].what;
    }
  }
}

// Several rounds, each thread in an order of its own, with the work of the streams running whenever
// it likes.
TEST_P(threads, get_the_bits_of_calls_made_one_by_one) {
  std::array<lanes, kThreads> own;
  std::array<std::vector<subject>, kThreads> calls;
  std::array<std::vector<std::vector<output>>, kThreads> expected;
  for (std::size_t t = 0; t < kThreads; ++t) {
    own[t] = make_lanes(GetParam());
    calls[t] = mixed_calls(GetParam(), own[t], 71 + t);
    expected[t] = one_by_one(calls[t]);
  }
  for (const auto mode_of_streams :
       {simt::stream_mode::seeded, simt::stream_mode::lazy, simt::stream_mode::eager}) {
    simt::settings settings = simt::get_settings();
    settings.streams = mode_of_streams;
    const simt::scoped_settings scope(settings);
    on_all_threads([&](std::size_t t) {
      std::vector<std::size_t> order(calls[t].size());
      for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
      random_numbers random(static_cast<std::uint64_t>(mode_of_streams) * kThreads + t);
      std::string wrong;
      for (int round = 0; round < (GetParam() == space::cpu ? 2 : 1); ++round) {
        for (std::size_t k = order.size() - 1; k > 0; --k) {
          std::swap(
              order[k],
              order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(k + 1)))]);
        }
        wrong += run_all(calls[t], order, expected[t]);
      }
      return wrong;
    });
    if (GetParam() == space::cpu || reduced_run()) break;  // the CPU has no streams
  }
}

// Refusals are made of nothing that threads share.
TEST_P(threads, are_refused_each_for_its_own_reason) {
  on_all_threads([&](std::size_t t) {
    std::string wrong;
    const auto size = static_cast<std::int64_t>(t);
    const std::string message =
        "softmax: logits.rows is -" + std::to_string(size + 1) + ", must not be negative";
    for (int i = 0; i < 200; ++i) {
      const culoss::matrix<float> m(nullptr, -size - 1, 3);
      const culoss::status s = GetParam() == space::cpu ? culoss::softmax(culoss::cpu{}, m, m)
                                                        : culoss::softmax(culoss::cuda{}, m, m);
      if (s.message() != message) wrong = s.message();
    }
    return wrong;
  });
}

CULOSS_ON_EACH_SPACE(threads);

}  // namespace
}  // namespace culoss_test
