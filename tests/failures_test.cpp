// Each call of CUDA and cuBLAS that a function makes fails in turn: the status names function, call
// and error, nothing leaks, nothing but outputs is written, and the next call is none the worse.
// An error that the caller left behind is neither blamed on the function nor taken away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

#include "tests/cases/subjects.hpp"
#include "tests/harness/blas.hpp"
#include "tests/harness/failing.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

class failures : public ::testing::Test {
 protected:
  // Calls that must have been among those that failed; some cases alone need not make them all.
  void expect_seen(const std::vector<std::string>& calls) const {
    if (std::getenv("CULOSS_TEST_CASES") != nullptr) return;
    EXPECT_THAT(failing_.seen(), ::testing::IsSupersetOf(calls));
  }

  void SetUp() override {
    CULOSS_NEEDS_CUDA();
    if (!simt::present()) GTEST_SKIP() << "this device's calls cannot be made to fail";
    (void)shared_blas();
  }

  failing_calls failing_;
};

// Every kind of failure, or the one whose turn it is.
std::span<const injected> in_every_way(bool every, std::size_t turn) {
  const std::span<const injected> all(kInjected);
  return every ? all : all.subspan(turn % all.size(), 1);
}

TEST_F(failures, of_row_losses_are_reported) {
  const stream own;
  std::size_t turn = 0;
  for (const auto& c : state_cases()) {
    for (const mode m : c->modes()) {
      for (const bool workspace : {true, false}) {
        const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
        const problem p = c->make({.type = type, .rows = 3, .cols = 40, .seed = 63});
        const execution how{.mode = m, .workspace = workspace, .record_faults = true};
        failing_.check(subject_of(*c, p, how), in_every_way(m == mode::fused, turn), false);
        execution on_stream = how;
        on_stream.stream = own.get();
        failing_.check(subject_of(*c, p, on_stream), in_every_way(false, turn + 2), true);
      }
    }
  }
  expect_seen({"cudaGetDevice", "cudaStreamGetDevice", "cudaDeviceGetAttribute", "cudaMallocAsync",
               "cudaLaunchKernelEx", "cudaFreeAsync"});
}

// No rows; more shared memory than a kernel may use unasked; more rows than one block sums.
TEST_F(failures, of_row_losses_of_every_shape_are_reported) {
  const injected once[] = {kInjected[1]};
  for (const auto& c : plain_cases()) {
    for (const auto& [rows, cols] : {std::pair{0, 5}, {1, 1100}, {8200, 1}}) {
      if (rows > 1000 && reduced_run()) continue;
      const problem p = c->make({.rows = rows, .cols = cols, .seed = 64});
      failing_.check(subject_of(*c, p, {.workspace = false}), once, false);
    }
  }
  expect_seen({"cudaMemsetAsync", "cudaFuncSetAttribute"});
}

// One kernel for all, rows by way of a ring, in parts with memory for their states.
TEST_F(failures, of_pipelined_row_losses_are_reported) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.more_outputs = false;
  choice.z_loss = 1e-3f;
  choice.z_loss_output = true;
  const cross_entropy_case cross_entropy(choice);
  const softmax_case softmax({.function = softmax_function::softmax});
  const stream own;
  std::size_t turn = 0;
  for (const loss_case* c :
       {static_cast<const loss_case*>(&cross_entropy), static_cast<const loss_case*>(&softmax)}) {
    for (const auto& [kernel, cols, capability] : {std::tuple{"rows_by_ring", 1201, 90},
                                                   {"rows_by_copies", 1201, 80},
                                                   {"finish_parts", 28999, 90}}) {
      simt::settings settings = simt::get_settings();
      settings.capability = capability;
      const simt::scoped_settings scope(settings);
      const problem p = c->make({.rows = 1, .cols = cols, .seed = 62});
      execution how{.workspace = false, .row_kernels = culoss::row_kernels::pipelined};
      const recorded_work work;
      EXPECT_TRUE(subject_of(*c, p, how).launch().ok());
      EXPECT_EQ(work.kernels(kernel), 1) << kernel;
      failing_.check(subject_of(*c, p, how), in_every_way(false, ++turn), false);
      how.stream = own.get();
      failing_.check(subject_of(*c, p, how), in_every_way(false, ++turn), true);
    }
  }
  expect_seen(
      {"cudaMemsetAsync", "cudaMallocAsync", "cudaFreeAsync", "cudaOccupancyMaxActiveClusters"});
}

