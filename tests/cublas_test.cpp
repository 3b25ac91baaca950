// The handle that a loss takes its matrix products from: what it holds, what each call sets on it,
// and what becomes of a call of CUDA or cuBLAS that fails.
#include <cublas_v2.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

using culoss::status_code;

class cublas : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

// A handle of the caller's own.
class callers_handle {
 public:
  callers_handle() { EXPECT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS); }
  callers_handle(const callers_handle&) = delete;
  callers_handle& operator=(const callers_handle&) = delete;
  ~callers_handle() { (void)cublasDestroy(handle_); }
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

struct call {
  similarity_choice choice;
  similarity_numbers numbers;
  std::vector<expectation> wanted;

  explicit call(bool symmetric)
      : choice{.symmetric = symmetric},
        numbers(make_similarity(
            choice, {.rows = 40, .keys = 40, .negatives = symmetric ? 0 : 9, .dimension = 12})),
        wanted(expect(choice, numbers)) {}
};

TEST_F(cublas, owns_a_handle_and_a_workspace_of_the_devices_size) {
  int device = 0, major = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
             "cudaDeviceGetAttribute");
  const std::size_t before = simt::live().total();
  {
    culoss::cublas blas;
    EXPECT_EQ(blas.handle(), nullptr);
    EXPECT_EQ(blas.pinned().data, nullptr);
    ASSERT_TRUE(blas.create().ok());
    EXPECT_NE(blas.handle(), nullptr);
    EXPECT_EQ(blas.pinned().bytes, std::size_t{major >= 9 ? 32u : 4u} << 20);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blas.pinned().data) % 256, 0u);
    if (simt::present()) {
      EXPECT_EQ(simt::live().total(), before + 2);
    }
    ASSERT_TRUE(blas.create().ok());  // again: the first one goes
    if (simt::present()) {
      EXPECT_EQ(simt::live().total(), before + 2);
    }
    const call c(false);
    EXPECT_EQ(complaint(run(c.choice, c.numbers, {.blas = &blas}), c.wanted), "");
  }
  EXPECT_EQ(simt::live().total(), before);
}

