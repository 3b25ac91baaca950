// The ways through the half of a symmetric matrix: whatever workspace a call is given, its results
// agree within the bound, and its bits depend on nothing else. Memory, launches, products and
// traffic are counted on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cases/self_similarity_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

using culoss::similarity_plan;

// Several panels and several tiles in the plan that needs least.
struct planned {
  self_choice choice;
  self_input input;
};
std::vector<planned> planned_calls() {
  const self_choice pairs{.masked = true}, groups{.which = self_loss::sup_con};
  return {{pairs, {.rows = 1060, .dimension = 8}},
          {groups, {.type = element::bfloat16, .rows = 661, .dimension = 12, .labels = 40}}};
}

class self_similarity_plan : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

TEST_F(self_similarity_plan, agrees_within_the_bound_for_every_workspace) {
  tally t;
  for (const planned& each : planned_calls()) {
    const self_numbers p = make_self(each.choice, each.input);
    const culoss::similarity_workspace w = workspace_of(each.choice, p);
    ASSERT_LT(w.least, w.best);
    const std::vector<expectation> wanted = expect(each.choice, p);
    const std::size_t steps = reduced_run() ? 1 : 3;
    for (std::size_t k = 0; k <= steps; ++k) {
      const std::size_t bytes = w.least + (w.best - w.least) * k / steps;
      t.expect_correct(each.choice, p, {.workspace = static_cast<std::int64_t>(bytes)}, wanted);
    }
    if (reduced_run()) continue;
    t.expect_correct(each.choice, p, {.workspace = kNoWorkspace}, wanted);
    const self_choice forward = forward_only(each.choice);
    t.expect_correct(forward, p, {.workspace = kLeastWorkspace}, expect(forward, p));
  }
}

