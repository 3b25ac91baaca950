// Approximate intrinsics and cuBLAS.
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>

#include "self_test.hpp"

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> evaluate(int function, const std::vector<float>& x, const std::vector<float>& y,
                            std::uint64_t approximation_seed,
                            simt::schedule order = simt::schedule::random) {
  simt::settings s;
  s.approximation_seed = approximation_seed;
  s.order = order;
  simt::set_settings(s);
  const buffer<float> dx(x), dy(y), out(x.size());
  EXPECT_CUDA(
      planted::apply(function, dx.data(), dy.data(), out.data(), static_cast<int>(x.size())));
  return out.host();
}

double ulp(double v) { return v == 0 ? 0x1p-149 : std::exp2(std::max(std::ilogb(v), -126) - 23); }

struct approximation {
  const char* name;
  int function;
  float low, high;
  std::function<double(double, double)> exact;
  std::function<double(double, double)> bound;  // of the argument and the exact value
};

const approximation kApproximations[] = {
    {"ex2.approx.ftz", 0, -120, 120, [](double x, double) { return std::exp2(x); },
     [](double, double v) { return v * 0x1p-22; }},
    {"lg2.approx.ftz", 1, 0.01f, 100, [](double x, double) { return std::log2(x); },
     [](double x, double v) { return x > 0.5 && x < 2 ? 0x1p-22 : std::abs(v) * 0x1p-22; }},
    {"rcp.approx.ftz", 2, 0.01f, 100, [](double x, double) { return 1 / x; },
     [](double, double v) { return ulp(v); }},
    {"tanh.approx", 3, -5, 5, [](double x, double) { return std::tanh(x); },
     [](double, double v) { return std::abs(v) * 0x1p-11; }},
    {"__expf", 4, -80, 80, [](double x, double) { return std::exp(x); },
     [](double x, double v) { return (2 + std::floor(std::abs(1.173 * x))) * ulp(v); }},
    {"__logf", 5, 0.01f, 100, [](double x, double) { return std::log(x); },
     [](double x, double v) { return x >= 0.5 && x <= 2 ? std::exp2(-21.41) : 3 * ulp(v); }},
    {"__fdividef", 6, 0.01f, 100, [](double x, double y) { return x / y; },
     [](double, double v) { return 2 * ulp(v); }},
    {"rsqrtf", 7, 0.01f, 100, [](double x, double) { return 1 / std::sqrt(x); },
     [](double, double v) { return 2 * ulp(v); }},
    {"__log2f", 9, 0.01f, 100, [](double x, double) { return std::log2(x); },
     [](double x, double v) { return x >= 0.5 && x <= 2 ? 0x1p-22 : 2 * ulp(v); }},
    {"__sinf", 10, -3, 3, [](double x, double) { return std::sin(x); },
     [](double, double) { return std::exp2(-21.41); }},
    {"__cosf", 11, -3, 3, [](double x, double) { return std::cos(x); },
     [](double, double) { return std::exp2(-21.19); }},
};

TEST_F(emulator, errors_of_approximations_stay_within_the_bound_and_reach_it) {
  std::mt19937 random(1);
  for (const approximation& a : kApproximations) {
    std::uniform_real_distribution<float> draw(a.low, a.high);
    std::vector<float> x(4000), y(4000);
    for (float& v : x) v = draw(random);
    for (float& v : y) v = draw(random);
    const std::vector<float> got = evaluate(a.function, x, y, 5);
    double worst = 0, below = 0, above = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = a.exact(x[i], y[i]);
      const double error = (got[i] - exact) / a.bound(x[i], exact);
      worst = std::max(worst, std::abs(error));
      below = std::min(below, error);
      above = std::max(above, error);
    }
    EXPECT_LE(worst, 1.0 + 1e-9) << a.name;
    EXPECT_GT(above, 0.85) << a.name << ": the bound is nearly reached, in both directions";
    EXPECT_LT(below, -0.85) << a.name;
    // Same bits again and under another schedule, others under another seed, correctly rounded
    // without one.
    auto bits = [](const std::vector<float>& v) {
      std::vector<std::uint32_t> b;
      for (const float f : v) b.push_back(std::bit_cast<std::uint32_t>(f));
      return b;
    };
    EXPECT_EQ(bits(got), bits(evaluate(a.function, x, y, 5, simt::schedule::reversed))) << a.name;
    EXPECT_NE(bits(got), bits(evaluate(a.function, x, y, 6))) << a.name;
    const std::vector<float> exact = evaluate(a.function, x, y, 0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(exact[i], a.exact(x[i], y[i]), 0.51 * ulp(a.exact(x[i], y[i])))
          << a.name << " " << x[i];
    }
  }
}

