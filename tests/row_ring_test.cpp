// The pipelined kernels, rows by way of a ring in shared memory and narrow rows in turn: the bits of
// the proven kernels whatever the width, the alignment and the number of rows, each byte moved once,
// and of wide rows in bulk what can be.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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

// While it lives, an emulated device with so many multiprocessors and of that capability.
class device_like {
 public:
  explicit device_like(int multiprocessors, int capability = 90)
      : scope_(with(multiprocessors, capability)) {}

 private:
  static simt::settings with(int multiprocessors, int capability) {
    simt::settings s = simt::get_settings();
    s.multiprocessors = multiprocessors;
    s.capability = capability;
    return s;
  }
  simt::scoped_settings scope_;
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
    if (type == element::bfloat16) all.push_back(57641);
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
    EXPECT_EQ(plan.cluster, 1) << cols;
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
  // kernel: of the pipelined ones that must run; null: by the width.
  static results must_run(const loss_case& c, const problem& p, const execution& how, bool by_ring,
                          const char* kernel = nullptr) {
    execution e = how;
    e.row_kernels = by_ring ? row_kernels::pipelined : row_kernels::proven;
    const recorded_work work;
    results r = run(c, p, e);
    EXPECT_TRUE(r.status.ok()) << r.status.message() << simt::last_report();
    EXPECT_EQ(r.damage, "") << describe(c, p, how);
    if (simt::present()) {
      if (kernel == nullptr) kernel = in_turn(p) ? "rows_by_lanes_in_turn" : "rows_by_ring";
      EXPECT_EQ(work.kernels(kernel), by_ring ? 1 : 0) << describe(c, p, how);
    }
    return r;
  }
  static void expect_same_bits(const loss_case& c, const problem& p, const execution& how,
                               const char* kernel = nullptr) {
    const results ring = must_run(c, p, how, true, kernel);
    const results proven = must_run(c, p, how, false, kernel);
    EXPECT_EQ(difference(ring.outputs, proven.outputs), "") << describe(c, p, how);
    EXPECT_EQ(ring.faults.count, proven.faults.count) << describe(c, p, how);
    EXPECT_EQ(ring.faults.first_row, proven.faults.first_row) << describe(c, p, how);
  }
  // A call moves so many bytes of its logits and of its gradient, each one way only.
  static void expect_moves(const loss_case& c, const problem& p, execution how, std::int64_t loads,
                           std::int64_t stores) {
    how.row_kernels = row_kernels::pipelined;
    const std::unique_ptr<invocation> call = c.prepare(p, how);
    synchronize(space::cuda);
    simt::watch::reset();
    EXPECT_TRUE(call->launch().ok());
    synchronize(space::cuda);
    int met = 0;
    for (const moved_array& a : call->moves()) {
      const bool logits = a.name == "logits";
      if (!logits && a.name != "grad_logits") continue;
      const simt::watch::range_traffic t = simt::watch::count_range(a.data, a.bytes);
      EXPECT_EQ(static_cast<std::int64_t>(t.bytes_loaded), logits ? loads : 0)
          << a.name << describe(c, p, how);
      EXPECT_EQ(static_cast<std::int64_t>(t.bytes_stored), logits ? 0 : stores)
          << a.name << describe(c, p, how);
      ++met;
    }
    EXPECT_EQ(met, returns_gradient(how.mode) ? 2 : 1) << describe(c, p, how);
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

// Devices that have cp.async alone: two rows of a block in shared memory.
TEST_F(row_ring, has_the_bits_of_the_proven_kernels_without_bulk_copies) {
  if (!simt::present()) GTEST_SKIP() << "this device is what it is";
  struct way {
    int capability;
    std::int64_t floats;  // of a row
    bool all_layouts;
  };
  constexpr way kWays[] = {
      {80, 1153, true}, {80, 4097, false}, {80, 12001, false}, {89, 2049, false}};
  const auto cases = ring_cases();
  std::size_t turn = 0;
  for (const way& w : kWays) {
    const device_like device(4, w.capability);
    for (const element type : device_elements()) {
      const std::int64_t cols = w.floats * 4 / format_of(type).bytes + 1;
      const auto plan = culoss::detail::plan_copies(w.capability, cols, format_of(type).bytes);
      ASSERT_GT(plan.threads, 0) << cols;
      const std::int64_t rows = plan.blocks * multiprocessors() + 3;
      for (const layout& l : kLayouts) {
        if (!w.all_layouts && l.offset != 3) continue;
        const loss_case& c = *cases[++turn % cases.size()];
        const execution how{.mode = l.stagger == 0 && turn % 2 == 0 ? mode::in_place : mode::fused,
                            .offset = l.offset,
                            .padding = l.padding,
                            .stagger = l.stagger,
                            .record_faults = true};
        expect_same_bits(c, with_special_rows(c, type, rows, cols, turn), how, "rows_by_copies");
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

// One exponential an element for the loss, one more for the gradient, and one for each 16 or more
// elements where the maximum may have risen: what a row of twice the width takes more.
TEST_F(row_ring, takes_one_exponential_an_element) {
  if (!simt::present()) GTEST_SKIP() << "nothing counts what this device computes";
  const cross_entropy_case c(bare_cross_entropy());
  const auto taken = [&c](element type, std::int64_t cols, mode m, row_kernels kernels) {
    const problem p = c.make({.type = type, .rows = 3, .cols = cols, .seed = 99});
    const std::unique_ptr<invocation> call = c.prepare(p, {.mode = m, .row_kernels = kernels});
    const std::uint64_t before = simt::count().exponentials;
    EXPECT_TRUE(call->launch().ok());
    synchronize(space::cuda);
    return static_cast<double>(simt::count().exponentials - before) / 3;
  };
  for (const element type : device_elements()) {
    const std::int64_t cols = 32768 / format_of(type).bytes;
    for (const row_kernels kernels : {row_kernels::proven, row_kernels::pipelined}) {
      for (const mode m : {mode::forward, mode::gradient}) {
        const double more = taken(type, 2 * cols, m, kernels) - taken(type, cols, m, kernels);
        const double each = more / static_cast<double>(cols), wanted = m == mode::forward ? 1 : 2;
        EXPECT_GE(each, wanted) << format_of(type).name;
        EXPECT_LE(each, wanted + 1.0 / 16) << format_of(type).name;
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
    all.insert(all.end(), {{element::float32, 70003, 4},
                           {element::float16, 240007, 8},
                           {element::float32, 262144, 16}});
  }
  return all;
}

// Wide rows have a tree of their own: right within the bound, whoever works on them.
TEST_F(row_ring, shares_wider_rows_over_clusters) {
  tally t;
  const auto cases = ring_cases();
  std::size_t turn = 0;
  for (const wide& w : wide_rows()) {
    const device_like enough(w.cluster);
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
      EXPECT_EQ(work.kernels("rows_by_ring"), simt::present() ? 1 : 0);
    }
  }
}

// Rows that all begin at the same place in their 16 bytes, most of them ignored.
struct wide_batch {
  problem p;
  execution how;
  std::vector<std::int64_t> rows;  // that count, and one of each other kind
};
wide_batch many_wide_rows(const loss_case& c, element type, std::int64_t cols, std::int64_t rows) {
  wide_batch w;
  w.p = c.make({.type = type, .rows = rows, .cols = cols, .seed = 92});
  const std::int64_t of_pack = 16 / format_of(type).bytes;
  w.how = {.mode = mode::forward,
           .offset = of_pack - 1,
           .padding = of_pack - cols % of_pack,
           .row_kernels = row_kernels::pipelined};
  w.rows = {0, 7, 63, rows - 2, rows - 1};
  std::vector<std::int64_t> labels(static_cast<std::size_t>(rows), -100);
  labels[7] = cols / 2;
  labels[63] = cols;  // a bad one
  labels[static_cast<std::size_t>(rows) - 1] = 0;
  // In the first row one thread's columns alone count, of the last part, where it has fewer than
  // others; each of its packs has a larger maximum, so that it shows which it adds at once.
  const culoss::detail::parts_plan plan =
      culoss::detail::plan_parts(cols, static_cast<int>(format_of(type).bytes));
  const std::int64_t head = of_pack - 1, threads = culoss::detail::kPartThreads;
  const std::int64_t begin = std::int64_t{plan.parts - 1} * plan.packs;
  const std::int64_t left = (cols + head + of_pack - 1) / of_pack - begin;
  EXPECT_GT(left, threads);
  EXPECT_LT(left, plan.packs);
  std::vector<double> row(static_cast<std::size_t>(cols), -std::numeric_limits<double>::infinity());
  for (std::int64_t k = begin + left % threads; k < begin + left; k += threads) {
    labels[0] = k * of_pack - head;
    for (std::int64_t e = 0; e < of_pack; ++e) {
      row[static_cast<std::size_t>(labels[0] + e)] = static_cast<double>(k - begin + 40 * e) / 700;
    }
  }
  std::copy(row.begin(), row.end(), w.p.row(0));
  w.p.labels = labels;
  w.p.row(7)[cols / 3] = std::numeric_limits<double>::quiet_NaN();
  return w;
}

// The same bits from a block a row, from a cluster, and from a block for each part, alone or not.
TEST_F(row_ring, gives_wide_rows_the_same_bits_in_any_batch) {
  const cross_entropy_case c(bare_cross_entropy());
  struct way {
    mode m;
    int capability;
    std::int64_t rows;
    const char* kernel;
  };
  constexpr std::int64_t kMany = culoss::detail::kSplitRows + 1;
  constexpr way kWays[] = {
      {mode::forward, 90, kMany, "rows_by_parts"}, {mode::forward, 90, 5, "finish_parts"},
      {mode::fused, 90, kMany, "rows_by_ring"},    {mode::fused, 80, kMany, "rows_by_parts"},
      {mode::fused, 80, 5, "finish_parts"},
  };
  const wide_batch many = many_wide_rows(c, element::float32, 28999, kMany);
  for (const way& way : kWays) {
    wide_batch w = many;
    w.how.mode = way.m;
    if (way.rows < kMany) {
      w.p = select_rows(many.p, {0, 1, 7, 63, kMany - 1});
      w.rows = {0, 2, 3, 4};
    }
    const device_like device(4, way.capability);
    const recorded_work work;
    const results all = run(c, w.p, w.how);
    ASSERT_TRUE(all.status.ok()) << all.status.message() << simt::last_report();
    EXPECT_EQ(all.damage, "");
    EXPECT_EQ(work.kernels(way.kernel), simt::present() ? 1 : 0) << way.kernel;
    EXPECT_EQ(work.kernels("finish_parts"), simt::present() && way.rows < kMany ? 1 : 0);
    for (const std::int64_t i : w.rows) {
      const recorded_work few;
      const results one = run(c, select_rows(w.p, {i}), w.how);
      ASSERT_TRUE(one.status.ok()) << one.status.message() << simt::last_report();
      EXPECT_EQ(few.kernels("finish_parts"), simt::present() ? 1 : 0);
      EXPECT_EQ(difference(rows_of(all.outputs, w.p.rows, {i}), one.outputs), "")
          << way.kernel << " " << i;
    }
  }
}

// Few rows: a part is read again where it is written; without a gradient once.
TEST_F(row_ring, reads_few_wide_rows_once_for_the_loss) {
  if (!simt::watch::present()) GTEST_SKIP() << "nothing counts the bytes that this device moves";
  const cross_entropy_case c(bare_cross_entropy());
  for (const std::int64_t rows : {70, culoss::detail::kSplitRows + 1}) {
    for (const mode m : {mode::forward, mode::gradient}) {
      const device_like device(4, 80);
      wide_batch w = many_wide_rows(c, element::float32, 28999, rows);
      w.how.mode = m;
      const std::int64_t row = 28999 * 4;
      expect_moves(c, w.p, w.how, (m == mode::forward ? 3 : 6) * row, rows * row);
    }
  }
}

// Of up to 4096 rows one kernel counts the labels, works on the rows and sums their losses.
struct whole_way {
  const char* kernel;
  int multiprocessors, capability;
  element type;
  std::int64_t rows, cols;
  mode m;
};
constexpr whole_way kWholeWays[] = {
    {"rows_by_lanes_in_turn", 4, 90, element::bfloat16, 4096, 9, mode::fused},
    {"rows_by_lanes_in_turn", 4, 90, element::float32, 83, 301, mode::forward},
    {"rows_by_ring", 4, 90, element::float16, 77, 2305, mode::fused},
    {"rows_by_ring", 1, 90, element::float32, 7, 4501, mode::gradient},
    {"rows_by_ring", 2, 90, element::bfloat16, 5, 60015, mode::in_place},
    {"rows_by_copies", 4, 80, element::bfloat16, 61, 2309, mode::fused},
};
cross_entropy_choice whole_choice(std::size_t turn) {
  cross_entropy_choice c = plain_cross_entropy();
  c.more_outputs = false;
  c.reduction = turn % 3 == 2 ? culoss::reduction::sum : culoss::reduction::mean;
  c.class_weights = turn % 2 == 0;
  c.row_weights = turn % 3 == 1;
  c.rows_counted = turn % 2 == 0;
  c.z_loss = turn % 4 < 2 ? 1e-3f : 0.0f;
  c.z_loss_output = turn % 4 == 1;
  c.upstream = turn % 5 == 1 ? source::device : source::value;
  c.normalizer_source = turn % 7 == 3 ? source::device : source::absent;
  c.empty = turn % 2 == 0 ? culoss::empty_batch::zero : culoss::empty_batch::nan;
  return c;
}

TEST_F(row_ring, needs_one_kernel_for_few_rows) {
  tally t;
  std::size_t turn = 0;
  for (const whole_way& w : kWholeWays) {
    const device_like device(w.multiprocessors, w.capability);
    for (int repeat = 0; repeat < 5; ++repeat) {
      const cross_entropy_case cross_entropy(whole_choice(turn++));
      softmax_focal_choice focal;
      focal.more_outputs = false;
      focal.class_weights = true;
      const softmax_focal_case softmax_focal(focal);
      const loss_case& c = repeat == 4 ? static_cast<const loss_case&>(softmax_focal)
                                       : static_cast<const loss_case&>(cross_entropy);
      problem p = with_special_rows(c, w.type, w.rows, w.cols, turn);
      // Losses that are finite in sum, or where one is not, or where none counts.
      for (std::int64_t i = 0; repeat != 1 && i < w.rows; ++i) {
        for (std::int64_t j = 0; j < w.cols; ++j) {
          double& x = p.row(i)[j];
          x = std::isfinite(x) ? x : 0.5;
        }
        std::int64_t& label = p.labels[static_cast<std::size_t>(i)];
        label = repeat == 3 || label >= w.cols ? -100 : label;
      }
      const execution how{
          .mode = w.m, .record_faults = true, .row_kernels = row_kernels::pipelined};
      if (w.cols > 60000) {  // a tree of its own
        const recorded_work work;
        t.expect_correct(c, p, how);
        EXPECT_EQ(work.kernels(""), simt::present() ? 1 : 0) << describe(c, p, how);
        continue;
      }
      const results proven = must_run(c, p, how, false, w.kernel);
      const recorded_work work;
      const results whole = must_run(c, p, how, true, w.kernel);
      EXPECT_EQ(work.kernels(""), simt::present() ? 1 : 0) << describe(c, p, how);
      EXPECT_EQ(difference(whole.outputs, proven.outputs), "") << describe(c, p, how);
      EXPECT_EQ(whole.faults.count, proven.faults.count) << describe(c, p, how);
      EXPECT_EQ(whole.faults.first_row, proven.faults.first_row) << describe(c, p, how);
      EXPECT_EQ(whole.faults.label, proven.faults.label) << describe(c, p, how);
    }
  }
}

// ... whatever the workspace holds, in every order of the blocks, and not for more rows.
TEST_F(row_ring, sums_the_losses_of_few_rows_whoever_ends_last) {
  cross_entropy_choice choice = whole_choice(0);
  const cross_entropy_case c(choice);
  const problem p = c.make({.rows = 83, .cols = 1201, .seed = 73});
  const execution how{.workspace = true, .row_kernels = row_kernels::pipelined};
  const recorded_work first_work;
  const results first = run(c, p, how);
  EXPECT_EQ(first_work.kernels(""), simt::present() ? 1 : 0);
  execution proven = how;
  proven.row_kernels = row_kernels::proven;
  EXPECT_EQ(difference(run(c, p, proven).outputs, first.outputs), "");
  simt::settings settings = simt::get_settings();
  for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                     simt::schedule::random, simt::schedule::warp_priority}) {
    settings.order = order;
    ++settings.seed;
    const simt::scoped_settings scope(settings);
    const std::unique_ptr<invocation> call = c.prepare(p, how);
    for (int again = 0; again < 2; ++again) {
      EXPECT_TRUE(call->launch().ok());
      EXPECT_EQ(difference(call->read({}).outputs, first.outputs), "");
    }
  }
  const problem more = c.make({.rows = culoss::detail::kWholeRows + 1, .cols = 9, .seed = 74});
  const recorded_work work;
  EXPECT_TRUE(run(c, more, how).status.ok());
  EXPECT_EQ(work.kernels(""), simt::present() ? 3 : 0);
}

// Images whose classes are not innermost: four positions a thread, by one warp or eight, that lie
// together where the addresses allow it.
struct images {
  std::int64_t classes, inner, count;
};
constexpr images kImages[] = {{5, 348, 3}, {41, 84, 2}, {203, 4, 35}, {9, 521, 2}, {57, 2, 68}};

TEST_F(row_ring, has_the_bits_of_the_proven_kernels_for_images) {
  // All aligned; none; all but the gradient.
  constexpr layout kPlaces[] = {{0, 0, 0}, {1, 0, 0}, {0, 0, 1}};
  std::size_t turn = 0;
  for (const images& i : kImages) {
    cross_entropy_choice choice = strided(plain_cross_entropy(), i.inner);
    choice.more_outputs = false;
    choice.class_weights = choice.row_weights = true;
    choice.reduction = culoss::reduction::none;
    softmax_focal_choice focal = strided(softmax_focal_choice{}, i.inner);
    focal.more_outputs = false;
    const cross_entropy_case cross_entropy(choice);
    const softmax_focal_case softmax_focal(focal);
    for (const element type : device_elements()) {
      for (const loss_case* c : {static_cast<const loss_case*>(&cross_entropy),
                                 static_cast<const loss_case*>(&softmax_focal)}) {
        problem p = with_special_rows(*c, type, i.count * i.inner, i.classes, ++turn);
        for (std::size_t r = 8; r < 12; ++r) p.labels[r] = -100;  // four that lie together
        for (const mode m : c->modes()) {
          if (m == mode::split) continue;  // forward and backward
          for (const layout& l : kPlaces) {
            if ((l.offset > 0 || l.stagger > 0) && i.inner % 4 != 0) continue;  // as at 0
            if (l.stagger > 0 && m == mode::in_place) continue;
            expect_same_bits(
                *c, p, {.mode = m, .offset = l.offset, .stagger = l.stagger, .record_faults = true},
                "rows_strided_by_four");
          }
        }
      }
    }
  }
}

TEST_F(row_ring, takes_images_one_by_one_where_it_must) {
  const auto kernels_of = [](std::int64_t classes, mode m) {
    const cross_entropy_case c(strided(bare_cross_entropy(), 8));
    const problem p = with_special_rows(c, element::float32, 16, classes, 3);
    const recorded_work work;
    const results r = run(c, p, {.mode = m, .row_kernels = row_kernels::pipelined});
    EXPECT_TRUE(r.status.ok()) << r.status.message() << simt::last_report();
    return work.kernels("rows_strided_by_four");
  };
  if (!simt::present()) GTEST_SKIP() << "nothing says which kernels this device has run";
  EXPECT_EQ(kernels_of(50, mode::fused), 1);
  EXPECT_EQ(kernels_of(500, mode::fused), 0);    // too many to keep
  EXPECT_EQ(kernels_of(500, mode::forward), 1);  // which nothing needs here
}

TEST_F(row_ring, moves_each_byte_of_images_once) {
  if (!simt::watch::present()) GTEST_SKIP() << "nothing counts the bytes that this device moves";
  for (const images& i : kImages) {
    const cross_entropy_case c(strided(bare_cross_entropy(), i.inner));
    for (const element type : kDeviceElements) {
      problem p = c.make({.type = type, .rows = i.count * i.inner, .cols = i.classes, .seed = 98});
      // All count: four ignored ones are not read only where no other shares their access.
      std::fill(p.labels.begin(), p.labels.end(), 0);
      const std::int64_t bytes = p.rows * p.cols * format_of(type).bytes;
      for (const mode m : {mode::forward, mode::gradient}) {
        expect_moves(c, p, {.mode = m}, bytes, bytes);
      }
    }
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

TEST(row_copies_plan, has_room_for_the_rows_it_takes) {
  using namespace culoss::detail;
  for (const int bytes : {2, 4}) {
    for (const auto& [capability, of_multiprocessor, most] :
         {std::array{80, 164, 79}, std::array{86, 100, 47}, std::array{89, 100, 47},
          std::array{100, 228, 111}}) {
      std::int64_t widest = 0;
      for (std::int64_t cols = 1; cols < 70000; ++cols) {
        const copies_plan plan = plan_copies(capability, cols, bytes);
        if (plan.threads == 0) continue;
        widest = cols * bytes;
        ASSERT_GT(widest, 4096);
        ASSERT_GE(plan.packs_of_slot * 16, (cols - 1) * bytes + 16) << cols;
        ASSERT_EQ(plan.shared_bytes, 2 * 16 * plan.packs_of_slot);
        ASSERT_LE(plan.blocks * (plan.shared_bytes + kCopiesStatic + 1024),
                  of_multiprocessor * 1024);
        ASSERT_GE(plan.blocks, 1);
        ASSERT_LE(plan.blocks * plan.threads, 1536);
        ASSERT_EQ(plan.threads, plan_rows(capability, cols, bytes, 1, false, true).threads);
      }
      EXPECT_GT(widest, most * 1024) << capability;
    }
    EXPECT_EQ(plan_copies(90, 4000, bytes).threads, 0);
    EXPECT_EQ(plan_copies(75, 4000, bytes).threads, 0);
  }
}

// ... at every width of the sweep: once each way of rows that are written, once where they are not.
TEST_F(row_ring, moves_each_byte_once_at_every_width) {
  if (!simt::watch::present()) GTEST_SKIP() << "nothing counts the bytes that this device moves";
  const cross_entropy_case c(bare_cross_entropy());
  for (const std::int64_t cols :
       {1000, 1024, 2048, 4096, 8192, 32000, 32768, 50257, 65536, 128256, 262144}) {
    for (const element type : {element::bfloat16, element::float32}) {
      const auto plan = plan_ring(90, cols, format_of(type).bytes);
      const device_like device(std::max(plan.cluster, 1));
      const std::int64_t bytes = 2 * cols * format_of(type).bytes;
      const problem p = c.make({.type = type, .rows = 2, .cols = cols, .seed = 72});
      for (const mode m : {mode::forward, mode::gradient}) {
        expect_moves(c, p, {.mode = m}, bytes, bytes);
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
      const parts_plan parts = plan_parts(cols, bytes);
      ASSERT_EQ(parts.parts > 0, plan.cluster > 1) << cols;
      if (parts.parts == 0) continue;
      ASSERT_EQ(parts.of_group * parts.packs, plan.packs_of_slot);
      ASSERT_EQ(parts.parts, plan.cluster * parts.of_group);
      ASSERT_LE(parts.of_group, kMostPartsOfGroup);
      ASSERT_LE(parts.packs, kPartPacks + kPartPacks / 2);
      ASSERT_LE(parts.parts, kPartThreads);
      ASSERT_GE(part_state_bytes(3, cols), 3 * parts.parts * kPartState) << cols;
      // No more roundings than the bounds allow for: of a thread's folds, a part's warps, the parts
      // of a group and the groups.
      const auto batches = [](std::int64_t packs, int threads) {
        return ((packs + threads - 1) / threads + kBatch - 1) / kBatch;
      };
      ASSERT_LE(batches(parts.packs, kPartThreads) + kBatch - 2 + kPartWarps - 1 + parts.of_group -
                    1 + plan.cluster - 1,
                batches(packs_of(cols, bytes, false), plan.threads) + plan.threads / 32 - 1)
          << cols;
    }
    for (std::int64_t cols = 1; cols < 1 << 21; cols *= 2) {
      EXPECT_LE(part_state_bytes(7, cols), part_state_bytes(7, cols + 1));
      EXPECT_LE(part_state_bytes(cols, 50000), part_state_bytes(cols + 1, 50000));
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
