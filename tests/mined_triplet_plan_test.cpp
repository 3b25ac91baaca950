// How mined_triplet goes over a batch on the device: the same bits with any workspace and under any
// schedule, its products, the bytes of its kernels, captured and replayed.
#include <gtest/gtest.h>

#include "tests/cases/mined_triplet_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

using culoss::mining_rule;
using culoss::triplet_distance;

class mined_triplet_plan : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }

  static results run_on_device(const mined_choice& c, const mined_numbers& p,
                               std::int64_t workspace = kBestWorkspace) {
    results r = run(c, p, {.workspace = workspace});
    EXPECT_TRUE(r.status.ok()) << r.status.message();
    EXPECT_EQ(r.damage, "");
    return r;
  }
};

struct planned {
  mined_choice choice;
  mined_input input;
};
// Of several panels, tiles or both with the least workspace.
std::vector<planned> planned_calls() {
  const std::int64_t rows = reduced_run() ? 140 : 520;
  const mined_choice hard{.row_weights = true};
  mined_choice semi{.rule = mining_rule::semi_hard, .distance = triplet_distance::cosine};
  semi.soft_margin = semi.wide = true;
  const mined_choice all{.rule = mining_rule::batch_all};
  return {{hard, {.type = element::float16, .rows = rows, .dimension = 4, .classes = 40}},
          {semi, {.type = element::bfloat16, .rows = rows, .dimension = 5, .classes = 40}},
          {all, {.rows = 90, .dimension = 3, .classes = 12}}};
}

TEST_F(mined_triplet_plan, has_the_same_bits_with_any_workspace_and_schedule) {
  for (const planned& each : planned_calls()) {
    const mined_numbers p = make_mined(each.choice, each.input);
    const culoss::mined_triplet_workspace_bytes w = workspace_of(each.choice, p);
    ASSERT_LT(w.least, w.best);
    const results first = run_on_device(each.choice, p);
    EXPECT_EQ(complaint(first, expect(each.choice, p)), "");
    for (const std::int64_t bytes :
         {static_cast<std::int64_t>(w.least), static_cast<std::int64_t>((w.least + w.best) / 2),
          kNoWorkspace}) {
      const results again = run_on_device(each.choice, p, bytes);
      EXPECT_EQ(difference(first.outputs, again.outputs), "") << describe(each.choice, p);
    }
    std::uint64_t seed = 1;
    for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                       simt::schedule::random, simt::schedule::warp_priority}) {
      simt::settings settings = simt::get_settings();
      settings.order = order;
      settings.seed = ++seed;
      const simt::scoped_settings during(settings);
      const results again = run_on_device(each.choice, p);
      EXPECT_EQ(difference(first.outputs, again.outputs), "") << describe(each.choice, p);
    }
  }
}

// A row that all others choose: more entries than a warp holds, in the order of the anchors still.
TEST_F(mined_triplet_plan, has_the_same_bits_where_all_choose_one_row) {
  mined_choice c{.distance = triplet_distance::squared_euclidean};
  mined_numbers p = make_mined(c, {.rows = 100, .dimension = 150, .ignored = false});
  for (std::size_t i = 0; i < 100; ++i) p.labels[i] = static_cast<std::int64_t>(i % 2);
  for (std::size_t d = 0; d < 150; ++d) {
    p.x[7 * 150 + d] *= 100;  // the farthest of its class
    p.x[60 * 150 + d] = 0.5 * p.x[d];
    p.x[60 * 150 + d] = round_to(element::float32, p.x[60 * 150 + d]);
  }
  std::vector<results> all;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    simt::settings settings = simt::get_settings();
    settings.order = simt::schedule::random;
    settings.seed = seed;
    const simt::scoped_settings during(settings);
    all.push_back(run_on_device(c, p));
    EXPECT_EQ(difference(all[0].outputs, all.back().outputs), "");
  }
  EXPECT_GT(std::ranges::count(all[0]["positives"], 7.0), 32);
  EXPECT_EQ(complaint(all[0], expect(c, p)), "");
}

// Four equal anchors choose rows 4 and 5, with weights of which a sum in double loses the second one,
// and the fourth one too in any other order than theirs.
TEST_F(mined_triplet_plan, sums_in_the_order_of_the_anchors) {
  mined_choice c{.distance = triplet_distance::squared_euclidean, .margin = 1000};
  c.reduction = culoss::reduction::none;
  c.upstream = source::rows;
  mined_numbers p;
  p.rows = 6;
  p.dimension = 1;
  p.x = {0, 0, 0, 0, 1, 10};
  p.labels = {1, 1, 1, 1, 1, 2};
  p.upstream_rows = {0x1p60f, 1, -0x1p60f, 1, 0, 0};
  for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                     simt::schedule::random, simt::schedule::warp_priority}) {
    simt::settings settings = simt::get_settings();
    settings.order = order;
    const simt::scoped_settings during(settings);
    const results r = run_on_device(c, p);
    EXPECT_EQ(r["gradient"][4], 2);    // 2 (1 - 0) of the fourth
    EXPECT_EQ(r["gradient"][5], -20);  // -2 (10 - 0)
  }
}

