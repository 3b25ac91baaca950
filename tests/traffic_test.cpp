// Bytes moved: each logit read once and each element of the gradient written once where the row
// fits on chip, twice read where it does not, nothing read of ignored rows, whole 16-byte accesses
// inside a row. Counted by the memory watch of the emulated device.
#include <gtest/gtest.h>

#include "tests/cases/all.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/plans.hpp"

namespace culoss_test {
namespace {

class traffic : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!simt::watch::present()) GTEST_SKIP() << "nothing counts the bytes that this device moves";
  }

  // The call, with the counters around nothing else.
  static std::unique_ptr<invocation> watched(const loss_case& c, const problem& p,
                                             const execution& how) {
    std::unique_ptr<invocation> call = c.prepare(p, how);
    synchronize(space::cuda);
    simt::watch::reset();
    const culoss::status s = call->launch();
    EXPECT_TRUE(s.ok()) << s.message();
    synchronize(space::cuda);
    return call;
  }

  static void check(const loss_case& c, const problem& p, const execution& how) {
    const std::unique_ptr<invocation> call = watched(c, p, how);
    for (const moved_array& a : call->moves()) {
      const simt::watch::range_traffic t = simt::watch::count_range(a.data, a.bytes);
      const auto loaded = static_cast<std::int64_t>(t.bytes_loaded);
      EXPECT_LE(loaded, a.loads) << describe(c, p, how) << ": loads of " << a.name;
      if (!a.at_most) {
        EXPECT_EQ(loaded, a.loads) << describe(c, p, how) << ": loads of " << a.name;
      }
      EXPECT_EQ(static_cast<std::int64_t>(t.bytes_stored), a.stores)
          << describe(c, p, how) << ": stores of " << a.name;
    }
  }
};

TEST_F(traffic, is_once_each_way_for_every_kernel_and_alignment) {
  for (const auto& c : plain_cases()) {
    for (const element type : kDeviceElements) {
      for (const std::int64_t cols : width_of_each_plan(type, c->streams())) {
        // One type shows what rows too wide for the chip cost.
        if (cols > 10000 && type != element::float32) continue;
        const problem p = c->make({.type = type, .rows = cols > 3000 ? 1 : 3, .cols = cols});
        for (const mode m : c->modes()) {
          check(*c, p, {.mode = m});
          if (cols > 10000) break;
          check(*c, p, {.mode = m, .offset = 1, .padding = 2});
        }
      }
    }
  }
}

TEST_F(traffic, of_every_choice_of_options_is_the_same) {
  for (const auto& c : all_cases()) {
    const problem p = c->make({.type = element::float16, .rows = 5, .cols = 523, .seed = 71});
    for (const mode m : c->modes()) check(*c, p, {.mode = m, .offset = 3});
  }
}

TEST_F(traffic, of_ignored_rows_is_none) {
  const cross_entropy_case c(plain_cross_entropy());
  for (const std::int64_t cols : {20, 600, 5000}) {
    problem p = c.make({.rows = 3, .cols = cols, .seed = 72});
    p.labels = {-100, -100, -100};
    for (const mode m : {mode::fused, mode::forward, mode::backward}) {
      const std::unique_ptr<invocation> call = watched(c, p, {.mode = m});
      const moved_array logits = call->moves().at(0);
      EXPECT_EQ(simt::watch::count_range(logits.data, logits.bytes).bytes_loaded, 0u) << cols;
    }
  }
}

// Packs of 16 bytes that lie inside a row of the array, or inside all of it as one run.
std::uint64_t whole_packs(const moved_array& a, problem p, std::int64_t padding, bool one_run) {
  const std::int64_t bytes = format_of(p.type).bytes, size = 16 / bytes;
  if (one_run) {
    p.cols *= p.rows;
    p.rows = 1;
  }
  std::uint64_t packs = 0;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const auto address = reinterpret_cast<std::uintptr_t>(a.data) +
                         static_cast<std::uintptr_t>(i * (p.cols + padding) * bytes);
    const auto past = static_cast<std::int64_t>(address % 16) / bytes;
    const std::int64_t first = (size - past) % size;
    if (first < p.cols) packs += static_cast<std::uint64_t>((p.cols - first) / size);
  }
  return packs;
}

