// The ways through a similarity matrix: whatever workspace a call is given, its results agree
// within the bound, and its bits depend on nothing else. Memory, launches and traffic are counted
// on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

using culoss::similarity_plan;

// Several panels and several tiles in the plans that need least, and a second segment; more rows
// than two panels of one visit.
struct planned {
  similarity_choice choice;
  similarity_input input;
};
std::vector<planned> planned_calls() {
  const similarity_choice nce, clip{.symmetric = true}, masked{.masked = true, .mask = true};
  similarity_choice kept_nce = masked, kept_clip{.symmetric = true, .masked = true};
  kept_nce.plan = kept_clip.plan = similarity_plan::kept;
  std::vector<planned> all = {
      {masked,
       {.rows = 300,
        .keys = 1300,
        .negatives = 700,
        .dimension = 16,
        .offset = 900,
        .of_a_row = 3}},
      {clip, {.rows = 600, .keys = 600, .dimension = 16}},
      {kept_nce,
       {.type = element::bfloat16,
        .rows = 300,
        .keys = 1300,
        .negatives = 700,
        .dimension = 16,
        .offset = 900}},
      {kept_clip, {.type = element::float16, .rows = 620, .keys = 620, .dimension = 16}}};
  if (!reduced_run()) {
    all.push_back(
        {nce,
         {.type = element::bfloat16, .rows = 2200, .keys = 2200, .negatives = 9, .dimension = 8}});
    all.push_back({clip, {.type = element::float16, .rows = 4200, .keys = 4200, .dimension = 3}});
  }
  return all;
}

class info_nce_plan : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

TEST_F(info_nce_plan, agrees_within_the_bound_for_every_workspace) {
  tally t;
  for (const planned& each : planned_calls()) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    const culoss::similarity_workspace w = workspace_of(each.choice, p);
    ASSERT_LT(w.least, w.best);
    const std::vector<expectation> wanted = expect(each.choice, p);
    const bool large = each.input.rows > 1000;
    const std::size_t steps = large ? 1 : reduced_run() ? 2 : 4;
    for (std::size_t k = 0; k <= steps; ++k) {
      const std::size_t bytes = w.least + (w.best - w.least) * k / steps;
      t.expect_correct(each.choice, p, {.workspace = static_cast<std::int64_t>(bytes)}, wanted);
    }
    if (large) continue;
    t.expect_correct(each.choice, p, {.workspace = kNoWorkspace}, wanted);
    const similarity_choice forward = forward_only(each.choice);
    const std::vector<expectation> values = expect(forward, p);
    t.expect_correct(forward, p, {.workspace = kLeastWorkspace}, values);
    t.expect_correct(forward, p, {.workspace = kBestWorkspace}, values);
  }
}

TEST_F(info_nce_plan, has_the_same_bits_under_every_schedule) {
  for (const planned& each : planned_calls()) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    if (p.rows > 1000) continue;
    for (const std::int64_t bytes : {kLeastWorkspace, kBestWorkspace}) {
      const results first = run(each.choice, p, {.workspace = bytes});
      ASSERT_TRUE(first.status.ok()) << first.status.message();
      std::uint64_t seed = 1;
      for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                         simt::schedule::random, simt::schedule::warp_priority}) {
        // The whole run has the others; this device's memory is watched under any.
        if (reduced_run() && order != simt::schedule::random) continue;
        simt::settings settings = simt::get_settings();
        settings.order = order;
        settings.seed = ++seed;
        const simt::scoped_settings during(settings);
        const results again = run(each.choice, p, {.workspace = bytes});
        EXPECT_EQ(difference(first.outputs, again.outputs), "") << describe(each.choice, p);
      }
    }
  }
}

