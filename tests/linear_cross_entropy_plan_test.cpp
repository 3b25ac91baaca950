// The chunks of rows in which linear cross-entropy has its logits: whatever workspace a call is
// given, its results agree within the bound, and its bits depend on nothing else. Memory, products
// and traffic are counted on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/linear_plan.hpp"
#include "tests/cases/linear_cross_entropy_check.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/cuda.hpp"

namespace culoss_test {
namespace {

class linear_plan : public ::testing::Test {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

// Everything, and little; some rows more than several of the smallest chunks.
std::vector<linear_choice> choices() {
  linear_choice everything = linear(full_cross_entropy()), plain = linear(plain_cross_entropy());
  plain.bias = false;
  linear_choice split = everything;
  split.mode = linear_mode::split;
  linear_choice forward = plain;
  forward.grad_hidden = forward.grad_weight = forward.grad_bias = false;
  return {everything, plain, split, forward};
}

std::int64_t calls_since(std::uint64_t first, const std::string& name) {
  std::int64_t n = 0;
  for (std::uint64_t i = first; i < simt::call_count(); ++i) {
    n += simt::call_name(i).find(name) != std::string::npos ? 1 : 0;
  }
  return n;
}

TEST_F(linear_plan, agrees_within_the_bound_for_every_workspace) {
  tally t;
  for (const linear_choice& c : choices()) {
    for (const element type : device_elements()) {
      if (reduced_run() && type == element::bfloat16) continue;
      const linear_numbers p =
          make_linear(c, {.type = type, .rows = 60, .classes = 37, .dimension = 9});
      const culoss::linear_cross_entropy_plan w =
          culoss::linear_cross_entropy_workspace(shape_of(c, p));
      ASSERT_LT(w.least, w.best);
      const std::vector<expectation> wanted = expect(c, p);
      for (std::size_t k = 0; k <= 3; ++k) {
        const std::size_t bytes = w.least + (w.best - w.least) * k / 3;
        t.expect_correct(c, p, {.workspace = static_cast<std::int64_t>(bytes)}, wanted);
      }
      t.expect_correct(c, p, {.workspace = kNoWorkspace}, wanted);
    }
  }
}

TEST_F(linear_plan, has_the_same_bits_under_every_schedule) {
  for (const linear_choice& c : choices()) {
    const linear_numbers p =
        make_linear(c, {.type = element::bfloat16, .rows = 20, .classes = 300, .dimension = 9});
    for (const std::int64_t bytes : {kLeastWorkspace, kBestWorkspace}) {
      const results first = run(c, p, {.workspace = bytes});
      ASSERT_TRUE(first.status.ok()) << first.status.message();
      std::uint64_t seed = 1;
      for (const simt::schedule order :
           {simt::schedule::in_order, simt::schedule::reversed, simt::schedule::random}) {
        simt::settings settings = simt::get_settings();
        settings.order = order;
        settings.seed = ++seed;
        const simt::scoped_settings during(settings);
        EXPECT_EQ(difference(first.outputs, run(c, p, {.workspace = bytes}).outputs), "")
            << describe(c, p);
      }
    }
  }
}

// Also where nothing divides by the rows that count.
TEST_F(linear_plan, does_not_read_what_stood_in_the_workspace) {
  std::vector<linear_choice> all = choices();
  all.push_back(linear(plain_cross_entropy()));
  all.back().reduction = culoss::reduction::sum;
  for (const linear_choice& c : all) {
    for (const element type : {element::float32, element::float16}) {
      const linear_numbers p =
          make_linear(c, {.type = type, .rows = 20, .classes = 37, .dimension = 9});
      const results poisoned = run(c, p), zeros = run(c, p, {.zeros_in_workspace = true});
      ASSERT_TRUE(poisoned.status.ok()) << poisoned.status.message();
      EXPECT_EQ(difference(poisoned.outputs, zeros.outputs), "") << describe(c, p);
    }
  }
}

// A product for the logits of each chunk, and one for each gradient of a matrix.
TEST_F(linear_plan, takes_as_many_rows_and_products_as_the_query_says) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  for (const linear_choice& c : choices()) {
    if (c.mode == linear_mode::split) continue;  // its two calls need not have equal chunks
    const linear_numbers p = make_linear(c, {.rows = 150, .classes = 37, .dimension = 9});
    const culoss::linear_cross_entropy_plan w =
        culoss::linear_cross_entropy_workspace(shape_of(c, p));
    EXPECT_EQ(w.least_rows, 8);
    EXPECT_EQ(w.best_rows, 150);
    const int of_gradients = (c.grad_hidden ? 1 : 0) + (c.grad_weight ? 1 : 0);
    const int of_chunk = 1 + of_gradients;
    for (const bool best : {false, true}) {
      const std::uint64_t before = simt::call_count();
      const results r = run(c, p, {.workspace = best ? kBestWorkspace : kLeastWorkspace});
      EXPECT_TRUE(r.status.ok()) << r.status.message();
      // Nineteen chunks of eight rows.
      EXPECT_EQ(calls_since(before, "cublasGemmEx"), of_chunk * (best ? 1 : 19)) << describe(c, p);
      EXPECT_EQ(calls_since(before, "Synchronize"), 2);  // the test's own
    }
  }
}

TEST_F(linear_plan, needs_no_product_to_count_rows) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no products";
  linear_choice c = choices().back();
  c.loss = c.statistics = false;
  const linear_numbers p = make_linear(c, {.rows = 20, .classes = 7, .dimension = 3});
  const auto call = prepare(c, p);
  (void)call->read(call->launch());
  array<std::int64_t> count(space::cuda, 1, 0), labels(space::cuda, 20, 0);
  labels.write(p.rows.labels);
  const std::uint64_t before = simt::call_count();
  culoss::linear_cross_entropy_outputs<float> out;
  out.rows_counted = count.as_vector();
  const array<float> h(space::cuda, 20, 3, 0, 0), w(space::cuda, 7, 3, 0, 0);
  const culoss::status s =
      culoss::linear_cross_entropy(culoss::cuda{.blas = &shared_blas()}, h.as_matrix(),
                                   w.as_matrix(), {}, labels.as_vector(), out);
  EXPECT_TRUE(s.ok()) << s.message();
  synchronize(space::cuda);
  EXPECT_EQ(calls_since(before, "cublasGemmEx"), 0);
  std::string damage;
  EXPECT_EQ(count.read("rows_counted", damage)[0], 17);
}

TEST_F(linear_plan, refuses_less_than_the_least_workspace) {
  for (const linear_choice& c : choices()) {
    if (c.mode == linear_mode::split) continue;  // the forward needs less
    const linear_numbers p = make_linear(c, {.rows = 30, .classes = 37, .dimension = 9});
    const std::size_t least = culoss::linear_cross_entropy_workspace(shape_of(c, p)).least;
    const std::uint64_t launches = simt::count().launches;
    const results r = run(c, p, {.workspace = static_cast<std::int64_t>(least) - 1});
    EXPECT_EQ(r.status.code(), culoss::status_code::workspace_too_small);
    EXPECT_EQ(r.status.message(), "linear_cross_entropy: workspace.bytes is " +
                                      std::to_string(least - 1) + ", must be at least " +
                                      std::to_string(least));
    EXPECT_EQ(simt::count().launches, launches);
    EXPECT_EQ(r.damage, "");
  }
}

TEST_F(linear_plan, takes_scratch_from_the_pool_and_gives_it_back) {
  if (!simt::present()) GTEST_SKIP() << "a real device counts no allocations";
  const linear_choice c = choices().front();
  const linear_numbers p = make_linear(c, {.rows = 30, .classes = 37, .dimension = 9});
  (void)shared_blas();
  for (const std::int64_t workspace : {kNoWorkspace, kBestWorkspace}) {
    const auto call = prepare(c, p, {.workspace = workspace});
    const std::size_t before = simt::live().total();
    const std::uint64_t first = simt::call_count();
    const culoss::status s = call->launch();
    const std::int64_t pool = workspace == kNoWorkspace ? 1 : 0;
    EXPECT_EQ(calls_since(first, "cudaMallocAsync"), pool);
    EXPECT_EQ(calls_since(first, "cudaFreeAsync"), pool);
    EXPECT_EQ(calls_since(first, "Malloc"), pool);
    EXPECT_EQ(calls_since(first, "Synchronize"), 0);
    EXPECT_TRUE(call->read(s).status.ok());
    EXPECT_EQ(simt::live().total(), before);
  }
}

TEST_F(linear_plan, can_be_captured_and_replayed_with_other_numbers) {
  const stream s;
  for (linear_choice c : choices()) {
    c.temperature_source = c.upstream = c.normalizer_source = source::device;
    c.reduction = culoss::reduction::sum;
    for (const linear_mode mode : {c.mode, linear_mode::shards}) {
      c.mode = mode;
      if (mode == linear_mode::shards) c.shards = {30, 9};
      for (const std::int64_t workspace : {kLeastWorkspace, kBestWorkspace, kNoWorkspace}) {
        linear_input in{.type = element::float16, .rows = 21, .classes = 39, .dimension = 6};
        const linear_execution how{.workspace = workspace, .stream = s.get()};
        const auto call = prepare(c, make_linear(c, in), how);
        const graph captured(s.get(), [&] {
          const culoss::status done = call->launch();
          EXPECT_TRUE(done.ok()) << done.message();
        });
        for (const std::uint64_t seed : {7u, 8u}) {
          in.seed = seed;
          linear_numbers p = make_linear(c, in);
          p.rows.temperature *= 0.5f * static_cast<float>(seed - 5);
          p.rows.upstream = static_cast<float>(seed);
          p.rows.normalizer += static_cast<float>(seed);
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

// Each logit is read once where its row fits on chip, and its gradient written once, in packs.
TEST_F(linear_plan, reads_each_logit_once_and_writes_its_gradient_once) {
  if (!simt::watch::present()) GTEST_SKIP() << "only the watched device counts bytes";
  linear_choice c = linear(plain_cross_entropy());
  c.ignore_index = -100;
  for (const std::int64_t classes : {96, 1000}) {
    linear_numbers p =
        make_linear(c, {.type = element::bfloat16, .rows = 8, .classes = classes, .dimension = 4});
    for (std::int64_t& label : p.rows.labels) label = std::max<std::int64_t>(label, 0);
    const auto call = prepare(c, p);
    simt::watch::reset();
    const results r = call->read(call->launch());
    ASSERT_TRUE(r.status.ok()) << r.status.message();
    const auto elements = static_cast<std::uint64_t>(8 * classes);
    int seen = 0;
    for (const simt::watch::launch_traffic& l : simt::watch::launches()) {
      const simt::watch::traffic& moved = l.moved;
      if (l.kernel.find("rows_by_block") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.loads16, elements / 4);
        EXPECT_GE(moved.bytes_stored, elements * 2);
        EXPECT_LE(moved.bytes_stored, elements * 2 + 8 * 64);  // and each row's results
      } else if (l.kernel.find("repeat_row") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.bytes_stored, elements * 4);
        EXPECT_EQ(moved.stores16, elements / 4);
      } else if (l.kernel.find("add_columns") != std::string::npos) {
        ++seen;
        EXPECT_EQ(moved.bytes_loaded, elements * 2);
        EXPECT_EQ(moved.bytes_stored, static_cast<std::uint64_t>(classes) * 4);
      }
    }
    EXPECT_EQ(seen, 3);
  }
}

TEST(linear_workspace, grows_with_the_shape_and_holds_no_matrix_of_logits) {
  const auto plan = [](std::int64_t n, std::int64_t v, std::int64_t d) {
    const culoss::linear_cross_entropy_plan w = culoss::linear_cross_entropy_workspace(
        {.rows = n, .classes = v, .dimension = d, .bias_gradient = true});
    EXPECT_LE(w.least, w.best);
    EXPECT_LE(w.least_rows, w.best_rows);
    return w;
  };
  for (const std::int64_t n : {1, 7, 8, 9, 100, 4096, 65536}) {
    for (const std::int64_t v : {1, 7, 1000, 128256}) {
      EXPECT_LE(plan(n, v, 64).least, plan(n + 1, v, 64).least);
      EXPECT_LE(plan(n, v, 64).least, plan(n, v + 1, 64).least);
      EXPECT_LE(plan(n, v, 64).least, plan(n, v, 65).least);
    }
  }
  // Eight rows of logits in float and their gradients in 16 bits, sums of all weights in float.
  const std::int64_t n = 8192, v = 128256, d = 4096;
  EXPECT_LE(plan(n, v, d).least,
            static_cast<std::size_t>(8 * v * 6 + 4 * v * d + 8 * 4 * d + 8 * v + 40 * n + 4096));
  EXPECT_EQ(plan(n, v, d).best_rows, 4096);
  EXPECT_EQ(culoss::linear_cross_entropy_workspace({.rows = -1, .classes = 3, .dimension = 2}).best,
            0u);
}

// Chunks take what the bytes hold, about equal in size, in whole tiles where there are any.
TEST(linear_workspace, is_used_whole) {
  using culoss::detail::choose_chunk;
  const auto needed = [](std::int64_t n) { return static_cast<std::size_t>(1000 + 100 * n); };
  EXPECT_EQ(choose_chunk(5000, 8, needed(5000), needed), 5000);
  EXPECT_EQ(choose_chunk(5000, 8, needed(5000) - 1, needed), 2560);
  EXPECT_EQ(choose_chunk(5000, 8, needed(2500), needed), 1792);
  EXPECT_EQ(choose_chunk(5000, 8, needed(127), needed), 120);
  EXPECT_EQ(choose_chunk(50, 8, needed(49), needed), 32);
  EXPECT_EQ(choose_chunk(50, 8, needed(8), needed), 8);
  EXPECT_EQ(choose_chunk(50, 8, 0, needed), 8);
  EXPECT_EQ(choose_chunk(5, 8, 0, needed), 5);
}

}  // namespace
}  // namespace culoss_test
