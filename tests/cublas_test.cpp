// The handle that a loss takes its matrix products from: what it holds and what each call sets on
// it.
#include <gtest/gtest.h>

#include <string>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/blas.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

using culoss::status_code;

class cublas : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
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
    // With these, scalars would be read from the device, products be TF32 and in any order.
    ASSERT_EQ(cublasSetPointerMode(handle.get(), CUBLAS_POINTER_MODE_DEVICE),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetMathMode(handle.get(), CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetAtomicsMode(handle.get(), CUBLAS_ATOMICS_ALLOWED), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetStream(handle.get(), nullptr), CUBLAS_STATUS_SUCCESS);
    check_cuda(cudaMemset(memory.data(), 0, bytes), "cudaMemset");
    const std::uint64_t first = simt::call_count();
    const results r = run(c.choice, c.numbers, {.stream = s.get(), .blas = &blas});
    EXPECT_EQ(complaint(r, c.wanted), "");
    cudaStream_t of_handle = nullptr;
    cublasMath_t math = CUBLAS_TF32_TENSOR_OP_MATH;
    EXPECT_EQ(cublasGetStream(handle.get(), &of_handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(of_handle, s.get());
    EXPECT_EQ(cublasGetMathMode(handle.get(), &math), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(math, CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_ALLOWED;
    EXPECT_EQ(cublasGetAtomicsMode(handle.get(), &atomics), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(atomics, CUBLAS_ATOMICS_NOT_ALLOWED);
    if (!simt::present()) continue;
    // The emulated products leave nothing in the workspace as it was.
    unsigned char used = 0;
    check_cuda(cudaMemcpy(&used, memory.data(), 1, cudaMemcpyDeviceToHost), "cudaMemcpy");
    EXPECT_NE(used, 0) << "the pinned workspace was not used";
    std::vector<std::string> names;
    for (std::uint64_t i = first; i < simt::call_count(); ++i) {
      const std::string name = simt::call_name(i);
      if (name.find("cublasSet") == 0) names.push_back(name.substr(0, name.find("_v2")));
    }
    const std::vector<std::string> order = {"cublasSetStream", "cublasSetWorkspace",
                                            "cublasSetPointerMode", "cublasSetAtomicsMode",
                                            "cublasSetMathMode"};
    EXPECT_EQ(names, order);
  }
}

}  // namespace
}  // namespace culoss_test
