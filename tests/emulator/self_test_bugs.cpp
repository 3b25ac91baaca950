// Every planted bug is caught in the builds that promise it, under every schedule where that is
// promised; its healthy twin passes in all of them.
#include <cstdint>
#include <cstring>
#include <ostream>
#include <set>
#include <string>

#include "self_test.hpp"

namespace {

// Which builds promise to catch it, whatever the schedule.
enum builds : unsigned { kPlain = 1, kAsan = 2, kWatch = 4, kAll = 7 };

struct bug {
  const char* name;
  unsigned caught_by;
  const char* says;  // in the report; null: several are possible
  int n = 512;
  planted::launch_shape shape = {};
};

void PrintTo(const bug& b, std::ostream* out) { *out << b.name; }

const bug kBugs[] = {
    {"global_oob", kAll, "allocation", 512, {.blocks = 9}},
    {"global_oob_read", kAsan | kWatch, "allocation"},
    {"before_begin", kAll, "before", 512, {.blocks = 1}},
    {"shared_oob", kAsan, nullptr, 1, {.blocks = 1}},
    {"dynamic_oob",
     kAsan | kWatch,
     "outside of dynamic shared memory",
     1,
     {.blocks = 1, .shared = 256}},
    {"local_oob", kAsan, nullptr, 1, {.blocks = 1}},
    {"misaligned", kPlain | kWatch, "misaligned address at ", 512, {.blocks = 1}},
    {"misaligned_store", kPlain | kWatch, "misaligned address at ", 512, {.blocks = 1}},
    {"null_pointer", kAll, "illegal address", 512, {.blocks = 1}},
    {"uninitialised_shared", kWatch, "never written", 512, {.blocks = 1}},
    {"missing_barrier_raw", kWatch, "race"},
    {"missing_barrier_war", kWatch, "race"},
    {"missing_syncwarp", kWatch, "race"},
    {"byte_race", kWatch, "race"},
    {"cub_reuse", kWatch, "race"},
    {"divergent_barrier", kAll, "divergent __syncthreads: threads of one block met at "},
    {"deadlock", kAll, "deadlock"},
    {"wrong_mask", kAll, "not in its own mask"},
    {"trapped", kAll, "__trap() at "},
    {"block_race", kWatch, "race"},
    {"missing_fence", kWatch, "race"},
    {"late_fence", kWatch, "race"},
    {"ticket_before_barrier", kWatch, "race"},
    {"cluster_exit", kWatch, nullptr, 512, {.shared = 256, .cluster = 4}},
    {"cluster_race", kWatch, nullptr, 512, {.shared = 256, .cluster = 4}},
    {"cluster_rank", kAll, "no such rank", 512, {.shared = 256, .cluster = 4}},
    {"cluster_static", kAll, "static __shared__", 512, {.shared = 256, .cluster = 4}},
    {"load_unwaited", kAsan | kWatch, "race", 512, {.blocks = 2}},
    {"load_parity", kAsan | kWatch, "race", 512, {.blocks = 2}},
    {"load_short", kAll, "before a copy for it has landed", 512, {.blocks = 2}},
    {"load_long", kAll, "deadlock", 512, {.blocks = 2}},
    {"load_early", kWatch, nullptr, 512, {.blocks = 2}},
    {"load_misaligned", kAll, "bulk load: misaligned address", 512, {.blocks = 2}},
    {"load_outside", kAll, "outside of living device memory", 512, {.blocks = 2}},
    {"load_written", kAll, nullptr, 512, {.blocks = 2}},
    {"barrier_unpublished", kAll, "not been made visible", 512, {.blocks = 2}},
    {"barrier_unsynced", kWatch, nullptr, 512, {.blocks = 2}},
    {"barrier_arrivals", kAll, "more arrivals", 512, {.blocks = 2}},
    {"barrier_overwritten", kAll, "written over", 512, {.blocks = 2}},
    {"store_unfenced", kAll, "without a proxy fence", 512, {.blocks = 2}},
    {"store_half_fenced", kWatch, "missing proxy fence", 512, {.blocks = 2}},
    {"store_early", kWatch, "race", 512, {.blocks = 2}},
    {"store_unread", kAll, "may still read", 512, {.blocks = 2}},
    {"store_overwritten", kWatch, "race", 512, {.blocks = 2}},
    {"store_left", kAll, "a block leaves", 512, {.blocks = 2}},
    {"element_unwaited", kAsan | kWatch, "race", 512, {.blocks = 2}},
    {"element_unsynced", kWatch, "race", 512, {.blocks = 2}},
    {"element_wrong_group", kAsan | kWatch, "race", 512, {.blocks = 2}},
    {"cluster_unwaited", kWatch, nullptr, 512, {.shared = 256, .cluster = 4}},
};

unsigned this_build() { return under_asan() ? kAsan : simt::watch::present() ? kWatch : kPlain; }

cudaError_t run(const bug& b, bool with_bug) {
  const buffer<float> p(512);
  EXPECT_CUDA(cudaMemset(p.data(), 0, 512 * sizeof(float)));
  EXPECT_CUDA(planted::run(b.name, with_bug, p.data(), b.n, b.shape));
  return cudaDeviceSynchronize();
}

class planted_bug : public emulator, public ::testing::WithParamInterface<bug> {
 protected:
  void set_schedule(simt::schedule order) {
    simt::settings s;
    s.order = order;
    s.print_reports = false;
    simt::set_settings(s);
  }
};

TEST_P(planted_bug, healthy_twin_passes) {
  for (const simt::schedule order : kSchedules) {
    set_schedule(order);
    EXPECT_EQ(cudaSuccess, run(GetParam(), false)) << simt::last_report();
  }
}

TEST_P(planted_bug, is_caught) {
  const bug& b = GetParam();
  if ((b.caught_by & this_build()) == 0) GTEST_SKIP() << "this build does not promise it";
  for (const simt::schedule order : kSchedules) {
    set_schedule(order);
    // What the emulator itself notices is an error in every build; what only ASan sees ends the
    // program.
    if (under_asan() && (b.caught_by & kPlain) == 0) {
      EXPECT_DEATH(static_cast<void>(run(b, true)), "AddressSanitizer|runtime error") << b.name;
      break;
    }
    if (under_asan() && (std::strstr(b.name, "null") || std::strstr(b.name, "oob") ||
                         std::strstr(b.name, "before") || std::strstr(b.name, "load_written"))) {
      EXPECT_DEATH(static_cast<void>(run(b, true)), "AddressSanitizer|runtime error") << b.name;
      break;
    }
    EXPECT_NE(cudaSuccess, run(b, true)) << b.name;
    EXPECT_NE(cudaSuccess, cudaPeekAtLastError());
    const std::string report = simt::last_report();
    EXPECT_NE(std::string::npos, report.find(b.name)) << "the kernel's name is in: " << report;
    if (b.says != nullptr) {
      EXPECT_NE(std::string::npos, report.find(b.says)) << report;
    }
    simt::reset_errors();
    EXPECT_EQ(cudaSuccess, cudaGetLastError());
  }
}

INSTANTIATE_TEST_SUITE_P(all, planted_bug, ::testing::ValuesIn(kBugs),
                         [](const auto& info) { return std::string(info.param.name); });

// Without the watch a race is seen by what it does: results that differ between seeds.
class outcomes : public emulator {
 protected:
  static std::size_t count(const char* name, bool with_bug, simt::schedule order, int seeds) {
    std::set<std::string> seen;
    for (int seed = 1; seed <= seeds; ++seed) {
      simt::settings s;
      s.order = order;
      s.seed = static_cast<std::uint64_t>(seed);
      s.print_reports = false;
      simt::set_settings(s);
      const buffer<float> p(512);
      EXPECT_CUDA(cudaMemset(p.data(), 0, 512 * sizeof(float)));
      static_cast<void>(planted::run(name, with_bug, p.data(), 512));
      cudaDeviceSynchronize();
      simt::reset_errors();
      const std::vector<float> v = p.host();
      seen.insert(std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float)));
    }
    return seen.size();
  }
};