TEST_F(self_similarity_plan, has_the_same_bits_under_every_schedule) {
  for (planned each : planned_calls()) {
    each.input.rows = each.choice.labeled() ? 333 : 290;
    const self_numbers p = make_self(each.choice, each.input);
    for (const std::int64_t bytes : {kLeastWorkspace, kBestWorkspace}) {
      const results first = run(each.choice, p, {.workspace = bytes});
      ASSERT_TRUE(first.status.ok()) << first.status.message();
      std::uint64_t seed = 1;
      for (const simt::schedule order : {simt::schedule::in_order, simt::schedule::reversed,
                                         simt::schedule::random, simt::schedule::warp_priority}) {
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

TEST_F(self_similarity_plan, is_the_one_that_the_query_names) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  const auto work = [](const self_choice& c, const self_numbers& p, std::int64_t workspace) {
    const recorded_work r;
    const results done = run(c, p, {.workspace = workspace});
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    const std::int64_t folds = r.kernels("fold_tile"), gradients = r.kernels("gradient_tile");
    const std::int64_t products = r.calls("cublasGemmEx");
    EXPECT_GT(folds, 0);
    EXPECT_EQ(r.kernels("fold_positives"), c.labeled() ? folds : 0);
    if (gradients == 0) {
      EXPECT_EQ(products, folds);
      return similarity_plan::forward_only;
    }
    EXPECT_EQ(gradients, folds);
    // Two products from each gradient of a tile; its similarities kept, or computed twice.
    const bool twice = products == folds + 3 * gradients;
    EXPECT_TRUE(twice || products == folds + 2 * gradients) << products << " " << folds;
    return twice ? similarity_plan::recompute : similarity_plan::one_visit;
  };
  for (const planned& each : planned_calls()) {
    const self_numbers p = make_self(each.choice, each.input);
    const culoss::similarity_workspace w = workspace_of(each.choice, p);
    EXPECT_EQ(work(each.choice, p, kLeastWorkspace), w.least_plan);
    EXPECT_EQ(work(each.choice, p, kBestWorkspace), w.best_plan);
    EXPECT_EQ(w.least_plan, similarity_plan::recompute);
    EXPECT_EQ(w.best_plan, similarity_plan::one_visit);
    const self_choice forward = forward_only(each.choice);
    EXPECT_EQ(workspace_of(forward, p).least_plan, similarity_plan::forward_only);
    EXPECT_EQ(work(forward, p, kLeastWorkspace), similarity_plan::forward_only);
  }
}

TEST_F(self_similarity_plan, refuses_less_than_the_least_workspace) {
  for (const planned& each : planned_calls()) {
    const self_numbers p = make_self(each.choice, each.input);
    const std::size_t least = workspace_of(each.choice, p).least;
    const recorded_work work;
    const results r = run(each.choice, p, {.workspace = static_cast<std::int64_t>(least) - 1});
    EXPECT_EQ(r.status.code(), culoss::status_code::workspace_too_small);
    EXPECT_EQ(r.status.message(), name_of(each.choice.which) + ": workspace.bytes is " +
                                      std::to_string(least - 1) + ", must be at least " +
                                      std::to_string(least));
    EXPECT_EQ(work.kernels(""), 0);
    EXPECT_EQ(r.damage, "");
    for (const output& o : r.outputs) {
      const double poison = o.name == "correct" || o.name == "rows_counted" ? -1 : std::nan("");
      for (const double v : o.values) ASSERT_TRUE(same_bits(v, poison)) << o.name;
    }
  }
}

TEST_F(self_similarity_plan, takes_scratch_from_the_pool_and_gives_it_back) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no allocations";
  (void)shared_blas();
  for (const self_loss which : kSelfLosses) {
    for (const std::int64_t workspace : {kNoWorkspace, kBestWorkspace}) {
      const self_choice c{.which = which};
      const auto call =
          prepare(c, make_self(c, {.rows = 60, .dimension = 5}), {.workspace = workspace});
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
}

TEST_F(self_similarity_plan, can_be_captured_and_replayed_with_other_numbers) {
  const stream s;
  for (const self_loss which : kSelfLosses) {
    for (const bool log_scale : {false, true}) {
      self_choice c{.which = which, .log_scale = log_scale, .scale = source::device};
      c.upstream = source::device;
      if (log_scale) c.normalizer = source::device;
      self_input in{.rows = 150, .dimension = 12};
      for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace, kNoWorkspace}) {
        const similarity_execution how{.workspace = workspace, .stream = s.get()};
        const auto call = prepare(c, make_self(c, in), how);
        const graph captured(s.get(), [&] {
          const culoss::status done = call->launch();
          EXPECT_TRUE(done.ok()) << done.message();
        });
        for (const std::uint64_t seed : {7u, 8u}) {
          in.seed = seed;
          self_numbers p = make_self(c, in);  // with other labels: other rows count
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

// Of each panel of n rows the columns from its first row on are computed: M (M + n) / 2 elements of
// M^2. Each is read once by the kernel that folds it, and once by the one that turns it into its
// gradient, in loads of 16 bytes.
TEST_F(self_similarity_plan, computes_and_reads_one_half_of_the_matrix) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watched device counts bytes";
  for (const self_loss which : kSelfLosses) {
    const self_choice c{.which = which, .normalize = false};
    constexpr std::uint64_t kRows = 640, kPanel = 128;
    const self_numbers p =
        make_self(c, {.type = element::bfloat16, .rows = kRows, .dimension = 8, .labels = kRows});
    const auto call = prepare(c, p, {.workspace = kLeastWorkspace});
    simt::watch::reset();
    const results r = call->read(call->launch());
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    std::uint64_t folded = 0, positives = 0, stored = 0;
    for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
      if (l.kernel.find("fold_tile") != std::string::npos) folded += l.moved.loads16 * 4;
      if (l.kernel.find("fold_positives") != std::string::npos) positives += l.moved.loads16 * 4;
      if (l.kernel.find("gradient_tile") != std::string::npos) stored += l.moved.bytes_stored / 2;
    }
    EXPECT_GE(folded, kRows * (kRows - 1) / 2);
    EXPECT_LE(folded, kRows * (kRows + kPanel) / 2);
    EXPECT_EQ(stored, folded);
    // As many labels as rows: few runs of four hold a positive.
    EXPECT_LE(positives, kRows * kRows / 50);
    EXPECT_EQ(positives > 0, c.labeled());
  }
}

TEST(self_similarity_workspace, grows_with_the_shape_and_holds_no_matrix) {
  constexpr std::int64_t kSizes[] = {2, 32, 128, 1000, 4096, 65536};
  for (const auto query : {culoss::nt_xent_workspace, culoss::sup_con_workspace}) {
    for (const bool gradients : {false, true}) {
      std::size_t before = 0;
      for (const std::int64_t n : kSizes) {
        for (const std::int64_t d : {1, 64, 768}) {
          const culoss::self_similarity_shape shape{
              .rows = n, .dimension = d, .gradients = gradients};
          const culoss::similarity_workspace w = query(shape);
          EXPECT_LE(w.least, w.best);
          EXPECT_LE(w.least, query({n, d + 1, 2, gradients}).least);
          // States of 20 bytes and coefficients of 16 a row, for positives by label again; the
          // gradient's sums; a panel of 128 x 512.
          EXPECT_LE(w.least,
                    static_cast<std::size_t>((160 + 4 * d) * n + 128 * 512 * 6 + (1 << 19)))
              << n << " " << d;
        }
        const std::size_t least = query({n, 64, 2, gradients}).least;
        EXPECT_LE(before, least);
        before = least;
      }
    }
    EXPECT_EQ(query({-1, 5, 2, true}).best, 0u);
    EXPECT_EQ(query({5, 0, 2, true}).best, 0u);
  }
}

}  // namespace
}  // namespace culoss_test
