// The pipelined kernels, rows by way of a ring in shared memory and narrow rows in turn: the bits of
// the proven kernels whatever the width, the alignment and the number of rows, each byte moved once,
// and of wide rows in bulk what can be.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "tests/cases/cross_entropy.hpp"
#include "tests/cases/softmax.hpp"
#include "tests/cases/softmax_focal.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

using culoss::row_kernels;
using culoss::detail::plan_ring;
using culoss::detail::plan_rows;
using culoss::detail::row_kernel;

// Where the matrices of a call begin, and how far their rows are apart.
struct layout {
  std::int64_t offset, padding, stagger;
};
constexpr layout kLayouts[] = {
    {0, 0, 0},  // odd widths: each row begins elsewhere in its 16 bytes
    {1, 0, 0},  //
    {3, 5, 0},  //
    {0, 3, 1},  // the gradient elsewhere than its row
};

class row_ring : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }

  static int multiprocessors() {
    int device = 0, count = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
               "cudaDeviceGetAttribute");
    return count;
  }
  // Of both block sizes, and of two, three and four rows in the ring; up to the widest that one
  // block has.
  static std::vector<std::int64_t> widths(element type) {
    const std::int64_t scale = 4 / format_of(type).bytes;
    std::vector<std::int64_t> all = {1152 * scale + 1, 4090 * scale + 1};
    if (!reduced_run()) all.insert(all.end(), {6007 * scale, 14029 * scale + 1});
    if (type == element::bfloat16) all.push_back(57841);
    return all;
  }
  // A few lanes a row, and a warp with each number of packs.
  static std::vector<std::int64_t> narrow_widths(element type) {
    const std::int64_t scale = 4 / format_of(type).bytes;
    return {1, 19 * scale + 1, 131 * scale, 301 * scale + 1, 1021 * scale + 1};
  }
  static bool in_turn(const problem& p) {
    return plan_rows(90, p.cols, format_of(p.type).bytes, 1, true, true).kernel ==
           row_kernel::lanes;
  }
  // So many that each of the blocks that stay works on several rows, and the last on fewer.
  static std::int64_t narrow_rows_for(element type, std::int64_t cols) {
    const auto plan = plan_rows(90, cols, format_of(type).bytes, 1, true, true);
    const std::int64_t blocks = culoss::detail::lane_blocks(plan.packs) * multiprocessors();
    return (blocks + blocks / 2) * (plan.threads / plan.lanes) + 3;
  }
  // So many that each block's ring is filled again and again, and the last ones are not alike.
  static std::int64_t rows_for(element type, std::int64_t cols) {
    const auto plan = plan_ring(90, cols, format_of(type).bytes);
    EXPECT_GE(plan.slots, 2) << cols;
    const std::int64_t blocks = plan.blocks * multiprocessors();
    return blocks * (plan.slots + 1) + 3;
  }
  // With rows that are ignored, out of range, masked and not finite.
  static problem with_special_rows(const loss_case& c, element type, std::int64_t rows,
                                   std::int64_t cols, std::uint64_t seed) {
    problem p = c.make({.type = type, .rows = rows, .cols = cols, .seed = seed});
    for (std::int64_t i = 0; i < rows; ++i) {
      if (i % 7 == 3) p.labels[static_cast<std::size_t>(i)] = -100;
      if (i % 31 == 5) p.labels[static_cast<std::size_t>(i)] = cols;
      if (i % 5 == 2) p.labels[static_cast<std::size_t>(i)] = i % 2 == 0 ? 0 : cols - 1;
      if (i % 11 == 4) p.row(i)[i % cols] = std::numeric_limits<double>::quiet_NaN();
      if (i % 13 == 6) std::fill_n(p.row(i), cols, -std::numeric_limits<double>::infinity());
    }
    return p;
  }
  static results must_run(const loss_case& c, const problem& p, const execution& how,
                          bool by_ring) {
    execution e = how;
    e.row_kernels = by_ring ? row_kernels::pipelined : row_kernels::proven;
    const recorded_work work;
    results r = run(c, p, e);
    EXPECT_TRUE(r.status.ok()) << r.status.message() << simt::last_report();
    EXPECT_EQ(r.damage, "") << describe(c, p, how);
    if (simt::present()) {
      const char* const kernel = in_turn(p) ? "rows_by_lanes_in_turn" : "rows_by_ring";
      EXPECT_EQ(work.kernels(kernel), by_ring ? 1 : 0) << describe(c, p, how);
    }
    return r;
  }
  static void expect_same_bits(const loss_case& c, const problem& p, const execution& how) {
    const results ring = must_run(c, p, how, true), proven = must_run(c, p, how, false);
    EXPECT_EQ(difference(ring.outputs, proven.outputs), "") << describe(c, p, how);
    EXPECT_EQ(ring.faults.count, proven.faults.count) << describe(c, p, how);
    EXPECT_EQ(ring.faults.first_row, proven.faults.first_row) << describe(c, p, how);
  }
};