TEST_F(mined_triplet_plan, refuses_less_than_the_least_workspace) {
  for (const planned& each : planned_calls()) {
    const mined_numbers p = make_mined(each.choice, each.input);
    const std::size_t least = workspace_of(each.choice, p).least;
    const std::uint64_t launches = simt::count().launches;
    const results r = run(each.choice, p, {.workspace = static_cast<std::int64_t>(least) - 1});
    EXPECT_EQ(r.status.code(), culoss::status_code::workspace_too_small);
    EXPECT_EQ(r.status.message(), "mined_triplet: workspace.bytes is " + std::to_string(least - 1) +
                                      ", must be at least " + std::to_string(least));
    EXPECT_EQ(simt::count().launches, launches);
    EXPECT_EQ(r.damage, "");
    for (const output& o : r.outputs) {
      const bool integer = o.name != "loss" && o.name != "gradient";
      for (const double v : o.values) ASSERT_TRUE(same_bits(v, integer ? -1 : std::nan("")));
    }
  }
}

// One product of a tile with each, and for semi_hard a second one where a panel has several tiles.
TEST_F(mined_triplet_plan, multiplies_once_and_allocates_nothing) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  (void)shared_blas();
  const auto calls = [](const mined_choice& c, std::int64_t rows, std::int64_t workspace,
                        const char* name) {
    const mined_numbers p = make_mined(c, {.rows = rows, .dimension = 3, .classes = 50});
    const auto call = prepare(c, p, {.workspace = workspace});
    const std::size_t before = simt::live().total();
    const std::uint64_t first = simt::call_count();
    const culoss::status s = call->launch();
    EXPECT_TRUE(s.ok()) << s.message();
    std::int64_t n = 0;
    for (std::uint64_t i = first; i < simt::call_count(); ++i) {
      n += simt::call_name(i).find(name) != std::string::npos ? 1 : 0;
    }
    EXPECT_TRUE(call->read(s).status.ok());
    EXPECT_EQ(simt::live().total(), before);
    return n;
  };
  const mined_choice hard, semi{.rule = mining_rule::semi_hard},
      all{.rule = mining_rule::batch_all};
  EXPECT_EQ(calls(hard, 100, kBestWorkspace, "cublasGemmEx"), 1);
  EXPECT_EQ(calls(semi, 100, kBestWorkspace, "cublasGemmEx"), 1);
  EXPECT_EQ(calls(all, 100, kBestWorkspace, "cublas"), 0);
  if (!reduced_run()) {  // panels of 128 rows, tiles of 512 columns
    EXPECT_EQ(calls(hard, 600, kLeastWorkspace, "cublasGemmEx"), 5 * 2);
    EXPECT_EQ(calls(semi, 600, kLeastWorkspace, "cublasGemmEx"), 5 * 2 * 2);
  }
  for (const mined_choice& c : {hard, semi, all}) {
    EXPECT_EQ(calls(c, 40, kBestWorkspace, "Malloc"), 0);
    EXPECT_EQ(calls(c, 40, kNoWorkspace, "Malloc"), 1);
    EXPECT_EQ(calls(c, 40, kNoWorkspace, "cudaFreeAsync"), 1);
    EXPECT_EQ(calls(c, 40, kNoWorkspace, "Synchronize"), 0);
  }
}

TEST_F(mined_triplet_plan, can_be_captured_and_replayed_with_other_numbers) {
  const stream s;
  for (const mining_rule rule : kMiningRules) {
    const mined_choice c{.rule = rule, .upstream = source::device, .normalizer = source::device};
    mined_input in{.rows = 40, .dimension = 6, .classes = 7};
    for (const std::int64_t workspace : {kBestWorkspace, kNoWorkspace}) {
      const similarity_execution how{.workspace = workspace, .stream = s.get()};
      const auto call = prepare(c, make_mined(c, in), how);
      const graph captured(s.get(), [&] {
        const culoss::status done = call->launch();
        EXPECT_TRUE(done.ok()) << done.message();
      });
      for (const std::uint64_t seed : {7u, 8u}) {
        in.seed = seed;
        mined_numbers p = make_mined(c, in);
        p.upstream = static_cast<float>(seed);
        p.normalizer += static_cast<float>(seed);
        call->write(p);
        captured.replay(s.get());
        const results replayed = call->read({}), direct = run(c, p, how);
        ASSERT_TRUE(direct.status.ok()) << direct.status.message();
        EXPECT_EQ(replayed.damage, "");
        EXPECT_EQ(difference(replayed.outputs, direct.outputs), "") << describe(c, p);
      }
    }
  }
}

