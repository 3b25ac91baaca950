// Calls of CUDA and cuBLAS that are made to fail, each in turn, under anything that launches.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/emulator/probe.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/subject.hpp"

namespace culoss_test {

// How a call fails; `lasting`: and every later one with it, what gives memory back included.
struct injected {
  cudaError_t error = cudaErrorInvalidValue;
  bool lasting = false;
};
inline constexpr injected kInjected[] = {{cudaErrorMemoryAllocation},
                                         {cudaErrorInvalidValue},
                                         {cudaErrorLaunchFailure},
                                         {cudaErrorLaunchFailure, true}};

// The calls that were made since this was.
class call_log {
 public:
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (std::uint64_t i = first_; i < simt::call_count(); ++i) {
      all.push_back(name_in_source(simt::call_name(i)));
    }
    return all;
  }

 private:
  // Headers give some calls another name than the one that programs write.
  static std::string name_in_source(const std::string& name) {
    for (const std::string suffix : {"_v2", "C"}) {
      const std::size_t kept = name.size() - std::min(name.size(), suffix.size());
      if (name.substr(kept) == suffix) return name.substr(0, kept);
    }
    return name;
  }

  std::uint64_t first_ = simt::call_count();
};

inline bool is_blas(const std::string& call) { return call.rfind("cublas", 0) == 0; }
inline bool enqueues(const std::string& call) {
  return call == "cudaLaunchKernelEx" || call == "cudaMemsetAsync" || call == "cudaMemcpyAsync" ||
         call == "cublasGemmEx";
}
// A failure of these is not reported where something else has failed before, or where there is
// nobody to report it to: in destructors. What they were to give back is lost.
inline bool gives_back(const std::string& call) {
  return call == "cudaFree" || call == "cudaFreeAsync" || call == "cublasDestroy";
}

// The status that a function must return when that call of it fails.
inline culoss::status expected_status(const std::string& function, const std::string& call,
                                      cudaError_t error) {
  const bool memory = error == cudaErrorMemoryAllocation;
  std::string text = function + ": " + call + " failed: ";
  if (is_blas(call)) {
    text += memory ? "CUBLAS_STATUS_ALLOC_FAILED" : "CUBLAS_STATUS_INTERNAL_ERROR";
  } else {
    text += cudaGetErrorString(error) + std::string(" (") + cudaGetErrorName(error) + ")";
  }
  return {memory          ? culoss::status_code::out_of_memory
          : is_blas(call) ? culoss::status_code::cublas_error
                          : culoss::status_code::cuda_error,
          text.c_str()};
}

// Lets each call that a subject makes fail.
class failing_calls {
 public:
  // Names of the calls that have failed in all subjects.
  const std::set<std::string>& seen() const { return seen_; }

  void check(const subject& s, std::span<const injected> failures, bool captured) {
    SCOPED_TRACE(s.what + (captured ? ", captured" : ""));
    s.write();
    const std::vector<output> untouched = s.read().outputs;
    const call_log log;
    const culoss::status good = s.launch();
    const std::vector<std::string> calls = log.names();
    ASSERT_TRUE(good.ok()) << good.message();
    const std::vector<output> expected = s.read().outputs;
    const auto opened = std::count(calls.begin(), calls.end(), "cudaGetDevice");
    ASSERT_EQ(static_cast<std::size_t>(opened), s.functions.size());

    auto function = s.functions.begin() - 1;
    bool enqueued = false;
    for (std::size_t k = 0; k < calls.size(); ++k) {
      if (calls[k] == "cudaGetDevice") ++function;
      seen_.insert(calls[k]);
      for (const injected& f : failures) {
        SCOPED_TRACE("call " + std::to_string(k) + ", " + calls[k] + ", " +
                     cudaGetErrorName(f.error) + (f.lasting ? " from then on" : ""));
        s.write();
        const std::size_t alive = simt::live().total();
        const attempt a = captured ? try_captured(s, k, f) : try_once(s, k, f);
        const culoss::status wanted = expected_status(*function, calls[k], f.error);
        EXPECT_EQ(a.status.code(), wanted.code());
        EXPECT_STREQ(a.status.message(), wanted.message());
        // Nothing more is asked of a device that has failed but to take back what it gave.
        for (std::size_t i = k + 1; i < a.calls.size(); ++i) {
          EXPECT_TRUE(gives_back(a.calls[i])) << a.calls[i];
        }
        const std::size_t failed = f.lasting ? a.calls.size() : k + 1;
        const auto lost =
            std::count_if(a.calls.begin() + static_cast<std::ptrdiff_t>(k),
                          a.calls.begin() + static_cast<std::ptrdiff_t>(failed), gives_back);
        const subject::reading r = s.read();
        EXPECT_EQ(simt::live().total(), alive + (captured ? 0u : static_cast<std::size_t>(lost)));
        if (captured) {
          EXPECT_EQ(a.unfreed, lost);
        }
        EXPECT_EQ(r.damage, "");
        if (!enqueued || captured || s.keeps_outputs) {
          EXPECT_EQ(difference(r.outputs, untouched), "");
        }
      }
      enqueued = enqueued || enqueues(calls[k]);
      // The next call works. Of long ones, and in reduced runs, every eighth is enough.
      const bool often = calls.size() <= 40 && !reduced_run();
      if (!often && k % 8 != 0 && !gives_back(calls[k])) continue;
      s.write();
      captured ? replay(s) : expect_success(s);
      const subject::reading again = s.read();
      EXPECT_EQ(again.damage, "");
      EXPECT_EQ(difference(again.outputs, expected), "") << "after " << calls[k] << " failed";
    }
  }

 private:
  struct attempt {
    culoss::status status;
    std::vector<std::string> calls;
    std::ptrdiff_t unfreed = 0;  // by the graph
  };

  static attempt try_once(const subject& s, std::size_t k, const injected& f) {
    simt::fail_call(k + 1, f.error, f.lasting);
    const call_log log;
    attempt a;
    a.status = s.launch();
    a.calls = log.names();
    simt::fail_call(0, 0);
    (void)cudaGetLastError();
    return a;
  }
  // The caller can end the capture all the same, and finds a graph of what came before.
  static attempt try_captured(const subject& s, std::size_t k, const injected& f) {
    attempt a;
    const graph g(s.stream, [&] { a = try_once(s, k, f); });
    a.unfreed = g.count(cudaGraphNodeTypeMemAlloc) - g.count(cudaGraphNodeTypeMemFree);
    return a;
  }
  static void expect_success(const subject& s) {
    const culoss::status status = s.launch();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  static void replay(const subject& s) {
    const graph g(s.stream, [&] { expect_success(s); });
    g.replay(s.stream);
    synchronize(space::cuda, s.stream);
  }

  std::set<std::string> seen_;
};

}  // namespace culoss_test