// The four functions that have it.
std::vector<std::shared_ptr<const loss_case>> ring_cases() {
  std::vector<std::shared_ptr<const loss_case>> list;
  for (const auto& c : softmax_choices()) {
    if (!c.backward() && c.temperature != 1) list.push_back(std::make_shared<softmax_case>(c));
  }
  cross_entropy_choice none = plain_cross_entropy();
  none.more_outputs = false;
  none.class_weights = none.row_weights = true;
  none.reduction = culoss::reduction::none;
  softmax_focal_choice focal;
  focal.more_outputs = false;
  list.push_back(std::make_shared<cross_entropy_case>(none));
  list.push_back(std::make_shared<softmax_focal_case>(focal));
  return list;
}

TEST_F(row_ring, has_the_bits_of_the_proven_kernels) {
  const auto cases = ring_cases();
  std::size_t turn = 0;
  for (const element type : device_elements()) {
    for (const std::int64_t cols : widths(type)) {
      const std::int64_t rows = rows_for(type, cols);
      for (const layout& l : kLayouts) {
        if (cols > 20000 && l.offset != 3) continue;
        const loss_case& c = *cases[++turn % cases.size()];
        const problem p = with_special_rows(c, type, rows, cols, turn);
        const execution how{.mode = l.stagger == 0 && turn % 2 == 0 ? mode::in_place : mode::fused,
                            .offset = l.offset,
                            .padding = l.padding,
                            .stagger = l.stagger,
                            .record_faults = true};
        expect_same_bits(c, p, how);
      }
    }
  }
}

// Each function with each mode and layout, of rows that are few.
TEST_F(row_ring, has_the_bits_of_the_proven_kernels_for_every_function) {
  std::uint64_t seed = 80;
  for (const auto& c : ring_cases()) {
    for (const mode m : c->modes()) {
      if (!returns_gradient(m) || m == mode::backward || m == mode::split) continue;
      for (const layout& l : kLayouts) {
        const element type = kDeviceElements[++seed % std::size(kDeviceElements)];
        const std::int64_t cols = widths(type)[0];
        const problem p = with_special_rows(*c, type, seed % 3 == 0 ? 1 : 9, cols, seed);
        expect_same_bits(
            *c, p, {.mode = m, .offset = l.offset, .padding = l.padding, .stagger = l.stagger});
      }
    }
  }
}

// Narrow rows, of the loss alone, too.
TEST_F(row_ring, has_the_bits_of_the_proven_kernels_of_narrow_rows) {
  const auto cases = ring_cases();
  std::size_t turn = 0;
  for (const element type : device_elements()) {
    for (const std::int64_t cols : narrow_widths(type)) {
      const std::int64_t rows = narrow_rows_for(type, cols);
      for (const layout& l : kLayouts) {
        const loss_case& c = *cases[++turn % cases.size()];
        execution how{
            .offset = l.offset, .padding = l.padding, .stagger = l.stagger, .record_faults = true};
        if (l.padding == 5) how.mode = mode::forward;
        if (l.stagger == 0 && turn % 2 == 0) how.mode = mode::in_place;
        const auto modes = c.modes();
        if (std::find(modes.begin(), modes.end(), how.mode) == modes.end()) how.mode = mode::fused;
        expect_same_bits(c, with_special_rows(c, type, rows, cols, turn), how);
      }
    }
  }
}