TEST_F(emulator, special_values_of_approximations) {
  const float tiny = 1e-40f;
  struct special {
    int function;
    float x, want;
  };
  const special all[] = {
      {0, -kInf, 0},     {0, kInf, kInf},   {0, kNan, kNan},  {0, 0.0f, 1},      {0, tiny, 1},
      {0, -130.0f, 0},   {0, 200.0f, kInf}, {1, 0.0f, -kInf}, {1, tiny, -kInf},  {1, -1.0f, kNan},
      {1, kInf, kInf},   {1, -tiny, -kInf}, {2, 0.0f, kInf},  {2, -0.0f, -kInf}, {2, kInf, 0},
      {2, -tiny, -kInf}, {2, 1.5e38f, 0},   {3, kInf, 1},     {3, -kInf, -1},    {3, 0.0f, 0},
      {4, -kInf, 0},     {4, kInf, kInf},   {4, 0.0f, 1},     {4, -200.0f, 0},   {4, 100.0f, kInf},
      {5, 0.0f, -kInf},  {5, -1.0f, kNan},  {5, kInf, kInf},  {7, 0.0f, kInf},   {7, kInf, 0},
      {8, 4.0f, 0.5f},   {7, -1.0f, kNan},
  };
  for (const special& s : all) {
    const float got = evaluate(s.function, {s.x}, {1.0f}, 3)[0];
    if (std::isnan(s.want)) {
      EXPECT_TRUE(std::isnan(got)) << s.function << " " << s.x;
    } else {
      EXPECT_EQ(s.want, got) << s.function << " " << s.x;
    }
  }
  EXPECT_EQ(0.0f, evaluate(6, {1.0f}, {1.5e38f}, 1)[0]) << "__fdividef by more than 2^126";
}

class gemm : public emulator {
 protected:
  void SetUp() override {
    emulator::SetUp();
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasCreate(&h_));
  }
  void TearDown() override {
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasDestroy(h_));
    emulator::TearDown();
  }
  cublasHandle_t h_ = nullptr;
};

template <typename T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, float>) return x;
  if constexpr (std::is_same_v<T, __half>) return __float2half_rn(x);
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16_rn(x);
}
float widen(float x) { return x; }
float widen(__half x) { return __half2float(x); }
float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
template <typename T>
constexpr cudaDataType kType = std::is_same_v<T, float>    ? CUDA_R_32F
                               : std::is_same_v<T, __half> ? CUDA_R_16F
                                                           : CUDA_R_16BF;

template <typename T, typename C>
void check_gemm(cublasHandle_t h, bool ta, bool tb) {
  const int m = 7, n = 5, k = 9, lda = (ta ? k : m) + 2, ldb = (tb ? n : k) + 1, ldc = m + 3;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<T> a(static_cast<std::size_t>(lda * (ta ? m : k))),
      b(static_cast<std::size_t>(ldb * (tb ? k : n)));
  std::vector<C> c(static_cast<std::size_t>(ldc * n));
  for (T& v : a) v = narrow<T>(normal(random));
  for (T& v : b) v = narrow<T>(normal(random));
  for (C& v : c) v = narrow<C>(normal(random));
  const buffer<T> da(a), db(b);
  const buffer<C> dc(c);
  const float alpha = 0.5f, beta = -2.0f;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS,
            cublasGemmEx(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k,
                         &alpha, da.data(), kType<T>, lda, db.data(), kType<T>, ldb, &beta,
                         dc.data(), kType<C>, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  const std::vector<C> got = dc.host();
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < ldc; ++i) {
      const float old = widen(c[static_cast<std::size_t>(i + j * ldc)]);
      const float value = widen(got[static_cast<std::size_t>(i + j * ldc)]);
      if (i >= m) {
        EXPECT_EQ(old, value) << "padding";
        continue;
      }
      double sum = 0;
      for (int l = 0; l < k; ++l) {
        sum += static_cast<double>(
                   widen(a[static_cast<std::size_t>(ta ? l + i * lda : i + l * lda)])) *
               widen(b[static_cast<std::size_t>(tb ? j + l * ldb : l + j * ldb)]);
      }
      const double want = alpha * sum + beta * old;
      EXPECT_NEAR(want, value, 1e-5 + std::abs(want) * (std::is_same_v<C, float> ? 1e-6 : 4e-3));
    }
  }
}

TEST_F(gemm, types_and_transpositions) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      check_gemm<float, float>(h_, ta, tb);
      check_gemm<__half, float>(h_, ta, tb);
      check_gemm<__half, __half>(h_, ta, tb);
      check_gemm<__nv_bfloat16, float>(h_, ta, tb);
      check_gemm<__nv_bfloat16, __nv_bfloat16>(h_, ta, tb);
    }
  }
}

