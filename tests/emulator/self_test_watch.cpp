// Traffic counts are exact. Only the watch counts; elsewhere the same calls answer zero.
#include "self_test.hpp"

namespace {

class traffic : public emulator {
 protected:
  void SetUp() override {
    emulator::SetUp();
    if (!simt::watch::present()) GTEST_SKIP() << "only the watch counts";
  }
};

TEST_F(traffic, of_sixteen_byte_accesses) {
  const int n = 1024;
  const buffer<float> from(std::vector<float>(n, 1.0f)), to(n);
  simt::watch::reset();
  EXPECT_CUDA(planted::copy16(from.data(), to.data(), n));
  EXPECT_CUDA(cudaDeviceSynchronize());
  const auto launches = simt::watch::launches();
  ASSERT_EQ(1u, launches.size());
  EXPECT_NE(std::string::npos, launches[0].kernel.find("copy16_kernel"));
  const simt::watch::traffic t = launches[0].moved;
  EXPECT_EQ(4u * n, t.bytes_loaded);
  EXPECT_EQ(4u * n, t.bytes_stored);
  EXPECT_EQ(n / 4u, t.loads);
  EXPECT_EQ(n / 4u, t.stores);
  EXPECT_EQ(n / 4u, t.loads16);
  EXPECT_EQ(n / 4u, t.stores16);
  EXPECT_EQ(0u, t.atomics);
}

TEST_F(traffic, of_calls_of_memcpy) {
  const int n = 1000;
  const buffer<float> from(std::vector<float>(n, 1.0f)), to(n);
  simt::watch::reset();
  EXPECT_CUDA(planted::copy_by_call(from.data(), to.data(), n));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(4u * n, simt::watch::total().bytes_loaded);
  EXPECT_EQ(4u * n, simt::watch::count_range(to.data(), 4 * n).bytes_stored);
  EXPECT_EQ(std::vector<float>(n, 1.0f), to.host());
}

TEST_F(traffic, of_ranges) {
  const int n = 1001;  // of two bytes each: ends in the middle of a word
  const buffer<unsigned short> from(std::vector<unsigned short>(n + 3, 1)), to(n + 3);
  simt::watch::reset();
  for (int i = 0; i < 3; ++i) EXPECT_CUDA(planted::copy_half(from.data() + 1, to.data(), n));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(3u * 2 * n, simt::watch::total().bytes_loaded);
  EXPECT_EQ(3u * n, simt::watch::total().loads);
  EXPECT_EQ(3u * 2 * n, simt::watch::count_range(from.data(), 2 * (n + 3)).bytes_loaded);
  EXPECT_EQ(0u, simt::watch::count_range(from.data(), 2 * (n + 3)).bytes_stored);
  EXPECT_EQ(0u, simt::watch::count_range(from.data(), 2).bytes_loaded)
      << "the first one was not read";
  EXPECT_EQ(6u, simt::watch::count_range(from.data() + 1, 2).bytes_loaded);
  EXPECT_EQ(6u, simt::watch::count_range(to.data() + n - 1, 8).bytes_stored);
  simt::watch::reset();
  EXPECT_EQ(0u, simt::watch::count_range(to.data(), 2 * n).bytes_stored);
  EXPECT_TRUE(simt::watch::launches().empty());
}

TEST_F(traffic, of_a_row_reduction) {
  const int rows = 3, cols = 1000;
  const buffer<float> x(std::vector<float>(rows * cols, 1.0f)), lse(rows);
  simt::watch::reset();
  EXPECT_CUDA(planted::row_lse(x.data(), lse.data(), rows, cols, true));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(4u * rows * cols, simt::watch::count_range(x.data(), 4u * rows * cols).bytes_loaded)
      << "each logit once";
  EXPECT_EQ(4u * rows, simt::watch::count_range(lse.data(), 4 * rows).bytes_stored);
  EXPECT_EQ(4u * rows * cols, simt::watch::total().bytes_loaded) << "shared memory does not count";
}

TEST_F(traffic, atomics_count_apart) {
  const buffer<unsigned long long> wide(std::vector<unsigned long long>{0});
  const buffer<float> sum(std::vector<float>{0});
  const buffer<int> extremes(std::vector<int>(4, 0));
  simt::watch::reset();
  EXPECT_CUDA(planted::atomics(wide.data(), sum.data(), extremes.data()));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(6u * 256, simt::watch::total().atomics);
  EXPECT_EQ(0u, simt::watch::total().bytes_loaded);
}

TEST_F(traffic, copies_hand_on_what_was_never_written) {
  const buffer<float> half_written(512), copy(512);
  EXPECT_CUDA(cudaMemset(half_written.data(), 0, 1024));
  EXPECT_CUDA(cudaMemcpy(copy.data(), half_written.data(), 2048, cudaMemcpyDeviceToDevice));
  EXPECT_CUDA(planted::add_one(copy.data(), 256));
  EXPECT_CUDA(cudaDeviceSynchronize());
  simt::settings s;
  s.print_reports = false;
  simt::set_settings(s);
  EXPECT_CUDA(planted::add_one(copy.data(), 257));
  EXPECT_NE(cudaSuccess, cudaDeviceSynchronize());
  simt::reset_errors();
}

TEST_F(traffic, host_code_must_not_touch_device_memory) {
  simt::settings s;
  s.print_reports = false;
  simt::set_settings(s);
  const buffer<float> p(std::vector<float>{1});
  planted::touch_on_the_host(p.data());
  EXPECT_EQ(cudaErrorIllegalAddress, cudaDeviceSynchronize());
  EXPECT_NE(std::string::npos, simt::last_report().find("the host touches device memory"))
      << simt::last_report();
  simt::reset_errors();
}

}  // namespace