TEST_F(failures, of_row_losses_with_any_options_are_reported) {
  if (reduced_run()) return;  // the whole run has it
  const injected once[] = {kInjected[2]};
  for (const auto& c : all_cases()) {
    const problem p = c->make({.rows = 4, .cols = 19, .seed = 65});
    for (const mode m : {mode::fused, mode::split}) {
      const auto modes = c->modes();
      if (std::find(modes.begin(), modes.end(), m) == modes.end()) continue;
      failing_.check(subject_of(*c, p, {.mode = m, .workspace = false}), once, false);
    }
  }
}

TEST_F(failures, of_similarity_losses_are_reported) {
  const stream own;
  constexpr std::int64_t kWorkspaces[] = {kLeastWorkspace, kNoWorkspace, kBestWorkspace};
  std::size_t turn = 0;
  for (const similarity_way& each : similarity_ways()) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    failing_.check(subject_of(each.choice, p, {.workspace = kNoWorkspace}),
                   in_every_way(!reduced_run() && turn < 2, turn), false);
    const std::int64_t workspace = kWorkspaces[++turn % std::size(kWorkspaces)];
    failing_.check(subject_of(each.choice, p, {.workspace = workspace, .stream = own.get()}),
                   in_every_way(false, turn + 2), true);
  }
  for (const self_way& each : self_ways()) {
    const self_numbers p = make_self(each.choice, each.input);
    const std::int64_t workspace = kWorkspaces[++turn % std::size(kWorkspaces)];
    failing_.check(subject_of(each.choice, p, {.workspace = workspace}), in_every_way(false, turn),
                   false);
    failing_.check(subject_of(each.choice, p, {.workspace = kNoWorkspace, .stream = own.get()}),
                   in_every_way(false, turn + 2), true);
  }
  EXPECT_THAT(failing_.seen(),
              ::testing::IsSupersetOf({"cublasSetStream", "cublasSetWorkspace",
                                       "cublasSetPointerMode", "cublasSetAtomicsMode",
                                       "cublasSetMathMode", "cublasGemmEx", "cudaLaunchKernelEx",
                                       "cudaMallocAsync", "cudaFreeAsync", "cudaMemsetAsync"}));
}

// Several panels and tiles; no rows at all, with gradients of keys.
TEST_F(failures, of_similarity_losses_of_every_shape_are_reported) {
  const injected once[] = {kInjected[1]};
  const similarity_choice plain, clip{.symmetric = true};
  std::vector<similarity_way> ways = {
      {plain, {.rows = 0, .keys = 3, .negatives = 2, .dimension = 4}},
      {clip, {.rows = 0, .keys = 0, .dimension = 4}}};
  if (!reduced_run()) {
    ways.push_back({plain, {.rows = 140, .keys = 140, .negatives = 9, .dimension = 2}});
    ways.push_back({clip, {.rows = 140, .keys = 140, .dimension = 2}});
  }
  for (const similarity_way& each : ways) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    failing_.check(subject_of(each.choice, p, {.workspace = kLeastWorkspace}), once, false);
  }
  for (const self_loss which : kSelfLosses) {
    const self_choice c{.which = which};
    for (const std::int64_t rows : {0, 140}) {
      if (rows > 0 && reduced_run()) continue;
      const self_numbers p = make_self(c, {.rows = rows, .dimension = 2});
      failing_.check(subject_of(c, p, {.workspace = kLeastWorkspace}), once, false);
    }
  }
}