TEST_F(info_nce_plan, is_the_one_that_the_query_names) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  const auto work = [](const similarity_choice& c, const similarity_numbers& p,
                       std::int64_t workspace) {
    const recorded_work r;
    const results done = run(c, p, {.workspace = workspace});
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    const std::int64_t folds = r.kernels("fold_tile"), gradients = r.kernels("gradient_tile");
    const std::int64_t kept = r.kernels("gradient_of_kept");
    const std::int64_t products = r.calls("cublasGemmEx");
    EXPECT_GT(folds, 0);
    if (gradients + kept == 0) {
      EXPECT_EQ(products, folds);
      return similarity_plan::forward_only;
    }
    if (kept > 0) {
      EXPECT_EQ(gradients, 0);
      EXPECT_EQ(products, folds + 2 * kept);
      return similarity_plan::kept;
    }
    // Two products from each gradient of a tile; its similarities in memory, or computed twice.
    const bool twice = products == folds + 3 * gradients;
    EXPECT_TRUE(twice || products == folds + 2 * gradients) << products << " " << folds;
    return twice ? similarity_plan::recompute : similarity_plan::one_visit;
  };
  for (const planned& each : planned_calls()) {
    if (each.input.rows > 1000) continue;
    const similarity_numbers p = make_similarity(each.choice, each.input);
    const culoss::similarity_workspace w = workspace_of(each.choice, p);
    EXPECT_EQ(work(each.choice, p, kLeastWorkspace), w.least_plan);
    EXPECT_EQ(work(each.choice, p, kBestWorkspace), w.best_plan);
    const bool kept = each.choice.plan == similarity_plan::kept;
    EXPECT_EQ(w.least_plan, kept ? similarity_plan::kept : similarity_plan::recompute);
    EXPECT_EQ(w.best_plan, kept ? similarity_plan::kept : similarity_plan::one_visit);
    const similarity_choice forward = forward_only(each.choice);
    EXPECT_EQ(workspace_of(forward, p).least_plan, similarity_plan::forward_only);
    EXPECT_EQ(work(forward, p, kLeastWorkspace), similarity_plan::forward_only);
  }
}

TEST_F(info_nce_plan, refuses_less_than_the_least_workspace) {
  for (const planned& each : planned_calls()) {
    const similarity_numbers p = make_similarity(each.choice, each.input);
    const std::size_t least = workspace_of(each.choice, p).least;
    const recorded_work work;
    const results r = run(each.choice, p, {.workspace = static_cast<std::int64_t>(least) - 1});
    EXPECT_EQ(r.status.code(), culoss::status_code::workspace_too_small);
    EXPECT_EQ(r.status.message(), std::string(each.choice.symmetric ? "clip" : "info_nce") +
                                      ": workspace.bytes is " + std::to_string(least - 1) +
                                      ", must be at least " + std::to_string(least));
    EXPECT_EQ(work.kernels(""), 0);
    EXPECT_EQ(r.damage, "");
    for (const output& o : r.outputs) {
      const double poison =
          o.name == "correct" || o.name == "rows_counted" || o.name == "correct_columns"
              ? -1
              : std::nan("");
      for (const double v : o.values) ASSERT_TRUE(same_bits(v, poison)) << o.name;
    }
  }
}

TEST_F(info_nce_plan, takes_scratch_from_the_pool_and_gives_it_back) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no allocations";
  const planned each = planned_calls().front();
  const similarity_numbers p = make_similarity(each.choice, each.input);
  (void)shared_blas();
  for (const std::int64_t workspace : {kNoWorkspace, kBestWorkspace}) {
    const auto call = prepare(each.choice, p, {.workspace = workspace});
    const std::size_t before = simt::live().total();
    const recorded_work work;
    const culoss::status s = call->launch();
    const std::int64_t pool = workspace == kNoWorkspace ? 1 : 0;
    EXPECT_EQ(work.calls("cudaMallocAsync"), pool);
    EXPECT_EQ(work.calls("cudaFreeAsync"), pool);
    EXPECT_EQ(work.calls("Malloc"), pool);
    EXPECT_EQ(work.calls("Synchronize"), 0);
    EXPECT_TRUE(call->read(s).status.ok());
    EXPECT_EQ(simt::live().total(), before);
  }
}