TEST_F(cublas, borrows_a_handle_and_leaves_it_alive) {
  const callers_handle handle;
  const std::size_t bytes = std::size_t{1} << 20;
  const buffer memory(space::cuda, {.row_bytes = bytes, .pitch = bytes});
  {
    culoss::cublas blas;
    ASSERT_TRUE(blas.create().ok());
    ASSERT_TRUE(blas.borrow(handle.get()).ok());
    EXPECT_EQ(blas.handle(), handle.get());
    EXPECT_EQ(blas.pinned().data, nullptr);
    for (const bool symmetric : {false, true}) {
      const call c(symmetric);
      EXPECT_EQ(complaint(run(c.choice, c.numbers, {.blas = &blas}), c.wanted), "");
      ASSERT_TRUE(blas.borrow(handle.get(), {memory.data(), bytes}).ok());
      EXPECT_EQ(complaint(run(c.choice, c.numbers, {.blas = &blas}), c.wanted), "");
    }
  }
  cublasPointerMode_t mode = CUBLAS_POINTER_MODE_DEVICE;
  EXPECT_EQ(cublasGetPointerMode(handle.get(), &mode), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(mode, CUBLAS_POINTER_MODE_HOST);
}

TEST_F(cublas, refuses_what_it_cannot_borrow) {
  const callers_handle handle;
  culoss::cublas blas;
  ASSERT_TRUE(blas.create().ok());
  const auto before = blas.handle();
  const auto expect_refused = [&](const culoss::status& s, const std::string& message) {
    EXPECT_EQ(s.code(), status_code::invalid_argument);
    EXPECT_EQ(s.message(), message);
    EXPECT_EQ(blas.handle(), before);
  };
  expect_refused(blas.borrow(nullptr), "cublas::borrow: handle is null");
  expect_refused(blas.borrow(handle.get(), {nullptr, 256}),
                 "cublas::borrow: pinned.data is null, but pinned.bytes is 256");
  void* const odd = static_cast<char*>(blas.pinned().data) + 128;
  char message[128];
  std::snprintf(message, sizeof message,
                "cublas::borrow: pinned.data is %p, must be a multiple of 256 bytes", odd);
  expect_refused(blas.borrow(handle.get(), {odd, 256}), message);
}

// Setting the stream resets the workspace, so it comes first; whatever the caller had set before,
// the call sets its own.
TEST_F(cublas, is_set_up_anew_by_each_call) {
  const callers_handle handle;
  const std::size_t bytes = std::size_t{1} << 20;
  const buffer memory(space::cuda, {.row_bytes = bytes, .pitch = bytes});
  culoss::cublas blas;
  ASSERT_TRUE(blas.borrow(handle.get(), {memory.data(), bytes}).ok());
  const call c(false);
  const stream s;
  for (int turn = 0; turn < 2; ++turn) {
    // With these, scalars would be read from the device and products be TF32.
    ASSERT_EQ(cublasSetPointerMode(handle.get(), CUBLAS_POINTER_MODE_DEVICE),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetMathMode(handle.get(), CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetStream(handle.get(), nullptr), CUBLAS_STATUS_SUCCESS);
    const std::uint64_t first = simt::call_count();
    const similarity_results r = run(c.choice, c.numbers, {.stream = s.get(), .blas = &blas});
    EXPECT_EQ(complaint(r, c.wanted), "");
    cudaStream_t of_handle = nullptr;
    cublasMath_t math = CUBLAS_TF32_TENSOR_OP_MATH;
    EXPECT_EQ(cublasGetStream(handle.get(), &of_handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(of_handle, s.get());
    EXPECT_EQ(cublasGetMathMode(handle.get(), &math), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(math, CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    if (!simt::present()) continue;
    std::vector<std::string> names;
    for (std::uint64_t i = first; i < simt::call_count(); ++i) {
      const std::string name = simt::call_name(i);
      if (name.find("cublasSet") == 0) names.push_back(name.substr(0, name.find("_v2")));
    }
    names.resize(5);
    const std::vector<std::string> order = {"cublasSetStream", "cublasSetWorkspace",
                                            "cublasSetPointerMode", "cublasSetAtomicsMode",
                                            "cublasSetMathMode"};
    EXPECT_EQ(names, order);
  }
}

// The name that the sources give a call of the runtime's library.
std::string name_in_source(std::string name) {
  for (const char* suffix : {"_v2", "ExC"}) {
    const std::size_t at = name.rfind(suffix);
    if (at != std::string::npos && at + 3 == name.size())
      name.erase(at + (suffix[0] == 'E' ? 2 : 0));
  }
  return name;
}

// Every call of CUDA and cuBLAS that `body` makes fails in turn, once for want of memory and once
// otherwise; `after` sees the name of the call that failed.
template <class Body, class After>
void for_each_failure(const Body& body, const After& after) {
  for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
    const std::uint64_t start = simt::call_count();
    ASSERT_TRUE(body().ok());
    const std::uint64_t calls = simt::call_count() - start;
    after("");
    EXPECT_GT(calls, 3u);
    for (std::uint64_t n = 1; n <= calls; ++n) {
      const std::uint64_t first = simt::call_count();
      simt::fail_call(n, error);
      const culoss::status s = body();
      simt::fail_call(0, 0);
      const std::string name = name_in_source(simt::call_name(first + n - 1));
      EXPECT_NE(std::string(s.message()).find(name + " failed: "), std::string::npos)
          << name << ": " << s.message();
      const bool memory = error == cudaErrorMemoryAllocation;
      EXPECT_EQ(static_cast<int>(s.code()),
                static_cast<int>(memory                     ? status_code::out_of_memory
                                 : name.find("cublas") == 0 ? status_code::cublas_error
                                                            : status_code::cuda_error))
          << name << ": " << s.message();
      (void)cudaGetLastError();
      after(name);
    }
  }
}

TEST_F(cublas, names_the_call_of_its_creation_that_failed) {
  if (!simt::present()) GTEST_SKIP() << "a real device does not fail on request";
  const std::size_t before = simt::live().total();
  std::unique_ptr<culoss::cublas> blas;
  for_each_failure(
      [&] {
        blas = std::make_unique<culoss::cublas>();
        culoss::status s = blas->create();
        EXPECT_EQ(blas->handle() == nullptr, !s.ok());
        return s;
      },
      [&](const std::string& failed) {
        blas.reset();
        EXPECT_EQ(simt::live().total(), before) << failed;
      });
}

TEST_F(cublas, a_call_that_fails_names_what_failed_and_leaks_nothing) {
  if (!simt::present()) GTEST_SKIP() << "a real device does not fail on request";
  (void)shared_blas();
  for (const bool symmetric : {false, true}) {
    const call c(symmetric);
    for (const std::int64_t workspace : {kNoWorkspace, kLeastWorkspace}) {
      const auto prepared = prepare(c.choice, c.numbers, {.workspace = workspace});
      std::size_t before = simt::live().total();
      for_each_failure([&] { return prepared->launch(); },
                       [&](const std::string& failed) {
                         check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
                         // What cannot be given back is lost.
                         if (failed == "cudaFreeAsync") ++before;
                         EXPECT_EQ(simt::live().total(), before) << failed;
                       });
      // What has failed does not stand in the way of the next call.
      prepared->write(c.numbers);
      EXPECT_EQ(complaint(prepared->read(prepared->launch()), c.wanted), "");
    }
  }
}

}  // namespace
}  // namespace culoss_test