TEST_F(failures, of_mined_triplets_are_reported) {
  const stream own;
  constexpr std::int64_t kWorkspaces[] = {kLeastWorkspace, kNoWorkspace, kBestWorkspace};
  std::size_t turn = 0;
  for (const mined_way& each : mined_ways()) {
    const mined_numbers p = make_mined(each.choice, each.input);
    failing_.check(subject_of(each.choice, p, {.workspace = kNoWorkspace}),
                   in_every_way(!reduced_run() && turn == 0, turn), false);
    const std::int64_t workspace = kWorkspaces[++turn % std::size(kWorkspaces)];
    failing_.check(subject_of(each.choice, p, {.workspace = workspace, .stream = own.get()}),
                   in_every_way(false, turn + 2), true);
  }
  const mined_choice c;
  failing_.check(subject_of(c, make_mined(c, {.rows = 0, .dimension = 4}), {}),
                 in_every_way(false, 1), false);
  EXPECT_THAT(failing_.seen(),
              ::testing::IsSupersetOf({"cublasSetStream", "cublasGemmEx", "cudaLaunchKernelEx",
                                       "cudaMallocAsync", "cudaFreeAsync", "cudaMemsetAsync"}));
}

// Everything that it can return; the loss alone; several tiles; no rows, no texts.
TEST_F(failures, of_siglip_are_reported) {
  const stream own;
  siglip_choice all = siglip_of_each_row(), none;
  all.masked = all.wide = true;
  none.positives = false;
  struct way {
    siglip_choice choice;
    similarity_input input;
  };
  const way ways[] = {
      {all, {.type = element::bfloat16, .rows = 5, .keys = 9, .dimension = 4, .offset = 2}},
      {without_gradients(siglip_choice()), {.rows = 3, .keys = 3, .dimension = 2}},
      {none,
       {.type = element::float16, .rows = 4, .keys = reduced_run() ? 5 : 700, .dimension = 1}},
      {none, {.rows = 0, .keys = 3, .dimension = 4}}};
  std::size_t turn = 0;
  for (const way& each : ways) {
    const siglip_numbers p = make_siglip(each.choice, each.input);
    failing_.check(subject_of(each.choice, p, {.workspace = kNoWorkspace}),
                   in_every_way(!reduced_run() && turn == 0, turn), false);
    failing_.check(subject_of(each.choice, p, {.workspace = kLeastWorkspace, .stream = own.get()}),
                   in_every_way(false, ++turn), true);
  }
  EXPECT_THAT(failing_.seen(),
              ::testing::IsSupersetOf({"cublasSetMathMode", "cublasGemmEx", "cudaLaunchKernelEx",
                                       "cudaMallocAsync", "cudaFreeAsync", "cudaMemsetAsync"}));
}

// Also with several chunks of rows, and half with its norms.
TEST_F(failures, of_linear_cross_entropy_are_reported) {
  const stream own;
  constexpr std::int64_t kWorkspaces[] = {kLeastWorkspace, kNoWorkspace, kBestWorkspace};
  std::size_t turn = 0;
  for (linear_choice c : linear_ways()) {
    if (reduced_run() && c.mode == linear_mode::split) continue;
    if (turn == 0) c.z_loss = 0.1f;
    const element type = turn == 0 ? element::float16 : element::float32;
    const linear_numbers p =
        make_linear(c, {.type = type, .rows = 10, .classes = 9, .dimension = 4});
    failing_.check(subject_of(c, p, {.workspace = kNoWorkspace}),
                   in_every_way(!reduced_run() && turn == 0, turn), false);
    const std::int64_t workspace = kWorkspaces[++turn % std::size(kWorkspaces)];
    failing_.check(subject_of(c, p, {.workspace = workspace, .stream = own.get()}),
                   in_every_way(false, turn + 2), true);
    const linear_numbers none = make_linear(c, {.rows = 0, .classes = 9, .dimension = 4});
    failing_.check(subject_of(c, none, {}), in_every_way(false, turn + 1), false);
  }
}