TEST_F(gemm, batches) {
  const buffer<float> a(std::vector<float>{1, 2, 3}), b(std::vector<float>{10}), c(3);
  const float one = 1, zero = 0;
  EXPECT_EQ(
      CUBLAS_STATUS_SUCCESS,
      cublasGemmStridedBatchedEx(h_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), CUDA_R_32F,
                                 1, 1, b.data(), CUDA_R_32F, 1, 0, &zero, c.data(), CUDA_R_32F, 1,
                                 1, 3, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  EXPECT_EQ((std::vector<float>{10, 20, 30}), c.host());
}

TEST_F(gemm, tf32_loses_bits) {
  const float x = 1.0f + 0x1p-12f;
  const buffer<float> a(std::vector<float>{x}), b(std::vector<float>{1}), c(1);
  const float one = 1, zero = 0;
  auto product = [&](cublasComputeType_t compute) {
    EXPECT_EQ(
        CUBLAS_STATUS_SUCCESS,
        cublasGemmEx(h_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), CUDA_R_32F, 1, b.data(),
                     CUDA_R_32F, 1, &zero, c.data(), CUDA_R_32F, 1, compute, CUBLAS_GEMM_DEFAULT));
    return c.host()[0];
  };
  EXPECT_EQ(x, product(CUBLAS_COMPUTE_32F));
  EXPECT_EQ(1.0f, product(CUBLAS_COMPUTE_32F_FAST_TF32));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetMathMode(h_, CUBLAS_TF32_TENSOR_OP_MATH));
  EXPECT_EQ(1.0f, product(CUBLAS_COMPUTE_32F));
  EXPECT_EQ(x, product(CUBLAS_COMPUTE_32F_PEDANTIC));
}

TEST_F(gemm, scalars_on_the_device_are_read_late) {
  const buffer<float> a(std::vector<float>{2}), b(std::vector<float>{3}),
      c(std::vector<float>{kNan}), scalars(std::vector<float>{1, 0});
  cudaStream_t s;
  EXPECT_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetStream(h_, s));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetPointerMode(h_, CUBLAS_POINTER_MODE_DEVICE));
  EXPECT_CUDA(planted::add_one(scalars.data(), 1, s));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS,
            cublasSgemm(h_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, scalars.data(), a.data(), 1,
                        b.data(), 1, scalars.data() + 1, c.data(), 1));
  EXPECT_CUDA(cudaStreamSynchronize(s));
  EXPECT_EQ(12.0f, c.host()[0]) << "beta is 0: the old value is not read";
  EXPECT_CUDA(cudaStreamDestroy(s));
}

TEST_F(gemm, bad_calls_fail) {
  const buffer<float> a(16);
  const float one = 1;
  auto call = [&](int m, int lda, cudaDataType bt, cublasComputeType_t compute,
                  const float* alpha) {
    return cublasGemmEx(h_, CUBLAS_OP_N, CUBLAS_OP_N, m, 1, 1, alpha, a.data(), CUDA_R_32F, lda,
                        a.data(), bt, 1, &one, a.data(), CUDA_R_32F, 4, compute,
                        CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, call(-1, 4, CUDA_R_32F, CUBLAS_COMPUTE_32F, &one));
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, call(4, 3, CUDA_R_32F, CUBLAS_COMPUTE_32F, &one));
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, call(4, 4, CUDA_R_32F, CUBLAS_COMPUTE_32F, nullptr));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, call(4, 4, CUDA_R_16F, CUBLAS_COMPUTE_32F, &one));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, call(4, 4, CUDA_R_32F, CUBLAS_COMPUTE_16F, &one));
  EXPECT_EQ(CUBLAS_STATUS_NOT_INITIALIZED, cublasSetStream(nullptr, nullptr));
}

TEST_F(gemm, set_stream_takes_the_workspace_back) {
  buffer<float> workspace(1024), a(std::vector<float>{1}), c(1);
  std::vector<float> before(1024, 1.0f);
  EXPECT_CUDA(cudaMemcpy(workspace.data(), before.data(), 4096, cudaMemcpyHostToDevice));
  const float one = 1, zero = 0;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetWorkspace(h_, workspace.data(), 4096));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetStream(h_, nullptr));
  auto multiply = [&] {
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSgemm(h_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one,
                                                 a.data(), 1, a.data(), 1, &zero, c.data(), 1));
  };
  multiply();
  EXPECT_EQ(1.0f, workspace.host()[0]) << "not in use any more";
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasSetWorkspace(h_, workspace.data(), 4096));
  multiply();
  EXPECT_NE(1.0f, workspace.host()[0]) << "its contents are lost";
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, cublasSetWorkspace(h_, workspace.data() + 1, 4000));
}

}  // namespace
