// Healthy kernels give the right values under every schedule, in every build.
#include <cmath>
#include <cstring>
#include <random>

#include "self_test.hpp"

namespace {

std::vector<float> normal(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0.0f, 4.0f);
  std::vector<float> v(n);
  for (float& x : v) x = draw(random);
  return v;
}

TEST_F(emulator, is_present) {
  EXPECT_TRUE(simt::present());
  cudaDeviceProp p;
  EXPECT_CUDA(cudaGetDeviceProperties(&p, 0));
  EXPECT_STREQ("emulated device", p.name);
  EXPECT_EQ(4, p.multiProcessorCount);
  int major = 0;
  EXPECT_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  EXPECT_EQ(9, major);
}

TEST_F(emulator, row_log_sum_exp) {
  for (const bool cub : {false, true}) {
    for (const simt::schedule order : kSchedules) {
      simt::settings s;
      s.order = order;
      simt::set_settings(s);
      const int rows = 5, cols = 777;
      const std::vector<float> x = normal(rows * cols, 3);
      const buffer<float> in(x), out(rows);
      EXPECT_CUDA(planted::row_lse(in.data(), out.data(), rows, cols, cub));
      EXPECT_CUDA(cudaDeviceSynchronize());
      const std::vector<float> lse = out.host();
      for (int r = 0; r < rows; ++r) {
        double sum = 0;
        for (int j = 0; j < cols; ++j) sum += std::exp(static_cast<double>(x[r * cols + j]));
        EXPECT_NEAR(std::log(sum), lse[r], 2e-5) << "row " << r;
      }
    }
  }
}

TEST_F(emulator, collectives) {
  const std::vector<int> want = {7,  3,  8, 1,  5,  5, 7, 1, 0, 0x200020, 496,
                                 -9, 34, 0, -1, 11, 1, 1, 4, 0, 1};
  for (const simt::schedule order : kSchedules) {
    simt::settings s;
    s.order = order;
    simt::set_settings(s);
    const buffer<int> out(want.size());
    EXPECT_CUDA(planted::collectives(out.data()));
    const std::vector<int> got = out.host();
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (i == 19) {
        EXPECT_EQ(0, got[i]) << "all lanes match: mask -1 and 1";
      } else {
        EXPECT_EQ(want[i], got[i]) << i;
      }
    }
  }
}

TEST_F(emulator, atomics) {
  const buffer<unsigned long long> wide(std::vector<unsigned long long>{1});
  const buffer<float> sum(std::vector<float>{0.0f});
  const buffer<int> extremes(std::vector<int>{1000, -1000, 0, 0});
  EXPECT_CUDA(planted::atomics(wide.data(), sum.data(), extremes.data()));
  EXPECT_EQ(1 + (256ull << 33), wide.host()[0]);
  EXPECT_EQ(128.0f, sum.host()[0]);
  const std::vector<int> e = extremes.host();
  EXPECT_EQ(0, e[0]);
  EXPECT_EQ(255, e[1]);
  EXPECT_EQ(0x7fffffff, e[2]);
  EXPECT_NE(0, e[3]);
}

TEST_F(emulator, one_seed_one_run) {
  // A kernel with a race: its result is a picture of the order in which the threads ran.
  auto outcome = [](simt::schedule order, std::uint64_t seed) {
    simt::settings s;
    s.order = order;
    s.seed = seed;
    simt::set_settings(s);
    const buffer<float> p(512);
    EXPECT_CUDA(cudaMemset(p.data(), 0, 512 * sizeof(float)));
    static_cast<void>(planted::run("missing_barrier_raw", true, p.data(), 512));
    cudaDeviceSynchronize();
    simt::reset_errors();
    std::vector<float> v = p.host();
    std::vector<std::uint32_t> bits(v.size());
    std::memcpy(bits.data(), v.data(), v.size() * sizeof(float));
    return bits;
  };
  for (const simt::schedule order : {simt::schedule::random, simt::schedule::warp_priority}) {
    EXPECT_EQ(outcome(order, 7), outcome(order, 7));
    EXPECT_NE(outcome(order, 7), outcome(order, 8));
  }
  EXPECT_NE(outcome(simt::schedule::in_order, 7), outcome(simt::schedule::reversed, 7));
}

TEST_F(emulator, large_block) {
  const buffer<float> p(std::vector<float>(1024, 0.0f));
  planted::launch_shape shape;
  shape.blocks = 1;
  shape.threads = 1024;
  EXPECT_CUDA(planted::run("fill", false, p.data(), 1024, shape));
  for (const float v : p.host()) EXPECT_EQ(3.0f, v);
  shape.threads = 1025;
  EXPECT_EQ(cudaErrorInvalidConfiguration, planted::run("fill", false, p.data(), 1024, shape));
  EXPECT_EQ(cudaErrorInvalidConfiguration, cudaPeekAtLastError());
  EXPECT_EQ(cudaErrorInvalidConfiguration, cudaGetLastError());
  EXPECT_EQ(cudaSuccess, cudaGetLastError());
}

}  // namespace