// A slot's rows begin at different places: the bulk copy of one overwrites the ends of another.
TEST_F(row_ring, loads_rows_over_the_ends_of_others) {
  const auto cases = ring_cases();
  constexpr std::int64_t kCols = 29001;  // three rows in the ring of the one block
  EXPECT_EQ(plan_ring(90, kCols, 2).slots, 3);
  const problem p = cases[0]->make({.type = element::bfloat16, .rows = 27, .cols = kCols});
  expect_same_bits(*cases[0], p, {});
}

// A divisor of zero: the row is read for its loss, its gradient is zero whatever it holds.
TEST_F(row_ring, has_the_bits_of_the_proven_kernels_where_gradients_are_off) {
  cross_entropy_choice off = plain_cross_entropy();
  off.more_outputs = false;
  off.normalizer_source = source::device;
  const cross_entropy_case c(off);
  for (const element type : device_elements()) {
    const std::int64_t cols = widths(type)[0];
    problem p = with_special_rows(c, type, rows_for(type, cols), cols, 91);
    p.normalizer = 0;
    expect_same_bits(c, p, {.offset = 1});
  }
}

struct wide {
  element type;
  std::int64_t cols;
  int cluster;
};
std::vector<wide> wide_rows() {
  std::vector<wide> all = {{element::bfloat16, 60015, 2}};
  if (!reduced_run()) {
    all.insert(all.end(), {{element::float32, 70003, 4}, {element::float16, 240007, 8}});
  }
  return all;
}

// Rows that a cluster shares have a tree of their own: right within the bound.
TEST_F(row_ring, shares_wider_rows_over_clusters) {
  tally t;
  const auto cases = ring_cases();
  std::size_t turn = 0;
  for (const wide& w : wide_rows()) {
    const auto plan = plan_ring(90, w.cols, format_of(w.type).bytes);
    EXPECT_EQ(plan.cluster, w.cluster);
    for (const layout& l : kLayouts) {
      if (w.cluster > 2 && ++turn % 2 == 0) continue;
      ++turn;  // every other one has labels
      const loss_case& c = *cases[turn % 2 == 0 ? turn % cases.size() : cases.size() - 2];
      problem p = with_special_rows(c, w.type, w.cluster == 2 ? 9 : 5, w.cols, turn);
      // Not far behind the end of the first segment.
      p.labels[0] = plan.packs_of_slot * 16 / format_of(w.type).bytes + 100;
      const recorded_work work;
      t.expect_correct(c, p,
                       {.mode = turn % 2 == 0 && l.stagger == 0 ? mode::in_place : mode::fused,
                        .offset = l.offset,
                        .padding = l.padding,
                        .stagger = l.stagger,
                        .row_kernels = row_kernels::pipelined});
      // A device that holds no such cluster takes the proven kernel.
      if (simt::present()) {
        EXPECT_EQ(work.kernels("rows_by_ring"), w.cluster <= multiprocessors() ? 1 : 0);
      }
    }
  }
}

// ... and the same bits alone, and under every schedule.
TEST_F(row_ring, gives_rows_of_clusters_the_same_bits_in_any_batch) {
  const cross_entropy_case c(bare_cross_entropy());
  const wide w = wide_rows()[0];
  const problem p = with_special_rows(c, w.type, 9, w.cols, 92);
  // Rows that all begin at the same place in their 16 bytes.
  const execution how{
      .offset = 3, .padding = 8 - w.cols % 8, .row_kernels = row_kernels::pipelined};
  const results all = run(c, p, how);
  ASSERT_TRUE(all.status.ok()) << all.status.message() << simt::last_report();
  simt::settings settings = simt::get_settings();
  for (const std::int64_t i : {0, 1, 7, 8}) {
    settings.order = static_cast<simt::schedule>(i % 4);
    ++settings.seed;
    const simt::scoped_settings scope(settings);
    const results one = run(c, select_rows(p, {i, 8 - i}), how);
    ASSERT_TRUE(one.status.ok()) << one.status.message() << simt::last_report();
    EXPECT_EQ(difference(rows_of(all.outputs, p.rows, {i, 8 - i}), one.outputs), "") << i;
  }
}

