// The way through a similarity matrix that SigLIP takes: whatever workspace a call is given, the
// plan is the same and results agree within the bound; bits depend on nothing else. Memory, launches
// and traffic are counted on the emulated device.
#include <gtest/gtest.h>

#include "tests/cases/siglip_expected.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"
#include "tests/harness/recorded_work.hpp"

namespace culoss_test {
namespace {

using culoss::similarity_plan;

// Several panels and several tiles in the plan that needs least.
struct planned {
  siglip_choice choice;
  similarity_input input;
};
std::vector<planned> planned_calls() {
  siglip_choice masked, none;
  masked.masked = masked.row_weights = true;
  masked.reduction = culoss::reduction::none;
  masked.upstream = source::rows;
  none.positives = false;
  std::vector<planned> all = {
      {masked, {.rows = 300, .keys = 1300, .dimension = 16, .offset = 900}},
      {none, {.type = element::bfloat16, .rows = 200, .keys = 2500, .dimension = 5}}};
  if (reduced_run()) all.pop_back();
  return all;
}

class siglip_plan : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

TEST_F(siglip_plan, agrees_within_the_bound_for_every_workspace) {
  tally t;
  for (const planned& each : planned_calls()) {
    const siglip_numbers p = make_siglip(each.choice, each.input);
    const culoss::similarity_workspace w = siglip_workspace_of(each.choice, p);
    ASSERT_LT(w.least, w.best);
    const std::vector<expectation> wanted = expect(each.choice, p);
    for (std::size_t k = 0; k <= 3; ++k) {
      const std::size_t bytes = w.least + (w.best - w.least) * k / 3;
      t.expect_correct(each.choice, p, {.workspace = static_cast<std::int64_t>(bytes)}, wanted);
    }
    t.expect_correct(each.choice, p, {.workspace = kNoWorkspace}, wanted);
    const siglip_choice forward = without_gradients(each.choice);
    const std::vector<expectation> values = expect(forward, p);
    t.expect_correct(forward, p, {.workspace = kLeastWorkspace}, values);
    t.expect_correct(forward, p, {.workspace = kBestWorkspace}, values);
  }
}

TEST_F(siglip_plan, has_the_same_bits_under_every_schedule) {
  for (const planned& each : planned_calls()) {
    const siglip_numbers p = make_siglip(each.choice, each.input);
    for (const std::int64_t bytes : {kLeastWorkspace, kBestWorkspace}) {
      const results first = run(each.choice, p, {.workspace = bytes});
      ASSERT_TRUE(first.status.ok()) << first.status.message();
      std::uint64_t seed = 1;
      for (const simt::schedule order :
           {simt::schedule::reversed, simt::schedule::random, simt::schedule::warp_priority}) {
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

// Each tile is computed once and read once; two products make its gradients.
TEST_F(siglip_plan, is_one_visit_from_the_least_workspace_on) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  for (const planned& each : planned_calls()) {
    const siglip_numbers p = make_siglip(each.choice, each.input);
    const culoss::similarity_workspace w = siglip_workspace_of(each.choice, p);
    EXPECT_EQ(w.least_plan, similarity_plan::one_visit);
    EXPECT_EQ(w.best_plan, similarity_plan::one_visit);
    siglip_choice images = each.choice, forward = without_gradients(each.choice);
    images.keys = false;
    EXPECT_EQ(siglip_workspace_of(forward, p).least_plan, similarity_plan::forward_only);
    for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace}) {
      std::int64_t products_of_a_tile = 3;
      for (const siglip_choice& c : {each.choice, images, forward}) {
        const recorded_work work;
        EXPECT_TRUE(run(c, p, {.workspace = workspace}).status.ok());
        const std::int64_t tiles = work.kernels("pair_tile");
        EXPECT_GE(tiles, workspace == kLeastWorkspace ? 4 : 1);
        EXPECT_EQ(work.calls("cublasGemmEx"), products_of_a_tile-- * tiles);
        EXPECT_EQ(work.kernels("fold_tile"), 0);
        EXPECT_EQ(work.kernels("gradient_tile"), 0);
      }
    }
  }
}

TEST_F(siglip_plan, refuses_less_than_the_least_workspace) {
  const planned each = planned_calls().front();
  const siglip_numbers p = make_siglip(each.choice, each.input);
  const std::size_t least = siglip_workspace_of(each.choice, p).least;
  const recorded_work work;
  const results r = run(each.choice, p, {.workspace = static_cast<std::int64_t>(least) - 1});
  EXPECT_EQ(r.status.code(), culoss::status_code::workspace_too_small);
  EXPECT_EQ(r.status.message(), "siglip: workspace.bytes is " + std::to_string(least - 1) +
                                    ", must be at least " + std::to_string(least));
  EXPECT_EQ(work.kernels(""), 0);
  EXPECT_EQ(r.damage, "");
  for (const output& o : r.outputs) {
    const double poison = o.name == "correct" || o.name == "rows_counted" ? -1 : std::nan("");
    for (const double v : o.values) ASSERT_TRUE(same_bits(v, poison)) << o.name;
  }
}

TEST_F(siglip_plan, takes_scratch_from_the_pool_and_gives_it_back) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no allocations";
  const planned each = planned_calls().front();
  const siglip_numbers p = make_siglip(each.choice, each.input);
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

TEST_F(siglip_plan, can_be_captured_and_replayed_with_other_numbers) {
  const stream s;
  for (const bool log_scale : {false, true}) {
    siglip_choice c;
    c.log_scale = log_scale;
    c.scale = c.bias = c.upstream = c.normalizer = source::device;
    similarity_input in{.rows = 150, .keys = 550, .dimension = 12, .offset = 40};
    for (const std::int64_t workspace : {kLeastWorkspace, kNoWorkspace}) {
      const similarity_execution how{.workspace = workspace, .stream = s.get()};
      const auto call = prepare(c, make_siglip(c, in), how);
      const graph captured(s.get(), [&] {
        const culoss::status done = call->launch();
        EXPECT_TRUE(done.ok()) << done.message();
      });
      for (const std::uint64_t seed : {7u, 8u}) {
        in.seed = seed;
        siglip_numbers p = make_siglip(c, in);
        p.scale *= 0.5f * static_cast<float>(seed - 5);
        p.bias -= static_cast<float>(seed);
        p.upstream = static_cast<float>(seed);
        p.normalizer += static_cast<float>(seed);
        call->write(p);
        captured.replay(s.get());
        const results replayed = call->read({}), direct = run(c, p, how);
        ASSERT_TRUE(direct.status.ok()) << direct.status.message();
        EXPECT_EQ(replayed.damage, "");
        EXPECT_EQ(difference(replayed.outputs, direct.outputs), "") << describe(c, p);
        tally t;
        t.expect_correct(c, p, how);
      }
    }
  }
}

// 4 bytes of each similarity in loads of 16, and as many of its gradient as its type has, once.
TEST_F(siglip_plan, reads_each_similarity_once_and_writes_its_gradient) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watched device counts bytes";
  constexpr std::uint64_t kSide = 256, kElements = kSide * kSide;
  for (const element type : {element::float32, element::bfloat16}) {
    for (const bool gradients : {true, false}) {
      siglip_choice c;
      c.normalize = false;
      if (!gradients) c = without_gradients(c);
      const siglip_numbers p =
          make_siglip(c, {.type = type, .rows = kSide, .keys = kSide, .dimension = 8});
      const auto call = prepare(c, p);
      simt::watch::reset();
      const results r = call->read(call->launch());
      ASSERT_TRUE(r.status.ok()) << r.status.message();
      int seen = 0;
      for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
        if (l.kernel.find("pair_tile") == std::string::npos) continue;
        ++seen;
        EXPECT_EQ(l.moved.loads16, kElements / 4);
        // Beside them the call's numbers: two for each thread, three for each of its rows.
        const std::uint64_t threads = kSide / 4 * 32, numbers = threads * (2 + 3 * 4);
        EXPECT_GE(l.moved.bytes_loaded, kElements * 4);
        EXPECT_LE(l.moved.bytes_loaded, kElements * 4 + numbers * 4);
        // A row's sums, and its positive.
        const std::uint64_t of_rows = kSide * (32 + 4);
        const auto bytes = static_cast<std::uint64_t>(format_of(type).bytes);
        EXPECT_EQ(l.moved.bytes_stored, of_rows + (gradients ? kElements * bytes : 0));
      }
      EXPECT_EQ(seen, 1);
    }
  }
}

TEST(siglip_workspace, needs_no_memory_of_the_size_of_the_matrix) {
  struct shape {
    std::int64_t n, m, d;
  };
  constexpr shape kShapes[] = {{4096, 1 << 20, 512}, {32768, 32768, 768}, {1 << 20, 4096, 64}};
  for (const shape& s : kShapes) {
    const culoss::similarity_workspace w =
        culoss::siglip_workspace({.queries = s.n, .keys = s.m, .dimension = s.d});
    // Sums of 32 bytes and five floats a row; a gradient in float and a norm for each text.
    const std::int64_t of_rows = 64 * s.n + (4 * s.d + 16) * s.m;
    const std::int64_t of_tile = 128 * 512 * (4 + 2) + 128 * 4 * s.d;
    const std::int64_t partials = (264 + 4) * 32 * 32;
    EXPECT_LE(w.least, static_cast<std::size_t>(of_rows + of_tile + partials + 4096));
    EXPECT_EQ(w.least_plan, similarity_plan::one_visit);
    EXPECT_LE(w.least, w.best);
  }
}

}  // namespace
}  // namespace culoss_test
