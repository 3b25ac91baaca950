// Runs a case and holds what it returns against what it must be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "tests/emulator/probe.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss_test {

// Sanitized and watched kernels run many times slower: they get a fixed part of the widths.
inline bool reduced_run() {
  const char* subset = std::getenv("CULOSS_TEST_SUBSET");
  return (subset != nullptr && subset == std::string("1")) || simt::watch::present();
}

// The types of the device's functions. A reduced run looks at memory more than at numbers, and there
// the two of 16 bits are alike: one of them, and the other where memory is watched.
inline std::span<const element> device_elements() {
  static constexpr element kReduced[] = {element::bfloat16, element::float32, element::float16};
  if (!reduced_run()) return kDeviceElements;
  return std::span(kReduced).subspan(simt::watch::present() ? 1 : 0, 2);
}

inline std::string describe(const loss_case& c, const problem& p, const execution& how) {
  return c.name() + " on " + name_of(how.where) + ", " + format_of(p.type).name + " " +
         std::to_string(p.rows) + " x " + std::to_string(p.cols) + ", " + name_of(how.mode) +
         ", offset " + std::to_string(how.offset) + ", padding " + std::to_string(how.padding);
}

// Everything that is wrong with the results, or nothing.
inline std::string complaint(const results& r, const verdict& v) {
  std::string text;
  const auto add = [&text](const std::string& what) {
    if (!what.empty()) text += (text.empty() ? "" : "\n") + what;
  };
  if (!r.status.ok()) add(r.status.message());
  add(r.damage);
  add(v.message);
  if (!text.empty()) add(simt::last_report());
  return text;
}

inline std::string complaint(const results& r, const std::vector<expectation>& expected) {
  return complaint(r, compare(r.outputs, expected));
}

// Counts the calls of a test and keeps the largest error over its bound.
class tally {
 public:
  tally() = default;
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;
  ~tally() {
    if (calls_ == 0) return;
    std::printf("  %lld calls, %lld wrong; largest error in float %.3g of its bound (%s)\n", calls_,
                wrong_, worst_, where_.c_str());
  }

  // Each of these modes that the case has, with one reference for all.
  void expect_correct(const loss_case& c, const problem& p, execution how,
                      const std::vector<mode>& modes, const std::string& input = {}) {
    const std::vector<expectation> all = c.bound(p, how.where);
    const std::vector<mode> of_case = c.modes();
    for (const mode m : modes) {
      if (std::find(of_case.begin(), of_case.end(), m) == of_case.end()) continue;
      how.mode = m;
      expect_correct(c, p, how, c.choose(all, m), input);
    }
  }
  // Runs the case and adds a failure where anything is wrong; after many, only counts them.
  bool expect_correct(const loss_case& c, const problem& p, const execution& how,
                      const std::string& input = {}) {
    return expect_correct(c, p, how, c.expect(p, how), input);
  }
  bool expect_correct(const loss_case& c, const problem& p, const execution& how,
                      const std::vector<expectation>& expected, const std::string& input = {}) {
    return holds([&] { return run(c, p, how); }, expected, p.type == element::float32,
                 [&] { return describe(c, p, how) + (input.empty() ? "" : ", ") + input; });
  }
  // A loss that mixes the rows of a batch. `expect` and `describe` are found beside the choice.
  template <class Choice>
  bool expect_correct(const Choice& c, const typename Choice::numbers& p,
                      const typename Choice::execution& how = {}) {
    return expect_correct(c, p, how, expect(c, p, how.where));
  }
  template <class Choice>
  bool expect_correct(const Choice& c, const typename Choice::numbers& p,
                      const typename Choice::execution& how,
                      const std::vector<expectation>& expected) {
    return holds([&] { return run(c, p, how); }, expected, p.type == element::float32,
                 [&] {
                   return describe(c, p) + ", workspace " + std::to_string(how.workspace) +
                          ", offset " + std::to_string(how.offset);
                 });
  }

 private:
  template <class Run, class Describe>
  bool holds(const Run& run_call, const std::vector<expectation>& expected, bool in_float,
             const Describe& what) {
    std::string wrong;
    verdict v;
    try {
      const results r = run_call();
      v = compare(r.outputs, expected);
      wrong = complaint(r, v);
    } catch (const std::exception& e) {
      wrong = std::string(e.what()) + "\n" + simt::last_report();
      simt::reset_errors();
    }
    ++calls_;
    // In 16 bits the rounding of the result fills the bound by itself.
    if (in_float && v.worst_ratio > worst_) {
      worst_ = v.worst_ratio;
      where_ = what();
    }
    if (wrong.empty()) return true;
    constexpr int kShown = 5;
    if (++wrong_ <= kShown) {
      ADD_FAILURE() << what() << ":\n" << wrong;
    } else if (wrong_ == kShown + 1) {
      ADD_FAILURE() << "more of the same";
    }
    return false;
  }

  long long calls_ = 0, wrong_ = 0;
  double worst_ = 0;
  std::string where_;
};

// Tests that run on both execution spaces are instances of this fixture.
class on_each_space : public ::testing::TestWithParam<space> {
 protected:
  void SetUp() override {
    if (GetParam() == space::cuda) CULOSS_NEEDS_CUDA();
  }
};

// Calls of losses that mix the rows of a batch, on one execution space, that must come back whole.
class batch_fixture : public on_each_space {
 protected:
  template <class Choice>
  results run_here(const Choice& c, const typename Choice::numbers& p) const {
    results r = run(c, p, {.where = GetParam()});
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
  template <class Choice>
  void expect_correct(const Choice& c, const typename Choice::numbers& p) const {
    tally t;
    t.expect_correct(c, p, {.where = GetParam()});
  }
};

#define CULOSS_ON_EACH_SPACE(fixture)                                                    \
  INSTANTIATE_TEST_SUITE_P(                                                              \
      on, fixture, ::testing::Values(culoss_test::space::cpu, culoss_test::space::cuda), \
      [](const auto& each) { return std::string(culoss_test::name_of(each.param)); })

}  // namespace culoss_test