// The caller's struct stays as it was.
TEST_F(failures, of_read_faults_are_reported) {
  const stream own;
  array<std::int64_t> record(space::cuda, 4, 0);
  culoss::faults out;
  subject s;
  s.what = "read_faults";
  s.functions = {"read_faults"};
  s.keeps_outputs = true;
  s.stream = own.get();
  s.write = [&] {
    record.write(std::vector<int>(4, 0));
    out = {.flags = 7, .count = 77, .first_row = 777, .label = 7777};
  };
  s.launch = [&] {
    return culoss::read_faults(culoss::cuda{.stream = own.get()},
                               reinterpret_cast<const culoss::fault_record*>(record.data()), &out);
  };
  s.read = [&] {
    subject::reading r;
    r.outputs = {{"out",
                  {static_cast<double>(out.flags), static_cast<double>(out.count),
                   static_cast<double>(out.first_row), static_cast<double>(out.label)}}};
    record.check_unchanged("record", r.damage);
    return r;
  };
  failing_.check(s, kInjected, false);
  EXPECT_THAT(failing_.seen(), ::testing::Contains("cudaStreamSynchronize"));
}

// A handle that could not be made whole is none, and what was made of it goes.
TEST_F(failures, of_a_handles_creation_are_reported) {
  culoss::cublas blas;
  subject s;
  s.what = "create";
  s.functions = {"cublas::create"};
  s.write = [&] {
    if (blas.handle() == nullptr) return;
    blas.~cublas();
    new (&blas) culoss::cublas;
  };
  s.launch = [&] { return blas.create(); };
  s.read = [&] {
    return subject::reading{
        {{"handle", {blas.handle() != nullptr ? 1.0 : 0.0}},
         {"bytes", {static_cast<double>(blas.pinned().bytes)}}},
        blas.handle() == nullptr && blas.pinned().data != nullptr ? "memory" : ""};
  };
  failing_.check(s, kInjected, false);
  EXPECT_THAT(failing_.seen(), ::testing::IsSupersetOf({"cudaMalloc", "cublasCreate"}));
}

// The one failure that a call which succeeds passes over: what a handle held before create() or
// borrow() replaces it, or its destructor, cannot give back. A destructor has no status; the new
// handle is none the worse for it.
TEST_F(failures, to_give_a_handle_back_are_passed_over) {
  const callers_handle other;
  using action = culoss::status (*)(culoss::cublas&, cublasHandle_t);
  const action create = [](culoss::cublas& b, cublasHandle_t) { return b.create(); };
  const action borrow = [](culoss::cublas& b, cublasHandle_t h) { return b.borrow(h); };
  for (const action replace : {create, borrow}) {
    for (const std::size_t k : {0u, 1u}) {
      const std::size_t before = simt::live().total();
      {
        culoss::cublas blas;
        ASSERT_TRUE(blas.create().ok());
        const call_log log;
        simt::fail_call(k + 1, cudaErrorInvalidValue);
        const culoss::status s = replace(blas, other.get());
        simt::fail_call(0, 0);
        (void)cudaGetLastError();
        EXPECT_TRUE(s.ok()) << s.message();
        EXPECT_EQ(log.names().at(k), k == 0 ? "cublasDestroy" : "cudaFree");
        const similarity_choice c;
        const similarity_numbers p = make_similarity(c, {.rows = 3, .keys = 3, .dimension = 2});
        EXPECT_EQ(complaint(run(c, p, {.blas = &blas}), expect(c, p)), "");
      }
      EXPECT_EQ(simt::live().total(), before + 1);
    }
  }
}