TEST_F(info_nce_plan, can_be_captured_and_replayed_with_other_numbers) {
  const stream s;
  for (const bool symmetric : {false, true}) {
    for (const bool log_scale : {false, true}) {
      const similarity_choice c{.symmetric = symmetric,
                                .log_scale = log_scale,
                                .scale = source::device,
                                .upstream = source::device,
                                .normalizer = source::device};
      similarity_input in{
          .rows = 150, .keys = 150, .negatives = symmetric ? 0 : 40, .dimension = 12};
      in.of_a_row = symmetric ? 0 : 5;
      for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace, kNoWorkspace}) {
        const similarity_execution how{.workspace = workspace, .stream = s.get()};
        const auto call = prepare(c, make_similarity(c, in), how);
        const graph captured(s.get(), [&] {
          const culoss::status done = call->launch();
          EXPECT_TRUE(done.ok()) << done.message();
        });
        for (const std::uint64_t seed : {7u, 8u}) {
          in.seed = seed;
          similarity_numbers p = make_similarity(c, in);
          p.scale *= 0.5f * static_cast<float>(seed - 5);
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
}

// Each element of a tile is read once by the kernel that folds it, and once by the one that turns
// it into its gradient, in loads of 16 bytes.
TEST_F(info_nce_plan, reads_each_similarity_once_in_each_kernel) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watched device counts bytes";
  for (int flags = 0; flags < 8; ++flags) {
    const bool symmetric = flags % 2 == 1, mask = flags / 2 % 2 == 1, kept = flags / 4 == 1;
    similarity_choice c{.symmetric = symmetric, .normalize = false, .mask = mask};
    if (kept) c.plan = similarity_plan::kept;
    const similarity_numbers p =
        make_similarity(c, {.type = element::bfloat16, .rows = 256, .keys = 256, .dimension = 8});
    const auto call = prepare(c, p);
    simt::watch::reset();
    const results r = call->read(call->launch());
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    const std::uint64_t elements = 256 * 256;
    int seen = 0;
    for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
      const simt::watch::traffic& moved = l.moved;
      if (l.kernel.find("fold_tile") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.loads16, elements / 4);
        // Beside them, each thread reads the scale for each of its rows.
        const std::uint64_t of_mask = mask ? elements : 0;
        EXPECT_EQ(moved.bytes_loaded, elements * 4 + of_mask + 256 * 32 * 4);
        // A mask that begins at a multiple of four is read in words, a lane's four columns at once.
        EXPECT_EQ(moved.loads, elements / 4 + of_mask / 4 + 256 * 32);
        // States of rows, of columns in each of eight blocks, positives; what is kept.
        const std::uint64_t states = 20 * 256 * (1 + (symmetric ? 8 : 0)) + 4 * 256;
        EXPECT_EQ(moved.bytes_stored, states + (kept ? elements * 2 + 256 * 4 : 0));
      } else if (l.kernel.find("gradient_of_kept") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.bytes_stored, elements * 2);
        EXPECT_EQ(moved.stores16, elements / 8);
        EXPECT_GE(moved.loads16, elements / 8);
        // A lane's shifts of four rows and its coefficients of each; two numbers of a column for
        // sixteen rows, and a positive's; for each 0 its column's largest. No mask: it is 0 already.
        const std::uint64_t lanes = 256 * 32, few = 256 * 32;
        std::uint64_t most = elements * 2 + 16 * (lanes + lanes / 4) + few;
        if (symmetric) most += elements / 16 * 8 + (mask ? elements * 4 : 0);
        EXPECT_LE(moved.loads16, elements / 8 + lanes + lanes / 4);
        EXPECT_LE(moved.bytes_loaded, most);
      } else if (l.kernel.find("gradient_tile") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.bytes_stored, elements * 2);
        EXPECT_GE(moved.loads16, elements / 4);
        // A side's coefficients: 16 bytes for each thread's row, and for each element's column.
        const std::uint64_t threads = 256 * 32;
        EXPECT_LE(moved.loads16, elements / 4 + threads + (symmetric ? elements : 0));
      }
    }
    EXPECT_EQ(seen, 2);
  }
}

// More than 2^32 similarities, where an index of 32 bits would wrap; the emulated device takes
// fewer. All rows are equal: every loss is log(M), and every gradient is a sum of equal terms that
// cancel.
TEST_F(info_nce_plan, counts_pairs_in_64_bits) {
  const std::int64_t rows = simt::present() ? 700 : 65537;
  constexpr std::int64_t kDimension = 4;
  const std::vector<double> ones(static_cast<std::size_t>(rows * kDimension), 1.0);
  for (const bool symmetric : {false, true}) {
    similarity_choice c{.symmetric = symmetric, .normalize = false};
    c.reduction = culoss::reduction::none;
    c.scale_gradient = false;
    similarity_numbers p;
    p.rows = p.keys = rows;
    p.dimension = kDimension;
    p.q = p.k = ones;
    const similarity_arithmetic a = similarity_arithmetic_of(space::cuda, p.type);
    const double l = kDimension, error = 2 * kDimension * a.u * l + 9 * a.u * l;
    const side_bounds row(
        rows, 0, [&](std::int64_t) { return l; }, [&](std::int64_t) { return error; },
        [](std::int64_t) { return false; }, l, a);
    EXPECT_NEAR(row.loss, std::log(static_cast<double>(rows)), 1e-12);
    // sum_j |dl_ij| = 2 q, each with its error, and the product's.
    const double product = 2 * static_cast<double>(rows) * a.u;
    const double term = row.q_error + row.p_error(l, error, a) / row.p(l) + a.tile + product;
    for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace}) {
      const results r = run(c, p, {.workspace = workspace});
      ASSERT_TRUE(r.status.ok()) << r.status.message();
      for (const double loss : r["loss"]) ASSERT_NEAR(loss, row.loss, row.loss_error + a.u * loss);
      for (const char* name : {"grad_queries", "grad_keys"}) {
        for (const double g : r[name]) ASSERT_LE(std::fabs(g), 2 * term) << name;
      }
      EXPECT_EQ(r["correct"][0], 1);  // ties go to the lowest column
    }
  }
}