TEST_F(row_ring, holds_under_every_schedule) {
  if (!simt::present()) GTEST_SKIP() << "this device's schedule cannot be chosen";
  const auto cases = ring_cases();
  simt::settings settings = simt::get_settings();
  std::size_t turn = 0;
  for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                     simt::schedule::random, simt::schedule::warp_priority}) {
    for (int repeat = 0; repeat < (reduced_run() ? 1 : 3); ++repeat) {
      settings.order = order;
      ++settings.seed;
      const simt::scoped_settings scope(settings);
      const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
      const std::int64_t cols = widths(type)[0];
      const loss_case& c = *cases[turn % cases.size()];
      const layout& l = kLayouts[turn % std::size(kLayouts)];
      const problem p = with_special_rows(c, type, rows_for(type, cols), cols, turn);
      expect_same_bits(c, p, {.offset = l.offset, .padding = l.padding, .stagger = l.stagger});
    }
  }
}

// Each byte of a row that counts once each way, none of the others; in bulk all that lies in whole
// packs.
TEST_F(row_ring, moves_each_byte_once_and_in_bulk) {
  if (!simt::watch::present()) GTEST_SKIP() << "nothing counts the bytes that this device moves";
  const auto cases = ring_cases();
  for (const element type : kDeviceElements) {
    const std::int64_t bytes = format_of(type).bytes;
    std::vector<std::int64_t> all_widths = widths(type);
    const std::vector<std::int64_t> narrow = narrow_widths(type);
    all_widths.insert(all_widths.end(), narrow.begin(), narrow.end());
    if (type == element::bfloat16) all_widths.push_back(wide_rows()[0].cols);
    for (const std::int64_t cols : all_widths) {
      for (const layout& l : kLayouts) {
        if (cols > 20000 && l.offset != 3) continue;
        const loss_case& c = *cases[cases.size() - 2];
        problem p = c.make({.type = type, .rows = 13, .cols = cols, .seed = 95});
        if (in_turn(p)) {
          p = c.make({.type = type, .rows = narrow_rows_for(type, cols), .cols = cols, .seed = 95});
        }
        for (std::size_t i = 0; i < p.labels.size(); ++i) {
          p.labels[i] = i % 4 == 1 ? -100 : std::min<std::int64_t>(5, cols - 1);
        }
        const execution how{.mode = mode::gradient,
                            .offset = l.offset,
                            .padding = l.padding,
                            .stagger = l.stagger,
                            .row_kernels = row_kernels::pipelined};
        const std::unique_ptr<invocation> call = c.prepare(p, how);
        synchronize(space::cuda);
        simt::watch::reset();
        EXPECT_TRUE(call->launch().ok());
        synchronize(space::cuda);
        std::uint64_t whole_bytes = 0;
        for (const moved_array& a : call->moves()) {
          const simt::watch::range_traffic t = simt::watch::count_range(a.data, a.bytes);
          EXPECT_EQ(static_cast<std::int64_t>(t.bytes_stored), a.stores) << a.name;
          if (a.stores == 0) {
            EXPECT_EQ(static_cast<std::int64_t>(t.bytes_loaded), a.loads) << a.name;
          }
          if (a.name != "logits") continue;
          for (std::int64_t i = 0; i < p.rows; ++i) {
            if (i % 4 == 1) continue;
            const auto begin = reinterpret_cast<std::uint64_t>(a.data) +
                               static_cast<std::uint64_t>(i * (cols + l.padding) * bytes);
            const std::uint64_t end = begin + static_cast<std::uint64_t>(cols * bytes);
            whole_bytes += end / 16 * 16 - (begin + 15) / 16 * 16;
          }
        }
        const simt::watch::traffic all = simt::watch::total();
        if (in_turn(p)) continue;
        EXPECT_GT(whole_bytes, 0u);
        EXPECT_EQ(all.bulk_loaded, whole_bytes) << describe(c, p, how);
        EXPECT_EQ(all.bulk_stored, l.stagger == 0 ? whole_bytes : 0) << describe(c, p, how);
      }
    }
  }
}