TEST_F(outcomes, races_differ_between_seeds) {
  for (const char* name :
       {"missing_barrier_raw", "missing_barrier_war", "missing_syncwarp", "cub_reuse"}) {
    EXPECT_GT(count(name, true, simt::schedule::warp_priority, 20), 1u) << name;
    EXPECT_EQ(1u, count(name, false, simt::schedule::warp_priority, 20)) << name;
  }
}

TEST_F(emulator, undefined_values_are_nan) {
  for (const char* name : {"other_threads_sum", "lane_that_left", "uninitialised_shared"}) {
    if (simt::watch::present() && std::strcmp(name, "uninitialised_shared") == 0) continue;
    const buffer<float> p(std::vector<float>(512, 0.0f));
    EXPECT_CUDA(planted::run(name, true, p.data(), 20, {.blocks = 1}));
    int nans = 0;
    for (const float v : p.host()) nans += v != v;
    EXPECT_GT(nans, 0) << name;
    EXPECT_CUDA(planted::run(name, false, p.data(), 20, {.blocks = 1}));
    for (const float v : p.host()) EXPECT_EQ(v, v) << name;
  }
}

TEST_F(emulator, device_memory_is_nan_until_written) {
  const buffer<float> p(100);
  for (const float v : p.host()) EXPECT_NE(v, v);
}