TEST(similarity_workspace, grows_with_the_shape) {
  const auto sizes = [](std::int64_t n, std::int64_t m, std::int64_t k, std::int64_t d,
                        bool gradients) {
    const culoss::similarity_workspace w = culoss::info_nce_workspace(
        {.queries = n, .keys = m, .negatives = k, .dimension = d, .gradients = gradients});
    EXPECT_LE(w.least, w.best);
    return w;
  };
  constexpr std::int64_t kSizes[] = {1, 31, 128, 1000, 4096, 65536};
  for (const bool gradients : {false, true}) {
    std::size_t before = 0;
    for (const std::int64_t n : kSizes) {
      for (const std::int64_t d : {1, 64, 768}) {
        const std::size_t least = sizes(n, n, 0, d, gradients).least;
        EXPECT_LE(least, sizes(n, n + 1, 0, d, gradients).least);
        EXPECT_LE(least, sizes(n, n, 5000, d, gradients).least);
        EXPECT_LE(least, sizes(n, n, 0, d + 1, gradients).least);
      }
      const std::size_t least = sizes(n, n, 0, 64, gradients).least;
      EXPECT_LE(before, least);
      before = least;
    }
  }
}

// O((N + M + K) D) and a panel of 128 x 512: statistics are 20 and coefficients 16 bytes a row, and
// a few floats; the similarities of a tile, their gradient and what a panel's queries get.
TEST(similarity_workspace, needs_no_memory_of_the_size_of_the_matrix) {
  struct shape {
    std::int64_t n, m, k, d;
  };
  constexpr shape kShapes[] = {
      {4096, 1 << 20, 0, 512}, {32768, 32768, 0, 768}, {65536, 65536, 1 << 20, 128}};
  for (const shape& s : kShapes) {
    const culoss::similarity_workspace w = culoss::info_nce_workspace({.queries = s.n,
                                                                       .keys = s.m,
                                                                       .negatives = s.k,
                                                                       .dimension = s.d,
                                                                       .negative_gradients = true});
    const std::int64_t of_rows = 64 * s.n + (4 * s.d + 16) * (s.m + s.k);
    const std::int64_t of_panel = 128 * 512 * (4 + 2) + 128 * 4 * s.d + (1 << 18);
    EXPECT_LE(w.least, static_cast<std::size_t>(of_rows + of_panel));
    EXPECT_EQ(w.least_plan, similarity_plan::recompute);
  }
  // 4096 queries and a million keys of 512 in 4 GiB.
  EXPECT_LE(culoss::info_nce_workspace({.queries = 4096, .keys = 1 << 20, .dimension = 512}).least,
            std::size_t{4} << 30);
}

// A number that no workspace has, and not one that has wrapped around.
TEST(similarity_workspace, of_more_than_there_is_memory_is_more_than_there_is_memory) {
  for (const int bits : {10, 30, 31, 32, 40, 47}) {
    const std::int64_t n = std::int64_t{1} << bits;
    for (const similarity_plan plan : {similarity_plan::automatic, similarity_plan::one_visit,
                                       similarity_plan::recompute, similarity_plan::kept}) {
      const culoss::similarity_shape shape{.queries = n, .keys = n, .dimension = 1, .plan = plan};
      const long double most = 0x1p56, pairs = static_cast<long double>(n) * n;
      for (const bool symmetric : {false, true}) {
        const culoss::similarity_workspace w =
            symmetric ? culoss::clip_workspace(shape) : culoss::info_nce_workspace(shape);
        EXPECT_LE(w.least, w.best);
        EXPECT_GE(w.least, static_cast<std::size_t>(n) * 32) << bits;
        const bool stays = plan == similarity_plan::one_visit || plan == similarity_plan::kept;
        const int of_a_pair = plan == similarity_plan::kept ? 2 : 4;
        if (symmetric && stays) {
          EXPECT_GE(static_cast<long double>(w.least), std::min(most, of_a_pair * pairs)) << bits;
        }
      }
    }
  }
}

}  // namespace
}  // namespace culoss_test