// From 4 KB on, and as long as two rows, or segments of a cluster's blocks, fit.
TEST(row_ring_plan, has_room_for_the_rows_it_takes) {
  using namespace culoss::detail;
  for (const int bytes : {2, 4}) {
    std::int64_t alone = 0, widest = 0;
    for (std::int64_t cols = 1; cols < 1 << 20; cols += cols < 70000 ? 1 : 997) {
      const ring_plan plan = plan_ring(90, cols, bytes);
      if (plan.slots == 0) continue;
      widest = cols;
      if (plan.cluster == 1) alone = cols;
      ASSERT_GT(cols * bytes, 4096);
      ASSERT_GE(plan.slots, 2);
      // A row that begins at the last element of its 16 bytes; and all segments have something.
      ASSERT_GE(plan.packs_of_slot * plan.cluster * 16, (cols - 1) * bytes + 16) << cols;
      ASSERT_LT((plan.cluster - 1) * plan.packs_of_slot, packs_of(cols, bytes, true)) << cols;
      ASSERT_EQ(plan.shared_bytes, kRingExchange + plan.slots * plan.packs_of_slot * 16);
      ASSERT_LE(plan.shared_bytes, kRingSharedLimit);
      ASSERT_LE(plan.blocks * (plan.shared_bytes + 1024), 228 * 1024);
      ASSERT_LE(plan.blocks * (plan.threads + 32), 2048);
      // No more roundings than the bounds allow for.
      const auto batches = [](std::int64_t packs, int threads) {
        return ((packs + threads - 1) / threads + kBatch - 1) / kBatch;
      };
      ASSERT_LE(batches(plan.packs_of_slot, plan.threads) + plan.cluster - 1,
                batches(packs_of(cols, bytes, false), plan.threads));
    }
    EXPECT_GT(alone * bytes, 112 * 1024);
    EXPECT_GE(widest, 400000);
    EXPECT_EQ(plan_ring(90, 262144, bytes).cluster, bytes == 2 ? 8 : 16);
    EXPECT_EQ(plan_ring(80, alone, bytes).slots, 0);
    EXPECT_EQ(plan_ring(90, 1 << 20, bytes).slots, 0);
  }
}

TEST_F(row_ring, is_one_of_the_choices_there_are) {
  const auto cases = ring_cases();
  const problem p = cases[0]->make({.rows = 2, .cols = 2001, .seed = 97});
  const culoss::status s = cases[0]->prepare(p, {.row_kernels = row_kernels{2}})->launch();
  EXPECT_EQ(s.code(), culoss::status_code::invalid_argument);
  EXPECT_NE(std::string(s.message()).find("row_kernels must be"), std::string::npos) << s.message();
}

TEST_F(row_ring, reports_calls_that_fail) {
  if (!simt::present()) GTEST_SKIP() << "this device's calls cannot be made to fail";
  const auto cases = ring_cases();
  const problem p = cases[0]->make({.rows = 2, .cols = 2001, .seed = 96});
  const std::unique_ptr<invocation> call =
      cases[0]->prepare(p, {.row_kernels = row_kernels::pipelined});
  int failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    simt::fail_call(n, cudaErrorInvalidValue);
    const culoss::status s = call->launch();
    simt::fail_call(0, 0);
    if (s.ok()) break;
    EXPECT_EQ(s.code(), culoss::status_code::cuda_error) << s.message();
    ASSERT_LT(++failures, 20);
  }
  EXPECT_GE(failures, 5);
  synchronize(space::cuda);
}

}  // namespace
}  // namespace culoss_test
