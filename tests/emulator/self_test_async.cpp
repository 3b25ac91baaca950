// Asynchronous copies: what they move, what they count as, and what is seen of them too early.
#include <cmath>
#include <numeric>

#include "self_test.hpp"

namespace {

class async : public emulator {
 protected:
  static std::vector<float> numbers() {
    std::vector<float> v(512);
    std::iota(v.begin(), v.end(), 0.0f);
    return v;
  }
  static void choose(simt::schedule order, int seed) {
    simt::settings s;
    s.order = order;
    s.seed = static_cast<std::uint64_t>(seed);
    s.print_reports = false;
    simt::set_settings(s);
  }
  // Of a kernel of planted_async.cu over 512 numbers.
  static std::vector<float> result_of(const char* name, bool with_bug) {
    const buffer<float> p(numbers());
    EXPECT_CUDA(planted::run(name, with_bug, p.data(), 512, {.blocks = 2}));
    const cudaError_t error = cudaDeviceSynchronize();
    if (!with_bug) EXPECT_CUDA(error);
    simt::reset_errors();
    return error == cudaSuccess ? p.host() : std::vector<float>{NAN};
  }
};

TEST_F(async, copies_arrive_whole_under_every_schedule) {
  std::vector<float> expected = numbers();
  for (float& v : expected) v += 1.0f;
  for (const simt::schedule order : kSchedules) {
    for (int seed = 1; seed <= 10; ++seed) {
      choose(order, seed);
      EXPECT_EQ(expected, result_of("load_short", false));
      EXPECT_EQ(expected, result_of("element_unwaited", false));
    }
  }
}

TEST_F(async, what_was_not_waited_for_is_not_there) {
  if (under_asan() || simt::watch::present()) GTEST_SKIP() << "there it is an error";
  std::vector<float> expected = numbers();
  for (float& v : expected) v += 1.0f;
  for (const char* name : {"load_unwaited", "load_parity", "element_unwaited"}) {
    for (const simt::schedule order : kSchedules) {
      choose(order, 1);
      EXPECT_NE(expected, result_of(name, true)) << name;
    }
  }
}

// Where a store reads its memory late, it stores what was written in between.
TEST_F(async, stores_read_late) {
  if (simt::watch::present()) GTEST_SKIP() << "there it is an error";
  choose(simt::schedule::in_order, 1);
  EXPECT_EQ(0.0f, result_of("store_overwritten", true)[1]);
}

TEST_F(async, bulk_copies_count_apart) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watch counts";
  simt::watch::reset();
  result_of("load_short", false);
  const simt::watch::traffic bulk = simt::watch::total();
  EXPECT_EQ(2048u, bulk.bytes_loaded);
  EXPECT_EQ(2048u, bulk.bytes_stored);
  EXPECT_EQ(2048u, bulk.bulk_loaded);
  EXPECT_EQ(2048u, bulk.bulk_stored);
  EXPECT_EQ(0u, bulk.loads + bulk.stores);
  simt::watch::reset();
  result_of("element_unwaited", false);
  const simt::watch::traffic elements = simt::watch::total();
  EXPECT_EQ(2048u, elements.bytes_loaded);
  EXPECT_EQ(128u, elements.loads16);
  EXPECT_EQ(0u, elements.bulk_loaded);
}

}  // namespace