// Each product once, in loads of 16 bytes; beside it, of each column its size and label for four
// rows at a time, and of the rows theirs. Rows that are in no pair's gradient are not read again.
TEST_F(mined_triplet_plan, reads_each_product_once) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watched device counts bytes";
  const mined_choice c;
  const std::int64_t n = 128;
  const mined_numbers p = make_mined(
      c, {.type = element::bfloat16, .rows = n, .dimension = 16, .classes = 20, .ignored = false});
  const auto call = prepare(c, p);
  simt::watch::reset();
  const results r = call->read(call->launch());
  ASSERT_TRUE(r.status.ok()) << r.status.message();
  const std::uint64_t pairs = n * n, threads = n / 4 * 32;
  int seen = 0;
  for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
    const simt::watch::traffic& moved = l.moved;
    if (l.kernel.find("mine_tile") != std::string::npos) {
      ++seen;
      EXPECT_EQ(moved.loads16, pairs / 4);
      EXPECT_EQ(moved.bytes_loaded, pairs * 4 + pairs / 4 * 12 + threads * 4 * 12);
      EXPECT_EQ(moved.bytes_stored, n * 2 * 32);
    } else if (l.kernel.find("describe_rows") != std::string::npos) {
      ++seen;
      EXPECT_EQ(moved.bytes_loaded, n * 16 * 2 + n * 32 * 8);  // a label for each lane
      EXPECT_EQ(moved.bytes_stored, n * 20);
    } else if (l.kernel.find("finish_mined_gradient") != std::string::npos) {
      ++seen;
      EXPECT_EQ(moved.bytes_stored, n * 16 * 2);
    }
  }
  EXPECT_EQ(seen, 3);
}

// More than 2^32 pairs, where an index of 32 bits would wrap; the emulated device takes fewer. Two
// points: each anchor's farthest positive and nearest negative are known.
TEST_F(mined_triplet_plan, counts_pairs_in_64_bits) {
  const std::int64_t rows = simt::present() ? 300 : 66000;
  mined_choice c;
  c.reduction = culoss::reduction::none;
  c.margin = 1;
  mined_numbers p;
  p.rows = rows;
  p.dimension = 4;
  for (std::int64_t i = 0; i < rows; ++i) {
    // Positives at 2 (but 0 of the first's own place), negatives at 3.
    p.labels.push_back(i % 2);
    p.x.insert(p.x.end(), {i % 2 == 0 ? 0.0 : 3.0, i >= rows - 2 ? 2.0 : 0.0, 0.0, 0.0});
  }
  const results r = run(c, p, {});
  ASSERT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(r["rows_counted"][0], static_cast<double>(rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const bool last = i >= rows - 2;
    EXPECT_EQ(r["positives"][at], last ? i % 2 : rows - 2 + i % 2) << i;
    EXPECT_EQ(r["negatives"][at], last ? rows - 1 - i % 2 : 1 - i % 2) << i;
    EXPECT_EQ(r["loss"][at], 0) << i;  // 2 - 3 + 1
  }
}

TEST(mined_triplet_workspace, grows_with_the_shape_and_is_no_matrix) {
  for (const mining_rule rule : kMiningRules) {
    std::size_t before = 0;
    for (const std::int64_t n : {1, 31, 128, 1000, 4096, 65536}) {
      const auto w = culoss::mined_triplet_workspace({.rows = n, .dimension = 64, .rule = rule});
      EXPECT_LE(w.least, w.best);
      EXPECT_LE(before, w.least);
      before = w.least;
    }
    // A panel of 128 x 512 products, or of 32 x N distances; some 120 bytes a row; sums of batch_all.
    const std::size_t n = 65536, d = 128;
    const std::size_t most = rule == mining_rule::batch_all
                                 ? 32 * n * 16 + 120 * n + 16 * n * d
                                 : 128 * 512 * 4 + 120 * n + (std::size_t{2} << 20);
    EXPECT_LE(
        culoss::mined_triplet_workspace({.rows = 65536, .dimension = 128, .rule = rule}).least,
        most);
    EXPECT_EQ(culoss::mined_triplet_workspace({.rows = 0, .dimension = 3, .rule = rule}).least, 0u);
    EXPECT_EQ(culoss::mined_triplet_workspace({.rows = -1, .dimension = 3, .rule = rule}).best, 0u);
    EXPECT_EQ(culoss::mined_triplet_workspace({.rows = 3, .dimension = 0, .rule = rule}).best, 0u);
    EXPECT_EQ(culoss::mined_triplet_workspace(
                  {.rows = std::int64_t{1} << 62, .dimension = 3, .rule = rule})
                  .best,
              0u);
  }
}

}  // namespace
}  // namespace culoss_test