// One access for each pack inside a row; element by element only at its two ends.
TEST_F(traffic, inside_a_row_is_in_accesses_of_16_bytes) {
  cross_entropy_choice none = plain_cross_entropy();
  none.reduction = culoss::reduction::none;
  sigmoid_focal_choice focal;
  focal.reduction = culoss::reduction::none;
  case_list cases = {std::make_shared<cross_entropy_case>(none),
                     std::make_shared<sigmoid_focal_case>(focal)};
  for (const auto& c : plain_cases()) {
    if (dynamic_cast<const softmax_case*>(c.get()) != nullptr) cases.push_back(c);
  }
  for (const auto& c : cases) {
    const bool softmax = c != cases[0] && c != cases[1];
    const bool elements = c->walks() == walk::elements;
    for (const element type : kDeviceElements) {
      for (const std::int64_t cols : width_of_each_plan(type, c->streams())) {
        if (cols > 10000) continue;
        problem p = c->make({.type = type, .rows = 3, .cols = cols, .seed = 73});
        for (std::int64_t& label : p.labels) label = std::max<std::int64_t>(label, 0);
        for (const auto& [offset, padding] :
             {std::pair<std::int64_t, std::int64_t>{0, 0}, {1, 0}, {3, 5}}) {
          const execution how{
              .mode = softmax ? mode::fused : mode::gradient, .offset = offset, .padding = padding};
          const std::unique_ptr<invocation> call = watched(*c, p, how);
          const simt::watch::traffic all = simt::watch::total();
          const std::uint64_t packs =
              whole_packs(call->moves().at(0), p, padding, elements && padding == 0);
          EXPECT_EQ(all.loads16, packs * static_cast<std::uint64_t>(c->streams()))
              << describe(*c, p, how);
          EXPECT_EQ(all.stores16, packs) << describe(*c, p, how);
        }
      }
    }
  }
}

// What a call moves beside its matrices: labels, scalars, the row's own results.
struct remainder {
  std::int64_t loads, stores;
};

class beside : public traffic {
 protected:
  static remainder of(const loss_case& c, std::int64_t cols) {
    problem p = c.make({.rows = 3, .cols = cols, .seed = 74});
    p.labels = {0, 1, 2};
    const std::unique_ptr<invocation> call = watched(c, p, {.mode = mode::fused});
    const simt::watch::traffic all = simt::watch::total();
    remainder r{static_cast<std::int64_t>(all.bytes_loaded),
                static_cast<std::int64_t>(all.bytes_stored)};
    for (const moved_array& a : call->moves()) {
      r.loads -= a.loads;
      r.stores -= a.stores;
    }
    return r;
  }
};

TEST_F(beside, does_not_grow_with_the_width) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.class_weights = choice.row_weights = true;
  choice.temperature_source = choice.upstream = source::device;
  const cross_entropy_case c(choice);
  // Two widths of one kernel each.
  for (const auto& [narrow, wide] :
       {std::pair<std::int64_t, std::int64_t>{8, 32}, {260, 630}, {1100, 4000}}) {
    const remainder a = of(c, narrow), b = of(c, wide);
    EXPECT_EQ(a.loads, b.loads) << narrow << " and " << wide;
    EXPECT_EQ(a.stores, b.stores) << narrow << " and " << wide;
  }
}

// Smoothing reads the weight of each class once for the sums, the target's apart, and once for the
// gradient.
TEST_F(beside, grows_by_the_class_weights_where_labels_are_smoothed) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.class_weights = true;
  choice.smoothing = 0.1f;
  const cross_entropy_case c(choice);
  for (const auto& [narrow, wide] :
       {std::pair<std::int64_t, std::int64_t>{260, 630}, {1100, 4000}}) {
    const remainder a = of(c, narrow), b = of(c, wide);
    EXPECT_EQ(b.loads - a.loads, 3 * 2 * 4 * (wide - narrow)) << narrow << " and " << wide;
    EXPECT_EQ(a.stores, b.stores) << narrow << " and " << wide;
  }
}

}  // namespace
}  // namespace culoss_test