// A device that has faulted: each function says so, and leaves the error for the caller to find.
TEST_F(failures, of_the_device_before_a_call_are_reported_and_kept) {
  const auto check = [](const subject& s) {
    SCOPED_TRACE(s.what);
    s.write();
    const std::vector<output> untouched = s.read().outputs;
    simt::fault(cudaErrorIllegalAddress);
    const culoss::status status = s.launch();
    const cudaError_t left = cudaGetLastError();
    simt::reset_errors();
    EXPECT_EQ(status.code(), culoss::status_code::cuda_error) << status.message();
    EXPECT_EQ(std::string(status.message()).find(s.functions[0] + ": cu"), 0u) << status.message();
    EXPECT_EQ(left, cudaErrorIllegalAddress);
    EXPECT_EQ(difference(s.read().outputs, untouched), "");
    EXPECT_TRUE(s.launch().ok());
    EXPECT_EQ(s.read().damage, "");
  };
  for (const auto& c : plain_cases()) {
    const problem p = c->make({.rows = 2, .cols = 30, .seed = 66});
    for (const mode m : c->modes()) check(subject_of(*c, p, {.mode = m}));
  }
  for (const similarity_way& each : similarity_ways()) {
    check(subject_of(each.choice, make_similarity(each.choice, each.input), {}));
  }
  for (const linear_choice& c : linear_ways()) {
    if (c.mode == linear_mode::shards) continue;  // its first call alone is made
    check(subject_of(c, make_linear(c, {.rows = 3, .classes = 9, .dimension = 4}), {}));
  }
  for (const mined_way& each : mined_ways()) {
    check(subject_of(each.choice, make_mined(each.choice, each.input), {}));
  }
  for (const self_way& each : self_ways()) {
    check(subject_of(each.choice, make_self(each.choice, each.input), {}));
  }
}

class callers_error : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }

  static cudaError_t leave_a_bad_argument() { return cudaSetDevice(-1); }
  static cudaError_t leave_a_bad_launch() {
    cudaLaunchConfig_t config{};
    return cudaLaunchKernelExC(&config, nullptr, nullptr);
  }

  // The call succeeds and the error is still there; the results are those of a call without it.
  static void check(const subject& s) {
    SCOPED_TRACE(s.what);
    s.write();
    EXPECT_TRUE(s.launch().ok());
    const std::vector<output> expected = s.read().outputs;
    for (const auto leave : {leave_a_bad_argument, leave_a_bad_launch}) {
      s.write();
      (void)cudaGetLastError();
      const cudaError_t error = leave();
      ASSERT_NE(error, cudaSuccess);
      const culoss::status status = s.launch();
      EXPECT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(cudaGetLastError(), error);
      EXPECT_EQ(difference(s.read().outputs, expected), "");
    }
  }
};

TEST_F(callers_error, is_left_alone_by_row_losses) {
  for (const auto& c : plain_cases()) {
    const problem p = c->make({.rows = 2, .cols = 30, .seed = 62});
    for (const mode m : c->modes()) {
      for (const bool workspace : {true, false}) {
        check(subject_of(*c, p, {.mode = m, .workspace = workspace, .record_faults = true}));
      }
    }
  }
}

TEST_F(callers_error, is_left_alone_by_similarity_losses) {
  for (const similarity_way& each : similarity_ways()) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    for (const std::int64_t workspace : {kLeastWorkspace, kNoWorkspace}) {
      check(subject_of(each.choice, p, {.workspace = workspace}));
    }
  }
  for (const self_way& each : self_ways()) {
    const self_numbers p = make_self(each.choice, each.input);
    check(subject_of(each.choice, p, {.workspace = kNoWorkspace}));
  }
}

TEST_F(callers_error, is_left_alone_by_mined_triplets) {
  for (const mined_way& each : mined_ways()) {
    check(subject_of(each.choice, make_mined(each.choice, each.input), {}));
  }
}

TEST_F(callers_error, is_left_alone_by_what_is_no_loss) {
  array<std::int64_t> record(space::cuda, 4, 0);
  record.write(std::vector<int>(4, 0));
  culoss::cublas blas;
  for (const auto leave : {leave_a_bad_argument, leave_a_bad_launch}) {
    (void)cudaGetLastError();
    const cudaError_t error = leave();
    ASSERT_NE(error, cudaSuccess);
    EXPECT_TRUE(blas.create().ok());
    culoss::faults out;
    EXPECT_TRUE(culoss::read_faults(culoss::cuda{},
                                    reinterpret_cast<const culoss::fault_record*>(record.data()),
                                    &out)
                    .ok());
    EXPECT_EQ(cudaGetLastError(), error);
  }
}

}  // namespace
}  // namespace culoss_test