TEST_F(emulator, reads_of_memory_never_written) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watch sees it";
  const buffer<float> p(512);
  EXPECT_CUDA(cudaMemset(p.data(), 0, 511 * sizeof(float)));
  EXPECT_CUDA(planted::run("never_written", false, p.data(), 512));
  EXPECT_CUDA(cudaDeviceSynchronize());
  EXPECT_CUDA(planted::run("never_written", true, p.data(), 512));
  EXPECT_EQ(cudaErrorLaunchFailure, cudaDeviceSynchronize());
  EXPECT_NE(std::string::npos, simt::last_report().find("offset 2044 of allocation"))
      << simt::last_report();
  simt::reset_errors();
}

TEST_F(emulator, use_after_free) {
  cudaStream_t s;
  EXPECT_CUDA(cudaStreamCreate(&s));
  auto use = [&] {
    float* p = nullptr;
    EXPECT_CUDA(cudaMallocAsync(reinterpret_cast<void**>(&p), 2048, s));
    EXPECT_CUDA(cudaFreeAsync(p, s));
    EXPECT_CUDA(planted::run("fill", false, p, 512, {.stream = s}));
    return cudaStreamSynchronize(s);
  };
  if (under_asan()) {
    EXPECT_DEATH(use(), "use-after-poison");
  } else {
    EXPECT_NE(cudaSuccess, use());
    EXPECT_NE(std::string::npos, simt::last_report().find("freed")) << simt::last_report();
  }
  simt::reset_errors();
  EXPECT_CUDA(cudaStreamDestroy(s));
}

TEST_F(emulator, use_after_free_of_much_memory) {
  auto use = [&] {
    float* p = nullptr;
    EXPECT_CUDA(cudaMalloc(reinterpret_cast<void**>(&p), 4 << 20));
    EXPECT_CUDA(cudaFree(p));
    EXPECT_CUDA(planted::run("fill", false, p + 2048, 512));
    return cudaDeviceSynchronize();
  };
  if (under_asan()) {
    EXPECT_DEATH(use(), "AddressSanitizer");
  } else {
    EXPECT_NE(cudaSuccess, use());
  }
}

TEST_F(emulator, errors_are_sticky_until_reset) {
  simt::settings s;
  s.print_reports = false;
  simt::set_settings(s);
  const buffer<float> p(512);
  EXPECT_CUDA(planted::run("trapped", true, p.data(), 0));
  EXPECT_EQ(cudaErrorLaunchFailure, cudaDeviceSynchronize());
  EXPECT_EQ(cudaErrorLaunchFailure, cudaGetLastError());
  EXPECT_EQ(cudaErrorLaunchFailure, cudaGetLastError());
  EXPECT_EQ(cudaErrorLaunchFailure, planted::run("fill", false, p.data(), 512));
  void* q = nullptr;
  EXPECT_EQ(cudaErrorLaunchFailure, cudaMalloc(&q, 16));
  EXPECT_STREQ("cudaErrorLaunchFailure", cudaGetErrorName(cudaErrorLaunchFailure));
  simt::reset_errors();
  EXPECT_TRUE(simt::last_report().empty());
  EXPECT_CUDA(planted::run("fill", false, p.data(), 512));
  EXPECT_EQ(3.0f, p.host()[0]);
}

}  // namespace
